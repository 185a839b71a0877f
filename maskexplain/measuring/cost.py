"""What an answer of a version costs: the size of its checkpoint, and its time beside others'."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from PIL import Image

from ..networks.answer import MaskModel

FACES = 60


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
