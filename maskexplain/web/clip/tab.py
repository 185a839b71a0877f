"""The Clip tab: a video file in; its faces' answers over time, and itself with them drawn, out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ...api import MAX_BODY
from ...models.checkpoints import by_number
from ...models.version import Model
from ...video.frames import ClipError
from ..assets import render
from ..gradio_inside import as_upload
from ..inputs import ClipInput
from ..parts import Newest, status, while_newest
from .view import (
    MAX_SECONDS,
    ClipView,
    clip_views,
    example_clip,
    frame_at,
)

START = "Give a clip, or try the example: every face is answered ten times a second."
AT_ONCE = 2  # clips; each takes a core for a while


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
            notice = gr.HTML(status(START), elem_id="clip-notice")
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
            yield ClipView(START)
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
