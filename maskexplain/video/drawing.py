"""Answers drawn on a clip's frames, and the annotated clip as an MP4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
import matplotlib
from PIL import Image, ImageDraw, ImageFont

from ..files import write_file
from ..images.faces import Box, area, iou
from ..task import Meaning, Task
from .frames import RATE

# What a class stands for as one sign, where there is no room for its title.
SIGNS: dict[Meaning, str] = {"good": "✓", "bad": "!", "absent": "✗", "other": ""}
LINE, LETTER = 1.35, 0.7  # a line's height and a bold letter's width, of the text's height
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


def written_out(
    task: Task, marks: Sequence[Mark], size: tuple[int, int], letter: float
) -> list[bool]:
    """Which marks (the main face's first) have room for their words: they would cover no other face
    and no other words. `letter`: the text's height in the picture's pixels.
    """
    rooms = [_over(mark.box, LINE * letter) for mark in marks]
    texts: list[Box] = []
    for mark in marks:
        width = LETTER * letter * len(f"{mark.name} {words(task, mark, full=True)}")
        text = text_box(mark.box, width, LINE * letter, size)
        others = [room for one, room in zip(marks, rooms, strict=True) if one is not mark]
        covers = any(iou(text, other) > 0 for other in (*others, *filter(area, texts)))
        texts.append((0.0, 0.0, 0.0, 0.0) if covers else text)
    return [area(text) > 0 for text in texts]


def text_box(box: Box, width: float, height: float, size: tuple[int, int]) -> Box:
    """Where a face's text stands: above its box, or inside of it where there is no room; towards
    the picture's middle, and within the picture where it fits.
    """
    left = box[0] if box[0] + box[2] < size[0] else box[2] - width
    left = min(max(left, 0.0), max(size[0] - width, 0.0))
    top = box[1] - height if box[1] >= height else box[1]
    return left, top, left + width, top + height


def _over(box: Box, height: float) -> Box:
    """A face's box with the room for a line above it."""
    return box[0], box[1] - height, box[2], box[3]


def draw_marks(image: Image.Image, task: Task, marks: Sequence[Mark]) -> Image.Image:
    """The RGB picture, at most 960 pixels long, with a box and an answer at every face (the main
    one first): in words, or as a sign where there is no room. A lost face's box is thin, at its
    last place.
    """
    drawn = image.copy()
    drawn.thumbnail((MAX_SIDE, MAX_SIDE))
    marks = [_scaled(mark, drawn.width / image.width) for mark in marks]
    pen = ImageDraw.Draw(drawn)
    size = max(12, round(max(drawn.size) / 50))
    full = written_out(task, marks, drawn.size, size)
    for index, mark in reversed(list(enumerate(marks))):
        width = 1 if mark.lost else 4 if index == 0 else 3
        _frame(pen, mark.box, task.colour(mark.label), width)
        text = f"{mark.name} {words(task, mark, full[index])}".strip()
        deep = task.classes[task.index(mark.label)].deep
        _tag(pen, mark.box, text, "#444444" if mark.lost else deep, size, drawn.size)
    return drawn


def _scaled(mark: Mark, scale: float) -> Mark:
    x0, y0, x1, y1 = mark.box
    return replace(mark, box=(x0 * scale, y0 * scale, x1 * scale, y1 * scale))


def _frame(pen: ImageDraw.ImageDraw, box: Box, colour: str, width: int) -> None:
    pen.rectangle(box, outline="black", width=width + 2)
    # A face at the picture's edge may be a few pixels wide.
    if box[2] - box[0] > 2 and box[3] - box[1] > 2:
        inner = (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)
        pen.rectangle(inner, outline=colour, width=width)


def _tag(
    pen: ImageDraw.ImageDraw, box: Box, text: str, colour: str, size: int, within: tuple[int, int]
) -> None:
    font = _font(size)
    width = pen.textlength(text, font) + size / 2
    place = text_box(box, width, LINE * size, within)
    pen.rectangle(place, fill=colour)
    pen.text((place[0] + size / 4, (place[1] + place[3]) / 2), text, "white", font, anchor="lm")


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
