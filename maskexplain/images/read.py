"""Anything that may be a picture -> an upright RGB picture, or one ImageError that says what to do.

Every picture of the project comes in through `read_image`: from the page, HTTP, the command line
and the data folder. Messages never repeat a name or a byte that the sender chose, so they are
safe to show. Nothing is written to disk and nothing is logged.
"""

import base64
import binascii
import io
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import numpy as np
import pillow_heif
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from .mend import may_lack_pixels, mend
from .sift import Sifted, SiftError, sift

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 40_000_000
OWN_PIXELS = 170_000_000  # of pictures in folders of one's own; Pillow's own limit lies above
MIN_SIDE = 16
# Two and a half times what the face finder looks at: its smallest faces keep about 30 pixels.
MAX_SIDE = 1600
BAND = 256  # rows that are changed at once
ENOUGH = 0.9  # of a picture whose file is cut off

# Pillow tries no other reader than these: the one for PostScript, for one, starts a program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "GIF", "HEIF")
REMEDY = "save it as JPEG, PNG, WebP or HEIC and try again"

TOO_MANY_BYTES = (
    f"The picture's file is over {MAX_BYTES // 2**20} MB: send a smaller or more compressed one."
)
TOO_MANY_PIXELS = "The picture has more than {} megapixels: send a smaller copy of it."

TOO_MUCH_MEMORY = "The picture takes too much memory to open: send a smaller copy of it."
# Bytes a pixel. WebP: two canvases of its decoder, the copy that Pillow takes of one, the picture.
WEBP_BYTES, SEE_THROUGH_BYTES = 16, 12

REMARK = "remark"  # where a picture keeps what is to be said of its file
# EXIF tag 0x0112 -> what makes the picture upright (CIPA DC-008-2023, 4.6.5.1.6).
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

pillow_heif.register_heif_opener(thumbnails=False)


class ImageError(UserError, ValueError):
    """Not a usable picture: the text is one sentence, `too_large` tells HTTP's 413 from its 400."""

    def __init__(self, message: str, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def read_image(
    source: str | Path | bytes | BinaryIO,
    max_side: int | None = MAX_SIDE,
    max_pixels: int = MAX_PIXELS,
    complete: bool = False,
) -> Image.Image:
    """An upright RGB picture of its own: no open file, no EXIF, no colour profile.

    `source` is a path, the bytes of a file, a binary file object or a `data:` URL. Read are JPEG,
    PNG, WebP, BMP, TIFF, AVIF, GIF (first frame) and HEIC of at most `max_pixels` and 64 MiB,
    at least 16 pixels on the short side. 16-bit gray is scaled to 8 bits, transparency is laid on
    white, the EXIF orientation is applied. A picture whose long side is over `max_side` pixels is
    shrunk to it; None keeps the size.

    Of a picture whose file is cut off nine tenths are enough, unless it has to be `complete`;
    `remark_of` tells of it. Raises ImageError for everything else, a TIFF that is cut off, too.
    """
    return decode(bytes_of(source), max_side, max_pixels, complete)


def decode(
    data: bytes,
    max_side: int | None = MAX_SIDE,
    max_pixels: int = MAX_PIXELS,
    complete: bool = False,
) -> Image.Image:
    """`read_image` of a file's bytes."""
    with _decoding(data, max_pixels):
        sifted = sift(data, max_pixels)
        if sifted.size:
            _check_pixels(*sifted.size, max_pixels)
        try:
            return _read(sifted, max_side, max_pixels, complete)
        except OSError:
            # Only a PNG's decoder tells that the packed pixels end too early, or are wrong.
            if sifted.kind != "PNG" or sifted.damaged:
                raise
            return _read(replace(sifted, damaged=True), max_side, max_pixels, complete)


def _read(sifted: Sifted, max_side: int | None, max_pixels: int, complete: bool) -> Image.Image:
    damaged = sifted.damaged
    data, share = mend(sifted) if damaged else (sifted.data, 1.0)
    _check_share(share, damaged and complete)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(*image.size, max_pixels)
        image.decodermaxblock = len(data)  # arithmetic JPEGs can only be decoded in one piece
        picture = _upright_rgb(image, max_side, sifted.orientation)
        if not damaged and sifted.kind == "JPEG" and may_lack_pixels(data, image):
            _, share = mend(sifted)
            damaged = share < 1
            _check_share(share, damaged and complete)
    if damaged:
        picture.info[REMARK] = cut_off(share)
    return picture


def _check_share(share: float, refused: bool) -> None:
    if share < ENOUGH or refused:
        raise ImageError(DAMAGED)


@contextmanager
def _decoding(data: bytes, max_pixels: int) -> Iterator[None]:
    """Turn whatever a decoder does with damaged or hostile bytes into one ImageError."""
    try:
        with warnings.catch_warnings():
            # Pillow's remarks on a file are no use to its sender. Where threads overlap here, the
            # worst outcome is that this filter stays.
            warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")
            yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(max_pixels) from error
    except MemoryError as error:
        raise ImageError(TOO_MUCH_MEMORY, too_large=True) from error
    except UnidentifiedImageError as error:
        raise ImageError(_what_it_is(data)) from error
    except SiftError as error:
        raise ImageError(f"The picture's file {error}: {REMEDY}.") from error
    except Exception as error:  # on damaged bytes decoders raise nearly anything
        raise ImageError(DAMAGED) from error


def takes_over(data: bytes, memory: int) -> bool:
    """Whether a WebP, or a HEIC or AVIF with transparency, takes more than `memory` bytes.

    Their decoders say of such a one what they say of a damaged one.
    """
    try:
        sifted = sift(data, MAX_PIXELS)
    except (ValueError, IndexError, struct.error):
        return False
    if sifted.kind == "HEIF" and re.search(rb"auxid:1\0|auxiliary:alpha\0", data):
        sizes = re.findall(rb"ispe.{4}(.{4})(.{4})", data, re.DOTALL)
        areas = (int.from_bytes(w) * int.from_bytes(h) for w, h in sizes)
        return SEE_THROUGH_BYTES * max(areas, default=0) > memory
    width, height = sifted.size or (0, 0)
    return sifted.kind == "WEBP" and WEBP_BYTES * width * height > memory


# --- getting the bytes


def bytes_of(source: str | Path | bytes | BinaryIO) -> bytes:
    """The bytes of a file, however it is given. Raises ImageError."""
    data = _given(source)
    if not data:
        raise ImageError("The picture's file is empty: choose or send the picture again.")
    return data


def _given(source: str | Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return _bounded(bytes(source))
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _from_data_url(source)
    # As a path an address has one slash less.
    address = r"[a-z][a-z0-9+.-]+://" if isinstance(source, str) else r"https?:/"
    if isinstance(source, str | Path) and re.match(address, str(source), re.IGNORECASE):
        raise ImageError("Addresses are not fetched: save the picture and give its file instead.")
    if isinstance(source, str | Path):
        return _from_path(Path(source))
    if hasattr(source, "read"):
        return _from_file(source)
    raise ImageError("No picture was given: choose a picture first.")


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise ImageError(TOO_MANY_BYTES, too_large=True)
    return data


def _from_data_url(url: str) -> bytes:
    header, comma, body = url.partition(",")
    if len(body) > MAX_BYTES * 3:  # every byte may be written as %XX
        raise ImageError(TOO_MANY_BYTES, too_large=True)
    data = unquote_to_bytes(body)
    try:
        if header.lower().endswith(";base64"):
            data = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise ImageError("The picture's data URL is damaged: send the picture again.") from error
    if not comma or not data:
        raise ImageError("The data URL holds no picture: send the picture again.")
    return _bounded(data)


def _from_path(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        # Reading a device or a pipe might never end.
        file = path.open("rb") if stat.S_ISREG(mode) else None
    except FileNotFoundError as error:
        raise ImageError("There is no such file: check the picture's path.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(
            "The picture's file cannot be opened: check its path and permissions."
        ) from error
    if file is None and stat.S_ISDIR(mode) and not _opens(path):
        raise ImageError("The folder cannot be opened: check its permissions.")
    if file is None:
        kind = "a folder" if stat.S_ISDIR(mode) else "no plain file"
        raise ImageError(f"That path is {kind}, not a picture: give a picture's file.")
    with file:
        return _from_file(file)


def _opens(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def _from_file(file: BinaryIO) -> bytes:
    try:
        data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: closed, or text that does not decode
        raise ImageError(
            "The picture's file cannot be read: open it again in binary mode."
        ) from error
    if not isinstance(data, bytes):
        raise ImageError("The picture's file was opened as text: open it in binary mode.")
    return _bounded(data)


# --- saying what is wrong

DAMAGED = f"The picture is damaged or cut off: send it again, or open it and {REMEDY}."
KNOWN_STARTS = (
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|II\*\0|MM\0\*|GIF8[79]a|....ftyp(hei|mif|msf|avi)"
)
OTHER_KINDS = (
    (rb"%PDF", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (rb"PK\x03\x04", "a ZIP archive or an office document"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW", "a camera's raw picture"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video"),
    (rb"8BPS", "a Photoshop document"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
)


def _too_many_pixels(allowed: int) -> ImageError:
    return ImageError(TOO_MANY_PIXELS.format(allowed // 10**6), too_large=True)


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    _check_pixels(width, height, max_pixels)
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The picture is only {width} x {height} pixels: send one of at least {MIN_SIDE} "
            "pixels on each side."
        )


def cut_off(share: float) -> str:
    """What to say of a picture of which a share (0..1) is there."""
    if share == 1:
        return "The picture's file is cut off or damaged, but all of the picture is there."
    return f"The picture's file is cut off or damaged: {int(100 * share)}% of the picture is there."


def _what_it_is(data: bytes) -> str:
    """What is wrong with a file that no reader takes, told from its first bytes."""
    start = data[:1024]
    if re.match(KNOWN_STARTS, start, re.DOTALL):
        return DAMAGED
    for pattern, kind in OTHER_KINDS:
        if re.match(pattern, start, re.DOTALL):
            return f"The file is {kind}, which is not read here: {REMEDY}."
    if re.search(rb"<svg[\s>]", start, re.IGNORECASE):
        return "The file is an SVG drawing, which is not read here: save it as PNG and try again."
    if b"\0" not in start and _is_utf8(start):
        return "The file is text, not a picture: choose a picture instead."
    return f"The file is not a picture that can be read: {REMEDY}."


def _is_utf8(start: bytes) -> bool:
    # The last character may have been cut in two.
    return any(_decodes(start[: len(start) - cut]) for cut in range(4))


def _decodes(data: bytes) -> bool:
    try:
        return bool(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


# --- making the picture


def _upright_rgb(image: Image.Image, max_side: int | None, orientation: int) -> Image.Image:
    if max_side:
        _draft(image, max_side)
    image.load()
    if image.format == "AVIF":  # which makes EXIF of how the picture is to be turned
        orientation = image.getexif().get(ORIENTATION, 1)
    pixels = _shrunk(image, max_side)
    if min(pixels.size) < MIN_SIDE:
        raise ImageError("The picture is a very narrow strip: send the part with the face.")
    if orientation in UPRIGHT:
        pixels = pixels.transpose(UPRIGHT[orientation])
    # A new picture: whatever the file said beside its pixels (place, owner) stays behind.
    clean = Image.new("RGB", pixels.size)
    clean.paste(pixels)
    return clean


def _draft(image: Image.Image, max_side: int) -> None:
    """Let the JPEG reader decode at 1/2, 1/4 or 1/8, as long as `max_side` is still reached."""
    scale = max_side / max(image.size)
    if scale < 1:
        # None: keep the mode. Other formats ignore the call.
        image.draft(None, tuple(max(1, int(side * scale)) for side in image.size))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel and no palette, as L, RGB or RGBA (or CMYK, LAB ...)."""
    if image.mode in ("I", "F"):
        raise ImageError("The picture has 32-bit pixels: save it with 8 or 16 bits and try again.")
    if image.mode.startswith("I;16"):
        # 65535 must become 255: v / 257, rounded. Pillow's own convert() clips at 255.
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("P", "1") else image


def _shrunk(image: Image.Image, max_side: int | None) -> Image.Image:
    """The picture in RGB on white, with a long side of at most `max_side`."""
    scale = (max_side or max(image.size)) / max(image.size)
    # First by a whole factor, the mean of the pixels: to twice what is wanted, or more.
    flat = _flat(image, int(1 / scale / 2) or 1)
    if scale >= 1:
        return flat
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return flat.resize(size, Image.Resampling.BICUBIC)


def _flat(image: Image.Image, factor: int) -> Image.Image:
    """The picture in RGB on white, reduced by a whole factor.

    Band by band: a large picture is never there twice.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.reduce(factor) if factor > 1 else image
    width, height = image.size
    flat = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, BAND * factor):
        band = image.crop((0, top, width, min(height, top + BAND * factor)))
        flat.paste(_on_white(_eight_bits(band)).reduce(factor), (0, top // factor))
    return flat


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def remark_of(image: Image.Image) -> str:
    """What `read_image` has to say of a picture that it gave, such as a file cut off; or ""."""
    return image.info.get(REMARK, "")


def digest_of(image: Image.Image | ImageError | None) -> str:
    """A digest of an RGB picture's size and pixels; "" where there is no picture."""
    if image is None or isinstance(image, ImageError):
        return ""
    content = sha256(repr(image.size).encode())
    content.update(image.tobytes())
    return content.hexdigest()
