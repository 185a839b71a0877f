"""How far to believe a heatmap, in plain words built from its measured figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..images.faces import Landmarks
from ..models.version import Model
from .explain import Explanation, ForwardPass
from .faithfulness import BlurTest, Curves, blur_test, curves, lower_half
from .randomise import similarity
from .regions import OUTSIDE, RegionHeat, face_regions, heat_by_region
from .ways import Way

# What the probability must fall by for the class to hang on the heat.
MATERIAL = 0.1
LIGHTS = ("as_taken", "dark_35")  # in which explanations are measured
# Rank correlation with the heatmap of random weights from which on a heatmap is called blind.
BLIND = 0.5
# Probability of the class on the wholly blurred picture from which on no place carries it.
KEPT = 0.8

TITLES = {
    "empty": "Empty: nothing here speaks for this class",
    "holds": "Holds: this class hangs on the heat",
    "leads": "Leads: matters more than chance, but little",
    "doubtful": "Doubtful: not clearly better than chance",
}


@dataclass(frozen=True)
class Verdict:
    """`key` is one of TITLES; `sentence` gives the figures behind it."""

    key: str
    sentence: str
    test: BlurTest | None = None

    @property
    def title(self) -> str:
        return TITLES[self.key]

    def to_dict(self) -> dict:
        return {"key": self.key, "sentence": self.sentence, "title": self.title}


def verdict_of(explanation: Explanation, test: BlurTest) -> Verdict:
    """The verdict on one heatmap, from the blur test."""
    if explanation.empty:
        return Verdict("empty", "Every place speaks against this class: there is no heat to show.")
    key = "doubtful"
    if test.matters:
        key = "holds" if test.before - test.hottest >= MATERIAL else "leads"
    return Verdict(
        key,
        f"Blurring the hottest fifth takes this class from {test.before:.0%} to "
        f"{test.hottest:.0%}; random fifths, to {test.random:.0%} (it hurts more than "
        f"{test.beaten} of {test.fifths}). {lower_half(explanation):.0%} of the heat is on the "
        "lower half.",
        test,
    )


@dataclass(frozen=True)
class Trust:
    """The slower measurements of one heatmap.

    `regions`: heat by region of the face, None where no face was found, empty for a picture that
    is none; `similarity`: absolute rank
    correlation (0..1) with the heatmap of the same network whose head has random weights.
    """

    explanation: Explanation
    curves: Curves
    regions: dict[str, RegionHeat] | None
    similarity: float

    def to_dict(self) -> dict:
        regions = {name: heat.to_dict() for name, heat in (self.regions or {}).items()}
        return {
            "curves": self.curves.to_dict(),
            "regions": regions or None,
            "similarity_with_random_head": self.similarity,
        }

    def sentences(self) -> list[str]:
        """The measurements in plain words; none where there is no heat."""
        if self.explanation.empty:
            return []
        return [
            *self._everywhere(),
            self._deletion(),
            self._insertion(),
            *self._places(),
            self._randomised(),
            *self._adds_up(),
        ]

    def _everywhere(self) -> list[str]:
        kept = self.curves.deletion.probability[-1]
        if kept < KEPT:
            return []
        return [
            f"With everything blurred the class still has {kept:.0%}: no place alone carries it, "
            "but light, colour or what the network answers when it sees nothing."
        ]

    def _deletion(self) -> str:
        c = self.curves
        return (
            f"Blurred from the hottest place on, the class keeps {c.deletion.area:.0%} on average; "
            f"in random orders {c.random_area:.0%}. Less is better. Its lead over the other "
            f"classes falls faster than in {c.beaten} of {len(c.random)} random orders."
        )

    def _insertion(self) -> str:
        c = self.curves
        return (
            f"Blurred from the coldest place on, it keeps {c.insertion.area:.0%} on average; in "
            f"random orders {c.random_area:.0%}. More is better."
        )

    def _adds_up(self) -> list[str]:
        gap = self.explanation.completeness_gap
        if gap is None:
            return []
        return [
            f"All its values add up to the class’s score, but for {gap:.1%} (under 1% is right)."
        ]

    def _places(self) -> list[str]:
        if self.regions is None:
            return ["No eyes, nose and mouth were found, so the heat on them is not counted."]
        known = {n: h for n, h in self.regions.items() if h.ratio is not None}
        if not known:
            return []
        name, most = max(known.items(), key=lambda pair: pair[1].ratio)
        where = name if name == OUTSIDE else f"on the {name}"
        return [
            f"Most heat for its area lies {where}: {most.heat:.0%} of the heat on "
            f"{most.area:.0%} of the picture."
        ]

    def _randomised(self) -> str:
        rank = f"they are {self.similarity:.2f} alike, 1 being the same"
        if self.similarity < BLIND:
            return f"With random weights in the head the heatmap changes, as it should ({rank})."
        return (
            f"With random weights in the head the heatmap stays much the same ({rank}): it shows "
            "the picture more than what was learned."
        )


def blur_verdicts(forward: ForwardPass, explanations: Sequence[Explanation]) -> list[Verdict]:
    """The verdict on each heatmap of one crop."""
    tests = blur_test(forward, explanations)
    return [verdict_of(e, test) for e, test in zip(explanations, tests, strict=True)]


def measure_trust(
    forward: ForwardPass, explanations: Sequence[Explanation], landmarks: Landmarks | None
) -> list[Trust]:
    """The slower measurements of each heatmap of one crop; `landmarks` in the crop's pixels."""
    regions = _regions(forward, landmarks)
    heats = [None if regions is None else heat_by_region(e.heatmap, regions) for e in explanations]
    columns = (
        explanations,
        curves(forward, explanations),
        heats,
        similarity(forward, explanations),
    )
    return [Trust(*row) for row in zip(*columns, strict=True)]


def _regions(forward: ForwardPass, landmarks: Landmarks | None) -> dict[str, np.ndarray] | None:
    if not forward.model.task.faces:
        return {}
    return face_regions(landmarks, forward.crops[0].size) if landmarks else None


@dataclass(frozen=True)
class TrackRecord:
    """On how many of `faces` test faces blurring by the heat beat blurring at random (the mean of
    random orders), as taken and in dim light. Chance is half.
    """

    right: int
    faces: int
    dim_right: int
    dim_faces: int


def track_record(model: Model, way: Way) -> TrackRecord | None:
    """None where it was never measured for this version."""
    scores = model.results.explanations
    taken, dark = (scores.of(way.key, light) for light in LIGHTS) if scores else (None, None)
    if taken is None or dark is None:
        return None
    return TrackRecord(taken.beats_random, taken.faces, dark.beats_random, dark.faces)


def record_sentence(model: Model, way: Way) -> str:
    """The same for people."""
    record = track_record(model, way)
    if record is None:
        return f"{way.title} is not measured yet for this version."
    return (
        f"On test faces, blurring by the heat of {way.title} beats blurring at random on "
        f"{record.right} of {record.faces}, in dim light on {record.dim_right} of "
        f"{record.dim_faces} (chance: half)."
    )
