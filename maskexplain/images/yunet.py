"""YuNet, the face finder; its file lies in the folder yunet-2023mar with its licence.

Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y; MIT licence.
"""

import hashlib
import threading
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError

MODEL_FILE = Path(__file__).parent / "yunet-2023mar" / "face_detection_yunet_2023mar.onnx"
MODEL_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

MIN_SCORE = 0.6  # upstream's .9 loses most masked faces
MAX_OVERLAP = 0.3

_local = threading.local()


class FaceError(UserError):
    """The face finder cannot start."""


def detect(pixels: np.ndarray, name: str) -> np.ndarray:
    """What YuNet finds in BGR pixels (H x W x 3, uint8) at their own size, N x 16.

    A row holds x, y, width, height, five landmarks (right eye, left eye, nose tip, right and left
    corner of the mouth), the score (0..1) and the side it was seen at, all in pixels. `name`
    keeps a detector for looks of one kind, since setting another size costs time. Raises
    FaceError where the model file is missing or is not the known one.
    """
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
    """The bytes of YuNet's file. Raises FaceError."""
    remedy = "install the program again"
    if not MODEL_FILE.is_file():
        raise FaceError(f"The face finder's model is not installed: {remedy}.")
    data = MODEL_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise FaceError(f"The face finder's model is not the known file: {remedy}.")
    return np.frombuffer(data, np.uint8)
