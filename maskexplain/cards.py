"""Reports as HTML: a card a version, with bars, heatmaps and how far to believe them.

Pictures are `data:` URLs, so that none of them is written to disk to be shown.
"""

from collections.abc import Sequence
from html import escape

from PIL import Image

from .answer import Prediction
from .crops import Crop
from .curves_svg import curves_svg
from .draw import CLASS_TITLES, data_url, enlarge, overlay, overlay_on_photo
from .explain import Explanation
from .figure import question_of
from .model import CLASSES
from .regions import RegionHeat
from .report import Report
from .variants import Variant, measured_explanations
from .verdicts import Trust, Verdict


def cards(reports: Sequence[Report], photo: Image.Image, crop: Crop, signed: bool = False) -> str:
    """A card a version, side by side; what is not measured yet is said to be on its way.

    `photo` is the picture that the crop was cut from; `signed` shows what speaks against a class,
    too.
    """
    inner = "".join(_card(report, photo, crop, signed) for report in reports)
    return f'<div class="cards">{inner}</div>{_legend(signed)}'


def _card(report: Report, photo: Image.Image, crop: Crop, signed: bool) -> str:
    label = report.answer.prediction.label
    name = escape(report.model.name)
    return f"""
<section class="card" aria-label="Version {name}">
  <h3>{name} <span class="answer {label}">{CLASS_TITLES[label]}</span>{_unsure(report)}</h3>
  <p class="measured">{_measured(report.model.results)}</p>
  <div class="top">
    <img src="{data_url(enlarge(crop.image), "webp")}" alt="The face as {name} is given it">
    {bars(report.answer.prediction)}
  </div>
  {_maps(report, crop.image, signed)}
  {_on_photo(report, photo, crop)}
</section>"""


def _unsure(report: Report) -> str:
    threshold = report.model.unsure_below
    if report.answer.prediction.confidence >= threshold:
        return ""
    title = f"{escape(report.model.name)} counts as unsure below {threshold:.0%}"
    return f'<span class="unsure" title="{title}">unsure: under {threshold:.0%}</span>'


def _maps(report: Report, crop: Image.Image, signed: bool) -> str:
    if not report.ways:
        return '<p class="waiting">The heatmaps are on their way.</p>'
    explained = zip(report.ways, report.answer.explanations, report.verdicts, strict=True)
    figures = "".join(_heatmap(report, crop, signed, *row) for row in explained)
    tests = "".join(map(_trust, report.ways, report.trust))
    if not report.trust:
        tests = '<p class="waiting">More tests of them are on their way.</p>'
    return f'<div class="maps">{figures}</div>{tests}'


def _heatmap(
    report: Report,
    crop: Image.Image,
    signed: bool,
    way: Variant,
    explanation: Explanation,
    verdict: Verdict,
) -> str:
    version = report.model.name
    url = data_url(overlay(crop, explanation, signed=signed), "webp")
    alt = escape(f"{way.title} of {version}, {question_of(explanation)}, over the face")
    file = escape(f"{version}-{way.key.replace('/', '-')}-{explanation.target}.webp")
    return f"""
<figure>
  <img src="{url}" alt="{alt}">
  <figcaption>
    <b>{way.title}</b> {_earned(report, way)}
    <a download="{file}" href="{url}" aria-label="Save {alt}">Save</a>
    <p>{escape(question_of(explanation))}</p>
    <p class="verdict {verdict.key}">{verdict.title}</p>
    <p>{verdict.sentence}</p>
    <p class="record">{_record(report, way)}</p>
  </figcaption>
</figure>"""


def _earned(report: Report, way: Variant) -> str:
    measured = measured_explanations(report.model.results)
    if not measured or way.key != measured["default"]:
        return ""
    return f'<span class="earned">best for {escape(report.model.name)}</span>'


def _record(report: Report, way: Variant) -> str:
    """How often this way was right about this version."""
    scores = measured_explanations(report.model.results)
    if not scores:
        return "Never measured for this version."
    taken, dark = (scores["lights"][light][way.key] for light in ("as_taken", "dark_35"))
    return (
        f"On test faces, blurring by its heat beats blurring at random on {taken['beats_random']} "
        f"of {taken['faces']}, in dim light on {dark['beats_random']} of {dark['faces']} (chance: "
        "half)."
    )


def _trust(way: Variant, trust: Trust) -> str:
    if trust.explanation.empty:
        return ""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in trust.sentences())
    return f"""
<details class="trust"><summary>{way.title}: how far to believe it</summary>
  <div>{curves_svg(trust.curves, way.title)}{_regions(trust.regions)}</div>
  <ul>{sentences}</ul>
</details>"""


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


def _on_photo(report: Report, photo: Image.Image, crop: Crop) -> str:
    """The version's first map at its place on the photo."""
    if crop.image.size == photo.size or not report.ways or report.answer.explanations[0].empty:
        return ""
    title = report.ways[0].title
    url = data_url(overlay_on_photo(photo, crop, report.answer.explanations[0]), "jpeg")
    return f"""
<details><summary>{title} on the photo</summary>
  <img src="{url}" alt="The photo with the heat of {title} on the face">
</details>"""


def bars(prediction: Prediction) -> str:
    """The probabilities as bars, in class order and in the classes' colours."""
    return '<div class="bars">' + "".join(_bar(n, prediction) for n in CLASSES) + "</div>"


def _bar(name: str, prediction: Prediction) -> str:
    percent = f"{prediction.probabilities[name]:.1%}"
    chosen = " chosen" if name == prediction.label else ""
    return f"""
<div class="bar{chosen}" role="img" aria-label="{CLASS_TITLES[name]}: {percent}">
  <span class="name">{CLASS_TITLES[name]}<code>{name}</code></span>
  <span class="percent">{percent}</span>
  <span class="track"><span class="fill {name}" style="width:{percent}"></span></span>
</div>"""


def _measured(results: dict) -> str:
    if not results:
        return "Never measured: trust nothing here until it is."
    dark = results["shifts"]["dark_35"]["balanced_accuracy"]
    plain = results["shifts"]["unaugmented"]["balanced_accuracy"]
    return (
        f"Balanced accuracy {results['balanced_accuracy']:.2f} on test; on faces as taken "
        f"{plain:.2f}, on the same faces in dim light <strong>{dark:.2f}</strong>."
    )


def _legend(signed: bool) -> str:
    ends = ("against", "signed", "for") if signed else ("none", "ramp", "most")
    return (
        f'<p class="legend"><span>{ends[0]}</span><span class="ramp {ends[1]}" aria-hidden="true">'
        f"</span><span>{ends[2]}</span> How much a place speaks for the class, scaled to each "
        "map’s peak. A heatmap shows what this network used, right or wrong.</p>"
    )
