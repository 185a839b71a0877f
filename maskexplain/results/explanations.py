"""How often each way to explain is right about a version, over many faces.

Beside them go maps that know nothing of a picture, through the same tests: what these earn is what
a heatmap must beat. And the mean maps, which show where a version looks on the whole.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from io import BytesIO
from statistics import mean, median
from time import perf_counter

import numpy as np
import torch
from PIL import Image, ImageOps

from ..data.folder import DataError, Picture, Progress, quietly, read_crop
from ..explain.blur_test import Anew, blur_test, carried, explained_anew
from ..explain.explain import (
    UNMEASURED_DEFAULT,
    Explanation,
    ForwardPass,
    Question,
    Way,
    all_ways,
    explain_pass,
    forward_pass,
)
from ..explain.faithfulness import Curves, Similarity, cascade, curves, similarity, spearman
from ..explain.places import (
    NOSE,
    SPREAD,
    blob,
    enlarged,
    face_regions,
    heat_at,
    heat_in,
    random_heat,
    upper_edge,
)
from ..explain.verdicts import Verdict, blur_verdicts, verdict_of
from ..images.edit import dark_35
from ..images.faces import Landmarks, find_faces
from ..masks import PaintedMask, paint_mask, random_style
from ..masks.task import BARE, MASK, is_mask
from ..models.results import (
    MAP_SIDE,
    ClassMaps,
    ExplanationScores,
    Firmness,
    MeanMap,
    PaintedHeat,
    Results,
    Spread,
    WayScores,
    pack_map,
)
from ..models.version import Model
from ..task import Task
from .scores import wilson

# --- mean maps, and maps that know nothing

OTHERS = 4  # single faces' maps kept for each way and class
SPARE = 40  # more of them stand for "another face's map" in the measurement, and are not kept
KINDS = {
    "blob": "A blob at a random place",
    "smooth": "A smooth random map",
    "other": "Another {subject}’s map",
    "mean": "The mean map of other {subject}s",
    "nose": "A blob about the {middle}",
}
ABOUT = 0.06  # standard deviation of a blob's place about the nose, as a part of the side


def kind_title(kind: str, task: Task) -> str:
    """One of KINDS for people; of faces the nose lies in the middle."""
    middle = "nose" if task.faces else "middle"
    return KINDS[kind].format(subject=task.subject, middle=middle)


Maps = dict[str, dict[str, ClassMaps]]  # by way and answered class
Spare = dict[str, dict[str, list[torch.Tensor]]]


def mean_maps(model: Model, pictures: Sequence[Picture], progress: Progress) -> tuple[Maps, Spare]:
    """The mean maps of every way and answered class, and some faces' own maps beside them."""
    found: dict[str, dict[str, list[tuple[bool, torch.Tensor]]]] = {key: {} for key in all_ways()}
    for picture in progress(pictures):
        explanations = explain_pass(
            forward_pass(model, [read_crop(picture.file)]), list(all_ways().values())
        )[0]
        for key, explanation in zip(all_ways(), explanations, strict=True):
            label = explanation.target
            right = model.task.index(label) == picture.label
            found[key].setdefault(label, []).append((right, _small(explanation)))
    maps = {
        key: {name: _class_maps(rows) for name, rows in of.items()} for key, of in found.items()
    }
    spare = {
        key: {name: [one for _, one in rows[OTHERS : OTHERS + SPARE]] for name, rows in of.items()}
        for key, of in found.items()
    }
    return maps, spare


def _small(explanation: Explanation) -> torch.Tensor:
    """MAP_SIDE x MAP_SIDE, divided by its largest absolute value."""
    small = heat_at([explanation.heatmap], MAP_SIDE)[0]
    return small / small.abs().max().clamp(min=1e-12)


def _class_maps(rows: Sequence[tuple[bool, torch.Tensor]]) -> ClassMaps:
    parts = []
    for wanted in (True, False):
        some = [one for right, one in rows if right == wanted]
        mean = torch.stack(some).mean(0).numpy() if some else None
        parts.append(None if mean is None else MeanMap(len(some), pack_map(mean)))
    return ClassMaps(*parts, tuple(pack_map(one.numpy()) for _, one in rows[:OTHERS]))


def meaningless_maps(
    forward: ForwardPass, way: Way, label: str, spare: Spare, seed: int
) -> dict[str, Explanation]:
    """A map of each kind for one crop, as if `way` had made it of the class; seeded."""
    size, rng = forward.inputs.shape[-1], np.random.default_rng(seed)
    scores = forward.model.results.explanations
    known = scores.maps_of(way.key, label) if scores else None
    centre = rng.normal(NOSE, ABOUT)
    maps = {
        "blob": blob(size, tuple(rng.uniform(0, 1, 2))),
        "smooth": random_heat(1, size, seed)[0],
        "nose": blob(size, tuple(centre), (SPREAD * rng.uniform(0.7, 1.4), SPREAD)),
    }
    if known is not None:
        maps["mean"] = enlarged(torch.from_numpy(known.mean)[None], size)[0]
    others = spare.get(way.key, {}).get(label, [])
    if others:
        maps["other"] = enlarged(others[seed % len(others)][None], size)[0]
    return {
        kind: Explanation(maps[kind].numpy(), label, way.method, baseline=way.baseline)
        for kind in KINDS
        if kind in maps
    }


# --- how firm the verdicts are


def shifted(crop: Image.Image) -> Image.Image:
    """The crop moved by two of its 128 pixels to the right, its left edge repeated."""
    pixels, step = np.asarray(crop), max(1, round(crop.width / 64))
    moved = np.pad(pixels, ((0, 0), (step, 0), (0, 0)), mode="edge")[:, : crop.width]
    return Image.fromarray(moved)


def jpeg_90(crop: Image.Image) -> Image.Image:
    """The crop after JPEG compression of quality 90."""
    buffer = BytesIO()
    crop.save(buffer, "JPEG", quality=90)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


CHANGES = {
    "other draws": lambda crop: crop,
    "shift by 2 pixels": shifted,
    "mirrored": ImageOps.mirror,
    "JPEG 90": jpeg_90,
}


def changed_verdicts(
    model: Model, crop: Image.Image, way: Way
) -> dict[str, tuple[Verdict, Verdict]]:
    """The verdict on one way's map of a crop, and that after each change; of the same class."""
    forward = forward_pass(model, [crop])
    label = forward.predictions()[0].label
    before = _verdict(forward, way, label, seed=0)
    return {
        name: (before, _verdict(forward_pass(model, [change(crop)]), way, label, seed=index == 0))
        for index, (name, change) in enumerate(CHANGES.items())
    }


def _verdict(forward: ForwardPass, way: Way, label: str, seed: int) -> Verdict:
    [[explanation]] = explain_pass(forward, [way], Question(label))
    return verdict_of(explanation, blur_test(forward, [explanation], seed)[0])


def firmness(pairs: Sequence[tuple[Verdict, Verdict]]) -> Firmness:
    """How many of these pairs of verdicts differ."""
    changed = [pair for pair in pairs if pair[0].key != pair[1].key]
    return Firmness(len(pairs), len(changed), sum(not (a.close or b.close) for a, b in changed))


# --- the measurement

PAINTED = ("right", "nose_out", "chin")
SEED = 0
MEAN_FACES = 60  # of val that make the mean maps


@dataclass(frozen=True)
class Reading:
    """What was read of one map of one face.

    `like_mean`: rank correlation with the mean map; `nose_mouth`: heat for area on nose and mouth,
    None without landmarks or heat; `random` and `cascade`: see `faithfulness`, None where they were
    not asked for; `seconds`: None for a map that no way made.
    """

    curves: Curves
    verdict: Verdict
    like_mean: float | None = None
    nose_mouth: float | None = None
    random: Similarity | None = None
    cascade: tuple[float, ...] | None = None
    gap: float | None = None
    seconds: float | None = None


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
    for_mean: Sequence[Picture] = (),
) -> ExplanationScores:
    """Measure every way to explain the predicted class, on un-augmented pictures.

    Every second one is darkened to 35%, too. `sanity_faces`: on how many weights are drawn at
    random; `painted_faces`: on how many bare ones masks are painted; `for_mean`: other pictures,
    of which MEAN_FACES make the mean maps that the maps are held against. Raises DataError
    where a picture is unreadable, or none is un-augmented.
    """
    sample = sample_faces(pictures, faces, len(model.task))
    if not sample:
        raise DataError("There are no un-augmented pictures to explain: choose another split.")
    model = copy(model)  # measured with the mean maps made here
    others = sample_faces(for_mean, MEAN_FACES, len(model.task))
    maps, spare = mean_maps(model, others, progress)
    found = ExplanationScores(UNMEASURED_DEFAULT, {}, {}, maps=maps)
    model.results = Results(explanations=found)
    lights = _read_all(model, sample, max(1, len(sample) // max(1, sanity_faces)), progress)
    scores = {light: _by_way(readings) for light, readings in lights.items()}
    best = _best(scores["as_taken"])
    meaningless, firm = _sceptic(model, sample, all_ways()[best], spare, progress)
    return replace(
        found,
        default=best,
        lights=scores,
        painted=_painted_all(model, pictures, faces, painted_faces, progress),
        earned=_earned(scores["as_taken"][best], meaningless.values()),
        meaningless=meaningless,
        firmness=firm,
    )


def _read_all(
    model: Model, sample: Sequence[Picture], every: int, progress: Progress
) -> dict[str, list[dict[str, Reading]]]:
    """Every way's readings of every face, by light; each `every`-th with random weights, too."""
    lights: dict[str, list[dict[str, Reading]]] = {"as_taken": [], "dark_35": []}
    for index, picture in enumerate(progress(sample)):
        crop = read_crop(picture.file)
        landmarks = find_landmarks(crop) if model.task.faces else None
        seed = index if index % every == 0 else None
        lights["as_taken"].append(_read(model, crop, landmarks, seed))
        if index % 2 == 0:
            lights["dark_35"].append(_read(model, dark_35(crop), landmarks))
    return lights


def _best(scores: dict[str, WayScores]) -> str:
    # Few maps are confirmed, so their number would choose by luck: beating the copies decides.
    most = max(scores.values(), key=lambda s: s.beats_copies or 0)
    lowest, _ = wilson(most.beats_copies or 0, most.faces)
    near = {key: s for key, s in scores.items() if (s.beats_copies or 0) >= lowest * s.faces}
    # Twice the fastest one's time: small differences are the machine's.
    longest = 2 * min(s.milliseconds or 0 for s in near.values())
    fast = [key for key, s in near.items() if (s.milliseconds or 0) <= longest]
    return max(fast, key=lambda key: (near[key].beats_copies or 0, near[key].confirmed))


def _earned(best: WayScores, meaningless: Iterable[WayScores]) -> bool:
    """Whether the best way is confirmed clearly more often than any map without meaning."""
    lowest, _ = wilson(best.confirmed, best.faces)
    return all(lowest > wilson(one.confirmed, one.faces)[1] for one in meaningless)


def _sceptic(
    model: Model, sample: Sequence[Picture], way: Way, spare: Spare, progress: Progress
) -> tuple[dict[str, WayScores], dict[str, Firmness]]:
    """Scores of maps without meaning, by kind, and of the verdicts' firmness, by change."""
    readings: dict[str, list[Reading]] = {}
    pairs: dict[str, list[tuple[Verdict, Verdict]]] = {name: [] for name in CHANGES}
    for index, picture in enumerate(progress(sample)):
        crop = read_crop(picture.file)
        forward = forward_pass(model, [crop])
        label = forward.predictions()[0].label
        maps = meaningless_maps(forward, way, label, spare, index)
        for kind, *found in zip(maps, *_tests(forward, list(maps.values()), carried), strict=True):
            readings.setdefault(kind, []).append(Reading(*found))
        for name, pair in changed_verdicts(model, crop, way).items():
            pairs[name].append(pair)
    scores = {kind: _score(readings[kind]) for kind in KINDS if kind in readings}
    return scores, {name: firmness(found) for name, found in pairs.items()}


def _tests(
    forward: ForwardPass, explanations: Sequence[Explanation], anew: Anew = explained_anew
) -> tuple[list[Curves], list[Verdict], list[float | None]]:
    """What every map is put to, with meaning or without; `anew` as in `blur_test`."""
    likeness = [_like_mean(forward, e) for e in explanations]
    return curves(forward, explanations), blur_verdicts(forward, explanations, anew), likeness


def _like_mean(forward: ForwardPass, explanation: Explanation) -> float | None:
    """Absolute rank correlation with the mean map; None where there is none."""
    scores = forward.model.results.explanations
    known = scores.maps_of(explanation.way.key, explanation.target) if scores else None
    if known is None:
        return None
    mean = torch.from_numpy(known.mean)
    return abs(spearman(heat_at([explanation.heatmap], len(mean))[0], mean))


def find_landmarks(crop: Image.Image) -> Landmarks | None:
    """The landmarks of the largest face on a crop; None where none is found."""
    faces = find_faces(crop)
    return faces[0].landmarks if faces else None


def _read(
    model: Model, crop: Image.Image, landmarks: Landmarks | None, seed: int | None = None
) -> dict[str, Reading]:
    """Every way's reading of one crop; `seed`: of random weights, None for none."""
    explanations, seconds = _explain_all(model, crop)
    forward = forward_pass(model, [crop])
    place = nose_and_mouth(landmarks, crop.size)
    nothing = [None] * len(explanations)
    random = nothing if seed is None else similarity(forward, explanations, seed=seed)
    cascades = nothing if seed is None else cascade(forward, explanations, seed)
    columns = (*_tests(forward, explanations), explanations, random, cascades, seconds)
    return {
        key: Reading(c, v, like, heat_ratio(e, place), r, s, e.completeness_gap, time)
        for key, c, v, like, e, r, s, time in zip(all_ways(), *columns, strict=True)
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
    count, tests = len(readings), [r.verdict.test for r in readings]
    usual = sum(r.curves.beats_usual for r in readings)
    seconds = [r.seconds for r in readings if r.seconds is not None]
    return WayScores(
        faces=count,
        beats_random=sum(r.curves.beats_random for r in readings),
        deletion=mean(r.curves.deletion.area - r.curves.random_area for r in readings),
        insertion=mean(r.curves.insertion.area - r.curves.random_area for r in readings),
        empty=sum(r.verdict.key == "empty" for r in readings),
        nose_mouth=mean_known(r.nose_mouth for r in readings),
        largest_gap=max((r.gap for r in readings if r.gap is not None), default=None),
        milliseconds=1000 * median(seconds) if seconds else None,
        verdicts=dict(Counter(r.verdict.key for r in readings)),
        close=sum(r.verdict.close for r in readings),
        beats_copies=sum(test is not None and test.matters for test in tests),
        beats_usual=usual,
        usual_interval=wilson(usual, count),
        like_mean=mean_known(r.like_mean for r in readings),
        random_head=_spread([r.random.draws for r in readings if r.random]),
        cascade=_mean_cascade(readings),
    )


def _spread(draws: Sequence[tuple[float, ...]]) -> Spread | None:
    """Of each draw's mean over the faces."""
    means = [mean(one) for one in zip(*draws, strict=True)]
    return Spread(mean(means), min(means), max(means), len(means)) if means else None


def mean_known(values) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _mean_cascade(readings: list[Reading]) -> tuple[float, ...] | None:
    known = [r.cascade for r in readings if r.cascade is not None]
    return tuple(mean(stage) for stage in zip(*known, strict=True)) if known else None


def _painted_all(
    model: Model, pictures: Sequence[Picture], faces: int, count: int, progress: Progress
) -> dict[str, dict[str, PaintedHeat]]:
    """The heat on masks painted in each position; none for another task."""
    if not is_mask(model.task):
        return {}
    bare = sample_faces([p for p in pictures if p.label == MASK.index(BARE)], faces, len(MASK))
    return {position: _painted(model, bare, position, count, progress) for position in PAINTED}


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
