"""Scores with counts and intervals, and whether an answer of 90% is right nine times in ten."""

from math import sqrt

import torch
from torch import nn

from ..models.results import Bin, Calibration, Recall, Scores, Threshold
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
    bins = _bins(*_answers(logits, labels))
    raw = _bins(*_answers(logits * temperature, labels))
    return Calibration(_error(bins), _error(raw), temperature, bins)


def _answers(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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
    confidence, right = _answers(logits, labels)
    order = confidence.argsort(descending=True)
    sure = right[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (sure >= wanted).nonzero().flatten()
    if not len(enough):
        return float(confidence.max()) if len(confidence) else 1.0
    last = int(enough[-1])
    return 0.0 if last == len(order) - 1 else float(confidence[order[last]])


def at_threshold(logits: torch.Tensor, labels: torch.Tensor, threshold: float) -> Threshold:
    """What a threshold means on these pictures."""
    confidence, right = _answers(logits, labels)
    sure = confidence >= threshold
    answered = int(sure.sum())
    shares = [int(right[s].sum()) / max(int(s.sum()), 1) for s in (sure, ~sure)]
    return Threshold(
        threshold, len(labels), answered, answered / max(len(labels), 1), shares[0], shares[1]
    )
