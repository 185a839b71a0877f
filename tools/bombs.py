"""Small pictures that cost a careless reader gigabytes or minutes, and the largest honest ones."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pillow_heif
from PIL import Image

SMALL = Image.new("RGB", (96, 64), (200, 120, 90))
LARGE = (7700, 5190)  # 39.96 megapixels
MEGABYTE = 2**20
BYTE, SHORT, LONG, RATIONAL, OPAQUE, SIGNED = 1, 3, 4, 5, 7, 9  # kinds of a TIFF's values

Entry = tuple[int, int, int, int]  # tag, kind, number, value or its place


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(entries: Sequence[Entry], behind: bytes = b"", big: bool = False) -> bytes:
    """A TIFF or EXIF directory, or a BigTIFF's, and what lies behind it."""
    if big:
        head, form, number = b"II+\0" + struct.pack("<HHQ", 8, 0, 16), "<HHQQ", "<Q"
    else:
        head, form, number = b"II*\0" + struct.pack("<L", 8), "<HHLL", "<H"
    body = b"".join(struct.pack(form, *entry) for entry in entries)
    return head + struct.pack(number, len(entries)) + body + bytes(8) + behind


def behind(count: int, big: bool = False) -> int:
    """Where what lies behind a directory of so many entries begins."""
    return 32 + 20 * count if big else 18 + 12 * count


def aliases(count: int = 1000, size: int = 19 * MEGABYTE // 10) -> bytes:
    """EXIF whose many entries all point at one block."""
    place = behind(count)
    entries = [(0x9000 + i, OPAQUE, size, place) for i in range(count)]
    return tiff(entries, bytes(size))


def same_tag(size: int = 120_000) -> bytes:
    """EXIF whose entries are all one tag: read 65,535 times."""
    return tiff([(0x9000, OPAQUE, size, behind(65_535))] * 65_535, bytes(size))


def many_orientations(count: int = MEGABYTE) -> bytes:
    """EXIF whose orientation is a million fractions."""
    return tiff([(0x0112, RATIONAL, count, behind(1))], struct.pack("<LL", 6, 1) * count)


# --- around a small picture


def png(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A small PNG with further chunks before its pixels."""
    whole = saved(SMALL, "PNG")
    made = b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return whole[:33] + made + whole[33:]


def jpeg(segments: Sequence[tuple[int, bytes]]) -> bytes:
    """A small JPEG with further segments before its pixels."""
    made = b"".join(
        bytes([0xFF, mark]) + struct.pack(">H", len(body) + 2) + body for mark, body in segments
    )
    whole = saved(SMALL, "JPEG")
    return whole[:2] + made + whole[2:]


def jpeg_exif(exif: bytes) -> bytes:
    """EXIF over many segments, which Pillow puts together."""
    pieces = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return jpeg([(0xE1, b"Exif\0\0" + piece) for piece in pieces])


def heic_exif(exif: bytes) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(SMALL).save(file, exif=exif)
    return file.getvalue()


def webp(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A small WebP with further chunks behind its pixels."""
    whole = saved(SMALL, "WEBP", exif=b"Exif\0\0II*\0")
    made = b"".join(k + struct.pack("<L", len(b)) + b + bytes(len(b) % 2) for k, b in chunks)
    return whole[:4] + struct.pack("<L", len(whole) - 8 + len(made)) + whole[8:] + made


# --- pixels that are none


def empty_scans(count: int, size: tuple[int, int] = (1800, 1200)) -> bytes:
    """A progressive JPEG with scans that change nothing, each of which walks over all pixels."""
    whole = saved(Image.new("L", size, 90), "JPEG", progressive=True, quality=20)
    at = whole.rindex(b"\xff\xda")
    length = int.from_bytes(whole[at + 2 : at + 4], "big")
    # One band, its last bit; one code says that the next 32,767 blocks have nothing.
    scan = whole[at : at + 2 + length]
    return whole[:-2] + (scan + whole[at + 2 + length : -2]) * count + whole[-2:]


def huge_tile(kind: int = LONG) -> bytes:
    """A TIFF of 64 x 64 pixels in one tile of a gigabyte; its size in numbers of some kind."""
    side = 32_768
    tile = zipped(side * side)
    sizes = [(256, LONG, 1, 64), (257, LONG, 1, 64), (258, SHORT, 1, 8), (259, SHORT, 1, 8)]
    tiles = [(322, kind, 1, side), (323, kind, 1, side), (324, LONG, 1, behind(9))]
    rest = [(262, SHORT, 1, 1), (325, LONG, 1, len(tile))]
    return tiff(sorted([*sizes, *tiles, *rest]), tile)


def many_strips(count: int = 2 * MEGABYTE) -> bytes:
    """A TIFF of millions of strips."""
    place = behind(8)
    entries = [(256, LONG, 1, 64), (257, LONG, 1, 64), (258, SHORT, 1, 8), (259, SHORT, 1, 1)]
    entries += [(262, SHORT, 1, 1), (273, LONG, count, place), (278, LONG, 1, 1)]
    entries += [(279, LONG, count, place)]
    return tiff(entries, struct.pack("<L", 64) * count)


def lying_avif(size: tuple[int, int] = (12_000, 9000)) -> bytes:
    """An AVIF that says 64 x 64 and is far larger."""
    whole = saved(Image.new("L", size, 90).convert("RGB"), "AVIF", speed=10, quality=1)
    return whole.replace(b"ispe" + bytes(4) + struct.pack(">LL", *size), LYING)


LYING = b"ispe" + bytes(4) + struct.pack(">LL", 64, 64)


def comments(size: int = 19 * MEGABYTE) -> bytes:
    """A GIF with a comment that is put together anew with every 255 bytes."""
    whole = saved(SMALL.convert("P"), "GIF")
    at = 13 + (3 << (whole[10] & 7) + 1)
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * (size // 256) + b"\0"
    return whole[:at] + comment + whole[at:]


def runs(size: int = 19 * MEGABYTE) -> bytes:
    """A BMP packed in runs of one pixel."""
    width, height = 5000, 5000
    body = b"\1\7" * (size // 2)
    head = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(body), 1, 1, 256, 0)
    start = 14 + 40 + 1024
    file = struct.pack("<2sLHHL", b"BM", start + len(body), 0, 0, start)
    return file + head + bytes(1024) + body


def frames(count: int = 100_000) -> bytes:
    """An animated WebP of very many frames."""
    pixels = saved(Image.new("RGB", (16, 16)), "WEBP", lossless=True)[12:]
    frame = struct.pack("<6x3s3s3sB", *[(15).to_bytes(3, "little")] * 2, bytes(3), 0) + pixels
    chunk = b"ANMF" + struct.pack("<L", len(frame)) + frame + bytes(len(frame) % 2)
    head = b"VP8X" + struct.pack("<LB3x3s3s", 10, 2, *[(15).to_bytes(3, "little")] * 2)
    body = b"WEBP" + head + b"ANIM" + struct.pack("<LLH", 6, 0, 0) + chunk * count
    return b"RIFF" + struct.pack("<L", len(body)) + body


def wide_webp() -> bytes:
    """A WebP whose canvas is 16,383 pixels on each side."""
    whole = bytearray(webp([]))
    at = whole.index(b"VP8X") + 12
    whole[at : at + 6] = (16_382).to_bytes(3, "little") * 2
    return bytes(whole)


def many_tables(count: int = 45_000) -> bytes:
    """A JPEG whose tables of codes come again and again."""
    whole = saved(SMALL, "JPEG")
    at = whole.index(b"\xff\xc4")
    table = whole[at + 4 : at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big")]
    return jpeg([(0xC4, table)] * count)


def restarts(count: int = 9 * MEGABYTE) -> bytes:
    """A JPEG of nothing but restart markers behind its first block."""
    whole = saved(SMALL, "JPEG", restart_marker_blocks=1)
    at = whole.index(b"\xff\xd0")
    return (
        whole[:at]
        + b"".join(bytes([0xFF, 0xD0 + i]) for i in range(8)) * (count // 8)
        + b"\xff\xd9"
    )


def pixels_without_end() -> bytes:
    """A small PNG whose packed pixels go on for four gigabytes."""
    whole = saved(SMALL, "PNG")
    packed = zipped(2**32)
    chunk = struct.pack(">L", len(packed)) + b"IDAT" + packed
    checksum = struct.pack(">L", zlib.crc32(b"IDAT" + packed))
    return whole[:33] + chunk + checksum + whole[-12:]


def jpeg_in_tiff(scans: int = 2000, size: tuple[int, int] = (1800, 1200)) -> bytes:
    """A TIFF that hides a progressive JPEG of very many scans."""
    strip = empty_scans(scans, size)
    sizes = [(256, LONG, 1, size[0]), (257, LONG, 1, size[1]), (258, SHORT, 1, 8)]
    kinds = [(259, SHORT, 1, 7), (262, SHORT, 1, 1), (273, LONG, 1, behind(9))]
    rest = [(277, SHORT, 1, 1), (278, LONG, 1, size[1]), (279, LONG, 1, len(strip))]
    return tiff([*sizes, *kinds, *rest], strip)


def announced(whole: bytes, kind: bytes, length: bytes) -> bytes:
    """A file cut off in a part that announces far more."""
    at = whole.index(kind)
    before = at - 4 if kind == b"mdat" else at + 4
    return whole[:before] + length + whole[before + 4 : -20]


def cut_codes(side: int = 1000) -> bytes:
    """A GIF of as many codes as are counted in Python, without its last fifth."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side * 9 // 10), dtype=np.uint8)
    return saved(Image.fromarray(noise), "GIF")[: 1000 * side]


# --- the largest that are allowed


def waves(mode: str = "RGB") -> Image.Image:
    x, y = np.arange(LARGE[0]), np.arange(LARGE[1])[:, None]
    gray = Image.fromarray(((x * y >> 12) + (x >> 3) & 255).astype(np.uint8))
    if mode == "L":
        return gray
    more = {"RGB": (gray, gray), "RGBA": (gray, gray, gray)}[mode]
    return Image.merge(mode, (gray, *more))


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG: 1,000 EXIF entries for one block": lambda: png([(b"eXIf", aliases())]),
    "JPEG: 1,000 EXIF entries for one block": lambda: jpeg_exif(aliases()),
    "WebP: 1,000 EXIF entries for one block": lambda: webp([(b"EXIF", aliases())]),
    "HEIC: 1,000 EXIF entries for one block": lambda: heic_exif(aliases()),
    "AVIF: 1,000 EXIF entries for one block": lambda: saved(SMALL, "AVIF", exif=aliases(400)),
    "TIFF: 1,000 entries for one block": aliases,
    "PNG: one EXIF tag 65,535 times": lambda: png([(b"eXIf", same_tag())]),
    "TIFF: one tag 65,535 times": same_tag,
    "BigTIFF: one tag 400,000 times": lambda: tiff(
        [(0x9000, OPAQUE, 99_999, behind(400_000, big=True))] * 400_000, bytes(100_000), big=True
    ),
    "PNG: an orientation of a million fractions": lambda: png([(b"eXIf", many_orientations())]),
    "TIFF: an orientation of a million fractions": many_orientations,
    "PNG: a gigabyte of zipped text": lambda: png([(b"zTXt", b"k\0\0" + zipped(2**30))]),
    "PNG: a gigabyte of zipped colour profile": lambda: png([(b"iCCP", b"k\0\0" + zipped(2**30))]),
    "PNG: 1.5 million empty chunks": lambda: (
        png([(b"tEXt", b"")])[:33] + png([(b"tEXt", b"")])[33:45] * 1_500_000
    ),
    "JPEG: 4 million empty comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 4_000_000,
    "JPEG: 5,000 empty scans": lambda: empty_scans(5000),
    "JPEG: 60 empty scans of 40 megapixels": lambda: empty_scans(60, LARGE),
    "TIFF: a tile of a gigabyte": huge_tile,
    "TIFF: a tile of a gigabyte, its size signed": lambda: huge_tile(SIGNED),
    "TIFF: 2 million strips": many_strips,
    "AVIF: says 64 x 64, is 108 megapixels": lying_avif,
    "GIF: 19 MB of comment": comments,
    "BMP: 19 MB of runs": runs,
    "WebP: 100,000 frames": frames,
    "WebP: a canvas of 268 megapixels": wide_webp,
    "JPEG: 45,000 tables of codes": many_tables,
    "JPEG: 9 million restarts": restarts,
    "PNG: four gigabytes of pixels": pixels_without_end,
    "TIFF: 2,000 scans of a JPEG inside": jpeg_in_tiff,
    "WebP: announces 4 gigabytes": lambda: announced(
        saved(SMALL, "WEBP"), b"VP8 ", b"\xff\xff\xff\xff"
    ),
    "HEIC: announces 4 gigabytes": lambda: announced(heic(SMALL), b"mdat", b"\xff\xff\xff\xff"),
    "GIF: a megabyte of codes, cut off": cut_codes,
}
HONEST: dict[str, Callable[[], bytes]] = {
    "JPEG, 40 megapixels": lambda: saved(waves(), "JPEG", quality=75),
    "JPEG, progressive, 40 megapixels": lambda: saved(waves(), "JPEG", progressive=True),
    "PNG, 40 megapixels": lambda: saved(waves(), "PNG", compress_level=1),
    "PNG, see-through, 40 megapixels": lambda: saved(waves("RGBA"), "PNG", compress_level=1),
    "PNG, gray of 16 bits, 40 megapixels": lambda: saved(
        Image.fromarray(np.asarray(waves("L")).astype(np.uint16) * 257), "PNG", compress_level=1
    ),
    "WebP, 40 megapixels": lambda: saved(waves("L").convert("RGB"), "WEBP", method=0, quality=30),
    "GIF, 40 megapixels": lambda: saved(waves("L"), "GIF"),
    "TIFF, packed, 40 megapixels": lambda: saved(waves(), "TIFF", compression="tiff_lzw"),
    "BMP, gray, 19 megapixels": lambda: saved(waves("L").crop((0, 0, 5000, 3800)), "BMP"),
    "AVIF, 40 megapixels": lambda: saved(waves(), "AVIF", speed=10, quality=30),
    "HEIC, 12 megapixels": lambda: heic(waves().crop((0, 0, 4032, 3024))),
    "JPEG, 12 megapixels": lambda: saved(waves().crop((0, 0, 4032, 3024)), "JPEG", quality=90),
}


def zipped(size: int) -> bytes:
    """So many zeros packed by zlib, a megabyte at a time: all of them packed alike."""
    packer = zlib.compressobj(9, wbits=-15)
    part = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">L", size % 65_521 << 16 | 1)
    return b"\x78\xda" + part * (size // MEGABYTE) + b"\3\0" + checksum


def heic(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=60)
    return file.getvalue()
