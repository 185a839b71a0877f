"""The ways to explain that are measured and offered: a method, and where it starts if it needs to.

Each version's default is a fast one of those that were right about as often as any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..models.version import MaskModel
from .explain import ExplainError
from .methods import METHODS

METHOD_TITLES = {
    "grad_cam": "Grad-CAM",
    "layer_cam": "Layer-CAM",
    "integrated_gradients": "Integrated gradients",
    "smooth_gradients": "SmoothGrad",
    "occlusion": "Occlusion",
}


@dataclass(frozen=True)
class Variant:
    """A method of METHODS with, for integrated gradients, its baseline (else "gray")."""

    method: str
    baseline: str = "gray"

    @property
    def title(self) -> str:
        """For people."""
        return METHOD_TITLES[self.method] + (
            f", from {self.baseline}" if self.method == "integrated_gradients" else ""
        )

    @property
    def key(self) -> str:
        """Its name in results: the method, with another baseline than gray behind a slash."""
        return self.method if self.baseline == "gray" else f"{self.method}/{self.baseline}"


VARIANTS = {
    variant.key: variant
    for variant in (
        *(Variant(method) for method in METHODS),
        Variant("integrated_gradients", "black"),
        Variant("integrated_gradients", "blurred"),
    )
}
BEST = "best"
UNMEASURED = "integrated_gradients"  # the default of a version without measurements


def find_variants(model: MaskModel, keys: Sequence[str]) -> list[Variant]:
    """Ways by their keys, each once; BEST stands for the version's default. Raises ExplainError."""
    for key in keys:
        if key not in VARIANTS and key != BEST:
            known = ", ".join((BEST, *VARIANTS))
            raise ExplainError(f"There is no way to explain {key!r}: use {known}.")
    if not keys:
        raise ExplainError("No way to explain was chosen: choose at least one.")
    default = default_variant(model).key
    return [VARIANTS[key] for key in dict.fromkeys(default if k == BEST else k for k in keys)]


def default_variant(model: MaskModel) -> Variant:
    """The way to explain that a version's measurements chose."""
    scores = measured_explanations(model.results)
    return VARIANTS[scores["default"] if scores else UNMEASURED]


def is_best(model: MaskModel, way: Variant) -> bool:
    """Whether measurements chose this way for the version."""
    scores = measured_explanations(model.results)
    return bool(scores) and scores["default"] == way.key


def measured_explanations(results: dict) -> dict | None:
    """ExplanationScores, as a dict, out of a version's JSON.

    None where they are missing, or were written by a program that knew other ways to explain.
    """
    try:
        scores = results["explanations"]
        tables = (*scores["lights"].values(), *scores["painted"].values())
        complete = all(set(table) == set(VARIANTS) for table in tables)
        known = scores["default"] in VARIANTS and set(scores["lights"]) == {"as_taken", "dark_35"}
        return scores if complete and known else None
    except (AttributeError, KeyError, TypeError):
        return None
