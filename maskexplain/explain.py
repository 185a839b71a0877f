"""Why a class: attributions on the final conv block, computed by Captum.

`features` runs once for the crop and the baseline; every method then attributes over `head`
alone, with the activations as its input. The values are those of Captum's layer methods called on
the whole network, in a fraction of the time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from PIL import Image
from torch import nn

from .answer import MaskModel, Prediction, to_prediction
from .errors import UserError
from .model import CLASSES

IG_STEPS = 50


class ExplainError(UserError):
    """An unknown method or class was asked for."""


@dataclass(frozen=True)
class Explanation:
    """A heatmap over a crop.

    `heatmap`: float32 H x W at the crop's size, signed, in the method's own unit: positive places
    speak for `target`, negative ones against it. `completeness_gap`: |sum of the attributions -
    (logit of the crop - logit of the baseline)| / |that difference|, 0 at best; None for methods
    without that axiom.
    """

    heatmap: np.ndarray
    target: str
    method: str
    completeness_gap: float | None

    @property
    def empty(self) -> bool:
        """Whether no place at all speaks for the target."""
        return not (self.heatmap > 0).any()

    def to_dict(self) -> dict:
        return {
            "method": self.method,
            "target": self.target,
            "heatmap": self.heatmap.tolist(),
            "completeness_gap": self.completeness_gap,
        }


@dataclass(frozen=True)
class Answer:
    """A prediction with its explanations, all of one forward pass."""

    prediction: Prediction
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True)
class Attribution:
    """What a method returns: a signed map 1 x 1 x h x w at the activations' size, and its gap."""

    map: torch.Tensor
    completeness_gap: float | None = None


# (head, activations 1 x C x h x w of the crop, the same of the baseline, class index)
Method = Callable[[nn.Module, torch.Tensor, torch.Tensor, int], Attribution]


def grad_cam(
    head: nn.Module, activations: torch.Tensor, baseline: torch.Tensor, target: int
) -> Attribution:
    """Grad-CAM (Selvaraju et al. 2017): channels weighted by their mean gradient, summed.

    Signed: the paper's final ReLU is left to whoever draws the map.
    """
    layer = nn.Identity()  # gives Captum a layer whose output is the activations
    cam = LayerGradCam(nn.Sequential(layer, head), layer)
    return Attribution(cam.attribute(activations, target=target))


def integrated_gradients(
    head: nn.Module, activations: torch.Tensor, baseline: torch.Tensor, target: int
) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) from the baseline's activations.

    Summed over the channels; 50 Gauss-Legendre steps.
    """
    values, delta = IntegratedGradients(head).attribute(
        activations,
        baselines=baseline,
        target=target,
        n_steps=IG_STEPS,
        return_convergence_delta=True,
    )
    total = (values.sum() - delta).abs().item()  # |logit of the crop - logit of the baseline|
    return Attribution(values.sum(1, keepdim=True), abs(delta.item()) / max(total, 1e-6))


METHODS: dict[str, Method] = {"grad_cam": grad_cam, "integrated_gradients": integrated_gradients}


def explain(
    model: MaskModel, crop: Image.Image, method: str = "grad_cam", target: str | None = None
) -> Explanation:
    """Explain one class of one RGB crop; `target` None means the predicted class.

    Raises ExplainError for an unknown method or class.
    """
    return answer_and_explain(model, crop, [method], target).explanations[0]


def answer_and_explain(
    model: MaskModel,
    crop: Image.Image,
    methods: Sequence[str] = tuple(METHODS),
    target: str | None = None,
) -> Answer:
    """Predict a crop and explain one class by several methods. Raises ExplainError."""
    check_names(methods, target)
    # The baseline is the zero input, mid-gray for these transforms, as Captum takes it by default.
    inputs = model.inputs([crop])
    with torch.no_grad():
        both = model.network.features(torch.cat([inputs, torch.zeros_like(inputs)]))
        prediction = to_prediction(model.network.head(both[:1])[0].cpu())
    label = target or prediction.label
    attributions = [
        METHODS[m](model.network.head, both[:1].clone(), both[1:], CLASSES.index(label))
        for m in methods
    ]
    explanations = [
        Explanation(_enlarge(a.map, crop.size), label, m, a.completeness_gap)
        for m, a in zip(methods, attributions, strict=True)
    ]
    return Answer(prediction, tuple(explanations))


def check_names(methods: Sequence[str], target: str | None) -> None:
    """Raise ExplainError unless the methods and the target class exist."""
    for method in methods:
        if method not in METHODS:
            raise ExplainError(f"There is no method {method!r}: use {' or '.join(METHODS)}.")
    if target is not None and target not in CLASSES:
        raise ExplainError(f"There is no class {target!r}: use {', '.join(CLASSES)}.")


def _enlarge(attribution: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    large = LayerAttribution.interpolate(attribution.detach(), (height, width), "bilinear")
    return large[0, 0].float().cpu().numpy()
