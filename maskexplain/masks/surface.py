"""The cloth's surface: a mesh of points, where they lie in the picture, which pixels show them."""

from dataclasses import dataclass

import cv2
import numpy as np

from .cut import Shape
from .head import HEAD, Head
from .style import MaskStyle

GRID = (33, 17)  # mesh points across and down


@dataclass(frozen=True)
class Mesh:
    """The cloth's surface: its coordinates s and t (rows x columns), and where they are seen."""

    s: np.ndarray
    t: np.ndarray
    pixels: np.ndarray


def make_mesh(head: Head, cut: Shape) -> Mesh:
    """The cloth's mesh on this head, GRID points across and down."""
    s, t = np.meshgrid(np.linspace(-1, 1, GRID[0]), np.linspace(0, 1, GRID[1]))
    return Mesh(s, t, head.project(cut.surface(s, t))[0])


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


@dataclass(frozen=True)
class Scene:
    """All that says where the mask goes and what it is."""

    head: Head
    cut: Shape
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
