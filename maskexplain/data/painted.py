"""Bare faces with painted masks, and where the middle of each face lies.

The same faces are in both masked classes, told apart by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from ..explain.places import face_middle
from ..images.faces import Face, find_faces
from ..masks import (
    KINDS,
    OCCLUDERS,
    PATTERNS,
    MaskStyle,
    PaintedMask,
    paint_mask,
    paint_occluder,
    random_style,
)
from ..masks.task import BARE, INCORRECT, MASK, WORN
from ..models.network import to_pixels
from .folder import Picture, Progress, quietly, read_crop

OCCLUDED = "occluded"  # something before a bare face that is no mask


@dataclass(frozen=True)
class Place:
    """What a painted position is: its class, its words, and how often it is measured.

    `measured`: the paintings a bare face when a version is scored; 0: never.
    """

    answer: str
    words: str
    measured: float


# Chance depends on the order: a new one comes last, so that the others stay as they are.
PLACES: dict[str, Place] = {
    "right": Place(WORN, "worn correctly", 1.0),
    "nose_out": Place(INCORRECT, "with the nose out", 1.0),
    "chin": Place(INCORRECT, "under the chin", 1.0),
    "eyes": Place(INCORRECT, "over the eyes", 0.25),
    "lip": Place(INCORRECT, "under the lip", 0.25),
    "forehead": Place(INCORRECT, "on the forehead", 0.25),
    OCCLUDED: Place(BARE, "held before the face", 0.0),
    "ear": Place(INCORRECT, "hanging from one ear", 0.25),
}
# A mask that covers less of the picture than this can hardly be seen.
MIN_COVER = 0.03


@dataclass(frozen=True)
class PaintedFaces:
    """Painted faces: uint8 pixels N x 3 x S x S, class indices N, positions, groups (N each).

    `middles`: where each face's middle lies, as `middle_of` gives it, N x 1 x 32 x 32.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    positions: tuple[str, ...]
    groups: tuple[str, ...]
    middles: torch.Tensor


def paint_faces(
    pictures: Sequence[Picture],
    size: int,
    shares: Mapping[str, float],
    seed: int,
    varied: bool = False,
    progress: Progress = quietly,
) -> PaintedFaces:
    """Paint masks on those of the pictures (bare faces) whose landmarks the face finder tells.

    `shares` is the number of paintings a face, by position (of PLACES); .5 paints every second
    face. `varied` adds colours and finishes beyond those of the street. The same seed paints the
    same pictures.
    Raises DataError for an unreadable picture.
    """
    pixels, positions, groups, middles = [], [], [], []
    for index, picture in enumerate(progress(pictures)):
        crop = read_crop(picture.file)
        faces = find_faces(crop)
        middle = middle_of(faces[0] if faces else None, crop.size)
        for position, share in shares.items() if faces else ():
            for turn in range(_turns(share, index)):
                rng = np.random.default_rng((seed, index, list(PLACES).index(position), turn))
                image = _paint(crop, faces[0], position, rng, varied)
                if image is not None:
                    pixels.append(to_pixels(image, size))
                    positions.append(position)
                    groups.append(picture.group)
                    middles.append(middle)
    stacked = torch.stack(pixels) if pixels else torch.empty(0, 3, size, size, dtype=torch.uint8)
    labels = torch.tensor([MASK.index(PLACES[p].answer) for p in positions], dtype=torch.long)
    where = torch.stack(middles) if middles else torch.empty(0, 1, SIDE, SIDE, dtype=torch.uint8)
    return PaintedFaces(stacked, labels, tuple(positions), tuple(groups), where)


def _turns(share: float, index: int) -> int:
    """How often this face is painted, so that every run of 1 / share faces adds up to one."""
    return int((index + 1) * share) - int(index * share)


def _paint(
    crop: Image.Image, face: Face, position: str, rng: np.random.Generator, varied: bool
) -> Image.Image | None:
    if position == OCCLUDED:
        return _occluded(crop, face, rng)
    style = _varied_style(rng) if varied else random_style(rng)
    try:
        painted = paint_mask(crop, face.landmarks, position, style, rng)
    except ValueError:  # landmarks that form no face
        return None
    if painted.mask.mean() < MIN_COVER:
        return None
    return _flattened(painted, rng) if varied and rng.random() < 0.3 else painted.image


def _occluded(crop: Image.Image, face: Face, rng: np.random.Generator) -> Image.Image | None:
    try:
        return paint_occluder(crop, face.landmarks, str(rng.choice(OCCLUDERS)), rng)
    except ValueError:  # landmarks that form no face
        return None


def _varied_style(rng: np.random.Generator) -> MaskStyle:
    """Half of the time a mask as met in the street, else any kind in any colour and pattern."""
    style = random_style(rng)
    if rng.random() < 0.5:
        return style
    colours = rng.integers(10, 250, (2, 3)).tolist()
    return replace(
        style,
        kind=str(rng.choice(KINDS)),
        colour=tuple(colours[0]),
        pattern=str(rng.choice(PATTERNS)) if rng.random() < 0.4 else "plain",
        second=tuple(colours[1]),
    )


def _flattened(painted: PaintedMask, rng: np.random.Generator) -> Image.Image:
    """The mask's cloth blended with its mean colour: folds fade, as other painters leave them."""
    pixels = np.asarray(painted.image, dtype=np.float32).copy()
    cloth = pixels[painted.mask]
    flat = cloth.mean(0) * rng.uniform(0.8, 1.2)
    pixels[painted.mask] = cloth + (flat - cloth) * rng.uniform(0.5, 1)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


SIDE = 32  # middles are kept this coarse; the maps are coarser


def middle_of(face: Face | None, size: tuple[int, int]) -> torch.Tensor:
    """The middle of a face on a crop of this width and height: uint8 1 x 32 x 32, 255 inside.

    All zero where there is no face: nothing is asked of such a picture.
    """
    inside = face_middle(face.landmarks, size) if face else None
    if inside is None:
        return torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    small = Image.fromarray(inside.astype(np.uint8) * 255).resize(
        (SIDE, SIDE), Image.Resampling.BOX
    )
    return torch.from_numpy(np.array(small))[None]


def find_middles(pictures: Sequence[Picture], progress: Progress = quietly) -> torch.Tensor:
    """The middle of the largest face on each picture: uint8 N x 1 x 32 x 32."""
    middles = []
    for picture in progress(pictures):
        crop = read_crop(picture.file)
        faces = find_faces(crop)
        middles.append(middle_of(faces[0] if faces else None, crop.size))
    return torch.stack(middles)
