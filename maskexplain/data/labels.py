"""Labels mended by hand: a CSV of file, old and new class, laid over the data's own labels.

A column `pixels`, the first digits of a digest, finds a picture where its file has another name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..words import counted, listed, printable
from .folder import Picture, Tell, silently
from .names import DIGITS, ClassNames, DataError, Row, read_rows

MENDED = ("file", "old", "new")  # the columns that are read; a list may have others


def mend_labels(
    folders: Mapping[Path, Sequence[Picture]],
    lists: Sequence[Path],
    names: ClassNames,
    tell: Tell = silently,
) -> list[list[Picture]]:
    """The folders' pictures, with the classes that the lists of mended labels give them.

    A row names a picture as its folder's CSV does, or as FOLDER/file where several folders hold
    such a file. `pixels` finds it, and all that show the same, in a folder without a CSV. A row
    without a new class changes nothing, nor does one of a FOLDER that is not given. Raises
    DataError for a file that is not in the data, an unknown class, an old class that is not the
    picture's, a file named twice, and a list of other folders' pictures alone.
    """
    known = _by_name(folders)
    labels: dict[Path, int] = {}
    for file in lists:
        rows = read_rows(file, MENDED, "check --labels", "picture", DataError)
        rows = _given(file, rows, known, tell)
        mended = [found for row in rows for found in _mended(file, row, known, names)]
        for picture, label in mended:
            if labels.setdefault(picture.file, label) != label:
                raise DataError(f"{file} gives {picture.file} two new classes: leave one.")
        files = list(dict.fromkeys(picture.file for picture, _ in mended))
        count = counted(len(files), "label is", "labels are")
        tell(f"{count} mended as {file} says", files)
    return [
        [replace(p, label=labels.get(p.file, p.label)) for p in pictures]
        for pictures in folders.values()
    ]


def _by_name(folders: Mapping[Path, Sequence[Picture]]) -> dict[str, list[Picture]]:
    """The pictures that a name in a list stands for, or the digits of a digest."""
    known: dict[str, list[Picture]] = {}
    for folder, pictures in folders.items():
        for picture in pictures:
            digits = (picture.digest[:DIGITS],) if picture.digest else ()
            for spelling in (*_spellings(folder, picture), *digits):
                known.setdefault(spelling, []).append(picture)
    return known


def _spellings(folder: Path, picture: Picture) -> tuple[str, str]:
    """A picture's name in the CSV of its folder, and with the folder's own name before it."""
    name = picture.file.relative_to(folder).as_posix()
    return name, f"{folder.resolve().name}/{name}"


def _given(file: Path, rows: Sequence[Row], known: Mapping[str, object], tell: Tell) -> list[Row]:
    """The rows but those of folders that are not given: a list may serve several folders.

    Such a row's file is FOLDER/CLASS/NAME at least, and no picture's name begins with its FOLDER.
    """
    begins = {name.partition("/")[0] for name in known}
    parts = [row["file"].replace("\\", "/").split("/") for row in rows]
    own = [
        len(part) < 3 or part[0] in begins or row.get("pixels") in known
        for row, part in zip(rows, parts, strict=True)
    ]
    others = [row["file"] for row, mine in zip(rows, own, strict=True) if not mine]
    if not any(own):
        folders = listed(sorted({printable(part[0]) for part in parts}))
        raise DataError(
            f"{file} names pictures of {folders} alone, which the data lack: "
            "name the data's folder so."
        )
    if others:
        count = counted(len(others), "row is", "rows are")
        tell(f"{count} left out of {file}, of folders that are not given", others)
    return [row for row, mine in zip(rows, own, strict=True) if mine]


def names_in(folders: Mapping[Path, Sequence[Picture]]) -> dict[Path, str]:
    """What a list of mended labels calls each picture's file."""
    several = len(folders) > 1
    return {
        picture.file: _spellings(folder, picture)[several]
        for folder, pictures in folders.items()
        for picture in pictures
    }


def _mended(
    file: Path, row: Row, known: Mapping[str, Sequence[Picture]], names: ClassNames
) -> list[tuple[Picture, int]]:
    """The pictures of a row with their new class; none where the row gives none."""
    where, name = f"{file}, line {row.line},", row["file"].replace("\\", "/")
    found = known.get(name) or known.get(row.get("pixels", ""), ())
    if not found:
        raise DataError(f"{where} names {printable(name)}, which is not in the data: match both.")
    if len(found) > 1 and name in known:
        raise DataError(
            f"{where} names {printable(name)}, which several folders hold: write FOLDER/{name}."
        )
    for column in ("old", "new"):
        if names.of(row[column]) is None and (row[column] or column == "old"):
            raise DataError(
                f"{where} gives {printable(name)} the {column} class {row[column] or 'nothing'}: "
                f"use {', '.join(names.task.names)}."
            )
    old, new = names.of(row["old"]), names.of(row["new"])
    own = {names.task.names[picture.label] for picture in found}
    if own != {old}:
        raise DataError(
            f"{where} gives {printable(name)} the old class {old}, but its class is "
            f"{' and '.join(sorted(own))}: correct the row."
        )
    return [(picture, names.task.index(new)) for picture in found] if new else []
