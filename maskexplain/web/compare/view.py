"""The Compare tab's handlers: a picture in, a column a version out. Plain, without Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from ...explain.draw import data_url, overlay, question_of
from ...explain.explain import BEST, ExplainError, Question, is_best
from ...explain.report import Report, reports
from ...explain.verdicts import track_record
from ...images.crops import NoFaceError
from ...images.edit import FAINTEST
from ...images.read import ImageError, digest_of, read_image
from ...models.network import to_pixels
from ...models.results import Results
from ...models.version import Model, any_faces
from ...results.compare import (
    PAIR_COLUMNS,
    StoredComparison,
    how_to_read,
    pair_cells,
    version_table,
)
from ..assets import macros
from ..charts import mean_maps
from ..faces import NO_FACE, FaceChoice, choose_face, subject_of
from ..parts import bars
from ..photo.view import Kept, keep
from .disagree import Comparison, headline, why_it_matters

SIDE = 256  # of a picture in the table, in pixels
NEVER = "never measured"
_MACROS = macros("compare")


# A row's title, a hint, and a cell a version; Markup where it is HTML.
_Row = tuple[str, str, list[str]]


def compared(comparison: Comparison, reports: Sequence[Report]) -> str:
    """What the versions say to a picture, row by row; heatmaps that are not ready are said so."""
    what = "face" if any_faces(comparison.models) else "picture"
    rows = [
        ("Answer", "", _first_answer),
        ("How sure", "probability of each class", _sure),
        (f"The {what}", "as the network is given it", _given),
        ("Where it looked", _question(reports), _map),
        ("Is that map true?", f"tested on this {what}", _verdict),
        ("Where it looks on the whole", "mean map of this answer", _mean),
        ("In dim light", f"measured on test {what}s", _dim),
        ("This way to explain", f"on how many test {what}s it beats chance", _record),
    ]
    filled = [(title, hint, list(map(cell, reports))) for title, hint, cell in rows]
    filled.insert(6, _other_light(comparison, what))
    return _MACROS.table([report.model.name for report in reports], filled)


def said(comparison: Comparison, given: str = "") -> str:
    """Where the versions disagree and why that matters; `given` says whose picture it is."""
    lines = why_it_matters(comparison)
    return _MACROS.said(given, comparison.agree, headline(comparison), lines)


def _first_answer(report: Report) -> str:
    return _MACROS.answer(report.model, report.answer.prediction, False)


def _sure(report: Report) -> str:
    return bars(report.model.task, report.answer.prediction)


def _given(report: Report) -> str:
    size = report.model.network.transform.size
    pixels = to_pixels(report.crop, size).permute(1, 2, 0).numpy()
    return _MACROS.given(report.model.name, data_url(Image.fromarray(pixels), "png"), size)


def _question(reports: Sequence[Report]) -> str:
    asked = {
        question_of(report.model.task, e) for report in reports for e in report.answer.explanations
    }
    return asked.pop() if len(asked) == 1 else "why it answers so: the lighter, the more"


def _map(report: Report) -> str:
    if not report.ways:
        return _MACROS.waiting()
    way, explanation, name = report.ways[0], report.answer.explanations[0], report.model.name
    question = question_of(report.model.task, explanation)
    url = data_url(overlay(report.crop, explanation, SIDE), "webp")
    alt = f"{way.title} of {name}, {question}, over the picture"
    return _MACROS.map(url, alt, way.title, name if is_best(report.model, way) else "")


def _verdict(report: Report) -> str:
    return _MACROS.verdict(report.verdicts[0]) if report.verdicts else _MACROS.waiting()


def _mean(report: Report) -> str:
    """The mean map of the right answers of this class."""
    found = mean_maps(report.model, report.answer.prediction.label)
    return _MACROS.whole(found[0]) if found else "not measured yet"


def _other_light(comparison: Comparison, what: str) -> _Row:
    up = comparison.dark
    title = "With the light turned up" if up else "With the light turned down"
    bright = "as bright as usual" if comparison.brightness >= FAINTEST else "as far as it goes"
    hint = f"this {what}, {bright}" if up else f"this {what}, to 35%"
    answered = zip(comparison.models, comparison.in_other_light, strict=True)
    changed = comparison.changed
    cells = [_MACROS.answer(m, answer, i in changed) for i, (m, answer) in enumerate(answered)]
    return title, hint, cells


def _dim(report: Report) -> str:
    results: Results = report.model.results
    taken, dark = results.shift("unaugmented"), results.shift("dark_35")
    if taken is None or dark is None:
        return NEVER
    figure = f"{taken.balanced_accuracy:.0%} → {dark.balanced_accuracy:.0%}"
    remark = f"right on {dark.pictures} pictures as taken, then at 35% light"
    return _MACROS.figures(figure, remark)


def _record(report: Report) -> str:
    if not report.ways:
        return _MACROS.waiting()
    record = track_record(report.model, report.ways[0])
    if record is None:
        return NEVER
    dim = f"in dim light {record.dim_right} of {record.dim_faces}"
    return _MACROS.figures(f"{record.right} of {record.faces}", dim)


# --- over folders


def over_folders(stored: Sequence[StoredComparison]) -> str:
    """Stored comparisons as tables, HTML; empty without any."""
    parts = [
        (one, *version_table(one.found), [pair_cells(pair) for pair in one.found.pairs])
        for one in stored
    ]
    note = how_to_read([one.found for one in stored])
    return str(_MACROS.over_folders(parts, PAIR_COLUMNS, note)).strip()


USUAL = Question(ways=(BEST,))
EXAMPLE = "An example to start with: a striped mask, in dim light. Now give your own photo."
FROM_PHOTO = "The picture of the tab Photo."


@dataclass(frozen=True)
class CompareView:
    """What the Compare tab shows: the faces, where the versions disagree and the table (HTML)."""

    choice: FaceChoice = FaceChoice()
    said: str = ""
    table: str = ""
    kept: Kept | None = None


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
    kept: Kept | None = None,
) -> Iterator[CompareView]:
    """Every version's answer to one face, then their heatmaps; a view whenever there is more.

    `question.ways` holds one way to explain. `kept` is what the last view held: what it knows of
    the same face is not computed again.
    """
    if image is None or isinstance(image, ImageError):
        yield CompareView(FaceChoice(str(image or "")))
        return
    try:
        kept = keep(models, image, whole, chosen, question, kept)
        choice = choose_face(models, image, kept.scene, kept.asked[0])
        subject = subject_of(image, kept.scene.subjects, choice.chosen)
        comparison = kept.comparison(models, subject)
        view = CompareView(choice, said(comparison, caption), kept=kept)
        # The answers, then each version's heatmap; the slow tests are the Photo tab's.
        for ready in islice(reports(models, subject, question, kept.known), 2 + len(models)):
            yield replace(view, table=compared(comparison, ready))
    except NoFaceError:
        yield CompareView(FaceChoice(NO_FACE))
    except ExplainError as error:
        yield CompareView(FaceChoice(str(error)))
