"""YuNet, the face finder; its file lies in the folder yunet-2023mar with its licence.

Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y; MIT licence. OpenCV can run it as well, and
finds the same faces in three times the time.
"""

import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..onnx_engine import InferenceSession, open_session

# Made from OpenCV's face_detection_yunet_2023mar.onnx by tools/yunet.py: sizes are left open.
MODEL_FILE = Path(__file__).parent / "yunet-2023mar/face_detection_yunet_2023mar_any_size.onnx"
MODEL_SHA256 = "21642bd2e3f563a5ff4245f72ff8411c590e764ed8a301b9a9f8111ef551348d"

MIN_SCORE = 0.6  # upstream's .9 loses most masked faces
MAX_OVERLAP = 0.3
STRIDES = (8, 16, 32)  # pixels from one cell of its three grids to the next
PARTS = ("cls", "obj", "bbox", "kps")  # of a cell: face or not, how well it fits, box, landmarks


class FaceError(UserError):
    """The face finder cannot start."""


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
        _faces(stride, padded.shape[1] // stride, *(one[0] for one in found[at : at + parts]))
        for at, stride in zip(range(0, len(found), parts), STRIDES, strict=True)
    ])  # fmt: skip
    # On strips a few pixels wide YuNet gives boxes without end, or not numbers at all.
    rows = rows[(np.abs(rows) < 1e6).all(axis=1)]
    boxes = rows[:, :4].astype(int).tolist()  # whole pixels, as OpenCV compares them
    rows = rows[np.asarray(cv2.dnn.NMSBoxes(boxes, rows[:, 14], MIN_SCORE, MAX_OVERLAP), int)]
    return np.column_stack([rows, np.sqrt(rows[:, 2] * rows[:, 3])])


def _faces(
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
