"""data: what is in an image folder: classes, groups, copies, what cannot be read; and its CSV."""

import argparse
from pathlib import Path

from ..data.copies import csv_text, join_copies, sheet
from ..data.folder import list_pictures
from ..data.survey import counts_table, readable
from ..errors import UserError
from ..files import write_file
from ..masks.task import MASK
from ..models.version import open_model
from ..train.pretrained import imagenet_features
from .folders import Remarks, add_folder_options, bar

OUT_HELP = "the CSV; default: DIR.csv beside DIR, which training reads"
MODEL_HELP = "the version whose classes the folder holds; default: those of the mask task"


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--replace", action="store_true", help="write over a CSV that is there")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="default: DIR.jpg beside DIR")
    parser.add_argument("--model", help=MODEL_HELP)
    add_folder_options(parser)
    parser.set_defaults(run=data_command)


def data_command(args: argparse.Namespace) -> None:
    """Find copies, say what is in the folder, and write the CSV and a sheet of large groups."""
    task, folder = open_model(args.model).task if args.model else MASK, args.folder.resolve()
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
