"""Which face of a photo is meant: its number, the numbered photo, and the whole picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from PIL import Image

from ..explain.draw import number_faces
from ..explain.report import Subject
from ..images.crops import NoFaceError, Subjects, find_subjects
from ..models.version import Model, Prediction

MIN_FACE = 32  # pixels; face finding is measured from here on
WHOLE = "Use the whole picture as the face"


@dataclass(frozen=True)
class FaceChoice:
    """A notice, the photo with its numbered faces (None where the whole picture is the face), a
    line of answers a face where there are several, and the chosen one (from 0).
    """

    notice: str = ""
    numbered: Image.Image | None = None
    lines: tuple[str, ...] = ()
    chosen: int = 0


def choose_face(
    models: Sequence[Model], image: Image.Image, subjects: Subjects, chosen: int
) -> FaceChoice:
    """What to show of an RGB photo's faces, of which number `chosen` (from 0) is asked for."""
    chosen = max(0, min(chosen, len(subjects.crops) - 1))
    return FaceChoice(
        notice=_notice(subjects) + _too_small(subjects.images[chosen]),
        numbered=number_faces(image, subjects.faces, chosen) if subjects.faces else None,
        lines=_lines(models, subjects) if len(subjects.faces) > 1 else (),
        chosen=chosen,
    )


def subject_of(image: Image.Image, subjects: Subjects, chosen: int) -> Subject:
    """One face of a photo, ready to be asked about."""
    return Subject(subjects.images[chosen], subjects.landmarks[chosen], image)


def _lines(models: Sequence[Model], subjects: Subjects) -> tuple[str, ...]:
    asked = [model for model in models if model.task.faces]
    answers = [(model, model.predict(subjects.images)) for model in asked]
    return tuple(
        f"{index + 1} · "
        + ", ".join(f"{model.name}: {_said(model, ps[index])}" for model, ps in answers)
        for index in range(len(subjects.crops))
    )


def _said(model: Model, answer: Prediction) -> str:
    return model.task.title(answer.label) + (" (unsure)" if answer.unsure else "")


def _notice(subjects: Subjects) -> str:
    count = len(subjects.faces)
    if subjects.tight:
        return "The picture looks like a face crop already: it is taken whole."
    if not count:
        return "The whole picture is taken as the face."
    if count == 1:
        return "One face found."
    return f"{count} faces found, the largest first: click one in the photo, or pick its number."


def _too_small(crop: Image.Image) -> str:
    if min(crop.size) >= MIN_FACE:
        return ""
    size = f"{crop.width} x {crop.height}"
    return f" The chosen face has only {size} pixels: too few to believe the answer."


def face_clicked(image: object, point: tuple[float, float], chosen: int | None) -> int | None:
    """The face (from 0) at a point of the numbered photo; `chosen` where none is, or where the
    photo behind it has changed since: `image` is what the photo's input holds now.
    """
    if not isinstance(image, Image.Image):
        return chosen
    try:
        hit = face_at(find_subjects(image), *point)
    except NoFaceError:
        return chosen
    return chosen if hit is None else hit


def face_at(subjects: Subjects, x: float, y: float) -> int | None:
    """The number (from 0) of the smallest face whose box holds a point of the picture."""
    hits = [
        index
        for index, face in enumerate(subjects.faces)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    return hits[-1] if hits else None  # faces come largest first


@dataclass(frozen=True)
class FaceControls:
    """The box for the whole picture, the photo with numbered faces, and the numbers to pick."""

    whole: gr.Checkbox
    numbered: gr.Image
    face: gr.Radio


def face_controls(prefix: str) -> FaceControls:
    """Build them here; `prefix` begins their ids."""
    whole = gr.Checkbox(label=WHOLE, elem_id=f"{prefix}-whole")
    numbered = gr.Image(
        label="Faces found",
        alt_text="The photo with a numbered box around every face",
        interactive=False,
        visible=False,
        height=220,
        buttons=["fullscreen"],
        elem_id=f"{prefix}-numbered",
    )
    face = gr.Radio([], label="Which face?", visible=False, elem_id=f"{prefix}-face")
    return FaceControls(whole, numbered, face)


def face_updates(controls: FaceControls, choice: FaceChoice) -> dict:
    """What a choice changes in them: the photo with its faces, and numbers where it has several."""
    numbers = [(line, index) for index, line in enumerate(choice.lines)]
    several, found = bool(numbers), choice.numbered is not None
    return {
        controls.numbered: gr.Image(choice.numbered, visible=found),
        controls.face: gr.Radio(numbers, value=choice.chosen if several else None, visible=several),
    }
