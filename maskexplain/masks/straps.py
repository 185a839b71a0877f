"""The straps from the mask's corners over the cheeks."""

import cv2
import numpy as np

from .head import HEAD, Head
from .scene import Scene
from .style import Colour, MaskStyle


def draw_straps(scene: Scene) -> np.ndarray:
    """Coverage of the straps on the fine grid: from the mask's corners over the cheeks."""
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    if scene.style.straps == "none":
        return cover
    ends = (-0.1, 0.62) if scene.style.straps == "ears" else (-0.25, 0.85)
    thick = max(1, round(0.032 * scene.unit))
    for side in (-1, 1):
        corners = scene.cut.surface(np.full(2, float(side)), np.array([0.03, 0.95]))
        for corner, end in zip(corners, ends, strict=True):
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
