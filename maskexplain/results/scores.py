"""Scores of a network on pictures, and its cost.

Also under shifts and with painted masks; with counts and intervals, and whether an answer of 90% is
right nine times in ten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import sqrt
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
    Bin,
    Calibration,
    Cost,
    FolderScores,
    PaintedScores,
    PhotoRecall,
    Recall,
    Results,
    Scores,
    Threshold,
)
from ..models.version import Model
from ..task import Task

Z = 1.96  # standard deviations either side: intervals of 95%


def wilson(successes: float, total: int) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927); (0, 1) where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + Z * Z / (2 * total)
    spread = Z * sqrt(share * (1 - share) / total + Z * Z / (4 * total * total))
    scale = 1 + Z * Z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def recall(right: int, total: int) -> Recall:
    """The share right with its interval; 0 where nothing was counted."""
    return Recall(right, total, right / total if total else 0.0, wilson(right, total))


def score(labels: torch.Tensor, answers: torch.Tensor, task: Task) -> Scores:
    """Scores of answers (N class indices) against labels (N class indices)."""
    n = len(task)
    matrix = torch.bincount(labels * n + answers, minlength=n * n).reshape(n, n).tolist()
    per_class = {}
    for index, (name, row) in enumerate(zip(task.names, matrix, strict=True)):
        right, total = row[index], sum(row)
        per_class[name] = recall(right, total)
    recalls = [r.recall for r in per_class.values() if r.total]
    balanced = sum(recalls) / len(recalls) if recalls else 0.0
    return Scores(len(labels), balanced, per_class, matrix)


BINS = 15


def calibration(logits: torch.Tensor, labels: torch.Tensor, temperature: float) -> Calibration:
    """Expected calibration error (Naeini et al. 2015) of calibrated logits N x classes, in 15 bins.

    The logits have been divided by `temperature` before.
    """
    bins = _bins(*_sure_and_right(logits, labels))
    raw = _bins(*_sure_and_right(logits * temperature, labels))
    return Calibration(_error(bins), _error(raw), temperature, bins)


def _sure_and_right(
    logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence of each answer (N, 0..1), and whether it is right (N)."""
    confidence, answer = logits.double().softmax(1).max(1)
    return confidence, answer == labels


def _bins(confidence: torch.Tensor, right: torch.Tensor) -> tuple[Bin, ...]:
    places = (confidence * BINS).long().clamp(max=BINS - 1)
    return tuple(
        _bin(index, confidence[places == index], right[places == index]) for index in range(BINS)
    )


def _bin(index: int, confidence: torch.Tensor, right: torch.Tensor) -> Bin:
    count = len(confidence)
    means = [(t.double().sum() / max(count, 1)).item() for t in (confidence, right)]
    return Bin(index / BINS, (index + 1) / BINS, count, *means)


def _error(bins: tuple[Bin, ...]) -> float:
    total = max(sum(b.answers for b in bins), 1)
    return sum(b.answers * abs(b.confidence - b.accuracy) for b in bins) / total


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The number to divide logits N x classes by for the lowest cross-entropy (Guo et al. 2017).

    Kept within .05..20, where separable answers would run away.
    """
    scale = torch.zeros(1, dtype=torch.float64, requires_grad=True)  # log of the temperature
    optimizer = torch.optim.LBFGS([scale], max_iter=100, line_search_fn="strong_wolfe")
    logits = logits.detach().double()

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(logits / scale.exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    return scale.detach().exp().clamp(0.05, 20).item()


def choose_threshold(logits: torch.Tensor, labels: torch.Tensor, wanted: float = 0.995) -> float:
    """The lowest confidence from which on the answers are right with the share `wanted`.

    0 where all answers together are; the highest confidence seen where none reaches it.
    """
    confidence, right = _sure_and_right(logits, labels)
    order = confidence.argsort(descending=True)
    sure = right[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (sure >= wanted).nonzero().flatten()
    if not len(enough):
        return float(confidence.max()) if len(confidence) else 1.0
    last = int(enough[-1])
    return 0.0 if last == len(order) - 1 else float(confidence[order[last]])


def at_threshold(logits: torch.Tensor, labels: torch.Tensor, threshold: float) -> Threshold:
    """What a threshold means on these pictures."""
    confidence, right = _sure_and_right(logits, labels)
    sure = confidence >= threshold
    answered = int(sure.sum())
    shares = [int(right[s].sum()) / max(int(s.sum()), 1) for s in (sure, ~sure)]
    return Threshold(
        threshold, len(labels), answered, answered / max(len(labels), 1), shares[0], shares[1]
    )


# --- of a network

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
