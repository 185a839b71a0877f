"""What is asked of a version: why this class, and explained in which ways?"""

from dataclasses import dataclass

import torch

from ..errors import UserError
from ..task import Task

BEST = "best"  # stands for the way that each version's measurements chose
FIRST_WAYS = (BEST, "grad_cam", "integrated_gradients")


class ExplainError(UserError):
    """An unknown method, class or baseline was asked for."""


@dataclass(frozen=True)
class Question:
    """Why this class? One type from the page's controls to the methods.

    `target`: the class to explain, None for the predicted one. `against`: why not this class
    instead? The difference of the two logits is then explained. `ways`: keys of `ways.all_ways`,
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
