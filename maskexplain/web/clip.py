"""The Clip tab: a video file in; its faces' answers over time, and itself with them drawn, out."""

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

import gradio as gr
from PIL import Image

from ..api import MAX_BODY
from ..data.samples import example_picture
from ..errors import UserError
from ..explain.draw import file_bytes
from ..models.checkpoints import by_number
from ..models.version import Model, any_faces
from ..video.answers import (
    ClipAnswers,
    FrameAnswer,
    Span,
    answer_frames,
    changes,
    draw_marks,
    lasting,
    marks_of,
    sign,
)
from ..video.frames import RATE, ClipError, ClipWriter, Frames, open_clip
from .assets import macros, render
from .gradio_inside import as_upload
from .parts import ClipInput, Newest, status, while_newest

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
    count = count if clip.task.faces else "The whole picture"
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
        which = _which(clip, number)
        self.said = f"{which}, {span.begin:.1f} to {span.end:.1f} s: {self.title}{unsure}"


def _which(clip: ClipAnswers, number: int) -> str:
    return f"Face {number}" if clip.task.faces else "Picture"


class _Moment:
    """A moment at which a face's answer changed: its picture and its words."""

    def __init__(
        self, clip: ClipAnswers, work: _Work, begin: float, number: int, old: str | None, new: str
    ) -> None:
        self.begin = begin
        self.url = _jpeg_url(work.thumbnails[begin])
        before = f"{clip.task.title(old)} → " if old else ""
        self.said = f"{_which(clip, number)}: {before}{clip.task.title(new)}"


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


# --- the tab

START = "Give a clip, or try the example: every face is answered ten times a second."
START_WHOLE = "Give a clip, or try the example: it is answered ten times a second."
AT_ONCE = 2  # clips; each takes a core for a while


def _start(models: Sequence[Model]) -> str:
    return START if any_faces(models) else START_WHOLE


def add_clip_tab(models: Sequence[Model], photo: gr.Image, tabs: gr.Tabs) -> None:
    """Build and wire the tab's contents; a frame to explain goes to `photo`, in the tab "photo"."""
    tab = _layout(models)
    _Wiring({model.name: model for model in models}, tab).wire(photo, tabs)


@dataclass(frozen=True)
class _ClipTab:
    clip: ClipInput
    example: gr.Button
    version: gr.Radio
    notice: gr.HTML
    progress: gr.HTML
    stop: gr.Button
    result: gr.HTML
    explain: gr.Button
    at: gr.Number

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an answer changes."""
        return [self.notice, self.progress, self.stop, self.result, self.explain]


def _layout(models: Sequence[Model]) -> _ClipTab:
    names = sorted((model.name for model in models), key=by_number)
    with gr.Row(elem_id="clip-tab"):
        with gr.Column(scale=2, min_width=280):
            clip = ClipInput(
                label="Clip", sources=["upload"], height=220, buttons=[], elem_id="clip"
            )
            gr.HTML(
                render("clip_words", megabytes=MAX_BODY // 2**20, seconds=MAX_SECONDS),
                elem_classes="clip-words",
            )
            example = gr.Button("Try the example clip", elem_id="clip-example")
            version = gr.Radio(
                names, value=names[-1], label="Which version answers?", elem_id="clip-version"
            )
        with gr.Column(scale=5, min_width=320):
            notice = gr.HTML(status(_start(models)), elem_id="clip-notice")
            progress = gr.HTML(elem_id="clip-progress")
            stop = gr.Button("Stop: keep what is answered", visible=False, elem_id="clip-stop")
            result = gr.HTML(js_on_load="startClip(element, watch);", elem_id="clip-result")
            explain = gr.Button("Explain this frame in full", visible=False, elem_id="clip-explain")
            at = gr.Number(visible=False)
    return _ClipTab(clip, example, version, notice, progress, stop, result, explain, at)


class _Wiring:
    """The tab's events: plain handlers' results laid on its components."""

    def __init__(self, by_name: dict[str, Model], tab: _ClipTab) -> None:
        self.by_name, self.tab = by_name, tab
        # Who asks anew silences what was asked before; who stops ends it with what there is.
        self.newest, self.running = Newest(), Newest()

    def wire(self, photo: gr.Image, tabs: gr.Tabs) -> None:
        """Every control to its handler."""
        tab = self.tab
        working = {
            "show_progress": "hidden",
            "concurrency_id": "clips",
            "concurrency_limit": AT_ONCE,
            "trigger_mode": "multiple",
        }
        tab.clip.change(self.show, [tab.clip, tab.version], tab.outputs, **working)
        tab.version.input(self.show, [tab.clip, tab.version], tab.outputs, **working)
        tab.example.click(
            lambda: as_upload(example_clip(), "example.mp4", tab.clip),
            None,
            tab.clip,
            show_progress="hidden",
        )
        # A queue of its own: it must not wait for what it is to end.
        tab.stop.click(
            self.stop, None, tab.stop, concurrency_id="stop-clip", show_progress="hidden"
        )

        def give_frame(clip, at):
            try:
                file = as_upload(frame_at(clip, at or 0.0), "frame.png", photo)
            except ClipError as error:
                return {tab.notice: status(str(error))}
            return {photo: file, tabs: gr.Tabs(selected="photo")}

        # What the player shows is known in the browser only.
        now = "(clip, at) => [clip, document.querySelector('#clip-result video')?.currentTime ?? 0]"
        tab.explain.click(
            # Named apart from the endpoint /explain, whose name it would take.
            give_frame,
            [tab.clip, tab.at],
            [photo, tabs, tab.notice],
            js=now,
            show_progress="minimal",
        )

    def show(self, request: gr.Request, clip, name) -> Iterator[dict]:
        """Another clip, or another version's answers to it."""
        is_newest = self.newest.begin(request.session_hash)
        runs = self.running.begin(request.session_hash)
        views = self._views(clip, name, lambda: runs() and is_newest())
        yield from while_newest(map(self._updates, views), is_newest, self.tab.outputs)

    def stop(self, request: gr.Request) -> dict:
        """What is answered until now is the result."""
        self.running.begin(request.session_hash)
        return gr.update(interactive=False)

    def _views(self, clip: Path | ClipError | None, name: str, goes_on) -> Iterator[ClipView]:
        if clip is None:
            yield ClipView(_start([*self.by_name.values()]))
        else:
            yield from clip_views(self.by_name[name], clip, goes_on)

    def _updates(self, view: ClipView) -> dict:
        tab = self.tab
        return {
            tab.notice: status(view.notice),
            tab.progress: view.progress,
            tab.stop: gr.update(visible=bool(view.progress), interactive=True),
            tab.result: view.result,
            tab.explain: gr.update(visible=bool(view.result)),
        }
