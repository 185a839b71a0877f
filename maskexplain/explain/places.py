"""Places of a picture: chosen by heat, blurred or filled; and what a heatmap must beat on them.

Blur rather than black: the network then sees pictures less unlike those that it knows. What fills
a place matters to the outcome, so there is a second way: filled from its edges, with noise (ROAD).

Beating random places is too easy. A blob on the nose does so on nearly every face, and so does the
mean of other faces' maps. So a heatmap is held against its own copies in other places, and against
maps that are made without this picture.

And how much of the heat lies on eyes, nose, mouth and chin, for the area that they take. On centred
faces the hottest point says little, since the centre always wins (the "pointing game"); heat for
area does not have that flaw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as nnf

from ..images.faces import Landmarks
from ..masks.head import Head, fit_head
from ..models.version import Model

SIGMA = 1 / 12  # of the blur, as a part of the picture's side
GRID = 8  # random orders are smooth fields of this many cells a side


def blur_inputs(inputs: torch.Tensor) -> torch.Tensor:
    """Network inputs N x 3 x S x S, blurred until no eye or mouth is left."""
    channels, side = inputs.shape[1], inputs.shape[-1]
    sigma = side * SIGMA
    reach = round(2.5 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=inputs.device, dtype=inputs.dtype)
    bell = (-0.5 * (offsets / sigma) ** 2).softmax(0).expand(channels, 1, -1)
    padded = nnf.pad(inputs, [reach] * 4, mode="reflect")
    # First along the rows, then along the columns: the same as both at once, in far fewer steps.
    rows = nnf.conv2d(padded, bell[:, :, None], groups=channels)
    return nnf.conv2d(rows, bell[..., None], groups=channels)


def blur_places(inputs: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """One input 1 x 3 x S x S with the chosen places (bool M x S x S) blurred: M x 3 x S x S."""
    mixed = torch.where(places[:, None].to(inputs.device), blur_inputs(inputs), inputs)
    return mixed.contiguous(memory_format=torch.channels_last)


# Of each neighbour of a pixel: as in ROAD, those beside it count twice those across the corner.
NEIGHBOURS = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
NOISE = 0.01  # standard deviation, in the network's input units
ROUNDS = 60  # of conjugate gradients; the largest holes are then even to about a hundredth


def impute_places(inputs: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """One input 1 x 3 x S x S with the chosen places filled from their edges: M x 3 x S x S.

    ROAD's noisy linear imputation (Rong et al. 2022): each pixel becomes the weighted mean of its
    neighbours, which leaves neither what was there nor the shape of the hole; then noise is added,
    seeded. Solved by conjugate gradients.
    """
    holes = places[:, None].to(inputs.device)  # M x 1 x S x S
    known = torch.where(holes, 0, inputs)
    filled = torch.where(holes, _around(known), 0)
    guess = torch.zeros_like(filled)
    rest, step = filled, filled
    size = _dot(rest, rest)
    for _ in range(ROUNDS):
        applied = torch.where(holes, step - _around(step), 0)
        length = size / _dot(step, applied).clamp(min=1e-12)
        guess, rest = guess + length * step, rest - length * applied
        size, before = _dot(rest, rest), size
        step = rest + size / before.clamp(min=1e-12) * step
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0)).to(inputs)
    mixed = torch.where(holes, guess + NOISE * noise, inputs)
    return mixed.contiguous(memory_format=torch.channels_last)


def _around(x: torch.Tensor) -> torch.Tensor:
    """The weighted mean of each pixel's eight neighbours; a border pixel stands in for none."""
    kernel = NEIGHBOURS.to(x).expand(x.shape[1], 1, 3, 3)
    padded = nnf.pad(x, (1, 1, 1, 1), mode="replicate")
    return nnf.conv2d(padded, kernel, groups=x.shape[1])


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((2, 3), keepdim=True)


def hottest(heat: torch.Tensor, share: float) -> torch.Tensor:
    """The `share` (0..1) of each map's places with the highest heat: M x S x S to bool M x S x S.

    Among equals the first are taken.
    """
    return first_places(ranks(heat), share)


def ranks(heat: torch.Tensor) -> torch.Tensor:
    """Each place's position (from 0) in its map's order from hot to cold, M x S x S."""
    order = heat.flatten(1).argsort(dim=1, descending=True, stable=True)
    positions = torch.arange(order.shape[1]).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions).view(heat.shape)


def first_places(ranked: torch.Tensor, share: float) -> torch.Tensor:
    """The `share` (0..1) of the places that `ranks` puts first: bool M x S x S."""
    return ranked < round(ranked[0].numel() * share)


def heat_at(heatmaps: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """Heatmaps of any sizes at the network's size: M x S x S."""
    maps = [torch.from_numpy(np.ascontiguousarray(h))[None, None] for h in heatmaps]
    large = [nnf.interpolate(m, (size, size), mode="bilinear", antialias=True) for m in maps]
    return torch.cat(large)[:, 0]


def random_heat(count: int, size: int, seed: int) -> torch.Tensor:
    """Heatmaps without meaning: seeded smooth fields, count x S x S."""
    generator = torch.Generator().manual_seed(seed)
    fields = torch.rand(count, 1, GRID, GRID, generator=generator)
    return nnf.interpolate(fields, (size, size), mode="bicubic")[:, 0]


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


# --- the parts of a face

# Each region: left, top, right, bottom in units of the distance from the eyes to the mouth, with
# the eyes' middle as origin. The nose's are measured from its tip.
BOXES = {
    "eyes": (-0.9, -0.35, 0.9, 0.25),
    "nose": (-0.34, -0.34, 0.34, 0.17),
    "mouth": (-0.6, 0.75, 0.6, 1.25),
    "chin": (-0.7, 1.25, 0.7, 1.8),
}
OVAL = (0.0, 0.5, 1.0, 1.35)  # the face: centre x, y and half axes
# From the bridge of the nose to below the lips, where it shows how a mask is worn.
FACE_MIDDLE = (-0.6, 0.2, 0.6, 1.5)
EDGE = 0.1  # width of the band along a mask's upper edge, as a part of the picture's height
REST, OUTSIDE = "cheeks and forehead", "outside the face"


@dataclass(frozen=True)
class RegionHeat:
    """Of one region: its share of the positive heat and of the area (0..1), and the first over the
    second: 1 is what even heat would give; None where the region is not on the crop.
    """

    heat: float
    area: float
    ratio: float | None


def face_regions(landmarks: Landmarks, size: tuple[int, int]) -> dict[str, np.ndarray] | None:
    """Where each region lies on a crop: bool H x W each, every pixel in exactly one.

    `landmarks`: the five of `faces.Face`, in the crop's pixels; `size`: its width and height.
    None where the landmarks form no face.
    """
    head = _head(landmarks, size)
    if head is None:
        return None
    x, y = _head_coordinates(head, size)
    tip_x, tip_y = _to_head(head, np.array(landmarks[2], dtype=float))
    centre_x, centre_y, across, down = OVAL
    oval = ((x - centre_x) / across) ** 2 + ((y - centre_y) / down) ** 2 <= 1
    regions, free = {}, oval.copy()
    for name, (left, top, right, bottom) in BOXES.items():
        u, v = (x - tip_x, y - tip_y) if name == "nose" else (x, y)
        inside = free & (left <= u) & (u <= right) & (top <= v) & (v <= bottom)
        regions[name] = inside
        free = free & ~inside
    return {**regions, REST: free, OUTSIDE: ~oval}


def face_middle(landmarks: Landmarks, size: tuple[int, int]) -> np.ndarray | None:
    """Nose, mouth and what lies around them: bool H x W; None where there is no face."""
    head = _head(landmarks, size)
    if head is None:
        return None
    x, y = _head_coordinates(head, size)
    left, top, right, bottom = FACE_MIDDLE
    return (left <= x) & (x <= right) & (top <= y) & (y <= bottom)


def upper_edge(mask: np.ndarray) -> np.ndarray:
    """A band along the upper edge of a mask (bool H x W): in each column, around its first row."""
    half = max(1, round(len(mask) * EDGE / 2))
    rows = np.arange(len(mask))[:, None]
    return mask.any(0) & (np.abs(rows - mask.argmax(0)) <= half)


def _head(landmarks: Landmarks, size: tuple[int, int]) -> Head | None:
    try:
        return fit_head(np.array(landmarks, dtype=float), size)
    except ValueError:
        return None


def _head_coordinates(head: Head, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return _to_head(head, np.stack([columns, rows]).reshape(2, -1).T, (size[1], size[0]))


def _to_head(
    head: Head, pixels: np.ndarray, shape: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (..., 2) in the head's units: x and y."""
    basis = np.stack([head.across, head.down], axis=1)  # columns: one unit of x, of y, in pixels
    units = np.linalg.solve(basis, (pixels - head.origin).reshape(-1, 2).T)
    return units[0].reshape(shape), units[1].reshape(shape)


def heat_in(heatmap: np.ndarray, region: np.ndarray) -> RegionHeat:
    """The heat in one region (bool H x W) of a signed heatmap H x W."""
    heat = np.clip(heatmap, 0, None)
    total = float(heat.sum())
    share = float(heat[region].sum()) / total if total else 0.0
    area = float(region.mean())
    return RegionHeat(share, area, share / area if area else None)


def heat_by_region(heatmap: np.ndarray, regions: dict[str, np.ndarray]) -> dict[str, RegionHeat]:
    """The heat in each of several regions."""
    return {name: heat_in(heatmap, region) for name, region in regions.items()}
