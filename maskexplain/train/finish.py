"""What a training leaves: a version, weights in half precision and measured results; its figures.

The figures are pictures of the curves, and an epoch's scores for TensorBoard.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import copyfile
from textwrap import fill
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.folder import Picture, Progress, load_pixels, quietly, select
from ..errors import UserError
from ..explain.draw import LABEL
from ..files import unwritable, write_file
from ..models.checkpoints import read_checkpoint, write_results, write_weights
from ..models.network import divide_by_temperature
from ..models.results import DataUsed, Epoch, HalfPrecision, Results, Threshold, Unsure
from ..results.scores import (
    at_threshold,
    choose_threshold,
    evaluate,
    evaluate_folders,
    fit_temperature,
    logits_of,
)
from ..task import Task
from .loop import OnEpoch, Training
from .siblings import Made, best_network


@dataclass(frozen=True)
class Fitted:
    """What val says about a network's confidence: its temperature and its "unsure" threshold."""

    temperature: float = 1.0
    val: Threshold | None = None

    @property
    def threshold(self) -> float:
        return self.val.threshold if self.val else 0.0

    @property
    def results(self) -> Results:
        """Its part of the results."""
        if self.val is None:
            return Results()
        return Results(temperature=self.temperature, unsure=Unsure(self.threshold, self.val))


def finish(
    training: Training,
    folders: Mapping[str, Sequence[Picture]],
    folder: Path,
    out: Path,
    progress: Progress = quietly,
    name: str = "",
    at_random: bool = False,
    mean: Made | None = None,
) -> str:
    """Write `out`/NAME.safetensors and NAME.json of the best epoch; returns a summary to print.

    Measured on the test split, with the half-precision weights as they are shipped. `folders`: the
    data folders' pictures by their names; the first one is measured in full, the others in short.
    `name`: the version's, by default the recipe's. `at_random`: how the splits were drawn.
    `mean`: what ships in the training's own place. Raises TrainingError where best.safetensors is
    not what the training wrote.
    """
    recipe, name = training.recipe, name or training.recipe.name
    pictures = [picture for listed in folders.values() for picture in listed]
    made = mean or Made(best_network(training, folder), training.kept)
    full, origin = made.network, f"{training.digest}-{made.kept}"
    fitted = Fitted()
    if recipe.calibrate:
        fitted = fit_confidence(full, pictures, recipe.sure, progress)
    half_file = folder / "half.safetensors"
    write_weights(half_file, full, recipe.network, recipe.task, True, fitted.temperature, origin)
    shipped = read_checkpoint(half_file).network
    tests = {name: select(listed, "test") for name, listed in folders.items()}
    first, *others = tests
    test = tests[first]
    calibrated = (fitted.temperature, fitted.threshold)
    evaluation = evaluate(shipped, recipe.task, test, progress, *calibrated)
    more = {name: tests[name] for name in others}
    short = evaluate_folders(shipped, recipe.task, more, progress, *calibrated)
    divide_by_temperature(full, fitted.temperature)
    half = compare(full, shipped, load_pixels(test, full.transform.size, progress).pixels)
    results = Results(
        name=name,
        recipe=recipe.to_dict(),
        training=origin,
        epochs=len(training.history),
        best_epoch=training.best.epoch,
        data=DataUsed(tuple(folders), _counts(pictures), at_random),
        date=date.today().isoformat(),
        split="test",
        others=short or None,
        half_precision=half,
        history=training.history,
    )
    results = results.including(evaluation).including(fitted.results)
    # Only now: weights and the figures that belong to them change together.
    path = out / f"{name}.safetensors"
    write_file(path, lambda beside: copyfile(half_file, beside))
    write_results(path, results)
    _draw(results, recipe.task, folder)
    return _summary(path, results)


def fit_confidence(
    network: nn.Module, pictures: Sequence[Picture], sure: float, progress: Progress = quietly
) -> Fitted:
    """Fit temperature and threshold on val's un-augmented pictures; the network is left as it is.

    Copies do not count: a third of val's pictures are copies of a dozen faces, and a few of these,
    answered wrongly some forty times each, would decide alone.
    """
    faces = [p for p in select(pictures, "val") if not p.augmented]
    val = load_pixels(faces, network.transform.size, progress)
    logits = logits_of(network, val.pixels)
    temperature = fit_temperature(logits, val.labels)
    calibrated = logits / temperature
    threshold = choose_threshold(calibrated, val.labels, sure)
    return Fitted(temperature, at_threshold(calibrated, val.labels, threshold))


@torch.inference_mode()
def compare(full: nn.Module, half: nn.Module, pixels: torch.Tensor) -> HalfPrecision:
    """Answers of the two networks on the same pixels (uint8 N x 3 x S x S)."""
    a, b = logits_of(full, pixels), logits_of(half, pixels)
    same = int((a.argmax(1) == b.argmax(1)).sum())
    return HalfPrecision(len(pixels), same, (a - b).abs().max().item())


def _counts(pictures: Sequence[Picture]) -> dict[str, int]:
    return {split: sum(p.split == split for p in pictures) for split in ("train", "val", "test")}


def _draw(results: Results, task: Task, folder: Path) -> None:
    title = f"{results.name}, {results.split}: {results.balanced_accuracy:.3f} balanced"
    history, matrix = results.history or [], results.confusion_matrix or []
    write_file(folder / "history.png", lambda beside: history_figure(history, task, beside))
    write_file(
        folder / "confusion_matrix.png",
        lambda beside: confusion_figure(matrix, task, title, beside),
    )


def history_figure(history: Sequence[Epoch], task: Task, path: Path) -> None:
    """Write the training curves as PNG: losses left, balanced accuracy and recalls right."""
    from matplotlib.figure import Figure  # a fifth of a second, which --help can do without

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [line.epoch for line in history]
    left.plot(epochs, [line.train_loss for line in history], label="train")
    left.plot(epochs, [line.val_loss for line in history], label="val")
    left.set(xlabel="epoch", ylabel="loss")
    for one in task.classes:
        recalls = [line.val_recall[one.name] for line in history]
        right.plot(epochs, recalls, color=one.colour, label=f"recall, {one.name[:40]}")
    balanced = [line.val_balanced_accuracy for line in history]
    right.plot(epochs, balanced, color="black", linewidth=2, label="balanced accuracy")
    right.set(xlabel="epoch", ylabel="on val", ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, format="png")


def confusion_figure(matrix: list[list[int]], task: Task, title: str, path: Path) -> None:
    """Write a confusion matrix (counts; rows true, columns answered) as PNG."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [fill(one.title, LABEL) for one in task.classes]
    axes.set_xticks(range(len(task)), names)
    axes.set_yticks(range(len(task)), names)
    axes.set(xlabel="answered", ylabel="true", title=title)
    figure.savefig(path, dpi=110, format="png")


def _summary(path: Path, results: Results) -> str:
    shifts = (results.shifts or {}).items()
    listed = ", ".join(f"{name} {scores.balanced_accuracy:.3f}" for name, scores in shifts)
    half = results.half_precision
    same = f"{half.same_answers} of {half.pictures}" if half else "none"
    trainings = (results.recipe or {}).get("trainings", 1)
    mean = f" of the first of {trainings} trainings, whose mean it is" if trainings > 1 else ""
    return (
        f"{path} written: best epoch {results.best_epoch} of {results.epochs}{mean}; balanced "
        f"accuracy on test {results.balanced_accuracy:.3f} ({listed}); half precision answers "
        f"{same} test pictures as full precision does."
    )


PREFIX = "events.out.tfevents."  # of the files that TensorBoard reads


def check_tensorboard() -> None:
    """Raise UserError where the package is missing."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(
            'TensorBoard is not installed: pip install "maskexplain[tensorboard]", or leave out '
            "--tensorboard."
        ) from error


@contextmanager
def written_to(folder: Path, history: Sequence[Epoch]) -> Iterator[OnEpoch]:
    """Gives what writes an epoch's figures into the folder, where `history` is written first.

    What the folder held is written anew: a resumed training has every epoch once. Raises UserError
    where it cannot be written.
    """
    # Not by SummaryWriter: its thread tells of a full disk by a traceback.
    from torch.utils.tensorboard import RecordWriter

    path = folder / f"{PREFIX}{int(time.time())}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PREFIX}*"):
            old.unlink()
        with path.open("wb", buffering=0) as file:
            writer = RecordWriter(file)

            def write(line: Epoch) -> None:
                for record in _records(line):
                    writer.write(record)

            writer.write(_event(file_version="brain.Event:2"))
            for line in history:
                write(line)
            yield write
    except OSError as error:
        raise unwritable(path, error) from error


def _records(line: Epoch) -> list[bytes]:
    """An epoch's figures as TensorBoard's files hold them."""
    from torch.utils.tensorboard.summary import scalar

    figures = _figures(line).items()
    return [_event(step=line.epoch, summary=scalar(name, value)) for name, value in figures]


def _event(**content: Any) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), **content).SerializeToString()


def _figures(line: Epoch) -> dict[str, float]:
    return {
        "loss/train": line.train_loss,
        "loss/val": line.val_loss,
        "val/balanced accuracy": line.val_balanced_accuracy,
        **{f"val/recall {name}": share for name, share in line.val_recall.items()},
        "learning rate": line.learning_rate,
    }
