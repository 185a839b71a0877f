"""Scores of a network on pictures, also under shifts and with painted masks, and its cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from PIL import Image
from torch import nn

from ..data.folder import Picture, Pixels, Progress, load_pixels, quietly
from ..data.painted import PaintedFaces, paint_faces
from ..images.edit import SHIFTS
from ..models.network import CLASSES
from ..models.version import MaskModel
from .statistics import (
    Calibration,
    Recall,
    Scores,
    Threshold,
    at_threshold,
    calibration,
    recall,
    score,
)

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


COST_FACES = 60


@dataclass(frozen=True)
class Cost:
    """Size of the checkpoint, and the median milliseconds of one face's answer on one thread.

    `milliseconds`: by version; all were timed in the same run, in turn on each face.
    """

    checkpoint_bytes: int
    milliseconds: dict[str, float]

    def to_dict(self) -> dict:
        return asdict(self)


def measure_cost(
    checkpoint: Path, models: Sequence[MaskModel], crops: Sequence[Image.Image]
) -> Cost:
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


def _seconds(model: MaskModel, crop: Image.Image) -> float:
    start = perf_counter()
    model.predict([crop])
    return perf_counter() - start
