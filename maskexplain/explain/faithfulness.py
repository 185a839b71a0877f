"""Does a heatmap tell of the network's answer, and of what the network has learned?

Deletion and insertion curves ask whether the answer comes from where the heat is. Captum's metrics
(infidelity, sensitivity) give a figure without a scale. Quantus has pixel flipping, but no random
orders on the same picture to compare with and no logit margin (a saturated probability hardly
moves), and it needs opencv-python, which breaks opencv-python-headless. So these few lines are our
own.

Random weights ask whether it depends on what was learned (Adebayo et al. 2018). The head's are
drawn several times, and then the whole network's, from the last layer back to the first. A heatmap
that stays the same shows edges of the picture and not what the network knows. Where the head is one
linear layer this shows whether the class's weights choose among the channels of the last map. It
cannot show what `features` learned, which all draws share; the whole network's cascade does.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..models.version import Model
from .explain import Explanation, ForwardPass, Question, explain_pass, forward_pass
from .places import blur_places, first_places, heat_at, random_heat, ranks, strangers

LEVELS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)  # of the curves, besides 0 and 1
RANDOM_ORDERS = 6


Fill = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # as `blur_places`


def logits_without(
    forward: ForwardPass, places: Sequence[torch.Tensor], fill: Fill = blur_places
) -> list[torch.Tensor]:
    """Logits N x classes without each of several sets of places (bool N x S x S), in one batch."""
    every = torch.cat(list(places))
    logits = shown_logits(forward)[:0]
    if len(every):
        logits = forward.model.logits_of(fill(forward.inputs, every))
    return list(logits.split([len(part) for part in places]))


def shown_logits(forward: ForwardPass) -> torch.Tensor:
    """The untouched crop's logits, 1 x classes."""
    return forward.logits.detach().cpu()


def places_of_classes(forward: ForwardPass, explanation: Explanation) -> tuple[int, int | None]:
    """The places of an explanation's classes among the logits: target and against, if any."""
    task, against = forward.model.task, explanation.against
    return task.index(explanation.target), None if against is None else task.index(against)


def margin(logits: torch.Tensor, target: int, against: int | None = None) -> torch.Tensor:
    """The target's logit less that of the class it is held against: N x classes to N.

    Where none is given that is the best other one.
    """
    if against is not None:
        return logits[:, target] - logits[:, against]
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.max(1).values


@dataclass(frozen=True)
class Curve:
    """A target's probability (0..1) and logit margin at the levels 0, ..., 1 of `Curves`."""

    probability: tuple[float, ...]
    margin: tuple[float, ...]

    @property
    def area(self) -> float:
        """Under the probability, 0..1."""
        return _area(self.probability)

    @property
    def margin_area(self) -> float:
        """Under the logit margin: its mean over the levels."""
        return _area(self.margin)


@dataclass(frozen=True)
class Curves:
    """The deletion and insertion curves of one explanation beside random orders' ones.

    `levels`: share of the picture, from 0 to 1. `deletion`: blurred from the hottest place on; it
    should fall early. `insertion`: shown from the hottest place on, on the blurred picture; it
    should rise early. `random`: deletion in random smooth orders. Read backwards, each of these is
    the insertion curve of the opposite order, so that they serve as band for both. `usual`:
    deletion in the order of the mean map of other faces (of a blob on the nose where a version has
    no mean map).
    """

    levels: tuple[float, ...]
    deletion: Curve
    insertion: Curve
    random: tuple[Curve, ...]
    usual: Curve

    @property
    def random_area(self) -> float:
        """Mean area under the random orders' probability curves, 0..1; the same for insertion."""
        return sum(c.area for c in self.random) / len(self.random)

    @property
    def beats_random(self) -> bool:
        """Whether blurring by heat takes more from the margin than the mean random order does.

        Too easy to earn a verdict by: a blob anywhere does so on most faces.
        """
        mean = sum(c.margin_area for c in self.random) / len(self.random)
        return self.deletion.margin_area < mean

    @property
    def beats_usual(self) -> bool:
        """Whether blurring by heat takes more from the margin than by the mean map does."""
        return self.deletion.margin_area < self.usual.margin_area

    def band(self) -> tuple[list[float], list[float]]:
        """Lowest and highest probability of the random orders, level by level."""
        columns = list(zip(*(c.probability for c in self.random), strict=True))
        return [min(column) for column in columns], [max(column) for column in columns]

    def to_dict(self) -> dict:
        return {
            "levels": self.levels,
            "deletion": self.deletion.probability,
            "insertion": self.insertion.probability,
            "usual_deletion": self.usual.probability,
            "random_deletion": [c.probability for c in self.random],
            "deletion_margin": self.deletion.margin,
            "insertion_margin": self.insertion.margin,
            "usual_deletion_margin": self.usual.margin,
            "random_deletion_margin": [c.margin for c in self.random],
            "deletion_area": self.deletion.area,
            "insertion_area": self.insertion.area,
            "random_area": self.random_area,
            "usual_area": self.usual.area,
            "beats_usual": self.beats_usual,
        }


def _area(values: Sequence[float]) -> float:
    return float(torch.trapezoid(torch.tensor(values), torch.tensor([0.0, *LEVELS, 1.0])))


def curves(
    forward: ForwardPass, explanations: Sequence[Explanation], seed: int = 0
) -> list[Curves]:
    """Deletion and insertion curves (Petsiuk et al. 2018) of explanations of one crop.

    In blurred pixels, by the network's own size; the random orders are the same for all.
    """
    size, count = forward.inputs.shape[-1], len(explanations)
    usual = [strangers(forward.model, e.way.key, e.target).fixed[:1] for e in explanations]
    heat = heat_at([e.heatmap for e in explanations], size)
    ranked = ranks(torch.cat([heat, *usual, random_heat(RANDOM_ORDERS, size, seed)]))
    removed = torch.stack([first_places(ranked, level) for level in LEVELS], dim=1)  # M x L x S x S
    everywhere = torch.ones(1, size, size, dtype=torch.bool)
    parts = [everywhere, removed.flatten(0, 1), ~removed[:count].flatten(0, 1)]
    blurred, deleted, inserted = (
        part.unflatten(0, (-1, len(LEVELS))) if len(part) > 1 else part
        for part in logits_without(forward, parts)
    )  # 1 x classes, then ... x L x classes
    shown, result = shown_logits(forward), []
    for index, explanation in enumerate(explanations):
        classes = places_of_classes(forward, explanation)
        own, known, *random = (
            _curve(shown, row, blurred, *classes)
            for row in (deleted[index], deleted[count + index], *deleted[2 * count :])
        )
        insertion = _curve(blurred, inserted[index], shown, *classes)
        result.append(Curves((0.0, *LEVELS, 1.0), own, insertion, tuple(random), known))
    return result


def _curve(
    first: torch.Tensor,
    between: torch.Tensor,
    last: torch.Tensor,
    target: int,
    against: int | None,
) -> Curve:
    logits = torch.cat([first, between, last])  # L + 2 x classes
    probability = logits.softmax(1)[:, target]
    return Curve(tuple(probability.tolist()), tuple(margin(logits, target, against).tolist()))


# --- with random weights

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
