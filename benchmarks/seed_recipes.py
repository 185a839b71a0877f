"""v1's and v2's recipes varied:  python -m benchmarks.seed_recipes --data DIR

What a random split pretends, beside the split by face; and what v2's class weight for badly worn
masks does. Each variant trains as `train.py` does, keeps its best epoch on val and is scored on
test, where nothing is chosen. The shipped v1 and v2 stand for their own runs, where DIR is what
they learned from. Every finished run is kept in --out and skipped by the next start; an interrupted
one goes on. Prints two tables in Markdown.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch

from benchmarks import runs
from maskexplain.data.folder import (
    Picture,
    csv_beside,
    fingerprint,
    list_pictures,
    load_pixels,
    select,
    split_at_random,
)
from maskexplain.errors import UserError
from maskexplain.masks.task import MASK
from maskexplain.memory import keep_memory
from maskexplain.models.checkpoints import SHIPPED, read_checkpoint
from maskexplain.models.results import Results, Scores
from maskexplain.results.scores import evaluate
from maskexplain.train.loop import has_bf16
from maskexplain.train.recipe import RECIPES, TRAIN_SIZE, Recipe
from maskexplain.words import markdown_table


@dataclass(frozen=True)
class Variant:
    """A version's recipe, the split that it trains on, and its weight for badly worn masks."""

    version: str
    split: str = "group"
    weight: float | None = None  # None for the recipe's own

    def recipe(self, run: int, epochs: int | None) -> Recipe:
        """The recipe of the run of this number, from 0: seeds count from the recipe's own on."""
        own = RECIPES[self.version]
        incorrect, *others = own.class_weights
        return replace(
            own,
            seed=own.seed + run,
            epochs=epochs or own.epochs,
            class_weights=(self.weight or incorrect, *others),
        )


VARIANTS = {
    "v1 group": Variant("v1"),
    "v1 random": Variant("v1", "random"),
    "v2 weight 2.5": Variant("v2", weight=2.5),
    "v2 group": Variant("v2"),
    "v2 weight 3.5": Variant("v2", weight=3.5),
    "v2 random": Variant("v2", "random"),
}
# The pictures of a data folder under each split. The random one is the same for all seeds.
Splits = dict[str, list[Picture]]
# What one run has on test, by the split whose test pictures these are.
Tested = dict[str, Results]


def run(variant: Variant, folder: Path, recipe: Recipe, data: Path, splits: Splits) -> Tested:
    """Train one variant and score it on test, or read its results where it is finished.

    After a random split it is scored on that split's test pictures and on those of the split by
    face, most of which it then has learned from.
    """
    pictures = splits[variant.split]
    shipped = _shipped(recipe, data, pictures) if variant.split == "group" else None
    if shipped:
        return {"group": shipped}

    def work() -> dict:
        network, show = _train(recipe, pictures, folder), runs.bar(folder, "test")
        tests = {split: select(splits[split], "test") for split in {"group", variant.split}}
        found = {split: evaluate(network, MASK, test, show) for split, test in tests.items()}
        return {split: results.model_dump(mode="json") for split, results in found.items()}

    scores = runs.once(folder, recipe, work)
    return {split: Results.model_validate(found) for split, found in scores.items()}


def _shipped(recipe: Recipe, data: Path, pictures: Sequence[Picture]) -> Results | None:
    """The shipped version's results, where they are of this recipe and these pictures."""
    results = read_checkpoint(recipe.name, SHIPPED).results
    used, told = results.data, (results.recipe or {}).items()
    counts = {split: len(select(pictures, split)) for split in ("train", "val", "test")}
    same = used is not None and (used.name, used.pictures) == (data.resolve().name, counts)
    return results if same and told <= runs.plain(recipe).items() else None


def _train(recipe: Recipe, pictures: Sequence[Picture], folder: Path) -> torch.nn.Module:
    """The network of the best epoch on val."""
    train = load_pixels(select(pictures, "train"), TRAIN_SIZE, runs.bar(folder, "decode"))
    val, data = select(pictures, "val"), fingerprint(pictures)
    runs.train(recipe, train, val, folder, data, has_bf16())
    return read_checkpoint(folder / "best.safetensors").network


# --- tables

CLASS_COLUMNS = [f"`{name}`" for name in MASK.names]
LEAK = ["Recipe", "Trained by split", "Test pictures", "In train, too", "Balanced", *CLASS_COLUMNS]
SHIFTS = {"unaugmented": "As taken", "dark_35": "Dark (35%)", "gray": "Gray"}
WEIGHTS = ["Weight", "Seeds", "Balanced", *CLASS_COLUMNS, *SHIFTS.values()]


def leak_table(done: dict[str, list[Tested]], splits: Splits) -> str:
    """v1 and v2 after either split, on all test pictures and on those as taken.

    "In train, too": how many of the test pictures show a face, or a photo, that the training saw.
    """
    rows = []
    for name, own in done.items():
        variant = VARIANTS[name]
        if variant.weight:
            continue
        seen = {p.group for p in splits[variant.split] if p.split == "train"}
        for split in sorted(own[0], key=lambda split: split != variant.split):
            test = select(splits[split], "test")
            for what, scores, pictures in _parts([tested[split] for tested in own], test):
                known = f"{sum(p.group in seen for p in pictures)} of {len(pictures)}"
                begin = [variant.version, variant.split, f"{split}, {what}", known]
                rows.append([*begin, *_recalls(scores)])
    return markdown_table(LEAK, rows)


def _parts(
    results: Sequence[Results], test: Sequence[Picture]
) -> list[tuple[str, list[Scores], list[Picture]]]:
    """All test pictures and the un-augmented ones: how they are called, their scores, and they."""
    plain = [r.shift("unaugmented") for r in results]
    return [
        ("all", [s for r in results if (s := r.scores)], list(test)),
        ("as taken", [s for s in plain if s], [p for p in test if not p.augmented]),
    ]


def weights_table(done: dict[str, list[Tested]]) -> str:
    """v2 by its weight for badly worn masks, on the test pictures of the split by face."""
    rows = []
    for name, own in done.items():
        variant = VARIANTS[name]
        if (variant.version, variant.split) != ("v2", "group"):
            continue
        results = [tested["group"] for tested in own]
        shifts = [
            runs.cell([s.balanced_accuracy for r in results if (s := r.shift(shift))])
            for shift in SHIFTS
        ]
        weight = variant.recipe(0, None).class_weights[0]
        scores = [s for r in results if (s := r.scores)]
        rows.append([f"{weight:g}", str(len(own)), *_recalls(scores), *shifts])
    return markdown_table(WEIGHTS, rows)


def _recalls(scores: Sequence[Scores]) -> list[str]:
    """Balanced accuracy and each class's recall, with its count of right answers and pictures."""
    cells = [runs.cell([s.balanced_accuracy for s in scores])]
    for name in MASK.names:
        found = [s.per_class[name] for s in scores]
        right = f"{mean(r.right for r in found):g}/{found[0].total}"
        cells.append(f"{runs.cell([r.recall for r in found])} ({right})")
    return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="image folder, its CSV beside")
    parser.add_argument("--out", type=Path, default=Path("runs/seed_recipes"))
    parser.add_argument("--epochs", type=int, help="the recipes' own by default")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from the recipe's own on")
    parser.add_argument("--threads", type=int, help="of the processor; all by default")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_memory()
    pictures = list_pictures(args.data, csv_beside(args.data))
    splits = {"group": pictures, "random": split_at_random(pictures)}
    done: dict[str, list[Tested]] = {name: [] for name in args.only}
    for name, number in [(n, i) for i in range(args.seeds) for n in args.only]:
        recipe = VARIANTS[name].recipe(number, args.epochs)
        folder = args.out / f"{name.replace(' ', '_')}.{recipe.seed}"
        done[name].append(run(VARIANTS[name], folder, recipe, args.data, splits))
        print(f"{name}, seed {recipe.seed}: done", flush=True)
    print(f"\n{leak_table(done, splits)}\n\n{weights_table(done)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"seed_recipes: {error}", file=sys.stderr)
        sys.exit(2)
