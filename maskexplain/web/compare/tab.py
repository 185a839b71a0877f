"""The Compare tab: every version side by side on one picture, and where they disagree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from markupsafe import Markup

from ...explain.explain import BEST, Question
from ...models.version import Model
from ...results.compare import stored_comparisons
from ..faces import (
    FaceControls,
    Photo,
    PhotoParts,
    PhotoQuestions,
    face_number,
    face_updates,
    stage_picture,
    turn_button,
    whole_box,
)
from ..parts import FORGET_AFTER, Examples, photo_input, status, target_choices, way_choices
from ..photo.view import photo_zip
from .split import SplitAnswers, add_disagreements
from .view import CompareView, Visit, compare_views, given_of, on_opening, over_folders

START = "Give a photo, or click an example: all versions answer it side by side."
OVER_FOLDERS = "<h2>The versions over a folder of pictures</h2>"
EXAMPLE = "striped_dim"  # its versions disagree


def add_compare_tab(
    models: Sequence[Model],
    examples: Examples,
    opened: gr.Tab,
    photo: gr.Image,
    split: SplitAnswers | None = None,
) -> gr.Image:
    """Build and wire the tab's contents; the result is its photo, for others to give one to.

    When `opened` is, the picture of `photo` (the Photo tab's) is taken over. `split`: the test
    pictures, where a data folder was given.
    """
    tab = _layout(models, examples)
    _wire(models, tab)
    _wire_opening(tab, opened, photo, _example(examples))
    _add_over_folders(models)
    add_disagreements(models, split, tab.photo, tab.visit)
    return tab.photo


@dataclass(frozen=True)
class _CompareTab:
    photo: gr.Image
    visit: gr.State
    faces: FaceControls
    way: gr.Radio
    target: gr.Radio
    notice: gr.HTML
    said: gr.HTML
    table: gr.HTML
    save: gr.Button
    zipped: gr.HTML
    kept: gr.State

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an answer changes."""
        shown = [self.notice, self.said, self.table, self.zipped]
        return [*shown, *self.faces.outputs, self.kept]

    @property
    def parts(self) -> PhotoParts:
        """What its questions are asked by."""
        return PhotoParts(
            self.photo,
            self.faces,
            self.kept,
            [self.visit, self.way, self.target],
            self.outputs,
            self.table,
            self.save,
            self.zipped,
        )


def _layout(models: Sequence[Model], examples: Examples) -> _CompareTab:
    visit = gr.State(Visit())
    with gr.Row(elem_classes="given-and-compared"):
        with gr.Column():
            photo = photo_input("compare-photo", examples)
            faces = FaceControls(
                whole_box("compare", models),
                stage_picture("compare"),
                face_number("compare"),
                turn_button("compare"),
            )
            way, target = _questions(models)
        with gr.Column():
            notice = gr.HTML(status(START), elem_id="compare-notice")
            said = gr.HTML(elem_id="compare-said")
            table = gr.HTML(elem_id="compare-table")
            save = gr.Button("Download the comparison (zip)", size="sm", elem_id="compare-save")
            zipped = gr.HTML(elem_id="compare-zip")
    kept = gr.State(time_to_live=FORGET_AFTER)
    return _CompareTab(photo, visit, faces, way, target, notice, said, table, save, zipped, kept)


def _questions(models: Sequence[Model]) -> tuple[gr.Radio, gr.Radio]:
    with gr.Accordion("Explain in another way, or another class", open=False, elem_id="other"):
        ways = way_choices()
        way = gr.Radio(ways, value=BEST, label="Explain in which way?", elem_id="compare-way")
        classes = target_choices(models, "What each version answers")
        target = gr.Radio(classes, value="", label="Explain which class?", elem_id="compare-target")
    return way, target


def _example(examples: Examples) -> Path | None:
    return next((path for path, _ in examples if path.stem.startswith(EXAMPLE)), None)


def _wire(models: Sequence[Model], tab: _CompareTab) -> None:
    def answer(image: Photo, whole, chosen, kept, visit, way, target) -> Iterator[dict]:
        given = given_of(visit.given, image)
        caption, question = given.caption if given else "", _question(way, target)
        views = compare_views(models, image, whole, chosen, question, caption, kept)
        return (_updates(tab, view) for view in views)

    def zip_of(image: Photo, whole, chosen, kept, _visit, way, target) -> bytes | None:
        return photo_zip(models, image, whole, chosen, _question(way, target), kept)

    def is_whole(image: Photo, visit, *_) -> bool:
        given = given_of(visit.given, image)
        return bool(given and given.whole)

    PhotoQuestions(tab.parts, answer, zip_of, "comparison.zip", is_whole).wire()


def _wire_opening(tab: _CompareTab, opened: gr.Tab, photo: gr.Image, example: Path | None) -> None:
    def take(image, visit):
        taken = on_opening(image, visit, example)
        return taken or (gr.skip(), gr.skip())

    opened.select(take, [photo, tab.visit], [tab.photo, tab.visit], show_progress="hidden")


def _question(way: str, target: str) -> Question:
    """What the controls say."""
    return Question(target or None, None, (way,))


def _updates(tab: _CompareTab, view: CompareView) -> dict:
    return {
        tab.notice: status(view.choice.notice or START),
        tab.said: view.said,
        tab.table: view.table,
        tab.zipped: "",
        tab.kept: view.kept,
        **face_updates(tab.faces, view.choice),
    }


def _add_over_folders(models: Sequence[Model]) -> None:
    """Build the stored comparisons over folders here, or the command that makes one."""
    if len(models) < 2:
        return
    gr.HTML(OVER_FOLDERS, elem_classes="compare-title")
    gr.HTML(over_folders(stored_comparisons(models)) or _how(models), elem_id="over-folders")


def _how(models: Sequence[Model]) -> str:
    names = " ".join(model.name for model in models)
    return Markup(
        "<p>Who is right, who agrees, and where they look, over a whole folder: whoever serves "
        "this page can measure it. <code>maskexplain compare --data DIR --models {} --store</code>"
        "</p>"
    ).format(names)
