"""Every odd or bad file gives the expected pixels, or one sentence that says what to do."""

import base64
import io
import os
import random
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from maskexplain.errors import UserError
from maskexplain.images.read import MAX_BYTES, MAX_SIDE, UPRIGHT, ImageError, read_image, remark_of
from maskexplain.images.sift import png_chunk

SIZE = (96, 64)
COLOURS = ((200, 40, 40), (40, 180, 60), (50, 60, 200), (230, 220, 210))  # by quarter, row by row
GRAYS = (20, 90, 160, 240)
WHITE = (255, 255, 255)


def quarters(colours: tuple = COLOURS, mode: str = "RGB", size: tuple = SIZE) -> Image.Image:
    picture = Image.new(mode, size)
    half = size[0] // 2, size[1] // 2
    for i, colour in enumerate(colours):
        x, y = (i % 2) * half[0], (i // 2) * half[1]
        picture.paste(colour, (x, y, x + half[0], y + half[1]))
    return picture


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def middles(picture: Image.Image) -> np.ndarray:
    """The colours in the middle of the four quarters, 4 x 3."""
    w, h = picture.size
    places = [
        (w // 4, h // 4),
        (3 * w // 4, h // 4),
        (w // 4, 3 * h // 4),
        (3 * w // 4, 3 * h // 4),
    ]
    return np.array([picture.getpixel(place) for place in places], float)


def gray16() -> np.ndarray:
    return np.asarray(quarters(GRAYS, "L")).astype(np.uint16) * 257


def png16_rgb() -> bytes:
    """A 16-bit colour PNG, which Pillow reads but cannot write."""
    pixels = np.asarray(quarters()).astype(">u2") * 257
    lines = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2"))
    header = struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    )


def see_through(mode: str) -> Image.Image:
    """The last quarter is fully transparent, the rest opaque."""
    opaque = quarters().convert("L").convert("LA") if mode == "LA" else quarters().convert("RGBA")
    mask = Image.new("L", SIZE, 255)
    mask.paste(0, (48, 32, 96, 64))
    opaque.putalpha(mask)
    return opaque


def palette_with_hole() -> bytes:
    picture = quarters((0, 1, 2, 3), "P")
    picture.putpalette([value for colour in COLOURS for value in colour])
    return saved(picture, "PNG", transparency=3)


def turned(orientation: int, kind: str) -> bytes:
    """The picture stored so that its EXIF orientation turns it upright again."""
    undo = {t: t for t in UPRIGHT.values()}
    undo[Image.Transpose.ROTATE_90] = Image.Transpose.ROTATE_270
    undo[Image.Transpose.ROTATE_270] = Image.Transpose.ROTATE_90
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    return saved(quarters().transpose(undo[UPRIGHT[orientation]]), kind, exif=exif, **options)


def turned_tiff(orientation: int) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = orientation
    return saved(quarters().transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo=tags)


def animated(kind: str) -> bytes:
    return saved(quarters(), kind, save_all=True, append_images=[Image.new("RGB", SIZE)])


def heic(picture: Image.Image | None = None) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture or quarters()).save(file, quality=90)
    return file.getvalue()


def with_bad_exif() -> bytes:
    return saved(
        quarters(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 40
    )


GRAY_COLOURS = tuple((v, v, v) for v in GRAYS)
LAST_WHITE = (*COLOURS[:3], WHITE)
LUMA = tuple((v, v, v) for v in np.asarray(quarters().convert("L"))[[0, 0, 63, 63], [0, 95, 0, 95]])

GOOD: dict[str, tuple[Callable[[], bytes], tuple, float]] = {
    "jpeg": (lambda: saved(quarters(), "JPEG", quality=95), COLOURS, 4),
    "jpeg progressive": (
        lambda: saved(quarters(), "JPEG", quality=95, progressive=True),
        COLOURS,
        4,
    ),
    "jpeg gray": (lambda: saved(quarters(GRAYS, "L"), "JPEG", quality=95), GRAY_COLOURS, 3),
    "jpeg cmyk": (lambda: saved(quarters().convert("CMYK"), "JPEG", quality=95), COLOURS, 6),
    "jpeg with bad exif": (with_bad_exif, COLOURS, 4),
    "png": (lambda: saved(quarters(), "PNG"), COLOURS, 0),
    "png animated": (lambda: animated("PNG"), COLOURS, 0),
    "png one bit": (
        lambda: saved(quarters((0, 255, 255, 0), "L").convert("1"), "PNG"),
        ((0,) * 3, WHITE, WHITE, (0,) * 3),
        0,
    ),
    "png gray": (lambda: saved(quarters(GRAYS, "L"), "PNG"), GRAY_COLOURS, 0),
    "png gray 16 bit": (lambda: saved(Image.fromarray(gray16()), "PNG"), GRAY_COLOURS, 0),
    "png colour 16 bit": (png16_rgb, COLOURS, 0),
    "png alpha": (lambda: saved(see_through("RGBA"), "PNG"), LAST_WHITE, 0),
    "png gray alpha": (lambda: saved(see_through("LA"), "PNG"), (*LUMA[:3], WHITE), 0),
    "png palette": (lambda: saved(quarters().quantize(4), "PNG"), COLOURS, 2),
    "png palette with a hole": (palette_with_hole, LAST_WHITE, 0),
    "png colour key": (
        lambda: saved(quarters(), "PNG", transparency=COLOURS[3]),
        LAST_WHITE,
        0,
    ),
    "webp": (lambda: saved(quarters(), "WEBP", lossless=True), COLOURS, 0),
    "webp alpha": (lambda: saved(see_through("RGBA"), "WEBP", lossless=True), LAST_WHITE, 0),
    "webp animated": (
        lambda: saved(
            quarters(), "WEBP", save_all=True, lossless=True, append_images=[Image.new("RGB", SIZE)]
        ),
        COLOURS,
        0,
    ),
    "bmp": (lambda: saved(quarters(), "BMP"), COLOURS, 0),
    "tiff": (lambda: saved(quarters(), "TIFF"), COLOURS, 0),
    "tiff packed": (lambda: saved(quarters(), "TIFF", compression="tiff_lzw"), COLOURS, 0),
    "tiff cmyk": (lambda: saved(quarters().convert("CMYK"), "TIFF"), COLOURS, 2),
    "tiff gray 16 bit": (lambda: saved(Image.fromarray(gray16()), "TIFF"), GRAY_COLOURS, 0),
    "tiff sideways": (lambda: turned_tiff(6), COLOURS, 0),
    "avif": (lambda: saved(quarters(), "AVIF", quality=95), COLOURS, 6),
    "gif": (lambda: saved(quarters(), "GIF"), COLOURS, 2),
    "gif animated": (lambda: animated("GIF"), COLOURS, 2),
    "gif with a hole": (
        lambda: saved(see_through("RGBA"), "GIF"),
        LAST_WHITE,
        12,  # its palette is made over the hidden colours, too
    ),
    "heic": (heic, COLOURS, 6),
    **{f"jpeg turned {i}": (lambda i=i: turned(i, "JPEG"), COLOURS, 4) for i in UPRIGHT},
    "png turned": (lambda: turned(6, "PNG"), COLOURS, 0),
    "webp turned": (lambda: turned(8, "WEBP"), COLOURS, 0),
    "avif turned": (lambda: turned(6, "AVIF"), COLOURS, 6),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_files_are_read(name: str) -> None:
    make, colours, tolerance = GOOD[name]
    picture = read_image(make())
    assert (picture.mode, picture.size) == ("RGB", SIZE)
    assert np.abs(middles(picture) - colours).max() <= tolerance


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IEND\xaeB`\x82"
    )


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def noise(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind)


def float_tiff() -> bytes:
    return saved(Image.fromarray(np.ones((64, 96), np.float32)), "TIFF")


def postscript() -> bytes:
    return saved(quarters(), "EPS")


BAD: dict[str, tuple[Callable[[], bytes | str], str, bool]] = {
    "empty": (lambda: b"", "file is empty", False),
    "one byte": (lambda: b"\xff", "not a picture that can be read", False),
    "text": (lambda: b"Dear reader, I am no picture.\n" * 9, "is text", False),
    "text with umlauts": (lambda: ("ä" * 2000).encode()[:1501], "is text", False),
    "html": (lambda: b"<!doctype html><p>not found", "is text", False),
    "svg": (lambda: b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG drawing", False),
    "svg bare": (lambda: b"<svg width='9' height='9'></svg>", "SVG drawing", False),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3", "PDF", False),
    "postscript": (postscript, "PostScript", False),
    "zip": (lambda: b"PK\x03\x04" + bytes(60), "ZIP", False),
    "photoshop": (lambda: b"8BPS\0\1" + bytes(60), "Photoshop", False),
    "video": (lambda: b"\0\0\0\x18ftypisom" + bytes(60), "a video", False),
    "raw of a camera": (lambda: b"\0\0\0\x18ftypcrx " + bytes(60), "raw picture", False),
    "raw of another": (lambda: b"FUJIFILMCCD-RAW 0201" + bytes(60), "raw picture", False),
    "jpeg 2000": (lambda: saved(quarters(), "JPEG2000"), "JPEG 2000", False),
    "jpeg xl": (lambda: b"\xff\x0a" + bytes(60), "JPEG XL", False),
    "ppm": (lambda: saved(quarters(), "PPM"), "not a picture that can be read", False),
    "ico": (lambda: saved(quarters(), "ICO"), "not a picture that can be read", False),
    "noise": (lambda: random.Random(0).randbytes(5000), "not a picture that can be read", False),
    "one pixel": (lambda: saved(Image.new("RGB", (1, 1)), "PNG"), "1 x 1 pixels", False),
    "narrow": (lambda: saved(Image.new("RGB", (500, 15)), "PNG"), "at least 16", False),
    "strip": (lambda: saved(Image.new("RGB", (9000, 20)), "PNG"), "narrow strip", False),
    "41 megapixels": (lambda: png_of_size(8200, 5000), "40 megapixels", True),
    "100 megapixels": (lambda: png_of_size(10_000, 10_000), "40 megapixels", True),
    "bomb": (lambda: png_of_size(2**31 - 1, 2**31 - 1), "40 megapixels", True),
    "no pixels": (lambda: png_of_size(64, 64), "damaged or cut off", False),
    "too many bytes": (lambda: bytes(MAX_BYTES + 1), "over 64 MB", True),
    **{
        f"half a {kind}": (lambda kind=kind: half(noise(kind)), "damaged or cut off", False)
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
    },
    "half an avif": (lambda: half(noise("AVIF")), "damaged or cut off", False),
    "half a heic": (lambda: half(heic()), "damaged or cut off", False),
    "jpeg's head": (lambda: noise("JPEG")[:20], "damaged or cut off", False),
    "png with a flipped byte": (
        lambda: (d := bytearray(noise("PNG")), d.__setitem__(900, d[900] ^ 255), bytes(d))[2],
        "damaged or cut off",
        False,
    ),
    "32-bit floats": (float_tiff, "32-bit", False),
    "web address": (lambda: "https://example.com/a.jpg", "not fetched", False),
    "plain web address": (lambda: "HTTP://example.com/a.jpg", "not fetched", False),
    "web address as a path": (lambda: Path("https://example.com/a.jpg"), "not fetched", False),
    "file address": (lambda: "file:///etc/hostname", "not fetched", False),
    "data url without data": (lambda: "data:image/png;base64,", "holds no picture", False),
    "data url without comma": (lambda: "data:image/png;base64", "holds no picture", False),
    "data url of bad base64": (lambda: "data:image/png;base64,A$B=", "damaged", False),
    "data url of text": (lambda: "data:text/plain,hello%20you", "is text", False),
    "data url too long": (
        lambda: "data:image/png;base64," + "A" * 4 * (MAX_BYTES // 3 + 1),
        "over 64 MB",
        True,
    ),
    "no such file": (lambda: "no/such/picture.jpg", "no such file", False),
    "endless path": (lambda: "a" * 5000, "cannot be opened", False),
    "path with a null": (lambda: "a\0b.jpg", "cannot be opened", False),
    "folder": (lambda: str(Path(__file__).parent), "a folder", False),
    "device": (lambda: os.devnull, "no plain file", False),
    "nothing": (lambda: None, "No picture was given", False),
    "text file": (lambda: io.StringIO("picture"), "opened as text", False),
    "closed file": (lambda: (f := io.BytesIO(b"x"), f.close(), f)[0], "cannot be read", False),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(name: str) -> None:
    make, fragment, too_large = BAD[name]
    with pytest.raises(ImageError) as caught:
        read_image(make())
    message = str(caught.value)
    assert fragment in message
    assert caught.value.too_large is too_large
    assert message.endswith(".") and "\n" not in message and ". " not in message
    assert isinstance(caught.value, UserError)


def test_message_never_repeats_what_the_sender_named(tmp_path: Path) -> None:
    file = tmp_path / "<b>secret.jpg"
    file.write_text("no picture")
    for source in (file, str(file), tmp_path / "<b>secret-missing.png"):
        with pytest.raises(ImageError) as caught:
            read_image(source)
        assert "secret" not in str(caught.value)


def test_path_bytes_file_and_data_url_agree(tmp_path: Path) -> None:
    data = saved(quarters(), "PNG")
    file = tmp_path / "picture.txt"  # the name says nothing
    file.write_bytes(data)
    encoded = base64.b64encode(data).decode()
    percent = "".join(f"%{byte:02x}" for byte in data)
    sources = [file, str(file), data, bytearray(data), io.BytesIO(data)]
    sources += [f"data:image/png;base64,{encoded}", f"DATA:image/png,{percent}"]
    for source in sources:
        assert np.array_equal(read_image(source), quarters())


def test_arithmetic_jpeg_of_several_blocks_is_read() -> None:
    """Pillow hands over 64 KiB at once, behind which that decoder cannot go on."""
    plain = saved(Image.new("RGB", (1200, 900)), "JPEG", quality=95, subsampling=0)
    plain = plain.replace(b"\xff\xc0", b"\xff\xc9")
    scan = plain.index(b"\xff\xda")
    begin = scan + 2 + int.from_bytes(plain[scan + 2 : scan + 4], "big")
    assert read_image(plain[:begin] + b"\x3f" * 100_000 + b"\xff\xd9").size == (1200, 900)


def test_full_range_of_16_bits_is_kept() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (32, 1))
    picture = read_image(saved(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(np.asarray(picture)[0, :, 1], np.arange(256))


def test_half_transparent_black_becomes_gray() -> None:
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert read_image(saved(picture, "PNG")).getpixel((9, 9)) == (127, 127, 127)


def test_large_picture_is_shrunk_and_keeps_its_shape() -> None:
    data = saved(quarters(size=(4000, 3000)), "JPEG", quality=95)
    picture = read_image(data)
    assert picture.size == (MAX_SIDE, MAX_SIDE * 3 // 4)
    assert np.abs(middles(picture) - COLOURS).max() <= 4
    assert read_image(data, max_side=None).size == (4000, 3000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_shrinking_agrees_with_plain_resizing(kind: str) -> None:
    x, y = np.meshgrid(np.linspace(0, 6, 900), np.linspace(0, 6, 600))
    waves = np.stack([np.sin(x + y), np.cos(x - y), np.sin(x * y / 3)], axis=-1) * 100 + 128
    whole = Image.fromarray(waves.astype(np.uint8))
    small = read_image(saved(whole, kind, quality=95), max_side=300)
    plain = whole.resize((300, 200), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(small, float) - np.asarray(plain, float)).mean() < 1.5


def test_sideways_photo_gives_the_upright_pixels() -> None:
    photo = Image.open(io.BytesIO(noise("PNG"))).resize((300, 200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = photo.transpose(Image.Transpose.ROTATE_90)
    stored = saved(sideways, "PNG", exif=exif)
    assert np.array_equal(read_image(stored), read_image(saved(photo, "PNG")))


def test_nothing_but_pixels_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "somebody's garden"
    data = saved(quarters(), "JPEG", exif=exif, comment=b"private", dpi=(72, 72))
    picture = read_image(data)
    assert picture.info == {} and not picture.getexif()
    assert b"garden" not in saved(picture, "PNG")


def test_picture_does_not_hang_on_its_file(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    quarters().save(file)
    with file.open("rb") as handle:
        picture = read_image(handle)
        assert not handle.closed  # it is the caller's
    file.unlink()
    picture.putpixel((0, 0), (1, 2, 3))
    assert picture.getpixel((0, 0)) == (1, 2, 3)


def test_no_warning_leaks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(with_bad_exif())
        read_image(palette_with_hole())
        with pytest.raises(ImageError):
            read_image(png_of_size(10_000, 10_000))


def test_threads_read_the_same() -> None:
    files = [make() for make, _, _ in GOOD.values()]
    alone = [np.asarray(read_image(data)) for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: np.asarray(read_image(data)), files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


# --- files that are cut off, or hold more than pixels


def street(mode: str = "RGB") -> Image.Image:
    """A picture with something to see everywhere, 480 x 360."""
    pixels = np.random.default_rng(1).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((480, 360), Image.Resampling.BICUBIC).convert(mode)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def with_text(value: str = "a note") -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", value)
    return saved(street(), "PNG", pnginfo=info)


def ends(data: bytes) -> int:
    """Where the checksum of a PNG's first chunk of pixels lies."""
    start = data.index(b"IDAT")
    return start + 4 + int.from_bytes(data[start - 4 : start], "big")


STREETS = {
    "jpeg": lambda: saved(street(), "JPEG", quality=90),
    "jpeg gray": lambda: saved(street("L"), "JPEG", quality=90),
    "jpeg, full colour": lambda: saved(street(), "JPEG", quality=90, subsampling=0),
    "jpeg with restarts": lambda: saved(street(), "JPEG", quality=90, restart_marker_blocks=5),
    "jpeg progressive": lambda: saved(street(), "JPEG", quality=90, progressive=True),
    "png": lambda: saved(street(), "PNG"),
    "png palette": lambda: saved(street().quantize(64), "PNG"),
    "png gray 16 bit": lambda: saved(
        Image.fromarray(np.asarray(street("L")).astype(np.uint16) * 257), "PNG"
    ),
    "webp": lambda: saved(street(), "WEBP", quality=90),
    "webp see-through": lambda: saved(street("RGBA"), "WEBP", quality=90),
    "webp lossless": lambda: saved(street(), "WEBP", lossless=True),
    "gif": lambda: saved(street(), "GIF"),
    "gif of few colours": lambda: saved(street().quantize(4), "GIF"),
    "gif row by row": lambda: saved(street(), "GIF", interlace=False),
    "bmp": lambda: saved(street(), "BMP"),
    "avif": lambda: saved(street(), "AVIF", quality=90),
    "heic": lambda: heic(street()),
}


@pytest.mark.parametrize("missing", [2, 4, 12, 200, 0.04])
@pytest.mark.parametrize("name", STREETS)
def test_file_that_is_cut_off_is_read_with_a_remark(name: str, missing: float) -> None:
    data = STREETS[name]()
    whole = np.asarray(read_image(data), int)
    cut = data[: -(missing if missing > 1 else int(missing * len(data)))]
    picture = read_image(cut)
    assert "cut off" in remark_of(picture) and remark_of(read_image(data)) == ""
    wrong = (np.abs(np.asarray(picture) - whole).max(axis=-1) > 40).mean()
    share = re.search(r"(\d+)%", remark_of(picture))
    told = int(share[1]) / 100 if share else 1.0
    assert told >= 0.9 and wrong <= 1 - told + 0.01
    with pytest.raises(ImageError, match="cut off"):
        read_image(cut, complete=True)


@pytest.mark.parametrize("name", [name for name in STREETS if "progressive" not in name])
def test_file_without_a_fifth_is_refused(name: str) -> None:
    data = STREETS[name]()
    with pytest.raises(ImageError, match="cut off"):
        read_image(data[: int(0.8 * len(data))])


def test_progressive_file_without_its_fine_bands_is_refused() -> None:
    data = STREETS["jpeg progressive"]()
    with pytest.raises(ImageError, match="cut off"):
        read_image(data[: len(data) // 8])


SEQUENTIAL = [name for name in STREETS if "jpeg" in name and "progressive" not in name]
END = b"\xff\xd9"
# What programs make of a JPEG whose rest did not come.
UNFINISHED = {
    "an end": lambda data, size: data[:size] + END,
    "zeros": lambda data, size: data[:size] + bytes(len(data) - size),
    "zeros and an end": lambda data, size: data[:size] + bytes(len(data) - size - 2) + END,
    "ones": lambda data, size: data[:size] + b"\xff" * (len(data) - size),
}


@pytest.mark.parametrize("way", UNFINISHED)
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_rest_that_did_not_come_is_told_whatever_stands_for_it(name: str, way: str) -> None:
    data = STREETS[name]()
    picture = read_image(UNFINISHED[way](data, int(0.96 * len(data))))
    assert re.search(r"9\d% of the picture is there", remark_of(picture))
    for share in (0.3, 0.8):
        with pytest.raises(ImageError, match="cut off"):
            read_image(UNFINISHED[way](data, int(share * len(data))))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_progressive_file_with_an_end_put_to_it_is_refused(share: float) -> None:
    data = STREETS["jpeg progressive"]()
    with pytest.raises(ImageError, match="cut off"):
        read_image(data[: int(share * len(data))] + END)


def test_hole_of_zeros_is_seen() -> None:
    data = STREETS["jpeg"]()
    middle = len(data) // 2
    with pytest.raises(ImageError, match="cut off"):
        read_image(data[:middle] + bytes(4096) + data[middle + 4096 :])


@pytest.mark.parametrize("colour", [WHITE, (128, 128, 128), (0, 0, 0), (200, 40, 40)])
@pytest.mark.parametrize("how", [{}, {"optimize": True}, {"progressive": True}])
def test_even_picture_is_no_damaged_one(colour: tuple, how: dict) -> None:
    """Its pixels are a row of zeros, or the gray that stands for missing ones."""
    picture = street()
    picture.paste(colour, (0, 180, 480, 360))
    for even in (picture, Image.new("RGB", (1600, 1200), colour)):
        assert remark_of(read_image(saved(even, "JPEG", quality=90, **how))) == ""


def test_tiles_whose_plan_may_be_missing_are_refused() -> None:
    """In a picture of tiles (a "grid") it may stand behind them, at the very end."""
    data = heic(street())
    assert "cut off" in remark_of(read_image(data[:-99]))
    named = data.replace(b"mif1", b"grid", 1)  # among the kinds that the file says it is of
    assert np.array_equal(read_image(named), read_image(data))
    with pytest.raises(ImageError, match="cut off"):
        read_image(named[:-99])


def repacked(change: Callable[[bytes], bytes]) -> bytes:
    """A PNG whose packed pixels are changed, with right checksums of its chunks."""
    data = saved(street(), "PNG")
    packed = change(zlib.compress(unpacked(data)))
    return data[:33] + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def unpacked(data: bytes) -> bytes:
    """The rows of a PNG, each behind its filter: none."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def test_pixels_that_are_packed_too_short_are_told() -> None:
    picture = read_image(repacked(lambda packed: packed[:-2000]))
    assert re.search(r"9\d% of the picture is there", remark_of(picture))
    with pytest.raises(ImageError, match="cut off"):
        read_image(repacked(lambda packed: packed[: len(packed) * 3 // 4]))


CHECKSUMS = {
    "of the packed pixels": lambda: repacked(lambda packed: flipped(packed, len(packed) - 1)),
    "of a text": lambda: flipped(with_text(), with_text().index(b"a note")),
    "of the pixels": lambda: flipped(saved(street(), "PNG"), ends(saved(street(), "PNG"))),
    "of the end": lambda: flipped(saved(street(), "PNG"), len(saved(street(), "PNG")) - 1),
}


@pytest.mark.parametrize("which", CHECKSUMS)
def test_wrong_checksum_is_a_remark_where_the_pixels_are_right(which: str) -> None:
    picture = read_image(CHECKSUMS[which]())
    assert "all of the picture is there" in remark_of(picture)
    assert np.array_equal(picture, street())


def test_checksum_of_the_header_must_be_right() -> None:
    with pytest.raises(ImageError, match="damaged"):
        read_image(flipped(saved(street(), "PNG"), 20))


def test_what_is_not_pixels_is_skipped() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a very long prompt " * 100_000)
    info.add_text("zipped", "a very long prompt " * 200_000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>" * 200_000)
    profile = np.random.default_rng(0).bytes(2_000_000)
    for options in ({"pnginfo": info}, {"icc_profile": profile}):
        picture = read_image(saved(street(), "PNG", **options))
        assert np.array_equal(picture, street()) and remark_of(picture) == ""


def test_orientation_stands_in_xmp_too() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    picture = read_image(saved(street(), "PNG", pnginfo=info))
    assert np.array_equal(picture, street().transpose(Image.Transpose.ROTATE_270))


def test_unusual_packing_is_named() -> None:
    with pytest.raises(ImageError, match="packed in a way that is not read here"):
        read_image(saved(street(), "TIFF", compression="lzma"))


def test_tiff_of_four_bytes_a_pixel_may_be_of_the_largest_size() -> None:
    picture = saved(Image.new("CMYK", (100, 100)), "TIFF")
    assert read_image(picture, max_pixels=100 * 100).size == (100, 100)


@pytest.mark.parametrize("kind", [5, 9, 11])
def test_tiff_whose_size_is_no_count_is_refused(kind: int) -> None:
    data = bytearray(saved(Image.new("L", (64, 64)), "TIFF"))
    at = data.index(struct.pack("<HHL", 256, 4, 1))
    struct.pack_into("<HHLl", data, at, 256, kind, 1, -64)
    with pytest.raises(ImageError, match="more in it than a picture needs"):
        read_image(bytes(data))


@pytest.mark.parametrize("mode", ["RGBA", "L", "CMYK", "P"])
def test_large_picture_of_any_mode_is_shrunk_alike(mode: str) -> None:
    """Band by band gives what the whole picture at once would."""
    picture = street().resize((1500, 1100)).convert(mode)
    small = read_image(saved(picture, "TIFF"), max_side=300)
    plain = picture.convert("RGB").resize((300, 220), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(small, float) - np.asarray(plain, float)).mean() < 2


def picture_or_image_error(data: bytes) -> None:
    try:
        picture = read_image(data)
    except ImageError as error:
        assert str(error).endswith(".")
    else:
        assert picture.mode == "RGB" and min(picture.size) >= 16


STARTS = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x24\0\0\0WEBPVP8 ", b"GIF89a", b"BM")
STARTS += (b"II*\0", b"MM\0*", b"\0\0\0\x1cftypavif", b"\0\0\0\x18ftypheic", b"<svg", b"data:")
FILES = [make() for name, (make, _, _) in GOOD.items() if " " not in name]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400))
def test_random_bytes_end_well(start: bytes, rest: bytes) -> None:
    picture_or_image_error(start + rest)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.sampled_from(FILES), share=st.floats(0, 1))
def test_cut_off_files_end_well(data: bytes, share: float) -> None:
    picture_or_image_error(data[: int(share * len(data))])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    data=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_changed_bytes_end_well(data: bytes, changes: list[tuple[float, int]]) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * len(data))] = value
    picture_or_image_error(bytes(changed))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_random_text_ends_well(text: str) -> None:
    for source in (text, "data:" + text, "data:image/png;base64," + text):
        with pytest.raises(ImageError):
            read_image(source)
