"""The cloth's surface as a mesh of points, and where they lie in the picture."""

from dataclasses import dataclass

import numpy as np

from .cut import Cut
from .head import Head

GRID = (33, 17)  # mesh points across and down


@dataclass(frozen=True)
class Mesh:
    """The cloth's surface: its coordinates s and t (rows x columns), and where they are seen."""

    s: np.ndarray
    t: np.ndarray
    pixels: np.ndarray


def make_mesh(head: Head, cut: Cut) -> Mesh:
    """The cloth's mesh on this head, GRID points across and down."""
    s, t = np.meshgrid(np.linspace(-1, 1, GRID[0]), np.linspace(0, 1, GRID[1]))
    return Mesh(s, t, head.project(cut.surface(s, t))[0])


def mesh_faces(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mesh points (rows, columns, 2) -> faces (rows - 1, columns - 1, 4, 2), and which are seen."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    e, f = c - a, d - b
    return np.stack([a, b, c, d], 2), e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0] > 0
