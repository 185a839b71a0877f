"""Why a class: the question, and a forward pass with its heatmaps, for one crop or for many.

What is asked of a version: why this class, and explained in which ways? A way is a method, and
where it starts if it needs to. Each version's default is a fast one of those that were right about
as often as any.

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

from ..errors import UserError
from ..models.network import in_parts
from ..models.version import Model, Prediction
from ..task import Task
from .methods import BASELINES, METHODS, Attribution, Case
from .places import blur_inputs

BEST = "best"  # stands for the way that each version's measurements chose
FIRST_WAYS = (BEST, "grad_cam", "integrated_gradients")


class ExplainError(UserError):
    """An unknown method, class or baseline was asked for."""


@dataclass(frozen=True)
class Question:
    """Why this class? One type from the page's controls to the methods.

    `target`: the class to explain, None for the predicted one. `against`: why not this class
    instead? The difference of the two logits is then explained. `ways`: keys of `all_ways`,
    or BEST.
    """

    target: str | None = None
    against: str | None = None
    ways: tuple[str, ...] = FIRST_WAYS

    def check(self, task: Task) -> None:
        """Raise ExplainError for a class that the task lacks, or one held against itself."""
        if self.against is not None and self.against == self.target:
            raise ExplainError("A class cannot be held against itself: give two different ones.")
        for name in (self.target, self.against):
            if name is not None and name not in task:
                raise ExplainError(f"There is no class {name!r}: use {', '.join(task.names)}.")

    def asked_of(self, task: Task, logits: torch.Tensor) -> tuple[str, str | None]:
        """Target and against for one answer (logits of the classes), the target filled in."""
        target = self.target or task.names[int(logits.argmax())]
        # "Why not X" where X is what was answered: there is nothing to hold against it.
        return target, self.against if self.against != target else None


USUAL = Question()


def known_to(task: Task, question: Question) -> Question:
    """The question without the classes that a task does not have: versions may answer others."""
    target, against = (
        name if name is not None and name in task else None
        for name in (question.target, question.against)
    )
    return Question(target, against, question.ways)


UNMEASURED_DEFAULT = "integrated_gradients"  # of a version without measurements


@dataclass(frozen=True)
class Way:
    """A method of METHODS with its baseline ("gray" for a method without one)."""

    method: str
    baseline: str = "gray"

    @property
    def title(self) -> str:
        """For people."""
        method = METHODS[self.method]
        return method.title + (f", from {self.baseline}" if len(method.baselines) > 1 else "")

    @property
    def key(self) -> str:
        """Its name in results: the method, with another baseline than gray behind a slash."""
        return self.method if self.baseline == "gray" else f"{self.method}/{self.baseline}"


def all_ways() -> dict[str, Way]:
    """Every way by its key: each method as it usually starts, then its other baselines."""
    usual = [Way(key) for key in METHODS]
    others = [Way(key, b) for key, method in METHODS.items() for b in method.baselines[1:]]
    return {way.key: way for way in (*usual, *others)}


def find_ways(model: Model, keys: Sequence[str]) -> list[Way]:
    """Ways by their keys, each once; BEST stands for the version's default.

    Those that do not fit the version's network are left out. Raises ExplainError where none does.
    """
    ways = all_ways()
    for key in keys:
        if key not in ways and key != BEST:
            known = ", ".join((BEST, *ways))
            raise ExplainError(f"There is no way to explain {key!r}: use {known}.")
    if not keys:
        raise ExplainError("No way to explain was chosen: choose at least one.")
    default = default_way(model).key
    asked = [ways[key] for key in dict.fromkeys(default if k == BEST else k for k in keys)]
    fitting = [way for way in asked if METHODS[way.method].fits(model.network)]
    check_fit(model, fitting or asked)
    return fitting


def check_fit(model: Model, ways: Sequence[Way]) -> None:
    """Raise ExplainError for a way whose maps mean nothing for the version's network."""
    for way in ways:
        if not METHODS[way.method].fits(model.network):
            good = ", ".join(key for key, one in METHODS.items() if one.fits(model.network))
            raise ExplainError(
                f"{way.title} does not fit {model.name}, in which attention mixes the places of "
                f"the picture: use {good}."
            )


def default_way(model: Model) -> Way:
    """The way to explain that a version's measurements chose."""
    scores, ways = model.results.explanations, all_ways()
    return ways[scores.default if scores and scores.default in ways else UNMEASURED_DEFAULT]


def fast_way(model: Model) -> Way:
    """The first of the fast ways that fits the version's network."""
    fast = (key for key, method in METHODS.items() if method.cost == "fast")
    return Way(next(key for key in fast if METHODS[key].fits(model.network)))


def prompt_way(model: Model) -> Way:
    """The way to explain while somebody pulls a slider: the best that is not slow.

    Best of those measured is the one that beats its copies on most faces, where the default is
    slow.
    """
    usual, scores = default_way(model), model.results.explanations
    if METHODS[usual.method].cost != "slow" or not scores:
        return usual
    prompt = [way for way in all_ways().values() if METHODS[way.method].cost != "slow"]
    found = [(scores.of(way.key), way) for way in prompt]
    known = [(taken.beats_copies or 0, way) for taken, way in found if taken]
    return max(known, key=lambda pair: pair[0])[1] if known else fast_way(model)


def is_best(model: Model, way: Way) -> bool:
    """Whether measurements chose this way for the version, and found more than chance in it."""
    scores = model.results.explanations
    return scores is not None and scores.default == way.key and scores.earned


# --- the answer

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
