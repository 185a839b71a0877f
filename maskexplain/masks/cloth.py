"""The cloth as it is seen: its pattern in the picture's light, shaded by folds and seams."""

import cv2
import numpy as np

from .head import HEAD, Head
from .light import Light, lit
from .style import Colour, Kind, MaskStyle, pattern_weight
from .surface import Scene, unproject


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


def draw_straps(scene: Scene) -> np.ndarray:
    """Coverage of the straps on the fine grid: from the mask's corners over the cheeks."""
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    if scene.style.straps == "none":
        return cover
    thick = max(1, round(0.032 * scene.unit))
    for s, t, end in scene.cut.laces(scene.style.straps):
        corner = scene.cut.surface(np.array(s), np.array(t))
        line = scene.window.to_fine(_strap_line(corner, end, scene.head))
        points = np.round(line * 16).astype(np.int32)
        for step, (start, stop) in enumerate(zip(points[:-1], points[1:], strict=True)):
            fade = min(1.0, 2.0 - step / 8)  # into the hair or behind the ear
            cv2.line(cover, start, stop, fade, thick, cv2.LINE_8, 4)
    return cover


def _strap_line(corner: np.ndarray, end: float, head: Head) -> np.ndarray:
    """Pixels of a strap from the mask's corner to the ear at height `end`, as far as it is seen."""
    x, y, _ = corner
    angle = np.linspace(np.arcsin(np.clip(abs(x) / HEAD[0], 0, 1)), np.pi / 2, 16)
    across, ahead = np.sign(x) * np.sin(angle), np.cos(angle)
    points = np.stack([HEAD[0] * across, np.linspace(y, end, 16), HEAD[1] * ahead], 1)
    facing = ahead / HEAD[1] * np.cos(head.yaw) - across / HEAD[0] * np.sin(head.yaw)
    return head.project(points[(facing > 0) | (angle == angle[0])])[0]


def strap_colour(style: MaskStyle) -> Colour:
    """Straps of cloth masks are of the cloth's colour, all others off-white."""
    return style.colour if style.kind == "cloth" else (238, 238, 236)
