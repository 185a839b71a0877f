"""Measured results for tests: made up, but whole."""

from collections.abc import Sequence
from typing import Any

from maskexplain.masks.task import MASK
from maskexplain.models.results import ExplanationScores, Results, Scores, Spread, WayScores
from maskexplain.results.scores import fields_of, recall, wilson

Matrix = Sequence[Sequence[int]]
EVEN = ((9, 1, 0), (0, 9, 1), (1, 0, 9))


def scores(matrix: Matrix = EVEN, balanced: float | None = None) -> Scores:
    """Scores of a confusion matrix (rows true); `balanced` in place of its balanced accuracy."""
    recalls = [recall(row[i], sum(row)) for i, row in enumerate(matrix)]
    mean = sum(r.recall for r in recalls) / len(recalls)
    return Scores(
        pictures=sum(map(sum, matrix)),
        balanced_accuracy=mean if balanced is None else balanced,
        per_class=dict(zip(MASK.names, recalls, strict=True)),
        confusion_matrix=[list(row) for row in matrix],
    )


def measured(matrix: Matrix = EVEN, shifts: dict[str, Scores] | None = None, **parts: Any):
    """Results with scores and shifts ("unaugmented" has the same scores where it is not given)."""
    whole = {"unaugmented": scores(matrix), **(shifts or {})}
    return Results(**fields_of(scores(matrix)), shifts=whole, **parts)


def way_scores(beats: int, faces: int = 100, milliseconds: float = 10.0) -> WayScores:
    """One way's scores: on so many faces its heat beats everything that it is held against."""
    return WayScores(
        faces=faces,
        beats_random=beats,
        deletion=-0.2,
        insertion=0.1,
        empty=0,
        nose_mouth=1.5,
        milliseconds=milliseconds,
        verdicts={"holds": beats, "doubtful": faces - beats},
        beats_copies=beats,
        beats_usual=beats,
        usual_interval=wilson(beats, faces),
        like_mean=0.5,
        random_head=Spread(0.4, 0.2, 0.6, 10),
        cascade=(0.4, 0.2),
    )


def explained(default: str, taken: dict[str, WayScores], dark: dict[str, WayScores] | None = None):
    """Scores of explanations with these ways measured."""
    lights = {"as_taken": taken, "dark_35": taken if dark is None else dark}
    return ExplanationScores(default, lights, {})
