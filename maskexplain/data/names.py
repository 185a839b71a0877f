"""How people write a data set down: names that stand for classes and splits, and rows of a CSV.

The public Kaggle set (vijaykumar1799/face-mask-detection) comes without a list, so what is known of
it comes with the program. Its class of badly worn masks is 66 faces and 2,943 darkened, turned and
smeared copies of 51 of these. kaggle_faces.csv has a row a group: its split, where the photo is
from, and the digests of its pictures and made copies.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from unicodedata import normalize

from ..errors import UserError
from ..masks.task import MASK, OTHER_NAMES
from ..task import Task
from ..words import listed

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **{name: "train" for name in ("train", "training", "trainset", "trainingset")},
    **{name: "val" for name in ("val", "valid", "validation", "dev", "valset", "validationset")},
    **{name: "test" for name in ("test", "testing", "testset", "holdout")},
}


class DataError(UserError):
    """The data folder or its CSV cannot be used."""


@dataclass(frozen=True)
class ClassNames:
    """Which of a task's classes a name stands for.

    `given`: names and the classes that their user says they stand for. Raises DataError where one
    of these is no class of the task.

    >>> ClassNames(MASK).of("MaskWornIncorrectly")
    'mask_weared_incorrect'
    """

    task: Task
    given: Mapping[str, str] = field(default_factory=dict)
    _known: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for old, new in self.given.items():
            if new not in self.task:
                raise DataError(
                    f"--class-map {old}={new} names no class: use {', '.join(self.task.names)}."
                )
        others = {o: name for name in self.task.names for o in OTHER_NAMES.get(name, ())}
        plain = Counter(map(_plain, self.task.names))  # "C" and "C++" are known in full alone
        own = {name: name for name in self.task.names if plain[_plain(name)] == 1}
        known = {_plain(old): new for old, new in {**others, **own, **self.given}.items()}
        object.__setattr__(self, "_known", known)

    def of(self, name: str) -> str | None:
        """The class that a name stands for; None where it is not understood."""
        own = name if name in self.task else self._known.get(_plain(name))
        return self.given.get(name, own)


def known_names(names: Sequence[str]) -> tuple[str, ...]:
    """The mask task's names for these, where all are known to it and differ; else as they are.

    >>> known_names(["Mask", "No Mask"])
    ('with_mask', 'without_mask')
    """
    known = [name for name in map(ClassNames(MASK).of, names) if name]
    return tuple(known) if len({*known}) == len(names) else tuple(names)


def split_of(name: str) -> str | None:
    """The split that a name stands for; None where it is none."""
    return SPLIT_NAMES.get(_plain(name))


def _plain(name: str) -> str:
    """A name without case, blanks, - and _: "With-Mask" and "with_mask" are the same.

    Systems write an "\u00e4" as one sign or as two.
    """
    return "".join(sign for sign in normalize("NFC", name).casefold() if sign.isalnum()) or name


def twins(names: Sequence[str]) -> list[str]:
    """Those of the names that another one is, but for case, blanks, - and _.

    >>> twins(["Cat", "cat", "C", "C++"])
    ['Cat', 'cat']
    """
    plain = [re.sub(r"[\s_-]", "", normalize("NFC", name).casefold()) for name in names]
    return [name for name, own in zip(names, plain, strict=True) if own and plain.count(own) > 1]


def western(text: str) -> str:
    """Bytes that are no UTF-8, as old spreadsheet programs write an accent, read as Windows does.

    >>> western("K\udce4se")
    'K\u00e4se'
    """
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


# --- rows of a CSV, as spreadsheet programs write them


class Row(dict[str, str]):
    """A row of a CSV by its columns' names, and the line that it ends in."""

    line = 0


def read_rows(
    file: Path, columns: Sequence[str], remedy: str, unit: str, error: type[UserError]
) -> list[Row]:
    """The rows of a CSV. Raises `error` where it has none, or lacks a column.

    As spreadsheet programs write them: cells parted by commas, semicolons, tabs or |, in UTF-8 or
    UTF-16, headings in any case, blanks around cells. `remedy` and `unit` (what a row stands for)
    complete the sentence.
    """
    try:
        text = _decoded(file.read_bytes())
        if re.match(r"sep=.\r?\n", text):  # Excel's own first line
            text = text.partition("\n")[2]
        heading = text.partition("\n")[0]
        parted = max(",;\t|", key=heading.count)
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
    lacking = [name for name in columns if name not in names]
    twice = [name for name in columns if names.count(name) > 1]
    if not rows or lacking or twice:
        why = f"has {listed(twice)} twice" if twice else f"lacks {listed(lacking) or 'rows'}"
        raise error(f"{file} {why}: it needs the columns {', '.join(columns)} and a row a {unit}.")
    return rows


def _decoded(content: bytes) -> str:
    utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if utf_16:
        return content.decode("utf-16")
    # utf-8-sig: spreadsheet programs put a mark before the first column's name. A file's name may
    # be any bytes, which stay as they are.
    return content.decode("utf-8-sig", "surrogateescape")


# --- the public Kaggle set, known by its pixels

FACES = Path(__file__).with_name("kaggle_faces.csv")
DIGITS = 10  # of a digest; no two of the set's 8,982 pictures share them


@dataclass(frozen=True)
class KnownFace:
    """What is known of one picture; `augmented` marks a made copy."""

    group: str
    split: str
    source: str
    augmented: bool


@lru_cache(maxsize=1)
def _known_faces() -> dict[str, KnownFace]:
    columns = ("group", "split", "source", "pictures", "copies")
    rows = read_rows(FACES, columns, "install the program anew", "group", DataError)
    return {
        digest: KnownFace(row["group"], row["split"], row["source"], column == "copies")
        for row in rows
        for column in ("pictures", "copies")
        for digest in row[column].split()
    }


def known_face(digest: str) -> KnownFace | None:
    """What is known of a picture with this digest of its pixels (see `digest_of`)."""
    return _known_faces().get(digest[:DIGITS])
