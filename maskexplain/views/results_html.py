"""What was measured of each version, as HTML tables for the page."""

from collections.abc import Sequence
from html import escape

from ..explaining.draw import CLASS_TITLES
from ..explaining.variants import measured_explanations
from ..measuring.tables import (
    EXPLANATION_COLUMNS,
    SHIFT_TITLES,
    explanation_rows,
    found_on_street,
    is_measured,
    shifted,
)
from ..networks.answer import MaskModel
from ..networks.model import CLASSES


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
