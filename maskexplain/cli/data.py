"""data: what is in an image folder: classes, groups, copies, what cannot be read; and its CSV."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from ..data.copies import csv_text, join_copies, sheet
from ..data.folder import list_pictures
from ..data.names import ClassNames
from ..data.survey import counts_table, readable
from ..errors import UserError
from ..exchange.importing import task_of_classes
from ..files import write_file
from ..masks.task import MASK
from ..models.version import open_model
from ..task import Task
from ..train.pretrained import imagenet_features
from .folders import Remarks, add_folder_options, bar, classes_in

OUT_HELP = "the CSV; default: DIR.csv beside DIR, which training reads"
MODEL_HELP = "the version whose classes the folder holds; default: the folder's own"


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--replace", action="store_true", help="write over a CSV that is there")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="default: DIR.jpg beside DIR")
    parser.add_argument("--model", help=MODEL_HELP)
    add_folder_options(parser)
    parser.set_defaults(run=data_command)


def _task_of(folder: Path, class_map: Mapping[str, str]) -> Task:
    """The mask task where all its classes are there, or nothing is; else the folder's classes."""
    names = classes_in(folder, class_map)
    known = {ClassNames(MASK).of(name) for name in names}
    return MASK if known >= {*MASK.names} or len(names) < 2 else task_of_classes(names)


def data_command(args: argparse.Namespace) -> None:
    """Find copies, say what is in the folder, and write the CSV and a sheet of large groups."""
    folder = args.folder.resolve()
    task = open_model(args.model).task if args.model else _task_of(folder, dict(args.class_map))
    out = args.out or folder.with_name(f"{folder.name}.csv")
    place = args.sheet or folder.with_name(f"{folder.name}.jpg")
    for file in (out, place) if not args.replace else ():
        if file.exists():
            raise UserError(f"{file} is there already: name another place, or give --replace.")
    features, remarks, checked = imagenet_features(), Remarks(), bar("check")
    listed = list_pictures(folder, None, task, dict(args.class_map), remarks, checked)
    opened = readable(listed, args.skip, remarks, checked)
    pictures = join_copies(folder, opened, features, task, bar("compare", ""))
    print(counts_table(pictures, task))
    groups = len({picture.group for picture in pictures})
    print(f"{len(pictures) - groups} pictures show what others show: {groups} groups")
    largest = sheet(pictures)
    if largest is not None:
        write_file(place, lambda beside: largest.save(beside, format="JPEG", quality=90))
        print(f"{place}: the largest groups, a row each")
    content = csv_text(folder, pictures, task).encode("utf-8", "surrogateescape")
    write_file(out, lambda beside: beside.write_bytes(content))
    print(f"{out}: what training reads, {len(pictures)} pictures")
