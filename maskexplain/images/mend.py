"""Pictures whose file is cut off or has a wrong checksum: what is there of them, and how much.

Browsers show such a picture as far as it goes. Here it must be known how far that is. Where only a
decoder can tell, the file is read with two different endings: the pixels that differ are not in it.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import ceil

import numpy as np
from PIL import Image, ImageStat

from .sift import (
    DRI,
    END,
    EOI,
    FRAMES,
    PNG_START,
    SOS,
    Sifted,
    colour_table,
    png_chunk,
    riff_chunks,
    segments,
    webp_file,
)

MAX_UNPACKED = 2**27  # bytes of a PNG's pixels that are unpacked here
STEP = 2**16  # bytes packed, unpacked at once: a wrong one spoils no more than these
MAX_CODES = 2**20  # bytes of a GIF's pixels, whose codes are counted in Python
COMPARED_SIDE, SAME = 800, 12
NOISE = re.sub(rb"\xff", b"", np.random.default_rng(0).bytes(4096))  # no markers in it
ENDINGS = (NOISE, b"\x55")  # not every decoder takes the first for pixels
READERS = ("JPEG", "WEBP", "HEIF", "AVIF")


def mend(sifted: Sifted) -> tuple[bytes, float]:
    """A damaged picture as a file that a decoder takes, and the share that is there, 0 to 1.

    What is missing is of one colour, or goes on as the picture ends. Raises ValueError,
    struct.error, IndexError or OSError where nothing is there.
    """
    # So much is never only a tenth; and it would have to be made up.
    if sifted.missing > len(sifted.data):
        raise ValueError("too little is there")
    return MENDERS[sifted.kind](sifted)


def _agreement(one: bytes, others: Iterable[bytes]) -> float:
    """The share of pixels that a file has in common with the first of the others that opens."""
    pixels = _decoded(one)
    for other in others:
        with suppress(OSError, RuntimeError):
            return float((np.abs(pixels - _decoded(other)).max(axis=-1) <= SAME).mean())
    raise ValueError("no other ending opens")


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=READERS) as image:
        image.draft(None, (COMPARED_SIDE, COMPARED_SIDE))
        smaller = image.convert("RGB").reduce(max(1, max(image.size) // COMPARED_SIDE))
        return np.asarray(smaller, np.int16)


def _much(ending: bytes, size: int) -> bytes:
    return (ending * (size // len(ending) + 1))[:size]


# --- PNG

# The passes of an interlaced PNG: where each begins, and its steps (x, y, x steps, y steps).
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
PASSES += ((0, 1, 1, 2),)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type


def _png(sifted: Sifted) -> tuple[bytes, float]:
    data, at = sifted.data, len(PNG_START)
    parts = []
    while at < len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        parts.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    expected = _unpacked_size(dict(parts)[b"IHDR"])
    packed = dict(parts)[b"IDAT"]
    rows = _unpacked(packed, expected) if sifted.sound < len(packed) else b""
    # The stream's own checksum may tell that all is right where a chunk's tells otherwise, and the
    # other way round.
    if len(rows) < expected:
        rows = _unpacked(packed[: sifted.sound], expected, checked=False)
    share = len(rows) / expected
    whole = zlib.compress(rows + bytes(expected - len(rows)), level=1)
    mended = [(kind, whole if kind == b"IDAT" else body) for kind, body in parts]
    return PNG_START + b"".join(png_chunk(*part) for part in mended), share


def _unpacked_size(header: bytes) -> int:
    """The bytes of all rows: each begins with one for its filter. ValueError where too many."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">LLBBBBB", header)
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    size = 0
    for x, y, dx, dy in passes:
        columns, rows = ceil((width - x) / dx), ceil((height - y) / dy)
        if columns > 0 and rows > 0:
            size += rows * (1 + ceil(columns * depth * CHANNELS.get(colour, 4) / 8))
    if not 0 < size <= MAX_UNPACKED:
        raise ValueError("too large to be mended")
    return size


def _unpacked(packed: bytes, expected: int, checked: bool = True) -> bytes:
    """As many bytes as come out before an error; none where `checked` and the checksum is wrong."""
    unpacker, rows = zlib.decompressobj(wbits=-15), bytearray()  # the checksum is looked at below
    try:
        for at in range(2, len(packed), STEP):
            rows += unpacker.decompress(packed[at : at + STEP], expected - len(rows) + 1)
            if len(rows) > expected:
                break
    except zlib.error:
        return b"" if checked else bytes(rows[:expected])
    right = unpacker.eof and zlib.adler32(rows) == int.from_bytes(unpacker.unused_data[:4], "big")
    return bytes(rows[:expected]) if right or not checked else b""


# --- JPEG


def _jpeg(sifted: Sifted) -> tuple[bytes, float]:
    data = sifted.data
    scan = _Scan.last(data)
    if not scan.complete:
        return data, 0.0
    longer = data[:-2] + _much(NOISE, len(NOISE) + len(data) // 4) + data[-2:]
    return data, min(_agreement(data, [longer]), scan.share)


def may_lack_pixels(data: bytes, image: Image.Image) -> bool:
    """Whether a JPEG that has its end may lack pixels before it: an end can be put to any file.

    `image` is what was decoded. Where pixels are missing the decoder puts middle gray, or in a
    progressive file the means of blocks.
    """
    if image.info.get("progressive"):
        scan = _Scan.last(data)
        return not (scan.complete and scan.refined)
    width, height = image.size
    last = image.crop((max(0, width - 4), max(0, height - 4), width, height))
    return all(127 <= least <= most <= 129 for least, most in ImageStat.Stat(last).extrema)


class _Scan:
    """The last scan of a JPEG: what came with it and before it."""

    def __init__(self) -> None:
        self.frame = b""
        self.interval = 0  # MCUs between restart markers, 0 for none
        self.bands: dict[int, dict[int, int]] = {}  # of a component: its bands' missing bits
        self.components: list[int] = []
        self.restarts = 0

    @classmethod
    def last(cls, data: bytes) -> "_Scan":
        scan = cls()
        for mark, scanned, body in segments(data):
            scan.restarts = len(re.findall(rb"\xff[\xd0-\xd7]", scanned))
            if mark in FRAMES:
                scan.frame = body
            elif mark == DRI:
                scan.interval = int.from_bytes(body[:2], "big")
            elif mark == SOS:
                scan._begin(body)
            elif mark == EOI:
                break
        return scan

    def _begin(self, body: bytes) -> None:
        count = body[0]
        self.components = list(body[1 : 1 + 2 * count : 2])
        first, last, precision = body[1 + 2 * count : 4 + 2 * count]
        for component in self.components:
            known = self.bands.setdefault(component, {})
            for band in range(first, last + 1):
                # At first the bands come without their last bits, then these one by one.
                if band in known or precision >> 4 == 0:
                    known[band] = precision & 15

    @property
    def complete(self) -> bool:
        """Whether every band of every component has come, be it without its last bits."""
        wanted = self.frame[6 : 6 + 3 * self.frame[5] : 3]
        return all(len(self.bands.get(component, ())) == 64 for component in wanted)

    @property
    def refined(self) -> bool:
        """Whether all bands have come with their last bits."""
        return not any(missing for bands in self.bands.values() for missing in bands.values())

    @property
    def share(self) -> float:
        """How far the scan can have come, told from its restart markers; 1 where it has none.

        Behind a missing restart marker decoders paint the same gray, whatever comes.
        """
        if not self.interval:
            return 1.0
        return (self.restarts + 1) / ceil(self._units() / self.interval)

    def _units(self) -> int:
        """The MCUs of the scan (ITU-T T.81, A.2)."""
        height, width = struct.unpack_from(">HH", self.frame, 1)
        samplings = {
            self.frame[i]: (self.frame[i + 1] >> 4, self.frame[i + 1] & 15)
            for i in range(6, 6 + 3 * self.frame[5], 3)
        }
        most_h, most_v = (max(s[axis] for s in samplings.values()) for axis in (0, 1))
        h, v = samplings[self.components[0]] if len(self.components) == 1 else (1, 1)
        return ceil(width * h / (8 * most_h)) * ceil(height * v / (8 * most_v))


# --- WebP, HEIC and AVIF


def _webp(sifted: Sifted) -> tuple[bytes, float]:
    *before, (kind, body, _) = riff_chunks(sifted.data)
    if not sifted.missing:
        return sifted.data, 1.0
    if kind == b"ANMF":  # a frame has chunks of its own
        raise ValueError("the first frame is cut off")

    def ended(ending: bytes) -> bytes:
        # Noise says more than what is missing did: its decoder wants more of it.
        more = _much(ending, 2 * sifted.missing + len(sifted.data) // 4)
        return webp_file([*((kind, body) for kind, body, _ in before), (kind, body + more)])

    mended = ended(b"\0")
    return mended, _agreement(mended, map(ended, ENDINGS))


def _heif(sifted: Sifted) -> tuple[bytes, float]:
    if b"grid" in sifted.data and b"idat" not in sifted.data:
        # How its tiles lie may be told at the end: a made-up plan gives another picture.
        raise ValueError("the plan of its tiles may be missing")
    mended, *others = (sifted.data + _much(e, sifted.missing) for e in (b"\0", *ENDINGS))
    return mended, _agreement(mended, others)


# --- GIF and BMP


def _gif(sifted: Sifted) -> tuple[bytes, float]:
    """What is missing gets the first colour: a code of zeros is always of that."""
    data, at = sifted.data, sifted.sound
    width, height = struct.unpack_from("<HH", data, at + 5)
    begin = at + 11 + colour_table(data[at + 9])
    packed = b"".join(_blocks(data[begin:]))
    pixels, packed = _gif_pixels(packed, data[begin - 1])
    missing = max(0, width * height - pixels)
    if missing > width * height // 2:
        raise ValueError("too little is there")
    packed += bytes(2 * missing + 2)
    parts = (packed[i : i + 255] for i in range(0, len(packed), 255))
    mended = b"".join(bytes([len(part)]) + part for part in parts)
    return data[:begin] + mended + b"\0" + END, 1 - missing / (width * height)


def _blocks(data: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(data):
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]


def _gif_pixels(packed: bytes, least: int) -> tuple[int, bytes]:
    """How many pixels the codes (LZW, `least` bits a pixel) give, and the codes that are whole."""
    if not 1 < least < 9 or len(packed) > MAX_CODES:
        raise ValueError("too many codes")
    clear, end = 1 << least, (1 << least) + 1
    at, width, pixels, last = 0, least + 1, 0, 0
    lengths = [1] * clear + [0, 0]  # of what each code stands for
    while at + width <= 8 * len(packed):
        code = int.from_bytes(packed[at >> 3 : (at >> 3) + 3], "little") >> (at & 7)
        code &= (1 << width) - 1
        if code == end:
            break
        at += width
        if code == clear:
            width, last, lengths = least + 1, 0, lengths[: clear + 2]
            continue
        if last and len(lengths) < 4096:
            lengths.append(last + 1)
        last = lengths[code]
        pixels += last
        width += len(lengths) == 1 << width and width < 12
    whole = int.from_bytes(packed[: at // 8 + 1], "little") & (1 << at) - 1
    return pixels, whole.to_bytes(at // 8 + 1, "little")


def _bmp(sifted: Sifted) -> tuple[bytes, float]:
    return sifted.data + bytes(sifted.missing), 1 - sifted.missing / sifted.sound


MENDERS: dict[str, Callable[[Sifted], tuple[bytes, float]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "HEIF": _heif,
    "GIF": _gif,
    "BMP": _bmp,
}
