"""The Clip tab's handlers: a clip in, what to show out. Plain functions, without Gradio."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from math import ceil, sin
from pathlib import Path
from typing import Any

from PIL import Image

from ...data.samples import example_picture
from ...errors import UserError
from ...explain.draw import file_bytes
from ...models.version import Model
from ...video.answers import (
    ClipAnswers,
    FrameAnswer,
    Span,
    answer_frames,
    changes,
    lasting,
    marks_of,
)
from ...video.drawing import ClipWriter, draw_marks, sign
from ...video.frames import RATE, ClipError, Frames, open_clip
from ..assets import macros

MAX_SECONDS = 30  # of a visitor's clip
WORK_SECONDS = 120.0  # for one clip, on a machine that others use, too
TOLD_EVERY = 0.5  # seconds between looks at how far it is
MOMENTS = 24  # pictures to click; more are not looked at
ROWS = 50  # faces with a line of their own
THUMBNAIL = 176  # pixels of a moment's long side
TICKS = 7  # seconds written under the lines, at most
LAST_TICK = 93  # percent; the text needs the rest

NO_FACE = "No face was found in the clip: try one where a face is larger and in view."
STOPPED = "Stopped: the first {:.1f} s are answered."
BUSY = "This took too long on a busy machine: the first {:.1f} s are answered."
NO_CLIP = "There is no clip yet: give one first."

_MACROS: Any = macros("clip")


@dataclass(frozen=True)
class ClipView:
    """What the Clip tab shows: a sentence, how far the work is and the result (HTML)."""

    notice: str
    progress: str = ""
    result: str = ""


@dataclass
class _Work:
    """What is gathered while a clip is answered; it leaves the memory with the handler."""

    answers: list[FrameAnswer] = field(default_factory=list)
    thumbnails: dict[float, bytes] = field(default_factory=dict)
    content: BytesIO = field(default_factory=BytesIO)
    size: tuple[int, int] = (0, 0)
    remark: str = ""

    @property
    def done(self) -> float:
        return self.answers[-1].time + 1 / RATE if self.answers else 0.0


def clip_views(
    model: Model, path: Path | ClipError, goes_on: Callable[[], bool] = lambda: True
) -> Iterator[ClipView]:
    """Answer a clip of at most 30 s; a view whenever there is more to tell.

    `goes_on` is asked at every frame: where it says no, what is answered until then is the result.
    Nothing is written to disk, and nothing is kept.
    """
    try:
        if isinstance(path, ClipError):
            raise path
        work = _Work()
        yield ClipView("The clip is being read.", _MACROS.progress(0.0, 0.0, ""))
        with open_clip(path, MAX_SECONDS) as frames:
            yield from _progress(model, frames, work, goes_on)
        yield _result(model, work)
    except UserError as error:
        yield ClipView(str(error))


def _progress(
    model: Model, frames: Frames, work: _Work, goes_on: Callable[[], bool]
) -> Iterator[ClipView]:
    """Answer the frames into `work`, and tell how far it is from time to time."""
    writer, began = ClipWriter(work.content), time.monotonic()
    told = began
    for frame, answer in answer_frames(model, frames):
        drawn = draw_marks(frame.image, model.task, marks_of(answer))
        writer.add(drawn, frame.time)
        drawn.thumbnail((THUMBNAIL, THUMBNAIL))
        work.thumbnails[frame.time] = file_bytes(drawn, "jpeg")
        work.answers.append(answer)
        work.size = frame.image.size
        now = time.monotonic()
        stopped, late = not goes_on(), now - began > WORK_SECONDS
        if stopped or late:
            work.remark = (STOPPED if stopped else BUSY).format(work.done)
            break
        if now - told >= TOLD_EVERY:
            told = now
            url = _jpeg_url(work.thumbnails[frame.time])
            yield ClipView(
                "The clip is being answered.", _MACROS.progress(work.done, frames.seconds, url)
            )
    writer.close()
    work.remark = work.remark or frames.remark


def _result(model: Model, work: _Work) -> ClipView:
    clip = ClipAnswers(model.name, model.task, work.size, tuple(work.answers), work.remark)
    numbers = lasting(clip)
    if not numbers:
        return ClipView(f"{NO_FACE} {work.remark}".strip())
    spans = clip.spans()
    html = _MACROS.result(
        video=_data_url(work.content.getvalue(), "video/mp4"),
        ratio=f"{work.size[0]}/{work.size[1]}",
        rows=[_Row(clip, number, spans[number]) for number in numbers[:ROWS]],
        moments=[_Moment(clip, work, *change) for change in changes(clip)[:MOMENTS]],
        ticks=_ticks(clip.seconds),
        seconds=clip.seconds,
        step=1 / RATE,
        task=model.task,
        signs={name: sign(model.task, name) for name in model.task.names},
        json=_data_url(json.dumps(clip.to_dict()).encode(), "application/json"),
        csv=_data_url(clip.to_csv().encode(), "text/csv"),
    )
    return ClipView(_told(clip, numbers), result=html)


def _told(clip: ClipAnswers, numbers: Sequence[int]) -> str:
    count = "One face" if len(numbers) == 1 else f"{len(numbers)} faces"
    said = f"{count} in {clip.seconds:.1f} s, answered by {clip.version}."
    hidden = f" The first {ROWS} are shown." if len(numbers) > ROWS else ""
    return f"{said}{hidden} {clip.remark}".strip()


class _Row:
    """A face's line in the timeline; places in percent of the clip."""

    def __init__(self, clip: ClipAnswers, number: int, spans: Sequence[Span]) -> None:
        self.number = number
        self.spans = [_Piece(clip, number, span) for span in spans]


class _Piece:
    """A span of a line: where it lies, how it looks, and what it says."""

    def __init__(self, clip: ClipAnswers, number: int, span: Span) -> None:
        self.begin, self.lost, self.unsure = span.begin, span.label is None, span.unsure
        self.left = 100 * span.begin / clip.seconds
        self.width = 100 * (span.end - span.begin) / clip.seconds
        task = clip.task
        self.look = task.style(span.label) if span.label else ""
        self.title = task.title(span.label) if span.label else "Face lost"
        self.sign = sign(task, span.label) if span.label else "?"
        unsure = ", unsure" if span.unsure else ""
        self.said = f"Face {number}, {span.begin:.1f} to {span.end:.1f} s: {self.title}{unsure}"


class _Moment:
    """A moment at which a face's answer changed: its picture and its words."""

    def __init__(
        self, clip: ClipAnswers, work: _Work, begin: float, number: int, old: str | None, new: str
    ) -> None:
        self.begin = begin
        self.url = _jpeg_url(work.thumbnails[begin])
        before = f"{clip.task.title(old)} → " if old else ""
        self.said = f"Face {number}: {before}{clip.task.title(new)}"


def _ticks(seconds: float) -> list[tuple[float, str]]:
    """Where seconds are written under the lines (percent), and which."""
    step = next(s for s in (0.5, 1, 2, 5, 10, ceil(seconds)) if seconds / s < TICKS)
    places = ((100 * n * step / seconds, f"{n * step:g} s") for n in range(TICKS))
    return [(left, text) for left, text in places if left <= LAST_TICK]


def _jpeg_url(content: bytes) -> str:
    return _data_url(content, "image/jpeg")


def _data_url(content: bytes, kind: str) -> str:
    """As a `data:` URL, so that it is not written to disk."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def frame_at(path: Path | ClipError | None, seconds: float) -> bytes:
    """The frame that is shown at some second of a clip, without marks, as a PNG's bytes.

    Raises ClipError.
    """
    if path is None or isinstance(path, ClipError):
        raise path or ClipError(NO_CLIP)
    at = min(max(seconds, 0.0), MAX_SECONDS)
    image = None
    with open_clip(path, ceil(at) + 1) as frames:
        for frame in frames:
            if image is not None and frame.time > at + 0.01:
                break
            image = frame.image
    if image is None:
        raise ClipError(NO_CLIP)
    return file_bytes(image, "png")


# The example: its pictures' names, each shown for so many seconds.
STORY = ("bare", "worn_right", "nose_out", "under_the_chin")
EACH, EXAMPLE_SIZE = 2.0, (640, 480)


@cache
def example_clip() -> bytes:
    """An MP4 of the painted portrait: its mask comes, slips and goes, and the head moves."""
    pictures = {name: example_picture(name, whole=True) for name in STORY}
    with BytesIO() as content:
        writer = ClipWriter(content)
        width, height = EXAMPLE_SIZE
        for index in range(round(len(STORY) * EACH * RATE)):
            at = index / RATE
            frame = Image.new("RGB", EXAMPLE_SIZE, (90, 100, 110))
            portrait = pictures[STORY[int(at / EACH)]]
            portrait = portrait.resize(
                (EXAMPLE_SIZE[1] * portrait.width // portrait.height, EXAMPLE_SIZE[1])
            )
            frame.paste(portrait, (round(115 + 50 * sin(1.3 * at)), 0))
            writer.add(frame, at)
        writer.close()
        return content.getvalue()
