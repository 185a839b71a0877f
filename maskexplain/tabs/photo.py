"""The Photo tab: every version's answer to one photo, why, and how far to believe it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from ..answer import MaskModel
from ..assets import asset
from ..newest import Newest
from ..photo import find_subjects
from ..photo_view import WHOLE, PhotoView, face_at, photo_views, photo_zip
from ..report import FIRST_WAYS, Asked
from .parts import AGAINST, TARGETS, WAYS, Examples, photo_input, status

START = "Give a photo, or click an example: each version answers and shows why."
NO_ZIP = "There is nothing to download yet: give a photo with a face first."
SAVE_ZIP = "() => document.querySelector('#zip a')?.click()"


def add_photo_tab(models: Sequence[MaskModel], examples: Examples) -> gr.Image:
    """Build and wire the tab's contents; the result is its photo, for others to give one to."""
    tab = _layout(examples)
    _wire(models, tab)
    return tab.photo


@dataclass(frozen=True)
class _PhotoTab:
    photo: gr.Image
    target: gr.Radio
    against: gr.Radio
    ways: gr.CheckboxGroup
    signed: gr.Checkbox
    whole: gr.Checkbox
    notice: gr.HTML
    numbered: gr.Image
    face: gr.Radio
    result: gr.HTML
    save: gr.Button
    zipped: gr.HTML

    @property
    def asked(self) -> list[gr.components.Component]:
        """What is asked of a photo."""
        return [self.target, self.against, self.ways, self.signed]


def _layout(examples: Examples) -> _PhotoTab:
    with gr.Row(
        elem_classes="photo-tab"
    ):  # placed by style.css: on a phone the result comes second
        with gr.Column(elem_classes="give"):
            photo = photo_input("photo", examples)
            whole = gr.Checkbox(label=WHOLE, elem_id="whole")
            numbered = gr.Image(
                label="Faces found",
                alt_text="The photo with a numbered box around every face",
                interactive=False,
                visible=False,
                height=220,
                buttons=["fullscreen"],
                elem_id="numbered",
            )
            face = gr.Radio([], label="Which face?", visible=False, elem_id="face")
        with gr.Column(elem_classes="answered"):
            notice = gr.HTML(status(START), elem_id="notice")
            result = gr.HTML(asset("start.html"), elem_id="result")
            save = gr.Button("Download everything (zip)", elem_id="save")
            zipped = gr.HTML(elem_id="zip")
        with gr.Column(elem_classes="ask"):
            target = gr.Radio(TARGETS, value="", label="Explain which class?", elem_id="target")
            against, ways, signed = _more_ways()
    return _PhotoTab(
        photo, target, against, ways, signed, whole, notice, numbered, face, result, save, zipped
    )


def _more_ways() -> tuple[gr.Radio, gr.CheckboxGroup, gr.Checkbox]:
    with gr.Accordion("More ways to ask", open=False, elem_id="more"):
        against = gr.Radio(AGAINST, value="", label="Why that class and not …?", elem_id="against")
        ways = gr.CheckboxGroup(
            WAYS, value=list(FIRST_WAYS), label="Ways to explain", elem_id="ways"
        )
        signed = gr.Checkbox(label="Show what speaks against it, too", elem_id="signed")
    return against, ways, signed


def _wire(models: Sequence[MaskModel], tab: _PhotoTab) -> None:
    outputs = [tab.notice, tab.numbered, tab.face, tab.result, tab.zipped]

    newest = Newest()

    def show(request: gr.Request, image, whole, chosen, *asked):
        is_newest = newest.begin(request.session_hash)
        question, signed = _asked(*asked)
        for view in photo_views(models, image, whole, chosen or 0, question, signed):
            if not is_newest():
                return
            yield _updates(tab, view)

    def first(request: gr.Request, image, *asked):
        for updates in show(request, image, False, 0, *asked):
            yield {tab.whole: False, **updates}

    def click(request: gr.Request, event: gr.SelectData, image, chosen, *asked):
        hit = face_at(find_subjects(image), *event.index)
        yield from show(request, image, False, chosen if hit is None else hit, *asked)

    def save(image, whole, chosen, *asked):
        return _zip_link(photo_zip(models, image, whole, chosen or 0, _asked(*asked)[0]))

    # One id: the limit on concurrent work then counts all of them together.
    progress = {
        "show_progress": "minimal",
        "show_progress_on": tab.result,
        "concurrency_id": "answers",
        # Each question starts at once, and the newest one silences those before it.
        "trigger_mode": "multiple",
    }
    tab.photo.change(first, [tab.photo, *tab.asked], [tab.whole, *outputs], **progress)
    inputs = [tab.photo, tab.whole, tab.face, *tab.asked]
    controls = (tab.whole, tab.face, *tab.asked)
    asking = [control.input(show, inputs, outputs, **progress) for control in controls]
    # A question that is still reading the photo when that is removed would begin after it.
    tab.photo.clear(None, cancels=asking)
    tab.numbered.select(click, [tab.photo, tab.face, *tab.asked], outputs, **progress)
    saving = {**progress, "show_progress_on": tab.save, "trigger_mode": "once"}
    tab.save.click(save, inputs, tab.zipped, **saving).then(None, js=SAVE_ZIP)


def _asked(target: str, against: str, ways: Sequence[str], signed: bool) -> tuple[Asked, bool]:
    """What the controls say, and whether to show what speaks against a class."""
    return Asked(target or None, against or None, tuple(ways) or FIRST_WAYS), signed


def _zip_link(content: bytes | None) -> str:
    """A link to the zip as a `data:` URL, so that it is not written to disk."""
    if content is None:
        return status(NO_ZIP)
    url = f"data:application/zip;base64,{base64.b64encode(content).decode()}"
    return f'<a download="explanation.zip" href="{url}">Save explanation.zip again</a>'


def _updates(tab: _PhotoTab, view: PhotoView) -> dict:
    found = view.numbered is not None
    numbers = [(line, index) for index, line in enumerate(view.lines)]
    return {
        tab.notice: status(view.notice or START),
        tab.numbered: gr.Image(view.numbered, visible=found),
        tab.face: gr.Radio(numbers, value=view.chosen if numbers else None, visible=bool(numbers)),
        tab.result: view.cards or ("" if view.notice else asset("start.html")),
        tab.zipped: "",
    }
