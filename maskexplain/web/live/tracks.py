"""Faces followed from frame to frame of a live picture, each with its answer over time.

No picture is kept: a track holds a box, five landmarks, three probabilities and a coarse heatmap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

import numpy as np
from PIL import Image

from ...images.faces import Face, area, find_faces, follow_face, iou
from ...models.version import Prediction

SEARCH_EVERY = 1.0  # seconds between looks for new faces over the whole frame
HOLD = 2.2  # seconds without being found, after which a face is given up
MIN_OVERLAP = 0.3  # intersection over union
MAX_TRACKS = 5  # faces answered at once; bounds the work and the memory
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
    the first answer.
    """

    number: int
    face: Face
    seen: float
    found: float
    probabilities: dict[str, float] | None = None
    label: str | None = None
    answered: float = 0.0
    heat: Heat | None = None

    @property
    def confidence(self) -> float:
        """The shown class's running mean (0..1); only once it is answered."""
        return self.probabilities[self.label]

    def prediction(self, unsure_below: float) -> Prediction:
        """What is shown; only once it is answered. `unsure_below`: the version's, 0..1."""
        unsure = self.confidence < unsure_below
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

    def visible(self, now: float) -> tuple[Track, ...]:
        """The faces of the frame at `now`, the main one first, then by size."""
        seen = [track for track in self.tracks if track.seen == now]
        return tuple(sorted(seen, key=lambda t: (t.number != self.main, -area(t.face.box))))


def advance(scene: Scene, frame: Image.Image, now: float) -> Scene:
    """The scene with its faces found in the next RGB frame; `now` in seconds.

    Known faces are followed; the whole frame is searched every second, and whenever a face
    is lost or none is known.
    """
    followed = replace(scene, tracks=tuple(_followed(t, frame, now) for t in scene.tracks))
    lost = len(followed.visible(now)) < max(1, len(scene.tracks))
    if lost or now - scene.searched >= SEARCH_EVERY:
        followed = matched(followed, find_faces(frame), now)
    return _with_main(followed, now)


def _followed(track: Track, frame: Image.Image, now: float) -> Track:
    face = follow_face(frame, track.face)
    return track if face is None else replace(track, face=face, seen=now)


def matched(scene: Scene, faces: Sequence[Face], now: float) -> Scene:
    """The scene after a search: each found face (largest first) continues the track that it
    overlaps most, or begins one; tracks that no search finds are given up after a while.
    """
    left, tracks, count = list(scene.tracks), [], scene.count
    for face in faces[:MAX_TRACKS]:
        best = max(left, key=lambda track: iou(track.face.box, face.box), default=None)
        if best is not None and iou(best.face.box, face.box) >= MIN_OVERLAP:
            left.remove(best)
            tracks.append(replace(best, face=face, seen=now, found=now))
        else:
            count += 1
            tracks.append(Track(count, face, seen=now, found=now))
    held = [track for track in left if now - track.found < HOLD and not _hidden(track, tracks)]
    kept = (*tracks, *held)[:MAX_TRACKS]
    return replace(scene, tracks=kept, searched=now, count=count)


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
    """The track with the answer of its frame mixed in, and its heat where it is explained."""
    seconds = now - track.answered
    if track.probabilities is None:
        return replace(
            track,
            probabilities=prediction.probabilities,
            label=prediction.label,
            answered=now,
            heat=heat,
        )
    means = mixed_probabilities(track.probabilities, prediction.probabilities, seconds)
    label = steady_label(track.label, means)
    mixed = _mixed(track.heat, heat, seconds)
    return replace(track, probabilities=means, label=label, answered=now, heat=mixed)


def _mixed(old: Heat | None, new: Heat | None, seconds: float) -> Heat | None:
    if old is None or new is None or old.target != new.target:
        return new
    return replace(new, map=mixed_heat(old.map, new.map, seconds))


ANSWER_SECONDS = 0.4  # after these, a new answer has two thirds of its weight
HEAT_SECONDS = 0.25
LEAD = 0.1  # by which another class's probability must lead before it becomes the label


def new_share(seconds: float, constant: float) -> float:
    """The weight (0..1) of what is new after some seconds: 1 - exp(-seconds / constant)."""
    return 1 - exp(-max(seconds, 0.0) / constant)


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
