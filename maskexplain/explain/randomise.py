"""Does a heatmap depend on what the network has learned? (Adebayo et al. 2018, cascading.)

The head's layers are given random weights, from the last one back. A heatmap that stays the same
shows edges of the picture and not what the network knows.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from threading import Lock

import torch
from torch import nn

from ..models.version import Model
from .explain import Explanation, ForwardPass, explain_pass
from .places import heat_at
from .question import Question

_building = Lock()  # layers draw from torch's global generator, and answers come from many threads


def head_layers(network: nn.Module) -> list[nn.Module]:
    """The head's layers that hold weights, in the order of the forward pass."""
    return [m for m in network.head.modules() if hasattr(m, "reset_parameters")]


def randomised(model: Model, layers: int) -> Model:
    """The version with random weights in the last `layers` weighted layers of its head; seeded."""
    with _building:
        return _randomised(model, layers)


@lru_cache(maxsize=8)
def _randomised(model: Model, layers: int) -> Model:
    # The weights of `features` are shared.
    shared = {id(p): p for p in model.network.features.parameters()}
    network = deepcopy(model.network, shared)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in head_layers(network)[::-1][:layers]:
            layer.reset_parameters()
    return Model(model.name, network, model.task, device=model.device)


def similarity(
    forward: ForwardPass, explanations: Sequence[Explanation], layers: int | None = None
) -> list[float]:
    """How alike each heatmap of one crop stays with a random head: |Spearman's correlation|, 0..1.

    `layers`: how many of the head's are random, from the last one; None means all. The target
    stays the same. The sign does not count, since a random logit's is arbitrary; 0 where a map is
    flat. Compared at the network's size.
    """
    network = forward.model.network
    count = len(head_layers(network)) if layers is None else layers
    other = _with_head_of(randomised(forward.model, count), forward)
    size = network.transform.size
    maps = heat_at([e.heatmap for e in explanations], size)
    again = heat_at([_again(other, e).heatmap for e in explanations], size)
    return [abs(spearman(a, b)) for a, b in zip(maps, again, strict=True)]


def cascade(forward: ForwardPass, explanations: Sequence[Explanation]) -> list[tuple[float, ...]]:
    """Each heatmap's similarity with one, two, ... of the head's layers random, from the last."""
    stages = range(1, len(head_layers(forward.model.network)) + 1)
    return list(zip(*(similarity(forward, explanations, n) for n in stages), strict=True))


def _with_head_of(model: Model, forward: ForwardPass) -> ForwardPass:
    """The same crops through another head: `features`, which both share, need not run again."""
    activations = forward.activations.detach().requires_grad_()
    with torch.enable_grad():
        logits = model.network.head(activations)
    return replace(forward, model=model, activations=activations, logits=logits)


def _again(forward: ForwardPass, explanation: Explanation) -> Explanation:
    question = Question(explanation.target, explanation.against)
    return explain_pass(forward, [explanation.way], question)[0][0]


def spearman(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's rank correlation of two tensors of the same size; 0 where one is constant."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    ranks = torch.stack([t.flatten().argsort().argsort().double() for t in (a, b)])
    return torch.corrcoef(ranks)[0, 1].item()
