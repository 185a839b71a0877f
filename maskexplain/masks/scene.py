"""Where the mask goes and what it is; which fine pixels show which point of its cloth."""

from dataclasses import dataclass

import cv2
import numpy as np

from .cut import Cut
from .head import Head
from .mesh import Mesh, mesh_faces
from .style import MaskStyle
from .window import Window


@dataclass(frozen=True)
class Scene:
    """All that says where the mask goes and what it is."""

    head: Head
    cut: Cut
    mesh: Mesh
    window: Window
    style: MaskStyle

    @property
    def unit(self) -> float:
        """Fine pixels per unit."""
        return self.head.unit * self.window.scale


def coverage(scene: Scene) -> np.ndarray:
    """1 where the mask is seen on the fine grid, else 0: the mesh's faces that look our way."""
    corners, seen = mesh_faces(scene.window.to_fine(scene.mesh.pixels))
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    for corner in np.round(corners[seen] * 16).astype(np.int32):
        cv2.fillConvexPoly(cover, corner, 1.0, cv2.LINE_8, 4)
    return cover


def unproject(scene: Scene, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cloth coordinates of each covered fine pixel: polynomials in x, y fitted to the mesh."""
    mesh, pixels = scene.mesh, scene.window.to_fine(scene.mesh.pixels)
    seen = np.zeros(mesh.s.shape, dtype=bool)
    _, faces = mesh_faces(pixels)
    seen[:-1, :-1] |= faces
    seen[1:, 1:] |= faces
    centre, spread = pixels.mean((0, 1)), pixels.std((0, 1))
    terms = _terms((pixels[seen] - centre) / spread)
    weights = np.linalg.lstsq(terms, np.stack([mesh.s[seen], mesh.t[seen]], 1), rcond=None)[0]
    y, x = np.nonzero(cover)
    found = _terms((np.stack([x, y], 1) - centre) / spread) @ weights
    return found[:, 0].clip(-1, 1), found[:, 1].clip(0, 1)


def _terms(points: np.ndarray, degree: int = 5) -> np.ndarray:
    """The monomials x^i y^j with i + j <= degree, one column each."""
    powers = [np.ones_like(points)]
    for _ in range(degree):
        powers.append(powers[-1] * points)
    pairs = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([powers[i][:, 0] * powers[j][:, 1] for i, j in pairs], 1)
