"""What the commands that read folders share: their options, what is said of a folder, progress."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from ..data.folder import Picture, Progress, class_folders, list_all_pictures
from ..data.labels import mend_labels
from ..data.names import ClassNames, known_names
from ..data.survey import some
from ..errors import UserError
from ..files import on_one_line
from ..task import Task
from ..words import listed
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
