"""A version's answers along one slider, everything else as it is set."""

from dataclasses import dataclass, replace

from ..networks.answer import MaskModel
from ..networks.model import CLASSES
from .changes import SLIDERS, Changes, Sitter, apply

POINTS = 24


@dataclass(frozen=True)
class Sweep:
    """The probabilities at some values of a slider, from its low to its high end.

    `probabilities`: a row a value, in class order, 0..1 each.
    """

    version: str
    slider: str
    values: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class answered at each value."""
        return tuple(CLASSES[row.index(max(row))] for row in self.probabilities)

    def runs(self) -> list[tuple[str, int, int]]:
        """Stretches of the same answer: its class, and their first and last value."""
        found: list[tuple[str, int, int]] = []
        for value, label in zip(self.values, self.labels, strict=True):
            if found and found[-1][0] == label:
                found[-1] = (label, found[-1][1], value)
            else:
                found.append((label, value, value))
        return found


def sweep(
    model: MaskModel,
    sitter: Sitter,
    changes: Changes,
    slider: str,
    values: tuple[int, ...] | None = None,
) -> Sweep:
    """Answer the face at these values of a slider (a key of SLIDERS), in batches.

    `values` None: some 24 of them, evenly from end to end, the neutral one and the present one
    among them. Raises ChangeError for a mask on a face without landmarks.
    """
    values = values or even_values(slider, getattr(changes, slider))
    crops = [apply(sitter, replace(changes, **{slider: value})) for value in values]
    rows = model.logits(crops).softmax(1).tolist()
    return Sweep(model.name, slider, values, tuple(map(tuple, rows)))


def even_values(slider: str, *also: int) -> tuple[int, ...]:
    """24 values of a slider, evenly from end to end, its neutral one and others besides."""
    bounds = SLIDERS[slider]
    step = (bounds.high - bounds.low) / (POINTS - 1)
    even = {round(bounds.low + step * index) for index in range(POINTS)}
    return tuple(sorted(even | {bounds.neutral, *also}))
