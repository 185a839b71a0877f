"""Which pictures an epoch sees, and where on them the answer has to come from.

So many of each pool, drawn evenly over the pool's faces. The answer has to come from nose, mouth
and a mask's upper edge, a face's middle, which is held beside each picture. Ross et al. 2017
(arXiv:1703.03717), "Right for the Right Reasons": what a network's explanation says outside of
the places that are known to matter is added to the loss. Here the explanation is the class
activation map (Zhou et al. 2016), which for a head of a mean and one linear layer is exactly what
each place adds to each logit; so the penalty costs one 1x1 convolution.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.nn import functional as nnf

from ..data.folder import Picture, Pixels, Progress, fingerprint, load_pixels, quietly
from ..data.painted import SIDE, PaintedFaces, find_middles, paint_faces
from ..explain.places import MIDDLE, blur_inputs
from ..files import write_file
from ..masks.task import BARE, MASK

TENSORS = ("pixels", "labels", "middles")  # of PaintedFaces


@dataclass(frozen=True)
class Pool:
    """Rows of the training pixels that may stand for each other, and their groups (M each)."""

    rows: torch.Tensor
    groups: torch.Tensor


@dataclass(frozen=True)
class Mixed(Pixels):
    """Training pixels and their pools: `real/CLASS`, `real/CLASS/SOURCE`, `painted/POSITION`.

    `middles`: where each face's middle lies, uint8 N x 1 x 32 x 32.
    """

    pools: Mapping[str, Pool] = field(default_factory=dict)
    middles: torch.Tensor | None = None


def draw_epoch(data: Mixed, mix: Mapping[str, int]) -> torch.Tensor:
    """Rows for one epoch in random order: `mix` says how many of each pool.

    Faces (groups) are drawn with equal chances however many pictures show them; no picture of a
    pool comes twice unless more are asked for than the pool has. The whole class stands for a
    source of which it has no picture; other pools that are not there are left out.
    """
    pools = {name: data.pools.get(name) or data.pools.get(whole_pool(name)) for name in mix}
    chosen = [_draw(pool, mix[name]) for name, pool in pools.items() if pool]
    rows = torch.cat(chosen)
    return rows[torch.randperm(len(rows))]


def whole_pool(name: str) -> str:
    """The class's pool of a source's pool."""
    return "/".join(name.split("/")[:2])


def _draw(pool: Pool, count: int) -> torch.Tensor:
    _, groups, sizes = pool.groups.unique(return_inverse=True, return_counts=True)
    weights = 1 / sizes[groups].double()
    return pool.rows[torch.multinomial(weights, count, replacement=count > len(weights))]


def load_mixed(
    pictures: Sequence[Picture],
    size: int,
    paint: Mapping[str, float],
    seed: int,
    cache: Path,
    progress: Progress = quietly,
) -> Mixed:
    """The un-augmented pictures at size x size, and masks painted on their bare faces.

    `paint` holds the paintings a face, by position. Painting takes minutes: `cache` keeps it for
    the next start. The middle of every face is found. Raises DataError for an unreadable picture.
    """
    real = [p for p in pictures if not p.augmented]
    bare = [p for p in real if p.label == MASK.index(BARE)]
    key = json.dumps([fingerprint(bare), size, dict(paint), seed, MIDDLE, SIDE])
    painted = _read(cache, key)
    if painted is None:
        painted = paint_faces(bare, size, paint, seed, varied=True, progress=progress)
        _write(cache, key, painted)
    pixels, middles = load_pixels(real, size, progress), find_middles(real, progress)
    faces = [(p.group, p.source) for p in real]
    return join(pixels, middles, faces, painted)


def join(
    real: Pixels,
    middles: torch.Tensor,
    faces: Sequence[tuple[str, str]],
    painted: PaintedFaces,
) -> Mixed:
    """Real faces and painted ones as one set with its pools.

    `faces`: group and source of each real face; `middles`: theirs too.
    """
    groups = [*(group for group, _ in faces), *painted.groups]
    numbers = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([numbers[g] for g in groups])
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(_names(real, faces, painted)):
        for name in names:
            rows.setdefault(name, []).append(row)
    pools = {name: Pool(torch.tensor(of), group[of]) for name, of in rows.items()}
    pixels = torch.cat([real.pixels, painted.pixels])
    labels = torch.cat([real.labels, painted.labels])
    return Mixed(pixels, labels, pools, torch.cat([middles, painted.middles]))


def _names(
    real: Pixels, faces: Sequence[tuple[str, str]], painted: PaintedFaces
) -> Iterator[list[str]]:
    """The pools that each row is in."""
    for label, (_, source) in zip(real.labels.tolist(), faces, strict=True):
        name = f"real/{MASK.names[label]}"
        yield [name, f"{name}/{source}"] if source else [name]
    yield from ([f"painted/{position}"] for position in painted.positions)


def _write(cache: Path, key: str, painted: PaintedFaces) -> None:
    tensors = {name: getattr(painted, name) for name in TENSORS}
    lists = {"positions": painted.positions, "groups": painted.groups}
    header = {"key": key, **{name: json.dumps(items) for name, items in lists.items()}}
    content = save(tensors, metadata=header)
    write_file(cache, lambda beside: beside.write_bytes(content))


def _read(cache: Path, key: str) -> PaintedFaces | None:
    """The cached paintings, None where there are none of this key."""
    if not cache.is_file():
        return None
    try:
        with safe_open(cache, framework="pt") as handle:
            header = handle.metadata() or {}
            if header.get("key") != key:
                return None
            positions, groups = (tuple(json.loads(header[n])) for n in ("positions", "groups"))
            tensors = {name: handle.get_tensor(name) for name in TENSORS}
    except (SafetensorError, OSError):  # a damaged cache is painted anew
        return None
    return PaintedFaces(positions=positions, groups=groups, **tensors)


# --- where the answer has to come from

WIDER = 9  # pixels of the square that widens the hidden part: 4 on each side
LEFT = 0.3  # of the label is left where the middle is hidden; the rest is even over the classes


def class_maps(head: nn.Sequential, activations: torch.Tensor) -> torch.Tensor:
    """What each place adds to each logit, times the number of places: N x classes x h x w.

    For heads that take the mean over the map and end in their only linear layer.
    """
    weight = head[-1].weight  # classes x C
    return nnf.conv2d(activations, weight[:, :, None, None])


def share_outside(maps: torch.Tensor, middles: torch.Tensor) -> torch.Tensor:
    """Mean share (0..1) of what class maps N x classes x h x w say beyond the middles.

    `middles`: N x 1 x H x W, 0 outside to 1 inside; pictures without one count as 0.
    """
    known = (middles.amax((1, 2, 3)) > 0).to(maps)
    # The map is coarse: a cell counts by the part of it that a slightly wider middle leaves.
    wide = nnf.max_pool2d(middles, 5, stride=1, padding=2)
    outside = 1 - nnf.adaptive_avg_pool2d(wide, maps.shape[-2:])
    said = maps.abs()
    share = (said * outside).sum((1, 2, 3)) / said.sum((1, 2, 3)).clamp(min=1e-6)
    return (share * known).mean()


def hide_some(
    inputs: torch.Tensor, targets: torch.Tensor, middles: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur the middles of a random share of the inputs N x 3 x S x S out, so that none can tell.

    `targets`: probabilities N x classes; those of hidden pictures become nearly even. What is left
    of a face without nose and mouth then carries no sure answer. `middles`: N x 1 x S x S, 0..1.
    """
    drawn = (torch.rand(len(inputs)) < share).to(inputs.device)
    chosen = drawn & (middles.amax((1, 2, 3)) > 0)
    if not chosen.any():
        return inputs, targets
    inputs, targets = inputs.clone(), targets.clone()
    part = nnf.max_pool2d(middles[chosen], WIDER, stride=1, padding=WIDER // 2)
    inputs[chosen] = torch.lerp(inputs[chosen], blur_inputs(inputs[chosen]), part)
    targets[chosen] = LEFT * targets[chosen] + (1 - LEFT) / targets.shape[1]
    return inputs, targets
