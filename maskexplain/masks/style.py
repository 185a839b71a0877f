"""What a mask looks like, given or drawn by chance: kind, colours, pattern, straps, and its shape.

The shape on the head depends on the kind and on where the mask is worn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import cv2
import numpy as np

from .head import CHIN, HEAD, Head, head_depth

Kind = Literal["surgical", "cloth", "cup", "folded"]
Pattern = Literal["plain", "stripes", "dots", "checks", "leaves", "emblem"]
Straps = Literal["ears", "head", "none"]
Colour = tuple[int, int, int]

KINDS: tuple[Kind, ...] = get_args(Kind)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

SURGICAL: tuple[Colour, ...] = (
    *((150, 198, 226),) * 4,
    *((236, 238, 240),) * 4,
    *((120, 200, 180),) * 2,
    (205, 220, 235),
    (238, 190, 200),
    (40, 42, 46),
    (58, 72, 110),
)
RESPIRATOR: tuple[Colour, ...] = (
    *((238, 238, 234),) * 5,
    (205, 208, 210),
    (46, 46, 50),
    (190, 205, 220),
)


@dataclass(frozen=True)
class MaskStyle:
    """What the mask looks like; colours are sRGB 0..255 under neutral light.

    `second` is the colour of the pattern; `valve` puts a breathing valve on cup and folded masks;
    straps go round the ears, round the head, or are hidden.
    """

    kind: Kind = "surgical"
    colour: Colour = (150, 198, 226)
    pattern: Pattern = "plain"
    second: Colour = (255, 255, 255)
    straps: Straps = "ears"
    valve: bool = False


def random_style(rng: np.random.Generator) -> MaskStyle:
    """A style as one meets it in the street: mostly surgical, often pale blue, white or black."""
    kind: Kind = str(rng.choice(KINDS, p=[0.5, 0.28, 0.11, 0.11]))
    if kind == "cloth":
        pattern = str(rng.choice(PATTERNS, p=[0.5, 0.12, 0.1, 0.08, 0.14, 0.06]))
        return MaskStyle(kind, _any_colour(rng), pattern, _any_colour(rng), _loops(rng))
    palette = SURGICAL if kind == "surgical" else RESPIRATOR
    colour = palette[rng.integers(len(palette))]
    dye = rng.normal(0, 9) + rng.normal(0, 3, 3)
    colour = tuple(int(v) for v in np.clip(np.array(colour) + dye, 0, 255))
    straps = "head" if kind == "cup" and rng.random() < 0.6 else _loops(rng)
    valve = kind != "surgical" and bool(rng.random() < 0.35)
    pattern = "emblem" if kind == "folded" and rng.random() < 0.25 else "plain"
    return MaskStyle(kind, colour, pattern, (90, 95, 105), straps, valve)


def _loops(rng: np.random.Generator) -> Straps:
    """Ear loops, or now and then none: hair hides them."""
    return "ears" if rng.random() < 0.75 else "none"


def _any_colour(rng: np.random.Generator) -> Colour:
    """Any colour; every third one is black, gray or white."""
    if rng.random() < 0.35:
        value = int(rng.choice([35, 50, 120, 200, 240]))
        return (value, value, value)
    hsv = np.uint8([[[rng.integers(180), rng.integers(70, 230), rng.integers(60, 245)]]])
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return (int(red), int(green), int(blue))


def pattern_weight(
    name: Pattern, s: np.ndarray, t: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Weight (0..1) of the pattern's colour at cloth coordinates."""
    x, y = 0.85 * s, 1.3 * t
    pitch, angle = rng.uniform(0.12, 0.26), rng.uniform(-0.4, 0.4) + rng.choice([0, np.pi / 2])
    u = (x * np.cos(angle) + y * np.sin(angle)) / pitch
    v = (y * np.cos(angle) - x * np.sin(angle)) / pitch
    if name == "stripes":
        return (np.sin(2 * np.pi * u) > rng.uniform(-0.2, 0.6)) * 1.0
    if name == "checks":
        return ((np.sin(2 * np.pi * u) > 0) + 1.0 * (np.sin(2 * np.pi * v) > 0)) / 2
    if name == "dots":
        row = np.round(v)
        near = (u + row % 2 / 2) % 1 - 0.5
        return (np.hypot(near, v - row) < rng.uniform(0.22, 0.32)) * 1.0
    if name == "leaves":
        waves = rng.normal(0, 1, (6, 2)) * 4
        field = sum(np.sin(a * u + b * v + 7 * a) for a, b in waves)
        return (field > rng.uniform(0.3, 1.2)) * 1.0
    if name == "emblem":
        lines = (np.abs(x - 0.1) < 0.3) & (np.abs(y - 0.7) < 0.13)
        return (lines & (np.sin(x * 70) + np.sin(x * 113) + np.sin(y * 48) > 0.2)) * 1.0
    return np.zeros_like(s)


Lace = tuple[float, float, float]  # s, t, and a height at the ear


class Shape(Protocol):
    """A mask's shape on the head."""

    def surface(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Cloth coordinates (s: -1..1 across, t: 0..1 down) -> points (..., 3) on the head."""

    def laces(self, straps: Straps) -> list[Lace]:
        """Where straps begin on the cloth (s, t), and the height (y) at the ear they run to."""


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

    def laces(self, straps: Straps) -> list[Lace]:
        ends = (-0.1, 0.62) if straps == "ears" else (-0.25, 0.85)
        return [(s, t, end) for s in (-1, 1) for t, end in zip((0.03, 0.95), ends, strict=True)]

    def surface(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        top = self.top + (self.top_side - self.top) * (1 - np.exp(-((s / self.peak) ** 2)))
        bottom = self.bottom + (self.bottom_side - self.bottom) * np.abs(s) ** 2.4
        y = top + (bottom - top) * t + self.tilt * s
        width = self.width_top + (self.width_bottom - self.width_top) * t
        x = s * (width + self.round * 4 * t * (1 - t))
        tent = np.exp(-((x / self.tent_width) ** 2) - ((y - self.tent_at) / 0.55) ** 2)
        return np.stack([x, y, head_depth(x, y) + self.tent * tent], -1)


@dataclass(frozen=True)
class Hanging:
    """A mask that hangs from one ear by a loop: its length runs down, s = -1 is its upper end."""

    side: int  # of the ear: -1 at the viewer's left, 1 at the right
    top: float
    length: float
    middle: float  # how far from the face's middle line the cloth's lies at the top
    lean: float  # how far that line has moved outwards at the bottom
    sway: float  # how far it bends outwards halfway
    width: float
    gathered: float  # by the loop: the share of the width that the upper end has
    rounded: float  # the share of the width that the lower end lacks
    slant: float  # how far the outer edge hangs lower, by width
    sag: float  # how far the upper end droops between its corners
    curl: float  # how far the corners of the lower end hang lower
    bend: float  # how far the middle stands off more than the edges do
    wave: float  # of the edges
    phase: float
    off: float  # how far the cloth stands off the cheek

    def laces(self, straps: Straps) -> list[Lace]:
        ends = (0.1, -0.12) if self.side > 0 else (-0.12, 0.1)  # the outer one behind the ear
        return [(-1, t, end) for t, end in zip((0.06, 0.94), ends, strict=True)]

    def surface(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """See Shape; the cloth is turned by a quarter, so that its pleats run down."""
        down, away = (s + 1) / 2, (0.5 - t) * self.side  # away: -.5 next to the face, .5 outside
        width = self.gathered + (1 - self.gathered) * np.sin(np.pi / 2 * down) ** 0.7
        width = self.width * (width - self.rounded * down**10)
        inner = 1 - 4 * away**2  # 0 at the edges
        y = self.top + self.length * down + self.slant * away * width
        y = y + self.sag * (1 - down) ** 4 * inner - self.curl * down**6 * inner
        middle = self.middle + self.lean * down + self.sway * 4 * down * (1 - down)
        wave = self.wave * np.sin(6 * down + self.phase + 3 * away)
        x = np.maximum(middle + away * width + wave, BESIDE - 0.8 * np.maximum(y - LIP, 0))
        z = head_depth(np.minimum(x, 0.9 * HEAD[0]), np.minimum(y, LIP))
        return np.stack([self.side * x, y, z + self.off + self.bend * inner], -1)


BESIDE = 0.58  # half of what a mouth takes, and a little: the hanging cloth stays beside it
LIP = 1.3  # down to below the lower lip

Chooser = Callable[[Cut, Head, np.random.Generator], Shape]


def _right(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    return cut


def _nose_out(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    top = head.nose + rng.uniform(0.06, 0.3)  # from the nostrils to the upper lip
    side = top + rng.uniform(-0.2, 0.06)
    bottom = CHIN + rng.uniform(0.08, 0.32)
    cut = _moved(cut, top, side, bottom, rng.uniform(1.25, 1.42), rng.normal(0, 0.05))
    return replace(cut, tent=0.5 * cut.tent, tent_at=1.1, peak=rng.uniform(0.6, 1.1))


def _chin(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    top = rng.uniform(1.2, 1.36)
    side = top - rng.uniform(0.08, 0.32)
    bottom, lower = top + rng.uniform(0.45, 0.7), side + rng.uniform(0.35, 0.5)
    cut = _moved(cut, top, side, bottom, lower, rng.normal(0, 0.03))
    return replace(cut, tent=0.12, tent_at=1.5, peak=0.8, width_top=0.8, width_bottom=0.62)


def _eyes(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    top, bottom = rng.uniform(-0.45, -0.3), head.nose - rng.uniform(0.2, 0.3)
    cut = _moved(cut, top, top, bottom, bottom - 0.05, rng.normal(0, 0.04))
    return replace(cut, tent=0.12, tent_at=0.1, width_top=0.86, width_bottom=0.9)


def _lip(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    """Pulled down to smoke, drink or speak."""
    top = rng.uniform(1.06, 1.2)
    bottom = CHIN + rng.uniform(0.1, 0.35)
    cut = _moved(cut, top, top - rng.uniform(0, 0.3), bottom, 1.4, rng.normal(0, 0.06))
    return replace(cut, tent=0.15, tent_at=1.4, peak=0.9, width_top=0.84)


def _forehead(cut: Cut, head: Head, rng: np.random.Generator) -> Cut:
    bottom = rng.uniform(-0.5, -0.28)
    top = bottom - rng.uniform(0.6, 0.9)
    cut = _moved(cut, top, top, bottom, bottom + 0.05, rng.normal(0, 0.05))
    return replace(cut, tent=0.1, tent_at=-0.7, width_top=0.8, width_bottom=0.86)


def _ear(cut: Cut, head: Head, rng: np.random.Generator) -> Hanging:
    """From the ear that is seen; from either one where both are."""
    side = int(rng.choice([-1, 1]) if abs(head.yaw) < 0.12 else -np.sign(head.yaw))
    folded = rng.random() < 0.4  # lengthwise
    width = rng.uniform(0.4, 0.65) if folded else rng.uniform(0.65, 1.0)
    return Hanging(
        side=side,
        top=rng.uniform(0.25, 0.8),
        length=rng.uniform(1.2, 2.1),
        middle=rng.uniform(0.8, 0.98),
        lean=rng.normal(-0.03, 0.2),
        sway=rng.normal(0, 0.07),
        width=width,
        gathered=rng.uniform(0.35, 0.9),
        rounded=0.5 * rng.random() ** 2,
        slant=rng.normal(0, 0.35),
        sag=rng.uniform(0, 0.14),
        curl=rng.normal(0, 0.1),
        bend=rng.uniform(-0.1, 0.2),
        wave=rng.uniform(0.0, 0.05),
        phase=rng.uniform(0, 2 * np.pi),
        off=0.12 - 0.5 * max(0.0, abs(head.yaw) - 0.3),  # a turned head shows the ear further back
    )


# By position, how the shape comes from that of a mask worn right. Another position is one more
# line here, and one of PLACES in data/painted.py.
SHAPES: dict[str, Chooser] = {
    "right": _right,
    "nose_out": _nose_out,
    "chin": _chin,
    "eyes": _eyes,
    "lip": _lip,
    "forehead": _forehead,
    "ear": _ear,
}
Position = str  # one of POSITIONS
POSITIONS: tuple[Position, ...] = tuple(SHAPES)


def choose_shape(kind: Kind, position: Position, head: Head, rng: np.random.Generator) -> Shape:
    """The shape of this kind of mask at this position, with a little chance in it."""
    return SHAPES[position](_worn_right(kind, head.nose, rng), head, rng)


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
