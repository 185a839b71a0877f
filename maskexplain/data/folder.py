"""An image folder with a folder a class, its splits by group, and its pixels in memory."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from ..errors import UserError
from ..images.edit import Shift
from ..images.folder import SUFFIXES
from ..images.read import ImageError, read_image
from ..masks.task import MASK
from ..models.network import to_pixels
from ..task import Task

SPLITS = ("train", "val", "test")
COLUMNS = ("file", "class", "split", "group", "augmented")

# Wraps an iterable and shows how far it is, as tqdm does.
Progress = Callable[[Iterable], Iterable]


def quietly(items: Iterable) -> Iterable:
    """The progress that shows nothing."""
    return items


class DataError(UserError):
    """The data folder or its CSV cannot be used."""


@dataclass(frozen=True)
class Picture:
    """One picture of the data: `label` is its class index, `augmented` marks a made copy.

    `source`: which collection it comes from, as the CSV tells; empty where it does not.
    """

    file: Path
    label: int
    split: str
    group: str
    augmented: bool
    source: str = ""


@dataclass(frozen=True)
class Pixels:
    """Decoded pictures: uint8 pixels N x 3 x size x size and class indices N."""

    pixels: torch.Tensor
    labels: torch.Tensor


def list_pictures(folder: Path, csv_file: Path | None = None, task: Task = MASK) -> list[Picture]:
    """The pictures of `folder`, with splits from the CSV or, without one, made by content.

    `task`: whose classes the folder holds. Raises DataError.
    """
    check_folder(folder, task)
    return _from_csv(folder, csv_file, task) if csv_file else _from_folder(folder, task)


def list_all_pictures(
    folders: Sequence[Path], csv_files: Sequence[Path] = (), task: Task = MASK
) -> list[list[Picture]]:
    """The pictures of several folders, a list each, with the CSVs beside them or the given ones.

    Raises DataError, also for a group that lies in two splits of different folders.
    """
    if csv_files and len(csv_files) != len(folders):
        raise DataError("--csv must be given as often as --data, in the same order, or not at all.")
    files = list(csv_files) or [csv_beside(folder) for folder in folders]
    pairs = list(zip(folders, files, strict=True))
    listed = [list_pictures(folder, file, task) for folder, file in pairs]
    together = [picture for pictures in listed for picture in pictures]
    _check_groups(together, " and ".join(str(file or folder) for folder, file in pairs))
    return listed


def csv_beside(folder: Path) -> Path | None:
    """The CSV named like the folder and beside it (kaggle3/ and kaggle3.csv), if it is there."""
    folder = folder.resolve()
    file = folder.parent / f"{folder.name}.csv"
    return file if file.is_file() else None


def check_folder(folder: Path, task: Task) -> None:
    """Raise DataError unless `folder` has a folder for each of the task's classes."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give the image folder with --data.")
    missing = [name for name in task.names if not (folder / name).is_dir()]
    if missing:
        raise DataError(
            f"{folder} has no folder {' and no folder '.join(missing)}: an image folder with "
            f"{', '.join(task.names)} is needed."
        )


def _from_csv(folder: Path, csv_file: Path, task: Task) -> list[Picture]:
    rows = read_rows(csv_file, COLUMNS, "check --csv", "picture", DataError)
    pictures = [_picture(folder, csv_file, row, task) for row in rows]
    _check_groups(pictures, csv_file)
    return pictures


def _picture(folder: Path, csv_file: Path, row: dict[str, str], task: Task) -> Picture:
    if row["class"] not in task or row["split"] not in SPLITS:
        raise DataError(
            f"{csv_file} gives {row['file']} the class {row['class']} and the split "
            f"{row['split']}: use {', '.join(task.names)} and {', '.join(SPLITS)}."
        )
    if row["augmented"] not in ("0", "1"):
        raise DataError(f"{csv_file} gives {row['file']} no 0 or 1 for augmented: mend it.")
    file = folder / row["file"]
    if not file.is_file():
        raise DataError(
            f"{csv_file} names {row['file']}, which {folder} does not hold: match both."
        )
    label, augmented = task.index(row["class"]), row["augmented"] == "1"
    return Picture(file, label, row["split"], row["group"], augmented, row.get("source") or "")


def _check_groups(pictures: Sequence[Picture], where: object) -> None:
    splits: dict[str, str] = {}
    for picture in pictures:
        if splits.setdefault(picture.group, picture.split) != picture.split:
            raise DataError(
                f"{where} puts group {picture.group} into two splits: a group must lie in one, "
                "or the scores are inflated."
            )


def _from_folder(folder: Path, task: Task) -> list[Picture]:
    pictures = []
    for label, name in enumerate(task.names):
        files = sorted(f for f in (folder / name).iterdir() if f.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{folder / name} holds no pictures: put some there.")
        pictures += [_split_by_content(file, label) for file in files]
    return pictures


def _split_by_content(file: Path, label: int) -> Picture:
    # Exact duplicates share their digest, so they are one group and fall into one split: 70/15/15.
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    place = int(digest[:8], 16) % 100
    split = "train" if place < 70 else "val" if place < 85 else "test"
    return Picture(file, label, split, digest, augmented=False)


def load_pixels(
    pictures: Sequence[Picture], size: int, progress: Progress = quietly, shift: Shift | None = None
) -> Pixels:
    """Decode every picture once, shift it where asked, and hold it at size x size.

    Raises DataError.
    """
    pixels = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
    for row, picture in zip(pixels, progress(pictures), strict=True):
        crop = read_crop(picture.file)
        row.copy_(to_pixels(shift(crop) if shift else crop, size))
    return Pixels(pixels, torch.tensor([p.label for p in pictures], dtype=torch.long))


def read_crop(file: Path) -> Image.Image:
    """A picture of the data as RGB. Raises DataError, which names the file."""
    try:
        return read_image(file)
    except ImageError as error:
        raise DataError(f"{file} is unreadable ({error}): mend or remove it.") from error


def fingerprint(pictures: Sequence[Picture]) -> str:
    """A digest of which pictures lie where: the same data give the same one on every machine."""
    lines = sorted(f"{p.file.parent.name}/{p.file.name} {p.label} {p.split}" for p in pictures)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def select(pictures: Sequence[Picture], split: str) -> list[Picture]:
    """The pictures of one split; "all" for every picture. Raises DataError where it is empty."""
    chosen = [p for p in pictures if split in ("all", p.split)]
    if not chosen:
        raise DataError(f"The split {split} holds no pictures: use {', '.join(SPLITS)} or all.")
    return chosen


def read_rows(
    file: Path, columns: Sequence[str], remedy: str, unit: str, error: type[UserError]
) -> list[dict[str, str]]:
    """The rows of a CSV, a dict each. Raises `error` where it has none, or lacks a column.

    `remedy` and `unit` (what a row stands for) complete its sentence.
    """
    try:
        # utf-8-sig: spreadsheet programs put a mark before the first column's name.
        with open(file, newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise error(f"{file} cannot be read as a CSV: {remedy}.") from cause
    if not rows or not set(columns) <= set(rows[0]):
        raise error(f"{file} needs the columns {', '.join(columns)} and a row a {unit}.")
    return rows
