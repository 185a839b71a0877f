"""Imports run one way: a package knows those below it, never those above."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "maskexplain"
# From the bottom to the top; what stands in one line does not know its neighbours.
LAYERS = (
    ("errors", "memory", "words"),
    ("files", "task"),
    ("masks",),
    ("images",),
    ("models",),
    ("explain",),
    ("video",),
    ("data",),
    ("results", "exchange"),
    ("train",),
    ("api",),
    ("web",),
    ("cli",),
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def _imported(file: Path) -> list[str]:
    """The packages and modules right under `maskexplain` that a file imports."""
    depth = len(file.relative_to(PACKAGE).parts)
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found += [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert not node.module.startswith("maskexplain"), f"{file}: import it relatively"
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("maskexplain") for alias in node.names), file
    return [name.partition(".")[0] for name in found if not name.startswith("__")]


@pytest.mark.parametrize("name", LEVEL)
def test_imports_come_from_below(name):
    place = PACKAGE / name
    files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    above = {
        (str(file.relative_to(PACKAGE)), other)
        for file in files
        for other in _imported(file)
        if other != name and LEVEL[other] >= LEVEL[name]
    }
    assert files and not above


def test_every_package_has_its_layer():
    found = {path.stem for path in PACKAGE.iterdir() if path.name[0] not in "._"}
    assert found - {"__init__", "__main__", "__pycache__"} == set(LEVEL)
