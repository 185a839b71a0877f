"""train: one version from its recipe, as `maskexplain train v2 --data DIR`.

DIR is an image folder with the three classes. Splits come from --csv (or DIR.csv where it is
there); without one they are made by content. The version made is called my_v2, or as --name says.
An interrupted training goes on where it stopped. torchrun starts it in several processes:
torchrun --nproc-per-node 2 train.py v2 --data DIR
While it runs, runs/v2/NAME/ holds last.pt, best.safetensors (full precision) and history.json; at
the end come history.png, confusion_matrix.png and, in checkpoints/, NAME.safetensors (half
precision) and NAME.json (the measured results). What trainings of one recipe share lies in
runs/v2/: painting/ (the painted masks) and a folder for each of its teachers.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..data.folder import (
    Picture,
    Pixels,
    decoded_once,
    fingerprint,
    let_go,
    load_pixels,
    select,
    split_at_random,
)
from ..data.survey import counts_table, ready_to_train
from ..errors import UserError
from ..files import alone_in, check_writable, clear_half_written, write_text
from ..memory import keep_memory, release_memory
from ..models.checkpoints import FOLDER, CheckpointError, free_place, training_of
from ..models.results import Epoch
from ..models.version import Model, open_model
from ..task import Task, task_of_classes, task_of_names
from ..train import processes
from ..train.finish import check_tensorboard, finish, written_to
from ..train.loop import OnEpoch, Training, fit, has_bf16, resume, start, weights_digest
from ..train.mix import load_mixed
from ..train.recipe import RECIPES, TRAIN_SIZE, Recipe, own_recipe
from ..train.siblings import Made, mean_of, sibling_recipes, start_sibling, training_folders
from ..web.report import measure_report, report_html
from ..words import listed, printable
from . import add_device
from .folders import Remarks, add_folder_options, bar, listed_pictures, own_classes

STOPPED = "stopped; the same command (without --fresh) goes on from what was saved last."
LAST, PAINTED = "last.pt", "painting/painted.safetensors"
DATA_HELP = "image folder; may be repeated: the first one is tested in full"
CSV_HELP = "file, class, split, group, augmented; as often as --data, or not at all"
VERSION_HELP = f"{', '.join(RECIPES)}; with --network the name of your own"
NAME_HELP = "of the version made; default: my_VERSION, with --seed my_VERSION_seedSEED"
SPLIT_HELP = "random: copies of a face lie in several splits, which inflates the scores"
BATCH_HELP = "of all processes together; default: the recipe's"
PRECISION_HELP = "auto: bf16 where the recipe wants it and the CPU has it"
AT_RANDOM = (
    "The pictures are split at random: copies of a face lie in train and in test, and the scores "
    "are inflated"
)
OTHERS = "The processes were given different {}: give all of them the same."
TENSORBOARD_HELP = "write each epoch's figures for it into the run's tensorboard/"
REPLACE_HELP = "in place of a version of that name, a shipped one too"


def add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help=VERSION_HELP)
    parser.add_argument("--network", help="of your own version, such as torchvision:resnet18")
    parser.add_argument("--whole", action="store_true", help="its pictures show no single faces")
    parser.add_argument("--data", type=Path, required=True, action="append", help=DATA_HELP)
    parser.add_argument("--csv", type=Path, action="append", help=CSV_HELP)
    add_folder_options(parser)
    parser.add_argument("--split", choices=("group", "random"), default="group", help=SPLIT_HELP)
    parser.add_argument("--name", help=NAME_HELP)
    parser.add_argument("--replace", action="store_true", help=REPLACE_HELP)
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: checkpoints/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: runs/")
    parser.add_argument("--epochs", type=int, help="of each network; default: the recipe's")
    parser.add_argument("--batch-size", type=int, help=BATCH_HELP)
    parser.add_argument("--seed", type=int, help="default: the recipe's")
    parser.add_argument("--fresh", action="store_true", help="start over, the teachers too")
    parser.add_argument("--threads", type=int, help="processors to use; default: PyTorch's choice")
    add_device(parser, default="auto")
    parser.add_argument(
        "--precision", choices=("auto", "bf16", "fp32"), default="auto", help=PRECISION_HELP
    )
    parser.add_argument("--tensorboard", action="store_true", help=TENSORBOARD_HELP)
    parser.set_defaults(run=main, stopped=STOPPED)


def main(args: argparse.Namespace) -> None:
    """Train, in torchrun's processes together where it started several."""
    with processes.together(), decoded_once():
        _main(args)


def _main(args: argparse.Namespace) -> None:
    _check_options(args)
    device = processes.own_device(args.device)
    bf16 = _wants_bf16(args.precision, device)
    if device.type != "cpu":
        print(f"Training runs on {device}.")
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_memory()
    task = _own_task(args) if args.network else _known(args.version).task
    remarks = Remarks()
    folders = _folders(args, task, remarks)
    pictures = [picture for listed in folders.values() for picture in listed]
    recipe = _recipe(args, task, pictures)
    root = args.runs / recipe.name
    name = args.name or _own_name(recipe, args)
    data = fingerprint(pictures)
    begun = start(recipe, data)  # what is missing for it raises before anything is removed
    if not processes.agree(begun.digest):
        raise UserError(OTHERS.format("pictures or options"))
    place = free_place(name, args.replace or _made_by(begun, args.out, name), args.out)
    folder = _own_folder(recipe, root, name)
    with _alone(folder):
        if processes.is_first():
            check_writable(place)
            clear_half_written(args.out, f"{name}.*")
            if args.fresh:
                _forget(recipe, root, folder)
            told = [counts_table(pictures, recipe.task), *remarks.lines]
            write_text(folder / "data.txt", "\n".join(told))
        processes.wait()
        trainings = _open_all(recipe, folder, data, device)
        mean = None
        if len(trainings) > 1 or _unfinished(trainings[0]):
            mean = _train(trainings, pictures, root, folder, bf16, args.tensorboard)
        if processes.is_first():
            at_random, to, first = args.split == "random", place.parent, trainings[0]
            print(finish(first, folders, folder, to, bar("test"), name, at_random, mean))
            print(_report(open_model(place), folders, folder / "report.html"))


def _report(model: Model, folders: Mapping[str, Sequence[Picture]], place: Path) -> str:
    """Write the page of a version that was just measured; a sentence on where it is."""
    pictures = [picture for part in folders.values() for picture in part]
    names = model.results.data.name if model.results.data else listed([*folders])
    report = measure_report(model, names, "test", select(pictures, "test"), pictures, bar("report"))
    write_text(place, report_html(report))
    return f"{place}: all of it on one page"


def _folders(args: argparse.Namespace, task: Task, remarks: Remarks) -> dict[str, list[Picture]]:
    """The pictures to train on, by their folders' names; what is wrong with any is said first."""
    lists = listed_pictures(args, task, remarks)
    names = [printable(path.resolve().name) for path in args.data]
    every = [picture for pictures in lists for picture in pictures]
    ready = ready_to_train(every, task, args.skip, remarks, bar("check"))
    if args.split == "random":
        ready = split_at_random(ready, args.seed or 0)
        remarks(AT_RANDOM)
    print(counts_table(ready, task))
    kept = {picture.file: picture for picture in ready}
    pairs = zip(names, lists, strict=True)
    return {name: [kept[p.file] for p in listed if p.file in kept] for name, listed in pairs}


def _check_options(args: argparse.Namespace) -> None:
    if args.epochs is not None and args.epochs < 1:
        raise UserError("--epochs must be 1 or more.")
    if args.threads is not None and args.threads < 1:
        raise UserError("--threads must be 1 or more.")
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError("--batch-size must be 1 or more.")
    if args.seed is not None and not 0 <= args.seed < 2**32:
        raise UserError("--seed must be a whole number from 0 to 4294967295.")
    if args.tensorboard:
        check_tensorboard()


def _wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether bf16 is used where a recipe wants it; on GPUs only where it is asked for."""
    if precision == "bf16" and device.type != "cpu" and not has_bf16(device):
        raise UserError(f"The device {device} has no bf16: leave out --precision.")
    return precision == "bf16" or (precision == "auto" and device.type == "cpu" and has_bf16())


def _own_name(recipe: Recipe, args: argparse.Namespace) -> str:
    """The version's name, as its options say; one's own network's is given."""
    if args.network:
        return args.version
    random = "_random" if args.split == "random" else ""
    seed = "" if recipe.seed == RECIPES[args.version].seed else f"_seed{recipe.seed}"
    return f"my_{args.version}{random}{seed}"


def _made_by(training: Training, out: Path, name: str) -> bool:
    """Whether the version of this name is what this very training made before."""
    try:
        return training_of(out / f"{name}.safetensors").startswith(f"{training.digest}-")
    except CheckpointError:
        return False


def _own_folder(recipe: Recipe, root: Path, name: str) -> Path:
    """Where the training is kept. Raises UserError for a name of what is kept beside it."""
    beside = {Path(PAINTED).parts[0], *(teacher.name for teacher in recipe.teachers)}
    if name.casefold() in {one.casefold() for one in beside}:
        raise UserError(f"{root / name} holds what trainings share: give this one another --name.")
    return root / name


def _alone(folder: Path) -> AbstractContextManager[None]:
    """The folder's lock, which the first process holds for all."""
    busy = f"Another training works in {folder}: wait for it, or give this one its own --name."
    return alone_in(folder, busy) if processes.is_first() else nullcontext()


def _known(version: str) -> Recipe:
    if version not in RECIPES:
        known = ", ".join(RECIPES)
        raise UserError(f"There is no recipe {version}: use {known}, or give a --network.")
    return RECIPES[version]


def _own_task(args: argparse.Namespace) -> Task:
    """The classes of the first folder, by the mask task's names where all are known to it."""
    names = own_classes(args.data[0], dict(args.class_map), *(args.csv or [])[:1])
    return task_of_names(names, faces=False) if args.whole else task_of_classes(names)


def _recipe(args: argparse.Namespace, task: Task, pictures: Sequence[Picture]) -> Recipe:
    """The version's recipe with the seed, the epochs and the batches that were asked for."""
    if args.network:
        recipe = own_recipe(args.network, task, pictures)
        origin = "published weights" if recipe.start else "random weights: no others are here"
        print(f"{args.network} for {', '.join(task.names)}, from {origin}.")
    else:
        recipe = RECIPES[args.version]
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    asked = {"epochs": args.epochs, "batch_size": args.batch_size}
    given = {name: value for name, value in asked.items() if value is not None}
    teachers = tuple(replace(teacher, **given) for teacher in recipe.teachers)
    return replace(recipe, **given, teachers=teachers)


def _forget(recipe: Recipe, root: Path, folder: Path) -> None:
    """Remove what would be gone on with: the training's state, its teachers' and the paintings."""
    teachers = (root / teacher.name for teacher in recipe.teachers)
    places = [*training_folders(recipe, folder), *teachers]
    for file in [*(place / LAST for place in places), root / PAINTED]:
        file.unlink(missing_ok=True)


def _open(
    recipe: Recipe, folder: Path, data: str, device: torch.device, exact: bool = False
) -> Training:
    """The training in the folder as far as it went, or a new one."""
    return _resumed(recipe, folder, data, device, exact) or start(recipe, data, device)


def _resumed(
    recipe: Recipe, folder: Path, data: str, device: torch.device, exact: bool = False
) -> Training | None:
    """The training in the folder as far as it went; None where none has begun."""
    last = folder / LAST
    if processes.count() > 1 and not processes.agree(weights_digest(last)):
        raise UserError(OTHERS.format("files of --runs, which must lie on a shared disk"))
    return resume(recipe, last, data, exact, device) if last.is_file() else None


def _open_all(recipe: Recipe, folder: Path, data: str, device: torch.device) -> list[Training]:
    """The training in the folder, and those below it from the same first weights."""
    first, *places = training_folders(recipe, folder)
    trainings = [_open(recipe, first, data, device)]
    for sibling, place in zip(sibling_recipes(recipe), places, strict=True):
        begun = _resumed(sibling, place, data, device)
        trainings.append(begun or start_sibling(sibling, recipe, data, device))
    return trainings


def _unfinished(training: Training) -> bool:
    return len(training.history) < training.recipe.epochs


def _train(
    trainings: Sequence[Training],
    pictures: Sequence[Picture],
    root: Path,
    folder: Path,
    bf16: bool,
    tensorboard: bool,
) -> Made | None:
    """Train in `folder`; before that, in folders below `root`, what is missing of the teachers.

    Returns the mean of several trainings, in the first process.
    """
    first, decode = trainings[0], bar("decode")
    recipe, size, device = first.recipe, first.network.transform.size, first.device
    with ExitStack() as held:
        places = [root / teacher.name for teacher in recipe.teachers]
        for place in places:
            held.enter_context(_alone(place))
        # What cannot be resumed is an error before anything is trained, as is a bad picture.
        pairs = zip(recipe.teachers, places, strict=True)
        teachers = [_open(t, place, first.data, device, exact=True) for t, place in pairs]
        train = _load(recipe, select(pictures, "train"), root)
        val = load_pixels(select(pictures, "val"), size, decode)
        let_go(p for p in pictures if p.split != "test" or not processes.is_first())
        release_memory()
        for teacher, place in zip(teachers, places, strict=True):
            if _unfinished(teacher):
                _fit(teacher, train, val, place, bf16)
        taught_by = [open_model(place / "best.safetensors", device).network for place in places]
    for training, place in zip(trainings, training_folders(recipe, folder), strict=True):
        training.teachers = taught_by
        with _board(training, place, tensorboard) as watch:
            _fit(training, train, val, place, bf16, watch)
    if len(trainings) == 1 or not processes.is_first():
        return None
    return mean_of(trainings, folder, train, bar("measure norms", "batch"))


def _board(training: Training, folder: Path, asked: bool) -> AbstractContextManager[OnEpoch]:
    """What gets every epoch's line: the first process's files for TensorBoard, where asked for."""
    if asked and processes.is_first():
        return written_to(folder / "tensorboard", training.history)
    return nullcontext(_ignore)


def _ignore(line: Epoch) -> None:
    """What gets an epoch's line that nobody watches."""


def _load(recipe: Recipe, pictures: list[Picture], root: Path) -> Pixels:
    """The training pictures, with painted ones where the recipe wants them."""
    if not recipe.mix:
        return load_pixels(pictures, TRAIN_SIZE, bar("decode"))
    # Other seeds train on the same paintings: their spread is the training's.
    paint, seed = recipe.paint or {}, RECIPES[recipe.name].seed
    busy = f"Another training paints in {root}: start this one a little later."
    alone = alone_in((root / PAINTED).parent, busy) if processes.is_first() else nullcontext()
    with processes.one_by_one(), alone:
        return load_mixed(
            pictures, TRAIN_SIZE, paint, seed, root / PAINTED, bar("decode and paint")
        )


def _fit(
    training: Training,
    train: Pixels,
    val: Pixels,
    folder: Path,
    bf16: bool,
    watch: OnEpoch = _ignore,
) -> None:
    mix = training.recipe.mix
    steps = -(-(sum(mix.values()) if mix else len(train.labels)) // training.recipe.batch_size)
    epochs = training.recipe.epochs
    done = len(training.history) * steps + len(training.begun.losses)
    with tqdm(total=epochs * steps, initial=done, unit="step", disable=None) as shown:

        def on_step(epoch: int, loss: float, rate: float) -> None:
            shown.set_description(f"{folder.name}, epoch {epoch + 1}/{epochs}")
            shown.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.1e}", refresh=False)
            shown.update()

        def on_epoch(line: Epoch) -> None:
            watch(line)
            left = tqdm.format_interval((line.seconds or 0) * (epochs - line.epoch))
            shown.write(
                f"{folder.name}, epoch {line.epoch} of {epochs}: train loss {line.train_loss:.4f}, "
                f"val loss {line.val_loss:.4f}, val balanced accuracy "
                f"{line.val_balanced_accuracy:.4f}, lr {line.learning_rate:.1e}, {line.seconds} s; "
                f"{left} left"
            )

        fit(training, train, val, folder, bf16, on_step, on_epoch)
