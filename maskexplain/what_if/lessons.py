"""What there is to see in the versions' answers, in a sentence, from what was measured of them."""

from collections.abc import Sequence
from html import escape

from ..explaining.draw import CLASS_TITLES
from ..networks.answer import MaskModel
from ..networks.model import CLASSES
from ..views.words import listed

MANY = 0.25  # of a class's faces
LOSS = 0.1  # of balanced accuracy under a shift, from which on it is worth a sentence
# What under a measured shift makes networks go wrong, and what to do to see it.
LESSONS = {
    "dark_35": ("in dim light", "pull the light down and watch"),
    "gray": ("without colour", "push the gray up and watch"),
    "blurred": ("without fine detail", "take detail away and watch"),
    "turned_15": ("turned by 15°", "turn it and watch"),
}


def lessons(models: Sequence[MaskModel]) -> str:
    """What there is to see, as HTML, from what was measured of each version."""
    found = [_lesson(models, shift) for shift in LESSONS]
    lines = "".join(f"<p>{line}</p>" for line in found if line)
    return lines or "<p>Move a slider and watch which version changes its answer.</p>"


def _lesson(models: Sequence[MaskModel], shift: str) -> str:
    """A sentence for the versions that lose much under a shift, by the answer they fall for."""
    where, do = LESSONS[shift]
    fooled: dict[tuple[str, str], list[str]] = {}
    for model in models:
        label = _falls_for(model.results, shift)
        if label is not None:
            matrix = model.results["shifts"][shift]["confusion_matrix"]
            fooled.setdefault((label, _who(matrix, label)), []).append(escape(model.name))
    return " ".join(
        f"<b>{listed(names)}</b>: many faces {where} are taken for “{CLASS_TITLES[label]}”, {who}; "
        f"{do}."
        for (label, who), names in fooled.items()
    )


def _who(matrix: list[list[int]], label: str) -> str:
    """Whom a shift makes be taken for a class: all others, or the one that loses most to it."""
    answered = CLASSES.index(label)
    lost = {
        CLASSES[true]: row[answered] / sum(row)
        for true, row in enumerate(matrix)
        if true != answered and sum(row)
    }
    if all(share >= MANY for share in lost.values()):
        return "whatever they wear"
    return f"most of all those that are “{CLASS_TITLES[max(lost, key=lost.__getitem__)]}”"


def _falls_for(results: dict, shift: str) -> str | None:
    """The class that wrong answers under a shift mostly are; None where little is lost."""
    scores = results.get("shifts", {}).get(shift)
    if scores is None:
        return None
    plain = results["shifts"]["unaugmented"]["balanced_accuracy"]
    if plain - scores["balanced_accuracy"] < LOSS:
        return None
    matrix = scores["confusion_matrix"]  # rows true, columns answered
    wrong = [sum(row[i] for j, row in enumerate(matrix) if j != i) for i in range(len(CLASSES))]
    return CLASSES[wrong.index(max(wrong))]
