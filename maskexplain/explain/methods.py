"""The attribution methods, computed by Captum: each one entry, a short function of a `Case`.

A further method is a function under `@method(...)`, in a file of its own or here; page, HTTP,
command line and measurements then offer it.

`features` has run once before; the methods on the final conv block attribute over `head` alone,
with the activations as its input. The values are those of Captum's layer methods called on the
whole network, in a fraction of the time.

Captum is imported by who uses it: with what it draws by, it is a tenth of the program's imports.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as nnf

from ..models.network import pictures_at_once
from ..models.threads import check
from .places import blur_inputs

IG_STEPS = 50
MAX_IG_STEPS = 400
MAX_GAP = 0.01  # beyond it the steps are doubled
SMOOTH_SAMPLES = 8
SMOOTH_NOISE = 0.15  # standard deviation, in the network's input units (its range is about 2)
OCCLUSION_CELLS = 8  # the window covers 2 x 2 of 8 x 8 cells and moves by one


@dataclass(frozen=True)
class Case:
    """N crops on their way through one version's network, and what is asked about them.

    `activations` is the leaf that `logits` were computed from, with their graph. `baseline` and
    `baseline_logits`: of the pictures without information that integrated gradients start from; N
    rows, or one for all. `weights`: what is explained is the sum of the logits times these: 1 at
    the target's place, -1 at the class that it is held against, if any.
    """

    network: nn.Module
    inputs: torch.Tensor  # N x 3 x S x S
    activations: torch.Tensor  # N x C x h x w, `features` of the inputs
    logits: torch.Tensor  # N x classes
    baseline: torch.Tensor
    baseline_logits: torch.Tensor
    weights: torch.Tensor  # N x classes
    refine: bool = True  # whether integrated gradients take more steps where they need them

    def row(self, index: int) -> "Case":
        """One of the crops alone."""

        def one(rows: torch.Tensor) -> torch.Tensor:
            return rows if len(rows) == 1 else rows[index : index + 1]

        names = ("inputs", "activations", "logits", "baseline", "baseline_logits", "weights")
        return replace(self, **{name: one(getattr(self, name)) for name in names})

    def gap(self, attribution: torch.Tensor) -> float:
        """Of one crop: by how much the map's sum misses the score's rise, as a part of the rise."""
        rise = ((self.logits - self.baseline_logits) * self.weights).sum().item()
        return abs(attribution.sum().item() - rise) / max(abs(rise), 1e-6)


@dataclass(frozen=True)
class Attribution:
    """What a method returns: signed maps N x 1 x h x w of any size, and, where the method has
    the completeness axiom, each row's gap and the steps it took.
    """

    map: torch.Tensor
    gaps: list[float] | None = None
    steps: list[int] | None = None


Run = Callable[[Case], Attribution]
BASELINES = ("gray", "black", "blurred")


@dataclass(frozen=True)
class Method:
    """A way to explain: its `run`, its `title` and one plain `sentence` for people.

    `baselines`: where it may start (of BASELINES, the usual one first), none for a method without;
    `cost`: "fast" runs in Live and What if, "slow" takes a second a face. `by_channel`: it weighs
    each channel as a whole, which says nothing where attention still mixes the places.
    """

    key: str
    title: str
    sentence: str
    run: Run
    cost: Literal["fast", "middle", "slow"]
    baselines: tuple[str, ...] = ()
    by_channel: bool = False

    def fits(self, network: nn.Module) -> bool:
        """Whether its maps mean something for a network."""
        return not (self.by_channel and getattr(network, "mixes_places", False))


METHODS: dict[str, Method] = {}


def method(
    title: str,
    sentence: str,
    cost: Literal["fast", "middle", "slow"],
    baselines: tuple[str, ...] = (),
    by_channel: bool = False,
) -> Callable[[Run], Run]:
    """Register a function of a `Case` as a method, by the function's name."""

    def register(run: Run) -> Run:
        key = run.__name__
        METHODS[key] = Method(key, title, sentence, run, cost, baselines, by_channel)
        return run

    return register


class _Score(nn.Module):
    """From activations (or inputs, with the whole network as `part`) to what is explained: N."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        check()
        return (self.part(x.contiguous()) * weights).sum(1)


class _Known(nn.Module):
    """The score whose logits are known already: Captum walks back through their graph."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.layer = nn.Identity()  # gives Captum a layer whose output is the activations
        self.logits = case.logits

    def forward(self, activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        self.layer(activations)
        return (self.logits * weights).sum(1)


AGAIN = {"retain_graph": True}  # another method may walk back through it, too


@method(
    "Grad-CAM",
    "The last map's channels, each weighed by how much it raises the class.",
    cost="fast",
    by_channel=True,
)
def grad_cam(case: Case) -> Attribution:
    """Grad-CAM (Selvaraju et al. 2017): channels weighted by their mean gradient, summed.

    Signed: the paper's final ReLU is left to whoever draws the map.
    """
    from captum.attr import LayerGradCam

    score = _Known(case)
    cam = LayerGradCam(score, score.layer)
    return Attribution(
        cam.attribute(case.activations, additional_forward_args=case.weights, grad_kwargs=AGAIN)
    )


@method(
    "Layer-CAM",
    "The last map's places, each weighed by how much it raises the class.",
    cost="fast",
)
def layer_cam(case: Case) -> Attribution:
    """Gradient times activation at every place, summed over the channels.

    Layer-CAM's weighting by position (Jiang et al. 2021), signed: neither gradients nor the sum
    are cut at zero.
    """
    from captum.attr import LayerGradientXActivation

    score = _Known(case)
    values = LayerGradientXActivation(score, score.layer).attribute(
        case.activations, additional_forward_args=case.weights, grad_kwargs=AGAIN
    )
    return Attribution(values.sum(1, keepdim=True))


@method(
    "Integrated gradients",
    "What each place adds on the way from a picture without information to this one.",
    cost="middle",
    baselines=BASELINES,
)
def integrated_gradients(case: Case) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) from the baseline's activations.

    Summed over the channels; 50 Gauss-Legendre steps, doubled up to 400 for each crop whose
    completeness gap is over 1%.
    """
    maps = _integrate(case, IG_STEPS)
    results = [_refined(case.row(i), row) for i, row in enumerate(maps.split(1))]
    return Attribution(
        torch.cat([refined for refined, _, _ in results]),
        gaps=[gap for _, gap, _ in results],
        steps=[steps for _, _, steps in results],
    )


def _refined(case: Case, attribution: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """One crop's map, with more steps where it needs them; its completeness gap; the steps."""
    steps, bound = IG_STEPS, MAX_IG_STEPS if case.refine else IG_STEPS
    while (gap := case.gap(attribution)) > MAX_GAP and steps < bound:
        steps *= 2
        attribution = _integrate(case, steps)
    return attribution, gap, steps


def _integrate(case: Case, steps: int) -> torch.Tensor:
    """Maps N x 1 x h x w."""
    from captum.attr import IntegratedGradients

    head, activations, baseline = live_part(
        case.network.head, case.activations.detach(), case.baseline
    )
    values = IntegratedGradients(_Score(head)).attribute(
        activations,
        baselines=baseline,
        additional_forward_args=case.weights.expand(len(activations), -1),
        n_steps=steps,
        internal_batch_size=max(IG_STEPS, len(activations)),  # bounds the memory
    )
    return values.sum(1, keepdim=True)


@method(
    "Smoothed integrated gradients",
    "Integrated gradients, averaged over eight noisy copies of the picture.",
    cost="slow",
)
def smooth_gradients(case: Case) -> Attribution:
    """The mean of integrated gradients over noisy pictures.

    Smoothed as SmoothGrad does (Smilkov et al. 2017), which is the mean of plain gradients there:
    another map, whose ranks agree with this one's by .2 to .6 only.
    Eight copies of each crop, with seeded noise on the pixels.
    """
    return Attribution(torch.cat([_smooth(case.row(i)) for i in range(len(case.inputs))]))


def _smooth(case: Case) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (SMOOTH_SAMPLES, *case.inputs.shape[1:])
    noise = SMOOTH_NOISE * torch.randn(shape, generator=generator)
    with torch.no_grad():
        activations = case.network.features(case.inputs + noise.to(case.inputs))
    return _integrate(replace(case, activations=activations), IG_STEPS // 2).mean(0, keepdim=True)


@method(
    "Occlusion",
    "How much the class loses when a place is blurred.",
    cost="slow",
)
@torch.no_grad()
def occlusion(case: Case) -> Attribution:
    """Occlusion (Zeiler and Fergus 2014): how far the score falls without a window of the picture.

    Asks the network only, no gradient. The window is blurred, a quarter of the side wide, and
    moves by half of that.
    """
    from captum.attr import Occlusion

    side = case.inputs.shape[-1] // OCCLUSION_CELLS
    values = Occlusion(_Score(case.network)).attribute(
        case.inputs,
        sliding_window_shapes=(3, 2 * side, 2 * side),
        strides=(3, side, side),
        baselines=blur_inputs(case.inputs),
        additional_forward_args=case.weights,
        perturbations_per_eval=pictures_at_once(case.inputs.shape[-1], case.inputs.device),
    )
    # Even within a cell: a value a cell, so that the map is enlarged as smoothly as the others.
    return Attribution(nnf.avg_pool2d(values.mean(1, keepdim=True), side))


# --- the part of a head that a picture uses

# Behind a ReLU most channels of the final conv are zero all over a face (about 70% in v1 and v2).
# Where a channel is zero in the crop and in its baseline, it is so on the whole path between them:
# it adds nothing to a score and nothing to a map. Left out, the head's first layer, which is most
# of the work of integrated gradients, shrinks as much.

# Layers that treat each channel on its own, so that channels can be left out before them.
BY_CHANNEL = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Flatten, nn.Identity)
WORTH = 0.8  # with more of the channels than this the copy costs more than it saves


def live_part(
    head: nn.Module, activations: torch.Tensor, baseline: torch.Tensor
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Leave out the channels (of N x C x h x w) that are zero in all crops and baselines.

    Returns the head for the others, their activations and those of the baseline; everything as it
    is where leaving out does not pay, or where the head mixes channels before its first weights.
    """
    used = (activations != 0).any(0) | (baseline != 0).any(0)  # C x h x w
    channels = used.flatten(1).any(1).nonzero()[:, 0]
    at = _first_weights(head)
    if at is None or not 0 < len(channels) <= WORTH * len(used):
        return head, activations, baseline
    fewer = _narrowed(head, at, channels, len(used))
    return fewer, activations[:, channels], baseline[:, channels]


def _first_weights(head: nn.Module) -> int | None:
    """Where the head's first linear layer lies; None where something else mixes channels first."""
    if not isinstance(head, nn.Sequential):
        return None
    mixing = [index for index, layer in enumerate(head) if not isinstance(layer, BY_CHANNEL)]
    return mixing[0] if mixing and isinstance(head[mixing[0]], nn.Linear) else None


def _narrowed(head: nn.Sequential, at: int, channels: torch.Tensor, count: int) -> nn.Sequential:
    """The head for these of `count` channels alone; shares all weights but its first layer's."""
    linear = head[at]
    weight = linear.weight.unflatten(1, (count, -1)).index_select(1, channels).flatten(1)
    fewer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    fewer.weight, fewer.bias = nn.Parameter(weight, requires_grad=False), linear.bias
    return nn.Sequential(*head[:at], fewer, *head[at + 1 :])
