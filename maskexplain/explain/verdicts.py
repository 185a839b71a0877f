"""How far to believe a heatmap, in plain words built from its measured figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..images.faces import Landmarks
from ..models.results import CONFIRMED, WayScores
from ..models.version import Model
from .blur_test import Anew, BlurTest, blur_test, explained_anew
from .explain import Explanation, ForwardPass, Way
from .faithfulness import Curves, Similarity, curves, similarity, weighted
from .places import OUTSIDE, RegionHeat, face_regions, heat_by_region, impute_places

LIGHTS = ("as_taken", "dark_35")  # in which explanations are measured
# Probability of the class on the wholly blurred picture from which on no place carries it.
KEPT = 0.8

TITLES = {
    "empty": "Nothing here supports this answer",
    "small": "Too small a change to judge",
    "holds": "Map confirmed: hiding the bright area changes this answer",
    "leads": "Weak: hiding the bright area changes little",
    "doubtful": "Not confirmed: hiding other places does as much",
}
_OVER = {  # how many pictures the figures are means of
    1: "",
    2: " Each is the mean over the face and its mirror image.",
    5: " Each is the mean over the picture, as it is and moved a little to either side.",
    10: " Each is the mean over the face and its mirror image, as they are and moved a little.",
}


@dataclass(frozen=True)
class Verdict:
    """What the tests say of a heatmap: `key` is one of TITLES, `sentence` the figures behind it.

    `close`: the figures lie so near to a bound that another picture of the same face may get
    another verdict. `test`: those figures.
    """

    key: str
    sentence: str
    close: bool = False
    test: BlurTest | None = None

    @property
    def title(self) -> str:
        return TITLES[self.key] + (" (a close call)" if self.close else "")

    @property
    def too_small(self) -> bool:
        """Whether nothing that was hidden changed the answer enough to judge the map."""
        return self.key == "small"

    @property
    def confirmed(self) -> bool:
        """Whether the heatmap says more than maps do that know nothing of the picture."""
        return self.key in CONFIRMED

    def to_dict(self) -> dict:
        return {
            "key": self.key,
            "title": self.title,
            "sentence": self.sentence,
            "close": self.close,
            "too_small": self.too_small,
        }


def verdict_of(explanation: Explanation, test: BlurTest, done: str = "Blur") -> Verdict:
    """The verdict on one heatmap, from the blur test; `done`: what was done to the places."""
    if explanation.empty:
        return Verdict("empty", "Every place speaks against this class: nothing is bright.")
    return Verdict(test.outcome, _figures(test, done), test.close, test)


def _figures(test: BlurTest, done: str) -> str:
    return (
        f"{done} the brightest fifth: {test.before:.0%} → {test.hottest:.0%}. {done} the same "
        f"shape elsewhere: → {test.random:.0%}, and {test.beaten} of {test.fifths} such places "
        f"matter less. {done} where a map made without this photo is bright: → {test.usual:.0%}."
        f"{_OVER[test.pictures]}"
    )


@dataclass(frozen=True)
class Trust:
    """The slower measurements of one heatmap.

    `regions`: heat by region of the face, None where no face was found, empty for a picture that
    is none; `learned`: what random weights change in this version's maps, empty if not measured.
    """

    explanation: Explanation
    curves: Curves
    regions: dict[str, RegionHeat] | None
    learned: str = ""

    def to_dict(self) -> dict:
        regions = {name: asdict(heat) for name, heat in (self.regions or {}).items()}
        return {"curves": self.curves.to_dict(), "regions": regions or None}

    def sentences(self) -> list[str]:
        """The measurements in plain words; none where there is no heat."""
        if self.explanation.empty:
            return []
        return [
            *self._everywhere(),
            self._deletion(),
            self._insertion(),
            *self._places(),
            *([self.learned] if self.learned else []),
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
        better = "faster" if c.beats_usual else "not faster"
        return (
            f"Blurred from the hottest place on, the class keeps {c.deletion.area:.0%} on average; "
            f"in random orders {c.random_area:.0%}. Less is better. In the order of a map made "
            f"without this photo it keeps {c.usual.area:.0%}: its lead falls {better} than there."
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


def blur_verdicts(
    forward: ForwardPass, explanations: Sequence[Explanation], anew: Anew = explained_anew
) -> list[Verdict]:
    """The verdict on each heatmap of one crop; `anew` as in `blur_test`."""
    tests = blur_test(forward, explanations, anew=anew)
    return [verdict_of(e, test) for e, test in zip(explanations, tests, strict=True)]


@dataclass(frozen=True)
class SecondOpinion:
    """Further tests of one heatmap, on request.

    `verdict`: as the first one, with the places filled from their edges (ROAD) in place of blur;
    `random_head`: how alike it stays with random weights in the head.
    """

    verdict: Verdict
    random_head: Similarity

    def to_dict(self) -> dict:
        return {
            "filling": "ROAD",
            "verdict": self.verdict.to_dict(),
            "random_head": self.random_head.to_dict(),
        }


def second_opinions(
    forward: ForwardPass, explanations: Sequence[Explanation], anew: Anew = explained_anew
) -> list[SecondOpinion]:
    """A second opinion on each heatmap of one crop; takes seconds. `anew` as in `blur_test`."""
    tests = blur_test(forward, explanations, fill=impute_places, anew=anew)
    verdicts = [verdict_of(e, t, "Fill") for e, t in zip(explanations, tests, strict=True)]
    pairs = zip(verdicts, similarity(forward, explanations), strict=True)
    return [SecondOpinion(*pair) for pair in pairs]


def measure_trust(
    forward: ForwardPass, explanations: Sequence[Explanation], landmarks: Landmarks | None
) -> list[Trust]:
    """The slower measurements of each heatmap of one crop; `landmarks` in the crop's pixels."""
    regions = _regions(forward, landmarks)
    heats = [None if regions is None else heat_by_region(e.heatmap, regions) for e in explanations]
    learned = [random_sentence(forward.model, e.way) for e in explanations]
    columns = (explanations, curves(forward, explanations), heats, learned)
    return [Trust(*row) for row in zip(*columns, strict=True)]


def _regions(forward: ForwardPass, landmarks: Landmarks | None) -> dict[str, np.ndarray] | None:
    if not forward.model.task.faces:
        return {}
    return face_regions(landmarks, forward.crops[0].size) if landmarks else None


@dataclass(frozen=True)
class TrackRecord:
    """On how many of `faces` test faces the hottest fifth hurt more than 95% of its copies
    (`right`, by chance one in twenty), in dim light too, and on how many the map was `confirmed`.
    """

    right: int
    faces: int
    dim_right: int
    dim_faces: int
    confirmed: int


def _measured(model: Model, way: Way, light: str = LIGHTS[0]) -> WayScores | None:
    scores = model.results.explanations
    return scores.of(way.key, light) if scores else None


def track_record(model: Model, way: Way) -> TrackRecord | None:
    """None where it was never measured for this version."""
    taken, dark = (_measured(model, way, light) for light in LIGHTS)
    if taken is None or dark is None or None in (taken.beats_copies, dark.beats_copies):
        return None
    return TrackRecord(
        taken.beats_copies or 0, taken.faces, dark.beats_copies or 0, dark.faces, taken.confirmed
    )


def record_sentence(model: Model, way: Way) -> str:
    """The same for people, and what the maps say beyond the mean map."""
    record = track_record(model, way)
    if record is None:
        return f"{way.title} is not measured yet for this version."
    return (
        f"{way.title}: on {record.right} of {record.faces} test {model.task.subject}s hiding its "
        f"bright area hurt more than hiding as much elsewhere; by chance on "
        f"{round(0.05 * record.faces)}. In dim light it did on {record.dim_right} of "
        f"{record.dim_faces}. {beyond_sentence(model, way)}"
    )


def beyond_sentence(model: Model, way: Way) -> str:
    """Whether a version's maps say more than the mean map of other faces; empty if not measured."""
    taken = _measured(model, way)
    if taken is None or taken.beats_usual is None:
        return ""
    unclear = "say less" if taken.says_less else "do not clearly say more"
    says = "say more" if taken.says_more else unclear
    return (
        f"Its maps {says} than the mean map of other {model.task.subject}s: they beat it on "
        f"{taken.beats_usual} of {taken.faces} (chance: half)."
    )


def random_sentence(model: Model, way: Way) -> str:
    """How alike the maps stay with random weights; empty where that was not measured."""
    taken = _measured(model, way)
    if taken is None or taken.random_head is None or not taken.cascade:
        return ""
    head = taken.random_head
    one = len(weighted(model.network.head)) == 1
    limit = " Its head is one layer, so this tells little of what was learned." if one else ""
    return (
        f"With random weights in the head its maps stay {head.mean:.2f} alike ({head.draws} draws: "
        f"{head.least:.2f} to {head.most:.2f}; 1 is the same).{limit} With the whole network "
        f"random they stay {taken.cascade[-1]:.2f} alike."
    )
