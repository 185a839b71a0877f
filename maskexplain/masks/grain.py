"""The blur and the noise of a picture, measured so that what is painted can share them."""

import cv2
import numpy as np


def blur_of(part: np.ndarray, unit: float) -> float:
    """The picture's blur (sigma in pixels), from its sharpest edges.

    An edge of contrast c that is blurred by sigma has the slope c / (sigma sqrt(2 pi)).
    """
    gray = cv2.GaussianBlur(part.mean(-1), (0, 0), 0.5)
    side = 2 * max(3, int(0.12 * unit)) + 1
    kernel = np.ones((side, side), np.uint8)
    contrast = cv2.dilate(gray, kernel) - cv2.erode(gray, kernel)
    dy, dx = np.gradient(gray)
    slope = np.hypot(dx, dy)
    strong = contrast > max(0.08, float(np.percentile(contrast, 60)))
    if not strong.any():
        return 0.02 * unit
    steep = float(np.percentile(slope[strong] / contrast[strong], 97))
    measured = 1 / (max(steep, 1e-3) * 2.5066)
    # 0.6: what the grid and the smoothing above add, found by blurring pictures by known amounts
    return float(np.clip(np.sqrt(max(measured**2 - 0.6, 0)), 0.4, 0.12 * unit))


def noise_of(part: np.ndarray) -> float:
    """Standard deviation (0..0.02) of the picture's grain, from its smoother places."""
    gray = part.mean(-1)
    rest = np.abs(gray - cv2.medianBlur(gray, 3))
    return float(min(2.0 * np.percentile(rest, 35), 0.02))
