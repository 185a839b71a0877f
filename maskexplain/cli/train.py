"""train: one version from its recipe, as `maskexplain train v2 --data DIR`.

DIR is an image folder with the three classes. Splits come from --csv (or DIR.csv where it is
there); without one they are made by content. An interrupted training goes on where it stopped.
While it runs, runs/NAME/ holds last.pt, best.safetensors (full precision), history.json and, for
recipes with painted masks, painted.safetensors (kept for the next start); at the end come
history.png, confusion_matrix.png and, in checkpoints/, NAME.safetensors (half precision) and
NAME.json (the measured results). A recipe's teachers, where it has some, are trained
first, each in a folder below runs/v3/. Another --seed has a folder there, too, and the same
teachers and paintings.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..data.folder import (
    Picture,
    Pixels,
    Progress,
    fingerprint,
    list_all_pictures,
    load_pixels,
    select,
)
from ..errors import UserError
from ..memory import keep_memory
from ..models.checkpoints import FOLDER
from ..models.results import Epoch
from ..models.version import open_model
from ..train.finish import finish
from ..train.loop import Training, fit, has_bf16, resume, start
from ..train.mix import load_mixed
from ..train.recipe import RECIPES, TRAIN_SIZE, Recipe

STOPPED = "stopped; the same command (without --fresh) goes on from the last epoch."
PAINTED = "painted.safetensors"
DATA_HELP = "image folder; may be repeated: the first one is tested in full"
CSV_HELP = "file, class, split, group, augmented; as often as --data, or not at all"
SEED_HELP = "default: the recipe's; others train in runs/NAME/seedSEED/: give them their own --out"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of train.py, which are this command's."""
    parser = argparse.ArgumentParser(description="Train one version from its recipe.")
    add_train(parser)
    return parser.parse_args(arguments)


def add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", choices=RECIPES)
    parser.add_argument("--data", type=Path, required=True, action="append", help=DATA_HELP)
    parser.add_argument("--csv", type=Path, action="append", help=CSV_HELP)
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: checkpoints/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="default: runs/")
    parser.add_argument("--epochs", type=int, help="default: the recipe's; the teachers' too")
    parser.add_argument("--seed", type=int, help=SEED_HELP)
    parser.add_argument("--fresh", action="store_true", help="do not resume, teachers neither")
    parser.add_argument("--threads", type=int, help="torch threads; default: torch's choice")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.set_defaults(run=main, stopped=STOPPED)


def main(args: argparse.Namespace) -> None:
    if args.epochs is not None and args.epochs < 1:
        raise UserError("--epochs must be 1 or more.")
    if args.seed is not None and not 0 <= args.seed < 2**32:
        raise UserError("--seed must be a whole number from 0 to 4294967295.")
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_memory()
    recipe, root = _recipe(args), args.runs / args.version
    usual = recipe.seed == RECIPES[args.version].seed
    folder = root if usual else root / f"seed{recipe.seed}"
    folders = list_all_pictures(args.data, args.csv or [], recipe.task)
    pictures = [picture for folder_pictures in folders for picture in folder_pictures]
    data = fingerprint(pictures)
    if args.fresh:
        start(recipe)  # it raises before anything is removed
        _forget(root, folder)
    training = _open(recipe, folder, data)
    if _unfinished(training):
        bf16 = args.precision == "bf16" or (args.precision == "auto" and has_bf16())
        _train(training, pictures, root, folder, bf16)
    names = [path.resolve().name for path in args.data]
    named = dict(zip(names, folders, strict=True))
    print(finish(training, named, folder, args.out, _bar("test")))


def _recipe(args: argparse.Namespace) -> Recipe:
    """The version's recipe with the seed and the epochs that were asked for."""
    recipe = RECIPES[args.version]
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    if args.epochs is None:
        return recipe
    teachers = tuple(replace(teacher, epochs=args.epochs) for teacher in recipe.teachers)
    return replace(recipe, epochs=args.epochs, teachers=teachers)


def _forget(root: Path, folder: Path) -> None:
    """Remove what would be gone on with.

    For a seed of its own that is its state; else all states, since all learned from the same
    teachers, and the paintings.
    """
    files = [*folder.glob("last.pt")]
    if folder == root:
        files = [*root.glob("**/last.pt"), root / PAINTED]
    for file in files:
        file.unlink(missing_ok=True)


def _open(recipe: Recipe, folder: Path, data: str, exact: bool = False) -> Training:
    """The training in the folder as far as it went, or a new one."""
    last = folder / "last.pt"
    return resume(recipe, last, data, exact) if last.is_file() else start(recipe, data)


def _unfinished(training: Training) -> bool:
    return len(training.history) < training.recipe.epochs


def _train(
    training: Training, pictures: list[Picture], root: Path, folder: Path, bf16: bool
) -> None:
    """Train in `folder`; before that, in folders below `root`, what is missing of the teachers."""
    recipe, size, decode = training.recipe, training.network.transform.size, _bar("decode")
    # What cannot be resumed is an error before anything is trained, as is an unreadable picture.
    teachers = [_open(t, root / t.name, training.data, exact=True) for t in recipe.teachers]
    splits = [select(pictures, split) for split in ("train", "val", "test")]
    train = _load(recipe, splits[0], root)
    val, _ = (load_pixels(split, size, decode) for split in splits[1:])
    for teacher in teachers:
        place = root / teacher.recipe.name
        if _unfinished(teacher):
            _fit(teacher, train, val, place, bf16)
        training.teachers.append(open_model(place / "best.safetensors").network)
    _fit(training, train, val, folder, bf16)


def _load(recipe: Recipe, pictures: list[Picture], root: Path) -> Pixels:
    """The training pictures, with painted ones where the recipe wants them."""
    if not recipe.mix:
        return load_pixels(pictures, TRAIN_SIZE, _bar("decode"))
    # Other seeds train on the same paintings: their spread is the training's.
    paint, seed = recipe.paint or {}, RECIPES[recipe.name].seed
    return load_mixed(pictures, TRAIN_SIZE, paint, seed, root / PAINTED, _bar("decode and paint"))


def _fit(training: Training, train: Pixels, val: Pixels, folder: Path, bf16: bool) -> None:
    mix = training.recipe.mix
    steps = -(-(sum(mix.values()) if mix else len(train.labels)) // training.recipe.batch_size)
    epochs = training.recipe.epochs
    with tqdm(total=epochs * steps, initial=len(training.history) * steps, unit="step") as bar:

        def on_step(epoch: int, loss: float, rate: float) -> None:
            bar.set_description(f"{training.recipe.name}, epoch {epoch + 1}/{epochs}")
            bar.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.1e}", refresh=False)
            bar.update()

        def on_epoch(line: Epoch) -> None:
            bar.write(
                f"{training.recipe.name}, epoch {line.epoch}: train loss {line.train_loss:.4f}, "
                f"val loss {line.val_loss:.4f}, val balanced accuracy "
                f"{line.val_balanced_accuracy:.4f}, lr {line.learning_rate:.1e}, {line.seconds} s"
            )

        fit(training, train, val, folder, bf16, on_step, on_epoch)


def _bar(what: str) -> Progress:
    return lambda items: tqdm(items, desc=what, unit="picture", leave=False)
