"""The Live tab: the camera's stream, answered and explained frame by frame.

Its handlers are plain functions: a frame in, what to show out.
"""

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from ..errors import UserError
from ..explain.draw import HEAT, relative_heat
from ..explain.explain import Question, answer_and_explain, default_way, fast_way
from ..explain.verdicts import record_sentence, track_record
from ..images.crops import Crop, crop_face
from ..images.edit import between_centres
from ..images.faces import MIN_TILT
from ..images.pool import read_apart
from ..images.read import ImageError
from ..models.checkpoints import by_number
from ..models.version import Model
from ..task import Task
from ..video.answers import Mark, sign, words, written_out
from ..video.tracks import LOST, Heat, Scene, Track, advance, answered, due
from .assets import asset, macros
from .gradio_inside import as_upload
from .parts import LiveInput, camera_trouble, status

HEAT_SIDE = 24  # of the remembered map; the networks' own maps have 9 and 16
MAX_FRAME = 640  # pixels of the long side; a larger frame is shrunk
# Seconds between drawings of the bars while the answer is the same one: nobody reads 20 a second,
# and each costs the browser as much as a heatmap.
BARS_EVERY = 0.2
NO_FACE = "No face in view: come closer, face the camera, and let light fall on your face."
LOST_FACE = "Face lost: hold still, or let more light fall on it."
NO_FREEZE = "There is nothing to freeze yet: start the camera first."

_MACROS = macros("live")


@dataclass(frozen=True)
class LiveView:
    """What the Live tab shows: a sentence, what lies over the camera's picture and the main face's
    bars (HTML); `scene` is remembered for the visitor's next frame.
    """

    notice: str
    marks: str
    panel: str
    scene: Scene


@dataclass(frozen=True)
class Told:
    """What a viewer was told last: the sentence, and when the bars were drawn (seconds)."""

    notice: str
    drawn: float = float("-inf")


def is_new(view: LiveView, told: Told) -> bool:
    """Whether the sentence is another one: screen readers say each that is written."""
    return view.notice != told.notice


def bars_are_due(view: LiveView, told: Told, now: float) -> bool:
    """Whether the bars are to be drawn anew; the same answer's only every BARS_EVERY seconds."""
    return is_new(view, told) or now - told.drawn >= BARS_EVERY


def live_view(model: Model, frame: bytes | ImageError, scene: Scene, now: float) -> LiveView:
    """Answer one frame (a JPEG's bytes) at `now` (seconds, of a clock that only goes forward).

    The main face is explained, for the class that is shown; the others are answered. Nothing is
    raised for a bad frame, which would be a toast a frame: the view says what is wrong.
    """
    if scene.version != model.name:
        scene = Scene(model.name)  # another version's answers are no part of this one's
    try:
        if isinstance(frame, ImageError):
            raise frame
        image = read_apart(frame, max_side=MAX_FRAME)
        return _seen(model, frame, image, advance(scene, image, now), now)
    except UserError as error:
        return LiveView(str(error), "", "", scene)


def _seen(model: Model, frame: bytes, image: Image.Image, scene: Scene, now: float) -> LiveView:
    tracks = scene.visible(now)
    crops = {track.number: crop_face(image, track.face) for track in tracks}
    scene = _remember(scene, _answer(model, due(tracks), crops, now))
    shown = scene.shown(now)
    main = crops.get(shown[0].number) if shown else None
    marks = _marks(model, frame, image.size, shown, main, now)
    return LiveView(_notice(model.task, shown, now), marks, _panel(model, shown, now), scene)


def _answer(
    model: Model, asked: Sequence[Track], crops: Mapping[int, Crop], now: float
) -> list[Track]:
    """The faces that are asked for now (the main one first), with their answers."""
    if not asked:
        return []
    main, *others = asked
    question = Question(target=main.label or None)
    answer = answer_and_explain(model, crops[main.number].image, [fast_way(model)], question)
    explanation = answer.explanations[0]
    small = cv2.resize(explanation.heatmap, (HEAT_SIDE, HEAT_SIDE), interpolation=cv2.INTER_AREA)
    heat = Heat(relative_heat(small), explanation.target)
    rest = model.predict([crops[track.number].image for track in others])
    return [
        answered(main, answer.prediction, now, heat),
        *(answered(track, p, now) for track, p in zip(others, rest, strict=True)),
    ]


def _marks(
    model: Model,
    frame: bytes,
    size: tuple[int, int],
    tracks: Sequence[Track],
    main: Crop | None,
    now: float,
) -> str:
    heat = tracks[0].heat if main else None
    warm = heat_url(heat.map, main, size) if main and heat and heat.map.any() else None
    return live_marks(frame, size, model.task, tracks, warm, model.unsure_below, now)


def _panel(model: Model, tracks: Sequence[Track], now: float) -> str:
    """The main face's answer; empty bars would be an answer without a face."""
    if not tracks:
        return ""
    which = "Your answer" if len(tracks) == 1 else "The main face’s answer (thick box)"
    return _MACROS.panel(
        model=model,
        main=tracks[0].prediction(model.unsure_below),
        which="Face lost. The last answer" if _is_lost(tracks, now) else which,
        counts=_counts(model.task, tracks) if len(tracks) > 1 else (),
        words=_heat_words(model.task, tracks[0]),
    )


def _counts(task: Task, tracks: Sequence[Track]) -> list[tuple[str, str, int, str]]:
    """How many faces got each answer: its look, the sign at a crowd's faces, number, title."""
    labels = [track.label for track in tracks]
    return [
        (task.style(name), sign(task, name), labels.count(name), task.title(name))
        for name in task.names
        if name in labels
    ]


def _heat_words(task: Task, track: Track) -> str:
    if track.heat is None or not track.heat.map.any():
        return "Grad-CAM finds no place that speaks for this class."
    return f"Bright: what speaks most for “{task.title(track.heat.target)}”."


def _notice(task: Task, tracks: Sequence[Track], now: float) -> str:
    """A sentence that changes only when an answer does, for screen readers' sake."""
    if not tracks:
        return NO_FACE
    if _is_lost(tracks, now):
        return LOST_FACE
    if len(tracks) == 1:
        return f"One face: {task.title(tracks[0].label)}."
    return f"{len(tracks)} faces; the main one: {task.title(tracks[0].label)}."


def _is_lost(tracks: Sequence[Track], now: float) -> bool:
    """Whether no face has been in sight for a moment; a blink of the finder is not told."""
    return now - max(track.seen for track in tracks) > LOST


def _remember(scene: Scene, tracks: Sequence[Track]) -> Scene:
    new = {track.number: track for track in tracks}
    return replace(scene, tracks=tuple(new.get(t.number, t) for t in scene.tracks))


def live_record(model: Model) -> str:
    """How far the live way, Grad-CAM mostly, was right about this version when it was measured."""
    way = fast_way(model)
    record = track_record(model, way)
    measured = f"{way.title} is the fast way that runs live. {record_sentence(model, way)}"
    if record is None:
        return measured
    if default_way(model) == way:
        return f"{measured} No other way was clearly right more often."
    believe = _believe(record.right / record.faces)
    return f"{measured} {believe} Freeze the picture for {escape(model.name)}’s best way."


def _believe(share: float) -> str:
    if share < 0.5:
        return "So it mostly misleads here."
    return "So it is hardly better than chance." if share < 0.7 else "So it is mostly right here."


# --- what lies over the picture: heat, boxes and readable texts on its mirror

LETTERS = 27  # the picture's width on a phone (390 pixels) in letters' heights (.9rem)
SHRINK = 4  # the heat is a coarse map: it is sent this much smaller than the frame


def live_marks(
    frame: bytes,
    size: tuple[int, int],
    task: Task,
    tracks: Sequence[Track],
    heat_url: str | None,
    unsure_below: float = 0.0,
    now: float | None = None,
) -> str:
    """HTML to lay over the mirrored camera picture: the faces of a frame (a JPEG's bytes) of a
    size (width, height), the main one first. Those not seen at `now` (by default all are) are said
    to be lost, at their last place. Where there is no room for words stands a sign.

    The frame itself is not sent back, which took half of the time: the camera's picture is there.
    The heat is mirrored by the style sheet; boxes and texts are placed mirrored, so that texts can
    be read. `data-frame` names the frame that was answered. Answers under `unsure_below` (0..1)
    are said to be unsure.
    """
    found = [_mark(track, unsure_below, now) for track in tracks]
    full = written_out(task, found, size, letter=size[0] / LETTERS)
    placed = [
        _Placed(task, mark, tracks[i].face.tilt, size, i == 0, full[i])
        for i, mark in enumerate(found)
    ]
    return _MACROS.marks(
        said=_said(task, tracks, now),
        frame=frame_name(frame),
        ratio=f"{size[0]}/{size[1]}",
        heat=heat_url or _nothing(),
        shown=bool(heat_url),
        found=placed[::-1],  # the main face's lies above the others'
    )


def frame_name(frame: bytes) -> str:
    """Tells a frame from others: its length, and the last 76 characters or more of its base64."""
    # From a multiple of three on, so that they are the same as in the whole.
    tail = frame[-(57 + len(frame) % 3) :]
    return f"{len(frame)}:{base64.b64encode(tail).decode()}"


def _said(task: Task, tracks: Sequence[Track], now: float | None) -> str:
    """The picture in words: at most ten different ones, however many faces."""
    if not tracks:
        return "You, live: no face found"
    labels = [track.label if now in (None, track.seen) else None for track in tracks]
    counted = ((labels.count(label), label) for label in dict.fromkeys(labels))
    titles = ((n, task.title(label) if label else "face lost") for n, label in counted)
    return "You, live: " + ", ".join(f"{n} x {t}" if n > 1 else t for n, t in titles)


def _mark(track: Track, unsure_below: float, now: float | None) -> Mark:
    shown = track.prediction(unsure_below)
    lost = now not in (None, track.seen)
    return Mark(track.face.box, shown.label, shown.confidence, shown.unsure, lost)


class _Placed:
    """A face's box, turned with its head, and its answer above it; for a mirrored picture."""

    def __init__(
        self, task: Task, mark: Mark, tilt: float, size: tuple[int, int], main: bool, full: bool
    ) -> None:
        x0, y0, x1, y1 = mark.box
        left, width = 1 - x1 / size[0], (x1 - x0) / size[0]
        top, height = y0 / size[1], (y1 - y0) / size[1]
        kinds = {"main": main, "lost": mark.lost, "short": not full}
        self.kind = "".join(f" {kind}" for kind, so in kinds.items() if so)
        self.look, self.text = task.style(mark.label), words(task, mark, full)
        self.place = f"left:{left:.1%};top:{top:.1%};width:{width:.1%};height:{height:.1%}"
        # The text keeps to the side where there is room for it, and above the box where it fits.
        side = f"left:{left:.1%}" if left + width / 2 < 0.5 else f"right:{1 - left - width:.1%}"
        above = top > (0.08 if full else 0.05)
        self.beside = f"{side};" + (f"bottom:{1 - top:.1%}" if above else f"top:{top:.1%}")
        self.turn = f"{-tilt if abs(tilt) > MIN_TILT else 0.0:.0f}"


def heat_url(heat: np.ndarray, crop: Crop, size: tuple[int, int]) -> str:
    """A heatmap (float32 h x w, 0..1, standing for the whole crop) at its true place on the frame
    of a size (width, height): a small PNG `data:` URL, clear where there is no heat.
    """
    place = _from_map(heat, crop) / SHRINK
    small = size[0] // SHRINK, size[1] // SHRINK
    levels = np.round(heat * 255).astype(np.uint8)
    placed = cv2.warpAffine(levels, between_centres(place), small, flags=cv2.INTER_LINEAR)
    return _png_url(_colours()[placed])


def _from_map(heat: np.ndarray, crop: Crop) -> np.ndarray:
    """The 2 x 3 matrix from the heatmap's points to the frame's."""
    matrix = np.array(crop.transform)
    matrix[:, 0] *= crop.image.width / heat.shape[1]
    matrix[:, 1] *= crop.image.height / heat.shape[0]
    return matrix


@cache
def _colours() -> np.ndarray:
    """BGRA of 256 levels of heat, as `draw.overlay` mixes them: clearer where it is cold."""
    levels = np.arange(256) / 255
    rgb = HEAT(levels)[:, :3]
    alpha = 0.85 * np.sqrt(levels)
    return np.round(np.column_stack([rgb[:, ::-1], alpha]) * 255).astype(np.uint8)


@cache
def _nothing() -> str:
    return _png_url(np.zeros((1, 1, 4), np.uint8))


def _png_url(bgra: np.ndarray) -> str:
    content = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


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
