"""Clips for tests to give: real files of real encoders, of the painted portrait."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageEnhance, ImageFilter

from maskexplain.data.samples import example_pictures

SIZE = (640, 480)
GREY = (90, 90, 90)


def portraits() -> dict[str, Image.Image]:
    """The portrait as it fits into a frame, by the mask that is painted on it."""
    return {one.name: one.image.resize((410, 480)) for one in example_pictures(whole=True)}


def frame(
    portrait: Image.Image | None,
    x: float = 115,
    blur: float = 0,
    light: float = 1,
    shear: float = 0,
) -> Image.Image:
    """A frame with the portrait at a place; `shear` narrows the head as a turn to the side does."""
    image = Image.new("RGB", SIZE, GREY)
    if portrait is not None:
        if shear:
            matrix = (1 + shear, shear / 3, -shear * 205, 0, 1, 0)
            portrait = portrait.transform(portrait.size, Image.Transform.AFFINE, matrix)
        image.paste(portrait, (round(x), 0))
    image = image.filter(ImageFilter.GaussianBlur(blur)) if blur else image
    return ImageEnhance.Brightness(image).enhance(light) if light != 1 else image


def write_clip(
    path: Path,
    frames: Iterable[Image.Image],
    fps: int = 10,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
) -> Path:
    """A clip without sound; the container follows from the name. `times`: of the frames, in fps."""
    with usual_priority(), av.open(str(path), "w") as container:
        stream = None
        for index, image in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=fps)
                stream.width, stream.height = image.size
                stream.pix_fmt = "yuv420p"
            shown = av.VideoFrame.from_image(image)
            if times:
                shown.pts, shown.time_base = times[index], Fraction(1, fps)
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


@contextmanager
def usual_priority() -> Iterator[None]:
    """Give the thread its scheduling back in the end.

    For root SVT-AV1 makes it real-time, of the highest priority. All that it starts from then on
    would be so, too: browsers that leave nothing else a turn, and stop the machine.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def turned(path: Path, matrix: Sequence[int]) -> Path:
    """The MP4 with another display matrix (a, b, c, d), as phones held upright write it."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44  # version 0: the matrix lies 40 bytes behind flags and version
    whole = (matrix[0], matrix[1], 0, matrix[2], matrix[3], 0)
    for index, value in enumerate(whole):
        content[at + 4 * index : at + 4 * index + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    return path
