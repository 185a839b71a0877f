"""What is known of each version beyond the tables, as HTML: failures, confusions, reliability."""

from collections.abc import Sequence
from html import escape

from ..explaining.draw import CLASS_TITLES
from ..measuring.failures import known_failures
from ..measuring.tables import is_measured
from ..networks.answer import MaskModel
from ..networks.model import CLASSES
from .reliability_svg import reliability_svg


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
