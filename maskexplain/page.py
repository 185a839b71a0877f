"""The Gradio page: components and wiring only. Handlers are plain functions, tested without it."""

from functools import partial
from pathlib import Path

import gradio as gr
from PIL import Image

from .answer import MaskModel
from .cards import cards, results_table
from .draw import CLASS_TITLES, number_faces
from .errors import UserError
from .images import ImageError, read_image
from .model import CLASSES
from .photo import Subjects, find_subjects

ASSETS = Path(__file__).parent / "assets"
TITLE = "Mask explainer"
PREDICTED = "What each version answers"
TARGETS = [(PREDICTED, ""), *((CLASS_TITLES[name], name) for name in CLASSES)]


class PhotoInput(gr.Image):
    """gr.Image that reads through `read_image`, so that a bad file gets a sentence."""

    is_template = True  # the browser side is gr.Image's own

    def preprocess(self, payload) -> Image.Image | None:
        """The payload (a file of the upload cache, or a data URL) as an upright RGB picture."""
        if payload is None:
            return None
        try:
            return read_image(payload.path or payload.url or b"")
        except ImageError as error:
            raise gr.Error(str(error), title="Not a usable picture") from error


def answer_photo(
    models: list[MaskModel],
    image: Image.Image | None,
    whole: bool = False,
    chosen: int = 0,
    target: str = "",
) -> tuple[str, Subjects, str]:
    """What the Photo tab shows of a picture: a notice, the faces, and the versions' cards (HTML).

    Nothing is kept between calls: the faces are found anew, which takes 20 ms.
    """
    if image is None:
        return "", Subjects(()), ""
    try:
        subjects = find_subjects(image, whole)
    except UserError as error:
        return f"{error} Tick “Use the whole picture” below for that.", Subjects(()), ""
    chosen = min(chosen, len(subjects.crops) - 1)
    return _notice(subjects), subjects, cards(models, subjects.crops[chosen], target or None)


def _notice(subjects: Subjects) -> str:
    count = len(subjects.faces)
    if subjects.tight:
        return "No face was found, but the picture looks like a face crop: it is taken whole."
    if not count:
        return "The whole picture is taken as the face."
    if count == 1:
        return "One face found."
    return f"{count} faces found, the largest first: click one, or pick its number."


def face_at(subjects: Subjects, x: float, y: float) -> int | None:
    """The number (from 0) of the smallest face whose box holds a point of the picture."""
    hits = [
        index
        for index, face in enumerate(subjects.faces)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    return hits[-1] if hits else None  # faces come largest first


def build_page(models: list[MaskModel], examples: list[tuple[Path, str]] = ()) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions."""
    with gr.Blocks(title=TITLE, delete_cache=(60, 300), analytics_enabled=False) as page:
        gr.HTML((ASSETS / "header.html").read_text(encoding="utf-8"))
        with gr.Tab("Photo"):
            _photo_tab(models, list(examples))
        with gr.Tab("About the models"):
            gr.HTML((ASSETS / "about.html").read_text(encoding="utf-8"))
            gr.HTML(results_table(models))
    return page


def _photo_tab(models: list[MaskModel], examples: list[tuple[Path, str]]) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            photo = PhotoInput(
                label="Photo: upload, paste, or take a snapshot",
                type="pil",
                image_mode=None,
                height=320,
                sources=["upload", "webcam", "clipboard"],
                # Unmirrored, so that the network gets the picture as it is.
                webcam_options=gr.WebcamOptions(mirror=False),
                elem_id="photo",
            )
            if examples:
                gr.Examples(
                    examples=[[str(path)] for path, _ in examples],
                    example_labels=[caption for _, caption in examples],
                    inputs=photo,
                    label="Examples: masks painted over a public-domain portrait",
                    examples_per_page=12,
                )
            target = gr.Radio(TARGETS, value="", label="Explain which class?", elem_id="target")
            whole = gr.Checkbox(label="Use the whole picture as the face", elem_id="whole")
        with gr.Column(scale=5, min_width=320):
            notice = gr.Markdown(elem_id="notice")
            with gr.Row(visible=False) as picker:
                numbered = gr.Image(
                    label="Faces found", interactive=False, height=280, buttons=[], type="pil"
                )
                face = gr.Radio([], label="Face", type="value", elem_id="face")
            result = gr.HTML(elem_id="result")
    _wire(models, photo, target, whole, (notice, picker, numbered, face, result))


def _wire(models, photo, target, whole, outputs) -> None:
    notice, picker, numbered, face, result = outputs

    def show(image, whole, chosen, target):
        text, subjects, html = answer_photo(models, image, whole, chosen, target)
        count = len(subjects.faces)
        picture = number_faces(image, list(subjects.faces), chosen) if count else None
        numbers = [(str(i + 1), i) for i in range(count)]
        return {
            notice: text,
            picker: gr.Row(visible=count > 0),
            numbered: picture,
            face: gr.Radio(numbers, value=chosen if count else None, visible=count > 1),
            result: html,
        }

    def first(image, target):
        return {whole: False, **show(image, False, 0, target)}

    def again(image, whole, chosen, target):
        return show(image, whole, chosen or 0, target)

    def click(image, target, event: gr.SelectData):
        chosen = face_at(find_subjects(image), *event.index)
        return show(image, False, chosen or 0, target)

    calls = partial(dict, outputs=list(outputs), show_progress="minimal")
    photo.change(first, [photo, target], [whole, *outputs], show_progress="minimal")
    for control in (target, whole, face):
        control.input(again, [photo, whole, face, target], **calls())
    numbered.select(click, [photo, target], **calls())
