"""Write locks/: exact versions, with hashes, of all packages, for every platform and Python here.

python -m tools.lock    (needs uv: pip install uv)
"""

import re
import subprocess
import sys
import tempfile

from tools.served import ROOT

LOCKS = ROOT / "locks"
# With what only PyTorch's builds for CUDA need.
TORCH = re.compile(r"torch|torchvision|triton|cuda-.*|nvidia-.*")
HEADS = {
    "serve": "# Exact versions, with the hashes of their files, of what serving needs but PyTorch.",
    "torch": "# PyTorch, on Linux with CUDA; the same versions of its CPU builds do as well.",
    "dev": "# What training, export, MCP, TensorBoard, tests and style need further.",
}
EXTRAS = ("train", "export", "mcp", "tensorboard", "dev")
Entries = dict[str, list[str]]  # by package: one for each platform that has its own version


def resolve(*what: str) -> str:
    """The lock of requirement files, as text without any address."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url"]
    done = subprocess.run([*command, *what], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def entries_of(lock: str) -> Entries:
    """A lock's entries, each with its hashes."""
    entries: Entries = {}
    for entry in re.split(r"\n(?=[^\s])", lock.strip()):
        entries.setdefault(re.split("[=\\[ ]", entry)[0], []).append(entry)
    return entries


def main() -> None:
    serving = resolve("requirements.txt")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(serving)
        constraints.flush()
        extras = [part for extra in EXTRAS for part in ("--extra", extra)]
        everything = entries_of(resolve("pyproject.toml", *extras, "-c", constraints.name))
    parts: dict[str, list[str]] = {key: [] for key in HEADS}
    needed = entries_of(serving)
    for name, entries in everything.items():
        kind = "torch" if TORCH.fullmatch(name) else "serve" if name in needed else "dev"
        parts[kind] += needed.get(name, entries)
    for key, lines in parts.items():
        (LOCKS / f"{key}.txt").write_text("\n".join([HEADS[key], *lines]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
