"""The Gradio page: components and wiring only. Handlers are plain functions, tested without it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
from PIL import Image

from .answer import MaskModel
from .cards import cards, results_table
from .draw import CLASS_TITLES, number_faces
from .images import ImageError
from .model import CLASSES
from .photo import NoFaceError, Subjects, find_subjects
from .photo_input import PhotoInput

ASSETS = Path(__file__).parent / "assets"
TITLE = "Mask explainer"
TARGETS = [("What each version answers", ""), *((CLASS_TITLES[name], name) for name in CLASSES)]
MIN_FACE = 32  # pixels; face finding is measured from here on
WHOLE = "Use the whole picture as the face"
START = "Give a photo, or click an example: each version answers and shows why."


@dataclass(frozen=True)
class PhotoView:
    """What the Photo tab shows: a notice, the photo with its numbered faces (None where the whole
    picture is the face), a line of answers a face where there are several, the chosen one (from 0)
    and the cards (HTML).
    """

    notice: str = ""
    numbered: Image.Image | None = None
    lines: tuple[str, ...] = ()
    chosen: int = 0
    cards: str = ""


def answer_photo(
    models: list[MaskModel],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    target: str = "",
) -> PhotoView:
    """Answer every face of a picture and explain the chosen one.

    Nothing is kept between calls: the faces are found anew, in some 30 ms.
    """
    if image is None or isinstance(image, ImageError):
        return PhotoView(str(image or ""))
    try:
        subjects = find_subjects(image, whole)
    except NoFaceError as error:
        return PhotoView(f"{error} The box “{WHOLE}” does that.")
    chosen = min(chosen, len(subjects.crops) - 1)
    return PhotoView(
        notice=_notice(subjects) + _too_small(subjects.images[chosen]),
        numbered=number_faces(image, subjects.faces, chosen) if subjects.faces else None,
        lines=_lines(models, subjects) if len(subjects.faces) > 1 else (),
        chosen=chosen,
        cards=cards(models, image, subjects.crops[chosen], target or None),
    )


def _lines(models: list[MaskModel], subjects: Subjects) -> tuple[str, ...]:
    answers = {model.name: model.predict(subjects.images) for model in models}
    return tuple(
        f"{index + 1} · "
        + ", ".join(f"{name}: {CLASS_TITLES[ps[index].label]}" for name, ps in answers.items())
        for index in range(len(subjects.crops))
    )


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


def face_at(subjects: Subjects, x: float, y: float) -> int | None:
    """The number (from 0) of the smallest face whose box holds a point of the picture."""
    hits = [
        index
        for index, face in enumerate(subjects.faces)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    return hits[-1] if hits else None  # faces come largest first


def build_page(models: list[MaskModel], examples: list[tuple[Path, str]]) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions."""
    with gr.Blocks(title=TITLE, delete_cache=(60, 300), analytics_enabled=False) as page:
        gr.HTML((ASSETS / "header.html").read_text(encoding="utf-8"))
        with gr.Tab("Photo"):
            _wire(models, _photo_tab(examples))
        with gr.Tab("About the models"):
            gr.HTML((ASSETS / "about.html").read_text(encoding="utf-8"))
            gr.HTML(results_table(models))
    return page


@dataclass(frozen=True)
class _PhotoTab:
    photo: gr.Image
    target: gr.Radio
    whole: gr.Checkbox
    notice: gr.HTML
    numbered: gr.Image
    face: gr.Radio
    result: gr.HTML


def _photo_tab(examples: list[tuple[Path, str]]) -> _PhotoTab:
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            photo = _photo_input()
            gr.Examples(
                examples=[[str(path)] for path, _ in examples],
                example_labels=[caption for _, caption in examples],
                inputs=photo,
                label="Examples: masks painted over a public-domain portrait",
            )
            target = gr.Radio(TARGETS, value="", label="Explain which class?", elem_id="target")
            whole = gr.Checkbox(label=WHOLE, elem_id="whole")
            numbered = gr.Image(
                label="Faces found",
                alt_text="The photo with a numbered box around every face",
                interactive=False,
                visible=False,
                height=260,
                buttons=["fullscreen"],
                elem_id="numbered",
            )
            face = gr.Radio([], label="Which face?", visible=False, elem_id="face")
        with gr.Column(scale=5, min_width=320):
            notice = gr.HTML(_status(START), elem_id="notice")
            result = gr.HTML(elem_id="result")
    return _PhotoTab(photo, target, whole, notice, numbered, face, result)


def _photo_input() -> PhotoInput:
    return PhotoInput(
        label="Photo",
        alt_text="Your photo",
        type="pil",
        image_mode=None,
        height=320,
        sources=["upload", "webcam", "clipboard"],
        # Unmirrored: the network gets the picture as it is.
        webcam_options=gr.WebcamOptions(mirror=False),
        elem_id="photo",
    )


def _wire(models: list[MaskModel], tab: _PhotoTab) -> None:
    outputs = [tab.notice, tab.numbered, tab.face, tab.result]

    def show(image, whole, chosen, target):
        return _updates(tab, answer_photo(models, image, whole, chosen or 0, target))

    def first(image, target):
        return {tab.whole: False, **show(image, False, 0, target)}

    def click(image, chosen, target, event: gr.SelectData):
        hit = face_at(find_subjects(image), *event.index)
        return show(image, False, chosen if hit is None else hit, target)

    # One id: the limit on concurrent work then counts all of them together.
    progress = {
        "show_progress": "minimal",
        "show_progress_on": tab.result,
        "concurrency_id": "answers",
    }
    tab.photo.change(first, [tab.photo, tab.target], [tab.whole, *outputs], **progress)
    inputs = [tab.photo, tab.whole, tab.face, tab.target]
    for control in (tab.target, tab.whole, tab.face):
        control.input(show, inputs, outputs, **progress)
    tab.numbered.select(click, [tab.photo, tab.face, tab.target], outputs, **progress)


def _status(text: str) -> str:
    return f'<p role="status">{escape(text)}</p>'  # read aloud by screen readers when it changes


def _updates(tab: _PhotoTab, view: PhotoView) -> dict:
    found = view.numbered is not None
    numbers = [(line, index) for index, line in enumerate(view.lines)]
    return {
        tab.notice: _status(view.notice or START),
        tab.numbered: gr.Image(view.numbered, visible=found),
        tab.face: gr.Radio(numbers, value=view.chosen if numbers else None, visible=bool(numbers)),
        tab.result: view.cards,
    }
