"""How bright a face is, and the same face in another light."""

import numpy as np
from PIL import Image, ImageEnhance, ImageStat

from .shifts import dark_35

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
