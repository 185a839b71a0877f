"""Heights of pleats, creases and crumples over the smooth cloth."""

import cv2
import numpy as np

from .style import Kind

SOFTNESS = {"surgical": 1.0, "cloth": 1.0, "cup": 0.15, "folded": 0.45}  # 1: crumples easily


def folds(kind: Kind, s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Height of pleats and creases over the smooth cloth, in units."""
    height = np.zeros_like(s)
    if kind == "surgical":
        for at in np.array([0.28, 0.47, 0.66]) + rng.normal(0, 0.015):
            below = (t - at - 0.02 * np.sin(2 * s + at * 20)) / 0.05
            overhang = np.exp(np.minimum(below, 0)) / (1 + np.exp(below.clip(-9, 9) * 8))
            height += 0.045 * (1 - 0.5 * s**2) * overhang
    if kind == "folded" or (kind == "cloth" and rng.random() < 0.5):
        height -= 0.03 * np.abs(s) ** 0.7
    for _ in range(7):
        height += 0.014 * SOFTNESS[kind] * rng.normal() * _ridge(s, t, rng)
    return height


def _ridge(s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One crease of height 1, somewhere, in any direction."""
    angle, (s0, t0) = rng.uniform(0, np.pi), rng.uniform((-0.8, 0.1), (0.8, 0.9))
    x, y = s - s0, (t - t0) * 2
    along = x * np.cos(angle) + y * np.sin(angle)
    off = y * np.cos(angle) - x * np.sin(angle)
    return np.exp(-((off / rng.uniform(0.05, 0.15)) ** 2) - (along / 0.5) ** 2)


def crumple(shape: tuple[int, ...], unit: float, rng: np.random.Generator) -> np.ndarray:
    """A random uneven height (H x W, in units) over the fine grid, coarse and fine together."""
    height = np.zeros(shape, dtype=np.float32)
    for cell, size in ((0.3, 0.011), (0.12, 0.004), (0.05, 0.0012)):
        knots = [max(4, int(side / (cell * unit)) + 2) for side in shape]
        noise = rng.normal(0, size, knots).astype(np.float32)
        height += cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return height
