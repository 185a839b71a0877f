"""Pictures edited: patches laid on them, and changes that leave a face's answer the same.

Matrices are 2 x 3 and map a patch's points to the picture's. Points are in pixels from the upper
left corner; the centre of the first pixel lies at (.5, .5).
"""

import io
from collections.abc import Callable, Sequence
from math import cos, radians, sin

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageStat


def placement(
    centre: Sequence[float], size: tuple[int, int], tilt: float, scale: float = 1.0
) -> np.ndarray:
    """The 2 x 3 matrix that lays a patch of a size on the picture: its centre, turn and scale."""
    c, s = cos(radians(tilt)) * scale, sin(radians(tilt)) * scale
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, np.asarray(centre) - turn @ np.array(size) / 2])


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) under an affine 2 x 3 matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def cut_patch(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The patch of a size (width, height) that the matrix lays on the picture (H x W x 3).

    Beyond the picture its border is repeated.
    """
    return cv2.warpAffine(
        pixels,
        between_centres(matrix),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def between_centres(matrix: np.ndarray) -> np.ndarray:
    """An affine 2 x 3 matrix as OpenCV wants it, where whole numbers are the pixels' centres."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return moved


def turned(image: Image.Image, clockwise: int) -> Image.Image:
    """The picture turned by 0, 90, 180 or 270 degrees: every pixel is kept."""
    turns = {
        90: Image.Transpose.ROTATE_270,  # Pillow counts against the clock
        180: Image.Transpose.ROTATE_180,
        270: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[clockwise]) if clockwise else image


Shift = Callable[[Image.Image], Image.Image]


def dark_35(crop: Image.Image) -> Image.Image:
    """Light turned down: every value times .35."""
    return ImageEnhance.Brightness(crop).enhance(0.35)


def gray(crop: Image.Image) -> Image.Image:
    """Colour removed (ITU-R 601 luma in all three channels)."""
    return crop.convert("L").convert("RGB")


def blurred(crop: Image.Image) -> Image.Image:
    """Detail removed: down to 24 x 24 pixels and back."""
    return crop.resize((24, 24), Image.Resampling.BILINEAR).resize(
        crop.size, Image.Resampling.BILINEAR
    )


def jpeg_20(crop: Image.Image) -> Image.Image:
    """Compressed as JPEG of quality 20, and read again."""
    coded = io.BytesIO()
    crop.save(coded, "JPEG", quality=20)
    with Image.open(coded) as image:
        return image.convert("RGB")


def turned_15(crop: Image.Image) -> Image.Image:
    """Turned by 15 degrees against the clock; black beyond the border."""
    return crop.rotate(15, Image.Resampling.BILINEAR)


SHIFTS: dict[str, Shift] = {
    "dark_35": dark_35,
    "gray": gray,
    "blurred": blurred,
    "jpeg_20": jpeg_20,
    "turned_15": turned_15,
}


# Mean luma (ITU-R 601, 0..255) of 1,500 un-augmented training faces: half lie above the first,
# two in a hundred below the second. Of the test faces at 35% light 95 in a hundred lie below it.
USUAL_LIGHT = 122.0
DARK = 63.0
MOST_GAIN = 8.0  # beyond it there is more noise than face
FAINTEST = USUAL_LIGHT / MOST_GAIN  # a fainter face does not get as bright as usual
# Mean difference of the largest and the smallest channel: none of those 1,500 faces lies below.
NO_COLOUR = 5.0


def brightness(crop: Image.Image) -> float:
    """Mean luma of an RGB crop, 0..255."""
    return ImageStat.Stat(crop.convert("L")).mean[0]


def is_dark(crop: Image.Image) -> bool:
    """Whether a face is darker than nearly all that the versions were trained on as taken."""
    return brightness(crop) < DARK


def is_gray(crop: Image.Image) -> bool:
    """Whether an RGB crop has next to no colour."""
    pixels = np.asarray(crop).astype(int)
    return float((pixels.max(2) - pixels.min(2)).mean()) < NO_COLOUR


def turned_up(crop: Image.Image) -> Image.Image:
    """The crop as bright as a usual face: every value times one factor, of at most 8."""
    gain = min(USUAL_LIGHT / max(brightness(crop), 1.0), MOST_GAIN)
    return ImageEnhance.Brightness(crop).enhance(gain)


def in_other_light(crop: Image.Image) -> Image.Image:
    """A dark face with the light turned up, any other one in the dim light that was measured."""
    return turned_up(crop) if is_dark(crop) else dark_35(crop)
