"""How much of a heatmap's heat lies on eyes, nose, mouth and chin, for the area that they take.

On centred faces the hottest point says little, since the centre always wins (the "pointing
game"); heat for area does not have that flaw.
"""

from dataclasses import asdict, dataclass

import numpy as np

from ..images.faces import Landmarks
from ..masks.head import Head, fit_head

# Each region: left, top, right, bottom in units of the distance from the eyes to the mouth, with
# the eyes' middle as origin. The nose's are measured from its tip.
BOXES = {
    "eyes": (-0.9, -0.35, 0.9, 0.25),
    "nose": (-0.34, -0.34, 0.34, 0.17),
    "mouth": (-0.6, 0.75, 0.6, 1.25),
    "chin": (-0.7, 1.25, 0.7, 1.8),
}
OVAL = (0.0, 0.5, 1.0, 1.35)  # the face: centre x, y and half axes
# From the bridge of the nose to below the lips, where it shows how a mask is worn.
MIDDLE = (-0.6, 0.2, 0.6, 1.5)
EDGE = 0.1  # width of the band along a mask's upper edge, as a part of the picture's height
REST, OUTSIDE = "cheeks and forehead", "outside the face"


@dataclass(frozen=True)
class RegionHeat:
    """Of one region: its share of the positive heat and of the area (0..1), and the first over the
    second: 1 is what even heat would give; None where the region is not on the crop.
    """

    heat: float
    area: float
    ratio: float | None

    def to_dict(self) -> dict:
        return asdict(self)


def face_regions(landmarks: Landmarks, size: tuple[int, int]) -> dict[str, np.ndarray] | None:
    """Where each region lies on a crop: bool H x W each, every pixel in exactly one.

    `landmarks`: the five of `faces.Face`, in the crop's pixels; `size`: its width and height.
    None where the landmarks form no face.
    """
    head = _head(landmarks, size)
    if head is None:
        return None
    x, y = _head_coordinates(head, size)
    tip_x, tip_y = _to_head(head, np.array(landmarks[2], dtype=float))
    centre_x, centre_y, across, down = OVAL
    oval = ((x - centre_x) / across) ** 2 + ((y - centre_y) / down) ** 2 <= 1
    regions, free = {}, oval.copy()
    for name, (left, top, right, bottom) in BOXES.items():
        u, v = (x - tip_x, y - tip_y) if name == "nose" else (x, y)
        inside = free & (left <= u) & (u <= right) & (top <= v) & (v <= bottom)
        regions[name] = inside
        free = free & ~inside
    return {**regions, REST: free, OUTSIDE: ~oval}


def face_middle(landmarks: Landmarks, size: tuple[int, int]) -> np.ndarray | None:
    """Nose, mouth and what lies around them: bool H x W; None where there is no face."""
    head = _head(landmarks, size)
    if head is None:
        return None
    x, y = _head_coordinates(head, size)
    left, top, right, bottom = MIDDLE
    return (left <= x) & (x <= right) & (top <= y) & (y <= bottom)


def upper_edge(mask: np.ndarray) -> np.ndarray:
    """A band along the upper edge of a mask (bool H x W): in each column, around its first row."""
    half = max(1, round(len(mask) * EDGE / 2))
    rows = np.arange(len(mask))[:, None]
    return mask.any(0) & (np.abs(rows - mask.argmax(0)) <= half)


def _head(landmarks: Landmarks, size: tuple[int, int]) -> Head | None:
    try:
        return fit_head(np.array(landmarks, dtype=float), size)
    except ValueError:
        return None


def _head_coordinates(head: Head, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return _to_head(head, np.stack([columns, rows]).reshape(2, -1).T, (size[1], size[0]))


def _to_head(
    head: Head, pixels: np.ndarray, shape: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (..., 2) in the head's units: x and y."""
    basis = np.stack([head.across, head.down], axis=1)  # columns: one unit of x, of y, in pixels
    units = np.linalg.solve(basis, (pixels - head.origin).reshape(-1, 2).T)
    return units[0].reshape(shape), units[1].reshape(shape)


def heat_in(heatmap: np.ndarray, region: np.ndarray) -> RegionHeat:
    """The heat in one region (bool H x W) of a signed heatmap H x W."""
    heat = np.clip(heatmap, 0, None)
    total = float(heat.sum())
    share = float(heat[region].sum()) / total if total else 0.0
    area = float(region.mean())
    return RegionHeat(share, area, share / area if area else None)


def heat_by_region(heatmap: np.ndarray, regions: dict[str, np.ndarray]) -> dict[str, RegionHeat]:
    """The heat in each of several regions."""
    return {name: heat_in(heatmap, region) for name, region in regions.items()}
