"""Which class each output of a network stands for, as labelled faces tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import nn

from ..dataset.data import Picture, read_crop
from ..networks.model import CLASSES

BATCH = 32


@dataclass(frozen=True)
class OrderFit:
    """How well an order of the outputs fits labelled faces: balanced accuracy, 0..1."""

    classes: tuple[str, ...]
    balanced_accuracy: float


@torch.inference_mode()
def fit_orders(network: nn.Module, pictures: Sequence[Picture]) -> list[OrderFit]:
    """All six orders of the classes, the best fitting one first. Raises DataError."""
    counts = torch.zeros(len(CLASSES), len(CLASSES))  # label, output
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        outputs = network(network.transform.batch([read_crop(p.file) for p in part])).argmax(1)
        for picture, output in zip(part, outputs.tolist(), strict=True):
            counts[picture.label, output] += 1
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    fits = [OrderFit(order, _balanced(shares, order)) for order in permutations(CLASSES)]
    return sorted(fits, key=lambda fit: -fit.balanced_accuracy)


def _balanced(shares: torch.Tensor, order: Sequence[str]) -> float:
    right = [shares[CLASSES.index(label), output] for output, label in enumerate(order)]
    return float(sum(right)) / len(CLASSES)
