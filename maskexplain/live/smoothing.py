"""Answers over time that do not flicker: running means in seconds, and a label slow to change.

A mean forgets by the clock and not by the frame, so that a fast and a slow machine show the same.
"""

from math import exp

import numpy as np

ANSWER_SECONDS = 0.4  # after these, a new answer has two thirds of its weight
HEAT_SECONDS = 0.25
LEAD = 0.1  # by which another class's probability must lead before it becomes the label


def new_share(seconds: float, constant: float) -> float:
    """The weight (0..1) of what is new after some seconds: 1 - exp(-seconds / constant)."""
    return 1 - exp(-max(seconds, 0.0) / constant)


def mixed_probabilities(
    old: dict[str, float], new: dict[str, float], seconds: float
) -> dict[str, float]:
    """The running mean of the classes' probabilities; it sums to 1 as they do."""
    share = new_share(seconds, ANSWER_SECONDS)
    return {name: (1 - share) * old[name] + share * new[name] for name in old}


def mixed_heat(old: np.ndarray, new: np.ndarray, seconds: float) -> np.ndarray:
    """The running mean of heatmaps of one shape, float32 0..1."""
    share = np.float32(new_share(seconds, HEAT_SECONDS))
    return (1 - share) * old + share * new


def steady_label(label: str, probabilities: dict[str, float]) -> str:
    """The label that was shown, until another class leads it clearly."""
    best = max(probabilities, key=probabilities.__getitem__)
    return best if probabilities[best] >= probabilities[label] + LEAD else label
