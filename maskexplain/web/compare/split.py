"""The pictures of a data split on which two versions disagree, shown in the tab Compare.

These are the data's pictures and no visitor's. Each is answered once for all visitors; only
answers are held, no pixels.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from threading import Lock

import gradio as gr
from PIL import Image

from ...data.folder import DataError, Picture, read_crop
from ...explain.draw import data_url
from ...images.read import digest_of
from ...models.checkpoints import by_number
from ...models.version import Model
from ...task import Task
from ..parts import says, status
from .view import Given, Visit

BATCH = 16


class SplitAnswers:
    """Every version's answers to some pictures, found when they are first asked for.

    The pictures are labelled with the classes of `labels`, by default the newest version's;
    versions that share none of these are left out. `task` has these classes, then what else the
    versions may answer. Several visitors may ask at once: each one's asking carries the same work
    on.
    """

    def __init__(
        self, models: Sequence[Model], pictures: Sequence[Picture], labels: Task | None = None
    ) -> None:
        labels = labels or models[-1].task
        known = {*labels.names}
        self.models = tuple(m for m in models if not known.isdisjoint(m.task.names))
        self.task = _with_all_answers(labels, self.models)
        self.pictures = tuple(pictures)
        self._answers: dict[str, list[int]] = {model.name: [] for model in self.models}
        self._done = 0
        self._lock = Lock()

    def advance(self) -> Iterator[int]:
        """Answer what is not answered yet; yields how many are. Raises DataError."""
        while self._done < len(self.pictures):
            with self._lock:
                self._answer_batch()
            yield self._done

    def _answer_batch(self) -> None:
        batch = self.pictures[self._done : self._done + BATCH]
        crops = [read_crop(picture.file) for picture in batch]
        answers = {model.name: model.predict(crops) for model in self.models}
        for name, predictions in answers.items():
            self._answers[name] += [self.task.index(p.label) for p in predictions]
        self._done += len(batch)

    @property
    def complete(self) -> bool:
        """Whether every picture has been answered."""
        return self._done == len(self.pictures)

    def disagreed(self, number: int) -> bool:
        """Whether this is a picture's number on which any two versions disagree."""
        known = self.complete and 0 <= number < len(self.pictures)
        return known and len({answers[number] for answers in self._answers.values()}) > 1

    def answers_to(self, number: int) -> dict[str, str]:
        """Every version's answer (a class) to a picture that has been answered."""
        return {name: self.task.names[a[number]] for name, a in self._answers.items()}

    def between(self, first: str, second: str, unaugmented: bool = False) -> list["Disagreement"]:
        """The pictures on which two versions (names) disagree, in the data's order."""
        pairs = zip(self.pictures, self._answers[first], self._answers[second], strict=True)
        return [
            Disagreement(number, picture.label, one, other)
            for number, (picture, one, other) in enumerate(pairs)
            if one != other and not (unaugmented and picture.augmented)
        ]


def _with_all_answers(labels: Task, models: Sequence[Model]) -> Task:
    """The labels' classes, and behind them those that only versions know. Raises TaskError."""
    more = {one.name: one for model in models for one in model.task.classes}
    others = tuple(one for name, one in more.items() if name not in labels)
    return replace(labels, classes=(*labels.classes, *others)) if others else labels


@dataclass(frozen=True)
class Disagreement:
    """A picture (its number in the split), its true class and two versions' answers (indices)."""

    number: int
    truth: int
    first: int
    second: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """True class, what the first says, what the second says."""
        return self.truth, self.first, self.second


def kind_key(kind: tuple[int, int, int]) -> str:
    """A kind as text, for a control's value."""
    return "-".join(map(str, kind))


def kinds(
    task: Task, found: Sequence[Disagreement], first: str, second: str
) -> list[tuple[str, str]]:
    """The kinds of disagreement with their counts, most frequent first: (in words, its key)."""
    counted = Counter(one.kind for one in found).most_common()
    titles = [one.title for one in task.classes]
    return [
        (
            f"{titles[truth]} in truth; {first}: {titles[one]}, {second}: {titles[other]} "
            f"({count})",
            kind_key((truth, one, other)),
        )
        for (truth, one, other), count in counted
    ]


@dataclass(frozen=True)
class Tally:
    """Of some disagreements, how many the first and the second version got right, and neither."""

    total: int
    first: int
    second: int

    @property
    def neither(self) -> int:
        return self.total - self.first - self.second


def tally(found: Sequence[Disagreement], truth: int | None = None) -> Tally:
    """The count, of all or of those of one true class (its index)."""
    some = [one for one in found if truth in (None, one.truth)]
    first, second = (sum(getattr(d, w) == d.truth for d in some) for w in ("first", "second"))
    return Tally(len(some), first, second)


def tally_sentences(
    task: Task, found: Sequence[Disagreement], first: str, second: str
) -> list[str]:
    """The counts in words: all, then class by class."""
    lines = [("Of all", tally(found))]
    lines += [(f"{c.title} in truth", tally(found, i)) for i, c in enumerate(task.classes)]
    return [
        f"{what} {t.total}: {first} right {t.first}, {second} right {t.second}, "
        f"neither {t.neither}."
        for what, t in lines
        if t.total
    ]


PAGE = 48  # pictures
SIDE = 112  # of a thumbnail, in pixels
ALL = ""
SAME = "Choose two different versions."


@dataclass(frozen=True)
class Selection:
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


def disagreements_of(split: SplitAnswers, selection: Selection) -> Disagreements:
    """One page of the disagreements of a split that is answered. Raises DataError.

    A kind or a page that there is none of falls back to all kinds and to the last page.
    """
    if selection.first == selection.second:
        return Disagreements(SAME)
    found = split.between(selection.first, selection.second, selection.unaugmented)
    choices = kinds(split.task, found, selection.first, selection.second)
    kind = selection.kind if selection.kind in {key for _, key in choices} else ALL
    chosen = [d for d in found if kind in (ALL, kind_key(d.kind))]
    starts = range(0, len(chosen), PAGE)
    page = max(0, min(selection.page, len(starts) - 1))
    return Disagreements(
        notice=_notice(split, selection, len(found)),
        counts=_counts(split.task, found, selection),
        kinds=((f"All of them ({len(found)})", ALL), *choices),
        kind=kind,
        pages=tuple(f"{s + 1}–{min(s + PAGE, len(chosen))}" for s in starts),
        page=page,
        pictures=_tiles(split, chosen[page * PAGE : (page + 1) * PAGE], selection),
    )


def _notice(split: SplitAnswers, selection: Selection, count: int) -> str:
    some = [p for p in split.pictures if not (selection.unaugmented and p.augmented)]
    kind = "un-augmented test pictures" if selection.unaugmented else "test pictures"
    return f"{selection.first} and {selection.second} disagree on {count} of {len(some)} {kind}."


def _counts(task: Task, found: Sequence[Disagreement], selection: Selection) -> str:
    sentences = tally_sentences(task, found, selection.first, selection.second)
    return f"<ul>{''.join(f'<li>{escape(s)}</li>' for s in sentences)}</ul>" if sentences else ""


def _tiles(split: SplitAnswers, page: Sequence[Disagreement], selection: Selection) -> str:
    tiles = "".join(_tile(split.task, split.pictures[d.number], d, selection) for d in page)
    return f'<div class="tiles">{tiles}</div>' if tiles else ""


def _tile(task: Task, picture: Picture, found: Disagreement, selection: Selection) -> str:
    answers = ((found.first, selection.first), (found.second, selection.second))
    said = "".join(_said(task, found, label, version) for label, version in answers)
    copy = " <small>made copy</small>" if picture.augmented else ""
    return f"""
<button type="button" data-number="{found.number}" title="Compare all versions on this picture">
  <img src="{_thumbnail(picture)}" alt="Test picture {found.number + 1}" width="{SIDE}">
  <span class="truth">In truth: {escape(task.classes[found.truth].title)}{copy}</span>{said}
</button>"""


def _said(task: Task, found: Disagreement, label: int, version: str) -> str:
    right = label == found.truth
    mark = '<b class="right">✓ right</b>' if right else '<b class="wrong">✗ wrong</b>'
    one = task.classes[label]
    dot = f'<i class="dot" style="{task.style(one.name)}"></i>'
    return f"<span>{dot}{escape(version)}: {escape(one.title)} {mark}</span>"


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
        f"Test picture {number + 1}, in truth “{split.task.classes[picture.label].title}”"
        f"{' (a made copy)' if picture.augmented else ''}: "
        f"{says(split.models, list(answers.values()))}."
    )
    return image, Given(digest_of(image), caption, whole=True)


# --- their place in the tab Compare

PROGRESS = gr.Progress()
TITLE = "<h2>Test pictures on which two versions disagree</h2>"
WITHOUT = (
    "To see them, start the program with the data folder: maskexplain serve --data DIR (an image "
    "folder with a folder for each class)."
)
FIRST = (
    "Every version answers every test picture once; that takes a minute, on a busy machine more."
)
UNREADABLE = (
    "A picture of the data folder cannot be read: whoever serves this page finds its name in the "
    "terminal."
)
ONE_VERSION = "One version alone answers these classes: serve two or more that do."
# A tile is a button with its picture's number.
CLICKED = """element.addEventListener('click', (event) => {
  const tile = event.target.closest('button[data-number]');
  if (tile) trigger('select', {number: Number(tile.dataset.number)});
});"""
SCROLL = "() => document.getElementById('compare-photo')?.scrollIntoView({behavior: 'smooth'})"


def add_disagreements(
    models: Sequence[Model], split: SplitAnswers | None, photo: gr.Image, visit: gr.State
) -> None:
    """Build and wire them here; a clicked picture goes to `photo`, and `visit` says where from."""
    gr.HTML(TITLE, elem_classes="compare-title")
    answering = split.models if split else models
    names = sorted({model.name for model in answering}, key=by_number)
    if split is None or len(names) < 2:
        gr.HTML(status(WITHOUT if split is None else ONE_VERSION), elem_id="disagreements-notice")
        return
    part = _layout(names)
    _wire(split, part)
    _wire_click(split, part, photo, visit)


@dataclass(frozen=True)
class _Part:
    first: gr.Radio
    second: gr.Radio
    unaugmented: gr.Checkbox
    find: gr.Button
    notice: gr.HTML
    counts: gr.HTML
    kind: gr.Dropdown
    page: gr.Radio
    pictures: gr.HTML

    @property
    def controls(self) -> list[gr.components.Component]:
        """What is selection."""
        return [self.first, self.second, self.kind, self.unaugmented, self.page]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an answer changes."""
        return [self.notice, self.counts, self.kind, self.page, self.pictures]


def _layout(names: Sequence[str]) -> _Part:
    with gr.Row(elem_id="disagreements"):
        first = gr.Radio(names, value=names[-2], label="This version", elem_id="first-version")
        second = gr.Radio(names, value=names[-1], label="and this one", elem_id="second-version")
        unaugmented = gr.Checkbox(
            label="Only pictures as taken, no made copies", elem_id="unaugmented"
        )
    find = gr.Button("Find disagreements", variant="primary", elem_id="find-disagreements")
    notice = gr.HTML(status(FIRST), elem_id="disagreements-notice")
    counts = gr.HTML(elem_id="disagreements-counts")
    kind = gr.Dropdown([], label="Which of them?", visible=False, elem_id="disagreements-kind")
    pictures = gr.HTML(js_on_load=CLICKED, elem_id="disagreements-pictures")
    page = gr.Radio([], label="Pictures", visible=False, elem_id="disagreements-page")
    return _Part(first, second, unaugmented, find, notice, counts, kind, page, pictures)


def _wire(split: SplitAnswers, part: _Part) -> None:
    def find(first, second, kind, unaugmented, page, progress=PROGRESS):
        try:
            for done in split.advance():
                progress((done, len(split.pictures)), desc="Answering the test pictures")
            selection = Selection(first, second, kind or ALL, unaugmented, page or 0)
            return _updates(part, disagreements_of(split, selection))
        except DataError as error:
            print(f"app.py: {error}", file=sys.stderr)
            return _updates(part, Disagreements(UNREADABLE))

    def again(*selection):
        """Once they are found, every change shows others; before that it waits for the button."""
        return find(*selection) if split.complete else {part.notice: status(FIRST)}

    def from_the_start(first, second, kind, unaugmented, _page):
        return again(first, second, kind, unaugmented, 0)

    # Apart from the photos' answers: a search must not keep them waiting.
    search = {"concurrency_id": "disagreements", "concurrency_limit": 2}
    # One place for the bar.
    search |= {"show_progress_on": part.notice}
    part.find.click(find, part.controls, part.outputs, **search)
    for control in (part.first, part.second, part.kind, part.unaugmented):
        control.input(from_the_start, part.controls, part.outputs, **search)
    part.page.input(again, part.controls, part.outputs, **search)


def _wire_click(split: SplitAnswers, part: _Part, photo: gr.Image, visit: gr.State) -> None:
    def pick(event: gr.EventData, visit: Visit):
        found = picked(split, getattr(event, "number", None))
        if found is None:
            return gr.skip(), gr.skip()
        image, given = found
        return image, replace(visit, given=given)

    picking = part.pictures.select(pick, visit, [photo, visit], show_progress="hidden")
    picking.then(None, js=SCROLL)


def _updates(part: _Part, view: Disagreements) -> dict:
    pages = [(name, index) for index, name in enumerate(view.pages)]
    several = len(pages) > 1
    return {
        part.notice: status(view.notice),
        part.counts: view.counts,
        part.kind: gr.Dropdown(list(view.kinds), value=view.kind, visible=len(view.kinds) > 1),
        part.page: gr.Radio(pages, value=view.page if pages else None, visible=several),
        part.pictures: view.pictures,
    }
