"""data: what is in an image folder: classes, groups, copies, what cannot be read, and its CSV.

With --suspects: which of its labels are contradicted, as a sheet and as a list to mend by hand.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from ..data.folder import decoded_once, list_pictures
from ..data.names import ClassNames
from ..data.survey import (
    counts_table,
    csv_text,
    features_of,
    join_copies,
    readable,
    sheet,
    tell_of_two_classes,
)
from ..errors import UserError
from ..files import write_file, write_text
from ..masks.task import MASK
from ..models.version import Model, open_model
from ..results.labels import Features, find_suspects, names_in, penultimate, suspects_csv
from ..task import Task, task_of_classes
from ..train.recipe import imagenet_features
from ..web.report import sheet_html
from ..words import counted, listed, printable
from .folders import Remarks, add_folder_options, bar, classes_in, listed_pictures, own_classes

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
    published = imagenet_features()

    @torch.inference_mode()
    def run(pixels: torch.Tensor) -> torch.Tensor:
        return features_of(pixels, published)

    return run, FINE, "a network that ImageNet trained"
