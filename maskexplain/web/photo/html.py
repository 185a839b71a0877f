"""Reports as HTML: a card a version, with bars, heatmaps, verdicts and their tests.

Pictures are `data:` URLs, so that none of them is written to disk to be shown.
"""

from collections.abc import Sequence
from html import escape

from PIL import Image

from ..explain.draw import data_url, enlarge, overlay, overlay_on_photo
from ..explain.explain import Explanation
from ..explain.figure import question_of
from ..explain.regions import RegionHeat
from ..explain.report import Report
from ..explain.verdicts import Trust, Verdict, record_sentence
from ..explain.ways import Way, is_best
from ..images.crops import Crop
from ..models.results import Results
from ..models.version import Model
from .answers import bars, pill, says, unsure_badge
from .charts import curves_svg


def maps(report: Report, signed: bool = False) -> str:
    """The first way's map large, the others small, over the `--face` that an outer element has.

    What is not measured yet is said to be on its way. `signed` shows what speaks against the
    class, too.
    """
    if not report.ways:
        return (
            '<p class="waiting">The heatmaps are on their way.</p>'
            '<div class="maps"><div class="face"></div></div>'
        )
    trust = report.trust or [None] * len(report.ways)
    rows = zip(report.ways, report.answer.explanations, report.verdicts, trust, strict=True)
    figures = "".join(_figure(report, signed, *row) for row in rows)
    waiting = "" if report.trust else '<p class="waiting">More tests of them are on their way.</p>'
    question = escape(question_of(report.model.task, report.answer.explanations[0]))
    return f'<p class="question">{question}</p><div class="maps">{figures}</div>{waiting}'


def _figure(
    report: Report,
    signed: bool,
    way: Way,
    explanation: Explanation,
    verdict: Verdict,
    trust: Trust | None,
) -> str:
    model = report.model
    url = data_url(overlay(report.crop, explanation, signed=signed), "webp")
    question = question_of(model.task, explanation)
    alt = escape(f"{way.title} of {model.name}, {question}, over the face")
    file = escape(f"{model.name}-{way.key.replace('/', '-')}-{explanation.target}.webp")
    return f"""
<figure>
  {reveal(url, alt)}
  <figcaption>
    <b>{way.title}</b> {_earned(model, way)}
    <a download="{file}" href="{url}" aria-label="Save {alt}">Save</a>
    <p class="verdict {verdict.key}">{verdict.title}</p>
    <p class="sentence">{verdict.sentence}</p>
    <details class="trust"><summary>How far to believe it</summary>
      <p class="again">{verdict.sentence}</p>
      <p>{record_sentence(model, way)}</p>{_trust(way, trust)}
    </details>
  </figcaption>
</figure>"""


def reveal(url: str, alt: str) -> str:
    """A heatmap over the face under a slider that wipes the heat off; both texts safe for HTML.

    The face is the element's, or an outer one's, `--face`. Not gr.ImageSlider: that has no texts
    for screen readers, and no keyboard.
    """
    return f"""
<div class="reveal">
  <div class="pictures"><img src="{url}" alt="{alt}"></div>
  <label><span aria-hidden="true">face</span>
  <input type="range" min="0" max="100" value="100" aria-label="How much heat is shown: {alt}">
  <span aria-hidden="true">heat</span></label>
</div>"""


def _earned(model: Model, way: Way) -> str:
    if not is_best(model, way):
        return ""
    return f'<span class="earned">best for {escape(model.name)}</span>'


def _trust(way: Way, trust: Trust | None) -> str:
    if trust is None or trust.explanation.empty:
        return ""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in trust.sentences())
    return f"""
<div class="measures">{curves_svg(trust.curves, way.title)}{_regions(trust.regions)}</div>
<ul>{sentences}</ul>"""


def _regions(regions: dict[str, RegionHeat] | None) -> str:
    if not regions:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{heat.heat:.0%}</td><td>{heat.area:.0%}</td>"
        f"<td>{heat.ratio:.1f}</td></tr>"
        for name, heat in regions.items()
        if heat.ratio is not None
    )
    return f"""
<table class="regions"><caption>Where the heat lies</caption>
<thead><tr><th scope="col">region</th><th scope="col">heat</th><th scope="col">area</th>
<th scope="col">ratio</th></tr></thead>
<tbody>{rows}</tbody></table>"""


def cards(reports: Sequence[Report], photo: Image.Image, crop: Crop, signed: bool = False) -> str:
    """A card a version, side by side; what is not measured yet is said to be on its way.

    `photo` is the picture that the crop was cut from; `signed` shows what speaks against a class,
    too.
    """
    inner = "".join(_card(report, photo, crop, signed) for report in reports)
    return f'{_agreement(reports)}<div class="cards">{inner}</div>{_legend(signed)}'


def _agreement(reports: Sequence[Report]) -> str:
    """Who says what, where several versions answer the same question."""
    same_task = {report.model.task.names for report in reports}
    if len(reports) < 2 or len(same_task) > 1:
        return ""
    labels = [report.answer.prediction.label for report in reports]
    said = escape(says([report.model for report in reports], labels))
    if len(set(labels)) == 1:
        return f'<p class="said-short">They agree: {said}.</p>'
    return f'<p class="said-short">They disagree: {said}. The tab Compare says why.</p>'


def _card(report: Report, photo: Image.Image, crop: Crop, signed: bool) -> str:
    model, answer = report.model, report.answer.prediction
    name = escape(model.name)
    face = data_url(enlarge(report.crop), "webp")
    style = f"--face: url({face}); --aspect: {report.crop.width / report.crop.height:.3f}"
    return f"""
<section class="card" aria-label="Version {name}" style="{style}">
  <h2>{name} {pill(model.task, answer.label)}{unsure_badge(model, answer)}</h2>
  <p class="measured">{_measured(model.results)}</p>
  {bars(model.task, answer)}
  {maps(report, signed)}
  {_on_photo(report, photo, crop)}
</section>"""


def _on_photo(report: Report, photo: Image.Image, crop: Crop) -> str:
    """The version's first map at its place on the photo."""
    all_of_it = photo.size in (crop.image.size, report.crop.size)
    if all_of_it or not report.ways or report.answer.explanations[0].empty:
        return ""
    title = report.ways[0].title
    url = data_url(overlay_on_photo(photo, crop, report.answer.explanations[0]), "jpeg")
    return f"""
<details><summary>{title} on the photo</summary>
  <img src="{url}" alt="The photo with the heat of {title} on the face">
</details>"""


def _measured(results: Results) -> str:
    plain, dark = results.shift("unaugmented"), results.shift("dark_35")
    if results.balanced_accuracy is None or plain is None or dark is None:
        return "Never measured: trust nothing here until it is."
    return (
        f"Balanced accuracy {results.balanced_accuracy:.2f} on test; on faces as taken "
        f"{plain.balanced_accuracy:.2f}, on the same faces in dim light "
        f"<strong>{dark.balanced_accuracy:.2f}</strong>."
    )


def _legend(signed: bool) -> str:
    ends = ("against", "signed", "for") if signed else ("none", "ramp", "most")
    return (
        f'<p class="legend"><span>{ends[0]}</span><span class="ramp {ends[1]}" aria-hidden="true">'
        f"</span><span>{ends[2]}</span> How much a place speaks for the class, scaled to each "
        "map’s peak. A heatmap shows what this network used, right or wrong.</p>"
    )
