"""The light on the face, told from its skin, and the blur and noise of the picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from .head import Head, head_depth
from .style import Colour
from .surface import Scene, Window


@dataclass(frozen=True)
class Light:
    """The light on the face: `field` (relative, H x W), the colour of white cloth, saturation."""

    field: np.ndarray
    white: np.ndarray
    saturation: float
    sideways: float


def light_of(pixels: np.ndarray, scene: Scene) -> Light:
    """The light on the face around the mask, as the bare picture tells it."""
    part, head, window = pixels[scene.window.part], scene.head, scene.window
    gray = part.mean(-1)
    skin = _skin(window, head, gray)
    level = float(np.median(gray[skin]))
    sigma = max(0.4 * head.unit, 1)
    weight = skin.astype(np.float32)
    smooth = cv2.GaussianBlur(gray * weight, (0, 0), sigma) + 0.05 * level
    field = smooth / (cv2.GaussianBlur(weight, (0, 0), sigma) + 0.05) / max(level, 0.02)
    white, saturation = _white(pixels, part[skin], level)
    sideways = _sideways(field, head, window)
    return Light(field.clip(0.5, 1.35).astype(np.float32), white, saturation, sideways)


def _skin(window: Window, head: Head, gray: np.ndarray) -> np.ndarray:
    """Where the face's skin tells of the light: an oval of the face, without its darkest parts."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = 0.72 * np.sin(turns), 0.75 - 0.65 * np.cos(turns)
    oval = head.project(np.stack([x, y, head_depth(x, y)], 1))[0] - (window.left, window.top)
    region = np.zeros(gray.shape, dtype=np.uint8)
    cv2.fillPoly(region, [np.round(oval).astype(np.int32)], 1)
    if not region.any():
        region[:] = 1
    face = gray[region > 0]
    low, high = np.percentile(face, [25, 97])
    return (region > 0) & (gray >= low) & (gray <= high)


def _sideways(field: np.ndarray, head: Head, window: Window) -> float:
    """How far the light comes from the viewer's right (-.6..+.6), from the light on the cheeks."""
    cheeks = np.array([[side * 0.6, 0.7, head_depth(0.6, 0.7)] for side in (-1, 1)])
    at = np.round(head.project(cheeks)[0] - (window.left, window.top)).astype(int)
    at = at.clip(0, np.array(field.shape)[::-1] - 1)
    left, right = field[at[0, 1], at[0, 0]], field[at[1, 1], at[1, 0]]
    return float(np.clip(right - left, -0.6, 0.6))


def _white(pixels: np.ndarray, skin: np.ndarray, level: float) -> tuple[np.ndarray, float]:
    """Colour that white cloth would have here, and the picture's saturation (0 gray .. 1).

    Skin and light cannot be told apart for certain: the brightest parts of the picture help.
    """
    red, green, blue = np.median(skin, axis=0) + 0.02
    saturation = float(np.clip((skin.max(-1) - skin.min(-1)).mean() / (level + 0.02) / 0.25, 0, 1))
    bright = float(np.percentile(pixels.mean(-1), 97))
    value = np.clip(0.55 * bright + 0.85 * level, 1.15 * level, 2.6 * level)
    # typical skin under neutral light has these ratios
    tint = np.array([red / green / 1.3, 1, blue / green / 0.82]) ** 0.45
    tint = (1 + saturation * (tint - 1)).clip(0.8, 1.2)
    return min(value, 0.98) * tint / tint.mean(), saturation


def lit(colour: Colour, light: Light) -> np.ndarray:
    """A cloth's colour (0..255, neutral light) as this picture would show it, 0..1."""
    value = np.array(colour, dtype=np.float32) / 255
    value = value.mean() + (value - value.mean()) * light.saturation
    return (value * light.white + 0.02).astype(np.float32)


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
