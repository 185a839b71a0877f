"""The Live tab's handlers: a frame in, what to show out. Plain functions, without Gradio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

import cv2
from PIL import Image

from ...errors import UserError
from ...explain.draw import relative_heat
from ...explain.explain import answer_and_explain
from ...explain.question import Question
from ...explain.verdicts import record_sentence, track_record
from ...explain.ways import default_way, fast_way
from ...images.crops import Crop, crop_face
from ...images.pool import read_apart
from ...images.read import ImageError
from ...models.version import Model
from ...task import Task
from ...video.drawing import sign
from ...video.tracks import LOST, Heat, Scene, Track, advance, answered, due
from ..assets import macros
from .picture import heat_url, live_marks

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


def _counts(task: Task, tracks: Sequence[Track]) -> list[dict]:
    """How many faces got each answer, with the signs that stand at the faces of a crowd."""
    labels = [track.label for track in tracks]
    return [
        {
            "look": task.style(name),
            "sign": sign(task, name),
            "number": labels.count(name),
            "title": task.title(name),
        }
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
