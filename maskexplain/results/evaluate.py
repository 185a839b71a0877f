"""Scores of a network on pictures, also under shifts and with painted masks, and its cost."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from PIL import Image
from torch import nn

from ..data.folder import Picture, Pixels, Progress, load_pixels, quietly
from ..data.painted import PLACES, PaintedFaces, paint_faces
from ..images.edit import SHIFTS
from ..masks.task import BARE, MASK, is_mask
from ..models.network import in_parts
from ..models.results import (
    Cost,
    FolderScores,
    PaintedScores,
    PhotoRecall,
    Results,
    Scores,
)
from ..models.version import Model
from ..task import Task
from .statistics import at_threshold, calibration, recall, score, wilson

# Masks painted a bare face, to see whether the position decides; the rarer ones on every fourth.
PAINTED = {name: place.measured for name, place in PLACES.items() if place.measured}
PAINT_SEED = 0


@torch.inference_mode()
def logits_of(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Logits N x classes (on the CPU) of uint8 pixels N x 3 x S x S, in evaluation mode.

    The pixels must have the network's input size. The mode the network was in is restored.
    """
    was_training = network.training
    device = next(network.parameters()).device
    parts = in_parts(pixels, device)
    network.eval()
    try:
        batches = [network(network.transform.normalise(part.to(device))) for part in parts]
    finally:
        network.train(was_training)
    return torch.cat(batches).cpu()


def evaluate(
    network: nn.Module,
    task: Task,
    pictures: Sequence[Picture],
    progress: Progress = quietly,
    temperature: float = 1.0,
    threshold: float = 0.0,
) -> Results:
    """Score a network on pictures labelled with the task's classes. Raises DataError.

    Scores, calibration and `sure` (what the threshold means) are of all pictures; `shifts` of the
    un-augmented ones as they are and shifted; `painted` of the bare faces among these, where the
    task is about masks. `temperature` is what the network's logits have been divided by,
    `threshold` the confidence below which an answer counts as unsure.
    """
    data = load_pixels(pictures, network.transform.size, progress)
    logits = logits_of(network, data.pixels)
    original = torch.tensor([not p.augmented for p in pictures])
    answers = logits.argmax(1)
    unaugmented = [p for p in pictures if not p.augmented]
    shifts = {"unaugmented": score(data.labels[original], answers[original], task)}
    results = Results(
        **fields_of(score(data.labels, answers, task)),
        shifts=shifts | _shifted(network, task, unaugmented, progress),
        calibration=calibration(logits, data.labels, temperature),
        sure=at_threshold(logits, data.labels, threshold),
    )
    if not is_mask(task):
        return results
    return results.including(Results(painted=score_painted(network, unaugmented, progress)))


def evaluate_folders(
    network: nn.Module,
    task: Task,
    folders: Mapping[str, Sequence[Picture]],
    progress: Progress = quietly,
    temperature: float = 1.0,
    threshold: float = 0.0,
) -> dict[str, FolderScores]:
    """Score a network on the un-augmented pictures of folders, each photo counted once.

    By the folders' names, and by NAME/SOURCE where a folder has several sources. A photo is what
    shares a `group`. The other arguments are those of `evaluate`.
    """
    scores = {}
    for name, pictures in folders.items():
        plain = [p for p in pictures if not p.augmented]
        logits = logits_of(network, load_pixels(plain, network.transform.size, progress).pixels)
        sources = sorted({p.source for p in pictures})
        for source in (None, *(sources if len(sources) > 1 else ())):
            rows = [i for i, p in enumerate(plain) if source in (None, p.source)]
            part = name if source is None else f"{name}/{source}"
            own = [plain[i] for i in rows]
            scores[part] = _folder_scores(task, own, logits[rows], temperature, threshold)
    return scores


def _folder_scores(
    task: Task,
    pictures: Sequence[Picture],
    logits: torch.Tensor,
    temperature: float,
    threshold: float,
) -> FolderScores:
    labels = torch.tensor([p.label for p in pictures], dtype=torch.long)
    answers = logits.argmax(1)
    right = (answers == labels).tolist()
    per_photo = {n: _per_photo(pictures, right, label) for label, n in enumerate(task.names)}
    shares = [found.recall for found in per_photo.values() if found.photos]
    return FolderScores(
        balanced_accuracy=sum(shares) / max(1, len(shares)),
        per_photo=per_photo,
        scores=score(labels, answers, task),
        calibration_error=calibration(logits, labels, temperature).error,
        sure=at_threshold(logits, labels, threshold),
    )


def _per_photo(pictures: Sequence[Picture], right: Sequence[bool], label: int) -> PhotoRecall:
    photos: dict[str, list[bool]] = {}
    for picture, hit in zip(pictures, right, strict=True):
        if picture.label == label:
            photos.setdefault(picture.group, []).append(hit)
    hits = sum(sum(found) / len(found) for found in photos.values())
    count = len(photos)
    return PhotoRecall(count, hits / count if count else 0.0, wilson(hits, count))


def fields_of(scores: Scores) -> dict[str, Any]:
    """Scores as keyword arguments of a model that holds them among other things."""
    return {field.name: getattr(scores, field.name) for field in fields(scores)}


def _shifted(
    network: nn.Module, task: Task, pictures: Sequence[Picture], progress: Progress
) -> dict[str, Scores]:
    scores = {}
    for name, shift in SHIFTS.items():
        shifted = load_pixels(pictures, network.transform.size, progress, shift)
        scores[name] = score(shifted.labels, _answers(network, shifted), task)
    return scores


def score_painted(
    network: nn.Module, pictures: Sequence[Picture], progress: Progress = quietly
) -> PaintedScores:
    """Paint masks on the bare faces among the pictures, and score the answers to them."""
    bare = [p for p in pictures if p.label == MASK.index(BARE)]
    size = network.transform.size
    painted = paint_faces(bare, size, PAINTED, PAINT_SEED, progress=progress)
    answers = _answers(network, painted)
    by_position = {}
    for position in PAINTED:
        rows = torch.tensor([p == position for p in painted.positions], dtype=torch.bool)
        right = int((answers[rows] == painted.labels[rows]).sum())
        by_position[position] = recall(right, int(rows.sum()))
    scores = score(painted.labels, answers, MASK)
    return PaintedScores(faces=len(bare), **fields_of(scores), by_position=by_position)


def _answers(network: nn.Module, data: Pixels | PaintedFaces) -> torch.Tensor:
    if not len(data.labels):
        return data.labels
    return logits_of(network, data.pixels).argmax(1)


COST_FACES = 60


def measure_cost(checkpoint: Path, models: Sequence[Model], crops: Sequence[Image.Image]) -> Cost:
    """The size of a version's file, and the time that it and others need, crop by crop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for model in models:
            model.predict(crops[:1])  # the first answer of a network is slower
        seconds = [[_seconds(model, crop) for model in models] for crop in crops]
    finally:
        torch.set_num_threads(threads)
    columns = zip(*seconds, strict=True)
    medians = [1000 * median(column) for column in columns]
    names = (model.name for model in models)
    return Cost(checkpoint.stat().st_size, dict(zip(names, medians, strict=True)))


def _seconds(model: Model, crop: Image.Image) -> float:
    start = perf_counter()
    model.predict([crop])
    return perf_counter() - start
