"""The smallest change of one slider that changes a version's answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...models.threads import at_once
from ...models.version import Model
from .changes import Changes, Sitter
from .curves import Sweep, sweeps
from .sliders import SLIDERS


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
