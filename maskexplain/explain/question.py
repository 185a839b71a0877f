"""What is asked of a version: why this class, and explained in which ways?

A way is a method, and where it starts if it needs to. Each version's default is a fast one of those
that were right about as often as any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import UserError
from ..models.version import Model
from ..task import Task
from .methods import METHODS

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
