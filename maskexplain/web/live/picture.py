"""What lies over the live picture, as HTML: heat, boxes and readable texts on its mirror."""

import base64
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from ...explain.draw import HEAT
from ...images.crops import Crop
from ...images.edit import between_centres
from ...images.faces import MIN_TILT
from ...task import Task
from ...video.drawing import Mark, words, written_out
from ...video.tracks import Track
from ..assets import macros

LETTERS = 27  # the picture's width on a phone (390 pixels) in letters' heights (.9rem)
SHRINK = 4  # the heat is a coarse map: it is sent this much smaller than the frame

_MACROS = macros("live")


def live_marks(
    frame: bytes,
    size: tuple[int, int],
    task: Task,
    tracks: Sequence[Track],
    heat_url: str | None,
    unsure_below: float = 0.0,
    now: float | None = None,
) -> str:
    """HTML to lay over the mirrored camera picture: the faces of a frame (a JPEG's bytes) of a
    size (width, height), the main one first. Those not seen at `now` (by default all are) are said
    to be lost, at their last place. Where there is no room for words stands a sign.

    The frame itself is not sent back, which took half of the time: the camera's picture is there.
    The heat is mirrored by the style sheet; boxes and texts are placed mirrored, so that texts can
    be read. `data-frame` names the frame that was answered. Answers under `unsure_below` (0..1)
    are said to be unsure.
    """
    found = [_mark(track, unsure_below, now) for track in tracks]
    full = written_out(task, found, size, letter=size[0] / LETTERS)
    placed = [
        _Placed(task, mark, tracks[i].face.tilt, size, i == 0, full[i])
        for i, mark in enumerate(found)
    ]
    return _MACROS.marks(
        said=_said(task, tracks, now),
        frame=frame_name(frame),
        ratio=f"{size[0]}/{size[1]}",
        heat=heat_url or _nothing(),
        shown=bool(heat_url),
        found=placed[::-1],  # the main face's lies above the others'
    )


def frame_name(frame: bytes) -> str:
    """Tells a frame from others: its length, and the last 76 characters or more of its base64."""
    # From a multiple of three on, so that they are the same as in the whole.
    tail = frame[-(57 + len(frame) % 3) :]
    return f"{len(frame)}:{base64.b64encode(tail).decode()}"


def _said(task: Task, tracks: Sequence[Track], now: float | None) -> str:
    """The picture in words: at most ten different ones, however many faces."""
    if not tracks:
        return "You, live: no face found"
    labels = [track.label if now in (None, track.seen) else None for track in tracks]
    counted = ((labels.count(label), label) for label in dict.fromkeys(labels))
    titles = ((n, task.title(label) if label else "face lost") for n, label in counted)
    return "You, live: " + ", ".join(f"{n} x {t}" if n > 1 else t for n, t in titles)


def _mark(track: Track, unsure_below: float, now: float | None) -> Mark:
    shown = track.prediction(unsure_below)
    lost = now not in (None, track.seen)
    return Mark(track.face.box, shown.label, shown.confidence, shown.unsure, lost)


class _Placed:
    """A face's box, turned with its head, and its answer above it; for a mirrored picture."""

    def __init__(
        self, task: Task, mark: Mark, tilt: float, size: tuple[int, int], main: bool, full: bool
    ) -> None:
        x0, y0, x1, y1 = mark.box
        left, width = 1 - x1 / size[0], (x1 - x0) / size[0]
        top, height = y0 / size[1], (y1 - y0) / size[1]
        kinds = {"main": main, "lost": mark.lost, "short": not full}
        self.kind = "".join(f" {kind}" for kind, so in kinds.items() if so)
        self.look, self.text = task.style(mark.label), words(task, mark, full)
        self.place = f"left:{left:.1%};top:{top:.1%};width:{width:.1%};height:{height:.1%}"
        # The text keeps to the side where there is room for it, and above the box where it fits.
        side = f"left:{left:.1%}" if left + width / 2 < 0.5 else f"right:{1 - left - width:.1%}"
        above = top > (0.08 if full else 0.05)
        self.beside = f"{side};" + (f"bottom:{1 - top:.1%}" if above else f"top:{top:.1%}")
        self.turn = f"{-tilt if abs(tilt) > MIN_TILT else 0.0:.0f}"


def heat_url(heat: np.ndarray, crop: Crop, size: tuple[int, int]) -> str:
    """A heatmap (float32 h x w, 0..1, standing for the whole crop) at its true place on the frame
    of a size (width, height): a small PNG `data:` URL, clear where there is no heat.
    """
    place = _from_map(heat, crop) / SHRINK
    small = size[0] // SHRINK, size[1] // SHRINK
    levels = np.round(heat * 255).astype(np.uint8)
    placed = cv2.warpAffine(levels, between_centres(place), small, flags=cv2.INTER_LINEAR)
    return _png_url(_colours()[placed])


def _from_map(heat: np.ndarray, crop: Crop) -> np.ndarray:
    """The 2 x 3 matrix from the heatmap's points to the frame's."""
    matrix = np.array(crop.transform)
    matrix[:, 0] *= crop.image.width / heat.shape[1]
    matrix[:, 1] *= crop.image.height / heat.shape[0]
    return matrix


@cache
def _colours() -> np.ndarray:
    """BGRA of 256 levels of heat, as `draw.overlay` mixes them: clearer where it is cold."""
    levels = np.arange(256) / 255
    rgb = HEAT(levels)[:, :3]
    alpha = 0.85 * np.sqrt(levels)
    return np.round(np.column_stack([rgb[:, ::-1], alpha]) * 255).astype(np.uint8)


@cache
def _nothing() -> str:
    return _png_url(np.zeros((1, 1, 4), np.uint8))


def _png_url(bgra: np.ndarray) -> str:
    content = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
