"""The What if tab's handlers: a face and a setting in, HTML out. Plain functions, no Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from ...explain.draw import data_url, enlarge, overlay
from ...explain.explain import Answer, answer_and_explain
from ...explain.report import subjects_for
from ...explain.verdicts import record_sentence
from ...explain.ways import default_way
from ...images.crops import NoFaceError, Subjects
from ...images.read import ImageError, digest_of
from ...masks.task import BARE, is_mask
from ...models.checkpoints import by_number
from ...models.threads import at_once
from ...models.version import Model
from ...task import Task
from ..answers import bars, pill, unsure_badge
from .changes import ChangeError, Changes, Sitter, apply, seat
from .curves import POINTS, Sweep, present_style, sweep_svg, sweeps
from .flip import FlipSearch
from .sliders import SLIDERS

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
        f"{SLIDERS[key].title.lower()} {SLIDERS[key].text(value)}"
        for key, value in changes.moved.items()
    ]
    if changes.mask != "none":
        colour = COLOUR_TITLES[changes.colour].lower()
        moved.append(f"painted mask {MASK_TITLES[changes.mask].lower()}, {colour}")
    return "; ".join(moved) or "as it is"


Answered = Sequence[tuple[Model, Answer]]


def lines_html(pairs: Answered) -> str:
    """A line a version, for narrow screens, where the cards are out of sight."""
    inner = "".join(
        f"<li><b>{escape(model.name)}</b> {pill(model.task, answer.label)} {answer.confidence:.0%}"
        f"{', unsure' if answer.unsure else ''}</li>"
        for model, answer in ((model, found.prediction) for model, found in pairs)
    )
    return f'<ul class="lines" aria-hidden="true">{inner}</ul>'


def cards_html(pairs: Answered, crop: Image.Image, changes: Changes) -> str:
    """A card a version: its bars, and its heat over the changed face."""
    setting = " ".join(f"{key}={value}" for key, value in changes.values.items())
    inner = "".join(_card(model, answer, crop) for model, answer in pairs)
    style = present_style(changes, f"#{CHARTS}")
    return f'<div class="cards" data-setting="{setting}">{inner}</div>{style}'


def _card(model: Model, answer: Answer, crop: Image.Image) -> str:
    name, explanation = escape(model.name), answer.explanations[0]
    title, prediction = escape(model.task.title(explanation.target)), answer.prediction
    way = explanation.way
    alt = f"{way.title} of {name}, why “{title}”, over the changed face"
    url = data_url(overlay(crop, explanation, HEAT_SIDE), "jpeg")
    empty = ": no place speaks for the answer, so it is empty" if explanation.empty else ""
    return f"""
<section class="card" aria-label="Version {name}, what if">
  <h2>{name} {pill(model.task, prediction.label)}{unsure_badge(model, prediction)}</h2>
  <div class="top">
    {bars(model.task, prediction)}
    <img src="{url}" alt="{alt}">
  </div>
  <p class="record"><b>{way.title}</b>{empty}. {escape(record_sentence(model, way))}</p>
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
    legend = "".join(_legend(task) for task in dict.fromkeys(found.task for found in sweeps))
    return (
        f'<div class="cards sweeps">{inner}</div><p class="key classes">{legend} '
        "<span>The strip below the curves is the answer; the upright line is now.</span></p>"
    )


def _legend(task: Task) -> str:
    return "".join(
        f'<span style="{task.style(one.name)}">{_line_sample()}{escape(one.title)}</span>'
        for one in task.classes
    )


def _line_sample() -> str:
    return '<svg viewBox="0 0 24 4" aria-hidden="true"><path d="M0 2H24"/></svg>'


def flips_html(search: FlipSearch) -> str:
    """What the search found: the smallest change, and where answers stay."""
    if search.waiting:
        key = search.waiting[0][1]
        searched = {(flip.version, flip.slider) for flip in search.flips} | set(search.kept)
        done, total = len(searched), len(searched) + len(search.waiting)
        progress = f"Searching along {SLIDERS[key].title.lower()}"
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


ORIGINS = {
    "own": "",
    "photo": "Taken over from the Photo tab. ",
    "example": "An example: a public-domain portrait. Give a photo of your own further down. ",
}
FORGOTTEN = "This face is no longer in memory: give the photo again, or click an example."
NO_LANDMARKS = " No mask can be painted: eyes, nose and mouth of this face were not found."


@dataclass(frozen=True)
class Taken:
    """What the tab plays with: a face of a picture, or the sentence why there is none.

    `faces`: how many there are; `chosen`: which of them (from 0, the largest first) was taken.
    `masked`: whether the newest version sees a mask on it as it is; `mark`: its digest.
    """

    notice: str
    sitter: Sitter | None = None
    faces: int = 0
    chosen: int = 0
    masked: bool = False
    mark: str = ""

    @property
    def paintable(self) -> bool:
        return self.sitter is not None and self.sitter.landmarks is not None


@dataclass(frozen=True)
class Shown:
    """HTML: the changed face with a line a version, and a card a version."""

    face: str = ""
    cards: str = ""


@dataclass(frozen=True)
class Charted:
    """Every version's answers along one slider; `setting` is the rest of what they hold for, `mark`
    the face's. It holds no pixels: it is remembered anew with every chart, the face only once.
    """

    slider: str
    setting: Changes
    mark: str
    sweeps: tuple[Sweep, ...] = ()


def take(
    models: Sequence[Model],
    image: Image.Image | ImageError,
    origin: str = "own",
    chosen: int = 0,
) -> Taken:
    """Take a face of an RGB picture to play with; `origin` is one of ORIGINS."""
    if isinstance(image, ImageError):
        return Taken(str(image))
    try:
        subjects = subjects_for(models, image)
    except NoFaceError:
        return Taken(
            "No face was found in the picture: give one where a face is larger and in view."
        )
    count = len(subjects.crops)
    chosen = min(max(chosen, 0), count - 1)
    landmarks = subjects.landmarks[chosen] if any(is_mask(m.task) for m in models) else None
    sitter = seat(image, subjects.crops[chosen], landmarks)
    masked = _masked(models, sitter.crop.image)
    notice = ORIGINS[origin] + _found(subjects, chosen)
    notice += "" if sitter.landmarks else NO_LANDMARKS
    return Taken(notice, sitter, count, chosen, masked, digest_of(sitter.crop.image))


def _masked(models: Sequence[Model], crop: Image.Image) -> bool:
    """Whether the newest version that knows of masks sees one."""
    knowing = [model for model in models if is_mask(model.task)]
    if not knowing:
        return False
    newest = max(knowing, key=lambda model: by_number(model.name))
    return newest.predict([crop])[0].label != BARE


def _found(subjects: Subjects, chosen: int) -> str:
    if subjects.tight:
        return "The picture looks like a face crop already: it is taken whole."
    if len(subjects.faces) == 1:
        return "Move a slider: every version answers anew."
    size = "the largest" if chosen == 0 else f"number {chosen + 1}"
    return f"{len(subjects.faces)} faces found; {size} is taken."


def show(models: Sequence[Model], taken: Taken | None, changes: Changes) -> Shown:
    """The changed face, and what every version makes of it."""
    if taken is None or taken.sitter is None:
        return Shown(f'<p role="status">{FORGOTTEN}</p>' if taken is None else "")
    try:
        crop = apply(taken.sitter, changes)
    except ChangeError as error:
        return Shown(f'<p role="status">{escape(str(error))}</p>')
    # Each version's best way: Grad-CAM would be the fastest, and misleads about some versions.
    answers = at_once(lambda m: answer_and_explain(m, crop, [default_way(m)]), models)
    pairs = list(zip(models, answers, strict=True))
    face = face_html(crop, changes, taken.masked) + lines_html(pairs)
    return Shown(f'<div class="whole">{face}</div>', cards_html(pairs, crop, changes))


def _rest(changes: Changes, slider: str) -> Changes:
    """The setting but for one slider."""
    return changes.at(slider, SLIDERS[slider].neutral)


def curves_key(taken: Taken | None, changes: Changes, slider: str) -> str:
    """Tells whether the curves along a slider are others than before."""
    return f"{taken.mark} {slider} {_rest(changes, slider)}" if taken else ""


def chart(
    models: Sequence[Model],
    taken: Taken | None,
    changes: Changes,
    slider: str,
    known: Charted | None = None,
) -> Iterator[Charted]:
    """Every version's answers along a slider (a key of SLIDERS), yielded one version after another.

    They are the same wherever that slider stands: `known` is used where it is about the same face
    and the same rest of the setting.
    """
    if taken is None or taken.sitter is None:
        return
    rest = _rest(changes, slider)
    charted = Charted(slider, rest, taken.mark)
    if known and (known.slider, known.setting) == (slider, rest) and known.mark == taken.mark:
        charted = known
    if len(charted.sweeps) == len(models):
        yield charted
    missing = models[len(charted.sweeps) :]
    try:
        found = sweeps(missing, taken.sitter, rest, slider) if missing else ()
    except ChangeError:
        return
    for one in found:
        charted = Charted(slider, rest, taken.mark, (*charted.sweeps, one))
        yield charted
