"""Scores of a network on pictures, also under shifts: darkened, gray, blurred."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from .data import Picture, Pixels, Progress, load_pixels, quietly
from .shifts import SHIFTS
from .statistics import Scores, score

BATCH = 128


@dataclass(frozen=True)
class Evaluation:
    """Scores on all pictures, and (`shifts`) on the un-augmented ones as they are and shifted."""

    scores: Scores
    shifts: dict[str, Scores]

    def to_dict(self) -> dict:
        return {**asdict(self.scores), "shifts": {k: asdict(v) for k, v in self.shifts.items()}}


@torch.inference_mode()
def logits_of(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Logits N x 3 (on the CPU) of uint8 pixels N x 3 x S x S, in evaluation mode, in batches.

    The pixels must have the network's input size. The mode the network was in is restored.
    """
    was_training = network.training
    device = next(network.parameters()).device
    network.eval()
    try:
        batches = [network(network.transform.normalise(b.to(device))) for b in pixels.split(BATCH)]
    finally:
        network.train(was_training)
    return torch.cat(batches).cpu()


def evaluate(
    network: nn.Module, pictures: Sequence[Picture], progress: Progress = quietly
) -> Evaluation:
    """Score a network on pictures. Raises DataError where one is unreadable."""
    size = network.transform.size
    labels = torch.tensor([p.label for p in pictures], dtype=torch.long)
    original = torch.tensor([not p.augmented for p in pictures])
    answers = _answers(network, load_pixels(pictures, size, progress))
    shifts = {"unaugmented": score(labels[original], answers[original])}
    unaugmented = [p for p in pictures if not p.augmented]
    for name, shift in SHIFTS.items():
        shifted = load_pixels(unaugmented, size, progress, shift)
        shifts[name] = score(shifted.labels, _answers(network, shifted))
    return Evaluation(score(labels, answers), shifts)


def _answers(network: nn.Module, data: Pixels) -> torch.Tensor:
    return logits_of(network, data.pixels).argmax(1)
