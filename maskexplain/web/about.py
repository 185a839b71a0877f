"""The tab About the models: what was measured, what the data is, the API by example."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

from ..explain.ways import default_way
from ..models.results import Recall, Results
from ..models.version import Model
from ..results.sentences import good_and_bad, heatmap_honesty, known_failures
from ..results.tables import (
    EXPLANATION_COLUMNS,
    SHIFT_TITLES,
    explanation_rows,
    found_on_street,
    on_other,
    other_folders,
    shifted,
)
from ..task import Task
from .answers import newest_first
from .assets import asset, macros
from .charts import reliability_svg
from .mean_maps import MeanPicture, mean_maps
from .photo.html import standing


def measured_of(models: Sequence[Model]) -> list[Model]:
    """The versions that were measured."""
    return [model for model in models if model.results.measured]


def results_tables(models: Sequence[Model]) -> str:
    """What was measured of each version, as an HTML table a task."""
    tasks = dict.fromkeys(model.task for model in measured_of(models))
    return "".join(_results_table([m for m in models if m.task == task], task) for task in tasks)


def _results_table(models: Sequence[Model], task: Task) -> str:
    shifts = "".join(f"<th>{title}</th>" for title in SHIFT_TITLES.values())
    recalls = "".join(f"<th>{escape(one.title)}</th>" for one in task.classes)
    others = other_folders(models)
    rows = "".join(_results_row(m, others) for m in measured_of(models))
    folders = "".join(f"<th>Folder {escape(name)}</th>" for name in others)
    return f"""
<div class="scroll" tabindex="0" role="region" aria-label="Measured results"><table>
<caption>Test split. Recall with its 95% interval and counts; shifted columns: balanced accuracy
on the same un-augmented faces; street: on the faces that the program itself finds on street photos
of val and test; folder: a further data folder, each photo counted once.</caption>
<thead><tr><th>Version</th><th>Balanced accuracy</th>{recalls}{shifts}<th>Street</th>{folders}</tr>
</thead>
<tbody>{rows}</tbody></table></div>"""


def _results_row(model: Model, others: Sequence[str]) -> str:
    results = model.results
    per_class = results.per_class or {}
    recalls = "".join(_recall_cell(per_class.get(name)) for name in model.task.names)
    shifts = "".join(f"<td>{shifted(results, key)}</td>" for key in SHIFT_TITLES)
    overall = f"<td>{results.balanced_accuracy:.3f}</td>"
    street = f"<td>{found_on_street(results)}</td>"
    folders = "".join(f"<td>{on_other(results, name)}</td>" for name in others)
    return f"<tr><th>{escape(model.name)}</th>{overall}{recalls}{shifts}{street}{folders}</tr>"


def _recall_cell(recall: Recall | None) -> str:
    if recall is None:
        return "<td>–</td>"
    low, high = recall.interval
    return (
        f"<td>{recall.recall:.3f} <small>{low:.2f}–{high:.2f}, "
        f"{recall.right}/{recall.total}</small></td>"
    )


def explanations_table(models: Sequence[Model]) -> str:
    """What the tests of the heatmaps found, in words and as a table; best ways are bold."""
    found = "".join(f"<p>{escape(sentence)}</p>" for sentence in heatmap_honesty(models))
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in EXPLANATION_COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_bold(cell)}</td>" for cell in row) + "</tr>"
        for model in models
        for row in explanation_rows(model)
    )
    return f"""
<section class="about">{found}</section>
<div class="scroll" tabindex="0" role="region" aria-label="Measured explanations"><table>
<caption>Bold: a version’s best way, where it is clearly better than maps without meaning.</caption>
<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _bold(cell: str) -> str:
    text = escape(cell)
    if text.startswith("**"):
        return f"<b>{text[2:-2]}</b>"
    return f"<i>{text[1:-1]}</i>" if text.startswith("*") else text


def version_details(models: Sequence[Model]) -> str:
    """A column a measured version: known failures, confusion matrices, reliability."""
    return f'<div class="versions">{"".join(map(_details, measured_of(models)))}</div>'


def _details(model: Model) -> str:
    name, results, task = escape(model.name), model.results, model.task
    failures = "".join(f"<li>{escape(sentence)}</li>" for sentence in known_failures(model))
    dark = results.shift("dark_35")
    dimmed = dark.confusion_matrix if dark else []
    return f"""
<section class="card" aria-label="Measured of {name}">
  <h3>{name}</h3>
  <h4>Known failures</h4><ul>{failures}</ul>
  <h4>Confusion on test</h4>{_confusion(task, results.confusion_matrix or [], "all test faces")}
  <h4>Confusion in dim light</h4>{_confusion(task, dimmed, "un-augmented test faces at 35% light")}
  <h4>When it says it is sure</h4>{_calibration(name, task, results)}
</section>"""


def _confusion(task: Task, counts: Sequence[Sequence[int]], faces: str) -> str:
    """Rows true, columns answered; shaded by the row's share."""
    if not counts:
        return "<p>Never measured.</p>"
    head = "".join(f'<th scope="col">{escape(one.title)}</th>' for one in task.classes)
    rows = "".join(
        f'<tr><th scope="row">{escape(one.title)}</th>{_counts(row, index)}</tr>'
        for index, (one, row) in enumerate(zip(task.classes, counts, strict=True))
    )
    return f"""
<table class="confusion"><caption>Rows true, columns answered: {faces}.</caption>
<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"""


def _counts(row: Sequence[int], right: int) -> str:
    total = max(1, sum(row))
    kinds = ["right" if column == right else "wrong" for column in range(len(row))]
    return "".join(
        f'<td class="{kind}" style="--share: {count / total:.3f}">{count}</td>'
        for kind, count in zip(kinds, row, strict=True)
    )


def _calibration(name: str, task: Task, results: Results) -> str:
    calibration = results.calibration
    if calibration is None:
        return "<p>Never measured.</p>"
    made = (
        f"; its logits are divided by a temperature of {calibration.temperature:.2f}."
        if calibration.temperature != 1
        else ", as trained."
    )
    error = f"Expected calibration error {calibration.error:.3f}{made}"
    chart = reliability_svg(calibration, name, len(task))
    return f"{chart}<p>{error} {_unsure(results)}</p>"


def _unsure(results: Results) -> str:
    sure = results.sure if results.unsure else None
    if sure is None:
        return ""
    return (
        f"Below {sure.threshold:.1%} it counts as unsure: {sure.coverage:.0%} of the test "
        f"faces lie above, and {sure.accuracy:.1%} of those are answered right; of the others "
        f"{sure.accuracy_below:.0%}."
    )


# --- for people


_MACROS = macros("about")


@dataclass(frozen=True)
class _Card:
    name: str
    standing: str
    lines: list[str]
    way: str
    faces: int
    maps: list[MeanPicture]


def versions_html(models: Sequence[Model]) -> str:
    """A card a version, the newest first: three lines, and where it looks on the whole."""
    cards = []
    for model in newest_first(models):
        way, maps = default_way(model), mean_maps(model)
        faces = sum(one.faces for one in maps)
        lines = good_and_bad(model)
        cards.append(_Card(model.name, standing(model, models), lines, way.title, faces, maps))
    return _MACROS.versions(cards)


def add_about_tab(models: Sequence[Model]) -> None:
    """Build the tab's contents: for people first, tables folded behind."""
    gr.HTML(versions_html(models), padding=False)
    gr.HTML(asset("about.html"))
    with gr.Accordion("All measured results", open=False, elem_id="all-results"):
        gr.HTML(results_tables(models))
        gr.HTML(version_details(models), padding=False)
    with gr.Accordion("How the heatmaps were tested", open=False, elem_id="all-heatmaps"):
        gr.HTML(asset("explanations.html"))
        gr.HTML(explanations_table(models))
    with gr.Accordion("What the data is", open=False, elem_id="the-data"):
        gr.HTML(asset("data.html"))
    with gr.Accordion("The same answers for programs", open=False, elem_id="for-programs"):
        gr.HTML(asset("api.html"))
