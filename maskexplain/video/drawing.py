"""Answers drawn on a clip's frames, and the annotated clip as an MP4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
import matplotlib
from PIL import Image, ImageDraw, ImageFont

from ..files import write_file
from ..images.faces import Box
from ..task import Meaning, Task
from .frames import RATE

# What a class stands for as one sign, where there is no room for its title.
SIGNS: dict[Meaning, str] = {"good": "✓", "bad": "!", "absent": "✗", "other": ""}
FEW = 3  # faces; up to so many each has its title written out
MAX_SIDE = 960  # of the annotated clip
# What bounds its size: thirty seconds are at most some 6 MB.
BITS_A_SECOND = 1_500_000
QUALITY = 24  # x264's constant rate factor: text stays sharp
TICKS = 1000  # a second


@dataclass(frozen=True)
class Mark:
    """What is drawn of one face; `name` tells it from the others."""

    box: Box
    label: str
    confidence: float
    unsure: bool = False
    lost: bool = False
    name: str = ""


def sign(task: Task, label: str) -> str:
    """A class as one sign: what it stands for, or its number from 1."""
    index = task.index(label)
    return SIGNS[task.classes[index].stands_for] or str(index + 1)


def words(task: Task, mark: Mark, full: bool) -> str:
    """What is written at a face: in full, or as one sign where many faces need the room."""
    if not full:
        return "?" if mark.lost else sign(task, mark.label) + ("?" if mark.unsure else "")
    if mark.lost:
        return f"face lost; was: {task.title(mark.label)}"
    unsure = ", unsure" if mark.unsure else ""
    return f"{sign(task, mark.label)} {task.title(mark.label)} {mark.confidence:.0%}{unsure}"


def draw_marks(image: Image.Image, task: Task, marks: Sequence[Mark]) -> Image.Image:
    """The RGB picture, at most 960 pixels long, with a box and an answer at every face (the main
    one first). A lost face's box is thin, at its last place.
    """
    drawn = image.copy()
    drawn.thumbnail((MAX_SIDE, MAX_SIDE))
    scale = drawn.width / image.width
    pen = ImageDraw.Draw(drawn)
    size = max(12, round(max(drawn.size) / 50))
    for index, mark in reversed(list(enumerate(marks))):
        x0, y0, x1, y1 = mark.box
        box = x0 * scale, y0 * scale, x1 * scale, y1 * scale
        _frame(pen, box, task.colour(mark.label), 1 if mark.lost else 4 if index == 0 else 3)
        text = f"{mark.name} {words(task, mark, len(marks) <= FEW or index == 0)}".strip()
        _tag(pen, box, text, "#444444" if mark.lost else _deep(task, mark.label), size, drawn.size)
    return drawn


def _deep(task: Task, label: str) -> str:
    return task.classes[task.index(label)].deep


def _frame(pen: ImageDraw.ImageDraw, box: Box, colour: str, width: int) -> None:
    pen.rectangle(box, outline="black", width=width + 2)
    pen.rectangle([box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1], outline=colour, width=width)


def _tag(
    pen: ImageDraw.ImageDraw, box: Box, text: str, colour: str, size: int, within: tuple[int, int]
) -> None:
    """A text above its box, or inside of it where there is no room; never beyond the picture."""
    font = _font(size)
    width, height = pen.textlength(text, font) + size / 2, 1.35 * size
    x = min(max(box[0], 0.0), max(within[0] - width, 0.0))
    y = box[1] - height if box[1] >= height else box[1]
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + size / 4, y + height / 2), text, "white", font, anchor="lm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # It has the signs, and the letters of most people's class names; Pillow's own has neither.
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans-Bold.ttf", size)


class ClipWriter:
    """An MP4 (H.264, no sound) that grows by a frame at a time; all frames have one size."""

    def __init__(self, file: BinaryIO) -> None:
        self._container = av.open(file, "w", format="mp4")
        self._stream: av.VideoStream | None = None

    def add(self, image: Image.Image, time: float) -> None:
        """Add an RGB picture that is shown from `time` (seconds) on."""
        image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
        stream = self._stream = self._stream or self._begun(image.size)
        frame = av.VideoFrame.from_image(image)
        frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
        self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Write what is left; the file is whole from then on."""
        if self._stream:
            self._container.mux(self._stream.encode())
        self._container.close()

    def _begun(self, size: tuple[int, int]) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.options = {
            "crf": str(QUALITY),
            "preset": "veryfast",
            "maxrate": str(BITS_A_SECOND),
            "bufsize": str(2 * BITS_A_SECOND),
            "g": str(RATE),  # a whole frame each second: a click on the timeline is quick
            "threads": "1",
        }
        return stream

    @classmethod
    @contextmanager
    def to(cls, path: Path | None) -> Iterator[ClipWriter | None]:
        """A writer to a file that is renamed to `path` once it is whole; None for no path."""
        if path is None:
            yield None
            return
        with BytesIO() as content:
            writer = cls(content)
            yield writer
            writer.close()
            write_file(path, lambda beside: beside.write_bytes(content.getvalue()))
