"""What the commands that read folders share: their options, what is said of a folder, progress."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from ..data.folder import (
    Picture,
    Progress,
    check_folder,
    class_folders,
    csv_beside,
    csv_classes,
    list_all_pictures,
)
from ..data.names import ClassNames, DataError, known_names, split_of, twins
from ..data.survey import some
from ..errors import UserError
from ..files import on_one_line
from ..masks.task import MASK
from ..results.labels import mend_labels
from ..task import MAX_CLASSES, MIN_CLASSES, Task
from ..words import counted, listed
from . import add_class_map

LINE_EVERY = 30.0  # seconds, where progress is told in lines
SKIP_HELP = "go on without pictures that cannot be read, or that lie in two splits or classes"
LABELS_HELP = "mended labels, a CSV of file, old, new (see data --suspects); may be repeated"


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    add_class_map(parser)
    parser.add_argument("--skip", action="store_true", help=SKIP_HELP)
    parser.add_argument(
        "--labels", type=Path, action="append", default=[], metavar="FILE", help=LABELS_HELP
    )


def listed_pictures(
    args: argparse.Namespace, task: Task, remarks: "Remarks"
) -> list[list[Picture]]:
    """The pictures of each folder of --data, with --labels mended. Raises DataError."""
    mapped, folders = dict(args.class_map), args.data
    if len({folder.resolve().name for folder in folders}) < len(folders):
        raise UserError("Two of the data folders have the same name: rename one.")
    lists = list_all_pictures(folders, args.csv or [], task, mapped, remarks, bar("check"))
    pairs = dict(zip(folders, lists, strict=True))
    return mend_labels(pairs, args.labels, ClassNames(task, mapped), remarks)


def classes_in(folder: Path, class_map: Mapping[str, str]) -> list[str]:
    """The classes of an image folder, by the mask task's names where all are known to it."""
    return [*known_names(class_folders(folder, class_map))]


def own_classes(
    folder: Path, class_map: Mapping[str, str], csv_file: Path | None = None
) -> list[str]:
    """The same, or, of pictures in no folders of classes, those that the CSV names.

    Raises DataError, which says what to do, where these are no classes of a version.
    """
    check_folder(folder)
    names, csv_file = class_folders(folder, class_map), csv_file or csv_beside(folder)
    if len(names) < MIN_CLASSES and csv_file:
        names = csv_classes(csv_file, class_map)
    known = {*map(ClassNames(MASK).of, names)}
    if known == {*MASK.names}:  # in several folders each, such as Mask and with_mask
        return [*MASK.names]
    if len(names) < MIN_CLASSES:
        raise DataError(f"{_too_few(folder, names)}.")
    same = [on_one_line(name) for name in twins(names)]
    if same:
        raise DataError(
            f"{folder} has {listed(same)}, which count as one name (case, blanks, - and _ do "
            f"not count): rename them, or join them by --class-map {same[0]}={same[1]}."
        )
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{folder} has {len(names)} folders of classes, and a version answers {MIN_CLASSES} to "
            f"{MAX_CLASSES}: move some out, or join some by --class-map OLD=NEW."
        )
    return [*known_names(names)]


def _too_few(folder: Path, names: Sequence[str]) -> str:
    """What an image folder with fewer than two classes is, and what to do."""
    inner = [name for name in names if len(class_folders(folder / name)) >= MIN_CLASSES]
    if inner:
        return (
            f"{folder} has one folder, {inner[0]}, and the classes in it: give {folder / inner[0]}"
        )
    below = sorted(path.name for path in folder.iterdir() if path.is_dir())
    splits = [name for name in below if split_of(name)]
    if splits:
        maps = " ".join(f"--class-map {name}={name}" for name in splits)
        return (
            f"{folder} has too few classes. A folder {' or '.join(splits)} is a split: put folders "
            f"of classes into it, or make it a class by {maps}"
        )
    return (
        f"{folder} has {counted(len(names), 'class', 'classes')}, and a version answers "
        f"{MIN_CLASSES} to {MAX_CLASSES}: put the pictures of each class into a folder of its own"
    )


@dataclass
class Remarks:
    """Says what is left out of the data, on stderr: the first names each. All are kept."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, sentence: str, names: Sequence[object] = ()) -> None:
        self.lines.append(
            ": ".join(filter(None, (sentence, listed([*map(on_one_line, names)])))) + "."
        )
        print(": ".join(filter(None, (sentence, some(names)))) + ".", file=sys.stderr)


def bar(what: str, unit: str = "picture") -> Progress:
    """A progress bar on stderr where that is a terminal, gone when it ends."""
    return partial(tqdm, desc=what, unit=unit, leave=False, disable=None)


class Meter:
    """Pictures done and the time left, on stderr: a bar on a terminal, else a line now and then.

    `done` of the `total` were done before. Use it in a `with`.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._before, self._done = total, done, done
        self._begun = self._told = monotonic()
        self._bar = tqdm(total=total, initial=done, unit="picture", disable=None)

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def add(self, count: int) -> None:
        """So many more are done."""
        self._bar.update(count)
        self._done += count
        if self._bar.disable and monotonic() - self._told >= LINE_EVERY:
            self._told = monotonic()
            print(self.line, file=sys.stderr, flush=True)

    @property
    def line(self) -> str:
        """`1,024 of 9,000 pictures, 12:30 left`."""
        seconds = (monotonic() - self._begun) / max(1, self._done - self._before)
        left = tqdm.format_interval(seconds * (self._total - self._done))
        return f"{self._done:,} of {self._total:,} pictures, {left} left"
