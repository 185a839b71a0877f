"""Scores with counts and intervals."""

from dataclasses import dataclass
from math import sqrt

import torch

from ..networks.model import CLASSES


def wilson(successes: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927); (0, 1) where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


@dataclass(frozen=True)
class Recall:
    """How many of a class's pictures were answered right; the interval is Wilson's at 95%."""

    right: int
    total: int
    recall: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """Confusion matrix (rows: true class, columns: answer, both in class order) and its readings.

    `balanced_accuracy` is the mean recall of the classes that have pictures, 0..1.
    """

    pictures: int
    balanced_accuracy: float
    per_class: dict[str, Recall]
    confusion_matrix: list[list[int]]


def recall(right: int, total: int) -> Recall:
    """The share right with its interval; 0 where nothing was counted."""
    return Recall(right, total, right / total if total else 0.0, wilson(right, total))


def score(labels: torch.Tensor, answers: torch.Tensor) -> Scores:
    """Scores of answers (N class indices) against labels (N class indices)."""
    n = len(CLASSES)
    matrix = torch.bincount(labels * n + answers, minlength=n * n).reshape(n, n).tolist()
    per_class = {}
    for index, (name, row) in enumerate(zip(CLASSES, matrix, strict=True)):
        right, total = row[index], sum(row)
        per_class[name] = recall(right, total)
    recalls = [r.recall for r in per_class.values() if r.total]
    balanced = sum(recalls) / len(recalls) if recalls else 0.0
    return Scores(len(labels), balanced, per_class, matrix)
