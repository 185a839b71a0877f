"""A photo's faces: which one is meant, and the questions that are asked about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from .assets import render
from .gradio_inside import event_number
from .parts import TIGHT, Newest, changes_of, newest_first, status, while_newest, zip_link

MIN_FACE = 32  # pixels; face finding is measured from here on
STAGE_SIDE = 1280  # pixels of the photo that is shown
WHOLE = "Use the whole picture as the face"
NO_FACE = f"No face was found: give a photo with a larger face in view. Or tick “{WHOLE}”."


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


def _stage(models: Sequence[Model], image: Image.Image, scene: Scene) -> str:
    lead = next(m for m in newest_first(models) if m.task.faces)
    answers = scene.answers[lead.name]
    boxes = [
        (_place(face, image.size), lead.task.style(answer.label), _sure(lead.task, answer))
        for face, answer in zip(scene.subjects.faces, answers, strict=True)
    ]
    shown = image.copy()
    shown.thumbnail((STAGE_SIDE, STAGE_SIDE), reducing_gap=2.0)
    ratio = f"{image.width / image.height:.4f}"
    url, count = data_url(shown, "jpeg"), _count(lead.task, answers)
    return render("stage", url=url, ratio=ratio, boxes=boxes, count=count)


def _sure(task: Task, answer: Prediction) -> str:
    return f"{task.title(answer.label)}, {answer.confidence:.0%}"


def _place(face: Face, size: tuple[int, int]) -> str:
    """Where a face's box lies on a photo of this size, as CSS."""
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
        return TIGHT
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
    return gr.Checkbox(
        label=WHOLE,
        info="For a picture in which no face is found, or a wrong one.",
        visible=any_faces(models),
        elem_id=f"{prefix}-whole",
    )


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


# --- questions, as Photo and Compare ask them

NO_ZIP = "There is nothing to download yet: give a photo with a face first."
# The questions' order is the browser's: a large photo is read for longer than the click that takes
# it away again.
MOMENT = "(_, ...given) => [performance.now(), ...given]"
# Another photo: the page takes the answer to the one before away, until `answered` says the moment.
ANEW = "(_, ...given) => [otherPhoto('{}'), ...given]"


@dataclass(frozen=True)
class PhotoParts:
    """A tab's components for questions about one photo.

    `asked`: what else an answer depends on, of which controls ask anew; `outputs`: what an answer
    changes; `shown`: where work is shown; `kept`: what the last answer knew, as `Remembered`.
    """

    photo: gr.Image
    faces: FaceControls
    kept: gr.State
    asked: Sequence[gr.components.Component]
    outputs: Sequence[gr.components.Component]
    shown: gr.components.Component
    save: gr.Button
    zipped: gr.HTML


class Remembered(Protocol):
    """What a tab remembers of a photo, whatever more."""

    @property
    def scene(self) -> Scene: ...


Photo = Image.Image | ImageError | None


class PhotoQuestions:
    """The events of a photo's questions, laid on a tab's components.

    `answer` (photo, whole, face, kept, *asked) gives the outputs' values whenever there is more of
    them; `zip_of`, given the same, everything as a zip of that `name`, None without a face; `whole`
    (photo, *asked) tells whether another photo is taken whole.
    """

    def __init__(
        self,
        parts: PhotoParts,
        answer: Callable[..., Iterator[dict]],
        zip_of: Callable[..., bytes | None],
        name: str,
        whole: Callable[..., bool] = lambda *_: False,
    ) -> None:
        self.parts, self.answer, self.whole = parts, answer, whole
        self.zip_of, self.name = zip_of, name
        self.moment = gr.Number(visible=False)
        self.answered = gr.HTML(padding=False)
        self.newest = Newest()
        # One id: the limit on concurrent work then counts all of them together.
        self.progress: dict[str, Any] = {
            "show_progress": "minimal",
            "show_progress_on": parts.shown,
            "concurrency_id": "answers",
            # Each question starts at once, and the newest one silences those before it.
            "trigger_mode": "multiple",
            "js": MOMENT,
        }

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `show` is given."""
        parts, faces = self.parts, self.parts.faces
        return [self.moment, parts.photo, faces.whole, faces.face, parts.kept, *parts.asked]

    def wire(self) -> None:
        """Every control to its handler."""
        parts, faces = self.parts, self.parts.faces
        first = [self.moment, parts.photo, parts.kept, *parts.asked]
        anew = {**self.progress, "js": ANEW.format(parts.photo.elem_id)}
        changed = [faces.whole, *parts.outputs, self.answered]  # the page draws them in this order
        parts.photo.change(self.first, first, changed, **anew)
        controls = [part for part in parts.asked if not isinstance(part, gr.State)]
        asking = [
            control.input(self.show, self.inputs, parts.outputs, **self.progress)
            for control in (faces.whole, faces.face, *controls)
        ]
        # Nobody waits for them any more.
        parts.photo.clear(None, cancels=asking)
        faces.stage.click(self.click, self.inputs, parts.outputs, **self.progress)
        faces.turn.click(self.turn, [parts.photo, parts.kept], parts.photo)
        saving = {**self.progress, "show_progress_on": parts.save, "trigger_mode": "once"}
        js = f"() => document.querySelector('#{parts.zipped.elem_id} a')?.click()"
        parts.save.click(self.save, self.inputs, parts.zipped, **saving).then(None, js=js)

    def show(
        self, request: gr.Request, moment: float | None, image: Photo, whole, chosen, kept, *asked
    ) -> Iterator[dict]:
        """The answer to what is asked now, whenever there is more of it."""
        answers = self.answer(image, whole, chosen or 0, kept, *asked)
        yield from self._shown(request, moment, answers, self.parts.outputs)

    def first(self, request: gr.Request, moment, image: Photo, kept, *asked) -> Iterator[dict]:
        """Another photo."""
        whole, photo = self.whole(image, *asked), self.parts.photo.elem_id
        known = {self.answered: render("answered", photo=photo, moment=moment or 0)}
        # The box goes with the first answer alone: from then on it is the visitor's.
        box = self.parts.faces.whole
        answers = ({box: whole, **more} for more in self.answer(image, whole, 0, kept, *asked))
        for updates in self._shown(request, moment, answers, [box, *self.parts.outputs]):
            yield {**known, **updates}

    def _shown(
        self,
        request: gr.Request,
        moment: float | None,
        answers: Iterator[dict],
        outputs: Sequence[gr.components.Component],
    ) -> Iterator[dict]:
        is_newest = self.newest.begin(request.session_hash, moment)
        yield from while_newest(changes_of(answers), is_newest, outputs)

    def click(
        self, request: gr.Request, event: gr.EventData, moment, image: Photo, whole, chosen, *more
    ) -> Iterator[dict]:
        """A face in the photo is clicked."""
        yield from self.show(request, moment, image, whole, face_clicked(event, chosen), *more)

    def turn(self, image: Photo, kept: Remembered | None):
        """The photo is turned upright, which then is another photo."""
        return turn_photo(image, kept.scene if kept else None)

    def save(self, _moment, image: Photo, whole, chosen, kept, *asked) -> str:
        """Everything as a zip, which the browser then saves."""
        content = self.zip_of(image, whole, chosen or 0, kept, *asked)
        return zip_link(content, self.name) if content else status(NO_ZIP)
