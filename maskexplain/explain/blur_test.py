"""The blur test: does hiding the hottest fifth change the answer, and more than other places do?

One picture alone gives words that a mirror image, or a step to the side, takes back. So the test is
made on a face and on its mirror image, and its figures are the means of both. Where they lie near
to a bound, or the two say different things, both are moved a little to either side, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean as mean
from typing import TypeVar

import numpy as np
import torch

from ..models.threads import all_at_once
from ..models.version import Model
from .explain import Explanation, ForwardPass, Question, explain_pass, pass_of
from .faithfulness import Fill, logits_without, margin, places_of_classes, shown_logits
from .places import blur_places, copies, heat_at, hottest, strangers

SHARE = 0.2  # the hottest fifth
COPIES = 20  # of a heatmap in other places, on each picture
NEEDED = 0.95  # of its copies a heatmap must beat: one without meaning does so once in twenty
LEAD = 0.1  # a heatmap must take so much more than the maps that know nothing, of what it takes
# What the probability must fall by: for the class to hang on the heat, and to be judged at all.
MATERIAL, JUDGED = 0.1, 0.02
# Nearer to a bound than this the outcome is close: so far the figures moved by a step to the side,
# on nearly all of 60 faces of val.
NEAR_NEEDED, NEAR_LEAD, NEAR_MATERIAL, NEAR_JUDGED = 0.06, 0.08, 0.04, 0.008


@dataclass(frozen=True)
class Blurred:
    """Probability of the target (0..1) with parts of a picture blurred out.

    `before`: untouched; `hottest`: without the hottest fifth; `random`: the mean without each of
    `fifths` copies of these places, mirrored, turned and shifted; `beaten`: how many of the copies
    take less from the target's logit margin (see `margin`) than the hottest fifth does.

    `usual`: without the fifth that is hottest on a map that knows nothing of the picture, the one
    that takes most: the mean map of other faces, a blob on the nose, or another face's map.
    """

    before: float
    hottest: float
    random: float
    beaten: int
    fifths: int
    usual: float


@dataclass(frozen=True)
class BlurTest(Blurred):
    """Means over `pictures` pictures: the crop, its mirror image and, where that leaves it open,
    both moved a little. Copies are counted on all of them.

    `lead`: what the hottest fifth takes from the margin less what maps that know nothing of the
    picture take, as a part of the first (-1..1).
    """

    lead: float
    pictures: int = 1

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

    @property
    def outcome(self) -> str:
        """The key of the verdict that these figures earn, for a map with heat."""
        moved = [self.drop] if self.matters else [self.drop, self.before - self.random]
        if max(moved) < JUDGED:
            return "small"
        if not (self.matters and self.beyond):
            return "doubtful"
        return "holds" if self.drop >= MATERIAL else "leads"

    @property
    def close(self) -> bool:
        """Whether a bound on the way to this outcome is near."""
        if abs(self.drop - JUDGED) < NEAR_JUDGED:
            return True
        near_copies = self.beaten < self.fifths and abs(self.ahead - NEEDED) < NEAR_NEEDED
        near_lead = abs(self.lead - LEAD) < NEAR_LEAD
        if self.outcome == "doubtful":  # unless it is far from one of the two that it needs
            return (self.matters or near_copies) and (self.beyond or near_lead)
        near = near_copies or near_lead or abs(self.drop - MATERIAL) < NEAR_MATERIAL
        return near and self.outcome != "small"


# --- the pictures that are tested beside the given one

Pixels = TypeVar("Pixels", torch.Tensor, np.ndarray)
STEP = 1 / 64  # of the side: two of 128 pixels


@dataclass(frozen=True)
class Side:
    """A picture seen anew: mirrored or not, then moved to the right by `steps` of STEP."""

    mirrored: bool = False
    steps: int = 0

    def of(self, pixels: Pixels) -> Pixels:
        """Pixels ... x width seen so; the edge that is left behind is repeated."""
        width = pixels.shape[-1]
        columns = np.arange(width) - self.steps * max(1, round(width * STEP))
        columns = columns.clip(0, width - 1)
        return pixels[..., width - 1 - columns if self.mirrored else columns]


GIVEN = Side()
STEPS = (-2, -1, 1, 2)


def first_sides(faces: bool) -> tuple[Side, ...]:
    """What is always tested: a mirrored face is a face, while a mirrored digit is none."""
    return (GIVEN, Side(mirrored=True)) if faces else (GIVEN,)


def more_sides(faces: bool) -> tuple[Side, ...]:
    """What is tested, too, where the first ones leave it open."""
    return tuple(Side(first.mirrored, steps) for first in first_sides(faces) for steps in STEPS)


Anew = Callable[[Side, ForwardPass, Sequence[Explanation]], list[Explanation]]


def explained_anew(
    side: Side, forward: ForwardPass, explanations: Sequence[Explanation]
) -> list[Explanation]:
    """What the ways of some explanations say of another picture, of the same classes."""
    return [
        explain_pass(forward, [e.way], Question(e.target, e.against))[0][0] for e in explanations
    ]


def carried(
    side: Side, forward: ForwardPass, explanations: Sequence[Explanation]
) -> list[Explanation]:
    """Maps that no way made, moved with the picture."""
    return [replace(e, heatmap=side.of(e.heatmap)) for e in explanations]


def _seen(
    side: Side, forward: ForwardPass, explanations: Sequence[Explanation], anew: Anew
) -> tuple[ForwardPass, Sequence[Explanation]]:
    if side == GIVEN:
        return forward, explanations
    inputs = side.of(forward.inputs).contiguous(memory_format=torch.channels_last)
    moved = pass_of(forward.model, forward.crops, inputs)
    return moved, anew(side, moved, explanations)


# --- the test


@dataclass(frozen=True)
class _Reading(Blurred):
    """Of one picture; `takes`: from the margin, `gain`: so much more than strangers take."""

    takes: float
    gain: float


@dataclass(frozen=True)
class _Rivals:
    """The hottest fifths of the strangers, bool R x S x S: the first `fixed`, then other faces'."""

    places: torch.Tensor
    fixed: int

    @classmethod
    def of(cls, model: Model, explanation: Explanation) -> "_Rivals":
        known = strangers(model, explanation.way.key, explanation.target)
        return cls(hottest(torch.cat([known.fixed, known.others]), SHARE), len(known.fixed))


def blur_test(
    forward: ForwardPass,
    explanations: Sequence[Explanation],
    seed: int = 0,
    fill: Fill = blur_places,
    anew: Anew = explained_anew,
) -> list[BlurTest]:
    """Blur the hottest fifth of each explanation of one crop, its copies, and strangers' places.

    The deletion test (Petsiuk et al. 2018) at one point, with blur for black. `seed` chooses the
    copies; `fill` may take places out in another way than by blur; `anew` makes the maps of the
    pictures beside the given one.
    """

    def read(sides: Sequence[Side], some: Sequence[Explanation]) -> list[list[_Reading]]:
        """A row a map, a reading a picture; pictures at work at once."""
        # The maps that know nothing of a picture are the same ones for each.
        rivals = [_Rivals.of(forward.model, one) for one in some]

        def column(side: Side) -> list[_Reading]:
            return _read(side, *_seen(side, forward, some, anew), rivals, seed, fill)

        return [list(row) for row in zip(*all_at_once(column, sides), strict=True)]

    faces = forward.model.task.faces
    rows = read(first_sides(faces), explanations)
    left = [i for i, row in enumerate(rows) if _is_open(row) and not explanations[i].empty]
    if left:
        more = read(more_sides(faces), [explanations[i] for i in left])
        for index, row in zip(left, more, strict=True):
            rows[index] += row
    return [_mean(row) for row in rows]


def _is_open(row: Sequence[_Reading]) -> bool:
    """Whether a bound is near, or one of the pictures alone says something else."""
    test = _mean(row)
    return test.close or any(_mean([one]).outcome != test.outcome for one in row)


def _read(
    side: Side,
    forward: ForwardPass,
    explanations: Sequence[Explanation],
    rivals: Sequence[_Rivals],
    seed: int,
    fill: Fill,
) -> list[_Reading]:
    """Each explanation's figures on one picture, in one batch."""
    own = hottest(heat_at([e.heatmap for e in explanations], forward.inputs.shape[-1]), SHARE)
    # Other copies on a picture that was moved; the same ones on the mirror image, so that the
    # pictures of a mirrored face are tested as those of the face.
    first = COPIES * (side.steps % (1 + len(STEPS)))
    places = [
        torch.cat([one[None], copies(one, COPIES, seed, first), known.places])
        for one, known in zip(own, rivals, strict=True)
    ]
    rows = zip(explanations, logits_without(forward, places, fill), rivals, strict=True)
    return [_compare(forward, e, logits, known.fixed) for e, logits, known in rows]


def _compare(
    forward: ForwardPass, explanation: Explanation, logits: torch.Tensor, fixed: int
) -> _Reading:
    """From the logits without the hottest fifth, its copies and the strangers' places."""
    hot, moved, rivals = logits.split([1, COPIES, len(logits) - 1 - COPIES])
    shown, classes = shown_logits(forward), places_of_classes(forward, explanation)
    target, own, foreign = classes[0], margin(hot, *classes), margin(rivals, *classes)
    # One of the other faces' maps may be as good by luck: the second best of them counts.
    counted = torch.cat([torch.arange(fixed), fixed + foreign[fixed:].argsort()[1:2]])
    best = counted[foreign[counted].argmin()]
    return _Reading(
        before=shown.softmax(1)[0, target].item(),
        hottest=hot.softmax(1)[0, target].item(),
        random=moved.softmax(1)[:, target].mean().item(),
        beaten=int((own < margin(moved, *classes)).sum()),
        fifths=len(moved),
        usual=rivals.softmax(1)[best, target].item(),
        takes=(margin(shown, *classes) - own).item(),
        gain=(foreign[best] - own).item(),
    )


def _mean(row: Sequence[_Reading]) -> BlurTest:
    """One map's figures over all pictures."""
    takes, gain = (mean(getattr(r, name) for r in row) for name in ("takes", "gain"))
    return BlurTest(
        before=mean(r.before for r in row),
        hottest=mean(r.hottest for r in row),
        random=mean(r.random for r in row),
        beaten=sum(r.beaten for r in row),
        fifths=sum(r.fifths for r in row),
        usual=mean(r.usual for r in row),
        lead=min(1.0, max(-1.0, gain / takes)) if takes > 0 else -1.0,
        pictures=len(row),
    )
