"""The What if tab's handlers: a face and a setting in, HTML out. Plain functions, no Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from PIL import Image

from ...explain.draw import data_url, enlarge, overlay
from ...explain.explain import Answer, answer_and_explain, prompt_way
from ...explain.report import subjects_for
from ...explain.verdicts import record_sentence
from ...images.crops import NoFaceError, Subjects
from ...images.read import ImageError, digest_of
from ...masks.task import BARE, is_mask
from ...models.checkpoints import by_number
from ...models.threads import at_once
from ...models.version import Model, any_faces
from ..assets import macros
from ..parts import TIGHT, status
from .changes import SLIDERS, ChangeError, Changes, Sitter, apply, seat
from .curves import POINTS, FlipSearch, Sweep, present_style, sweep_svg, sweeps

CHARTS = "whatif-charts"  # the id of what the charts are put into
HEAT_SIDE, FACE_SIDE = 200, 320  # pixels
_MACROS = macros("what_if")

MASK_TITLES = {
    "none": "None",
    "right": "Worn correctly",
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
    warning = ""
    if changes.mask != "none" and masked:
        warning = "This face seems to wear a mask already; painted ones are meant for a bare face."
    url = data_url(enlarge(crop, FACE_SIDE), "jpeg")
    return _MACROS.face(url, changes_in_words(changes), warning)


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
    return _MACROS.lines([(model, found.prediction) for model, found in pairs])


def cards_html(pairs: Answered, crop: Image.Image, changes: Changes) -> str:
    """A card a version: its bars, and its heat over the changed face."""
    setting = " ".join(f"{key}={value}" for key, value in changes.values.items())
    style = Markup(present_style(changes, f"#{CHARTS}"))
    shown = [(model, answer, *_map_and_record(model, answer, crop)) for model, answer in pairs]
    return _MACROS.cards(shown, setting, style)


def _map_and_record(model: Model, answer: Answer, crop: Image.Image) -> tuple[str, str]:
    """The heat over the face as a `data:` URL, and how often such maps were right."""
    explanation = answer.explanations[0]
    url = data_url(overlay(crop, explanation, HEAT_SIDE), "jpeg")
    return url, record_sentence(model, explanation.way)


def charts_html(sweeps: Sequence[Sweep], key: str, versions: int) -> str:
    """A chart a version along one slider (a key of SLIDERS).

    There are `versions` of them; those that `sweeps` lacks are said to be on their way.
    """
    drawn = [(found, Markup(sweep_svg(found))) for found in sweeps]
    tasks = dict.fromkeys(found.task for found in sweeps)
    looks = [(task.style(one.name), one.title) for task in tasks for one in task.classes]
    missing, title = versions - len(sweeps), SLIDERS[key].title.lower()
    return _MACROS.charts(drawn, title, missing, dict.fromkeys(looks))


def flips_html(search: FlipSearch) -> str:
    """What the search found: the smallest change, and where answers stay."""
    if search.waiting:
        searched = {(flip.version, flip.slider) for flip in search.flips} | set(search.kept)
        done, title = len(searched), SLIDERS[search.waiting[0][1]].title.lower()
        return _MACROS.searching(title, done, done + len(search.waiting))
    first = search.flips[0] if search.flips else None
    return _MACROS.found(first, POINTS, changes_in_words(search.changes), _kept(search))


def _kept(search: FlipSearch) -> dict[str, str]:
    """By a version's name, the sliders along which it keeps its answer."""
    versions = dict.fromkeys(version for version, _ in search.kept)
    return {
        name: ", ".join(
            SLIDERS[key].title.lower() for version, key in search.kept if version == name
        )
        for name in versions
    }


def flip_lines(search: FlipSearch) -> list[str]:
    """A line for each found flip, the smallest change first."""
    return [f"{flip.sentence()} ({flip.share:.0%} of the way)" for flip in search.flips]


ORIGINS = {
    "own": "",
    "photo": "Taken over from the Photo tab. ",
    "example": "An example: a public-domain portrait. Give a photo of your own further down. ",
}
MOVE = "Move a slider: every version answers anew."
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
    notice = ORIGINS[origin] + (_found(subjects, chosen) if any_faces(models) else MOVE)
    notice += NO_LANDMARKS if any_faces(models) and not sitter.landmarks else ""
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
        return TIGHT
    if len(subjects.faces) == 1:
        return MOVE
    size = "the largest" if chosen == 0 else f"number {chosen + 1}"
    return f"{len(subjects.faces)} faces found; {size} is taken."


def show(models: Sequence[Model], taken: Taken | None, changes: Changes) -> Shown:
    """The changed face, and what every version makes of it."""
    if taken is None or taken.sitter is None:
        return Shown(status(FORGOTTEN) if taken is None else "")
    try:
        crop = apply(taken.sitter, changes)
    except ChangeError as error:
        return Shown(status(str(error)))
    # Each version's best way that is not slow: Grad-CAM, the fastest, misleads about some versions.
    answers = at_once(lambda m: answer_and_explain(m, crop, [prompt_way(m)]), models)
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
