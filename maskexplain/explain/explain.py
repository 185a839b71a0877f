"""Why a class: a forward pass with its heatmaps, for one crop or for many at once.

A crop becomes a tensor once and goes through a version once; answers, heatmaps and their tests all
start from that `ForwardPass`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as nnf

from ..models.network import in_parts
from ..models.version import Model, Prediction
from ..task import Task
from .methods import BASELINES, METHODS, Attribution, Case
from .places import blur_inputs
from .question import USUAL, ExplainError, Question, Way, check_fit

BATCH = 16  # faces at once; bounds the memory


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

    @property
    def way(self) -> Way:
        """The way in which it was made."""
        return Way(self.method, self.baseline or "gray")

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


@dataclass(frozen=True)
class ForwardPass:
    """Crops on their way through one version.

    `activations` is the leaf that `logits` were computed from, with their graph.
    """

    model: Model
    crops: tuple[Image.Image, ...]
    inputs: torch.Tensor  # N x 3 x S x S
    activations: torch.Tensor  # N x C x h x w, `features` of the inputs
    logits: torch.Tensor  # N x classes

    def predictions(self) -> list[Prediction]:
        """The answers, one a crop."""
        return [self.model.prediction(row) for row in self.logits.detach().cpu()]


def forward_pass(model: Model, crops: Sequence[Image.Image]) -> ForwardPass:
    """Run RGB crops of any size through a version, ready to be explained."""
    return pass_of(model, crops, model.inputs(crops))


def pass_of(model: Model, crops: Sequence[Image.Image], inputs: torch.Tensor) -> ForwardPass:
    """The same from inputs N x 3 x S x S that are made already; of the crops the sizes count."""
    parts = in_parts(inputs, model.device)
    with torch.no_grad():
        activations = torch.cat([model.network.features(part) for part in parts])
    with torch.enable_grad():
        logits = model.network.head(activations.requires_grad_())
    return ForwardPass(model, tuple(crops), inputs, activations, logits)


def explain(
    model: Model,
    crop: Image.Image,
    method: str = "grad_cam",
    target: str | None = None,
    against: str | None = None,
    baseline: str = "gray",
) -> Explanation:
    """Explain one class of one RGB crop; `target` None means the predicted class.

    `against`: see Question. `baseline`: the picture without information that integrated gradients
    start from: "gray" (the zero input), "black" or the crop "blurred". Raises ExplainError for
    unknown names.
    """
    question = Question(target, against)
    return answer_and_explain(model, crop, [Way(method, baseline)], question).explanations[0]


def answer_and_explain(
    model: Model,
    crop: Image.Image,
    ways: Sequence[Way],
    question: Question = USUAL,
) -> Answer:
    """Predict a crop and explain one class in several ways. Raises ExplainError."""
    check_ways(ways)
    question.check(model.task)  # before the network runs
    forward = forward_pass(model, [crop])
    return Answer(forward.predictions()[0], tuple(explain_pass(forward, ways, question)[0]))


def answer_and_explain_all(
    model: Model,
    crops: Sequence[Image.Image],
    ways: Sequence[Way],
) -> list[Answer]:
    """The same for several crops of any size, in batches. Raises ExplainError."""
    answers = []
    for start in range(0, len(crops), BATCH):
        forward = forward_pass(model, crops[start : start + BATCH])
        explained = explain_pass(forward, ways)
        pairs = zip(forward.predictions(), explained, strict=True)
        answers += [Answer(prediction, tuple(found)) for prediction, found in pairs]
    return answers


def explain_pass(
    forward: ForwardPass, ways: Sequence[Way], question: Question = USUAL, refine: bool = True
) -> list[list[Explanation]]:
    """Explain every crop of a forward pass in several ways: a list a crop, in the ways' order.

    `refine`: integrated gradients take more steps where 50 are not enough. Raises
    ExplainError for unknown names.
    """
    check_ways(ways)
    check_fit(forward.model, ways)
    task = forward.model.task
    question.check(task)
    asked = [question.asked_of(task, row) for row in forward.logits]
    weights = torch.stack([_weights(task, *one) for one in asked]).to(forward.inputs)
    names = {way.baseline for way in ways}
    cases = {name: _case(forward, weights, name, refine) for name in names}
    attributions = [METHODS[way.method].run(cases[way.baseline]) for way in ways]
    return [
        [
            _explanation(way, attribution, index, crop.size, asked[index])
            for way, attribution in zip(ways, attributions, strict=True)
        ]
        for index, crop in enumerate(forward.crops)
    ]


def check_ways(ways: Sequence[Way]) -> None:
    """Raise ExplainError unless methods and baselines exist."""
    for way in ways:
        if way.method not in METHODS:
            known = " or ".join(METHODS)
            raise ExplainError(f"There is no method {way.method!r}: use {known}.")
        if way.baseline not in BASELINES:
            known = ", ".join(BASELINES)
            raise ExplainError(f"There is no baseline {way.baseline!r}: use {known}.")


def _case(forward: ForwardPass, weights: torch.Tensor, baseline: str, refine: bool) -> Case:
    if baseline == "blurred":
        start = _through(forward.model, blur_inputs(forward.inputs))
    else:
        start = _constant_baseline(forward.model, baseline)
    network = forward.model.network
    known = (forward.inputs, forward.activations, forward.logits)
    return Case(network, *known, *start, weights, refine)


# Kept as long as the version itself: a version with random weights is gone after one question.
_CONSTANT: WeakKeyDictionary[Model, dict[str, tuple[torch.Tensor, torch.Tensor]]]
_CONSTANT = WeakKeyDictionary()


def _constant_baseline(model: Model, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations 1 x C x h x w and logits 1 x classes of the gray or the black input."""
    known = _CONSTANT.setdefault(model, {})
    if name not in known:
        size = model.network.transform.size
        inputs = torch.zeros(1, 3, size, size)
        if name != "gray":
            inputs = model.network.transform.normalise(inputs)
        known[name] = _through(model, inputs.to(model.device, memory_format=torch.channels_last))
    return known[name]


@torch.no_grad()
def _through(model: Model, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    activations = model.network.features(inputs)
    return activations, model.network.head(activations)


def _weights(task: Task, target: str, against: str | None) -> torch.Tensor:
    """What is explained, as weights of the logits: 1 the target, -1 what it is held against."""
    weights = torch.zeros(len(task))
    weights[task.index(target)] = 1.0
    if against is not None:
        weights[task.index(against)] = -1.0
    return weights


def _explanation(
    way: Way,
    attribution: Attribution,
    index: int,
    size: tuple[int, int],
    asked: tuple[str, str | None],
) -> Explanation:
    width, height = size
    signed = attribution.map[index : index + 1].detach()
    large = nnf.interpolate(signed, (height, width), mode="bilinear")
    complete = attribution.gaps is not None
    return Explanation(
        heatmap=large[0, 0].float().cpu().numpy(),
        target=asked[0],
        method=way.method,
        completeness_gap=attribution.gaps[index] if complete else None,
        against=asked[1],
        baseline=way.baseline if complete else None,
        steps=attribution.steps[index] if complete else None,
    )
