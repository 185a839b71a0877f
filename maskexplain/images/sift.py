"""What of a picture's file makes its pixels: the rest never reaches a decoder.

Text, places, previews, colour profiles and further frames are left out, and what is kept is counted
first. A file of a few megabytes can otherwise cost gigabytes or minutes: Pillow copies a block of
EXIF or TIFF once for every entry that points at it, and a JPEG may hold thousands of empty scans.
Every function here takes time in proportion to the file's length.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

MAX_PARTS = 65_536  # segments, chunks or boxes of a file; 20 MB of PNG have some 2,500
MAX_BLOCKS = 300_000  # of a GIF's picture, which hold 255 bytes each: 76 MB
# Usual are 10 scans; each one walks over all pixels. Over 20 only smaller pictures may have.
MAX_SCANS, FULL_SCANS = 100, 20
MAX_EXIF = 65_536  # bytes; what a JPEG's segment can hold
MAX_RUNS = 2**20  # bytes of a BMP in runs, which Pillow unpacks in Python
MAX_ENTRIES = 512  # of a TIFF's directory
MAX_VALUES = 262_144  # of one entry: a strip or a tile each
MAX_TILE = 16_777_216  # pixels of a tile or strip, which is decoded at once
MAX_ITEMS = 1000  # of a HEIC or AVIF; a phone's photo has some 200


class SiftError(ValueError):
    """The file is not to be given to a decoder; the text completes "The picture's file ..."."""

    def __init__(self, what: str = "has more in it than a picture needs") -> None:
        super().__init__(what)


@dataclass(frozen=True)
class Sifted:
    """A file's pixels: what a decoder is to be given.

    `size` is (width, height) where a decoder must not see more than is allowed, else None;
    `orientation` is EXIF's (1 to 8). `kind` is "JPEG" or "PNG" where a part may be missing, and
    then `damaged` says that the file is cut off, or a checksum of it wrong; `sound`: how many bytes
    of a PNG's packed pixels come before that.
    """

    data: bytes
    orientation: int = 1
    size: tuple[int, int] | None = None
    kind: str = ""
    damaged: bool = False
    sound: int = 0


def sift(data: bytes, max_pixels: int) -> Sifted:
    """Keep of a file what its pixels need. What is no picture is left as it is.

    The bounds fit pictures of `max_pixels`, to which the decoder's caller holds. Raises SiftError
    for what costs too much; ValueError, IndexError or struct.error for what ends before its pixels.
    """
    for start, kind in KINDS.items():
        if re.match(start, data[:16], re.DOTALL):
            return kind(data, max_pixels)
    return Sifted(data)


def orientation_of(exif: bytes) -> int:
    """How EXIF says to turn the picture (tag 0x0112, CIPA DC-008-2023, 4.6.5.1.6); 1 for not."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if not order or len(exif) > MAX_EXIF:
        return 1
    try:
        (at,) = struct.unpack_from(order + "L", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * min(count, MAX_ENTRIES), 12):
            tag, kind, _ = struct.unpack_from(order + "HHL", exif, entry)
            if tag == 0x0112 and kind in (3, 4):
                return struct.unpack_from(order + ("H" if kind == 3 else "L"), exif, entry + 8)[0]
    except struct.error:  # cut off, or no EXIF at all: the picture is taken as it lies
        return 1
    return 1


def _xmp_orientation(text: bytes) -> int:
    """The same as image programs write it into XMP."""
    found = re.search(rb"tiff:Orientation(?:=\"|>)([1-8])", text[:MAX_EXIF])
    return int(found[1]) if found else 1


# --- JPEG (ITU-T T.81, B.1)

MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # but for those inside a scan
SOI, EOI, SOS, DRI = 0xD8, 0xD9, 0xDA, 0xDD
JFIF, EXIF, ADOBE, COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes, max_pixels: int) -> Sifted:
    kept, orientation, pixels, scans = [b"\xff\xd8"], 1, 0, 0
    whole = False
    for mark, scanned, body in segments(data):
        kept.append(scanned)
        whole = whole or mark == EOI
        if mark == EXIF and orientation == 1:
            xmp = body.startswith(b"http://ns.adobe.com/xap/")
            orientation = _xmp_orientation(body) if xmp else orientation_of(body)
        if mark in FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            pixels = max(pixels, width * height)
        scans += mark == SOS
        if scans > MAX_SCANS or scans * pixels > FULL_SCANS * max_pixels:
            raise SiftError
        if mark and (mark in (JFIF, ADOBE, EOI) or not (JFIF <= mark <= 0xEF or mark == COMMENT)):
            length = b"" if mark == EOI else struct.pack(">H", len(body) + 2)
            kept.append(bytes([0xFF, mark]) + length + body)
    if not whole:
        kept.append(b"\xff\xd9")
    return Sifted(b"".join(kept), orientation, kind="JPEG", damaged=not whole)


def segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each marker up to the picture's end, with the scan before it and what belongs to it.

    A file that is cut off ends with the marker 0.
    """
    at, in_scan = 2, False
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, at)
        end = found.start() if found else len(data)
        scanned = data[at:end] if in_scan else b""
        if not found:
            yield 0, scanned.removesuffix(b"\xff"), b""
            return
        mark = data[end + 1]
        if mark in (SOI, EOI, 1):
            at = end + 2
            yield mark if mark == EOI else 0, scanned, b""
            if mark == EOI:
                return
            continue
        length = int.from_bytes(data[end + 2 : end + 4], "big")
        at = end + 2 + max(2, length)
        if at > len(data):
            yield 0, scanned, b""
            return
        yield mark, scanned, data[end + 4 : at]
        in_scan = mark == SOS
    raise SiftError


# --- PNG (W3C PNG 3, 5.3)

PNG_START = b"\x89PNG\r\n\x1a\n"


def _png(data: bytes, _: int) -> Sifted:
    kept: dict[bytes, bytes] = {}
    packed: list[bytes] = []
    orientation, sound, damaged, kind = 1, None, False, b""
    for kind, body, right in _chunks(data):
        damaged = damaged or not right
        if kind == b"IDAT":
            if not right and sound is None:
                sound = sum(map(len, packed))
            packed.append(body)
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            if not right:
                raise ValueError(kind)
            kept.setdefault(kind, body)
        elif kind == b"eXIf":
            orientation = orientation_of(body)
        elif kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0") and orientation == 1:
            orientation = _xmp_orientation(body)
    pixels = b"".join(packed)
    parts = [*kept.items(), (b"IDAT", pixels), (b"IEND", b"")]
    return Sifted(
        PNG_START + b"".join(png_chunk(*part) for part in parts),
        orientation,
        kind="PNG",
        damaged=damaged or kind != b"IEND",
        sound=len(pixels) if sound is None else sound,
    )


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Each chunk's kind, body and whether its checksum is right; the last one may be cut off."""
    at = len(PNG_START)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">L4s", data, at)
        body, end = data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data):
            yield kind, body, kind == b"IDAT"
            return
        yield kind, body, crc32(kind + body) == int.from_bytes(data[end - 4 : end], "big")
        if kind == b"IEND":
            return
        at = end
    raise SiftError


# --- WebP (RFC 9649)

WEBP_PIXELS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")
ALPHA, ANIMATION = 0x10, 0x02


def _webp(data: bytes, _: int) -> Sifted:
    kept: dict[bytes, bytes] = {}  # of several frames the first
    orientation = 1
    for kind, body in _riff_chunks(data):
        if kind in WEBP_PIXELS:
            kept.setdefault(kind, body)
        elif kind == b"EXIF":
            orientation = orientation_of(body)
        elif kind == b"XMP " and orientation == 1:
            orientation = _xmp_orientation(body)
    size = _webp_size(kept)
    if b"VP8X" in kept:
        extended = kept[b"VP8X"]
        kept[b"VP8X"] = bytes([extended[0] & (ALPHA | ANIMATION)]) + extended[1:]
    body = b"WEBP" + b"".join(
        kind + struct.pack("<L", len(part)) + part + bytes(len(part) % 2)
        for kind, part in kept.items()
    )
    return Sifted(b"RIFF" + struct.pack("<L", len(body)) + body, orientation, size)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sL", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise SiftError


def _webp_size(kept: dict[bytes, bytes]) -> tuple[int, int] | None:
    """The largest size that a chunk names: the decoder makes room for it before anything else."""
    sizes = []
    if extended := kept.get(b"VP8X"):
        sizes.append([int.from_bytes(extended[i : i + 3], "little") + 1 for i in (4, 7)])
    if lossy := kept.get(b"VP8 "):
        sizes.append([int.from_bytes(lossy[i : i + 2], "little") & 0x3FFF for i in (6, 8)])
    if lossless := kept.get(b"VP8L"):
        bits = int.from_bytes(lossless[1:5], "little")
        sizes.append([(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1])
    return max(((w, h) for w, h in sizes), key=lambda size: size[0] * size[1], default=None)


# --- GIF (GIF89a)

EXTENSION, PICTURE, CONTROL, END = 0x21, 0x2C, 0xF9, b";"


def _gif(data: bytes, _: int) -> Sifted:
    at = 13 + _table(data[10])
    head, control, blocks = data[:at], b"", iter(range(MAX_BLOCKS))
    while data[at] in (EXTENSION, PICTURE):
        if data[at] == PICTURE:
            end = _after_blocks(data, at + 11 + _table(data[at + 9]), blocks)
            return Sifted(head + control + data[at:end] + END)
        end = _after_blocks(data, at + 2, blocks)
        control = data[at:end] if data[at + 1] == CONTROL else control
        at = end
    raise ValueError("no picture")


def _table(flags: int) -> int:
    """The bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int, blocks: Iterator[int]) -> int:
    for _ in blocks:
        length = data[at]
        at += 1 + length
        if not length:
            return at
    raise SiftError


# --- BMP

RUNS = (1, 2)  # kinds of compression


def _bmp(data: bytes, _: int) -> Sifted:
    if int.from_bytes(data[30:34], "little") in RUNS and len(data) > MAX_RUNS:
        raise SiftError
    return Sifted(data)


# --- TIFF 6 and BigTIFF

WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES = 256, 257, 258, 259, 277
TILE_WIDTH, TILE_LENGTH = 322, 323
TIFF_PIXELS = {254, WIDTH, LENGTH, BITS, COMPRESSION, 262, 266, 273, 274, SAMPLES, 278, 279, 284}
TIFF_PIXELS |= {292, 293, 317, 320, TILE_WIDTH, TILE_LENGTH, 324, 325, 332, 338, 339, 347}
TIFF_PIXELS |= {529, 530, 531, 532}
# None, fax, LZW, JPEG, deflate (new and old), runs.
COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32946, 32773}
MAX_DEPTH = 6  # bytes a pixel in a picture of the largest size; a strip may hold all of them
NUMBERS = {3: "H", 4: "L", 16: "Q"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}


def _tiff(data: bytes, max_pixels: int) -> Sifted:
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in data[2:4]
    head, more, place = (order + "HHQ", 8, 8) if big else (order + "HHL", 4, 4)
    (at,) = struct.unpack_from(order + ("Q" if big else "L"), data, place)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    step = struct.calcsize(head) + more
    if count > MAX_ENTRIES:
        raise SiftError
    kept, known = bytearray(data), {}
    for entry in range(at, at + count * step, step):
        tag, kind, number = struct.unpack_from(head, data, entry)
        value = entry + step - more
        if tag not in TIFF_PIXELS or tag in known:
            # The entry stays, since the next ones must not move: one byte, which nobody asks for.
            kept[entry + 2 : entry + step] = struct.pack(head, tag, 1, 1)[2:] + bytes(more)
            continue
        if number > MAX_VALUES or number * SIZES.get(kind, 1) > len(data):
            raise SiftError
        known[tag] = 0
        if kind in NUMBERS and number * SIZES[kind] <= more:
            (known[tag],) = struct.unpack_from(order + NUMBERS[kind], data, value)
    _check_tiff(known, max_pixels)
    return Sifted(bytes(kept), size=(known.get(WIDTH, 0), known.get(LENGTH, 0)))


def _check_tiff(known: dict[int, int], max_pixels: int) -> None:
    if known.get(COMPRESSION, 1) not in COMPRESSIONS:
        raise SiftError("is packed in a way that is not read here")
    if known.get(TILE_WIDTH, 1) * known.get(TILE_LENGTH, 1) > MAX_TILE:
        raise SiftError
    bits = known.get(BITS) or 16  # where each sample has its own, they stand elsewhere
    area = known.get(WIDTH, 0) * known.get(LENGTH, 0)
    if area * bits * known.get(SAMPLES, 1) // 8 > MAX_DEPTH * max_pixels:
        raise SiftError


# --- HEIC and AVIF (ISO/IEC 23008-12)

# The entry of an item that holds EXIF or XMP: its version, flags, number and protection, its kind.
NOTES = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", re.DOTALL)


def _heif(data: bytes, _: int) -> Sifted:
    if data.count(b"infe") > MAX_ITEMS:
        raise SiftError
    return Sifted(NOTES.sub(rb"\1skip", data))


KINDS: dict[bytes, Callable[[bytes, int], Sifted]] = {
    rb"\xff\xd8\xff": _jpeg,
    re.escape(PNG_START): _png,
    rb"RIFF....WEBP": _webp,
    rb"GIF8[79]a": _gif,
    rb"BM": _bmp,
    rb"II(\*\0|\0\*|\+\0)|MM(\0\*|\*\0|\0\+)": _tiff,
    rb"....ftyp": _heif,
}
