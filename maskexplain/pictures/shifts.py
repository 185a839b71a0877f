"""Changes of a picture that leave its answer the same: light, colour, detail, coding, turn."""

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance

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
