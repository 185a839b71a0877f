"""The versions side by side as HTML: a column a version, a row for each thing to compare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from ..explaining.draw import data_url, overlay
from ..explaining.figure import question_of
from ..explaining.report import Report
from ..explaining.track_record import track_record
from ..explaining.variants import is_best
from ..networks.answer import Prediction
from ..networks.transforms import to_pixels
from ..pictures.light import FAINTEST
from ..views.answer_html import bars, pill, unsure_badge
from .disagree import Comparison, headline, why_it_matters

WAITING = '<p class="waiting">on its way</p>'
SIDE = 256  # of a picture in the table, in pixels


@dataclass(frozen=True)
class _Row:
    title: str
    hint: str
    cell: Callable[[int], str]  # the HTML for version number i


def compared(crop: Image.Image, comparison: Comparison, reports: Sequence[Report]) -> str:
    """What the versions say to an RGB crop, row by row; heatmaps that are not ready are said so."""
    rows = [
        _Row("Answer", "", lambda i: _first_answer(reports[i])),
        _Row("How sure", "probability of each class", lambda i: bars(reports[i].answer.prediction)),
        _Row("The face", "as the network is given it", lambda i: _given(crop, reports[i])),
        _Row("Where it looked", _question(reports), lambda i: _map(crop, reports[i])),
        _Row("Is that map true?", "tested on this face", lambda i: _verdict(reports[i])),
        _other_light(comparison),
        _Row("In dim light", "measured on test faces", lambda i: _dim(reports[i].model.results)),
        _Row(
            "This way to explain",
            "on how many test faces it beats chance",
            lambda i: _record(reports[i]),
        ),
    ]
    names = [escape(report.model.name) for report in reports]
    head = "".join(f'<div role="columnheader">{name}</div>' for name in names)
    body = "".join(_row(row, names) for row in rows)
    return f"""
<div class="compare-scroll" tabindex="0" role="region" aria-label="The versions side by side">
<div class="compare" role="table" aria-label="The versions side by side"
  style="--versions:{len(names)}">
<div role="row" class="versions"><div role="columnheader" class="corner">Version</div>{head}</div>
{body}</div></div>"""


def _row(row: _Row, names: Sequence[str]) -> str:
    hint = f" <small>{row.hint}</small>" if row.hint else ""
    cells = "".join(f'<div role="cell">{row.cell(i)}</div>' for i in range(len(names)))
    return f'<div role="row"><div role="rowheader">{row.title}{hint}</div>{cells}</div>'


def said(comparison: Comparison, given: str = "") -> str:
    """Where the versions disagree and why that matters; `given` says whose picture it is."""
    about = f'<p class="given">{escape(given)}</p>' if given else ""
    kind = "agree" if comparison.agree else "disagree"
    points = "".join(f"<li>{escape(line)}</li>" for line in why_it_matters(comparison))
    return f"""
<section class="said {kind}" aria-label="Where they disagree">{about}
<p class="headline">{escape(headline(comparison))}</p><ul>{points}</ul></section>"""


def _answer(answer: Prediction, remark: str) -> str:
    return f'{pill(answer.label)} <span class="percent">{answer.confidence:.1%}</span>{remark}'


def _first_answer(report: Report) -> str:
    answer = report.answer.prediction
    return _answer(answer, unsure_badge(report.model, answer))


def _given(crop: Image.Image, report: Report) -> str:
    name, size = escape(report.model.name), report.model.network.transform.size
    pixels = to_pixels(crop, size).permute(1, 2, 0).numpy()
    url = data_url(Image.fromarray(pixels), "png")
    return (
        f'<img class="given" src="{url}" alt="The face as {name} is given it">'
        f"<small>{size} x {size} pixels</small>"
    )


def _question(reports: Sequence[Report]) -> str:
    asked = {question_of(e) for report in reports for e in report.answer.explanations}
    if len(asked) == 1:
        return escape(asked.pop())
    return "why it answers so: the lighter, the more"


def _map(crop: Image.Image, report: Report) -> str:
    if not report.ways:
        return WAITING
    way, explanation = report.ways[0], report.answer.explanations[0]
    name = escape(report.model.name)
    alt = escape(f"{way.title} of {report.model.name}, {question_of(explanation)}, over the face")
    return (
        f'<img src="{data_url(overlay(crop, explanation, SIDE), "webp")}" alt="{alt}">'
        f"<small>{escape(way.title)}{_earned(report, name)}</small>"
    )


def _earned(report: Report, name: str) -> str:
    return f", best for {name}" if is_best(report.model, report.ways[0]) else ""


def _verdict(report: Report) -> str:
    if not report.verdicts:
        return WAITING
    verdict = report.verdicts[0]
    return (
        f'<details><summary class="verdict {verdict.key}">{escape(verdict.title)}</summary>'
        f"<p>{escape(verdict.sentence)}</p></details>"
    )


def _other_light(comparison: Comparison) -> _Row:
    up = comparison.dark
    title = "With the light turned up" if up else "With the light turned down"
    bright = "as bright as usual" if comparison.brightness >= FAINTEST else "as far as it goes"
    hint = f"this face, {bright}" if up else "this face, to 35%"
    changed = comparison.changed

    def cell(i: int) -> str:
        answer = comparison.in_other_light[i]
        remark = ' <span class="changed">changes</span>' if i in changed else ""
        return _answer(answer, remark + unsure_badge(comparison.models[i], answer))

    return _Row(title, hint, cell)


def _dim(results: dict) -> str:
    shifts = results.get("shifts", {})
    if not {"unaugmented", "dark_35"} <= set(shifts):
        return "never measured"
    taken, dark = (shifts[key] for key in ("unaugmented", "dark_35"))
    return (
        f'<span class="figures">{taken["balanced_accuracy"]:.2f} → '
        f"<strong>{dark['balanced_accuracy']:.2f}</strong></span> "
        f"<small>balanced accuracy, {dark['pictures']} faces as taken, then at 35% light</small>"
    )


def _record(report: Report) -> str:
    if not report.ways:
        return WAITING
    record = track_record(report.model, report.ways[0])
    if record is None:
        return "never measured"
    return (
        f'<span class="figures">{record.right} of {record.faces}</span> '
        f"<small>in dim light {record.dim_right} of {record.dim_faces}</small>"
    )
