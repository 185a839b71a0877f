"""import and export: versions of other programs, and versions for them."""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..data.folder import (
    Picture,
    csv_beside,
    default_split,
    list_pictures,
    read_crop,
    select,
)
from ..data.samples import evenly, painted_faces
from ..errors import UserError
from ..exchange.class_order import OrderFit, are_numbers
from ..exchange.forms import Built
from ..exchange.versions import FORMATS, Imported, export_version, import_version
from ..files import check_writable
from ..models.checkpoints import FOLDER, find_version, read_checkpoint
from ..models.network import EvaluationTransform
from ..models.own_head import words_of
from ..models.results import Results, Unsure
from ..task import Task, task_of_classes
from ..train.finish import fit_confidence
from ..train.recipe import Recipe
from ..words import listed, printable
from . import add_class_map
from .folders import Remarks, bar, own_classes

FACES = 200  # to compare an exported network on, and to try an imported one with
FIT_MOST = 600  # pictures that the doubt is fitted on: more change little
FIT_FEWEST = 50  # of them; fewer tell nothing of answers that are wrong once in 200
HEAD_HELP = "what lies between its last layers (relu), or all of them (linear 512 relu linear)"
COMPARE_HELP = "image folder to compare on; default: painted faces"


def add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="TorchScript, state dict or safetensors")
    parser.add_argument("--as", dest="name", required=True, metavar="NAME")
    parser.add_argument("--network", help="such as torchvision:resnet18; default: found out")
    parser.add_argument("--size", type=int, help="side of its pictures; default: as published")
    parser.add_argument("--mean", type=float, nargs="+", help="of red, green, blue, or one; 0..1")
    parser.add_argument("--std", type=float, nargs="+")
    parser.add_argument("--head", nargs="+", metavar="WORD", help=HEAD_HELP)
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
    built = _built(args)
    data = _Labelled(args.data, dict(args.class_map)) if args.data else None
    done = import_version(
        args.file,
        args.name,
        args.classes,
        args.replace,
        data.order if data else None,
        args.folder,
        built,
        data.doubt if data else None,
    )
    print("\n".join([*_told(done), *_doubt(done.measured, data, done.fit)]))


class _Labelled:
    """The pictures of --data: val, or, of a folder that nobody has parted, all but test."""

    def __init__(self, folder: Path, class_map: Mapping[str, str]) -> None:
        self.folder = folder
        self.class_map = class_map
        self.checked: list[Picture] = []
        self.fitted: list[Picture] = []

    def order(self, names: Sequence[str] | None) -> tuple[Task, list[Picture]]:
        """The task, and the pictures that the order of its classes is held against."""
        task = task_of_classes(names or own_classes(self.folder, self.class_map))
        csv_file = csv_beside(self.folder)
        pictures = list_pictures(self.folder, csv_file, task, self.class_map, Remarks())
        parted = default_split(self.folder, pictures) == "test"
        own = [p for p in pictures if (p.split == "val" if parted else p.split != "test")]
        self.checked = evenly(own or pictures, FACES)
        self.fitted = evenly([p for p in own if not p.augmented], FIT_MOST)
        return task, self.checked

    def doubt(self, network: nn.Module, task: Task) -> tuple[float, Results]:
        """Temperature and threshold as a training fits them; 1 and none on too few pictures."""
        if len(self.fitted) < FIT_FEWEST:
            return 1.0, Results()
        val = [replace(picture, split="val") for picture in self.fitted]
        found = fit_confidence(network, val, Recipe.sure, bar("fit"))
        name = printable(self.folder.resolve().name)
        unsure = Unsure(found.threshold, found.val, folder=name)
        return found.temperature, Results(temperature=found.temperature, unsure=unsure)


def _told(done: Imported) -> Iterator[str]:
    """What became of a file, a line each."""
    yield f"{done.path}: network {done.network}, classes {', '.join(done.classes)}"
    yield f"The order of the classes is from {done.source}."
    if done.told:
        pairs = zip(done.told, done.classes, strict=True)
        yield f"Class names are read: {listed([f'{told} as {name}' for told, name in pairs])}."
    if are_numbers(done.classes):
        yield "These are numbers: --classes gives them names, in this order."
    yield _goes_in(done.transform, done.gray)
    if done.own_head:
        yield f"Its last layers, in place of {done.own_head.place}: {done.own_head.words}."
    if done.last:
        yield f"Its last layer is {done.last}, right behind {done.place}."
    if done.passed_over:
        yield f"Weights of {done.place or 'the top'}; passed over: {', '.join(done.passed_over)}"


def _doubt(measured: Results, data: _Labelled | None, fit: OrderFit | None) -> Iterator[str]:
    """What the labelled pictures said of its answers."""
    if data is None:
        yield (
            "Its doubt was not fitted: no answer will count as unsure, and a probability is as its "
            "training left it. Labelled pictures, --data DIR, fit both."
        )
        return
    if fit:
        yield f"{fit.balanced_accuracy:.1%} balanced accuracy on {len(data.checked)} pictures"
    count, unsure = len(data.fitted), measured.unsure
    if unsure is None or unsure.val is None:
        yield (
            f"Its doubt was not fitted: {data.folder} has {count} pictures for it, test left out, "
            f"and {FIT_FEWEST} are needed."
        )
        return
    val = unsure.val
    yield (
        f"Its doubt was fitted on {count} pictures, none of them test: temperature "
        f"{measured.temperature:.2f}, unsure under {val.threshold:.1%}."
    )
    yield (
        f"So it is sure of {val.coverage:.0%} of them, and right on {val.accuracy:.1%} of these. "
        "Pictures that it was trained on make it too sure: then give others."
    )


def _goes_in(transform: EvaluationTransform, gray: bool) -> str:
    """How a picture goes in: nothing in a file tells it."""
    three = transform.mean, transform.std
    mean, std = (" ".join(f"{v:g}" for v in (values[:1] if gray else values)) for values in three)
    return (
        f"Pictures go in {'gray, ' * gray}at {transform.size} x {transform.size}, mean {mean}, "
        f"std {std}. Where it was trained otherwise, give --size, --mean and --std: its answers "
        "depend on them."
    )


def _built(args: argparse.Namespace) -> Built:
    """What was said of the network. Raises UserError for what no picture can have."""
    if args.size is not None and not 16 <= args.size <= 1024:
        raise UserError("--size must be from 16 to 1024.")
    if args.mean and not all(0 <= value <= 1 for value in args.mean):
        raise UserError("--mean must be numbers from 0 to 1: divide those of 0 to 255 by 255.")
    if args.std and not all(0 < value < math.inf for value in args.std):
        raise UserError("--std must be numbers over 0: divide those of 0 to 255 by 255.")
    return Built(
        args.network,
        args.size,
        _three("--mean", args.mean),
        _three("--std", args.std),
        args.layer,
        not args.whole,
        words_of(args.head) if args.head else None,
    )


def _three(option: str, given: Sequence[float] | None) -> tuple[float, float, float] | None:
    """A number for each colour; one stands for all. Raises UserError."""
    if given is None:
        return None
    if len(given) not in (1, 3):
        raise UserError(f"{option} must be one number, or three: of red, green and blue.")
    red, green, blue = given if len(given) == 3 else [*given] * 3
    return red, green, blue


def export_command(args: argparse.Namespace) -> None:
    """Write a version as TorchScript or ONNX, compared with the version on 200 faces."""
    find_version(args.name)  # before faces are painted
    check_writable(args.out)
    if args.data:
        task = read_checkpoint(args.name).task
        class_map, csv_file = dict(args.class_map), csv_beside(args.data)
        every = list_pictures(args.data, csv_file, task, class_map, Remarks())
        pictures = evenly(select(every, "test" if csv_file else "all"), FACES)
        crops, what = [read_crop(p.file) for p in pictures], "real faces"
    else:
        crops, what = painted_faces(FACES), "painted faces (--data DIR takes real ones)"
    done = export_version(args.name, args.format, args.out, crops)
    print(f"{done.path}: largest logit difference {done.difference:.2g} on {done.faces} {what}")
