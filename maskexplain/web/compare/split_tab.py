"""In the Compare tab: the test set's pictures on which two versions disagree."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gradio as gr

from ...data.folder import DataError
from ...models.checkpoints import by_number
from ...models.version import Model
from ...results.compare import stored_comparisons
from ..parts import status
from .split import ALL, Disagreements, Selection, SplitAnswers, disagreements_of, picked
from .view import Visit, over_folders

PROGRESS = gr.Progress()
OVER_FOLDERS = "<h2>The versions over a folder of pictures</h2>"
TITLE = "<h2>Test pictures on which two versions disagree</h2>"
WITHOUT = (
    "To see them, start the program with the data folder: maskexplain serve --data DIR (an image "
    "folder with a folder for each class)."
)
FIRST = (
    "Every version answers every test picture once; that takes a minute, on a busy machine more."
)
UNREADABLE = (
    "A picture of the data folder cannot be read: whoever serves this page finds its name in the "
    "terminal."
)
ONE_VERSION = "One version alone answers these classes: serve two or more that do."
# A tile is a button with its picture's number.
CLICKED = """element.addEventListener('click', (event) => {
  const tile = event.target.closest('button[data-number]');
  if (tile) trigger('select', {number: Number(tile.dataset.number)});
});"""
SCROLL = "() => document.getElementById('compare-photo')?.scrollIntoView({behavior: 'smooth'})"


def add_over_folders(models: Sequence[Model]) -> None:
    """Build the stored comparisons over folders here, or the command that makes one."""
    if len(models) < 2:
        return
    gr.HTML(OVER_FOLDERS, elem_classes="compare-title")
    gr.HTML(
        over_folders(stored_comparisons(models)) or status(_how(models)), elem_id="over-folders"
    )


def _how(models: Sequence[Model]) -> str:
    names = " ".join(model.name for model in models)
    return (
        "Who is right, who agrees with whom, and where they look: maskexplain compare --data DIR "
        f"--models {names} --store measures it over a folder and shows it here."
    )


def add_disagreements(
    models: Sequence[Model], split: SplitAnswers | None, photo: gr.Image, visit: gr.State
) -> None:
    """Build and wire them here; a clicked picture goes to `photo`, and `visit` says where from."""
    gr.HTML(TITLE, elem_classes="compare-title")
    answering = split.models if split else models
    names = sorted({model.name for model in answering}, key=by_number)
    if split is None or len(names) < 2:
        gr.HTML(status(WITHOUT if split is None else ONE_VERSION), elem_id="disagreements-notice")
        return
    part = _layout(names)
    _wire(split, part)
    _wire_click(split, part, photo, visit)


@dataclass(frozen=True)
class _Part:
    first: gr.Radio
    second: gr.Radio
    unaugmented: gr.Checkbox
    find: gr.Button
    notice: gr.HTML
    counts: gr.HTML
    kind: gr.Dropdown
    page: gr.Radio
    pictures: gr.HTML

    @property
    def controls(self) -> list[gr.components.Component]:
        """What is selection."""
        return [self.first, self.second, self.kind, self.unaugmented, self.page]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an answer changes."""
        return [self.notice, self.counts, self.kind, self.page, self.pictures]


def _layout(names: Sequence[str]) -> _Part:
    with gr.Row(elem_id="disagreements"):
        first = gr.Radio(names, value=names[-2], label="This version", elem_id="first-version")
        second = gr.Radio(names, value=names[-1], label="and this one", elem_id="second-version")
        unaugmented = gr.Checkbox(
            label="Only pictures as taken, no made copies", elem_id="unaugmented"
        )
    find = gr.Button("Find disagreements", variant="primary", elem_id="find-disagreements")
    notice = gr.HTML(status(FIRST), elem_id="disagreements-notice")
    counts = gr.HTML(elem_id="disagreements-counts")
    kind = gr.Dropdown([], label="Which of them?", visible=False, elem_id="disagreements-kind")
    pictures = gr.HTML(js_on_load=CLICKED, elem_id="disagreements-pictures")
    page = gr.Radio([], label="Pictures", visible=False, elem_id="disagreements-page")
    return _Part(first, second, unaugmented, find, notice, counts, kind, page, pictures)


def _wire(split: SplitAnswers, part: _Part) -> None:
    def find(first, second, kind, unaugmented, page, progress=PROGRESS):
        try:
            for done in split.advance():
                progress((done, len(split.pictures)), desc="Answering the test pictures")
            selection = Selection(first, second, kind or ALL, unaugmented, page or 0)
            return _updates(part, disagreements_of(split, selection))
        except DataError as error:
            print(f"app.py: {error}", file=sys.stderr)
            return _updates(part, Disagreements(UNREADABLE))

    def again(*selection):
        """Once they are found, every change shows others; before that it waits for the button."""
        return find(*selection) if split.complete else {part.notice: status(FIRST)}

    def from_the_start(first, second, kind, unaugmented, _page):
        return again(first, second, kind, unaugmented, 0)

    # Apart from the photos' answers: a search must not keep them waiting.
    search = {"concurrency_id": "disagreements", "concurrency_limit": 2}
    # One place for the bar.
    search |= {"show_progress_on": part.notice}
    part.find.click(find, part.controls, part.outputs, **search)
    for control in (part.first, part.second, part.kind, part.unaugmented):
        control.input(from_the_start, part.controls, part.outputs, **search)
    part.page.input(again, part.controls, part.outputs, **search)


def _wire_click(split: SplitAnswers, part: _Part, photo: gr.Image, visit: gr.State) -> None:
    def pick(event: gr.EventData, visit: Visit):
        found = picked(split, getattr(event, "number", None))
        if found is None:
            return gr.skip(), gr.skip()
        image, given = found
        return image, replace(visit, given=given)

    picking = part.pictures.select(pick, visit, [photo, visit], show_progress="hidden")
    picking.then(None, js=SCROLL)


def _updates(part: _Part, view: Disagreements) -> dict:
    pages = [(name, index) for index, name in enumerate(view.pages)]
    several = len(pages) > 1
    return {
        part.notice: status(view.notice),
        part.counts: view.counts,
        part.kind: gr.Dropdown(list(view.kinds), value=view.kind, visible=len(view.kinds) > 1),
        part.page: gr.Radio(pages, value=view.page if pages else None, visible=several),
        part.pictures: view.pictures,
    }
