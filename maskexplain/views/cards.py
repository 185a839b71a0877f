"""Reports as HTML: a card a version, with bars, heatmaps and how far to believe them.

Pictures are `data:` URLs, so that none of them is written to disk to be shown.
"""

from collections.abc import Sequence
from html import escape

from PIL import Image

from ..explaining.draw import data_url, enlarge, overlay_on_photo
from ..explaining.report import Report
from ..finding.crops import Crop
from ..measuring.tables import is_measured
from .answer_html import bars, pill, unsure_badge
from .maps_html import maps
from .words import says


def cards(reports: Sequence[Report], photo: Image.Image, crop: Crop, signed: bool = False) -> str:
    """A card a version, side by side; what is not measured yet is said to be on its way.

    `photo` is the picture that the crop was cut from; `signed` shows what speaks against a class,
    too.
    """
    inner = "".join(_card(report, photo, crop, signed) for report in reports)
    return f'{_agreement(reports)}<div class="cards">{inner}</div>{_legend(signed)}'


def _agreement(reports: Sequence[Report]) -> str:
    """Who says what, where there are several versions."""
    if len(reports) < 2:
        return ""
    labels = [report.answer.prediction.label for report in reports]
    said = escape(says([report.model.name for report in reports], labels))
    if len(set(labels)) == 1:
        return f'<p class="said-short">They agree: {said}.</p>'
    return f'<p class="said-short">They disagree: {said}. The tab Compare says why.</p>'


def _card(report: Report, photo: Image.Image, crop: Crop, signed: bool) -> str:
    answer = report.answer.prediction
    name = escape(report.model.name)
    face = data_url(enlarge(crop.image), "webp")
    style = f"--face: url({face}); --aspect: {crop.image.width / crop.image.height:.3f}"
    return f"""
<section class="card" aria-label="Version {name}" style="{style}">
  <h2>{name} {pill(answer.label)}{unsure_badge(report.model, answer)}</h2>
  <p class="measured">{_measured(report.model.results)}</p>
  {bars(answer)}
  {maps(report, crop.image, signed)}
  {_on_photo(report, photo, crop)}
</section>"""


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


def _measured(results: dict) -> str:
    if not is_measured(results):
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
