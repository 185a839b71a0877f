"""Some faces to try a network on: so many of many, or painted ones."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageEnhance

from ..examples import FACE, LANDMARKS, example_pictures
from ..masks import POSITIONS, paint_mask, random_style

T = TypeVar("T")

SHIFT, LIGHT = 12, (0.3, 1.3)  # pixels; share of the light that is left


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` of the items, in even steps from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]


def painted_faces(count: int, seed: int = 0) -> list[Image.Image]:
    """One portrait's face with `count` masks of random kinds and places, cut and lit at random.

    Every fourth is bare. The same seed gives the same faces.
    """
    portrait = example_pictures(whole=True)[0].image
    return [
        _painted(portrait, index, np.random.default_rng((seed, index))) for index in range(count)
    ]


def _painted(portrait: Image.Image, index: int, rng: np.random.Generator) -> Image.Image:
    image = portrait
    if index % 4:
        position = POSITIONS[index % len(POSITIONS)]
        image = paint_mask(portrait, LANDMARKS, position, random_style(rng), rng).image
    box = np.array(FACE) + rng.integers(-SHIFT, SHIFT + 1, 4)
    return ImageEnhance.Brightness(image.crop(box.tolist())).enhance(rng.uniform(*LIGHT))
