"""An answer as HTML: its class in its colour, whether it is unsure, its probabilities as bars."""

from collections.abc import Sequence

from markupsafe import Markup

from ..models.checkpoints import by_number
from ..models.version import Model, Prediction
from ..task import Task
from ..words import listed
from .assets import macros

_MACROS = macros("answers")


def pill(task: Task, label: str) -> Markup:
    """A class by its title, in its colour."""
    return _MACROS.pill(task, label)


def unsure_badge(model: Model, prediction: Prediction) -> Markup:
    """Says that a version's answer counts as unsure; empty where it does not."""
    return _MACROS.badge(model, prediction)


def bars(task: Task, prediction: Prediction) -> Markup:
    """The probabilities as bars, in class order and in the classes' colours."""
    return _MACROS.bars(task, prediction)


def newest_first(models: Sequence[Model]) -> list[Model]:
    """The versions in the order in which the page tells of them."""
    return sorted(models, key=lambda model: by_number(model.name), reverse=True)


def says(models: Sequence[Model], labels: Sequence[str]) -> str:
    """Who says what, those who say the same together: “v1 and v2 say “No mask”, v3 says ...”."""
    groups: dict[str, list[str]] = {}
    for model, label in zip(models, labels, strict=True):
        groups.setdefault(model.task.title(label), []).append(model.name)
    return ", ".join(
        f"{listed(group)} {'say' if len(group) > 1 else 'says'} “{title}”"
        for title, group in groups.items()
    )
