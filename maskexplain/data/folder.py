"""An image folder with a folder a class, its splits by group, and its pixels in memory."""

import codecs
import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
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
SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val"}
TRUTH = {"1": True, "true": True, "0": False, "false": False}
SYSTEM = ("Thumbs.db", "desktop.ini", "__MACOSX")  # beside what begins with a dot

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
    _check_files(pictures, rows, csv_file)
    _check_groups(pictures, csv_file)
    return pictures


def _picture(folder: Path, csv_file: Path, row: "Row", task: Task) -> Picture:
    where = f"{csv_file}, line {row.line},"
    split = SPLIT_NAMES.get(row["split"].lower(), row["split"].lower())
    if row["class"] not in task or split not in SPLITS:
        raise DataError(
            f"{where} gives {row['file']} the class {row['class']} and the split "
            f"{row['split']}: use {', '.join(task.names)} and {', '.join(SPLITS)}."
        )
    augmented = TRUTH.get(row["augmented"].lower())
    if augmented is None:
        raise DataError(f"{where} gives {row['file']} no 0 or 1 for augmented: correct it.")
    file = folder / row["file"].replace("\\", "/")
    if not file.is_file():
        raise DataError(f"{where} names {row['file']}, which {folder} does not hold: match both.")
    own = file.parent.name
    if own in task and own != row["class"]:
        raise DataError(
            f"{where} gives {row['file']} the class {row['class']}, but it lies in the folder "
            f"{own}: match both."
        )
    # Without a group a picture is one of its own.
    group, source = row["group"] or f"{csv_file.stem}/{row['file']}", row.get("source", "")
    return Picture(file, task.index(row["class"]), split, group, augmented, source)


def _check_files(pictures: Sequence[Picture], rows: Sequence["Row"], csv_file: Path) -> None:
    lines: dict[Path, int] = {}
    for picture, row in zip(pictures, rows, strict=True):
        first = lines.setdefault(picture.file.resolve(), row.line)
        if first != row.line:
            raise DataError(
                f"{csv_file} names {row['file']} twice, in line {first} and in line {row.line}: "
                "name each file once."
            )


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
        files = sorted(_walk(folder / name))
        if not files:
            raise DataError(f"{folder / name} holds no pictures: put some there.")
        pictures += [_split_by_content(file, label) for file in files]
    return pictures


def _walk(folder: Path) -> Iterator[Path]:
    """The pictures' files in a folder and the folders in it; not those that systems put there."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() not in SUFFIXES or any(p[0] == "." or p in SYSTEM for p in parts):
            continue
        if path.is_symlink() and not path.exists():
            raise DataError(f"{path} is a link that leads nowhere: remove it.")
        if path.is_file():
            yield path


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


class Row(dict[str, str]):
    """A row of a CSV by its columns' names, and the line that it ends in."""

    line = 0


def read_rows(
    file: Path, columns: Sequence[str], remedy: str, unit: str, error: type[UserError]
) -> list[Row]:
    """The rows of a CSV. Raises `error` where it has none, or lacks a column.

    As spreadsheet programs write them: cells parted by commas, semicolons or tabs, in UTF-8 or
    UTF-16, headings in any case, blanks around cells. `remedy` and `unit` (what a row stands for)
    complete the sentence.
    """
    try:
        text = _decoded(file.read_bytes())
        heading = text.partition("\n")[0]
        parted = max(",;\t", key=heading.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=parted, strict=True)
        names = [name.strip().lower() for name in next(reader, [])]
        rows = []
        for cells in reader:
            if any(cells):
                row = Row(
                    zip_longest(names, (c.strip() for c in cells[: len(names)]), fillvalue="")
                )
                row.line = reader.line_num
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise error(f"{file} cannot be read as a CSV: {remedy}.") from cause
    if not rows or not set(columns) <= set(names):
        raise error(f"{file} needs the columns {', '.join(columns)} and a row a {unit}.")
    return rows


def _decoded(content: bytes) -> str:
    utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # utf-8-sig: spreadsheet programs put a mark before the first column's name.
    return content.decode("utf-16" if utf_16 else "utf-8-sig")
