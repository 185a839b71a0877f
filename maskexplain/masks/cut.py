"""The shape of a mask on the head, by its kind and by where it is worn."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from .head import CHIN, head_depth
from .style import Kind

Position = Literal["right", "nose_out", "chin", "eyes", "lip", "forehead"]
POSITIONS: tuple[Position, ...] = get_args(Position)


@dataclass(frozen=True)
class Cut:
    """The shape of a mask on the head: heights (y) of its edges, half widths, and its tent."""

    top: float
    top_side: float
    bottom: float
    bottom_side: float
    width_top: float = 0.88
    width_bottom: float = 0.7
    round: float = 0.1  # how far the sides bulge
    tent: float = 0.45  # how far the cloth stands off over the nose
    tent_width: float = 0.42
    tent_at: float = 0.6
    peak: float = 0.45  # width of the rise over the nose bridge, as a share of the half width
    tilt: float = 0.0  # how far the viewer's right side hangs down

    def surface(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Cloth coordinates (s: -1..1 across, t: 0..1 down) -> points (..., 3) on the head."""
        top = self.top + (self.top_side - self.top) * (1 - np.exp(-((s / self.peak) ** 2)))
        bottom = self.bottom + (self.bottom_side - self.bottom) * np.abs(s) ** 2.4
        y = top + (bottom - top) * t + self.tilt * s
        width = self.width_top + (self.width_bottom - self.width_top) * t
        x = s * (width + self.round * 4 * t * (1 - t))
        tent = np.exp(-((x / self.tent_width) ** 2) - ((y - self.tent_at) / 0.55) ** 2)
        return np.stack([x, y, head_depth(x, y) + self.tent * tent], -1)


def choose_cut(kind: Kind, position: Position, nose: float, rng: np.random.Generator) -> Cut:
    """The shape of this kind of mask at this position, with a little chance in it."""
    cut = _worn_right(kind, nose, rng)
    if position == "nose_out":
        top = nose + rng.uniform(0.12, 0.27)
        side = top + rng.uniform(-0.2, 0.06)
        bottom = CHIN + rng.uniform(0.08, 0.32)
        cut = _moved(cut, top, side, bottom, rng.uniform(1.25, 1.42), rng.normal(0, 0.05))
        return replace(cut, tent=0.5 * cut.tent, tent_at=1.1, peak=rng.uniform(0.6, 1.1))
    if position == "chin":
        top = rng.uniform(1.2, 1.36)
        side = top - rng.uniform(0.08, 0.32)
        bottom, lower = top + rng.uniform(0.45, 0.7), side + rng.uniform(0.35, 0.5)
        cut = _moved(cut, top, side, bottom, lower, rng.normal(0, 0.03))
        return replace(cut, tent=0.12, tent_at=1.5, peak=0.8, width_top=0.8, width_bottom=0.62)
    if position == "eyes":
        top, bottom = rng.uniform(-0.45, -0.3), nose - rng.uniform(0.2, 0.3)
        cut = _moved(cut, top, top, bottom, bottom - 0.05, rng.normal(0, 0.04))
        return replace(cut, tent=0.12, tent_at=0.1, width_top=0.86, width_bottom=0.9)
    if position == "lip":  # pulled down to smoke, drink or speak
        top = rng.uniform(1.06, 1.2)
        bottom = CHIN + rng.uniform(0.1, 0.35)
        cut = _moved(cut, top, top - rng.uniform(0, 0.3), bottom, 1.4, rng.normal(0, 0.06))
        return replace(cut, tent=0.15, tent_at=1.4, peak=0.9, width_top=0.84)
    if position == "forehead":
        bottom = rng.uniform(-0.5, -0.28)
        top = bottom - rng.uniform(0.6, 0.9)
        cut = _moved(cut, top, top, bottom, bottom + 0.05, rng.normal(0, 0.05))
        return replace(cut, tent=0.1, tent_at=-0.7, width_top=0.8, width_bottom=0.86)
    return cut


def _moved(
    cut: Cut, top: float, top_side: float, bottom: float, bottom_side: float, tilt: float
) -> Cut:
    edges = {"top": top, "top_side": top_side, "bottom": bottom, "bottom_side": bottom_side}
    return replace(cut, **edges, tilt=tilt)


def _worn_right(kind: Kind, nose: float, rng: np.random.Generator) -> Cut:
    top = nose - rng.uniform(0.22, 0.42)
    wide = rng.normal(0.01, 0.03)
    if kind == "cup":
        cut = Cut(top, 0.6, CHIN + 0.06, 1.28, 0.64 + wide, 0.54, 0.2, 0.5, 0.55, 0.85, 0.55)
    elif kind == "folded":
        cut = Cut(top, 0.55, CHIN + 0.12, 1.22, 0.84 + wide, 0.55, 0.14, 0.6, 0.32, 0.7)
    elif kind == "cloth":
        cut = Cut(top, 0.55, CHIN + 0.12, 1.12, 0.95 + wide, 0.72, 0.04, 0.5, 0.38, 0.62)
    else:
        cut = Cut(top, 0.5, CHIN + 0.1, 1.28, 0.88 + wide, 0.72)
    shift = rng.normal(0, 0.03, 2)
    lower = cut.bottom + rng.uniform(-0.06, 0.1)
    return replace(
        cut,
        top_side=cut.top_side + shift[0],
        bottom=lower,
        bottom_side=cut.bottom_side + shift[1],
        tilt=rng.normal(0, 0.02),
    )
