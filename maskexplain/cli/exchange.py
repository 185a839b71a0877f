"""import and export: versions of other programs, and versions for them."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.folder import Picture, csv_beside, list_pictures, read_crop, select
from ..data.samples import evenly, painted_faces
from ..errors import UserError
from ..exchange.exporting import FORMATS, export_version
from ..exchange.importing import Built, import_version
from ..models.checkpoints import FOLDER, read_checkpoint
from ..models.network import EvaluationTransform
from ..task import Task, task_of_classes
from ..words import listed
from . import add_class_map
from .folders import Remarks, classes_in

FACES = 200  # to compare an exported network on, and to try an imported one with
COMPARE_HELP = "image folder to compare on; default: painted faces"


def add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="TorchScript, state dict or safetensors")
    parser.add_argument("--as", dest="name", required=True, metavar="NAME")
    parser.add_argument("--network", help="such as torchvision:resnet18; default: found out")
    parser.add_argument("--size", type=int, help="side of its pictures; default: as published")
    parser.add_argument("--mean", type=float, nargs=3, help="of red, green, blue, 0..1")
    parser.add_argument("--std", type=float, nargs=3)
    parser.add_argument("--layer", help="what is explained; default: the last map")
    parser.add_argument("--whole", action="store_true", help="its pictures show no single faces")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="the order of its outputs")
    parser.add_argument(
        "--data", type=Path, help="image folder that tells whether the order is right"
    )
    add_class_map(parser)
    parser.add_argument("--replace", action="store_true", help="in place of a version of that name")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: checkpoints/")
    parser.set_defaults(run=import_command)


def add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data", type=Path, help=COMPARE_HELP)
    add_class_map(parser)
    parser.set_defaults(run=export_command)


def import_command(args: argparse.Namespace) -> None:
    """Make a version of somebody else's file, and say what could be checked."""
    count, built = 0, _built(args)

    def labelled(names: Sequence[str] | None) -> tuple[Task, list[Picture]]:
        nonlocal count
        class_map = dict(args.class_map)
        task = task_of_classes(names or classes_in(args.data, class_map))
        pictures = _labelled(args.data, task, class_map)
        count = len(pictures)
        return task, pictures

    done = import_version(
        args.file,
        args.name,
        args.classes,
        args.replace,
        labelled if args.data else None,
        args.folder,
        built,
    )
    print(f"{done.path}: network {done.network}, classes {', '.join(done.classes)}")
    print(f"The order of the classes is from {done.source}.")
    if done.told:
        pairs = zip(done.told, done.classes, strict=True)
        print(f"Class names are read: {listed([f'{told} as {name}' for told, name in pairs])}.")
    if all(name.isdecimal() for name in done.classes):
        print("These are numbers: --classes gives them names, in this order.")
    print(_goes_in(done.transform))
    if done.last:
        print(f"Its last layer is {done.last}, right behind {done.place}.")
    if done.passed_over:
        print(f"Weights of {done.place or 'the top'}; passed over: {', '.join(done.passed_over)}")
    if done.fit:
        print(f"{done.fit.balanced_accuracy:.1%} balanced accuracy on {count} pictures")


def _goes_in(transform: EvaluationTransform) -> str:
    """How a picture goes in: nothing in a file tells it."""
    mean, std = (" ".join(f"{v:g}" for v in values) for values in (transform.mean, transform.std))
    return (
        f"Pictures go in at {transform.size} x {transform.size}, mean {mean}, std {std}. Where it "
        "was trained otherwise, give --size, --mean and --std: its answers depend on them."
    )


def _built(args: argparse.Namespace) -> Built:
    """What was said of the network. Raises UserError for what no picture can have."""
    if args.size is not None and not 16 <= args.size <= 1024:
        raise UserError("--size must be from 16 to 1024.")
    if args.std and min(args.std) <= 0:
        raise UserError("--std must be three numbers over 0.")
    mean, std = (tuple(three) if three else None for three in (args.mean, args.std))
    return Built(args.network, args.size, mean, std, args.layer, not args.whole)


def _labelled(folder: Path, task: Task, class_map: Mapping[str, str]) -> list[Picture]:
    """Labelled faces of a data folder, evenly from its test split (without a CSV: from all)."""
    csv_file = csv_beside(folder)
    pictures = list_pictures(folder, csv_file, task, class_map, Remarks())
    return evenly(select(pictures, "test" if csv_file else "all"), FACES)


def export_command(args: argparse.Namespace) -> None:
    """Write a version as TorchScript or ONNX, compared with the version on 200 faces."""
    if args.data:
        task = read_checkpoint(args.name).task
        pictures = _labelled(args.data, task, dict(args.class_map))
        crops, what = [read_crop(p.file) for p in pictures], "real faces"
    else:
        crops, what = painted_faces(FACES), "painted faces (--data DIR takes real ones)"
    done = export_version(args.name, args.format, args.out, crops)
    print(f"{done.path}: largest logit difference {done.difference:.2g} on {done.faces} {what}")
