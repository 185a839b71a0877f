"""How far an explanation can be believed: does the answer come from where the heat is?

Captum's metrics (infidelity, sensitivity) give a figure without a scale. Quantus has pixel
flipping, but no random orders on the same picture to compare with and no logit margin (a saturated
probability hardly moves), and it needs opencv-python, which breaks opencv-python-headless. So
these few lines are our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .explain import Explanation, ForwardPass
from .places import blur_places, first_places, heat_at, hottest, random_heat, ranks
from .regions import heat_in

SHARE = 0.2  # the hottest fifth
RANDOM_FIFTHS = 19  # a heatmap without meaning beats all of them once in 20 pictures
# The hottest fifth must hurt more than this share of the random fifths to be called the reason; a
# heatmap without meaning gets there once in ten pictures.
NEEDED = 18 / 19
LEVELS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of the curves, besides 0 and 1
RANDOM_ORDERS = 10


@dataclass(frozen=True)
class BlurTest:
    """Probability of the target (0..1) with parts of the crop blurred out.

    `before`: untouched; `hottest`: without the hottest fifth; `random`: the mean without each of
    `fifths` random smooth fifths; `beaten`: how many of these take less from the target's logit
    margin (see `margin`) than the hottest fifth does.
    """

    before: float
    hottest: float
    random: float
    beaten: int
    fifths: int

    @property
    def matters(self) -> bool:
        """Whether the hottest fifth hurts more than all but a few random ones do."""
        return self.beaten / self.fifths >= NEEDED


def blur_test(
    forward: ForwardPass, explanations: Sequence[Explanation], seed: int = 0
) -> list[BlurTest]:
    """Blur the hottest fifth of each explanation of one crop, and random fifths; one batch for all.

    The deletion test (Petsiuk et al. 2018) at one point, with blur for black.
    """
    size = forward.inputs.shape[-1]
    heat = heat_at([e.heatmap for e in explanations], size)
    places = hottest(torch.cat([heat, random_heat(RANDOM_FIFTHS, size, seed)]), SHARE)
    logits = forward.model.logits_of(blur_places(forward.inputs, places))
    before, hot, random = _shown(forward), logits[: len(heat)], logits[len(heat) :]
    return [
        _compare(before, row[None], random, *_classes(forward, explanation))
        for row, explanation in zip(hot, explanations, strict=True)
    ]


def _shown(forward: ForwardPass) -> torch.Tensor:
    """The untouched crop's logits, 1 x classes."""
    return forward.logits.detach().cpu()


def _classes(forward: ForwardPass, explanation: Explanation) -> tuple[int, int | None]:
    """The places of an explanation's classes among the logits: target and against, if any."""
    task, against = forward.model.task, explanation.against
    return task.index(explanation.target), None if against is None else task.index(against)


def _compare(
    before: torch.Tensor,
    hot: torch.Tensor,
    random: torch.Tensor,
    target: int,
    against: int | None,
) -> BlurTest:
    return BlurTest(
        before=before.softmax(1)[0, target].item(),
        hottest=hot.softmax(1)[0, target].item(),
        random=random.softmax(1)[:, target].mean().item(),
        beaten=int((margin(hot, target, against) < margin(random, target, against)).sum()),
        fifths=len(random),
    )


def margin(logits: torch.Tensor, target: int, against: int | None = None) -> torch.Tensor:
    """The target's logit less that of the class it is held against: N x classes to N.

    Where none is given that is the best other one.
    """
    if against is not None:
        return logits[:, target] - logits[:, against]
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.max(1).values


def lower_half(explanation: Explanation) -> float:
    """Share (0..1) of the positive heat that lies on the crop's lower half; 0 where none is."""
    lower = np.zeros(explanation.heatmap.shape, dtype=bool)
    lower[len(lower) // 2 :] = True
    return heat_in(explanation.heatmap, lower).heat


@dataclass(frozen=True)
class Curve:
    """A target's probability (0..1) and logit margin at the levels 0, ..., 1 of `Curves`."""

    probability: tuple[float, ...]
    margin: tuple[float, ...]

    @property
    def area(self) -> float:
        """Under the probability, 0..1."""
        return _area(self.probability)

    @property
    def margin_area(self) -> float:
        """Under the logit margin: its mean over the levels."""
        return _area(self.margin)


@dataclass(frozen=True)
class Curves:
    """The deletion and insertion curves of one explanation beside random orders' ones.

    `levels`: share of the picture, from 0 to 1. `deletion`: blurred from the hottest place on; it
    should fall early. `insertion`: shown from the hottest place on, on the blurred picture; it
    should rise early. `random`: deletion in random smooth orders. Read backwards, each of these is
    the insertion curve of the opposite order, so that they serve as band for both.
    """

    levels: tuple[float, ...]
    deletion: Curve
    insertion: Curve
    random: tuple[Curve, ...]

    @property
    def random_area(self) -> float:
        """Mean area under the random orders' probability curves, 0..1; the same for insertion."""
        return sum(c.area for c in self.random) / len(self.random)

    @property
    def beats_random(self) -> bool:
        """Whether blurring by heat takes more from the margin than the mean random order does."""
        mean = sum(c.margin_area for c in self.random) / len(self.random)
        return self.deletion.margin_area < mean

    @property
    def beaten(self) -> int:
        """How many random orders take less from the margin than blurring by heat does."""
        return sum(self.deletion.margin_area < c.margin_area for c in self.random)

    def band(self) -> tuple[list[float], list[float]]:
        """Lowest and highest probability of the random orders, level by level."""
        columns = list(zip(*(c.probability for c in self.random), strict=True))
        return [min(column) for column in columns], [max(column) for column in columns]

    def to_dict(self) -> dict:
        return {
            "levels": self.levels,
            "deletion": self.deletion.probability,
            "insertion": self.insertion.probability,
            "random_deletion": [c.probability for c in self.random],
            "deletion_margin": self.deletion.margin,
            "insertion_margin": self.insertion.margin,
            "random_deletion_margin": [c.margin for c in self.random],
            "deletion_area": self.deletion.area,
            "insertion_area": self.insertion.area,
            "random_area": self.random_area,
            "random_orders_beaten": self.beaten,
        }


def _area(values: Sequence[float]) -> float:
    return float(torch.trapezoid(torch.tensor(values), torch.tensor([0.0, *LEVELS, 1.0])))


def curves(
    forward: ForwardPass, explanations: Sequence[Explanation], seed: int = 0
) -> list[Curves]:
    """Deletion and insertion curves (Petsiuk et al. 2018) of explanations of one crop.

    In blurred pixels, by the network's own size; the random orders are the same for all.
    """
    size, count = forward.inputs.shape[-1], len(explanations)
    heat = heat_at([e.heatmap for e in explanations], size)
    ranked = ranks(torch.cat([heat, random_heat(RANDOM_ORDERS, size, seed)]))
    removed = torch.stack([first_places(ranked, level) for level in LEVELS], dim=1)  # M x L x S x S
    everywhere = torch.ones(1, size, size, dtype=torch.bool)
    parts = [everywhere, removed.flatten(0, 1), ~removed[:count].flatten(0, 1)]
    logits = forward.model.logits_of(blur_places(forward.inputs, torch.cat(parts)))
    blurred, rest = logits[:1], logits[1:].unflatten(0, (-1, len(LEVELS)))  # ... x L x classes
    deleted, inserted = rest[: len(removed)], rest[len(removed) :]
    shown, result = _shown(forward), []
    for index, explanation in enumerate(explanations):
        classes = _classes(forward, explanation)
        random = tuple(_curve(shown, row, blurred, *classes) for row in deleted[count:])
        deletion = _curve(shown, deleted[index], blurred, *classes)
        insertion = _curve(blurred, inserted[index], shown, *classes)
        result.append(Curves((0.0, *LEVELS, 1.0), deletion, insertion, random))
    return result


def _curve(
    first: torch.Tensor,
    between: torch.Tensor,
    last: torch.Tensor,
    target: int,
    against: int | None,
) -> Curve:
    logits = torch.cat([first, between, last])  # L + 2 x classes
    probability = logits.softmax(1)[:, target]
    return Curve(tuple(probability.tolist()), tuple(margin(logits, target, against).tolist()))
