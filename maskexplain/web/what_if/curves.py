"""A version's answers along one slider: as figures, as a chart, and where they flip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ...models.threads import at_once
from ...models.version import Model
from ...task import Task
from ..charts import Frame
from .changes import SLIDERS, Changes, Sitter, Slider, apply

POINTS = 24


@dataclass(frozen=True)
class Sweep:
    """The probabilities at some values of a slider, from its low to its high end.

    `probabilities`: a row a value, in class order, 0..1 each.
    """

    version: str
    task: Task
    slider: str
    values: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class answered at each value."""
        return tuple(self.task.names[row.index(max(row))] for row in self.probabilities)

    def runs(self) -> list[tuple[str, int, int]]:
        """Stretches of the same answer: its class, and their first and last value."""
        found: list[tuple[str, int, int]] = []
        for value, label in zip(self.values, self.labels, strict=True):
            if found and found[-1][0] == label:
                found[-1] = (label, found[-1][1], value)
            else:
                found.append((label, value, value))
        return found


def sweeps(
    models: Sequence[Model],
    sitter: Sitter,
    changes: Changes,
    slider: str,
    values: tuple[int, ...] | None = None,
) -> Iterator[Sweep]:
    """Every version's answers to the face at these values of a slider (a key of SLIDERS).

    `values` None: some 24 of them, evenly from end to end, the neutral one and the present one
    among them. Raises ChangeError for a mask on a face without landmarks.
    """
    values = values or even_values(slider, changes[slider])
    crops = [apply(sitter, changes.at(slider, value)) for value in values]  # once for all versions

    def answered(model: Model) -> Sweep:
        rows = model.logits(crops).softmax(1).tolist()
        return Sweep(model.name, model.task, slider, values, tuple(map(tuple, rows)))

    return at_once(answered, models)


def even_values(slider: str, *also: int) -> tuple[int, ...]:
    """24 values of a slider, evenly from end to end, its neutral one and others besides."""
    bounds = SLIDERS[slider]
    step = (bounds.high - bounds.low) / (POINTS - 1)
    even = {round(bounds.low + step * index) for index in range(POINTS)}
    return tuple(sorted(even | {bounds.neutral, *also}))


FRAME = Frame(width=260, height=140, left=34, right=8, top=8, bottom=36)
BAND = 6  # height of the strip that shows the answer


def sweep_svg(sweep: Sweep) -> str:
    """Three curves, a strip with the answer below them, and a line at the present value.

    Where that line stands is said by `present_style`, so that it moves without a new drawing.
    """
    slider = SLIDERS[sweep.slider]
    lines = "".join(_line(slider, sweep, index) for index in range(len(sweep.task)))
    label = escape(words(sweep))
    return f"""
<svg class="sweep" viewBox="0 0 {FRAME.width} {FRAME.height}" role="img" aria-label="{label}">
  {_axes(slider)}{_strip(slider, sweep)}{lines}
  <line class="present" style="transform: translateX(var(--now-{slider.key}))" y1="{FRAME.top - 6}"
    y2="{FRAME.y(0) + BAND + 3:.1f}"/>
</svg>"""


def present_style(changes: Changes, within: str) -> str:
    """A style element that puts the lines of the charts `within` a CSS selector in place."""
    places = "".join(
        f"--now-{key}: {_x(slider, changes[key]):.1f}px; " for key, slider in SLIDERS.items()
    )
    return f"<style>{within} {{ {places}}}</style>"


def words(sweep: Sweep) -> str:
    """The curves for who cannot see them."""
    slider = SLIDERS[sweep.slider]
    answers = (
        f"{sweep.task.title(label)} at {slider.text(first)}"
        + (f" to {slider.text(last)}" if last != first else "")
        for label, first, last in sweep.runs()
    )
    return f"Answers of {sweep.version} along {slider.title.lower()}: {', '.join(answers)}"


def _line(slider: Slider, sweep: Sweep, index: int) -> str:
    rows = zip(sweep.values, sweep.probabilities, strict=True)
    points = " ".join(f"{_x(slider, value):.1f},{FRAME.y(row[index]):.1f}" for value, row in rows)
    return f'<polyline style="{sweep.task.style(sweep.task.names[index])}" points="{points}"/>'


def _strip(slider: Slider, sweep: Sweep) -> str:
    """Which class is answered, from half-way to the value before to half-way to the next."""
    edges = [slider.low]
    edges += [(a + b) / 2 for a, b in zip(sweep.values, sweep.values[1:], strict=False)]
    edges.append(slider.high)
    return "".join(
        f'<rect style="{sweep.task.style(label)}" x="{_x(slider, start):.1f}" '
        f'y="{FRAME.y(0) + 2:.1f}" '
        f'height="{BAND}" width="{_x(slider, end) - _x(slider, start) + 0.3:.1f}"/>'
        for label, start, end in zip(sweep.labels, edges[:-1], edges[1:], strict=True)
    )


def _axes(slider: Slider) -> str:
    between = slider.neutral
    if between in (slider.low, slider.high):
        between = (slider.low + slider.high) // 2
    marks = ((slider.low, "start"), (between, "middle"), (slider.high, "end"))
    return FRAME.rows() + "".join(
        f'<text x="{_x(slider, value):.1f}" y="{FRAME.y(0) + 20:.1f}" text-anchor="{anchor}">'
        f"{slider.text(value)}</text>"
        for value, anchor in marks
    )


def _x(slider: Slider, value: float) -> float:
    return FRAME.x(slider.share(slider.low, value))


# --- flips


@dataclass(frozen=True)
class Flip:
    """A version's answer changes from `before` to `after` when `slider` goes from `start` to
    `value`, and one step earlier it does not.

    `before` and `after` are the classes' titles. `share`: how far that is, as a part (0..1) of the
    slider's whole way.
    """

    version: str
    slider: str
    start: int
    value: int
    before: str
    after: str

    @property
    def share(self) -> float:
        return SLIDERS[self.slider].share(self.start, self.value)

    def sentence(self) -> str:
        """For people."""
        slider = SLIDERS[self.slider]
        where = slider.moved[self.value > self.start].format(slider.text(self.value))
        return f"{self.version} says “{self.after}” as soon as {where}"


@dataclass(frozen=True)
class FlipSearch:
    """What was found so far.

    `changes`: the setting that it starts from. `flips`: smallest share first. `kept`: pairs of a
    version and a slider along which its answer stays the same. `waiting`: such pairs that are not
    searched yet.
    """

    changes: Changes
    flips: tuple[Flip, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()


def find_flips(models: Sequence[Model], sitter: Sitter, changes: Changes) -> Iterator[FlipSearch]:
    """Search every version along every slider, from `changes`; yields before each slider and at
    the end.

    Raises ChangeError for a mask on a face without landmarks.
    """
    pairs = tuple((model.name, key) for key in SLIDERS for model in models)
    search = FlipSearch(changes, waiting=pairs)
    for key in SLIDERS:
        yield search
        found = flips_along(models, sitter, changes, key)
        kept = [(name, key) for name, flips in found.items() if not flips]
        flips = [flip for those in found.values() for flip in those]
        search = FlipSearch(
            changes,
            tuple(sorted((*search.flips, *flips), key=lambda flip: flip.share)),
            (*search.kept, *kept),
            search.waiting[len(models) :],
        )
    yield search


def flips_along(
    models: Sequence[Model], sitter: Sitter, changes: Changes, slider: str
) -> dict[str, tuple[Flip, ...]]:
    """Going down and going up one slider, where each version's answer first differs from that at
    `changes`; by the version's name, the nearer one first, none where it never does.

    24 values from end to end are looked at; between the first that differs and the one before it
    the change is found to the step by halving. An answer that comes and goes between two of the 24
    is missed.
    """
    coarse = list(sweeps(models, sitter, changes, slider))
    pairs = list(zip(models, coarse, strict=True))
    found = at_once(lambda pair: _flips(*pair, sitter, changes, slider), pairs)
    return {model.name: flips for model, flips in zip(models, found, strict=True)}


def _flips(
    model: Model, coarse: Sweep, sitter: Sitter, changes: Changes, slider: str
) -> tuple[Flip, ...]:
    start, title = changes[slider], model.task.title
    before = coarse.labels[coarse.values.index(start)]
    brackets = [b for b in (_bracket(coarse, start, way) for way in (-1, 1)) if b is not None]
    found = [_halved(model, sitter, changes, slider, same, other) for same, other in brackets]
    flips = [
        Flip(model.name, slider, start, value, title(before), title(after))
        for value, after in found
    ]
    return tuple(sorted(flips, key=lambda flip: flip.share))


Answered = tuple[int, str]  # a value and the class answered there


def _bracket(coarse: Sweep, start: int, way: int) -> tuple[Answered, Answered] | None:
    """Going one way (-1 or 1): the last value with the present answer, the first with another."""
    answers = list(zip(coarse.values, coarse.labels, strict=True))[::way]
    answers = answers[[value for value, _ in answers].index(start) :]
    for same, other in zip(answers, answers[1:], strict=False):
        if other[1] != answers[0][1]:
            return same, other
    return None


def _halved(
    model: Model,
    sitter: Sitter,
    changes: Changes,
    slider: str,
    same: Answered,
    other: Answered,
) -> Answered:
    """The value next to one with the answer of `same` that has another; the answer there."""
    while abs(same[0] - other[0]) > 1:
        middle = (same[0] + other[0]) // 2
        (at_middle,) = sweeps([model], sitter, changes, slider, (middle,))
        label = at_middle.labels[0]
        if label == same[1]:
            same = (middle, label)
        else:
            other = (middle, label)
    return other


def setting_of(search: FlipSearch, index: int) -> Changes:
    """The setting at which a found flip (by its place in the list) has happened."""
    flip = search.flips[index]
    return search.changes.at(flip.slider, flip.value)
