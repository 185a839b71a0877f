"""A version's heatmaps of one face as HTML, each with its verdict and how far to believe it."""

from html import escape

from PIL import Image

from ..explaining.draw import data_url, overlay
from ..explaining.explain import Explanation
from ..explaining.figure import question_of
from ..explaining.regions import RegionHeat
from ..explaining.report import Report
from ..explaining.track_record import record_sentence
from ..explaining.variants import Variant, is_best
from ..explaining.verdicts import Trust, Verdict
from ..networks.answer import MaskModel
from .curves_svg import curves_svg


def maps(report: Report, crop: Image.Image, signed: bool = False) -> str:
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
    figures = "".join(_figure(report, crop, signed, *row) for row in rows)
    waiting = "" if report.trust else '<p class="waiting">More tests of them are on their way.</p>'
    question = escape(question_of(report.answer.explanations[0]))
    return f'<p class="question">{question}</p><div class="maps">{figures}</div>{waiting}'


def _figure(
    report: Report,
    crop: Image.Image,
    signed: bool,
    way: Variant,
    explanation: Explanation,
    verdict: Verdict,
    trust: Trust | None,
) -> str:
    model = report.model
    url = data_url(overlay(crop, explanation, signed=signed), "webp")
    alt = escape(f"{way.title} of {model.name}, {question_of(explanation)}, over the face")
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


def _earned(model: MaskModel, way: Variant) -> str:
    if not is_best(model, way):
        return ""
    return f'<span class="earned">best for {escape(model.name)}</span>'


def _trust(way: Variant, trust: Trust | None) -> str:
    if trust is None or trust.explanation.empty:
        return ""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in trust.sentences())
    return f"""
<div class="measures">{curves_svg(trust.curves, way.title)}{_regions(trust.regions)}</div>
<ul>{sentences}</ul>"""


def _regions(regions: dict[str, RegionHeat] | None) -> str:
    if regions is None:
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
