"""Where the middle of each face lies: nose, mouth, and where a mask's upper edge shows how it is
worn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ..explaining.regions import face_middle
from ..finding.faces import Face, find_faces
from .data import Picture, Progress, quietly, read_crop

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
