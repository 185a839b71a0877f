"""The cloth as it is seen: its pattern in the picture's light, shaded by folds and seams."""

import cv2
import numpy as np

from .folds import SOFTNESS, crumple, folds
from .light import Light, lit
from .pattern import pattern_weight
from .scene import Scene, unproject
from .style import MaskStyle


def draw_cloth(
    scene: Scene, cover: np.ndarray, light: Light, rng: np.random.Generator
) -> np.ndarray:
    """Colour of the cloth on the fine grid, float H x W x 3; zero where there is none."""
    style, inside = scene.style, cover > 0
    s, t = unproject(scene, cover)
    height = np.full(cover.shape, np.nan)
    height[inside] = scene.head.project(scene.cut.surface(s, t))[1] + folds(style.kind, s, t, rng)
    crumpled = SOFTNESS[style.kind] * rng.uniform(0.5, 1.6)
    height += crumpled * crumple(cover.shape, scene.unit, rng)
    shade = _relief(height * scene.unit, light.sideways)[inside] * _seams(style, s, t)
    weight = pattern_weight(style.pattern, s, t, rng)[:, None]
    base = lit(style.colour, light) * (1 - weight) + lit(style.second, light) * weight
    field = cv2.resize(light.field, cover.shape[::-1], interpolation=cv2.INTER_LINEAR)
    colour = np.zeros((*cover.shape, 3), dtype=np.float32)
    colour[inside] = (base * (shade * field[inside])[:, None]).clip(0, 1)
    return colour


def _relief(height: np.ndarray, sideways: float) -> np.ndarray:
    """Brightness, 1 for flat cloth, of a height field lit from above and from one side."""
    inside = ~np.isnan(height)
    flat = np.where(inside, height, 0).astype(np.float32)
    dy, dx = np.gradient(flat)
    length = np.sqrt(1 + dx**2 + dy**2)
    facing = (1 - sideways * dx + 0.5 * dy) / length
    shade = 0.35 + 0.65 * facing
    # at the rim the slope is that of the hole around the cloth: take it from further in
    core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not core.any():
        return np.ones_like(flat)
    shade = np.where(core, shade, np.nan) / np.percentile(shade[core], 70)
    return _fill(shade.clip(0.4, 1.08))


def _fill(values: np.ndarray) -> np.ndarray:
    """Replace nan by the mean of the neighbours that are known, or by 1."""
    known = ~np.isnan(values)
    total = cv2.blur(np.nan_to_num(values).astype(np.float32), (5, 5))
    count = cv2.blur(known.astype(np.float32), (5, 5))
    mean = np.where(count > 0.01, total / np.maximum(count, 0.01), 1.0)
    return np.where(known, values, mean)


def _seams(style: MaskStyle, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Brightness of hems, side seams and the valve, 1 for plain cloth."""
    rim = np.minimum(t, 1 - t)
    shade = 1 - 0.14 * np.exp(-(((rim - 0.06) / 0.012) ** 2))
    if style.kind == "surgical":
        shade *= 1 - 0.16 * np.exp(-(((np.abs(s) - 0.93) / 0.015) ** 2))
    if style.kind == "folded":
        shade *= 1 - 0.2 * np.exp(-((s / 0.015) ** 2))
    if style.valve:
        away = np.hypot(s * 0.8 - 0.3, t - 0.55) / 0.14
        shade *= 1 - 0.3 * np.exp(-(((away - 1) / 0.15) ** 2)) + 0.05 * (away < 0.9)
    return shade
