"""Check it yourself: places of the face hidden by hand, and every version's answer to the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as nnf

from ...explain.explain import Explanation, ForwardPass
from ...explain.places import blur_places, heat_at
from ...explain.ways import default_way
from ...models.threads import at_once
from ...models.version import Model, Prediction
from ..answers import newest_first
from ..assets import macros
from .html import CELLS
from .view import Kept

MUCH, LITTLE = 1.5, 0.67  # heat for its area: from here on a map foretells a lot, up to here little
GONE = "This face is no longer in memory: give the photo again."
_MACROS = macros("brush")


@dataclass(frozen=True)
class Hidden:
    """What hiding places did to one version's answer.

    `area`: hidden share of the face (0..1); `heat`: share of the map's heat that lay there, None
    where there is no map yet, or no heat.
    """

    model: Model
    before: Prediction
    after: Prediction
    area: float
    heat: float | None

    @property
    def foretold(self) -> str:
        """What the map lets one expect, in words."""
        if self.heat is None:
            return "Its map foretells nothing yet."
        ratio = self.heat / self.area
        word = "little" if ratio <= LITTLE else "much" if ratio >= MUCH else "as much as anywhere"
        return f"{self.heat:.0%} of its heat lies there, so its map says: this matters {word}."

    @property
    def now(self) -> float:
        """What is left of the probability of the class that was answered before, 0..1."""
        return self.after.probabilities[self.before.label]


def places_of(strokes: str) -> torch.Tensor | None:
    """The brush's cells ("0" and "1", row by row) as bool 1 x 24 x 24; None for anything else."""
    if len(strokes) != CELLS * CELLS or not set(strokes) <= {"0", "1"}:
        return None
    cells = np.frombuffer(strokes.encode(), np.uint8).reshape(1, CELLS, CELLS) == ord("1")
    return torch.from_numpy(cells.copy())


def hide(models: Sequence[Model], kept: Kept, places: torch.Tensor) -> list[Hidden]:
    """Ask every version again with these places (bool 1 x h x w) of its picture blurred."""
    asked = [model for model in newest_first(models) if model.name in kept.known.passes]
    return list(at_once(lambda model: _hide(model, kept, places), asked))


def _hide(model: Model, kept: Kept, places: torch.Tensor) -> Hidden:
    forward: ForwardPass = kept.known.passes[model.name]
    size = forward.inputs.shape[-1]
    large = nnf.interpolate(places[None].float(), (size, size))[0] > 0  # 1 x S x S
    logits = model.logits_of(blur_places(forward.inputs, large))
    found = kept.known.found.get((model.name, default_way(model).key))
    heat = None if found is None else _heat_there(found[0], large)
    area = large.float().mean().item()
    return Hidden(model, forward.predictions()[0], model.prediction(logits[0]), area, heat)


def _heat_there(explanation: Explanation, places: torch.Tensor) -> float | None:
    heat = heat_at([explanation.heatmap], places.shape[-1]).clamp(min=0)
    total = heat.sum().item()
    return heat[places].sum().item() / total if total else None


def hidden_html(models: Sequence[Model], kept: Kept | None, strokes: str) -> str:
    """A row a version: what its map foretold, and what came of it."""
    if kept is None:
        return _MACROS.sentence(GONE)
    places = places_of(strokes)
    if places is None or not places.any():
        return _MACROS.sentence("Hide a place: paint over the face.")
    found = hide(models, kept, places)
    return _MACROS.table(found, f"{places.float().mean():.0%}")
