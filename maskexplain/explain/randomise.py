"""Does a heatmap depend on what the network has learned? (Adebayo et al. 2018, cascading.)

The head's layers are given random weights, from the last one back. A heatmap that stays the same
shows edges of the picture and not what the network knows.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from threading import Lock

import torch
from PIL import Image
from torch import nn

from ..models.version import MaskModel
from .explain import Explanation, Question, answer_and_explain
from .places import heat_at

_building = Lock()  # layers draw from torch's global generator, and answers come from many threads


def head_layers(network: nn.Module) -> list[nn.Module]:
    """The head's layers that hold weights, in the order of the forward pass."""
    return [m for m in network.head.modules() if hasattr(m, "reset_parameters")]


def randomised(model: MaskModel, layers: int) -> MaskModel:
    """The version with random weights in the last `layers` weighted layers of its head; seeded."""
    with _building:
        return _randomised(model, layers)


@lru_cache(maxsize=8)
def _randomised(model: MaskModel, layers: int) -> MaskModel:
    # The weights of `features` are shared.
    shared = {id(p): p for p in model.network.features.parameters()}
    network = deepcopy(model.network, shared)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in head_layers(network)[::-1][:layers]:
            layer.reset_parameters()
    return MaskModel(model.name, network, {}, model.device)


def similarity(
    model: MaskModel,
    crop: Image.Image,
    explanations: Sequence[Explanation],
    layers: int | None = None,
) -> list[float]:
    """How alike each heatmap stays with a random head: |Spearman's rank correlation|, 0..1.

    `layers`: how many of the head's are random, from the last one; None means all. The target
    stays the same. The sign does not count, since a random logit's is arbitrary; 0 where a map is
    flat. Compared at the network's size.
    """
    count = len(head_layers(model.network)) if layers is None else layers
    other = randomised(model, count)
    size = model.network.transform.size
    maps = heat_at([e.heatmap for e in explanations], size)
    again = heat_at([e.heatmap for e in _again(other, crop, explanations)], size)
    return [abs(spearman(a, b)) for a, b in zip(maps, again, strict=True)]


def cascade(
    model: MaskModel, crop: Image.Image, explanations: Sequence[Explanation]
) -> list[tuple[float, ...]]:
    """Each heatmap's similarity with one, two, ... of the head's layers random, from the last."""
    stages = range(1, len(head_layers(model.network)) + 1)
    return list(zip(*(similarity(model, crop, explanations, n) for n in stages), strict=True))


def _again(
    model: MaskModel, crop: Image.Image, explanations: Sequence[Explanation]
) -> list[Explanation]:
    result: list[Explanation] = []
    for e in explanations:
        question = Question(e.target, e.against, e.baseline or "gray")
        result += answer_and_explain(model, crop, [e.method], question).explanations
    return result


def spearman(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's rank correlation of two tensors of the same size; 0 where one is constant."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    ranks = torch.stack([t.flatten().argsort().argsort().double() for t in (a, b)])
    return torch.corrcoef(ranks)[0, 1].item()
