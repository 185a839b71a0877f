"""The handlers of the test set's disagreements: what to show of them. Plain, without Gradio."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from ..dataset.data import Picture, read_crop
from ..explaining.draw import CLASS_TITLES, data_url
from ..networks.model import CLASSES
from ..pictures.digest import digest_of
from ..views.words import says
from .compare_view import Given
from .disagreements import Disagreement, SplitAnswers, kind_key, kinds, tally_sentences

PAGE = 48  # pictures
SIDE = 112  # of a thumbnail, in pixels
ALL = ""
SAME = "Choose two different versions."


@dataclass(frozen=True)
class Wanted:
    """Whose disagreements, of which kind (a key; "" for all), and which page (from 0)."""

    first: str
    second: str
    kind: str = ALL
    unaugmented: bool = False
    page: int = 0


@dataclass(frozen=True)
class Disagreements:
    """What is shown: a notice, counts, the kinds to choose from, the pages' names and the chosen
    ones, and a page of pictures (HTML).
    """

    notice: str = ""
    counts: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    kind: str = ALL
    pages: tuple[str, ...] = ()
    page: int = 0
    pictures: str = ""


def disagreements_of(split: SplitAnswers, wanted: Wanted) -> Disagreements:
    """One page of the disagreements of a split that is answered. Raises DataError.

    A kind or a page that there is none of falls back to all kinds and to the last page.
    """
    if wanted.first == wanted.second:
        return Disagreements(SAME)
    found = split.between(wanted.first, wanted.second, wanted.unaugmented)
    choices = kinds(found, wanted.first, wanted.second)
    kind = wanted.kind if wanted.kind in {key for _, key in choices} else ALL
    chosen = [d for d in found if kind in (ALL, kind_key(d.kind))]
    starts = range(0, len(chosen), PAGE)
    page = max(0, min(wanted.page, len(starts) - 1))
    return Disagreements(
        notice=_notice(split, wanted, len(found)),
        counts=_counts(found, wanted),
        kinds=((f"All of them ({len(found)})", ALL), *choices),
        kind=kind,
        pages=tuple(f"{s + 1}–{min(s + PAGE, len(chosen))}" for s in starts),
        page=page,
        pictures=_tiles(split, chosen[page * PAGE : (page + 1) * PAGE], wanted),
    )


def _notice(split: SplitAnswers, wanted: Wanted, count: int) -> str:
    some = [p for p in split.pictures if not (wanted.unaugmented and p.augmented)]
    kind = "un-augmented test pictures" if wanted.unaugmented else "test pictures"
    return f"{wanted.first} and {wanted.second} disagree on {count} of {len(some)} {kind}."


def _counts(found: Sequence[Disagreement], wanted: Wanted) -> str:
    sentences = tally_sentences(found, wanted.first, wanted.second)
    return f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in sentences)}</ul>" if sentences else ""


def _tiles(split: SplitAnswers, page: Sequence[Disagreement], wanted: Wanted) -> str:
    tiles = "".join(_tile(split.pictures[d.number], d, wanted) for d in page)
    return f'<div class="tiles">{tiles}</div>' if tiles else ""


def _tile(picture: Picture, found: Disagreement, wanted: Wanted) -> str:
    said = _said(found, found.first, wanted.first) + _said(found, found.second, wanted.second)
    copy = " <small>made copy</small>" if picture.augmented else ""
    return f"""
<button type="button" data-number="{found.number}" title="Compare all versions on this picture">
  <img src="{_thumbnail(picture)}" alt="Test picture {found.number + 1}" width="{SIDE}">
  <span class="truth">In truth: {CLASS_TITLES[CLASSES[found.truth]]}{copy}</span>{said}
</button>"""


def _said(found: Disagreement, label: int, version: str) -> str:
    right = label == found.truth
    mark = '<b class="right">✓ right</b>' if right else '<b class="wrong">✗ wrong</b>'
    name = CLASSES[label]
    return f'<span><i class="dot {name}"></i>{escape(version)}: {CLASS_TITLES[name]} {mark}</span>'


def _thumbnail(picture: Picture) -> str:
    """As a `data:` URL: no address leads to the data folder."""
    image = read_crop(picture.file)
    image.thumbnail((SIDE, SIDE))
    return data_url(image, "webp")


def picked(split: SplitAnswers, number: object) -> tuple[Image.Image, Given] | None:
    """A disagreement's picture by its number; None for what is none. Raises DataError."""
    if not isinstance(number, int) or not split.disagreed(number):
        return None
    picture = split.pictures[number]
    answers = split.answers_to(number)
    image = read_crop(picture.file)
    caption = (
        f"Test picture {number + 1}, in truth “{CLASS_TITLES[CLASSES[picture.label]]}”"
        f"{' (a made copy)' if picture.augmented else ''}: "
        f"{says(list(answers), list(answers.values()))}."
    )
    return image, Given(digest_of(image), caption, whole=True)
