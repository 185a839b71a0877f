"""Does a heatmap depend on what the network has learned? (Adebayo et al. 2018.)

Weights are drawn at random: the head's, several times, and then the whole network's, from the last
layer back to the first. A heatmap that stays the same shows edges of the picture and not what the
network knows.

What it can show where the head is one linear layer: whether the class's weights choose among the
channels of the last map. It cannot show what `features` learned, which all draws share; the whole
network's cascade does.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..models.version import Model
from .explain import Explanation, ForwardPass, explain_pass, forward_pass
from .places import heat_at
from .question import Question

DRAWS = 10
STAGES = 8  # of the cascade at most: further layers of a deep network are drawn together


@dataclass(frozen=True)
class Similarity:
    """How alike a heatmap is to those of several random draws: |Spearman's correlation|, 0..1."""

    draws: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.draws) / len(self.draws)

    @property
    def least(self) -> float:
        return min(self.draws)

    @property
    def most(self) -> float:
        return max(self.draws)

    def to_dict(self) -> dict:
        return {"mean": self.mean, "least": self.least, "most": self.most, "draws": self.draws}


def weighted(part: nn.Module) -> list[nn.Module]:
    """The layers of a part of a network that hold weights, in the order of the forward pass."""
    return [module for module in part.modules() if list(module.parameters(recurse=False))]


def randomised(model: Model, layers: Sequence[nn.Module], seed: int) -> Model:
    """The version with random weights in some of its layers; all others are shared.

    Normal, with the mean and the spread of the layer's own weights: in a deep network drawn as for
    training, but with its batch norms folded, signals would die on their way.
    """
    generator = torch.Generator().manual_seed(seed)
    known = {id(p): p for p in model.network.parameters()}
    known |= {id(p): _drawn(p, generator) for layer in layers for p in layer.parameters(False)}
    return Model(model.name, deepcopy(model.network, known), model.task, device=model.device)


def _drawn(weights: nn.Parameter, generator: torch.Generator) -> nn.Parameter:
    spread, mean = torch.std_mean(weights, correction=0)
    values = torch.randn(weights.shape, generator=generator).to(weights)
    return nn.Parameter(values * spread + mean, requires_grad=False)


def similarity(
    forward: ForwardPass, explanations: Sequence[Explanation], draws: int = DRAWS, seed: int = 0
) -> list[Similarity]:
    """How alike each heatmap of one crop stays with a random head, drawn anew each time.

    The target stays the same. The sign does not count, since a random logit's is arbitrary; 0
    where a map is flat. Compared at the network's size.
    """
    layers = weighted(forward.model.network.head)
    found = []
    for draw in range(draws):
        other = _with_head_of(randomised(forward.model, layers, seed * draws + draw), forward)
        found.append(_alike(explanations, other))
    return [Similarity(values) for values in zip(*found, strict=True)]


def cascade(
    forward: ForwardPass, explanations: Sequence[Explanation], seed: int = 0
) -> list[tuple[float, ...]]:
    """How alike each heatmap stays the more layers are random, from the last one back to the first.

    The head's layers one by one, then those of `features`; the last stage is the whole network.
    """
    network = forward.model.network
    head, features = weighted(network.head)[::-1], weighted(network.features)[::-1]
    steps = max(1, STAGES - len(head))
    counts = [*range(1, len(head) + 1)]
    counts += [len(head) + round(len(features) * step / steps) for step in range(1, steps + 1)]
    found = []
    for count in dict.fromkeys(counts):
        model = randomised(forward.model, [*head, *features][:count], seed)
        found.append(_alike(explanations, forward_pass(model, forward.crops)))
    return list(zip(*found, strict=True))


def _with_head_of(model: Model, forward: ForwardPass) -> ForwardPass:
    """The same crops through another head: `features`, which both share, need not run again."""
    activations = forward.activations.detach().requires_grad_()
    with torch.enable_grad():
        logits = model.network.head(activations)
    return replace(forward, model=model, activations=activations, logits=logits)


def _alike(explanations: Sequence[Explanation], other: ForwardPass) -> list[float]:
    """How alike each explanation is to the same one of another network."""
    size = other.model.network.transform.size
    maps = heat_at([e.heatmap for e in explanations], size)
    again = heat_at([_again(other, e).heatmap for e in explanations], size)
    return [abs(spearman(a, b)) for a, b in zip(maps, again, strict=True)]


def _again(forward: ForwardPass, explanation: Explanation) -> Explanation:
    question = Question(explanation.target, explanation.against)
    # Ranks hardly change with more steps, and random heads would ask for many.
    return explain_pass(forward, [explanation.way], question, refine=False)[0][0]


def spearman(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's rank correlation of two tensors of the same size; 0 where one is constant.

    Equal values share the mean of their ranks.
    """
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    return torch.corrcoef(torch.stack([mean_ranks(a), mean_ranks(b)]))[0, 1].item()


def mean_ranks(values: torch.Tensor) -> torch.Tensor:
    """The rank (from 1) of each of N values, flat; equal ones get the mean of theirs."""
    _, group, count = values.flatten().unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2).double()[group]
