"""The What if tab's handlers: a face and a setting in, HTML out. Plain functions, no Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from PIL import Image

from ..explaining.explain import answer_and_explain
from ..finding.photo import NoFaceError, Subjects, find_subjects
from ..networks.answer import MaskModel
from ..networks.at_once import at_once
from ..networks.checkpoints import by_number
from ..networks.model import CLASSES
from ..pictures.digest import digest_of
from ..pictures.images import ImageError
from .changes import SLIDERS, ChangeError, Changes, Sitter, apply, seat
from .sweep import Sweep, sweep
from .what_if_html import METHOD, cards_html, face_html, lines_html

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
    models: Sequence[MaskModel],
    image: Image.Image | ImageError,
    origin: str = "own",
    chosen: int = 0,
) -> Taken:
    """Take a face of an RGB picture to play with; `origin` is one of ORIGINS."""
    if isinstance(image, ImageError):
        return Taken(str(image))
    try:
        subjects = find_subjects(image)
    except NoFaceError:
        return Taken(
            "No face was found in the picture: give one where a face is larger and in view."
        )
    count = len(subjects.crops)
    chosen = min(max(chosen, 0), count - 1)
    sitter = seat(image, subjects.crops[chosen], subjects.landmarks[chosen])
    newest = max(models, key=lambda model: by_number(model.name))
    masked = newest.predict([sitter.crop.image])[0].label != CLASSES[-1]
    notice = ORIGINS[origin] + _found(subjects, chosen)
    notice += "" if sitter.landmarks else NO_LANDMARKS
    return Taken(notice, sitter, count, chosen, masked, digest_of(sitter.crop.image))


def _found(subjects: Subjects, chosen: int) -> str:
    if subjects.tight:
        return "The picture looks like a face crop already: it is taken whole."
    if len(subjects.faces) == 1:
        return "Move a slider: every version answers anew."
    size = "the largest" if chosen == 0 else f"number {chosen + 1}"
    return f"{len(subjects.faces)} faces found; {size} is taken."


def show(models: Sequence[MaskModel], taken: Taken | None, changes: Changes) -> Shown:
    """The changed face, and what every version makes of it."""
    if taken is None or taken.sitter is None:
        return Shown(f'<p role="status">{FORGOTTEN}</p>' if taken is None else "")
    try:
        crop = apply(taken.sitter, changes)
    except ChangeError as error:
        return Shown(f'<p role="status">{escape(str(error))}</p>')
    answers = at_once(lambda model: answer_and_explain(model, crop, [METHOD.method]), models)
    pairs = list(zip(models, answers, strict=True))
    face = face_html(crop, changes, taken.masked) + lines_html(pairs)
    return Shown(f'<div class="whole">{face}</div>', cards_html(pairs, crop, changes))


def _rest(changes: Changes, slider: str) -> Changes:
    """The setting but for one slider."""
    return replace(changes, **{slider: SLIDERS[slider].neutral})


def curves_key(taken: Taken | None, changes: Changes, slider: str) -> str:
    """Tells whether the curves along a slider are others than before."""
    return f"{taken.mark} {slider} {_rest(changes, slider)}" if taken else ""


def chart(
    models: Sequence[MaskModel],
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
    for model in models[len(charted.sweeps) :]:
        try:
            found = sweep(model, taken.sitter, rest, slider)
        except ChangeError:
            return
        charted = Charted(slider, rest, taken.mark, (*charted.sweeps, found))
        yield charted
