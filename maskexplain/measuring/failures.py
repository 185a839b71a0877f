"""What a version is known to get wrong, in words, from what was measured of it."""

from collections.abc import Mapping

from ..explaining.draw import CLASS_TITLES
from ..networks.model import CLASSES
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
