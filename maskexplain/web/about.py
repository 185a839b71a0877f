"""The tab About the models: what was measured, what the data is, the API by example."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from ..explain.draw import CLASS_TITLES
from ..explain.variants import measured_explanations
from ..models.network import CLASSES
from ..models.version import MaskModel
from ..results.sentences import known_failures
from ..results.tables import (
    EXPLANATION_COLUMNS,
    SHIFT_TITLES,
    explanation_rows,
    found_on_street,
    is_measured,
    shifted,
)
from .assets import asset
from .charts import reliability_svg


def results_table(models: Sequence[MaskModel]) -> str:
    """What was measured of each version, as an HTML table."""
    rows = "".join(_results_row(m) for m in models if is_measured(m.results))
    shifts = "".join(f"<th>{title}</th>" for title in SHIFT_TITLES.values())
    recalls = "".join(f"<th>{CLASS_TITLES[name]}</th>" for name in CLASSES)
    return f"""
<div class="scroll" tabindex="0" role="region" aria-label="Measured results"><table>
<caption>Test split. Recall with its 95% interval and counts; shifted columns: balanced accuracy
on the same un-augmented faces; street: on the faces that the program itself finds on street photos
of val and test.</caption>
<thead><tr><th>Version</th><th>Balanced accuracy</th>{recalls}{shifts}<th>Street</th></tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _results_row(model: MaskModel) -> str:
    recalls = "".join(_recall_cell(model.results["per_class"][name]) for name in CLASSES)
    shifts = "".join(f"<td>{shifted(model.results, key)}</td>" for key in SHIFT_TITLES)
    overall = f"<td>{model.results['balanced_accuracy']:.3f}</td>"
    street = f"<td>{found_on_street(model.results)}</td>"
    return f"<tr><th>{escape(model.name)}</th>{overall}{recalls}{shifts}{street}</tr>"


def _recall_cell(recall: dict) -> str:
    low, high = recall["interval"]
    return (
        f"<td>{recall['recall']:.3f} <small>{low:.2f}–{high:.2f}, "
        f"{recall['right']}/{recall['total']}</small></td>"
    )


def explanations_table(models: Sequence[MaskModel]) -> str:
    """How often each way to explain was right about each version; each one's default is bold."""
    measured = {m.name: measured_explanations(m.results) for m in models}
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in EXPLANATION_COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_bold(cell)}</td>" for cell in row) + "</tr>"
        for name, scores in measured.items()
        if scores
        for row in explanation_rows(name, scores)
    )
    return f"""
<div class="scroll" tabindex="0" role="region" aria-label="Measured explanations"><table>
<caption>Each version’s best way is bold.</caption>
<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _bold(cell: str) -> str:
    text = escape(cell)
    return f"<b>{text[2:-2]}</b>" if text.startswith("**") else text


def version_details(models: Sequence[MaskModel]) -> str:
    """A column a measured version: known failures, confusion matrices, reliability."""
    columns = "".join(_details(model) for model in models if is_measured(model.results))
    return f'<div class="versions">{columns}</div>'


def _details(model: MaskModel) -> str:
    name, results = escape(model.name), model.results
    failures = "".join(f"<li>{escape(sentence)}</li>" for sentence in known_failures(results))
    dark = results["shifts"]["dark_35"]["confusion_matrix"]
    return f"""
<section class="card" aria-label="Measured of {name}">
  <h3>{name}</h3>
  <h4>Known failures</h4><ul>{failures}</ul>
  <h4>Confusion on test</h4>{_confusion(results["confusion_matrix"], "all test faces")}
  <h4>Confusion in dim light</h4>{_confusion(dark, "un-augmented test faces at 35% light")}
  <h4>When it says it is sure</h4>{_calibration(name, results)}
</section>"""


def _confusion(counts: list[list[int]], faces: str) -> str:
    """Rows true, columns answered; shaded by the row's share."""
    head = "".join(f'<th scope="col">{CLASS_TITLES[name]}</th>' for name in CLASSES)
    rows = "".join(
        f'<tr><th scope="row">{CLASS_TITLES[name]}</th>{_counts(row, index)}</tr>'
        for index, (name, row) in enumerate(zip(CLASSES, counts, strict=True))
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


def _calibration(name: str, results: dict) -> str:
    calibration = results.get("calibration")
    if not calibration:
        return "<p>Never measured.</p>"
    error = (
        f"Expected calibration error {calibration['error']:.3f}; its logits are divided by a "
        f"temperature of {calibration['temperature']:.2f}."
        if calibration["temperature"] != 1
        else f"Expected calibration error {calibration['error']:.3f}, as trained."
    )
    return f"{reliability_svg(calibration, name)}<p>{error} {_unsure(results)}</p>"


def _unsure(results: dict) -> str:
    sure = results.get("sure") if results.get("unsure") else None
    if not sure:
        return ""
    return (
        f"Below {sure['threshold']:.1%} it counts as unsure: {sure['coverage']:.0%} of the test "
        f"faces lie above, and {sure['accuracy']:.1%} of those are answered right; of the others "
        f"{sure['accuracy_below']:.0%}."
    )


def add_about_tab(models: Sequence[MaskModel]) -> None:
    """Build the tab's contents."""
    gr.HTML(asset("about.html"))
    gr.HTML(results_table(models))
    gr.HTML(version_details(models), padding=False)
    gr.HTML(asset("explanations.html"))
    gr.HTML(explanations_table(models))
    gr.HTML(asset("data.html"))
    gr.HTML(asset("api.html"))
