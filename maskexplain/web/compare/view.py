"""The Compare tab's handlers: a picture in, a column a version out. Plain, without Gradio."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import islice
from pathlib import Path

from PIL import Image

from ...explain.draw import data_url, overlay
from ...explain.figure import question_of
from ...explain.question import BEST, ExplainError, Question
from ...explain.report import Report, reports, subjects_for
from ...explain.verdicts import track_record
from ...explain.ways import is_best
from ...images.crops import NoFaceError
from ...images.edit import FAINTEST
from ...images.read import ImageError, digest_of, read_image
from ...models.network import to_pixels
from ...models.results import Results
from ...models.version import Model, Prediction
from ..answers import bars, pill, unsure_badge
from ..faces import WHOLE, FaceChoice, choose_face, subject_of
from .disagree import Comparison, compare, headline, why_it_matters

WAITING = '<p class="waiting">on its way</p>'
SIDE = 256  # of a picture in the table, in pixels


@dataclass(frozen=True)
class _Row:
    title: str
    hint: str
    cell: Callable[[int], str]  # the HTML for version number i


def compared(comparison: Comparison, reports: Sequence[Report]) -> str:
    """What the versions say to a picture, row by row; heatmaps that are not ready are said so."""
    rows = [
        _Row("Answer", "", lambda i: _first_answer(reports[i])),
        _Row("How sure", "probability of each class", lambda i: _bars(reports[i])),
        _Row("The face", "as the network is given it", lambda i: _given(reports[i])),
        _Row("Where it looked", _question(reports), lambda i: _map(reports[i])),
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


def _bars(report: Report) -> str:
    return bars(report.model.task, report.answer.prediction)


def _answer(model: Model, answer: Prediction, remark: str) -> str:
    percent = f'<span class="percent">{answer.confidence:.1%}</span>'
    return f"{pill(model.task, answer.label)} {percent}{remark}"


def _first_answer(report: Report) -> str:
    answer = report.answer.prediction
    return _answer(report.model, answer, unsure_badge(report.model, answer))


def _given(report: Report) -> str:
    name, size = escape(report.model.name), report.model.network.transform.size
    pixels = to_pixels(report.crop, size).permute(1, 2, 0).numpy()
    url = data_url(Image.fromarray(pixels), "png")
    return (
        f'<img class="given" src="{url}" alt="The face as {name} is given it">'
        f"<small>{size} x {size} pixels</small>"
    )


def _question(reports: Sequence[Report]) -> str:
    asked = {
        question_of(report.model.task, e) for report in reports for e in report.answer.explanations
    }
    if len(asked) == 1:
        return escape(asked.pop())
    return "why it answers so: the lighter, the more"


def _map(report: Report) -> str:
    if not report.ways:
        return WAITING
    way, explanation = report.ways[0], report.answer.explanations[0]
    name = escape(report.model.name)
    question = question_of(report.model.task, explanation)
    alt = escape(f"{way.title} of {report.model.name}, {question}, over the face")
    return (
        f'<img src="{data_url(overlay(report.crop, explanation, SIDE), "webp")}" alt="{alt}">'
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
        model, answer = comparison.models[i], comparison.in_other_light[i]
        remark = ' <span class="changed">changes</span>' if i in changed else ""
        return _answer(model, answer, remark + unsure_badge(model, answer))

    return _Row(title, hint, cell)


def _dim(results: Results) -> str:
    taken, dark = results.shift("unaugmented"), results.shift("dark_35")
    if taken is None or dark is None:
        return "never measured"
    return (
        f'<span class="figures">{taken.balanced_accuracy:.2f} → '
        f"<strong>{dark.balanced_accuracy:.2f}</strong></span> "
        f"<small>balanced accuracy, {dark.pictures} faces as taken, then at 35% light</small>"
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


USUAL = Question(ways=(BEST,))
EXAMPLE = "An example to start with: a striped mask worn right, in dim light. Now give your own."
FROM_PHOTO = "The picture of the tab Photo."


@dataclass(frozen=True)
class CompareView:
    """What the Compare tab shows: the faces, where the versions disagree and the table (HTML)."""

    choice: FaceChoice = FaceChoice()
    said: str = ""
    table: str = ""


@dataclass(frozen=True)
class Given:
    """A picture that the page itself gave: by its digest, so that none is kept.

    `caption` says where it comes from; `whole`: it is a face crop, to be taken whole.
    """

    digest: str
    caption: str
    whole: bool = False


@dataclass(frozen=True)
class Visit:
    """What one visitor's tab remembers: what it was given, and the digest of the Photo tab's
    picture that it took last (None before it was first opened).
    """

    given: Given | None = None
    taken: str | None = None


def on_opening(
    image: Image.Image | ImageError | None, visit: Visit, example: Path | None
) -> tuple[Image.Image, Visit] | None:
    """The picture that the tab takes when it is opened, and what it then remembers.

    `image` is the Photo tab's picture, taken unless it was already; without one the first opening
    shows the example (its file). None where the tab stays as it is.
    """
    if isinstance(image, Image.Image):
        digest = digest_of(image)
        if digest == visit.taken:
            return None
        return image, Visit(Given(digest, FROM_PHOTO), digest)
    if visit.taken is not None or example is None:
        return None
    shown = read_image(example)
    return shown, Visit(Given(digest_of(shown), EXAMPLE), "")


def given_of(given: Given | None, image: Image.Image | ImageError | None) -> Given | None:
    """`given`, where it is about this very picture."""
    known = given is not None and isinstance(image, Image.Image)
    return given if known and digest_of(image) == given.digest else None


def compare_views(
    models: Sequence[Model],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    question: Question = USUAL,
    caption: str = "",
) -> Iterator[CompareView]:
    """Every version's answer to one face, then their heatmaps; a view whenever there is more.

    Nothing is kept between calls. `question.ways` holds one way to explain.
    """
    if image is None or isinstance(image, ImageError):
        yield CompareView(FaceChoice(str(image or "")))
        return
    try:
        subjects = subjects_for(models, image, whole)
        choice = choose_face(models, image, subjects, chosen)
        subject = subject_of(image, subjects, choice.chosen)
        comparison = compare(models, subject)
        view = CompareView(choice, said(comparison, caption))
        # The answers, then each version's heatmap; the slow tests are the Photo tab's.
        for ready in islice(reports(models, subject, question), 1 + len(models)):
            yield replace(view, table=compared(comparison, ready))
    except NoFaceError as error:
        yield CompareView(FaceChoice(f"{error} The box “{WHOLE}” does that."))
    except ExplainError as error:
        yield CompareView(FaceChoice(str(error)))
