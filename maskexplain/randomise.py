"""Does a heatmap depend on what the network has learned? (Adebayo et al. 2018, cascading.)

The head's layers are given random weights, from the last one back. A heatmap that stays the same
shows edges of the picture and not what the network knows.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache

import torch
from PIL import Image
from torch import nn

from .answer import MaskModel
from .explain import Explanation, Question, answer_and_explain


def head_layers(network: nn.Module) -> list[nn.Module]:
    """The head's layers that hold weights, in the order of the forward pass."""
    return [m for m in network.head.modules() if hasattr(m, "reset_parameters")]


@lru_cache(maxsize=8)
def randomised(model: MaskModel, layers: int, seed: int = 0) -> MaskModel:
    """A copy of a version whose last `layers` weighted layers of the head are random."""
    network = deepcopy(model.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in head_layers(network)[::-1][:layers]:
            layer.reset_parameters()
    return MaskModel(model.name, network, {}, model.device)


def similarity(
    model: MaskModel,
    crop: Image.Image,
    explanations: Sequence[Explanation],
    layers: int | None = None,
) -> list[float]:
    """Rank correlation (Spearman, -1..1) of each heatmap with that of the randomised network.

    `layers`: how many of the head's are random, from the last one; None means all. The target
    stays the same. 0 where a map is flat.
    """
    count = len(head_layers(model.network)) if layers is None else layers
    other = randomised(model, count)
    return [
        spearman(torch.from_numpy(e.heatmap), torch.from_numpy(again.heatmap))
        for e, again in zip(explanations, _again(other, crop, explanations), strict=True)
    ]


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
