"""An answer as HTML: its class in its colour, whether it is unsure, its probabilities as bars."""

from collections.abc import Sequence
from html import escape

from ..explain.draw import CLASS_TITLES
from ..models.network import CLASSES
from ..models.version import MaskModel, Prediction
from ..words import listed


def pill(label: str) -> str:
    """A class by its title, in its colour."""
    return f'<span class="answer {label}">{CLASS_TITLES[label]}</span>'


def unsure_badge(model: MaskModel, prediction: Prediction) -> str:
    """Says that a version's answer counts as unsure; empty where it does not."""
    if not prediction.unsure:
        return ""
    below = f"{model.unsure_below:.1%}"
    title = f"{escape(model.name)} counts as unsure below {below}"
    return f' <span class="unsure" title="{title}">unsure: under {below}</span>'


def bars(prediction: Prediction) -> str:
    """The probabilities as bars, in class order and in the classes' colours."""
    return '<div class="bars">' + "".join(_bar(n, prediction) for n in CLASSES) + "</div>"


def _bar(name: str, prediction: Prediction) -> str:
    percent = f"{prediction.probabilities[name]:.1%}"
    chosen = " chosen" if name == prediction.label else ""
    return f"""
<div class="bar{chosen}" role="img" aria-label="{CLASS_TITLES[name]}: {percent}">
  <span class="name">{CLASS_TITLES[name]}<code>{name}</code></span>
  <span class="percent">{percent}</span>
  <span class="track"><span class="fill {name}" style="width:{percent}"></span></span>
</div>"""


def says(names: Sequence[str], labels: Sequence[str]) -> str:
    """Who says what, those who say the same together: “v1 and v2 say “No mask”, v3 says ...”."""
    groups: dict[str, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, []).append(name)
    return ", ".join(
        f"{listed(group)} {'say' if len(group) > 1 else 'says'} “{CLASS_TITLES[label]}”"
        for label, group in groups.items()
    )
