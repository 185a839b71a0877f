"""A rough model of a head, an elliptic cylinder, turned as five landmarks of a face say.

A cloth on it is a mesh of points; a window is the part of the picture where they are seen.

Lengths on the head are in units of the distance from the eyes to the mouth: x to the viewer's
right, y down, z towards the viewer; the eyes lie at y = 0, the mouth at y = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

HEAD = (1.06, 1.3)  # half width and depth of the head, from its middle
LANDMARK_DEPTH = 1.15  # of eyes and mouth; the nose tip stands NOSE_AHEAD before them
NOSE_AHEAD = 0.6
NOSE_HEIGHT = 0.58  # median of what YuNet found on 498 bare faces
EYE_DISTANCE = 0.95  # likewise
CHIN = 1.62  # a typical one: no landmark tells


@dataclass(frozen=True)
class Head:
    """Where the head model lies in the picture: `origin` (between the eyes) in pixels."""

    origin: np.ndarray
    across: np.ndarray  # pixels per unit of x, as an (x, y) vector
    down: np.ndarray
    yaw: float  # radians, positive towards the viewer's right
    pitch: float  # radians, positive downwards
    nose: float  # height of the nose tip

    @property
    def unit(self) -> float:
        return float(np.hypot(*self.down))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) on the head -> pixels (..., 2), and their depth towards the viewer."""
        x, y, z = np.moveaxis(points, -1, 0)
        z = z - LANDMARK_DEPTH
        right = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        near = z * np.cos(self.yaw) - x * np.sin(self.yaw)
        low = y * np.cos(self.pitch) + near * np.sin(self.pitch)
        pixels = self.origin + right[..., None] * self.across + low[..., None] * self.down
        return pixels, near * np.cos(self.pitch) - y * np.sin(self.pitch)


def fit_head(points: np.ndarray, size: tuple[int, int]) -> Head:
    """The head that these landmarks tell of; ValueError where they form no face."""
    _check(points, size)
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    down = mouth - eyes
    across = _direction(left_eye - right_eye) + _direction(left_mouth - right_mouth)
    across = _direction(across)
    aside, height = np.linalg.solve(np.stack([across, down], 1), nose - eyes)
    # the turn is told by `aside` over the width, and the turn shortens the width: settle both
    width = unit = float(np.hypot(*down))
    for _ in range(3):
        yaw = float(np.arcsin(np.clip(aside / width / NOSE_AHEAD, -0.72, 0.72)))
        frontal = np.hypot(*(left_eye - right_eye)) / np.cos(yaw) / EYE_DISTANCE
        width = float(np.clip(frontal, 0.85 * unit, 1.2 * unit))
    # half of the nose's height is taken for pitch, half for the length of this nose
    pitch = float(np.clip(0.5 * (height - NOSE_HEIGHT) / NOSE_AHEAD, -0.25, 0.25))
    down = down / np.cos(pitch)
    tip = float(np.clip(height - NOSE_AHEAD * np.tan(pitch), 0.45, 0.75))
    return Head(eyes, across * width, down, yaw, pitch, tip)


def _check(points: np.ndarray, size: tuple[int, int]) -> None:
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError("The landmarks must be five (x, y) points.")
    margin = 0.1 * max(size)
    if (points < -margin).any() or (points > np.array(size) + margin).any():
        raise ValueError("The landmarks lie outside the picture.")
    right_eye, left_eye, _, right_mouth, left_mouth = points
    eye, mouth = left_eye - right_eye, left_mouth - right_mouth
    down = (right_mouth + left_mouth - right_eye - left_eye) / 2
    if np.hypot(*eye) < 4 or np.hypot(*down) < 4 or np.hypot(*mouth) < 2:
        raise ValueError("The landmarks are too close together for a face.")
    lean = np.cross(np.append(_direction(eye), 0), np.append(_direction(down), 0))[2]
    if lean < 0.6 or _direction(eye) @ _direction(mouth) < 0.6:
        raise ValueError(
            "The landmarks do not form a face: right eye, left eye, nose tip, right and left mouth "
            "corner are wanted, in this order."
        )


def _direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.hypot(*vector)


def head_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of the bare head's front at (x, y); it recedes under the chin."""
    half, depth = HEAD
    front = depth * np.sqrt(np.maximum(1 - (x / half) ** 2, 0.0))
    return front - 0.8 * np.maximum(y - CHIN + 0.15, 0) ** 1.5


def bare_nose(head: Head, mask: np.ndarray) -> np.ndarray:
    """The nose's outline, less the mask; nothing once the mask covers its tip."""
    tip = head.nose
    heights = [(0.13, 0.2), (0.26, 1.0), (0.2, 1.2), (0.0, 1.27)]
    outline = [[x * side, y * tip, 1.35] for x, y in heights for side in (-1, 1)]
    outline.append([0, tip, LANDMARK_DEPTH + NOSE_AHEAD])
    pixels = head.project(np.array(outline))[0]
    region = np.zeros(mask.shape, dtype=np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(pixels).astype(np.int32)), 1)
    x, y = np.round(pixels[-1]).astype(int).clip(0, np.array(mask.shape)[::-1] - 1)
    return np.zeros_like(mask) if mask[y, x] else region.astype(bool) & ~mask


# Cloth coordinates (s: -1..1 across, t: 0..1 down) -> points (..., 3) on the head
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]

GRID = (33, 17)  # mesh points across and down


@dataclass(frozen=True)
class Mesh:
    """The cloth's surface: its coordinates s and t (rows x columns), and where they are seen."""

    s: np.ndarray
    t: np.ndarray
    pixels: np.ndarray


def make_mesh(head: Head, surface: Surface) -> Mesh:
    """The cloth's mesh on this head, GRID points across and down."""
    s, t = np.meshgrid(np.linspace(-1, 1, GRID[0]), np.linspace(0, 1, GRID[1]))
    return Mesh(s, t, head.project(surface(s, t))[0])


def mesh_faces(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mesh points (rows, columns, 2) -> faces (rows - 1, columns - 1, 4, 2), and which are seen."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    e, f = c - a, d - b
    return np.stack([a, b, c, d], 2), e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0] > 0


DETAIL = 160  # supersampled pixels per unit to aim at


@dataclass(frozen=True)
class Window:
    """A part of the picture, drawn on a finer grid: `scale` fine pixels for each pixel."""

    left: int
    top: int
    width: int
    height: int
    scale: int

    @property
    def fine(self) -> tuple[int, int]:
        return self.height * self.scale, self.width * self.scale

    @property
    def part(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def to_fine(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels - (self.left, self.top) + 0.5) * self.scale - 0.5

    def shrink(self, layer: np.ndarray) -> np.ndarray:
        size = (self.width, self.height)
        return cv2.resize(layer.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def find_window(head: Head, mesh: Mesh, size: tuple[int, int]) -> Window | None:
    """The part of the picture that mask, straps and shadow can reach; None without any cloth."""
    _, seen = mesh_faces(mesh.pixels)
    cloth = mesh.pixels[:-1, :-1][seen]
    if not ((cloth >= 0) & (cloth < size)).all(-1).any():
        return None
    ears = np.array([[side * HEAD[0], y, 0.0] for side in (-1, 1) for y in (-0.3, 0.9)])
    reach = np.concatenate([mesh.pixels.reshape(-1, 2), head.project(ears)[0]])
    margin = 0.25 * head.unit
    left, top = np.maximum(np.floor(reach.min(0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(reach.max(0) + margin), size).astype(int)
    scale = int(np.clip(np.ceil(DETAIL / head.unit), 1, 4))
    return Window(int(left), int(top), int(right - left), int(bottom - top), scale)
