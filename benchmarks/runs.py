"""Trainings of benchmarks: a finished one's scores are kept, an interrupted one goes on."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from tqdm import tqdm

from maskexplain.data.folder import Picture, Pixels, Progress, load_pixels
from maskexplain.errors import UserError
from maskexplain.files import write_json
from maskexplain.train.loop import Training, fit, resume, start
from maskexplain.train.recipe import Recipe


def once(folder: Path, recipe: Recipe, work: Callable[[], dict]) -> dict:
    """The scores of the finished run in `folder`; else what `work` gives, which is kept there.

    Raises UserError where the finished run is of another recipe.
    """
    result = folder / "result.json"
    if not result.is_file():
        write_json(result, {"recipe": recipe.to_dict(), "scores": work()})
    stored = json.loads(result.read_text(encoding="utf-8"))
    if stored["recipe"] != plain(recipe):
        raise UserError(f"{result} is of another recipe: give another --out, or remove it.")
    return stored["scores"]


def plain(recipe: Recipe) -> dict:
    """A recipe as it is read from JSON."""
    return json.loads(json.dumps(recipe.to_dict()))


def train(
    recipe: Recipe,
    train: Pixels,
    val: Sequence[Picture],
    folder: Path,
    data: str,
    bf16: bool = False,
) -> Training:
    """Train in `folder`, or go on there. `data`: the fingerprint of the pictures."""
    last = folder / "last.pt"
    training = resume(recipe, last, data) if last.is_file() else start(recipe, data)
    pixels = load_pixels(val, training.network.transform.size, bar(folder, "decode"))
    pictures = sum(recipe.mix.values()) if recipe.mix else len(train.labels)
    steps = -(-pictures // recipe.batch_size) * recipe.epochs
    done = len(training.history) * steps // recipe.epochs + len(training.begun.losses)
    with tqdm(total=steps, initial=done, desc=folder.name, unit="step", leave=False) as shown:
        return fit(training, train, pixels, folder, bf16, on_step=lambda *step: shown.update())


def bar(folder: Path, what: str) -> Progress:
    """The progress of what a run does before and behind the training."""
    return partial(tqdm, desc=f"{folder.name}: {what}", leave=False)


def cell(values: Sequence[float | None]) -> str:
    """The mean over seeds, with half of the range; a dash where something was not measured."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    spread = f" ± {(max(known) - min(known)) / 2:.3f}" if len(known) > 1 else ""
    return f"{mean(known):.3f}{spread}"
