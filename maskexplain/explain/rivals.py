"""Maps that know nothing of a picture: what its heatmap must beat to say something about it.

Beating random places is too easy. A blob on the nose does so on nearly every face, and so does the
mean of other faces' maps. So a heatmap is held against its own copies in other places, and against
maps that are made without this picture.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as nnf

from ..models.version import Model

# Shifts follow Roberts' R2 sequence (2018), which fills a square evenly: the plastic number.
PLASTIC = 1.324717957244746
SEEDED = (0.377, 0.713)  # what a seed moves the sequence by
OVERLAP = 0.5  # a copy that covers more of the map's own places is no other place
TRIES = 8  # for each copy wanted; a map that repeats itself may have no other place
NOSE = (0.5, 0.58)  # where it lies on a crop, as a part of width and height
MIDDLE = (0.5, 0.5)
SPREAD = 0.22  # standard deviation of a blob, as a part of the side: a nose with what lies around


def copies(places: torch.Tensor, count: int, seed: int = 0, first: int = 0) -> torch.Tensor:
    """Copies of chosen places (bool S x S), mirrored, turned and shifted: bool count x S x S.

    Shifts wrap around. Places hotter than others stay so when a map is moved, so these are the
    hottest places of the map's copies. `first`: how many of the same sequence were drawn before.
    """
    if not count:
        return places[None][:0]
    kept: list[torch.Tensor] = []
    bound = OVERLAP * int(places.sum())
    wanted = first + count
    for number in range(TRIES * wanted):
        copy = _copy(places, number, seed)
        spare = TRIES * wanted - number <= wanted - len(kept)  # no tries left to be choosy
        if spare or int((copy & places).sum()) <= bound:
            kept.append(copy)
        if len(kept) == wanted:
            break
    return torch.stack(kept[first:])


def _copy(places: torch.Tensor, number: int, seed: int) -> torch.Tensor:
    """One of the eight turned and mirrored squares, shifted."""
    turn = (5 * number + 1) % 8  # each of the eight in turn, not the picture's own way first
    copy = torch.rot90(places, turn % 4)
    if turn >= 4:
        copy = copy.flip(1)
    x, y = (
        (0.5 + seed * move + number / PLASTIC**power) % 1
        for move, power in zip(SEEDED, (1, 2), strict=True)
    )
    size = len(places)
    return torch.roll(copy, (int(y * size), int(x * size)), (0, 1))


def blob(
    size: int, centre: tuple[float, float], spread: tuple[float, float] = (SPREAD, SPREAD)
) -> torch.Tensor:
    """A smooth map S x S with its peak, 1, at x, y (0..1), and its spread across and down."""
    at = (torch.arange(size) + 0.5) / size
    x, y = ((at - c) ** 2 / (2 * s**2) for c, s in zip(centre, spread, strict=True))
    return torch.exp(-(y[:, None] + x[None])).float()


@dataclass(frozen=True)
class Strangers:
    """Maps made without this picture, for one way and one class of a version.

    `fixed`: F x S x S, the mean map of other faces where the version has one, then a blob on the
    nose (in the middle, for a task without faces). `others`: K x S x S, some other faces' maps and
    their mirror images; K is 0 where the version has none.
    """

    fixed: torch.Tensor
    others: torch.Tensor


def strangers(model: Model, way: str, target: str) -> Strangers:
    """Those of one way (its key) and class, or of the default way where it has none."""
    size = model.network.transform.size
    fixed = blob(size, NOSE if model.task.faces else MIDDLE)[None]
    scores = model.results.explanations
    # A way that was not measured yet is held against the maps of the version's default.
    tried = [scores.maps_of(key, target) for key in (way, scores.default)] if scores else []
    known = next((found for found in tried if found), None)
    if known is None:
        return Strangers(fixed, fixed[:0])
    mean = enlarged(torch.from_numpy(known.mean)[None], size)
    others = enlarged(torch.from_numpy(known.others_array), size)
    # Faces are as often turned one way as the other: both ways are other faces' maps.
    both = torch.cat([others, others.flip(2)])
    return Strangers(torch.cat([(mean + mean.flip(2)) / 2, fixed]), both)


def enlarged(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Stored maps N x G x G at the network's size: N x S x S."""
    return nnf.interpolate(maps[:, None].float(), (size, size), mode="bicubic")[:, 0]
