"""The faces of a picture: where they are, their landmarks, and how far their heads tilt.

Boxes and landmarks are in pixels from the picture's upper left corner; the centre of the first
pixel lies at (.5, .5).

YuNet finds them; its file lies in the folder yunet-2023mar with its licence. Wu, Peng and Yu 2023,
doi 10.1007/s11633-023-1423-y; MIT licence. OpenCV can run it as well, and finds the same faces in
three times the time.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import atan2, degrees, hypot, sqrt
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import UserError
from .edit import cut_patch, mapped, placement

# From version 1.29 on onnxruntime reports to its makers by default. requirements.txt asks for an
# older one; the variable holds for whoever has a newer one. It is read at the import, so everybody
# here takes onnxruntime from this module.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # noqa: E402
from onnxruntime import InferenceSession  # noqa: E402

# Made from OpenCV's face_detection_yunet_2023mar.onnx by tools/yunet.py: sizes are left open.
MODEL_FILE = Path(__file__).parent / "yunet-2023mar/face_detection_yunet_2023mar_any_size.onnx"
MODEL_SHA256 = "21642bd2e3f563a5ff4245f72ff8411c590e764ed8a301b9a9f8111ef551348d"

MIN_SCORE = 0.6  # upstream's .9 loses most masked faces
MAX_OVERLAP = 0.3
STRIDES = (8, 16, 32)  # pixels from one cell of its three grids to the next
PARTS = ("cls", "obj", "bbox", "kps")  # of a cell: face or not, how well it fits, box, landmarks

# The long side of the fine look, in pixels. The coarse look at half of it finds the faces that
# fill the frame, and only those: its small ones are mostly wrong.
FINE_SIDE, MAX_ENLARGEMENT = 640, 2.0
MIN_COARSE_FACE = 60
# On strips narrower than its grid YuNet makes faces up, and not the same ones at every call.
MIN_LOOK = 32

# From YuNet's box to the training crops' (x + left * w, y + top * h, x + right * w, ...): medians
# over 1,238 boxed faces of the training scenes.
LEFT, TOP, RIGHT, BOTTOM = 0.0, 0.185, 1.03, 1.08

# Heads turned further than this are cut upright.
MIN_TILT = 10.0  # degrees
# YuNet's landmarks follow a tilt only where it sees the face about this large, in pixels; on
# smaller faces they stay level. So those are looked at again, closer, and turned until level.
TRUSTED_SIDE, CLOSER_SIDE, CLOSER_MARGIN = 120, 160, 1.6
FOLLOWED_SIDE = 140  # a face of the last picture is looked for at this size; at 120 tilts suffer
LEVEL, MAX_TURNS, MAX_CLOSER = 5.0, 3, 12
MIN_TILTED_SIDE = 32  # smaller faces have too few pixels for a tilt
# Seen from the side, the eyes lie too close together for a line: their distance against the box.
MIN_EYE_DISTANCE = 0.25

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Landmarks = tuple[Point, Point, Point, Point, Point]

SCORE, SEEN = 14, 15  # columns of what YuNet finds


class FaceError(UserError):
    """The face finder cannot start."""


@dataclass(frozen=True)
class Face:
    """A found face.

    `box` is (x0, y0, x1, y1), cut like the training crops and clipped to the picture. `score` is
    YuNet's, 0..1. `landmarks` are the person's right eye (the left one on an upright picture),
    left eye, nose tip, right and left corner of the mouth; they may lie outside the picture.
    `tilt` are the degrees by which the eyes' line is turned clockwise; 0 where it was not
    measured: small faces, heads seen from the side, and all but the twelve largest faces. Over
    10 degrees `box` is the one of the head turned upright about the box's centre.
    """

    box: Box
    score: float
    landmarks: Landmarks
    tilt: float = 0.0

    def to_dict(self) -> dict:
        points = [[round(x, 2), round(y, 2)] for x, y in self.landmarks]
        box = [round(side, 2) for side in self.box]
        score, tilt = round(self.score, 4), round(self.tilt, 1)
        return {"box": box, "score": score, "landmarks": points, "tilt": tilt}


def find_faces(image: Image.Image) -> list[Face]:
    """The faces of an RGB picture, largest first; an empty list where there is none.

    The picture is looked at twice, with a long side of 640 pixels (or twice its own) and of half
    of that; faces that are small there are looked at again for their tilt. Safe to call from
    several threads. Raises FaceError where the model file is missing or is not the known one.
    """
    pixels = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    long_side = max(image.size)
    scale = min(FINE_SIDE / long_side, MAX_ENLARGEMENT)
    fine, coarse = _look(pixels, scale), _look(pixels, scale / 2)
    rows = _merge(np.concatenate([fine, coarse[coarse[:, SEEN] >= MIN_COARSE_FACE]]))
    rows = rows[np.argsort(-rows[:, 2] * rows[:, 3], kind="stable")]
    found = [_to_face(row, pixels, closer=i < MAX_CLOSER) for i, row in enumerate(rows)]
    return sorted((face for face in found if area(face.box) >= 1), key=_largest_first)


def follow_face(image: Image.Image, face: Face) -> Face | None:
    """A known face in the next picture (RGB) of a video; None where it is lost.

    One closer look at its surroundings, in a fifth of the time of `find_faces`: it may have moved
    by half its size and turned by some 30 degrees. `score` is the one it was found with.
    """
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    x0, y0, x1, y1 = face.box
    turn = face.tilt if abs(face.tilt) > MIN_TILT else 0.0
    centre, side = ((x0 + x1) / 2, (y0 + y1) / 2), sqrt(area(face.box))
    near, matrix = look_closer(pixels, centre, side, FOLLOWED_SIDE, turn)
    if near is None:
        return None
    landmarks = tuple((x, y) for x, y in mapped(matrix, _points(near)).tolist())
    box = _clip(_box_on_picture(near, matrix), image.size)
    return Face(box, face.score, landmarks, turn + _eye_tilt(near)) if area(box) >= 1 else None


def _look(pixels: np.ndarray, scale: float) -> np.ndarray:
    """What YuNet finds at one scale, N x 16, in the picture's pixels.

    A row holds x, y, width, height, five landmarks, the score and the size YuNet saw it at.
    """
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if min(size) < MIN_LOOK:
        return np.empty((0, 16), np.float32)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rows = detect(cv2.resize(pixels, size, interpolation=how))
    return rows * np.float32([width / size[0], height / size[1]] * 7 + [1, 1])


def _merge(rows: np.ndarray) -> np.ndarray:
    """Of boxes that overlap, keep the one with the best score."""
    kept = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, SCORE].tolist(), MIN_SCORE, MAX_OVERLAP)
    return rows[np.asarray(kept, int)]


def _to_face(row: np.ndarray, pixels: np.ndarray, closer: bool) -> Face:
    box, points = _moved(row), _points(row)
    trusted = row[SEEN] >= TRUSTED_SIDE
    tilt = _eye_tilt(row) if trusted else 0.0
    level = trusted and abs(tilt) < LEVEL
    if closer and not level and _side(row) >= MIN_TILTED_SIDE:
        turned = _turn_level(row, pixels)
        if turned:
            points, tilt = turned.points, turned.tilt
            box = turned.box if abs(tilt) > MIN_TILT else box
    landmarks = tuple((x, y) for x, y in points.tolist())
    return Face(_clip(box, pixels.shape[1::-1]), float(row[SCORE]), landmarks, tilt)


@dataclass(frozen=True)
class _Turned:
    """A face as it was seen when turned level: landmarks (5 x 2), tilt and box on the picture."""

    points: np.ndarray
    tilt: float
    box: Box


def _turn_level(row: np.ndarray, pixels: np.ndarray) -> _Turned | None:
    """Look at a found face closer, turned by its tilt, until its eyes lie level."""
    centre, side = row[:2] + row[2:4] / 2, _side(row)
    tilt, turned = 0.0, None
    for _ in range(MAX_TURNS):
        near, matrix = look_closer(pixels, centre, side, CLOSER_SIDE, tilt)
        if near is None:
            break
        rest = _eye_tilt(near)
        tilt += rest
        turned = _Turned(mapped(matrix, _points(near)), tilt, _box_on_picture(near, matrix))
        centre = mapped(matrix, near[:2] + near[2:4] / 2)
        if abs(rest) < LEVEL:
            break
    return turned


def look_closer(
    pixels: np.ndarray, centre: Sequence[float] | np.ndarray, side: float, at: int, tilt: float
) -> tuple[np.ndarray | None, np.ndarray]:
    """YuNet's row of a face `side` pixels large, seen at the size `at` and turned level by `tilt`.

    None where there is no face in the middle; and the matrix from there onto the picture.
    """
    size = (round(at * CLOSER_MARGIN),) * 2
    matrix = placement(centre, size, tilt, side / at)
    rows = detect(cut_patch(pixels, matrix, size))
    away = np.hypot(*(rows[:, :2] + rows[:, 2:4] / 2 - np.array(size) / 2).T)
    if not len(rows) or away.min() > size[0] / CLOSER_MARGIN / 2:
        return None, matrix
    return rows[away.argmin()], matrix


def _box_on_picture(near: np.ndarray, matrix: np.ndarray) -> Box:
    """The box of a face seen turned, turned about its centre until it lies along the picture."""
    x0, y0, x1, y1 = _moved(near)
    scale = hypot(*matrix[:, 0])
    x, y = mapped(matrix, np.array([(x0 + x1) / 2, (y0 + y1) / 2])).tolist()
    w, h = (x1 - x0) * scale / 2, (y1 - y0) * scale / 2
    return x - w, y - h, x + w, y + h


def _side(row: np.ndarray) -> float:
    return sqrt(row[2] * row[3])


def _points(row: np.ndarray) -> np.ndarray:
    return row[4:14].reshape(5, 2).astype(float)


def _moved(row: np.ndarray) -> Box:
    x, y, w, h = row[:4].tolist()
    return x + LEFT * w, y + TOP * h, x + RIGHT * w, y + BOTTOM * h


def _eye_tilt(row: np.ndarray) -> float:
    """Degrees by which the eyes' line is turned clockwise; 0 for a head seen from the side."""
    x, y = (_points(row)[1] - _points(row)[0]).tolist()
    return degrees(atan2(y, x)) if hypot(x, y) >= MIN_EYE_DISTANCE * _side(row) else 0.0


def _clip(box: Box, size: tuple[int, int]) -> Box:
    return tuple(min(max(value, 0.0), float(size[i % 2])) for i, value in enumerate(box))


def area(box: Box) -> float:
    """Square pixels of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1; 0 where they do not touch."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (area(one) + area(other) - shared) if shared else 0.0


def _largest_first(face: Face) -> tuple:
    return -area(face.box), face.box


# --- YuNet


def detect(pixels: np.ndarray) -> np.ndarray:
    """What YuNet finds in BGR pixels (H x W x 3, uint8) at their own size, N x 16, best first.

    A row holds x, y, width, height, five landmarks (right eye, left eye, nose tip, right and left
    corner of the mouth), the score (0..1) and the side it was seen at, all in pixels. Safe to call
    from several threads. Raises FaceError where the model file is missing or is not the known one.
    """
    below, right = (-side % STRIDES[-1] for side in pixels.shape[:2])
    padded = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT)
    names = [f"{part}_{stride}" for stride in STRIDES for part in PARTS]
    found = _session().run(names, {"input": cv2.dnn.blobFromImage(padded)})
    parts = len(PARTS)
    rows = np.concatenate([
        _seen(stride, padded.shape[1] // stride, *(one[0] for one in found[at : at + parts]))
        for at, stride in zip(range(0, len(found), parts), STRIDES, strict=True)
    ])  # fmt: skip
    # On strips a few pixels wide YuNet gives boxes without end, or not numbers at all.
    rows = rows[(np.abs(rows) < 1e6).all(axis=1)]
    boxes = rows[:, :4].astype(int).tolist()  # whole pixels, as OpenCV compares them
    rows = rows[np.asarray(cv2.dnn.NMSBoxes(boxes, rows[:, 14], MIN_SCORE, MAX_OVERLAP), int)]
    return np.column_stack([rows, np.sqrt(rows[:, 2] * rows[:, 3])])


def _seen(
    stride: int,
    columns: int,
    face: np.ndarray,
    fit: np.ndarray,
    box: np.ndarray,
    points: np.ndarray,
) -> np.ndarray:
    """The cells of one grid that score enough, N x 15; the parts have a row a cell."""
    scores = np.sqrt(face.clip(0, 1) * fit.clip(0, 1))[:, 0]
    chosen = np.flatnonzero(scores >= MIN_SCORE)
    cells = np.column_stack([chosen % columns, chosen // columns])  # x, y
    centre = (cells + box[chosen, :2]) * stride
    size = np.exp(box[chosen, 2:]) * stride
    landmarks = (np.tile(cells, 5) + points[chosen]) * stride
    rows = [centre - size / 2, size, landmarks, scores[chosen]]
    return np.column_stack(rows).astype(np.float32)


@cache
def _session() -> InferenceSession:
    return open_session(_model(), threads=1)  # the cores are for visitors asking at once


@cache
def _model() -> bytes:
    """YuNet's file. Raises FaceError."""
    remedy = "install the program again"
    if not MODEL_FILE.is_file():
        raise FaceError(f"The face finder's model is not installed: {remedy}.")
    data = MODEL_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise FaceError(f"The face finder's model is not the known file: {remedy}.")
    return data


def open_session(model: str | bytes, threads: int = 0) -> InferenceSession:
    """The network of an ONNX file (its path or content), ready to run on the CPU.

    `threads` for one picture; 0 takes all cores. Safe to run from several threads.
    """
    onnxruntime.disable_telemetry_events()  # where somebody else has imported it before
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it remarks on every output of another size
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # pictures differ in size
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
