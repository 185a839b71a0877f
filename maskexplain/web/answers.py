"""An answer as HTML: its class in its colour, whether it is unsure, its probabilities as bars."""

from collections.abc import Sequence
from html import escape

from ..models.version import Model, Prediction
from ..task import Task
from ..words import listed


def pill(task: Task, label: str) -> str:
    """A class by its title, in its colour."""
    return f'<span class="answer" style="{task.style(label)}">{escape(task.title(label))}</span>'


def unsure_badge(model: Model, prediction: Prediction) -> str:
    """Says that a version's answer counts as unsure; empty where it does not."""
    if not prediction.unsure:
        return ""
    below = f"{model.unsure_below:.1%}"
    title = f"{escape(model.name)} counts as unsure below {below}"
    return f' <span class="unsure" title="{title}">unsure: under {below}</span>'


def bars(task: Task, prediction: Prediction) -> str:
    """The probabilities as bars, in class order and in the classes' colours."""
    inner = "".join(_bar(task, name, prediction) for name in task.names)
    return f'<div class="bars">{inner}</div>'


def _bar(task: Task, name: str, prediction: Prediction) -> str:
    percent = f"{prediction.probabilities[name]:.1%}"
    chosen = " chosen" if name == prediction.label else ""
    title, raw = escape(task.title(name)), escape(name)
    return f"""
<div class="bar{chosen}" role="img" aria-label="{title}: {percent}" style="{task.style(name)}">
  <span class="name">{title}<code>{raw}</code></span>
  <span class="percent">{percent}</span>
  <span class="track"><span class="fill" data-class="{raw}" style="width:{percent}"></span></span>
</div>"""


def says(models: Sequence[Model], labels: Sequence[str]) -> str:
    """Who says what, those who say the same together: “v1 and v2 say “No mask”, v3 says ...”."""
    groups: dict[str, list[str]] = {}
    for model, label in zip(models, labels, strict=True):
        groups.setdefault(model.task.title(label), []).append(model.name)
    return ", ".join(
        f"{listed(group)} {'say' if len(group) > 1 else 'says'} “{title}”"
        for title, group in groups.items()
    )
