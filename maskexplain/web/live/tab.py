"""The Live tab: the camera's stream, answered and explained frame by frame."""

import time
from collections.abc import Sequence

import gradio as gr

from ...images.read import ImageError
from ...models.checkpoints import by_number
from ...models.version import Model
from ...video.tracks import Scene
from ..assets import asset
from ..gradio_inside import as_upload
from ..parts import LiveInput, camera_trouble, status
from .view import NO_FREEZE, Told, bars_are_due, is_new, live_record, live_view

START = "Start the camera: a version answers every frame and shows where it looks."
# Seconds between frames: 25 a second. What the server cannot keep up with, it leaves out.
STREAM_EVERY = 0.04
# Each viewer's stream has a place of its own among these: eight share two cores, six rounds a
# second each. Nobody keeps one for longer than this many seconds of work while others wait for it.
VIEWERS, TIME_LIMIT = 16, 30


def add_live_tab(models: Sequence[Model], photo: gr.Image, tabs: gr.Tabs) -> None:
    """Build and wire the tab's contents; a frozen frame goes to `photo`, in the tab "photo"."""
    by_name = {model.name: model for model in models if model.task.faces}
    newest = max(by_name, key=by_number)
    with gr.Row(elem_id="live"):
        with gr.Column(scale=5, min_width=320, elem_id="live-stage"):
            camera = make_camera()
            shown = gr.HTML(elem_id="live-shown", padding=False)  # laid over the camera's picture
            camera_trouble("camera", "Or give a picture in the tab Photo.")
        with gr.Column(scale=2, min_width=280, elem_id="live-side"):
            notice = gr.HTML(status(START), elem_id="live-notice")
            gr.HTML(asset("camera_choice.html"))
            panel = gr.HTML(elem_id="live-panel")
            freeze = gr.Button("Freeze: explain this picture in full", elem_id="freeze")
            version = gr.Radio(
                list(by_name), value=newest, label="Which version answers?", elem_id="live-version"
            )
            record = gr.HTML(_record(by_name[newest]), elem_id="live-record")
    scene, told = gr.State(Scene()), gr.State(Told(START))

    def answer(frame, name, last, before):
        if frame is None:
            return {told: before}
        now = time.monotonic()
        view = live_view(by_name[name], frame, last, now)
        updates = {shown: view.marks, scene: view.scene}
        if bars_are_due(view, before, now):
            updates |= {panel: view.panel, told: Told(view.notice, now)}
        if is_new(view, before):
            updates[notice] = status(view.notice)
        return updates

    camera.stream(
        answer,
        [camera, version, scene, told],
        [notice, shown, panel, scene, told],
        stream_every=STREAM_EVERY,
        time_limit=TIME_LIMIT,
        concurrency_limit=VIEWERS,
        show_progress="hidden",
    )
    version.change(lambda name: _record(by_name[name]), version, record, show_progress="hidden")
    freeze.click(
        lambda frame: _frozen(frame, photo, tabs, notice),
        camera,
        [photo, tabs, notice],
        show_progress="hidden",
    )


def make_camera() -> LiveInput:
    """The camera as a stream of frames."""
    return LiveInput(
        label="Camera",
        sources=["webcam"],
        streaming=True,
        # Unmirrored: the networks get the picture as it is. The style sheet mirrors what is shown.
        webcam_options=gr.WebcamOptions(
            mirror=False, constraints={"video": {"width": 640, "height": 480}}
        ),
        buttons=[],
        elem_id="camera",
    )


def _record(model: Model) -> str:
    return f'<p class="record">{live_record(model)}</p>'


def _frozen(frame: bytes | ImageError | None, photo: gr.Image, tabs: gr.Tabs, notice: gr.HTML):
    """The frame's own file goes to the photo, as an upload would; Gradio deletes both alike."""
    if not isinstance(frame, bytes):
        return {notice: status(str(frame or NO_FREEZE))}
    file = as_upload(frame, "frozen.jpg", photo)
    return {photo: file, tabs: gr.Tabs(selected="photo")}
