"""The Photo tab's components and wiring: what is asked of a photo, and where the answers go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from PIL import Image

from ...explain.explain import BEST, FIRST_WAYS, Question
from ...images.crops import NoFaceError
from ...images.pool import read_apart
from ...images.read import ImageError
from ...masks.task import is_mask
from ...models.version import Model, Prediction
from ..assets import asset, macros
from ..faces import (
    FaceControls,
    Photo,
    PhotoParts,
    PhotoQuestions,
    face_number,
    face_updates,
    look,
    stage_picture,
    turn_button,
    whole_box,
)
from ..gradio_inside import event_number, is_upload
from ..parts import (
    FORGET_AFTER,
    Examples,
    Newest,
    newest_first,
    photo_input,
    status,
    target_choices,
    way_choices,
    while_newest,
)
from .html import arrival_html
from .view import Kept, PhotoView, hidden_html, photo_views, photo_zip, second_html

START = "Give a photo, or click an example."


def add_photo_tab(models: Sequence[Model], examples: Examples) -> gr.Image:
    """Build and wire the tab's contents; the result is its photo, for others to give one to."""
    tab = _layout(models, examples)
    _Wiring(models, tab).wire()
    return tab.photo


@dataclass(frozen=True)
class _PhotoTab:
    photo: gr.Image
    faces: FaceControls
    target: gr.Radio
    against: gr.Radio
    ways: gr.CheckboxGroup
    signed: gr.Checkbox
    more: gr.Accordion
    notice: gr.HTML
    lead: gr.HTML
    heat: gr.HTML
    tested: gr.HTML
    ask_second: gr.Button
    second: gr.HTML
    maps: gr.HTML
    others: gr.HTML
    brush: gr.HTML
    hidden: gr.HTML
    save: gr.Button
    zipped: gr.HTML
    kept: gr.State

    @property
    def parts(self) -> PhotoParts:
        """What its questions are asked by."""
        return PhotoParts(
            self.photo,
            self.faces,
            self.kept,
            [self.target, self.against, self.ways, self.signed],
            self.outputs,
            self.heat,
            self.save,
            self.zipped,
        )

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an answer changes."""
        parts = [self.lead, self.heat, self.tested, self.maps, self.others]
        return [
            self.notice,
            *self.faces.outputs,
            *parts,
            self.brush,
            self.hidden,
            self.second,
            self.zipped,
            self.kept,
        ]


def _layout(models: Sequence[Model], examples: Examples) -> _PhotoTab:
    arrival = arrival_html(models) if any(is_mask(m.task) for m in models) else asset("start.html")
    with gr.Row(elem_classes="asked-and-answered"):
        with gr.Column(elem_classes="scene"):
            turn = turn_button("photo")
            stage = stage_picture("photo")
            face = face_number("photo")
        with gr.Column(elem_classes="give"):
            photo = photo_input("photo", examples)
            whole = whole_box("photo", models)
            many = many_photos()
        with gr.Column(elem_classes="answered", elem_id="photo-answer"):
            notice = gr.HTML(status(START), elem_id="notice")
            with gr.Column(elem_classes="parts"):
                lead = gr.HTML(arrival, elem_id="lead")
                heat = gr.HTML(elem_id="heat")
            folds = _folds(models)
    wire_many(models, many, photo)
    return _PhotoTab(
        photo=photo,
        faces=FaceControls(whole, stage, face, turn),
        notice=notice,
        lead=lead,
        heat=heat,
        kept=gr.State(time_to_live=FORGET_AFTER),
        **folds,
    )


def _folds(models: Sequence[Model]) -> dict[str, gr.blocks.Block]:
    """What a visitor may open below the answer."""
    with gr.Column(elem_classes="folds"):
        with gr.Accordion("Check it yourself: hide a place", open=False, elem_id="check"):
            brush = gr.HTML(
                "",
                html_template=asset("brush.html"),
                js_on_load="startBrush(element, props, trigger, watch);",
                face="",
                elem_id="brush",
            )
            hidden = gr.HTML(elem_id="hidden")
        with gr.Accordion("How this map was tested", open=False, elem_id="tested"):
            tested = gr.HTML()
            ask_second = gr.Button(
                "Test it in a second way (takes seconds)", size="sm", elem_id="ask-second"
            )
            second = gr.HTML(elem_id="second")
        others_title = "The other versions, and why they differ"
        with gr.Accordion(
            others_title, open=False, visible=len(models) > 1, elem_id="other-versions"
        ):
            others = gr.HTML(elem_id="others")
        with gr.Accordion("Other explanations", open=False, elem_id="more") as more:
            target, against, ways, signed = _questions(models)
            maps = gr.HTML(elem_id="maps")
        save = gr.Button("Download everything (zip)", elem_id="save")
        zipped = gr.HTML(elem_id="zip")
    found = {"brush": brush, "hidden": hidden, "tested": tested, "others": others, "more": more}
    found |= {"ask_second": ask_second, "second": second}
    asked = {"target": target, "against": against, "ways": ways, "signed": signed}
    return {**found, **asked, "maps": maps, "save": save, "zipped": zipped}


def _questions(
    models: Sequence[Model],
) -> tuple[gr.Radio, gr.Radio, gr.CheckboxGroup, gr.Checkbox]:
    classes = target_choices(models, "What each version answers")
    target = gr.Radio(classes, value="", label="Explain which class?", elem_id="target")
    others = target_choices(models, "no other class")
    against = gr.Radio(others, value="", label="Why that class and not …?", elem_id="against")
    ways = gr.CheckboxGroup(way_choices(), value=[BEST], label="Ways to explain", elem_id="ways")
    signed = gr.Checkbox(label="Show what speaks against it, too", elem_id="signed")
    return target, against, ways, signed


class _Wiring:
    """The tab's events: plain handlers' results laid on its components."""

    def __init__(self, models: Sequence[Model], tab: _PhotoTab) -> None:
        self.models, self.tab = models, tab
        self.questions = PhotoQuestions(tab.parts, self.answer, self.zip_of, "explanation.zip")
        self.arrival = tab.lead.value

    def wire(self) -> None:
        """Every control to its handler."""
        tab, questions = self.tab, self.questions
        questions.wire()
        tab.more.expand(
            self.open_more, questions.inputs, [tab.ways, *tab.outputs], **questions.progress
        )
        tab.brush.input(
            self.hide,
            [tab.brush, tab.kept],
            tab.hidden,
            show_progress="hidden",
            concurrency_id="brush",
            trigger_mode="always_last",
        )

        tab.ask_second.click(
            self.second_opinion,
            [tab.kept, tab.ways],
            tab.second,
            show_progress="minimal",
            concurrency_id="answers",
        )

    def answer(self, image: Photo, whole, chosen, kept, *asked) -> Iterator[dict]:
        """What there is of the answer, whenever there is more of it."""
        question, signed = _question(*asked)
        views = photo_views(self.models, image, whole, chosen, question, signed, kept)
        return (self._updates(view, kept) for view in views)

    def open_more(self, request: gr.Request, moment, image: Photo, whole, chosen, kept, *asked):
        """The other explanations are opened: the usual ones are computed now, not before."""
        target, against, ways, signed = asked
        ways = list(FIRST_WAYS) if list(ways) == [BEST] else ways
        yield {self.tab.ways: ways}
        if kept is not None:
            asked = (target, against, ways, signed)
            yield from self.questions.show(request, moment, image, whole, chosen, kept, *asked)

    def hide(self, strokes: str | None, kept: Kept | None):
        """Places are painted over, or shown again."""
        return hidden_html(self.models, kept, strokes or "")

    def second_opinion(self, request: gr.Request, kept: Kept | None, ways: Sequence[str]):
        """The first map is put to another test, unless another question has begun meanwhile."""
        still = self.questions.newest.still(request.session_hash)
        html = second_html(self.models, kept, ways)
        return html if still() else gr.skip()

    def zip_of(self, image: Photo, whole, chosen, kept, *asked) -> bytes | None:
        """Everything that is shown."""
        return photo_zip(self.models, image, whole, chosen, _question(*asked)[0], kept)

    def _updates(self, view: PhotoView, before: Kept | None) -> dict:
        tab = self.tab
        started = view.lead or view.choice.notice
        updates = {
            tab.notice: status(view.choice.notice or START, spoken=view.spoken),
            tab.lead: view.lead if started else self.arrival,
            tab.heat: view.heat,
            tab.tested: view.tested,
            tab.maps: view.more,
            tab.others: view.others,
            tab.second: "",
            tab.zipped: "",
            tab.kept: view.kept,
            **face_updates(tab.faces, view.choice),
        }
        same = view.kept is not None and before is not None
        if same and view.kept.scene is before.scene:
            del updates[tab.faces.stage]["value"]  # the same photo is not sent again
        if not same or view.kept is not before:
            face = f"{view.kept.scene.key} {view.kept.asked}" if view.kept else ""
            updates |= {tab.hidden: "", tab.brush: gr.update(value="", face=face)}
        return updates


def _question(
    target: str, against: str, ways: Sequence[str], signed: bool
) -> tuple[Question, bool]:
    """What the controls say, and whether to show what speaks against a class."""
    return Question(target or None, against or None, tuple(ways) or (BEST,)), signed


# --- several photos: a row of answers each, and a click that opens one

MOST = 100  # photos at once
TOO_MANY = "The first {} of {} photos are answered. The command line takes any number."
NOT_THERE = "This photo is no longer there: give it again."
_MANY = macros("many")


@dataclass(frozen=True)
class PhotoRow:
    """One file: its name, the newest version's answers to its faces, or why there are none."""

    name: str
    answers: tuple[Prediction, ...] = ()
    trouble: str = ""


def answer_files(models: Sequence[Model], files: Sequence[Path]) -> Iterator[tuple[PhotoRow, ...]]:
    """The rows so far, whenever there is one more."""
    lead, rows = newest_first(models)[0], []
    for file in files[:MOST]:
        rows.append(_row(lead, file))
        yield tuple(rows)


def _row(model: Model, file: Path) -> PhotoRow:
    try:
        scene = look([model], read_apart(file))
        return PhotoRow(file.name, scene.answers[model.name])
    except (ImageError, NoFaceError) as error:
        return PhotoRow(file.name, trouble=str(error))


def many_html(models: Sequence[Model], rows: Sequence[PhotoRow], total: int) -> str:
    """The rows as a table whose buttons open a photo; `total` files were given."""
    lead = newest_first(models)[0]
    shown = min(total, MOST)
    note = TOO_MANY.format(MOST, total) if total > MOST else ""
    return _MANY.table(lead.task, lead.name, rows, shown, note)


@dataclass(frozen=True)
class ManyPhotos:
    """The fold's components: the files, and the table (its `click` opens a row's photo)."""

    files: gr.File
    table: gr.HTML


def many_photos() -> ManyPhotos:
    """Build them here."""
    with gr.Accordion("Several photos at once", open=False, elem_id="many"):
        files = gr.File(
            label="Photos, or a folder dropped here",
            file_count="multiple",
            type="filepath",
            height=120,
            elem_id="many-files",
        )
        table = gr.HTML(
            js_on_load="startMany(element, trigger);",
            elem_id="many-table",
        )
    return ManyPhotos(files, table)


def wire_many(models: Sequence[Model], many: ManyPhotos, photo: gr.Image) -> None:
    """Files are answered one by one; a click gives one to the Photo tab's input."""
    newest = Newest()

    def answer(request: gr.Request, files: list[str] | None) -> Iterator[dict]:
        is_newest = newest.begin(request.session_hash)
        paths = _uploaded(files, many.files)
        if not paths:
            yield {many.table: ""}
        tables = (
            {many.table: many_html(models, r, len(paths))} for r in answer_files(models, paths)
        )
        yield from while_newest(tables, is_newest, [many.table])

    def open_one(event: gr.EventData, files: list[str] | None):
        paths, index = _uploaded(files, many.files), event_number(event, "row")
        if index is None or not index < len(paths):
            return gr.skip(), gr.skip()
        try:
            image: Image.Image = read_apart(paths[index])
        except ImageError:
            return gr.skip(), status(NOT_THERE)
        return image, gr.skip()

    quiet = {"concurrency_id": "answers", "show_progress": "minimal", "trigger_mode": "multiple"}
    asking = many.files.change(answer, many.files, many.table, **quiet)
    # Nobody waits for the other rows: they must not be answered until there is room for the change.
    many.files.clear(None, cancels=asking)
    many.table.click(open_one, many.files, [photo, many.table], **quiet)


def _uploaded(files: list[str] | None, component: gr.File) -> list[Path]:
    """The given files, of those that lie in the folder of uploads: a stranger may name others."""
    return [Path(file).resolve() for file in files or [] if is_upload(file, component)]
