"""The What if tab's HTML: the changed face, a card and a chart a version, what a search found."""

from collections.abc import Sequence
from html import escape

from PIL import Image

from ..explaining.draw import CLASS_TITLES, data_url, enlarge, overlay
from ..explaining.explain import Answer
from ..explaining.track_record import record_sentence
from ..explaining.variants import VARIANTS
from ..networks.answer import MaskModel
from ..networks.model import CLASSES
from ..views.answer_html import bars, pill, unsure_badge
from .changes import SLIDERS, Changes
from .flip import FlipSearch
from .sweep import POINTS, Sweep
from .sweep_svg import present_style, sweep_svg

METHOD = VARIANTS["grad_cam"]  # the fastest
CHARTS = "whatif-charts"  # the id of what the charts are put into
HEAT_SIDE, FACE_SIDE = 200, 320  # pixels

MASK_TITLES = {
    "none": "None",
    "right": "Worn right",
    "nose_out": "Nose out",
    "chin": "Under the chin",
}
COLOUR_TITLES = {
    "blue": "Pale blue",
    "white": "White",
    "black": "Black",
    "red": "Red cloth",
    "striped": "Striped",
}


def face_html(crop: Image.Image, changes: Changes, masked: bool) -> str:
    """The changed face, large; `masked`: whether it wears a mask before one is painted."""
    words = changes_in_words(changes)
    warning = ""
    if changes.mask != "none" and masked:
        warning = "This face seems to wear a mask already; painted ones are meant for a bare face."
    url = data_url(enlarge(crop, FACE_SIDE), "jpeg")
    return f"""
<figure class="sitter"><img src="{url}" alt="The face as every version is given it: {words}">
<figcaption>{words}{f"<p>{warning}</p>" if warning else ""}</figcaption></figure>"""


def changes_in_words(changes: Changes) -> str:
    """What is changed, for people."""
    moved = [
        f"{slider.title.lower()} {slider.text(getattr(changes, key))}"
        for key, slider in SLIDERS.items()
        if getattr(changes, key) != slider.neutral
    ]
    if changes.mask != "none":
        colour = COLOUR_TITLES[changes.colour].lower()
        moved.append(f"painted mask {MASK_TITLES[changes.mask].lower()}, {colour}")
    return "; ".join(moved) or "as it is"


Answered = Sequence[tuple[MaskModel, Answer]]


def lines_html(pairs: Answered) -> str:
    """A line a version, for narrow screens, where the cards are out of sight."""
    inner = "".join(
        f"<li><b>{escape(model.name)}</b> {pill(answer.label)} {answer.confidence:.0%}"
        f"{', unsure' if answer.unsure else ''}</li>"
        for model, answer in ((model, found.prediction) for model, found in pairs)
    )
    return f'<ul class="lines" aria-hidden="true">{inner}</ul>'


def cards_html(pairs: Answered, crop: Image.Image, changes: Changes) -> str:
    """A card a version: its bars, and its heat over the changed face."""
    setting = " ".join(f"{key}={getattr(changes, key)}" for key in SLIDERS)
    inner = "".join(_card(model, answer, crop) for model, answer in pairs)
    style = present_style(changes, f"#{CHARTS}")
    return f'<div class="cards" data-setting="{setting}">{inner}</div>{style}'


def _card(model: MaskModel, answer: Answer, crop: Image.Image) -> str:
    name, explanation = escape(model.name), answer.explanations[0]
    title = CLASS_TITLES[explanation.target]
    alt = f"{METHOD.title} of {name}, why “{title}”, over the changed face"
    url = data_url(overlay(crop, explanation, HEAT_SIDE), "jpeg")
    empty = "No place speaks for the answer: the map is empty." if explanation.empty else ""
    return f"""
<section class="card" aria-label="Version {name}, what if">
  <h2>{name} {pill(answer.prediction.label)}{unsure_badge(model, answer.prediction)}</h2>
  <div class="top">
    {bars(answer.prediction)}
    <img src="{url}" alt="{alt}">
  </div>
  <p class="record">{empty} {record_sentence(model, METHOD)}</p>
</section>"""


def charts_html(sweeps: Sequence[Sweep], key: str, versions: int) -> str:
    """A chart a version along one slider (a key of SLIDERS).

    There are `versions` of them; those that `sweeps` lacks are said to be on their way.
    """
    title = SLIDERS[key].title.lower()
    inner = "".join(
        f'<figure class="card"><figcaption><b>{escape(found.version)}</b> along the slider '
        f"“{title}”</figcaption>{sweep_svg(found)}</figure>"
        for found in sweeps
    )
    missing = versions - len(sweeps)
    inner += '<figure class="card waiting">The next curves are on their way.</figure>' * missing
    legend = "".join(f'<span class="{name}">{CLASS_TITLES[name]}</span>' for name in CLASSES)
    return (
        f'<div class="cards sweeps">{inner}</div><p class="key classes">{legend} '
        "<span>The strip below the curves is the answer; the upright line is now.</span></p>"
    )


def flips_html(search: FlipSearch) -> str:
    """What the search found: the smallest change, and where answers stay."""
    if search.waiting:
        version, key = search.waiting[0]
        searched = {(flip.version, flip.slider) for flip in search.flips} | set(search.kept)
        done, total = len(searched), len(searched) + len(search.waiting)
        progress = f"Searching {escape(version)} along {SLIDERS[key].title.lower()}"
        return (
            f'<p role="status">{progress}: {done} of {total} done.</p>'
            f'<progress max="{total}" value="{done}" aria-label="Search"></progress>'
        )
    smallest = "<p>No slider alone changes any answer.</p>"
    if search.flips:
        first = search.flips[0]
        smallest = (
            f"<p><b>{escape(first.sentence())}</b>: the smallest change of all, "
            f"{first.share:.0%} of the slider’s way.</p>"
        )
    start = (
        f"<p>Each slider moved alone, looked at in some {POINTS} places from end to end, from: "
        f"{changes_in_words(search.changes)}.</p>"
    )
    return f'<div role="status">{smallest}{start}</div>{_kept(search)}'


def _kept(search: FlipSearch) -> str:
    versions = dict.fromkeys(version for version, _ in search.kept)
    lines = "".join(
        f"<li>{escape(name)} keeps its answer: "
        + ", ".join(_whole_way(key) for version, key in search.kept if version == name)
        + "</li>"
        for name in versions
    )
    return f'<ul class="kept">{lines}</ul>' if lines else ""


def _whole_way(key: str) -> str:
    slider = SLIDERS[key]
    return f"{slider.title.lower()} from {slider.text(slider.low)} to {slider.text(slider.high)}"


def flip_lines(search: FlipSearch) -> list[str]:
    """A line for each found flip, the smallest change first."""
    return [f"{flip.sentence()} ({flip.share:.0%} of the way)" for flip in search.flips]
