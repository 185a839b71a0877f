"""How far an explanation can be believed: does the answer come from where the heat is?

Captum's metrics (infidelity, sensitivity) give a figure without a scale. Quantus has pixel
flipping, but no random orders on the same picture to compare with and no logit margin (a saturated
probability hardly moves), and it needs opencv-python, which breaks opencv-python-headless. So
these few lines are our own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .explain import Explanation, ForwardPass
from .places import blur_places, first_places, heat_at, hottest, random_heat, ranks
from .rivals import Strangers, copies, strangers

SHARE = 0.2  # the hottest fifth
# Copies of a heatmap in other places: so many at first, and in all where the outcome is close.
FIRST_COPIES, ALL_COPIES = 20, 60
NEEDED = 0.95  # of its copies a heatmap must beat: one without meaning does so once in twenty
NEAR = 0.035  # nearer to NEEDED than this, two of 60 copies, the outcome is close
HOPELESS = 0.7  # of the first copies; below it no more are drawn
LEAD = 0.1  # a heatmap must take so much more than the maps that know nothing, of what it takes
LEVELS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of the curves, besides 0 and 1
RANDOM_ORDERS = 6


@dataclass(frozen=True)
class BlurTest:
    """Probability of the target (0..1) with parts of the crop blurred out.

    `before`: untouched; `hottest`: without the hottest fifth; `random`: the mean without each of
    `fifths` copies of these places, mirrored, turned and shifted; `beaten`: how many of the copies
    take less from the target's logit margin (see `margin`) than the hottest fifth does.

    `usual`: without the fifth that is hottest on the mean map of other faces, or on a blob on the
    nose, whichever takes more. `lead`: what the hottest fifth takes from the margin less what maps
    that know nothing of the picture take, as a part of the first (-1..1).
    """

    before: float
    hottest: float
    random: float
    beaten: int
    fifths: int
    usual: float
    lead: float

    @property
    def drop(self) -> float:
        """What blurring the hottest fifth takes from the probability, -1..1."""
        return self.before - self.hottest

    @property
    def ahead(self) -> float:
        """The share of its copies that the heatmap beats, 0..1."""
        return self.beaten / self.fifths

    @property
    def matters(self) -> bool:
        """Whether the hottest fifth hurts more than nearly all of its copies do."""
        return self.ahead >= NEEDED

    @property
    def beyond(self) -> bool:
        """Whether it clearly hurts more than what maps that know nothing of the picture show."""
        return self.lead >= LEAD


Fill = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # as `blur_places`


def blur_test(
    forward: ForwardPass,
    explanations: Sequence[Explanation],
    seed: int = 0,
    fill: Fill = blur_places,
) -> list[BlurTest]:
    """Blur the hottest fifth of each explanation of one crop, its copies, and strangers' places.

    The deletion test (Petsiuk et al. 2018) at one point, with blur for black. More copies are drawn
    where the first ones leave it open. `seed` chooses the copies; `fill` may take places out in
    another way than by blur.
    """
    size = forward.inputs.shape[-1]
    own = hottest(heat_at([e.heatmap for e in explanations], size), SHARE)
    known = [strangers(forward.model, e.way.key, e.target) for e in explanations]
    first = [
        torch.cat([places[None], copies(places, FIRST_COPIES, seed), _hottest_of(rivals)])
        for places, rivals in zip(own, known, strict=True)
    ]
    logits = _logits(forward, first, fill)
    more = [
        copies(places, _missing(forward, e, found), seed, FIRST_COPIES)
        for e, places, found in zip(explanations, own, logits, strict=True)
    ]
    rows = zip(explanations, logits, _logits(forward, more, fill), known, strict=True)
    return [_compare(forward, e, found, moved, len(k.fixed)) for e, found, moved, k in rows]


def _hottest_of(rivals: Strangers) -> torch.Tensor:
    return hottest(torch.cat([rivals.fixed, rivals.others]), SHARE)


def _logits(
    forward: ForwardPass, places: Sequence[torch.Tensor], fill: Fill = blur_places
) -> list[torch.Tensor]:
    """Logits N x classes for each of several sets of places (bool N x S x S), in one batch."""
    every = torch.cat(list(places))
    logits = _shown(forward)[:0]
    if len(every):
        logits = forward.model.logits_of(fill(forward.inputs, every))
    return list(logits.split([len(part) for part in places]))


def _missing(forward: ForwardPass, explanation: Explanation, logits: torch.Tensor) -> int:
    """How many more copies it takes: 0 where the first ones are beaten all, or too few of them."""
    margins = margin(logits[: 1 + FIRST_COPIES], *_classes(forward, explanation))
    beaten = float((margins[0] < margins[1:]).double().mean())
    is_open = not explanation.empty and HOPELESS <= beaten < 1
    return ALL_COPIES - FIRST_COPIES if is_open else 0


def _shown(forward: ForwardPass) -> torch.Tensor:
    """The untouched crop's logits, 1 x classes."""
    return forward.logits.detach().cpu()


def _classes(forward: ForwardPass, explanation: Explanation) -> tuple[int, int | None]:
    """The places of an explanation's classes among the logits: target and against, if any."""
    task, against = forward.model.task, explanation.against
    return task.index(explanation.target), None if against is None else task.index(against)


def _compare(
    forward: ForwardPass,
    explanation: Explanation,
    first: torch.Tensor,
    more: torch.Tensor,
    fixed: int,
) -> BlurTest:
    """From logits without the hottest fifth, its first copies and the strangers; of more copies."""
    hot, some, rivals = first.split([1, FIRST_COPIES, len(first) - 1 - FIRST_COPIES])
    moved, shown = torch.cat([some, more]), _shown(forward)
    classes = _classes(forward, explanation)
    target, own, foreign = classes[0], margin(hot, *classes), margin(rivals, *classes)
    # One of the other faces' maps may be as good by luck: the second best of them counts.
    best = torch.cat([foreign[:fixed], foreign[fixed:].sort().values[1:2]]).min()
    takes = (margin(shown, *classes) - own).item()
    return BlurTest(
        before=shown.softmax(1)[0, target].item(),
        hottest=hot.softmax(1)[0, target].item(),
        random=moved.softmax(1)[:, target].mean().item(),
        beaten=int((own < margin(moved, *classes)).sum()),
        fifths=len(moved),
        usual=rivals.softmax(1)[foreign[:fixed].argmin(), target].item(),
        lead=min(1.0, max(-1.0, (best - own).item() / takes)) if takes > 0 else -1.0,
    )


def margin(logits: torch.Tensor, target: int, against: int | None = None) -> torch.Tensor:
    """The target's logit less that of the class it is held against: N x classes to N.

    Where none is given that is the best other one.
    """
    if against is not None:
        return logits[:, target] - logits[:, against]
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.max(1).values


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
    the insertion curve of the opposite order, so that they serve as band for both. `usual`:
    deletion in the order of the mean map of other faces (of a blob on the nose where a version has
    no mean map).
    """

    levels: tuple[float, ...]
    deletion: Curve
    insertion: Curve
    random: tuple[Curve, ...]
    usual: Curve

    @property
    def random_area(self) -> float:
        """Mean area under the random orders' probability curves, 0..1; the same for insertion."""
        return sum(c.area for c in self.random) / len(self.random)

    @property
    def beats_random(self) -> bool:
        """Whether blurring by heat takes more from the margin than the mean random order does.

        Too easy to earn a verdict by: a blob anywhere does so on most faces.
        """
        mean = sum(c.margin_area for c in self.random) / len(self.random)
        return self.deletion.margin_area < mean

    @property
    def beats_usual(self) -> bool:
        """Whether blurring by heat takes more from the margin than by the mean map does."""
        return self.deletion.margin_area < self.usual.margin_area

    def band(self) -> tuple[list[float], list[float]]:
        """Lowest and highest probability of the random orders, level by level."""
        columns = list(zip(*(c.probability for c in self.random), strict=True))
        return [min(column) for column in columns], [max(column) for column in columns]

    def to_dict(self) -> dict:
        return {
            "levels": self.levels,
            "deletion": self.deletion.probability,
            "insertion": self.insertion.probability,
            "usual_deletion": self.usual.probability,
            "random_deletion": [c.probability for c in self.random],
            "deletion_margin": self.deletion.margin,
            "insertion_margin": self.insertion.margin,
            "usual_deletion_margin": self.usual.margin,
            "random_deletion_margin": [c.margin for c in self.random],
            "deletion_area": self.deletion.area,
            "insertion_area": self.insertion.area,
            "random_area": self.random_area,
            "usual_area": self.usual.area,
            "beats_usual": self.beats_usual,
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
    usual = [strangers(forward.model, e.way.key, e.target).fixed[:1] for e in explanations]
    heat = heat_at([e.heatmap for e in explanations], size)
    ranked = ranks(torch.cat([heat, *usual, random_heat(RANDOM_ORDERS, size, seed)]))
    removed = torch.stack([first_places(ranked, level) for level in LEVELS], dim=1)  # M x L x S x S
    everywhere = torch.ones(1, size, size, dtype=torch.bool)
    parts = [everywhere, removed.flatten(0, 1), ~removed[:count].flatten(0, 1)]
    blurred, deleted, inserted = (
        part.unflatten(0, (-1, len(LEVELS))) if len(part) > 1 else part
        for part in _logits(forward, parts)
    )  # 1 x classes, then ... x L x classes
    shown, result = _shown(forward), []
    for index, explanation in enumerate(explanations):
        classes = _classes(forward, explanation)
        own, known, *random = (
            _curve(shown, row, blurred, *classes)
            for row in (deleted[index], deleted[count + index], *deleted[2 * count :])
        )
        insertion = _curve(blurred, inserted[index], shown, *classes)
        result.append(Curves((0.0, *LEVELS, 1.0), own, insertion, tuple(random), known))
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
