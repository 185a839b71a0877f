"""What v3 owes to each ingredient of its recipe:  python -m benchmarks.ablation --data DIR

Trains v3's recipe (shortened, without teachers) whole and with each ingredient left out once, and
scores every network on the val split (never on test). Every finished run is kept in --out and
skipped by the next start; an interrupted one goes on. Prints a Markdown table: balanced accuracies,
with --scenes also on faces found on street photos, and, of Grad-CAM, heat for area on nose and
mouth and the share of faces on which blurring by heat beats random orders.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from benchmarks import runs
from maskexplain.data.folder import (
    Picture,
    csv_beside,
    fingerprint,
    list_pictures,
    read_crop,
    select,
)
from maskexplain.errors import UserError
from maskexplain.explain.explain import Way, explain_pass, forward_pass
from maskexplain.explain.faithfulness import curves
from maskexplain.masks.task import MASK
from maskexplain.memory import keep_memory
from maskexplain.models.results import Results
from maskexplain.models.version import Model
from maskexplain.results.explanations import (
    find_landmarks,
    heat_ratio,
    mean_known,
    nose_and_mouth,
    sample_faces,
)
from maskexplain.results.scenes import answer_scenes
from maskexplain.results.scores import evaluate
from maskexplain.train.augment import AUGMENTS, vary
from maskexplain.train.mix import load_mixed, whole_pool
from maskexplain.train.recipe import TRAIN_SIZE, V3, Recipe
from maskexplain.words import markdown_table

Change = Callable[[Recipe], Recipe]
STEPS = ("cover", "place", "detail", "light", "noise", "compression")
COPIES = "the data's own copies used"


def _without_paintings(recipe: Recipe) -> Recipe:
    """Real faces only, as many a class as before."""

    def real(name: str) -> str:
        kind, what, *_ = name.split("/")
        worn = "with_mask" if what == "right" else "mask_weared_incorrect"
        return f"real/{worn}" if kind == "painted" else name

    return replace(recipe, mix=_renamed(recipe.mix, real), paint={})


def _without_sources(recipe: Recipe) -> Recipe:
    """Every class and position drawn evenly, wherever its faces come from."""
    return replace(recipe, mix=_renamed(recipe.mix, whole_pool))


def _renamed(mix: Mapping[str, int], rename: Callable[[str], str]) -> dict[str, int]:
    """The mix with other names; what then has the same one is added up."""
    counts: dict[str, int] = {}
    for name, count in mix.items():
        counts[rename(name)] = counts.get(rename(name), 0) + count
    return counts


def _without_step(step: str, recipe: Recipe) -> Recipe:
    return replace(recipe, augment=f"vary without {step}")


LEFT_OUT: dict[str, Change] = {
    "everything": lambda recipe: recipe,
    "no ImageNet start": lambda recipe: replace(recipe, start=None),
    "no painted masks": _without_paintings,
    "no share of street faces": _without_sources,
    COPIES: lambda recipe: recipe,
    **{f"no {step}": partial(_without_step, step) for step in STEPS},
    "constant learning rate": lambda recipe: replace(recipe, warm_up=None),
    "no averaged weights": lambda recipe: replace(recipe, average=None),
    "no label smoothing": lambda recipe: replace(recipe, label_smoothing=0.0),
    "no focus on the middle": lambda recipe: replace(recipe, focus=0.0, hide=0.0),
    "no hidden middles": lambda recipe: replace(recipe, hide=0.0),
}
COLUMNS = (
    *("unaugmented", "dark_35", "gray", "blurred", "jpeg_20", "turned_15", "painted"),
    *("street", "nose_mouth", "deletion"),
)
FACES = 60  # that are explained


def run(variant: str, seed: int, args: argparse.Namespace, pictures: Sequence[Picture]) -> dict:
    """Train and score one variant, or read its scores where it is finished."""
    folder = args.out / f"{variant.replace(' ', '_')}.{seed}"
    recipe = LEFT_OUT[variant](shortened(seed, args.epochs, args.share))
    train, val = select(pictures, "train"), _unaugmented(select(pictures, "val"))
    if variant == COPIES:
        train = [replace(p, augmented=False) for p in train]

    def work() -> dict:
        network = _train(recipe, train, val, folder, args.out / "painted.safetensors")
        model = Model(variant, network, MASK)
        scores = _row(evaluate(network, MASK, val)) | _looks(model, val)
        if args.scenes:
            scores["street"] = answer_scenes(model, args.scenes, ("val",)).scores.balanced_accuracy
        return scores

    return runs.once(folder, recipe, work)


def _unaugmented(pictures: Sequence[Picture]) -> list[Picture]:
    return [p for p in pictures if not p.augmented]


def shortened(seed: int, epochs: int, share: float) -> Recipe:
    """v3's recipe without teachers, with fewer epochs, each of a share of the pictures."""
    mix = {name: max(1, round(count * share)) for name, count in V3.mix.items()}
    # A short training needs a running mean that forgets the beginning sooner.
    return replace(V3, seed=seed, epochs=epochs, mix=mix, average=0.98, trainings=1)


def _train(
    recipe: Recipe,
    train: Sequence[Picture],
    val: Sequence[Picture],
    folder: Path,
    paintings: Path,
) -> torch.nn.Module:
    # The paintings are the same for all variants and seeds, so they are painted once.
    cache = paintings if recipe.paint else folder / "none.safetensors"
    show = runs.bar(folder, "decode and paint")
    mixed = load_mixed(train, TRAIN_SIZE, recipe.paint, V3.seed, cache, show)
    return runs.train(recipe, mixed, val, folder, fingerprint([*train, *val])).answering


def _row(results: Results) -> dict[str, float]:
    shifts = {name: s.balanced_accuracy for name, s in results.shifts.items()}
    return {**shifts, "painted": results.painted.balanced_accuracy}


def _looks(model: Model, pictures: Sequence[Picture]) -> dict[str, float | None]:
    """Whether Grad-CAM lies on nose and mouth (heat for area), and tells what matters there.

    `deletion`: the share of faces on which blurring by heat beats the mean of random orders.
    """
    ratios, beaten = [], []
    for picture in sample_faces(pictures, FACES, len(MASK)):
        crop = read_crop(picture.file)
        forward = forward_pass(model, [crop])
        explained = explain_pass(forward, [Way("grad_cam")])[0]
        beaten.append(curves(forward, explained)[0].beats_random)
        place = nose_and_mouth(find_landmarks(crop), crop.size)
        ratios.append(heat_ratio(explained[0], place))
    return {"nose_mouth": mean_known(ratios), "deletion": mean(beaten)}


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Means over the seeds as Markdown; a dash without --scenes, or where no face was found."""
    cells = [[n, *(runs.cell([r.get(c) for r in own]) for c in COLUMNS)] for n, own in rows.items()]
    return markdown_table(["Left out", *COLUMNS], cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="image folder, its CSV beside")
    parser.add_argument("--scenes", type=Path, help="folder with scenes/ and scenes.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.5, help="of an epoch's pictures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3])
    parser.add_argument("--only", nargs="+", choices=LEFT_OUT, default=list(LEFT_OUT))
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
