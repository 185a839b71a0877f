"""Information taken out of pictures: blurred as a whole, or at chosen places only.

Blur rather than black: the network then sees pictures less unlike those that it knows. What fills
a place matters to the outcome, so there is a second way: filled from its edges, with noise (ROAD).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as nnf

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
