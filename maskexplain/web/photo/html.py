"""Reports as HTML: the newest version's answer and map, its tests, the other versions; the arrival.

Pictures are `data:` URLs, so that none of them is written to disk to be shown.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup
from PIL import Image, ImageEnhance

from ...data.samples import example_picture
from ...explain.blur_test import SHARE
from ...explain.draw import data_url, enlarge, overlay, overlay_on_photo, question_of
from ...explain.explain import Explanation, Way, is_best
from ...explain.places import OUTSIDE, face_regions, heat_at, heat_by_region, hottest
from ...explain.report import Report, Subject
from ...explain.verdicts import SecondOpinion, Trust, Verdict, record_sentence
from ...images.crops import Crop
from ...masks.task import is_mask
from ...models.checkpoints import is_numbered
from ...models.results import Results
from ...models.threads import at_once
from ...models.version import Model, Prediction
from ...words import listed
from ..assets import macros, render
from ..charts import curves_svg
from ..compare.disagree import drawn_to
from ..parts import newest_first

CELLS = 24  # of the brush's grid, a side: finer than any of the networks' heatmaps
_MACROS = macros("photo")


class Pictures:
    """The drawn pictures of one subject and question, each drawn and encoded once."""

    def __init__(self) -> None:
        self._urls: dict[tuple, str] = {}

    def heat(self, report: Report, way: Way, explanation: Explanation, signed: bool) -> str:
        """A heatmap over its face as a `data:` URL."""
        key = (report.model.name, way.key, signed)
        if key not in self._urls:
            image = overlay(report.crop, explanation, signed=signed)
            self._urls[key] = data_url(image, "webp")
        return self._urls[key]

    def on_photo(self, photo: Image.Image, crop: Crop, report: Report) -> str:
        """The first heatmap at its place on the photo."""
        key = (report.model.name, report.ways[0].key)
        if key not in self._urls:
            image = overlay_on_photo(photo, crop, report.answer.explanations[0])
            self._urls[key] = data_url(image, "jpeg")
        return self._urls[key]

    def face(self, report: Report) -> "Face":
        """The picture that a version was given."""
        key = (id(report.crop),)
        if key not in self._urls:
            self._urls[key] = data_url(enlarge(report.crop), "webp")
        return Face(Markup(self._urls[key]), f"{report.crop.width / report.crop.height:.3f}")


@dataclass(frozen=True)
class Face:
    """A face for CSS: its `data:` URL and its width for its height."""

    url: Markup
    aspect: str


@dataclass(frozen=True)
class Figure:
    """One heatmap with all that is said of it; `verdict` and `trust` None until measured."""

    url: str
    alt: str
    file: str
    title: str
    version: str
    best: bool
    verdict: Verdict | None
    record: str
    trust: Trust | None

    @property
    def curves(self) -> Markup:
        """Its deletion and insertion curves; there is `trust` by then."""
        return Markup(curves_svg(self.trust.curves, self.title))


def figures(report: Report, pictures: Pictures, signed: bool = False) -> list[Figure]:
    """What is ready of a version's heatmaps, in the ways' order."""
    nothing = [None] * len(report.ways)
    measured = report.verdicts or nothing, report.trust or nothing
    rows = zip(report.ways, report.answer.explanations, *measured, strict=True)
    return [_figure(report, pictures, signed, *row) for row in rows]


def _figure(
    report: Report,
    pictures: Pictures,
    signed: bool,
    way: Way,
    explanation: Explanation,
    verdict: Verdict | None,
    trust: Trust | None,
) -> Figure:
    model = report.model
    question = question_of(model.task, explanation)
    return Figure(
        url=pictures.heat(report, way, explanation, signed),
        alt=f"{way.title} of {model.name}, {question}, over the picture",
        file=f"{model.name}-{way.key.replace('/', '-')}-{explanation.target}.webp",
        title=way.title,
        version=model.name,
        best=is_best(model, way),
        verdict=verdict,
        record=record_sentence(model, way),
        trust=trust,
    )


# --- the newest version


def lead_html(report: Report, models: Sequence[Model], subject: Subject) -> str:
    """Its answer in a sentence with what was measured on this picture, and its bars."""
    because = _because(report, subject)
    return _MACROS.lead(report, called(report.model, models), because, measured(report.model))


def called(model: Model, models: Sequence[Model]) -> str:
    """A version beside the others: “v3 (current)”, “v2 (older; fooled by dim light)”."""
    return f"{model.name} {standing(model, models)}".strip()


def standing(model: Model, models: Sequence[Model]) -> str:
    """“(current)” or “(older; fooled by dim light)”; empty where there is nothing to say.

    Only this program's own versions, v1, v2, ..., are older or newer than each other.
    """
    beside = [m for m in models if m.task == model.task and is_numbered(m.name)]
    age = "current" if newest_first(beside or models)[0] is model else "older"
    ages = [age] if len(beside) > 1 and model in beside else []
    fooled = ["fooled by dim light"] if len(models) > 1 and drawn_to(model, "dark_35") else []
    return f"({'; '.join(ages + fooled)})" if ages or fooled else ""


def spoken(report: Report) -> str:
    """The answer in a sentence for the status line, which screen readers read out."""
    answer = report.answer.prediction
    unsure = " It is unsure." if answer.unsure else ""
    title = report.model.task.title(answer.label)
    return f"{report.model.name} answers: {title}, {answer.confidence:.0%}.{unsure}"


def _because(report: Report, subject: Subject) -> str:
    """What hiding the bright area did to the answer, from the map's own test."""
    if not report.verdicts:
        return f"{'The test of its map' if report.ways else 'Where it looked'} is on its way."
    explanation, verdict = report.answer.explanations[0], report.verdicts[0]
    if explanation.empty or explanation.target != report.answer.prediction.label:
        return verdict.sentence
    test = verdict.test
    where = _where(report, subject, explanation)
    end = "."
    if verdict.too_small:
        end = ": too small a change to judge."
    elif not test.matters:
        end = f"; but {test.fifths - test.beaten} of {test.fifths} such places do as much."
    elif not test.beyond:
        end = f". Where a map made without this photo is bright, it takes it to {test.usual:.0%}."
    return (
        f"Hiding the bright area{where} takes this to {test.hottest:.0%}. "
        f"Hiding as much elsewhere takes it to {test.random:.0%} on average{end}"
    )


def _where(report: Report, subject: Subject, explanation: Explanation) -> str:
    """The part of the face that has the most heat for its area, in words."""
    if not report.model.task.faces or subject.landmarks is None:
        return ""
    regions = face_regions(subject.landmarks, report.crop.size)
    if regions is None:
        return ""
    heats = heat_by_region(explanation.heatmap, regions)
    known = {name: heat for name, heat in heats.items() if heat.ratio is not None}
    name = max(known, key=lambda name: known[name].ratio)
    return f", {name}," if name == OUTSIDE else f", over the {name},"


def measured(model: Model) -> str:
    """How often a version is right, as the test photos are and in dim light."""
    results: Results = model.results
    plain, dark = results.shift("unaugmented"), results.shift("dark_35")
    if plain is None or dark is None:
        return "Never measured: trust nothing here until it is."
    return (
        f"{plain.balanced_accuracy:.0%} right on test photos, "
        f"{dark.balanced_accuracy:.0%} when the same photos are dark."
    )


def heat_html(report: Report, found: Sequence[Figure], pictures: Pictures, signed: bool) -> str:
    """The first map of `figures` over the face, for CSS below #photo-answer, too."""
    first = found[0] if found else None
    face, question = pictures.face(report), _question(report)
    return _MACROS.heat(face, question, first, _hottest(report), signed)


def _hottest(report: Report) -> str:
    """The brightest fifth as the brush's cells, "0" and "1" row by row; "" without heat."""
    maps = report.answer.explanations
    if not maps or maps[0].empty:
        return ""
    cells = hottest(heat_at([maps[0].heatmap], CELLS), SHARE)
    return "".join(str(int(cell)) for cell in cells.flatten())


def _question(report: Report) -> str:
    explained = report.answer.explanations
    return question_of(report.model.task, explained[0]) if explained else ""


def tested_html(found: Sequence[Figure]) -> str:
    """How the first map of `figures` was tested."""
    return _MACROS.tested(found[0]) if found else ""


def more_html(
    report: Report, found: Sequence[Figure], pictures: Pictures, photo: Image.Image, crop: Crop
) -> str:
    """The other maps of `figures`, and the first one's heat on the photo."""
    inner = _MACROS.figures(report, _question(report), found[1:], not found)
    all_of_it = photo.size in (crop.image.size, report.crop.size)
    if not found or all_of_it or report.answer.explanations[0].empty:
        return inner
    url = pictures.on_photo(photo, crop, report)
    return inner + _MACROS.on_photo(url, report.ways[0].title)


def second_test(way: Way, first: Verdict, opinion: SecondOpinion) -> str:
    """What a second test says of a map, beside the verdict of the first."""
    return _MACROS.second(way.title, first, opinion.verdict, first.key == opinion.verdict.key)


# --- the other versions


@dataclass(frozen=True)
class _Card:
    report: Report
    who: str
    measured: str
    figures: list[Figure]
    face: Face | None


def others_html(
    reports: Sequence[Report], lines: Sequence[str], pictures: Pictures, signed: bool
) -> str:
    """A card each for all but the first report, below the lines on why they differ."""
    models = [report.model for report in reports]
    cards = [
        _Card(
            report,
            called(report.model, models),
            measured(report.model),
            figures(report, pictures, signed),
            None if report.crop is reports[0].crop else pictures.face(report),
        )
        for report in reports[1:]
    ]
    return _MACROS.others(lines, cards) if cards else ""


# --- on arrival: a masked face, a light slider, and every version's answer

LOW, HIGH, STEP = 10, 150, 5  # percent of the light; the slider's
START = 100
EXAMPLE = "striped"  # worn correctly; in dim light v1 and v2 change their answer
_ANSWERS = macros("answers")


@cache
def _lights() -> dict[int, Image.Image]:
    """The example's face at every place of the slider."""
    edit = ImageEnhance.Brightness(example_picture(EXAMPLE))
    return {percent: edit.enhance(percent / 100) for percent in range(LOW, HIGH + 1, STEP)}


def arrival_html(models: Sequence[Model]) -> str:
    """The face, its slider, and the answers of the versions that know of masks (at least one)."""
    asked = [model for model in newest_first(models) if is_mask(model.task)]
    faces = _lights()
    found = at_once(lambda model: model.predict(list(faces.values())), asked)
    answers = dict(zip(asked, found, strict=True))
    said = {
        percent: {model.name: _arrival_said(model, answers[model][index]) for model in asked}
        for index, percent in enumerate(faces)
    }
    return render(
        "arrival",
        url=data_url(enlarge(faces[START]), "jpeg"),
        answers=json.dumps(said),
        rows=[(model.name, standing(model, asked)) for model in asked],
        low=LOW,
        high=HIGH,
        step=STEP,
        start=START,
        moral=_moral(answers),
    )


def _arrival_said(model: Model, answer: Prediction) -> Markup:
    strip = _ANSWERS.strip(model.task, answer.probabilities)
    return _ANSWERS.pill(model.task, answer.label) + f" {answer.confidence:.0%}" + strip


def _moral(answers: dict[Model, list[Prediction]]) -> str:
    """Who changes the answer between dark and usual light, and who does not."""
    usual = (START - LOW) // STEP
    moved = [
        model.name
        for model, found in answers.items()
        if len({answer.label for answer in found[: usual + 1]}) > 1
    ]
    kept = [model.name for model in answers if model.name not in moved]
    if not moved:
        return "The same face, the same mask, less light: nobody here changes the answer."
    verb = "change" if len(moved) > 1 else "changes"
    end = f"; {listed(kept)} {'keep' if len(kept) > 1 else 'keeps'} it" if kept else ""
    return f"The same face, the same mask: yet {listed(moved)} {verb} the answer{end}."
