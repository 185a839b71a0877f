"""data: what is in an image folder: classes, groups, copies, what cannot be read, and its CSV.

With --suspects: which of its labels are contradicted, as a sheet and as a list to mend by hand.
First what the commands that read folders share: their options, what is said of a folder, progress.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from tqdm import tqdm

from ..data.folder import (
    Picture,
    Progress,
    check_folder,
    class_folders,
    csv_beside,
    csv_classes,
    decoded_once,
    list_all_pictures,
    list_pictures,
)
from ..data.names import ClassNames, DataError, known_names, split_of, twins
from ..data.survey import (
    counts_table,
    csv_text,
    features_of,
    join_copies,
    readable,
    sheet,
    some,
    tell_of_two_classes,
)
from ..errors import UserError
from ..files import on_one_line, write_file, write_text
from ..masks.task import MASK
from ..models.version import Model, open_model
from ..results.labels import (
    Features,
    find_suspects,
    mend_labels,
    names_in,
    penultimate,
    suspects_csv,
)
from ..task import MAX_CLASSES, MIN_CLASSES, Task, task_of_classes
from ..web.report import sheet_html
from ..words import counted, listed, printable
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


# --- the command data

# Pixels a side that ImageNet's features are taken from: with 128 fewer flipped labels were found.
FINE = 192
DIR_HELP = "an image folder; with --suspects also several, whose labels tell of each other's"
OUT_HELP = (
    "the CSV; default: DIR.csv beside DIR, which training reads; of suspects DIR_suspects.csv"
)
SHEET_HELP = "default: DIR.jpg beside DIR; of suspects DIR_suspects.html"
MODEL_HELP = (
    "the version whose classes the folder holds, and on whose features suspects are looked for; "
    "default: the folder's own classes, and ImageNet's features"
)
SUSPECTS_HELP = "rank the pictures whose labels the others contradict, in place of finding copies"


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, nargs="+", metavar="DIR", help=DIR_HELP)
    parser.add_argument("--suspects", action="store_true", help=SUSPECTS_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--replace", action="store_true", help="write over files that are there")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=SHEET_HELP)
    parser.add_argument("--model", help=MODEL_HELP)
    add_folder_options(parser)
    parser.set_defaults(run=data_command, csv=None)


def _task_of(folder: Path, class_map: Mapping[str, str]) -> Task:
    """The mask task where all its classes are there; else the folder's classes."""
    known = {ClassNames(MASK).of(name) for name in classes_in(folder, class_map)}
    return MASK if known >= {*MASK.names} else task_of_classes(own_classes(folder, class_map))


@decoded_once()
def data_command(args: argparse.Namespace) -> None:
    """Find copies, or suspects among the labels; write a CSV and a sheet of them."""
    model = open_model(args.model) if args.model else None
    task = model.task if model else _task_of(args.data[0], dict(args.class_map))
    if args.suspects:
        _find_suspects(args, task, model)
    elif len(args.data) > 1:
        raise UserError("Copies are found in one folder: give one, or --suspects.")
    elif args.labels:
        raise UserError("--labels goes with --suspects, and with train, evaluate and report.")
    else:
        _find_copies(args, task)


def _places(args: argparse.Namespace, folder: Path, out: str, sheet: str) -> tuple[Path, Path]:
    """Where the CSV and the sheet go. Raises UserError for a file that is there already."""
    places = (args.out or folder.with_name(out), args.sheet or folder.with_name(sheet))
    for file in places if not args.replace else ():
        if file.exists():
            raise UserError(f"{file} is there already: name another place, or give --replace.")
    return places


def _find_copies(args: argparse.Namespace, task: Task) -> None:
    from ..train.recipe import imagenet_features  # brings torchvision: 150 MB and a second

    folder = args.data[0].resolve()
    out, place = _places(args, folder, f"{folder.name}.csv", f"{folder.name}.jpg")
    features, remarks, checked = imagenet_features(), Remarks(), bar("check")
    found = list_pictures(folder, None, task, dict(args.class_map), remarks, checked)
    opened = readable(found, args.skip, remarks, checked)
    tell_of_two_classes(opened, remarks)
    pictures = join_copies(folder, opened, features, task, bar("compare", ""))
    print(counts_table(pictures, task))
    groups = len({picture.group for picture in pictures})
    copies = counted(len(pictures) - groups, "picture shows", "pictures show")
    print(f"{copies} what others show: {groups} groups")
    largest = sheet(pictures)
    if largest is not None:
        write_file(place, lambda beside: largest.save(beside, format="JPEG", quality=90))
        print(f"{place}: the largest groups, a row each")
    content = csv_text(folder, pictures, task).encode("utf-8", "surrogateescape")
    write_file(out, lambda beside: beside.write_bytes(content))
    print(f"{out}: what training reads, {len(pictures)} pictures")


def _find_suspects(args: argparse.Namespace, task: Task, model: Model | None) -> None:
    first, remarks = args.data[0].resolve(), Remarks()
    out, place = _places(args, first, f"{first.name}_suspects.csv", f"{first.name}_suspects.html")
    run, size, whose = _features(model)
    lists = listed_pictures(args, task, remarks)
    plain = [picture for pictures in lists for picture in pictures if not picture.augmented]
    pictures = readable(plain, args.skip, remarks, bar("check"))
    suspects = find_suspects(pictures, run, size, task, bar("compare", ""))
    print(f"{len(suspects)} of {len(pictures)} pictures have a label that the others contradict")
    data = listed([printable(folder.resolve().name) for folder in args.data])
    words = {"data": data, "csv": printable(out.name), "features": whose}
    write_text(place, sheet_html(suspects, task, checked=len(pictures), **words))
    print(f"{place}: the most contradicted first")
    names = names_in(dict(zip(args.data, lists, strict=True)))
    content = suspects_csv(suspects, [names[one.picture.file] for one in suspects], task).encode(
        "utf-8", "surrogateescape"
    )
    write_file(out, lambda beside: beside.write_bytes(content))
    print(f"{out}: write right classes under “new”, then train --labels {printable(out.name)}")


def _features(model: Model | None) -> tuple[Features, int, str]:
    """What gives features, the pictures' side for it, and whose features they are."""
    if model:
        return penultimate(model.network), model.network.transform.size, model.name
    from ..train.recipe import imagenet_features  # as above

    published = imagenet_features()

    @torch.inference_mode()
    def run(pixels: torch.Tensor) -> torch.Tensor:
        return features_of(pixels, published)

    return run, FINE, "a network that ImageNet trained"
