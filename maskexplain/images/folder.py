"""Pictures and folders as typed on the command line -> the picture files that they stand for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

JPEG, HEIF = (".jpg", ".jpeg", ".jfif"), (".heic", ".heif", ".avif")
SUFFIXES = {*JPEG, *HEIF, ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


@dataclass(frozen=True)
class PictureFile:
    """A picture's file; `place` is its path without suffix inside the folder that was named."""

    path: Path
    place: Path


def picture_files(named: Sequence[Path]) -> list[PictureFile]:
    """The files that were named, and those inside the folders that were, by name.

    A file is taken whatever it is called, and whether or not it is there: reading it will tell. Of
    a folder and the folders inside it come the files that end as pictures do, without hidden ones.
    Raises UserError for a folder without any.
    """
    return [file for path in named for file in (_inside(path) if path.is_dir() else [_one(path)])]


def _one(path: Path) -> PictureFile:
    return PictureFile(path, Path(path.stem))


def _inside(folder: Path) -> list[PictureFile]:
    found = [PictureFile(p, p.relative_to(folder).with_suffix("")) for p in _walk(folder)]
    if not found:
        raise UserError(f"There is no picture in the folder {folder}: name another.")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path
