"""Pictures and folders as typed on the command line -> the picture files that they stand for."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

JPEG, HEIF = (".jpg", ".jpeg", ".jfif"), (".heic", ".heif", ".avif")
SUFFIXES = {*JPEG, *HEIF, ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
# What macOS, Windows, Linux, and the network drives of Synology and QNAP put beside people's files.
SYSTEM = {
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
    "#recycle",
    "@__thumb",
    "@recycle",
}


def of_system(name: str) -> bool:
    """Whether a file or folder of this name comes from a system: previews, trash, settings."""
    return name.startswith(".") or name.lower() in SYSTEM


@dataclass(frozen=True)
class PictureFile:
    """A picture's file; `place` is its path without suffix inside the folder that was named."""

    path: Path
    place: Path


def find_pictures(named: Sequence[Path]) -> Iterator[PictureFile]:
    """The files that were named, and those inside the folders that were, by name.

    A file is taken whatever it is called, and whether or not it is there: reading it will tell. Of
    a folder and the folders inside it come the files that end as pictures do, without hidden ones
    and those that systems leave. A folder that cannot be opened comes as a file: reading it fails.
    Raises UserError for a folder without any, as soon as that is known.
    """
    for path in named:
        if os.path.isdir(path):  # False, too, where nobody may look
            yield from _inside(path)
        else:
            yield PictureFile(path, Path(path.stem))


class PictureFiles:
    """The same, as often as they are asked for, and their number at first.

    They are looked up anew each time, so that a million of them fill no memory. Raises UserError.

    >>> [file.path.name for file in PictureFiles([Path("b.png"), Path("a.png")])]
    ['b.png', 'a.png']
    """

    def __init__(self, named: Sequence[Path]) -> None:
        self._named = named
        self._count = sum(1 for _ in self)

    def __iter__(self) -> Iterator[PictureFile]:
        return find_pictures(self._named)

    def __len__(self) -> int:
        return self._count


def _inside(folder: Path) -> Iterator[PictureFile]:
    found = False
    for path in _walk(folder):
        found = True
        place = path.relative_to(folder)
        yield PictureFile(path, place.with_suffix("") if place.name else Path(folder.name))
    if not found:
        raise UserError(f"There is no picture in the folder {folder}: name another.")


def _walk(folder: Path) -> Iterator[Path]:
    """Files that end as pictures do, broken links too; links to folders are not followed."""
    names: list[str] = []
    deeper: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if of_system(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    deeper.add(entry.name)
                elif os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
                    continue
                names.append(entry.name)
    except OSError:
        yield folder
        return
    for name in sorted(names):
        if name in deeper:
            yield from _walk(folder / name)
        else:
            yield folder / name
