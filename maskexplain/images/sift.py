"""What of a picture's file makes its pixels: the rest never reaches a decoder.

Text, places, previews, colour profiles and further frames are left out, and what is kept is counted
first. A file of a few megabytes can otherwise cost gigabytes or minutes: Pillow copies a block of
EXIF or TIFF once for every entry that points at it, and a JPEG may hold thousands of empty scans.
Every function here takes time in proportion to the file's length.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator
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
    `orientation` is EXIF's (1 to 8). `kind` is Pillow's name of the format where a part may be
    missing, and then `damaged` says that the file is cut off, or a checksum of it wrong. `missing`:
    how many bytes of its pixels are announced and do not come. `sound`: of a PNG, how many bytes of
    its packed pixels come before the damage; of a GIF, where its picture
    begins; of a BMP, how many bytes all its pixels take.
    """

    data: bytes
    orientation: int = 1
    size: tuple[int, int] | None = None
    kind: str = ""
    damaged: bool = False
    missing: int = 0
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
CODES, SEQUENTIAL = 0xC4, (0xC0, 0xC1)
# Zeros in a row where the shortest code is of a value: no picture has them, but files whose rest
# never came. (Where it is of a block's end they are an even area.)
HOLE = bytes(256)


def _jpeg(data: bytes, max_pixels: int) -> Sifted:
    kept, orientation, pixels, scans = [b"\xff\xd8"], 1, 0, 0
    whole, sequential, hole_tells = False, False, False
    shortest: dict[int, int] = {}
    for mark, scanned, body in segments(data):
        if hole_tells and HOLE in scanned:
            kept.append(scanned[: scanned.index(HOLE)])
            break
        kept.append(scanned)
        whole = whole or mark == EOI
        if mark == CODES:
            shortest.update(_shortest_codes(body))
        if mark == EXIF and orientation == 1:
            xmp = body.startswith(b"http://ns.adobe.com/xap/")
            orientation = _xmp_orientation(body) if xmp else orientation_of(body)
        if mark in FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            pixels = max(pixels, width * height)
            sequential = mark in SEQUENTIAL
        if mark == SOS:
            scans += 1
            hole_tells = sequential and _says_values(body, shortest)
        if scans > MAX_SCANS or scans * pixels > FULL_SCANS * max_pixels:
            raise SiftError
        if mark and (mark in (JFIF, ADOBE, EOI) or not (JFIF <= mark <= 0xEF or mark == COMMENT)):
            length = b"" if mark == EOI else struct.pack(">H", len(body) + 2)
            kept.append(bytes([0xFF, mark]) + length + body)
    if not whole:
        kept.append(b"\xff\xd9")
    return Sifted(b"".join(kept), orientation, kind="JPEG", damaged=not whole)


def _shortest_codes(body: bytes) -> Iterator[tuple[int, int]]:
    """Of each table of codes its class and number, and what the shortest code means."""
    at = 0
    while at + 17 < len(body):
        yield body[at], body[at + 17]
        at += 17 + sum(body[at + 1 : at + 17])


def _says_values(body: bytes, shortest: dict[int, int]) -> bool:
    """Whether a scan has a component whose shortest code is of a value that is not zero."""
    tables = (0x10 | chosen & 15 for chosen in body[2 : 1 + 2 * body[0] : 2])
    return any(shortest.get(table, 0) & 15 for table in tables)


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
            yield 0, scanned.rstrip(b"\xff\0"), b""  # room that was made for what never came
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
    orientation, missing = 1, 0
    for kind, body, lacking in riff_chunks(data):
        if kind in WEBP_PIXELS and kind not in kept:
            kept[kind] = body
            missing += lacking
        elif kind == b"EXIF":
            orientation = orientation_of(body)
        elif kind == b"XMP " and orientation == 1:
            orientation = _xmp_orientation(body)
    size = _webp_size(kept)
    if b"VP8X" in kept:
        extended = kept[b"VP8X"]
        kept[b"VP8X"] = bytes([extended[0] & (ALPHA | ANIMATION)]) + extended[1:]
    # An odd last chunk may stand without the byte that makes it even.
    damaged = missing > 0 or int.from_bytes(data[4:8], "little") + 8 > len(data) + 1
    file = webp_file(kept.items())
    return Sifted(file, orientation, size, kind="WEBP", damaged=damaged, missing=missing)


def webp_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A WebP of these chunks, each a kind and its body."""
    body = b"WEBP" + b"".join(
        kind + struct.pack("<L", len(part)) + part + bytes(len(part) % 2) for kind, part in chunks
    )
    return b"RIFF" + struct.pack("<L", len(body)) + body


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Each chunk's kind and body, and how many bytes the last one lacks."""
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sL", data, at)
        body = data[at + 8 : at + 8 + length]
        yield kind, body, length - len(body)
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
    at = 13 + colour_table(data[10])
    head, control, blocks = data[:at], b"", iter(range(MAX_BLOCKS))
    while data[at] in (EXTENSION, PICTURE):
        if data[at] == PICTURE:
            lead = head + control
            try:
                end = _after_blocks(data, at + 11 + colour_table(data[at + 9]), blocks)
            except IndexError:
                return Sifted(lead + data[at:], kind="GIF", damaged=True, sound=len(lead))
            return Sifted(lead + data[at:end] + END)
        end = _after_blocks(data, at + 2, blocks)
        control = data[at:end] if data[at + 1] == CONTROL else control
        at = end
    raise ValueError("no picture")


def colour_table(flags: int) -> int:
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
HEADS = (40, 52, 56, 64, 108, 124)  # lengths of the head; the oldest kind has another


def _bmp(data: bytes, _: int) -> Sifted:
    if len(data) < 34 or int.from_bytes(data[14:18], "little") not in HEADS:
        return Sifted(data)
    begin, width, height, bits, packing = struct.unpack_from("<10xL4xll2xHL", data)
    if packing in RUNS:
        if len(data) > MAX_RUNS:
            raise SiftError
        return Sifted(data)
    size, rows = (width, abs(height)), abs(height) * ((width * bits + 31) // 32 * 4)
    missing = max(0, begin + rows - len(data))
    return Sifted(data, 1, size, kind="BMP", damaged=missing > 0, missing=missing, sound=rows)


# --- TIFF 6 and BigTIFF

WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES = 256, 257, 258, 259, 277
TILE_WIDTH, TILE_LENGTH = 322, 323
TIFF_PIXELS = {254, WIDTH, LENGTH, BITS, COMPRESSION, 262, 266, 273, 274, SAMPLES, 278, 279, 284}
TIFF_PIXELS |= {292, 293, 317, 320, TILE_WIDTH, TILE_LENGTH, 324, 325, 332, 338, 339, 347}
TIFF_PIXELS |= {529, 530, 531, 532}
# None, fax, LZW, JPEG, deflate (new and old), runs.
COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32946, 32773}
MAX_DEPTH = 6  # bytes a pixel in a picture of the largest size; a strip may hold all of them
# What decoders make room by, in whichever kind of whole number it stands.
SIZING = (WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, TILE_WIDTH, TILE_LENGTH)
NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q", 18: "Q"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}


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
        if tag in SIZING:
            known[tag] = _largest(data, order, big, kind, number, value)
    _check_tiff(known, max_pixels)
    return Sifted(bytes(kept), size=(known.get(WIDTH, 0), known.get(LENGTH, 0)))


def _largest(data: bytes, order: str, big: bool, kind: int, number: int, at: int) -> int:
    """The largest number of an entry whose value, or its place, stands `at`."""
    if kind not in NUMBERS:
        raise SiftError
    if number * SIZES[kind] > (8 if big else 4):
        (at,) = struct.unpack_from(order + ("Q" if big else "L"), data, at)
    numbers = struct.unpack_from(f"{order}{number}{NUMBERS[kind]}", data, at)
    if min(numbers) < 0:
        raise SiftError
    return max(numbers)


def _check_tiff(known: dict[int, int], max_pixels: int) -> None:
    if known.get(COMPRESSION, 1) not in COMPRESSIONS:
        raise SiftError("is packed in a way that is not read here")
    if known.get(TILE_WIDTH, 1) * known.get(TILE_LENGTH, 1) > MAX_TILE:
        raise SiftError
    bits = known.get(BITS) or 16
    area = known.get(WIDTH, 0) * known.get(LENGTH, 0)
    if area * bits * known.get(SAMPLES, 1) // 8 > MAX_DEPTH * max_pixels:
        raise SiftError


# --- HEIC and AVIF (ISO/IEC 23008-12)

# The entry of an item that holds EXIF or XMP: its version, flags, number and protection, its kind.
NOTES = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))(?:Exif|mime)", re.DOTALL)


def _heif(data: bytes, _: int) -> Sifted:
    if data.count(b"infe") > MAX_ITEMS:
        raise SiftError
    missing = _missing_of_boxes(data)
    plain = NOTES.sub(rb"\1skip", data)
    return Sifted(plain, kind="HEIF", damaged=missing > 0, missing=missing)


def _missing_of_boxes(data: bytes) -> int:
    """How many bytes the box with the pixels announces and lacks."""
    at = 0
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return 0
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:  # up to the end of the file, however long it is
            return 0
        kind, at = data[at + 4 : at + 8], at + length
        if at > len(data):
            return at - len(data) if kind == b"mdat" else 0
    raise SiftError


KINDS: dict[bytes, Callable[[bytes, int], Sifted]] = {
    rb"\xff\xd8\xff": _jpeg,
    re.escape(PNG_START): _png,
    rb"RIFF....WEBP": _webp,
    rb"GIF8[79]a": _gif,
    rb"BM": _bmp,
    rb"II(\*\0|\0\*|\+\0)|MM(\0\*|\*\0|\0\+)": _tiff,
    rb"....ftyp": _heif,
}
