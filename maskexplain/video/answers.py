"""A clip answered: every face of every frame, its answer steady over time; and drawn on it."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from ..images.crops import crop_face, whole_crop
from ..images.faces import Box, Face, area, iou
from ..models.version import Model, Prediction
from ..task import Meaning, Task
from .frames import RATE, ClipWriter, Frame, open_clip
from .tracks import Scene, Track, advance, answered, due, matched

SEARCH_EVERY = 0.3  # seconds between looks for new faces: a clip may be cut from several places
MAX_SECONDS = 600  # of a clip, for the command line and Python; its answers are kept in memory
BRIEF = 3  # frames: what is seen in fewer is often no face, and has no line of its own


@dataclass(frozen=True)
class FaceAnswer:
    """One face in one frame.

    `number` is the face's through the whole clip, from 1. `box`: (x0, y0, x1, y1) in the frame's
    pixels. `shown`: the steady answer, a running mean. `alone`: the answer to this frame by
    itself; None where it was not asked, since the face is `lost` or a crowd takes turns. A lost
    face keeps its last box and answer.
    """

    number: int
    box: Box
    shown: Prediction
    alone: Prediction | None
    lost: bool

    def to_dict(self) -> dict:
        return {
            "face": self.number,
            "box": [round(side, 1) for side in self.box],
            "lost": self.lost,
            "answer": self.shown.to_dict(),
            "alone": self.alone.to_dict() if self.alone else None,
        }


@dataclass(frozen=True)
class FrameAnswer:
    """The faces of a frame at `time` (seconds), the largest one first, lost ones last."""

    time: float
    faces: tuple[FaceAnswer, ...]

    def to_dict(self) -> dict:
        return {"time": round(self.time, 3), "faces": [face.to_dict() for face in self.faces]}


@dataclass(frozen=True)
class Span:
    """A face's answer from `begin` to `end` (seconds); `label` is None while it is lost."""

    begin: float
    end: float
    label: str | None
    unsure: bool = False


@dataclass(frozen=True)
class ClipAnswers:
    """A clip's answers by one version. `size`: (width, height) of the frames in pixels. `remark`: a
    sentence where they are not the whole clip, else "".
    """

    version: str
    task: Task
    size: tuple[int, int]
    frames: tuple[FrameAnswer, ...]
    remark: str = ""

    @property
    def seconds(self) -> float:
        """How long the answered part is."""
        return self.frames[-1].time + 1 / RATE if self.frames else 0.0

    def spans(self) -> dict[int, list[Span]]:
        """Every face's answers over time, by its number; gaps are where it was not there."""
        found: dict[int, list[Span]] = {}
        ends = [*(frame.time for frame in self.frames[1:]), self.seconds]
        for frame, end in zip(self.frames, ends, strict=True):
            for face in frame.faces:
                label = None if face.lost else face.shown.label
                span = Span(frame.time, end, label, face.shown.unsure and not face.lost)
                _join(found.setdefault(face.number, []), span)
        return found

    def to_dict(self) -> dict:
        return {
            "model": self.version,
            "size": list(self.size),
            "seconds": round(self.seconds, 3),
            "remark": self.remark,
            "frames": [frame.to_dict() for frame in self.frames],
        }

    def to_csv(self) -> str:
        """A row for every face of every frame."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = ("time", "face", "x0", "y0", "x1", "y1", "lost", "answer", "confidence", "unsure")
        writer.writerow([*columns, *self.task.names, "alone", "alone_confidence"])
        writer.writerows(_row(frame, face) for frame in self.frames for face in frame.faces)
        return text.getvalue()


def _join(spans: list[Span], new: Span) -> None:
    """Add a span to those before it, as a part of the last one where that says the same."""
    last = spans[-1] if spans else None
    if last and last.end == new.begin and (last.label, last.unsure) == (new.label, new.unsure):
        spans[-1] = replace(last, end=new.end)
    else:
        spans.append(new)


def _row(frame: FrameAnswer, face: FaceAnswer) -> list:
    shown, alone = face.shown, face.alone
    return [
        round(frame.time, 3),
        face.number,
        *(round(side, 1) for side in face.box),
        int(face.lost),
        shown.label,
        round(shown.confidence, 4),
        int(shown.unsure),
        *(round(probability, 4) for probability in shown.probabilities.values()),
        alone.label if alone else "",
        round(alone.confidence, 4) if alone else "",
    ]


def answer_frames(model: Model, frames: Iterable[Frame]) -> Iterator[tuple[Frame, FrameAnswer]]:
    """Each frame with its faces answered, as soon as it is.

    A version whose task is not about faces answers the whole frame.
    """
    scene = Scene(model.name)
    for frame in frames:
        scene = _seen(model, scene, frame)
        asked = due(scene.visible(frame.time))
        crops = [_crop(model, frame.image, track) for track in asked]
        alone = dict(zip((t.number for t in asked), model.predict(crops), strict=True))
        new = {t.number: answered(t, alone[t.number], frame.time) for t in asked}
        scene = replace(scene, tracks=tuple(new.get(t.number, t) for t in scene.tracks))
        yield frame, FrameAnswer(frame.time, tuple(_faces(model, scene, frame.time, alone)))


def _seen(model: Model, scene: Scene, frame: Frame) -> Scene:
    if model.task.faces:
        return advance(scene, frame.image, frame.time, SEARCH_EVERY)
    width, height = frame.image.size
    whole = Face((0.0, 0.0, float(width), float(height)), 1.0, ((0.0, 0.0),) * 5)
    return matched(scene, [whole], frame.time)


def _crop(model: Model, image: Image.Image, track: Track) -> Image.Image:
    return crop_face(image, track.face).image if model.task.faces else whole_crop(image).image


def _faces(
    model: Model, scene: Scene, now: float, alone: dict[int, Prediction]
) -> Iterator[FaceAnswer]:
    for track in scene.shown(now):
        shown = track.prediction(model.unsure_below)
        lost = track.seen < now
        yield FaceAnswer(track.number, track.face.box, shown, alone.get(track.number), lost)


def answer_clip(
    model: Model,
    path: str | Path,
    out: Path | None = None,
    seconds: int = MAX_SECONDS,
    progress: Callable[[float, float], object] = lambda done, total: None,
) -> ClipAnswers:
    """Answer an MP4, WebM or MOV frame by frame, ten frames a second, up to `seconds`.

    `out`: where the annotated clip is written as MP4, if at all. `progress` is told the seconds
    done and all of them (0 where the clip does not say). Raises ClipError for what is no such
    clip, and UserError where `out` cannot be written.

        clip = answer_clip(open_model("v3"), "street.mp4")
        print(clip.to_csv())
    """
    answers: list[FrameAnswer] = []
    size = (0, 0)
    with open_clip(path, seconds) as frames, ClipWriter.to(out) as writer:
        for frame, answer in answer_frames(model, frames):
            answers.append(answer)
            size = frame.image.size
            if writer:
                writer.add(draw_marks(frame.image, model.task, marks_of(answer)), frame.time)
            progress(frame.time, frames.seconds)
    return ClipAnswers(model.name, model.task, size, tuple(answers), frames.remark)


def changes(clip: ClipAnswers) -> list[tuple[float, int, str | None, str]]:
    """The moments at which a face's steady answer became another one: the second, its number, the
    answer before (None at its begin) and the new one, in the order of time.
    """
    found = []
    for number, spans in clip.spans().items():
        last: str | None = None
        for span in spans:
            if span.label is not None and span.label != last:
                found.append((span.begin, number, last, span.label))
                last = span.label
    return sorted(found, key=lambda change: change[:2])


def lasting(clip: ClipAnswers) -> Sequence[int]:
    """The numbers of the faces that were seen in more than a moment, in the order of coming."""
    frames = [face.number for frame in clip.frames for face in frame.faces if not face.lost]
    enough = min(BRIEF, len(clip.frames))
    return [number for number in sorted(set(frames)) if frames.count(number) >= enough]


# --- answers drawn on a frame

# What a class stands for as one sign, where there is no room for its title.
SIGNS: dict[Meaning, str] = {"good": "✓", "bad": "!", "absent": "✗", "other": ""}
LINE, LETTER = 1.35, 0.7  # a line's height and a bold letter's width, of the text's height
MAX_SIDE = 960  # of the annotated clip


@dataclass(frozen=True)
class Mark:
    """What is drawn of one face; `name` tells it from the others."""

    box: Box
    label: str
    confidence: float
    unsure: bool = False
    lost: bool = False
    name: str = ""


def marks_of(answer: FrameAnswer) -> list[Mark]:
    """What is to be drawn on a frame."""
    return [
        Mark(f.box, f.shown.label, f.shown.confidence, f.shown.unsure, f.lost, str(f.number))
        for f in answer.faces
    ]


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
