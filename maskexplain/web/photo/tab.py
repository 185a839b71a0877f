"""The Photo tab: every version's answer to one photo, why, and how far to believe it.

Handlers first: plain functions that tests call without Gradio; then components and wiring.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import gradio as gr
from PIL import Image

from ..explain.figure import report_files, zip_of
from ..explain.question import FIRST_WAYS, USUAL, ExplainError, Question
from ..explain.report import reports, subjects_for
from ..images.crops import NoFaceError
from ..images.read import ImageError
from ..models.version import Model
from .assets import asset
from .faces import (
    WHOLE,
    FaceChoice,
    FaceControls,
    choose_face,
    face_clicked,
    face_controls,
    face_updates,
    subject_of,
)
from .maps import cards
from .parts import (
    Examples,
    Newest,
    photo_input,
    status,
    target_choices,
    way_choices,
    while_newest,
    zip_link,
)


@dataclass(frozen=True)
class PhotoView:
    """What the Photo tab shows: the faces with a notice, and the chosen one's cards (HTML)."""

    choice: FaceChoice = FaceChoice()
    cards: str = ""


def photo_views(
    models: Sequence[Model],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    question: Question = USUAL,
    signed: bool = False,
) -> Iterator[PhotoView]:
    """Answer every face of a picture and explain the chosen one; a view whenever there is more.

    Nothing is kept between calls: the faces are found anew, in some 30 ms.
    """
    if image is None or isinstance(image, ImageError):
        yield PhotoView(FaceChoice(str(image or "")))
        return
    try:
        subjects = subjects_for(models, image, whole)
        view = PhotoView(choose_face(models, image, subjects, chosen))
        chosen = view.choice.chosen
        for ready in reports(models, subject_of(image, subjects, chosen), question):
            yield replace(view, cards=cards(ready, image, subjects.crops[chosen], signed))
    except NoFaceError as error:
        yield PhotoView(FaceChoice(f"{error} The box “{WHOLE}” does that."))
    except ExplainError as error:
        yield PhotoView(FaceChoice(str(error)))


def photo_zip(
    models: Sequence[Model],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    question: Question = USUAL,
) -> bytes | None:
    """Figure, heatmaps and all figures of the chosen face as a zip; None without a face."""
    if image is None or isinstance(image, ImageError):
        return None
    try:
        subjects = subjects_for(models, image, whole)
        chosen = min(chosen, len(subjects.crops) - 1)
        *_, complete = reports(models, subject_of(image, subjects, chosen), question)
    except (NoFaceError, ExplainError):
        return None
    return zip_of(report_files(complete, "face"))


START = "Give a photo, or click an example: each version answers and shows why."
NO_ZIP = "There is nothing to download yet: give a photo with a face first."
SAVE_ZIP = "() => document.querySelector('#zip a')?.click()"


def add_photo_tab(models: Sequence[Model], examples: Examples) -> gr.Image:
    """Build and wire the tab's contents; the result is its photo, for others to give one to."""
    tab = _layout(models, examples)
    _wire(models, tab)
    return tab.photo


@dataclass(frozen=True)
class _PhotoTab:
    photo: gr.Image
    faces: FaceControls
    target: gr.Radio
    against: gr.Radio
    ways: gr.CheckboxGroup
    signed: gr.Checkbox
    notice: gr.HTML
    result: gr.HTML
    save: gr.Button
    zipped: gr.HTML

    @property
    def asked(self) -> list[gr.components.Component]:
        """What is asked of a photo."""
        return [self.target, self.against, self.ways, self.signed]


def _layout(models: Sequence[Model], examples: Examples) -> _PhotoTab:
    with gr.Row(elem_classes="asked-and-answered"):
        with gr.Column(elem_classes="give"):
            photo = photo_input("photo", examples)
            faces = face_controls("photo")
        with gr.Column(elem_classes="answered"):
            notice = gr.HTML(status(START), elem_id="notice")
            result = gr.HTML(asset("start.html"), elem_id="result")
            save = gr.Button("Download everything (zip)", elem_id="save")
            zipped = gr.HTML(elem_id="zip")
        with gr.Column(elem_classes="ask"):
            classes = target_choices(models, "What each version answers")
            target = gr.Radio(classes, value="", label="Explain which class?", elem_id="target")
            against, ways, signed = _more_ways(models)
    return _PhotoTab(photo, faces, target, against, ways, signed, notice, result, save, zipped)


def _more_ways(models: Sequence[Model]) -> tuple[gr.Radio, gr.CheckboxGroup, gr.Checkbox]:
    with gr.Accordion("More ways to ask", open=False, elem_id="more"):
        others = target_choices(models, "no other class")
        against = gr.Radio(others, value="", label="Why that class and not …?", elem_id="against")
        ways = gr.CheckboxGroup(
            way_choices(), value=list(FIRST_WAYS), label="Ways to explain", elem_id="ways"
        )
        signed = gr.Checkbox(label="Show what speaks against it, too", elem_id="signed")
    return against, ways, signed


def _wire(models: Sequence[Model], tab: _PhotoTab) -> None:
    whole, numbered, face = tab.faces.whole, tab.faces.numbered, tab.faces.face
    outputs = [tab.notice, numbered, face, tab.result, tab.zipped]

    newest = Newest()

    def show(request: gr.Request, image, whole, chosen, *asked):
        is_newest = newest.begin(request.session_hash)
        question, signed = _question(*asked)
        views = photo_views(models, image, whole, chosen or 0, question, signed)
        yield from while_newest((_updates(tab, view) for view in views), is_newest, outputs)

    def first(request: gr.Request, image, *asked):
        for updates in show(request, image, False, 0, *asked):
            yield {tab.faces.whole: False, **updates}

    def click(request: gr.Request, event: gr.SelectData, image, chosen, *asked):
        yield from show(request, image, False, face_clicked(image, event.index, chosen), *asked)

    def save(image, whole, chosen, *asked):
        content = photo_zip(models, image, whole, chosen or 0, _question(*asked)[0])
        return zip_link(content, "explanation.zip") if content else status(NO_ZIP)

    # One id: the limit on concurrent work then counts all of them together.
    progress = {
        "show_progress": "minimal",
        "show_progress_on": tab.result,
        "concurrency_id": "answers",
        # Each question starts at once, and the newest one silences those before it.
        "trigger_mode": "multiple",
    }
    tab.photo.change(first, [tab.photo, *tab.asked], [whole, *outputs], **progress)
    inputs = [tab.photo, whole, face, *tab.asked]
    controls = (whole, face, *tab.asked)
    asking = [control.input(show, inputs, outputs, **progress) for control in controls]
    # A question that is still reading the photo when that is removed would begin after it.
    tab.photo.clear(None, cancels=asking)
    numbered.select(click, [tab.photo, face, *tab.asked], outputs, **progress)
    saving = {**progress, "show_progress_on": tab.save, "trigger_mode": "once"}
    tab.save.click(save, inputs, tab.zipped, **saving).then(None, js=SAVE_ZIP)


def _question(
    target: str, against: str, ways: Sequence[str], signed: bool
) -> tuple[Question, bool]:
    """What the controls say, and whether to show what speaks against a class."""
    return Question(target or None, against or None, tuple(ways) or FIRST_WAYS), signed


def _updates(tab: _PhotoTab, view: PhotoView) -> dict:
    started = view.cards or view.choice.notice
    return {
        tab.notice: status(view.choice.notice or START),
        tab.result: view.cards if started else asset("start.html"),
        tab.zipped: "",
        **face_updates(tab.faces, view.choice),
    }
