"""Several photos at once: a row of answers each, and a click that opens one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from PIL import Image

from ...images.crops import NoFaceError
from ...images.pool import read_apart
from ...images.read import ImageError
from ...models.version import Model, Prediction
from ..answers import newest_first
from ..assets import macros
from ..faces import look
from ..gradio_inside import event_number, is_upload
from ..parts import Newest, status, while_newest

MOST = 100  # photos at once
TOO_MANY = "The first {} of {} photos are answered. The command line takes any number."
GONE = "This photo is no longer there: give it again."
_MACROS = macros("many")


@dataclass(frozen=True)
class Row:
    """One file: its name, the newest version's answers to its faces, or why there are none."""

    name: str
    answers: tuple[Prediction, ...] = ()
    trouble: str = ""


def answer_files(models: Sequence[Model], files: Sequence[Path]) -> Iterator[tuple[Row, ...]]:
    """The rows so far, whenever there is one more."""
    lead, rows = newest_first(models)[0], []
    for file in files[:MOST]:
        rows.append(_row(lead, file))
        yield tuple(rows)


def _row(model: Model, file: Path) -> Row:
    try:
        scene = look([model], read_apart(file))
        return Row(file.name, scene.answers[model.name])
    except (ImageError, NoFaceError) as error:
        return Row(file.name, trouble=str(error))


def many_html(models: Sequence[Model], rows: Sequence[Row], total: int) -> str:
    """The rows as a table whose buttons open a photo; `total` files were given."""
    lead = newest_first(models)[0]
    shown = min(total, MOST)
    note = TOO_MANY.format(MOST, total) if total > MOST else ""
    return _MACROS.table(lead.task, lead.name, rows, shown, note)


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
            return gr.skip(), status(GONE)
        return image, gr.skip()

    quiet = {"concurrency_id": "answers", "show_progress": "minimal", "trigger_mode": "multiple"}
    many.files.change(answer, many.files, many.table, **quiet)
    many.table.click(open_one, many.files, [photo, many.table], **quiet)


def _uploaded(files: list[str] | None, component: gr.File) -> list[Path]:
    """The given files, of those that lie in the folder of uploads: a stranger may name others."""
    return [Path(file).resolve() for file in files or [] if is_upload(file, component)]
