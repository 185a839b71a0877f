"""How often each way to explain is right about a version, over many faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from time import perf_counter

import numpy as np
from PIL import Image

from ..data.folder import DataError, Picture, Progress, quietly, read_crop
from ..explain.explain import Explanation, explain_pass, forward_pass
from ..explain.faithfulness import BlurTest, Curves, blur_test, curves
from ..explain.randomise import cascade
from ..explain.regions import face_regions, heat_in, upper_edge
from ..explain.ways import all_ways
from ..images.edit import dark_35
from ..images.faces import Landmarks, find_faces
from ..masks import PaintedMask, paint_mask, random_style
from ..masks.task import BARE, MASK, is_mask
from ..models.results import ExplanationScores, PaintedHeat, WayScores
from ..models.version import Model
from .statistics import wilson

PAINTED = ("right", "nose_out", "chin")
SEED = 0


@dataclass(frozen=True)
class Reading:
    """What was read of one explanation of one face.

    `nose_mouth`: heat for area on nose and mouth, None without landmarks or heat; `cascade`: see
    `randomise.cascade`, None where it was not asked for.
    """

    curves: Curves
    blur: BlurTest
    nose_mouth: float | None
    cascade: tuple[float, ...] | None
    gap: float | None
    empty: bool
    seconds: float


def sample_faces(pictures: Sequence[Picture], count: int, classes: int) -> list[Picture]:
    """At most `count` un-augmented pictures, as even over the classes as they allow; seeded."""
    rng = np.random.default_rng(SEED)
    originals = [p for p in pictures if not p.augmented]
    shuffled = [originals[i] for i in rng.permutation(len(originals))]
    by_class = [[p for p in shuffled if p.label == label] for label in range(classes)]
    chosen: list[Picture] = []
    for left, group in zip(range(classes, 0, -1), sorted(by_class, key=len), strict=True):
        chosen += group[: (count - len(chosen)) // left]
    return chosen


def score_explanations(
    model: Model,
    pictures: Sequence[Picture],
    faces: int = 200,
    sanity_faces: int = 24,
    painted_faces: int = 40,
    progress: Progress = quietly,
) -> ExplanationScores:
    """Measure every way to explain the predicted class, on un-augmented pictures.

    Every second one is darkened to 35%, too. `sanity_faces`: on how many the head's weights are
    randomised; `painted_faces`: on how many bare ones masks are painted. Raises DataError where a
    picture is unreadable, or none is un-augmented.
    """
    sample = sample_faces(pictures, faces, len(model.task))
    if not sample:
        raise DataError("There are no un-augmented pictures to explain: choose another split.")
    every = max(1, len(sample) // max(1, sanity_faces))
    lights: dict[str, list[dict[str, Reading]]] = {"as_taken": [], "dark_35": []}
    for index, picture in enumerate(progress(sample)):
        crop = read_crop(picture.file)
        landmarks = find_landmarks(crop) if model.task.faces else None
        lights["as_taken"].append(_read(model, crop, landmarks, index % every == 0))
        if index % 2 == 0:
            lights["dark_35"].append(_read(model, dark_35(crop), landmarks, False))
    scores = {light: _by_way(readings) for light, readings in lights.items()}
    painted = {}
    if is_mask(model.task):
        bare = [p for p in pictures if p.label == MASK.index(BARE)]
        bare = sample_faces(bare, faces, len(MASK))
        painted = {p: _painted(model, bare, p, painted_faces, progress) for p in PAINTED}
    return ExplanationScores(_best(scores["as_taken"]), scores, painted)


def _best(scores: dict[str, WayScores]) -> str:
    lowest, _ = max(scores.values(), key=lambda s: s.beats_random).interval
    near = {key: s for key, s in scores.items() if s.share >= lowest}
    # Twice the fastest one's time: small differences are the machine's.
    longest = 2 * min(s.milliseconds for s in near.values())
    fast = [key for key, s in near.items() if s.milliseconds <= longest]
    return max(fast, key=lambda key: near[key].beats_random)


def find_landmarks(crop: Image.Image) -> Landmarks | None:
    """The landmarks of the largest face on a crop; None where none is found."""
    faces = find_faces(crop)
    return faces[0].landmarks if faces else None


def _read(
    model: Model, crop: Image.Image, landmarks: Landmarks | None, sane: bool
) -> dict[str, Reading]:
    """Every way's reading of one crop."""
    explanations, seconds = _explain_all(model, crop)
    forward = forward_pass(model, [crop])
    place = nose_and_mouth(landmarks, crop.size)
    cascades = cascade(forward, explanations) if sane else [None] * len(explanations)
    columns = zip(
        all_ways(),
        explanations,
        curves(forward, explanations),
        blur_test(forward, explanations),
        cascades,
        seconds,
        strict=True,
    )
    return {
        key: Reading(c, b, heat_ratio(e, place), s, e.completeness_gap, e.empty, time)
        for key, e, c, b, s, time in columns
    }


def _explain_all(model: Model, crop: Image.Image) -> tuple[list[Explanation], list[float]]:
    """Every way's explanation, each with a forward pass of its own, and its seconds."""
    explanations, seconds = [], []
    for way in all_ways().values():
        start = perf_counter()
        explanations += explain_pass(forward_pass(model, [crop]), [way])[0]
        seconds.append(perf_counter() - start)
    return explanations, seconds


def nose_and_mouth(landmarks: Landmarks | None, size: tuple[int, int]) -> np.ndarray | None:
    """Where nose and mouth lie on a crop of this width and height (H x W, bool), if known."""
    regions = face_regions(landmarks, size) if landmarks else None
    return regions["nose"] | regions["mouth"] if regions else None


def heat_ratio(explanation: Explanation, place: np.ndarray | None) -> float | None:
    """Heat for the area of a place (1 is even); None without place or heat."""
    if place is None or explanation.empty:
        return None
    return heat_in(explanation.heatmap, place).ratio


def _by_way(readings: list[dict[str, Reading]]) -> dict[str, WayScores]:
    return {key: _score([face[key] for face in readings]) for key in all_ways()}


def _score(readings: list[Reading]) -> WayScores:
    count = len(readings)
    beats = sum(r.curves.beats_random for r in readings)
    return WayScores(
        faces=count,
        beats_random=beats,
        share=beats / max(1, count),
        interval=wilson(beats, count),
        hottest_fifth=sum(r.blur.matters for r in readings),
        deletion=mean(r.curves.deletion.area - r.curves.random_area for r in readings),
        insertion=mean(r.curves.insertion.area - r.curves.random_area for r in readings),
        nose_mouth=mean_known(r.nose_mouth for r in readings),
        cascade=_mean_cascade(readings),
        empty=sum(r.empty for r in readings),
        largest_gap=max((r.gap for r in readings if r.gap is not None), default=None),
        milliseconds=1000 * median(r.seconds for r in readings),
    )


def mean_known(values) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _mean_cascade(readings: list[Reading]) -> tuple[float, ...] | None:
    known = [r.cascade for r in readings if r.cascade is not None]
    return tuple(mean(stage) for stage in zip(*known, strict=True)) if known else None


def _painted(
    model: Model, bare: Sequence[Picture], position: str, count: int, progress: Progress
) -> dict[str, PaintedHeat]:
    """Paint masks on the first `count` bare faces with landmarks, and see where the heat lies."""
    rng = np.random.default_rng(SEED)
    found: dict[str, list[PaintedHeat]] = {key: [] for key in all_ways()}
    left = count
    for picture in progress(bare):
        if not left:
            break
        crop = read_crop(picture.file)
        landmarks = find_landmarks(crop)
        regions = face_regions(landmarks, crop.size) if landmarks else None
        if regions is None:
            continue
        painted = paint_mask(crop, landmarks, position, random_style(rng), rng)
        place = upper_edge(painted.mask) | regions["nose"] | regions["mouth"]
        explanations, _ = _explain_all(model, painted.image)
        for key, explanation in zip(all_ways(), explanations, strict=True):
            found[key].append(_painted_face(explanation, painted, place))
        left -= 1
    return {key: _mean_painted(rows) for key, rows in found.items()}


def _painted_face(explanation: Explanation, painted: PaintedMask, place: np.ndarray) -> PaintedHeat:
    heat = heat_in(explanation.heatmap, place)
    ratios = (heat_ratio(explanation, region) for region in (painted.mask, painted.nose))
    return PaintedHeat(1, *ratios, None if explanation.empty else heat.heat, heat.area)


def _mean_painted(rows: Sequence[PaintedHeat]) -> PaintedHeat:
    names = ("mask", "nose", "place", "place_area")
    return PaintedHeat(
        len(rows), *(mean_known(getattr(row, name) for row in rows) for name in names)
    )
