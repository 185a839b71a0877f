"""Scores of a network on pictures, also under shifts and with painted masks, and calibration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from ..dataset.data import Picture, Pixels, Progress, load_pixels, quietly
from ..dataset.painted import PaintedFaces, paint_faces
from ..networks.calibration import Calibration, Threshold, at_threshold, calibration
from ..networks.model import CLASSES
from ..pictures.shifts import SHIFTS
from .statistics import Recall, Scores, recall, score

BATCH = 128
# Masks painted on every bare face, to see whether the position decides.
PAINTED = {"right": 1.0, "nose_out": 1.0, "chin": 1.0}
PAINT_SEED = 0


@dataclass(frozen=True)
class PaintedScores:
    """Scores on painted masks, over the two masked classes, and the recall of each position.

    `faces` bare faces were offered; those without landmarks, and masks that can hardly be seen,
    are left out.
    """

    faces: int
    scores: Scores
    by_position: dict[str, Recall]

    def to_dict(self) -> dict:
        by_position = {name: asdict(r) for name, r in self.by_position.items()}
        return {"faces": self.faces, **asdict(self.scores), "by_position": by_position}


@dataclass(frozen=True)
class Evaluation:
    """Scores on all pictures, and (`shifts`) on the un-augmented ones as they are and shifted.

    `calibration` and `sure` (what the version's threshold means) are of all pictures; `painted`
    of the bare ones among the un-augmented.
    """

    scores: Scores
    shifts: dict[str, Scores]
    painted: PaintedScores
    calibration: Calibration
    sure: Threshold

    def to_dict(self) -> dict:
        return {
            **asdict(self.scores),
            "shifts": {k: asdict(v) for k, v in self.shifts.items()},
            "painted": self.painted.to_dict(),
            "calibration": asdict(self.calibration),
            "sure": asdict(self.sure),
        }


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
    network: nn.Module,
    pictures: Sequence[Picture],
    progress: Progress = quietly,
    temperature: float = 1.0,
    threshold: float = 0.0,
) -> Evaluation:
    """Score a network on pictures. Raises DataError where one is unreadable.

    `temperature` is what its logits have been divided by, `threshold` the confidence below which
    an answer counts as unsure.
    """
    data = load_pixels(pictures, network.transform.size, progress)
    logits = logits_of(network, data.pixels)
    original = torch.tensor([not p.augmented for p in pictures])
    answers = logits.argmax(1)
    unaugmented = [p for p in pictures if not p.augmented]
    shifts = {"unaugmented": score(data.labels[original], answers[original])}
    return Evaluation(
        score(data.labels, answers),
        shifts | _shifted(network, unaugmented, progress),
        score_painted(network, unaugmented, progress),
        calibration(logits, data.labels, temperature),
        at_threshold(logits, data.labels, threshold),
    )


def _shifted(
    network: nn.Module, pictures: Sequence[Picture], progress: Progress
) -> dict[str, Scores]:
    scores = {}
    for name, shift in SHIFTS.items():
        shifted = load_pixels(pictures, network.transform.size, progress, shift)
        scores[name] = score(shifted.labels, _answers(network, shifted))
    return scores


def score_painted(
    network: nn.Module, pictures: Sequence[Picture], progress: Progress = quietly
) -> PaintedScores:
    """Paint masks on the bare faces among the pictures, and score the answers to them."""
    bare = [p for p in pictures if CLASSES[p.label] == "without_mask"]
    size = network.transform.size
    painted = paint_faces(bare, size, PAINTED, PAINT_SEED, progress=progress)
    answers = _answers(network, painted)
    by_position = {}
    for position in PAINTED:
        rows = torch.tensor([p == position for p in painted.positions], dtype=torch.bool)
        right = int((answers[rows] == painted.labels[rows]).sum())
        by_position[position] = recall(right, int(rows.sum()))
    return PaintedScores(len(bare), score(painted.labels, answers), by_position)


def _answers(network: nn.Module, data: Pixels | PaintedFaces) -> torch.Tensor:
    if not len(data.labels):
        return data.labels
    return logits_of(network, data.pixels).argmax(1)
