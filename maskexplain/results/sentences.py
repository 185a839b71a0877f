"""What was measured of the versions, in sentences: known failures, and what there is to see."""

from collections.abc import Mapping, Sequence
from html import escape

from ..explain.draw import CLASS_TITLES
from ..models.network import CLASSES
from ..models.version import MaskModel
from ..words import listed
from .tables import SHIFT_TITLES, is_measured

LOST = 0.05  # of balanced accuracy: a shift that costs as much is named


def known_failures(results: dict) -> list[str]:
    """Sentences about a version's JSON: the shifts that cost it most, its commonest mistake.

    Empty for a version that was never measured.
    """
    if not is_measured(results):
        return []
    as_taken = results["shifts"]["unaugmented"]["balanced_accuracy"]
    costly = [
        (key, score)
        for key, score in results["shifts"].items()
        if as_taken - score["balanced_accuracy"] >= LOST
    ]
    costly.sort(key=lambda item: item[1]["balanced_accuracy"])
    sentences = [_shift_sentence(key, score, as_taken) for key, score in costly]
    commonest = _commonest(results["confusion_matrix"])
    return [*sentences, *_painted(results), *_street(results), *commonest]


def _shift_sentence(key: str, score: dict, as_taken: float) -> str:
    counts = score["confusion_matrix"]
    columns = [sum(row[i] for row in counts) - counts[i][i] for i in range(len(CLASSES))]
    most = max(range(len(CLASSES)), key=columns.__getitem__)
    others = score["pictures"] - sum(counts[most])
    return (
        f"{SHIFT_TITLES.get(key, key)}: balanced accuracy falls from {as_taken:.2f} to "
        f"{score['balanced_accuracy']:.2f}; {columns[most]} of {others} other faces are called "
        f"“{CLASS_TITLES[CLASSES[most]]}”."
    )


def _painted(results: dict) -> list[str]:
    """Masks painted on bare faces: the positions that are taken for another one."""
    positions = results.get("painted", {}).get("by_position", {})
    titles = {"right": "worn right", "nose_out": "with the nose out", "chin": "under the chin"}
    named = {titles.get(key, key): found for key, found in positions.items()}
    return _missed("Masks painted on bare faces", named)


def _street(results: dict) -> list[str]:
    """Faces found on street photos: the classes that are taken for another one."""
    recalls = results.get("street", {}).get("scores", {}).get("per_class", {})
    named = {f"“{CLASS_TITLES[name]}”": found for name, found in recalls.items() if found["total"]}
    return _missed("Faces found on street photos", named)


def _missed(faces: str, recalls: Mapping[str, dict]) -> list[str]:
    """A sentence for each kind of these faces of which too many are taken for another one."""
    return [
        f"{faces}, {kind}: only {found['right']} of {found['total']} are recognised."
        for kind, found in recalls.items()
        if found["recall"] < 1 - LOST
    ]


def _commonest(counts: list[list[int]]) -> list[str]:
    pairs = [(t, a) for t in range(len(CLASSES)) for a in range(len(CLASSES)) if t != a]
    true, answered = max(pairs, key=lambda pair: counts[pair[0]][pair[1]])
    share = f"{counts[true][answered]} of {sum(counts[true])}"
    if not counts[true][answered]:
        return []
    return [
        f"Its commonest mistake on test: “{CLASS_TITLES[CLASSES[true]]}” called "
        f"“{CLASS_TITLES[CLASSES[answered]]}”, {share} times."
    ]


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
