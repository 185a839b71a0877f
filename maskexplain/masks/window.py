"""The part of the picture that the mask can reach, and its finer grid."""

from dataclasses import dataclass

import cv2
import numpy as np

from .head import HEAD, Head
from .mesh import Mesh, mesh_faces

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
