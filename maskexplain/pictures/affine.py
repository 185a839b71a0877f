"""Patches laid on a picture, turned and scaled: 2 x 3 matrices that map patch to picture points.

Points are in pixels from the upper left corner; the centre of the first pixel lies at (.5, .5).
"""

from collections.abc import Sequence
from math import cos, radians, sin

import cv2
import numpy as np


def placement(
    centre: Sequence[float], size: tuple[int, int], tilt: float, scale: float = 1.0
) -> np.ndarray:
    """The 2 x 3 matrix that lays a patch of a size on the picture: its centre, turn and scale."""
    c, s = cos(radians(tilt)) * scale, sin(radians(tilt)) * scale
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, np.asarray(centre) - turn @ np.array(size) / 2])


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) under an affine 2 x 3 matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def cut_patch(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The patch of a size (width, height) that the matrix lays on the picture (H x W x 3).

    Beyond the picture its border is repeated.
    """
    return cv2.warpAffine(
        pixels,
        between_centres(matrix),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def between_centres(matrix: np.ndarray) -> np.ndarray:
    """An affine 2 x 3 matrix as OpenCV wants it, where whole numbers are the pixels' centres."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return moved
