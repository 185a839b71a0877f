"""How often a way to explain was right about a version, from the version's JSON, and in words."""

from dataclasses import dataclass

from ..networks.answer import MaskModel
from .variants import Variant, measured_explanations


@dataclass(frozen=True)
class TrackRecord:
    """On how many of `faces` test faces blurring by the heat beat blurring at random (the mean of
    random orders), as taken and in dim light. Chance is half.
    """

    right: int
    faces: int
    dim_right: int
    dim_faces: int


def track_record(model: MaskModel, way: Variant) -> TrackRecord | None:
    """None where it was never measured for this version."""
    scores = measured_explanations(model.results)
    if not scores:
        return None
    taken, dark = (scores["lights"][light][way.key] for light in ("as_taken", "dark_35"))
    return TrackRecord(taken["beats_random"], taken["faces"], dark["beats_random"], dark["faces"])


def record_sentence(model: MaskModel, way: Variant) -> str:
    """The same for people."""
    record = track_record(model, way)
    if record is None:
        return f"{way.title} was never measured for this version."
    return (
        f"On test faces, blurring by the heat of {way.title} beats blurring at random on "
        f"{record.right} of {record.faces}, in dim light on {record.dim_right} of "
        f"{record.dim_faces} (chance: half)."
    )
