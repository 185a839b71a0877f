"""How far an explanation can be believed: does the answer come from where the heat is?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from .answer import MaskModel
from .explain import Explanation
from .model import CLASSES

SHARE = 0.2  # the hottest fifth
RANDOM_FIFTHS = 19  # a heatmap without meaning beats all of them once in 20 pictures
MAX_SIDE = 256  # the networks see less; on a larger crop the test would only take longer
GRID = 8  # random fifths are smooth fields of this many cells a side


@dataclass(frozen=True)
class BlurTest:
    """Probability of the target (0..1) with parts of the crop blurred out.

    `before`: untouched; `hottest`: without the hottest fifth; `random`: the mean without each of
    `fifths` random smooth fifths; `beaten`: how many of these take less from the target's logit
    margin (its logit minus the best other one) than the hottest fifth does.
    """

    before: float
    hottest: float
    random: float
    beaten: int
    fifths: int


def blur_test(
    model: MaskModel, crop: Image.Image, explanations: Sequence[Explanation], seed: int = 0
) -> list[BlurTest]:
    """Blur the hottest fifth of each explanation, and random fifths; one batch for all.

    The deletion test (Petsiuk et al. 2018) at one point, with blur for black, so that the network
    sees a picture less unlike those it knows.
    """
    rng = np.random.default_rng(seed)
    crop = crop.copy()
    crop.thumbnail((MAX_SIDE, MAX_SIDE))
    size = (crop.height, crop.width)
    regions = [hottest(_resized(e.heatmap, size)) for e in explanations]
    regions += [hottest(_smooth_noise(rng, size)) for _ in range(RANDOM_FIFTHS)]
    blurred = crop.filter(ImageFilter.GaussianBlur(max(crop.size) / 12))
    logits = model.logits([crop, *(_replace(crop, blurred, region) for region in regions)])
    first = 1 + len(explanations)  # row 0 is the crop; the random fifths' rows begin here
    return [
        _compare(logits[0], logits[1 + index], logits[first:], CLASSES.index(e.target))
        for index, e in enumerate(explanations)
    ]


def _compare(
    before: torch.Tensor, hot: torch.Tensor, random: torch.Tensor, target: int
) -> BlurTest:
    return BlurTest(
        before=before.softmax(0)[target].item(),
        hottest=hot.softmax(0)[target].item(),
        random=random.softmax(1)[:, target].mean().item(),
        beaten=int((margin(hot[None], target) < margin(random, target)).sum()),
        fifths=len(random),
    )


def margin(logits: torch.Tensor, target: int) -> torch.Tensor:
    """The target's logit minus the best other one: N x 3 to N."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.max(1).values


def hottest(heatmap: np.ndarray, share: float = SHARE) -> np.ndarray:
    """The `share` of the places with the highest heat, as bool H x W; ties go to the first."""
    count = max(1, round(heatmap.size * share))
    region = np.zeros(heatmap.size, dtype=bool)
    region[np.argsort(-heatmap, axis=None, kind="stable")[:count]] = True
    return region.reshape(heatmap.shape)


def lower_half(explanation: Explanation) -> float:
    """Share (0..1) of the positive heat that lies on the crop's lower half; 0 where none is."""
    heat = np.clip(explanation.heatmap, 0, None)
    total = float(heat.sum())
    return float(heat[heat.shape[0] // 2 :].sum()) / total if total else 0.0


def _smooth_noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return _resized(rng.random((GRID, GRID), dtype=np.float32), size)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if values.shape == size:
        return values
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.BICUBIC))


def _replace(crop: Image.Image, by: Image.Image, region: np.ndarray) -> Image.Image:
    return Image.composite(by, crop, Image.fromarray(region.astype(np.uint8) * 255))
