"""Why a class: an answer with its heatmaps, for one crop or for many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from captum.attr import LayerAttribution
from PIL import Image

from ..errors import UserError
from ..models.network import CLASSES
from ..models.version import MaskModel, Prediction
from .methods import METHODS, Attribution, Case
from .places import blur_inputs

BASELINES = ("gray", "black", "blurred")
BATCH = 16  # faces at once; bounds the memory
FIRST_METHODS = ("grad_cam", "integrated_gradients")


class ExplainError(UserError):
    """An unknown method, class or baseline was asked for."""


@dataclass(frozen=True)
class Question:
    """What is asked of a version: why this class?

    `target`: the class to explain, None for the predicted one. `against`: why not this class
    instead? The difference of the two logits is then explained. `baseline`: the picture without
    information that integrated gradients start from: "gray" (the zero input), "black" or the crop
    "blurred". Raises ExplainError for unknown names.
    """

    target: str | None = None
    against: str | None = None
    baseline: str = "gray"

    def __post_init__(self) -> None:
        for name in (self.target, self.against):
            if name is not None and name not in CLASSES:
                raise ExplainError(f"There is no class {name!r}: use {', '.join(CLASSES)}.")
        if self.baseline not in BASELINES:
            known = ", ".join(BASELINES)
            raise ExplainError(f"There is no baseline {self.baseline!r}: use {known}.")
        if self.against is not None and self.against == self.target:
            raise ExplainError("A class cannot be held against itself: give two different ones.")


@dataclass(frozen=True)
class Explanation:
    """A heatmap over a crop.

    `heatmap`: float32 H x W at the crop's size, signed, in the method's own unit: positive places
    speak for `target` (and against `against`, where a class is given), negative ones against it.
    `completeness_gap`: |sum of the attributions - (score of the crop - score of the baseline)| /
    |that difference|, 0 at best; None for methods without that axiom, as are `steps`, the steps of
    the integral, and `baseline`, where it starts.
    """

    heatmap: np.ndarray
    target: str
    method: str
    completeness_gap: float | None = None
    against: str | None = None
    baseline: str | None = None
    steps: int | None = None

    @property
    def empty(self) -> bool:
        """Whether no place at all speaks for the target."""
        return not (self.heatmap > 0).any()

    def facts(self) -> dict:
        """Everything but the heatmap."""
        names = ("method", "target", "against", "baseline", "steps", "completeness_gap")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict:
        return {**self.facts(), "heatmap": self.heatmap.tolist()}


@dataclass(frozen=True)
class Answer:
    """A prediction with its explanations, all of one forward pass."""

    prediction: Prediction
    explanations: tuple[Explanation, ...]


def explain(
    model: MaskModel,
    crop: Image.Image,
    method: str = "grad_cam",
    target: str | None = None,
    against: str | None = None,
    baseline: str = "gray",
) -> Explanation:
    """Explain one class of one RGB crop; `target` None means the predicted class.

    `against` and `baseline`: see Question. Raises ExplainError for unknown names.
    """
    question = Question(target, against, baseline)
    return answer_and_explain(model, crop, [method], question).explanations[0]


def answer_and_explain(
    model: MaskModel,
    crop: Image.Image,
    methods: Sequence[str] = FIRST_METHODS,
    question: Question = Question(),
) -> Answer:
    """Predict a crop and explain one class by several methods. Raises ExplainError."""
    return answer_and_explain_all(model, [crop], methods, question)[0]


def answer_and_explain_all(
    model: MaskModel,
    crops: Sequence[Image.Image],
    methods: Sequence[str] = FIRST_METHODS,
    question: Question = Question(),
) -> list[Answer]:
    """The same for several crops of any size, in batches. Raises ExplainError."""
    check_methods(methods)
    batches = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)]
    return [
        answer for batch in batches for answer in _explain_batch(model, batch, methods, question)
    ]


def _explain_batch(
    model: MaskModel, crops: Sequence[Image.Image], methods: Sequence[str], question: Question
) -> list[Answer]:
    case, asked = _case(model, crops, question)
    attributions = {method: METHODS[method](case) for method in methods}
    return [
        Answer(
            model.prediction(case.logits[index].detach().cpu()),
            tuple(
                _explanation(method, a, index, crop.size, asked[index])
                for method, a in attributions.items()
            ),
        )
        for index, crop in enumerate(crops)
    ]


def check_methods(methods: Sequence[str]) -> None:
    """Raise ExplainError unless the methods exist."""
    for method in methods:
        if method not in METHODS:
            raise ExplainError(f"There is no method {method!r}: use {' or '.join(METHODS)}.")


@torch.no_grad()
def _case(
    model: MaskModel, crops: Sequence[Image.Image], question: Question
) -> tuple[Case, list[Question]]:
    """The crops' way through the network, and each one's question with its target filled in."""
    inputs = model.inputs(crops)
    if question.baseline == "blurred":
        baseline, baseline_logits = _through(model, blur_inputs(inputs))
    else:
        baseline, baseline_logits = _constant_baseline(model, question.baseline)
    activations = model.network.features(inputs).requires_grad_()
    with torch.enable_grad():
        logits = model.network.head(activations)
    asked = [_filled_in(question, row) for row in logits]
    weights = torch.stack([_weights(one) for one in asked]).to(inputs)  # N x 3
    case = Case(model.network, inputs, activations, logits, baseline, baseline_logits, weights)
    return case, asked


@lru_cache(maxsize=32)
@torch.no_grad()
def _constant_baseline(model: MaskModel, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations 1 x C x h x w and logits 1 x 3 of the gray or the black input."""
    size = model.network.transform.size
    if name == "gray":
        inputs = torch.zeros(1, 3, size, size)
    else:
        inputs = model.network.transform.normalise(torch.zeros(1, 3, size, size))
    return _through(model, inputs.to(model.device, memory_format=torch.channels_last))


def _through(model: MaskModel, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    activations = model.network.features(inputs)
    return activations, model.network.head(activations)


def _filled_in(question: Question, logits: torch.Tensor) -> Question:
    target = question.target or CLASSES[int(logits.argmax())]
    # "Why not X" where X is what was answered: there is nothing to hold against it.
    against = question.against if question.against != target else None
    return Question(target, against, question.baseline)


def _weights(question: Question) -> torch.Tensor:
    weights = torch.zeros(len(CLASSES))
    weights[CLASSES.index(question.target)] = 1.0
    if question.against is not None:
        weights[CLASSES.index(question.against)] = -1.0
    return weights


def _explanation(
    method: str, attribution: Attribution, index: int, size: tuple[int, int], asked: Question
) -> Explanation:
    width, height = size
    signed = attribution.map[index : index + 1].detach()
    large = LayerAttribution.interpolate(signed, (height, width), "bilinear")
    complete = attribution.gaps is not None
    return Explanation(
        heatmap=large[0, 0].float().cpu().numpy(),
        target=asked.target,
        method=method,
        completeness_gap=attribution.gaps[index] if complete else None,
        against=asked.against,
        baseline=asked.baseline if complete else None,
        steps=attribution.steps[index] if complete else None,
    )
