"""Pictures whose file is cut off or has a wrong checksum: what is there of them, and how much.

Browsers show such a picture as far as it goes. Here it must be known how far that is.
"""

import io
import re
import struct
import zlib
from math import ceil

import numpy as np
from PIL import Image

from .sift import DRI, EOI, FRAMES, PNG_START, SOS, Sifted, png_chunk, segments

MAX_UNPACKED = 2**27  # bytes of a PNG's pixels that are unpacked here
STEP = 2**16  # bytes packed, unpacked at once: a wrong one spoils no more than these
# A JPEG is read with two endings: the pixels that differ are not in the file.
COMPARED_SIDE, SAME = 800, 12
FILLING = re.sub(rb"\xff", b"", np.random.default_rng(0).bytes(4096))  # no markers in it


def mend(sifted: Sifted) -> tuple[bytes, float]:
    """A damaged JPEG or PNG as a file that a decoder takes, and the share that is there, 0 to 1.

    What is missing is gray or black. Raises ValueError, struct.error or OSError where nothing is
    there.
    """
    return _png(sifted) if sifted.kind == "PNG" else (sifted.data, _jpeg_share(sifted.data))


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


def _jpeg_share(data: bytes) -> float:
    """The share of the pixels that the file decides: those that nothing behind its end changes."""
    scan = _Scan.last(data)
    if not scan.complete:
        return 0.0
    agreed = _decoded(data)
    other = _decoded(data[:-2] + FILLING * (len(data) // len(FILLING) // 4 + 1) + data[-2:])
    same = (np.abs(agreed - other).max(axis=-1) <= SAME).mean()
    return float(min(same, scan.share))


def _decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft(None, (COMPARED_SIDE, COMPARED_SIDE))
        return np.asarray(image.convert("RGB"), np.int16)


class _Scan:
    """The last scan of a JPEG: what came with it and before it."""

    def __init__(self) -> None:
        self.frame = b""
        self.interval = 0  # MCUs between restart markers, 0 for none
        self.bands: dict[int, set[int]] = {}
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
        if precision >> 4 == 0:  # the first time that these bands come
            for component in self.components:
                self.bands.setdefault(component, set()).update(range(first, last + 1))

    @property
    def complete(self) -> bool:
        """Whether every band of every component has come, be it without its last bits."""
        wanted = self.frame[6 : 6 + 3 * self.frame[5] : 3]
        return all(len(self.bands.get(component, ())) == 64 for component in wanted)

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
