"""What a mask looks like: kind, colours, pattern and straps; given, or drawn by chance."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

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
