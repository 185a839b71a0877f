"""What v3 owes to each of its ingredients:  python -m benchmarks.ablation --data DIR

Trains v3's recipe shortened, whole and with each ingredient left out once, and scores every
network on the val split (never on test). Every finished run is kept in --out and skipped by the
next start; an interrupted one goes on. Prints a Markdown table of balanced accuracies.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from tqdm import tqdm

from maskexplain.dataset.data import (
    Picture,
    csv_beside,
    fingerprint,
    list_pictures,
    load_pixels,
    select,
)
from maskexplain.errors import UserError
from maskexplain.files import write_json
from maskexplain.measuring.evaluate import Evaluation, evaluate
from maskexplain.memory import keep_memory
from maskexplain.training.loop import fit, resume, start
from maskexplain.training.mix import load_mixed
from maskexplain.training.recipes import AUGMENTS, RECIPES, TRAIN_SIZE, Recipe
from maskexplain.training.vary import vary

Change = Callable[[Recipe], Recipe]
STEPS = ("cover", "place", "detail", "light", "noise", "compression")
COPIES = "the data's own copies used"


def _without_paintings(recipe: Recipe) -> Recipe:
    """Real faces only, as many a class as before."""
    instead = {"right": "real/with_mask"}
    mix: dict[str, int] = {}
    for name, count in recipe.mix.items():
        kind, _, position = name.partition("/")
        real = instead.get(position, "real/mask_weared_incorrect") if kind == "painted" else name
        mix[real] = mix.get(real, 0) + count
    return replace(recipe, mix=mix, paint={})


def _without_step(step: str, recipe: Recipe) -> Recipe:
    return replace(recipe, augment=f"vary without {step}")


VARIANTS: dict[str, Change] = {
    "everything": lambda recipe: recipe,
    "no ImageNet start": lambda recipe: replace(recipe, start=None),
    "no painted masks": _without_paintings,
    COPIES: lambda recipe: recipe,
    **{f"no {step}": partial(_without_step, step) for step in STEPS},
    "constant learning rate": lambda recipe: replace(recipe, warm_up=None),
    "no averaged weights": lambda recipe: replace(recipe, average=None),
    "no label smoothing": lambda recipe: replace(recipe, label_smoothing=0.0),
    "no focus on the middle": lambda recipe: replace(recipe, focus=0.0, hide=0.0),
    "no hidden middles": lambda recipe: replace(recipe, hide=0.0),
}
COLUMNS = ("unaugmented", "dark_35", "gray", "blurred", "jpeg_20", "turned_15", "painted")


def run(variant: str, seed: int, args: argparse.Namespace, pictures: Sequence[Picture]) -> dict:
    """Train and score one variant, or read its result where it is finished."""
    folder = args.out / f"{variant.replace(' ', '_')}.{seed}"
    result = folder / "result.json"
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    recipe = VARIANTS[variant](shortened(seed, args.epochs, args.share))
    train, val = select(pictures, "train"), _unaugmented(select(pictures, "val"))
    if variant == COPIES:
        train = [replace(p, augmented=False) for p in train]
    network = _train(recipe, train, val, folder, args.out / "painted.safetensors")
    scores = _row(evaluate(network, val))
    write_json(result, scores)
    return scores


def _unaugmented(pictures: Sequence[Picture]) -> list[Picture]:
    return [p for p in pictures if not p.augmented]


def shortened(seed: int, epochs: int, share: float) -> Recipe:
    """v3's recipe with fewer epochs, each of a share of the pictures."""
    whole = RECIPES["v3"]
    mix = {name: max(1, round(count * share)) for name, count in whole.mix.items()}
    # A short training needs a running mean that forgets the beginning sooner.
    return replace(whole, seed=seed, epochs=epochs, mix=mix, average=0.98)


def _train(
    recipe: Recipe,
    train: Sequence[Picture],
    val: Sequence[Picture],
    folder: Path,
    paintings: Path,
) -> torch.nn.Module:
    bar = partial(tqdm, desc=f"{folder.name}: decode and paint", leave=False)
    # The paintings are the same for all variants and seeds, so they are painted once.
    cache = paintings if recipe.paint else folder / "none.safetensors"
    mixed = load_mixed(train, TRAIN_SIZE, recipe.paint, RECIPES["v3"].seed, cache, bar)
    data, last = fingerprint([*train, *val]), folder / "last.pt"
    training = resume(recipe, last, data) if last.is_file() else start(recipe, data)
    pixels = load_pixels(val, training.network.transform.size, bar)
    steps = -(-sum(recipe.mix.values()) // recipe.batch_size) * recipe.epochs
    with tqdm(total=steps, desc=folder.name, unit="step", leave=False) as progress:
        fit(training, mixed, pixels, folder, on_step=lambda *step: progress.update())
    return training.answering


def _row(evaluation: Evaluation) -> dict[str, float]:
    shifts = {name: s.balanced_accuracy for name, s in evaluation.shifts.items()}
    return {**shifts, "painted": evaluation.painted.scores.balanced_accuracy}


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Means over the seeds as Markdown, with half of the range where there are several."""
    lines = [["Left out", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    lines += [
        [name, *(_cell([r[c] for r in runs]) for c in COLUMNS)] for name, runs in rows.items()
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(values: list[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="image folder, its CSV beside")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.5, help="of an epoch's pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args(arguments)
    keep_memory()
    for step in STEPS:
        AUGMENTS[f"vary without {step}"] = partial(vary, without=(step,))
    pictures = list_pictures(args.data, csv_beside(args.data))
    rows: dict[str, list[dict[str, float]]] = {}
    for name in args.only:
        rows[name] = [run(name, seed, args, pictures) for seed in args.seeds]
        print(table({name: rows[name]}).splitlines()[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"ablation: {error}", file=sys.stderr)
        sys.exit(2)
