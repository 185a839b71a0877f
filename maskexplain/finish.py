"""From a finished training to a version: weights in half precision and measured results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch
from torch import nn

from .checkpoints import read_checkpoint, write_results, write_weights
from .data import Picture, Progress, load_pixels, quietly, select
from .draw import confusion_figure, history_figure
from .evaluate import evaluate, logits_of
from .files import write_file
from .training import Training


@dataclass(frozen=True)
class HalfPrecision:
    """What storing half precision changed on `pictures` test pictures."""

    pictures: int
    same_answers: int
    largest_logit_difference: float


def finish(
    training: Training,
    pictures: Sequence[Picture],
    data_name: str,
    folder: Path,
    out: Path,
    progress: Progress = quietly,
) -> str:
    """Write `out`/NAME.safetensors and NAME.json of the best epoch; returns a summary to print.

    Measured on the test split, with the half-precision weights as they are shipped.
    """
    recipe = training.recipe
    full = read_checkpoint(folder / "best.safetensors").network
    write_weights(folder / "half.safetensors", full, recipe.network, half=True)
    shipped = read_checkpoint(folder / "half.safetensors").network
    test = select(pictures, "test")
    evaluation = evaluate(shipped, test, progress)
    half = compare(full, shipped, load_pixels(test, full.transform.size, progress).pixels)
    results = {
        "name": recipe.name,
        "recipe": recipe.to_dict(),
        "epochs": len(training.history),
        "best_epoch": training.best["epoch"],
        "data": {"name": data_name, "pictures": _counts(pictures)},
        "date": date.today().isoformat(),
        "split": "test",
        **evaluation.to_dict(),
        "half_precision": asdict(half),
        "history": training.history,
    }
    # Only now: weights and the figures that belong to them change together.
    path = out / f"{recipe.name}.safetensors"
    write_weights(path, full, recipe.network, half=True)
    write_results(path, results)
    _draw(results, folder)
    return _summary(path, results)


@torch.inference_mode()
def compare(full: nn.Module, half: nn.Module, pixels: torch.Tensor) -> HalfPrecision:
    """Answers of the two networks on the same pixels (uint8 N x 3 x S x S)."""
    a, b = logits_of(full, pixels), logits_of(half, pixels)
    same = int((a.argmax(1) == b.argmax(1)).sum())
    return HalfPrecision(len(pixels), same, (a - b).abs().max().item())


def _counts(pictures: Sequence[Picture]) -> dict[str, int]:
    return {split: sum(p.split == split for p in pictures) for split in ("train", "val", "test")}


def _draw(results: dict, folder: Path) -> None:
    title = f"{results['name']}, {results['split']}: {results['balanced_accuracy']:.3f} balanced"
    matrix = results["confusion_matrix"]
    write_file(folder / "history.png", lambda beside: history_figure(results["history"], beside))
    write_file(
        folder / "confusion_matrix.png", lambda beside: confusion_figure(matrix, title, beside)
    )


def _summary(path: Path, results: dict) -> str:
    shifts = ", ".join(f"{k} {v['balanced_accuracy']:.3f}" for k, v in results["shifts"].items())
    half = results["half_precision"]
    return (
        f"{path} written: best epoch {results['best_epoch']} of {results['epochs']}; balanced "
        f"accuracy on test {results['balanced_accuracy']:.3f} ({shifts}); half precision answers "
        f"{half['same_answers']} of {half['pictures']} test pictures as full precision does."
    )
