"""Which face of a photo is meant: the photo with a box on each, its number, the whole picture."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from PIL import Image

from ..explain.draw import data_url
from ..explain.report import Subject, pictures_for, subjects_for
from ..images.crops import Subjects, remarks
from ..images.edit import turned
from ..images.faces import Face
from ..images.read import ImageError, digest_of
from ..models.version import Model, Prediction, any_faces
from ..task import Task
from .answers import newest_first
from .assets import render
from .gradio_inside import event_number

MIN_FACE = 32  # pixels; face finding is measured from here on
STAGE_SIDE = 1280  # pixels of the photo that is shown
WHOLE = "Use the whole picture as the face"


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo's faces, and every version's answers to them, each found and asked once.

    `key` tells the photo, and whether it is taken whole. `answers`: by a version's name, one a
    face; one alone of a version that answers whole pictures.
    """

    key: tuple[str, bool]
    subjects: Subjects
    answers: dict[str, tuple[Prediction, ...]]

    def answer(self, model: Model, face: int) -> Prediction:
        """A version's answer to one face (from 0)."""
        given = self.answers[model.name]
        return given[face] if model.task.faces else given[0]


def look(
    models: Sequence[Model], image: Image.Image, whole: bool = False, known: Scene | None = None
) -> Scene:
    """Find the faces of an RGB photo and ask every version about each; `known` where it is that.

    Raises NoFaceError.
    """
    key = (digest_of(image), whole)
    if known is not None and known.key == key:
        return known
    subjects = subjects_for(models, image, whole)
    return Scene(
        key,
        subjects,
        {m.name: tuple(m.predict(pictures_for(m, image, subjects))) for m in models},
    )


@dataclass(frozen=True)
class FaceChoice:
    """A notice, the photo with a box on every face (HTML; empty where the whole picture is the
    face), a line of answers a face where there are several, the chosen one (from 0), and whether
    the photo does not lie upright.
    """

    notice: str = ""
    stage: str = ""
    lines: tuple[str, ...] = ()
    chosen: int = 0
    sideways: bool = False


def choose_face(
    models: Sequence[Model], image: Image.Image, scene: Scene, chosen: int
) -> FaceChoice:
    """What to show of an RGB photo's faces, of which number `chosen` (from 0) is asked for."""
    subjects = scene.subjects
    chosen = max(0, min(chosen, len(subjects.crops) - 1))
    several = len(subjects.faces) > 1
    return FaceChoice(
        notice=_notice(models, image, subjects) + _too_small(subjects.images[chosen]),
        stage=_stage(models, image, scene) if subjects.faces else "",
        lines=_lines(models, scene) if several else (),
        chosen=chosen,
        sideways=bool(subjects.turn),
    )


def subject_of(image: Image.Image, subjects: Subjects, chosen: int) -> Subject:
    """One face of a photo, ready to be asked about."""
    return Subject(subjects.images[chosen], subjects.landmarks[chosen], image)


@dataclass(frozen=True)
class _Box:
    place: str  # CSS: where the box lies, in percent of the photo
    look: str  # CSS: its class's colours
    said: str


def _stage(models: Sequence[Model], image: Image.Image, scene: Scene) -> str:
    lead = next(m for m in newest_first(models) if m.task.faces)
    answers = scene.answers[lead.name]
    boxes = [
        _Box(
            _place(face, image.size),
            lead.task.style(answer.label),
            f"{lead.task.title(answer.label)}, {answer.confidence:.0%}",
        )
        for face, answer in zip(scene.subjects.faces, answers, strict=True)
    ]
    shown = image.copy()
    shown.thumbnail((STAGE_SIDE, STAGE_SIDE), reducing_gap=2.0)
    ratio = f"{image.width / image.height:.4f}"
    url, count = data_url(shown, "jpeg"), _count(lead.task, answers)
    return render("stage", url=url, ratio=ratio, boxes=boxes, count=count)


def _place(face: Face, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = (
        max(0.0, min(1.0, value / side)) for value, side in zip(face.box, size * 2, strict=True)
    )
    sides = {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
    return ";".join(f"{name}:{value:.2%}" for name, value in sides.items())


def _count(task: Task, answers: Sequence[Prediction]) -> str:
    """“12 faces: 9 worn correctly, 2 worn incorrectly, 1 no mask.”; empty for one face."""
    if len(answers) < 2:
        return ""
    counts = Counter(answer.label for answer in answers).most_common()
    told = ", ".join(f"{count} {task.title(label).lower()}" for label, count in counts)
    return f"{len(answers)} faces: {told}."


def _lines(models: Sequence[Model], scene: Scene) -> tuple[str, ...]:
    asked = [model for model in newest_first(models) if model.task.faces]
    return tuple(
        f"{index + 1} · "
        + ", ".join(f"{m.name}: {_said(m, scene.answer(m, index))}" for m in asked)
        for index in range(len(scene.subjects.crops))
    )


def _said(model: Model, answer: Prediction) -> str:
    return model.task.title(answer.label) + (" (unsure)" if answer.unsure else "")


def _notice(models: Sequence[Model], image: Image.Image, subjects: Subjects) -> str:
    found = _found(subjects) if any_faces(models) else "The whole picture is answered."
    return f"{found} {remarks(image, subjects)}".strip()


def _found(subjects: Subjects) -> str:
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


@dataclass(frozen=True)
class FaceControls:
    """The box for the whole picture, the photo with its boxes, the numbers to pick, and the button
    that turns a photo upright.
    """

    whole: gr.Checkbox
    stage: gr.HTML
    face: gr.Radio
    turn: gr.Button

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What `face_updates` changes."""
        return [self.stage, self.face, self.turn]


def stage_picture(prefix: str) -> gr.HTML:
    """The photo with its boxes; `click` brings the number of a face (`face_clicked`)."""
    return gr.HTML(
        visible=False,
        chosen=0,
        js_on_load="startStage(element, props, trigger, watch);",
        elem_id=f"{prefix}-stage",
    )


def face_clicked(event: gr.EventData, chosen: int | None) -> int | None:
    """The face (from 0) whose box was clicked; `chosen` where a stranger sent something else."""
    face = event_number(event, "face")
    return chosen if face is None else face


def face_number(prefix: str) -> gr.Radio:
    """The faces' numbers, each with its answers."""
    return gr.Radio([], label="Which face?", visible=False, elem_id=f"{prefix}-face")


def turn_button(prefix: str) -> gr.Button:
    """Offered where a photo lies on its side."""
    return gr.Button("Turn the photo", visible=False, elem_id=f"{prefix}-turn")


def turn_photo(image: Image.Image | ImageError | None, scene: Scene | None):
    """The photo set upright; no change where it is not the one that was answered."""
    if scene is None or not isinstance(image, Image.Image) or digest_of(image) != scene.key[0]:
        return gr.skip()
    return turned(image, scene.subjects.turn)


def whole_box(prefix: str, models: Sequence[Model]) -> gr.Checkbox:
    """Takes the whole picture as the face; hidden where no version looks for faces."""
    return gr.Checkbox(label=WHOLE, visible=any_faces(models), elem_id=f"{prefix}-whole")


def face_updates(controls: FaceControls, choice: FaceChoice) -> dict:
    """What a choice changes in them."""
    numbers = [(line, index) for index, line in enumerate(choice.lines)]
    several = bool(numbers)
    return {
        controls.stage: gr.update(
            value=choice.stage, chosen=choice.chosen, visible=bool(choice.stage)
        ),
        controls.face: gr.update(
            choices=numbers, value=choice.chosen if several else None, visible=several
        ),
        controls.turn: gr.update(visible=choice.sideways),
    }
