"""Faces followed from frame to frame of a clip or a camera, each with its answer over time.

No picture is kept: a track holds a box, five landmarks, three probabilities and a coarse heatmap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import dist, exp, sqrt

import numpy as np
from PIL import Image

from ..images.faces import Face, area, find_faces, follow_face, iou
from ..models.version import Prediction

SEARCH_EVERY = 1.0  # seconds between looks for new faces over the whole frame
HOLD = 2.2  # seconds without being found, after which a face is given up
LOST = 0.3  # seconds out of sight, after which people are told; a blink of the finder is shorter
MIN_OVERLAP = 0.3  # intersection over union
# A face that was out of sight may come back elsewhere: within so many of its sides, its area
# changed by so much at most.
NEAR, SIMILAR = 0.9, 2.5
MAX_TRACKS = 50  # faces at once; bounds the work and the memory
# Of more faces than these one search finds all sooner than each is followed.
FOLLOWED = 5
# Faces answered in one frame beside the main one and the new ones: a crowd takes turns.
TURNS = 8
LARGER = 1.3  # another face's area over the main one's, before it becomes the main one


@dataclass(frozen=True)
class Heat:
    """Where a version looked: a map (float32, 0..1) over the face's crop, and for which class."""

    map: np.ndarray
    target: str


@dataclass(frozen=True)
class Track:
    """A followed face: where it was last, when it was seen and last found by a search (seconds),
    and what is shown of it.

    `probabilities` are running means, `label` is the class that is shown; both are empty until
    the first answer. `doubt` (0..1) is the running share of answers that were unsure.
    """

    number: int
    face: Face
    seen: float
    found: float
    probabilities: dict[str, float] = field(default_factory=dict)
    label: str = ""
    doubt: float = 0.0
    answered: float = 0.0
    heat: Heat | None = None

    @property
    def confidence(self) -> float:
        """The shown class's running mean (0..1); only once it is answered."""
        return self.probabilities[self.label]

    def prediction(self, unsure_below: float) -> Prediction:
        """What is shown; only once it is answered. `unsure_below`: the version's, 0..1.

        It is unsure where most answers were, or where they contradict one another.
        """
        unsure = self.doubt > 0.5 or self.confidence < min(unsure_below, AGREED)
        return Prediction(self.label, self.confidence, self.probabilities, unsure)


@dataclass(frozen=True)
class Scene:
    """All that is remembered between a visitor's frames.

    `tracks`: at most MAX_TRACKS; `main`: the number of the one that is explained. `searched`:
    when the whole frame was last looked at. `count`: numbers given so far.
    """

    version: str = ""
    tracks: tuple[Track, ...] = ()
    main: int | None = None
    searched: float = float("-inf")
    count: int = 0

    def shown(self, now: float) -> tuple[Track, ...]:
        """The faces at `now`, the main one first, then by size; those out of sight come last, at
        their last place: their `seen` is earlier.
        """
        answered = [t for t in self.tracks if t.seen == now or t.label]
        order = sorted(answered, key=lambda t: (t.number != self.main, -area(t.face.box)))
        return tuple(sorted(order, key=lambda track: track.seen < now))

    def visible(self, now: float) -> tuple[Track, ...]:
        """Those of `shown` that are in the frame at `now`."""
        return tuple(track for track in self.shown(now) if track.seen == now)


def advance(
    scene: Scene, frame: Image.Image, now: float, search_every: float = SEARCH_EVERY
) -> Scene:
    """The scene with its faces found in the next RGB frame; `now` in seconds.

    Known faces are followed; the whole frame is searched every `search_every` seconds, whenever a
    face is lost or none is known, and always in a crowd.
    """
    followed = scene
    if len(scene.tracks) <= FOLLOWED:
        followed = replace(scene, tracks=_apart(scene.tracks, frame, now))
    lost = len(followed.visible(now)) < max(1, len(scene.tracks))
    if lost or now - scene.searched >= search_every:
        followed = matched(followed, find_faces(frame), now)
    return _with_main(followed, now)


def _apart(tracks: Sequence[Track], frame: Image.Image, now: float) -> tuple[Track, ...]:
    """The tracks, each followed into the frame; where two went to one face, the nearer has it."""
    moved = {t.number: face for t in tracks if (face := follow_face(frame, t.face))}
    known = sorted(
        (track for track in tracks if track.number in moved),
        key=lambda t: -iou(t.face.box, moved[t.number].box),
    )
    taken: list[Track] = []
    for track in known:
        there = replace(track, face=moved[track.number], seen=now)
        if not _hidden(there, taken):
            taken.append(there)
    followed = {track.number: track for track in taken}
    return tuple(followed.get(track.number, track) for track in tracks)


def matched(scene: Scene, faces: Sequence[Face], now: float) -> Scene:
    """The scene after a search: each found face (largest first) continues the track that it
    overlaps most, or one out of sight that was near, or begins one; tracks that no search finds
    are given up after a while.
    """
    left, tracks, new, count = list(scene.tracks), [], [], scene.count
    for face in faces[:MAX_TRACKS]:
        best = max(left, key=lambda track: iou(track.face.box, face.box), default=None)
        if best is not None and iou(best.face.box, face.box) >= MIN_OVERLAP:
            left.remove(best)
            tracks.append(replace(best, face=face, seen=now, found=now))
        else:
            new.append(face)
    for face in new:
        best = min(left, key=lambda track: _way(track.face, face), default=None)
        if best is not None and best.seen < now and _way(best.face, face) <= NEAR:
            left.remove(best)
            tracks.append(replace(best, face=face, seen=now, found=now))
        else:
            count += 1
            tracks.append(Track(count, face, seen=now, found=now))
    held = [track for track in left if now - track.found < HOLD and not _hidden(track, tracks)]
    kept = (*tracks, *held)[:MAX_TRACKS]
    return replace(scene, tracks=kept, searched=now, count=count)


def _way(old: Face, new: Face) -> float:
    """How far a face went, in its own sides; infinite where its size is another one's."""
    sizes = sorted((area(old.box), area(new.box)))
    if sizes[1] > SIMILAR * sizes[0]:
        return float("inf")
    centres = (((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (old.box, new.box))
    return dist(*centres) / sqrt(sizes[1])


def due(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """Those of a frame's visible faces (the main one first) that are answered now: the main one,
    the new ones, and in a crowd as many of the others as take turns, longest unanswered first.
    """
    first = [t for i, t in enumerate(tracks) if i == 0 or not t.label]
    others = [t for t in tracks if t not in first]
    waiting = sorted(others, key=lambda track: track.answered)[:TURNS]
    return (*first, *waiting)


def _hidden(track: Track, others: Sequence[Track]) -> bool:
    """Whether another track has its place: two on one face would show it twice."""
    return any(iou(track.face.box, other.face.box) >= MIN_OVERLAP for other in others)


def _with_main(scene: Scene, now: float) -> Scene:
    """The main face stays the main one until it is gone or another is clearly larger."""
    sizes = {track.number: area(track.face.box) for track in scene.visible(now)}
    if not sizes:
        return scene
    largest = max(sizes, key=sizes.__getitem__)
    if scene.main in sizes and sizes[largest] < LARGER * sizes[scene.main]:
        return scene
    return replace(scene, main=largest)


def answered(track: Track, prediction: Prediction, now: float, heat: Heat | None = None) -> Track:
    """The track with the answer of its frame mixed in, and its heat where it is explained.

    The less an answer decides, the less it weighs: a face in profile or in dim light keeps its
    answer for some seconds, and is said to be unsure.
    """
    if not track.label:
        return replace(
            track,
            probabilities=prediction.probabilities,
            label=prediction.label,
            doubt=float(prediction.unsure),
            answered=now,
            heat=heat,
        )
    seconds = now - track.answered
    weight = decided(prediction) ** 2
    means = mixed_probabilities(track.probabilities, prediction.probabilities, seconds * weight)
    share = new_share(seconds, ANSWER_SECONDS)
    return replace(
        track,
        probabilities=means,
        label=steady_label(track.label, means),
        doubt=(1 - share) * track.doubt + share * prediction.unsure,
        answered=now,
        heat=_mixed(track.heat, heat, seconds),
    )


def _mixed(old: Heat | None, new: Heat | None, seconds: float) -> Heat | None:
    if old is None or new is None or old.target != new.target:
        return new
    return replace(new, map=mixed_heat(old.map, new.map, seconds))


ANSWER_SECONDS = 0.4  # after these, a new answer has two thirds of its weight
HEAT_SECONDS = 0.25
# Answers that agree have a higher mean; half a second after a change they agree again.
AGREED = 0.75
LEAD = 0.1  # by which another class's probability must lead before it becomes the label


def new_share(seconds: float, constant: float) -> float:
    """The weight (0..1) of what is new after some seconds: 1 - exp(-seconds / constant)."""
    return 1 - exp(-max(seconds, 0.0) / constant)


def decided(prediction: Prediction) -> float:
    """How far an answer is from knowing nothing: 0 where all classes are as likely, 1 at 100%."""
    chance = 1 / len(prediction.probabilities)
    return (prediction.confidence - chance) / (1 - chance)


def mixed_probabilities(
    old: dict[str, float], new: dict[str, float], seconds: float
) -> dict[str, float]:
    """The running mean of the classes' probabilities; it sums to 1 as they do."""
    share = new_share(seconds, ANSWER_SECONDS)
    return {name: (1 - share) * old[name] + share * new[name] for name in old}


def mixed_heat(old: np.ndarray, new: np.ndarray, seconds: float) -> np.ndarray:
    """The running mean of heatmaps of one shape, float32 0..1."""
    share = np.float32(new_share(seconds, HEAT_SECONDS))
    return (1 - share) * old + share * new


def steady_label(label: str, probabilities: dict[str, float]) -> str:
    """The label that was shown, until another class leads it clearly."""
    best = max(probabilities, key=probabilities.__getitem__)
    return best if probabilities[best] >= probabilities[label] + LEAD else label
