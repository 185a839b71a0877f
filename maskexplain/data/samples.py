"""Pictures to try a network on: the page's painted examples, so many of many, painted faces.

Examples are painted when asked for: no photo of a masked face is shipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib import cbook
from PIL import Image, ImageEnhance

from ..masks import POSITIONS, MaskStyle, Position, paint_mask, random_style

# Grace Hopper, official portrait of the US Navy: public domain, 512 x 600, one of matplotlib's
# sample pictures.
PORTRAIT = "grace_hopper.jpg"

# Measured once with YuNet (face_detection_yunet_2023mar.onnx) on the portrait at its full size,
# score .94: right eye, left eye, nose tip, right and left corner of the mouth, in pixels.
LANDMARKS = ((227.1, 193.3), (307.8, 195.4), (266.5, 240.0), (228.5, 267.9), (302.2, 269.6))

# Left, top, right, bottom: from the brow to the chin, as the crops of the training set are.
FACE = (175, 142, 361, 328)

PALE_BLUE = MaskStyle("surgical", (150, 198, 226))
STRIPED = MaskStyle("cloth", (150, 40, 50), "stripes", (240, 240, 240))


@dataclass(frozen=True)
class Example:
    """A picture to try: `name` suits a file, `caption` a page; `image` is RGB."""

    name: str
    caption: str
    image: Image.Image


@dataclass(frozen=True)
class _Recipe:
    name: str
    caption: str
    position: Position | None = None
    style: MaskStyle = PALE_BLUE
    light: float = 1.0  # share of the light that is left


RECIPES = (
    _Recipe("bare", "No mask"),
    _Recipe("worn_right", "Mask worn correctly", "right"),
    _Recipe("nose_out", "Nose out", "nose_out"),
    _Recipe("under_the_chin", "Mask under the chin", "chin"),
    _Recipe("striped", "Striped mask worn correctly", "right", STRIPED),
    # The last two are the first and the striped one with less light: v1 and v2 change their answer.
    _Recipe("striped_dim", "The same in dim light", "right", STRIPED, light=0.35),
    _Recipe("bare_dim", "No mask, in dim light", light=0.25),
)


def example_pictures(whole: bool = False) -> list[Example]:
    """Seven pictures of one face: bare, masked in three ways, another mask, and two in dim light.

    `whole`: the whole portrait, 512 x 600; else the square of the face, 186 x 186. The masks are
    painted, and are the same at every call.
    """
    portrait = _portrait()
    return [Example(r.name, r.caption, _picture(portrait, r, whole)) for r in RECIPES]


def example_picture(name: str, whole: bool = False) -> Image.Image:
    """One of them. Raises KeyError for another name."""
    recipe = {recipe.name: recipe for recipe in RECIPES}[name]
    return _picture(_portrait(), recipe, whole)


def write_examples(folder: Path, whole: bool = False) -> list[tuple[Path, str]]:
    """Write the example pictures as PNG into `folder`, made if need be -> (path, caption) each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for example in example_pictures(whole):
        path = folder / f"{example.name}{'_portrait' if whole else ''}.png"
        example.image.save(path, compress_level=1)  # three times as fast, a fifth larger
        written.append((path, example.caption))
    return written


def _portrait() -> Image.Image:
    with cbook.get_sample_data(PORTRAIT) as file:
        return Image.open(file).convert("RGB")


def _picture(portrait: Image.Image, recipe: _Recipe, whole: bool) -> Image.Image:
    image = portrait
    if recipe.position is not None:
        image = paint_mask(image, LANDMARKS, recipe.position, recipe.style, rng=0).image
    if recipe.light != 1.0:
        image = ImageEnhance.Brightness(image).enhance(recipe.light)
    return image if whole else image.crop(FACE)


T = TypeVar("T")

SHIFT, LIGHT = 12, (0.3, 1.3)  # pixels; share of the light that is left


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Up to `count` of the items, in even steps from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]


def painted_faces(count: int) -> list[Image.Image]:
    """One portrait's face with `count` masks of random kinds and places, cut and lit at random.

    Every fourth is bare. They are the same ones every time.
    """
    portrait = _portrait()
    return [_painted(portrait, index, np.random.default_rng((0, index))) for index in range(count)]


def _painted(portrait: Image.Image, index: int, rng: np.random.Generator) -> Image.Image:
    image = portrait
    if index % 4:
        position = POSITIONS[index % len(POSITIONS)]
        image = paint_mask(portrait, LANDMARKS, position, random_style(rng), rng).image
    box = np.array(FACE) + rng.integers(-SHIFT, SHIFT + 1, 4)
    return ImageEnhance.Brightness(image.crop(box.tolist())).enhance(rng.uniform(*LIGHT))
