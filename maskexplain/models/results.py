"""What was measured of a version: one model that reads and writes NAME.json.

Every part may be missing: a version that was never measured has none. Files of older programs are
read, with what they lack left out. Wrong types are refused with a sentence.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from ..errors import UserError
from ..words import listed


class ResultsError(UserError):
    """A version's JSON holds something else than results."""


@dataclass(frozen=True)
class Recall:
    """How many of a class's pictures were answered right; the interval is Wilson's at 95%."""

    right: int
    total: int
    recall: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """Confusion matrix (rows: true class, columns: answer, both in class order) and its readings.

    `balanced_accuracy` is the mean recall of the classes that have pictures, 0..1.
    """

    pictures: int
    balanced_accuracy: float
    per_class: dict[str, Recall]
    confusion_matrix: list[list[int]]

    @property
    def answers(self) -> list[int]:
        """How often each class was answered, in class order."""
        return [sum(column) for column in zip(*self.confusion_matrix, strict=True)]


@dataclass(frozen=True)
class PaintedScores:
    """Scores on painted masks, over the two masked classes, and the recall of each position.

    `faces` bare faces were offered; those without landmarks, and masks that can hardly be seen,
    are left out.
    """

    faces: int
    pictures: int
    balanced_accuracy: float
    per_class: dict[str, Recall]
    confusion_matrix: list[list[int]]
    by_position: dict[str, Recall]


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence: how many, their mean confidence, the share right."""

    low: float
    high: float
    answers: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error (0..1) and the bins of the reliability diagram; empty ones too.

    `raw_error` is the error of the logits before they were divided by `temperature`.
    """

    error: float
    raw_error: float
    temperature: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Threshold:
    """An answer below the confidence `threshold` counts as unsure.

    `coverage` is the share (0..1) of the `pictures` that are answered, `accuracy` the share right
    of these; `accuracy_below` of the rest, 0 where there is none.
    """

    threshold: float
    pictures: int
    answered: int
    coverage: float
    accuracy: float
    accuracy_below: float


@dataclass(frozen=True)
class Unsure:
    """The threshold that val chose, and what it means on val.

    `folder`: the data that val is of, where no training names them.
    """

    threshold: float
    val: Threshold | None = None
    folder: str | None = None


@dataclass(frozen=True)
class HalfPrecision:
    """What storing half precision changed on `pictures` test pictures."""

    pictures: int
    same_answers: int
    largest_logit_difference: float


@dataclass(frozen=True)
class Cost:
    """Size of the checkpoint, and the median milliseconds of one picture's answer on one thread.

    `milliseconds`: by version; all were timed in the same run, in turn on each picture.
    """

    checkpoint_bytes: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class FoundAnswers:
    """One version's answers to the found faces among `boxed` of `minimum_side` pixels and more."""

    splits: tuple[str, ...]
    pictures: int
    minimum_side: int
    boxed: int
    scores: Scores


@dataclass(frozen=True)
class PhotoRecall:
    """The recall (0..1) of a class where each photo counts once, however many faces it shows.

    A photo's share is that of its faces that are answered right; Wilson's 95% interval is over
    `photos`.
    """

    photos: int
    recall: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class FolderScores:
    """Scores on the un-augmented pictures of one more data folder, or of one collection in it.

    `per_photo` counts each photo once, and `balanced_accuracy` is the mean of it; `scores` counts
    each face. `calibration_error` and `sure` are of all its faces.
    """

    balanced_accuracy: float
    per_photo: dict[str, PhotoRecall]
    scores: Scores
    calibration_error: float
    sure: Threshold


@dataclass(frozen=True)
class Spread:
    """A figure over `draws` random draws."""

    mean: float
    least: float
    most: float
    draws: int


CONFIRMED = ("holds", "leads")  # the verdicts that a map without meaning hardly gets


@dataclass(frozen=True)
class WayScores:
    """One way to explain one version, or one kind of map without meaning, over `faces` pictures.

    `verdicts`: how many got each; `close`: how many of these are close calls; `beats_copies`: the
    hottest fifth hurts the margin more than 95% of its copies elsewhere do; `beats_usual`: the
    deletion curve (logit margin) lies under the mean map's, with Wilson's 95% interval;
    `beats_random`: under the mean random order's, which a blob anywhere does on most faces.

    `deletion` and `insertion`: mean area under the probability curve less that of random orders
    (the first should be negative, the second positive); `nose_mouth`: mean heat for area there;
    `like_mean`: mean absolute rank correlation with the mean map; `random_head`: with heatmaps of
    random weights in the head; `cascade`: of more and more random layers from the last one on, in
    the end of the whole network (both should fall); `empty`: pictures without any heat;
    `largest_gap`: of completeness; `milliseconds`: median for answer and heatmap. None where it
    was not, or cannot be, measured.
    """

    faces: int
    beats_random: int
    deletion: float
    insertion: float
    empty: int
    nose_mouth: float | None = None
    largest_gap: float | None = None
    milliseconds: float | None = None
    verdicts: dict[str, int] = field(default_factory=dict)
    close: int = 0
    beats_copies: int | None = None
    beats_usual: int | None = None
    usual_interval: tuple[float, float] | None = None
    like_mean: float | None = None
    random_head: Spread | None = None
    cascade: tuple[float, ...] | None = None

    @property
    def confirmed(self) -> int:
        """On how many pictures the map said more than maps that know nothing of them."""
        return sum(self.verdicts.get(key, 0) for key in CONFIRMED)

    @property
    def says_more(self) -> bool:
        """Whether the maps beat the mean map of other faces more often than by chance."""
        return self.usual_interval is not None and self.usual_interval[0] > 0.5

    @property
    def says_less(self) -> bool:
        """Whether they do so less often than by chance."""
        return self.usual_interval is not None and self.usual_interval[1] < 0.5


@dataclass(frozen=True)
class Firmness:
    """How many of `faces` verdicts were another after a change that should not matter.

    `surely`: of these, neither verdict was called a close call.
    """

    faces: int
    changed: int
    surely: int


@dataclass(frozen=True)
class PaintedHeat:
    """Over `faces` faces: heat for area on a painted mask and on the nose it leaves bare.

    `place`: share (0..1) of the positive heat that lies on the mask's upper edge, nose and mouth
    together; `place_area`: their share of the picture.
    """

    faces: int
    mask: float | None
    nose: float | None
    place: float | None = None
    place_area: float | None = None


MAP_SIDE = 16  # cells of a stored map's side


def pack_map(values: np.ndarray) -> str:
    """A small map (-1..1) as base64 of its int8 values, row by row."""
    return base64.b64encode((127 * values).round().clip(-127, 127).astype(np.int8)).decode()


def _unpacked(text: str) -> np.ndarray:
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.int8)
        return values.reshape(MAP_SIDE, MAP_SIDE).astype(np.float32) / 127
    except ValueError as error:
        raise ResultsError(
            "A stored map is broken: fetch the file again or measure anew."
        ) from error


@dataclass(frozen=True)
class MeanMap:
    """The mean over `faces` of their heatmaps, each divided by its largest absolute value.

    The crops are upright and cut alike. `values`: see `pack_map`.
    """

    faces: int
    values: str

    def __post_init__(self) -> None:
        _unpacked(self.values)

    @property
    def array(self) -> np.ndarray:
        """float32 MAP_SIDE x MAP_SIDE, -1..1: what speaks for the class is positive."""
        return _unpacked(self.values)


@dataclass(frozen=True)
class ClassMaps:
    """Where one version looks on the whole: one way to explain, one class that it answered, on val.

    `right` and `wrong`: the mean maps of right and wrong answers, None where there is none.
    `others`: single faces' maps, as of `pack_map`, which stand for "another face's map".
    """

    right: MeanMap | None
    wrong: MeanMap | None
    others: tuple[str, ...] = ()

    @property
    def faces(self) -> int:
        return sum(part.faces for part in (self.right, self.wrong) if part)

    @property
    def mean(self) -> np.ndarray:
        """The mean map of all answers, float32 MAP_SIDE x MAP_SIDE; 0 where there is none."""
        total = np.zeros((MAP_SIDE, MAP_SIDE), dtype=np.float32)
        for part in (self.right, self.wrong):
            if part:
                total += part.faces / self.faces * part.array
        return total

    @property
    def others_array(self) -> np.ndarray:
        """The single faces' maps, float32 K x MAP_SIDE x MAP_SIDE."""
        found = [_unpacked(text) for text in self.others]
        return np.array(found, dtype=np.float32).reshape(-1, MAP_SIDE, MAP_SIDE)


@dataclass(frozen=True)
class ExplanationScores:
    """All measured ways to explain a version: by light, and on painted masks by position.

    `default`: the key of a fast way that beats its copies about as often, as taken, as the one that
    does so most often: on a share of the faces within the latter's interval, and of those that take
    at most twice the fastest one's time it does so most often. `earned`: whether it is confirmed
    clearly more often than any map without meaning. `lights` holds "as_taken" and "dark_35",
    `painted` the positions; both by the key of a way. A way that came later is missing: it was not
    measured yet.

    `maps`: where the version looks on the whole, by way and answered class. `meaningless`: the
    same scores of maps that know nothing of the picture, by kind. `firmness`: of the default's
    verdicts, by change.
    """

    default: str
    lights: dict[str, dict[str, WayScores]]
    painted: dict[str, dict[str, PaintedHeat]]
    earned: bool = True
    maps: dict[str, dict[str, ClassMaps]] = field(default_factory=dict)
    meaningless: dict[str, WayScores] = field(default_factory=dict)
    firmness: dict[str, Firmness] = field(default_factory=dict)

    def maps_of(self, key: str, label: str) -> ClassMaps | None:
        """The mean maps of one way, where this class was answered; None where none were made."""
        found = self.maps.get(key, {}).get(label)
        return found if found and found.faces else None

    def of(self, key: str, light: str = "as_taken") -> WayScores | None:
        """One way's scores; None where it was not measured."""
        return self.lights.get(light, {}).get(key)

    def heat_on_painted(self, position: str, key: str) -> PaintedHeat | None:
        """One way's heat on masks painted in a position; None where it was not measured."""
        return self.painted.get(position, {}).get(key)


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training: mean loss, and what val says behind it."""

    epoch: int
    train_loss: float
    val_loss: float
    val_balanced_accuracy: float
    val_recall: dict[str, float]
    learning_rate: float
    seconds: float = 0.0


@dataclass(frozen=True)
class DataUsed:
    """The data of a training: its folders' names, and how many pictures each split has.

    `at_random`: the splits were drawn for each picture, whatever its group is.

    >>> DataUsed(("mine", "more"), {"train": 70, "val": 15, "test": 15}).name
    'mine and more'
    """

    folders: tuple[str, ...]
    pictures: dict[str, int]
    at_random: bool = False

    @property
    def name(self) -> str:
        """What the data are called in a sentence."""
        return listed(self.folders) + (", split at random" if self.at_random else "")


class Results(BaseModel):
    """Everything measured of one version, as NAME.json holds it.

    >>> Results.from_json('{"name": "v9"}').balanced_accuracy is None
    True
    """

    # What a newer program wrote is kept, though nothing here reads it.
    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = None
    recipe: dict[str, Any] | None = None
    weights: str | None = None  # SHA-256 of the weights file that was measured, in hex
    training: str | None = None  # digests of recipe and data, and of the weights it ended with
    epochs: int | None = None
    best_epoch: int | None = None
    data: DataUsed | None = None
    date: str | None = None
    split: str | None = None
    pictures: int | None = None
    balanced_accuracy: float | None = None
    per_class: dict[str, Recall] | None = None
    confusion_matrix: list[list[int]] | None = None
    shifts: dict[str, Scores] | None = None
    painted: PaintedScores | None = None
    calibration: Calibration | None = None
    sure: Threshold | None = None
    temperature: float | None = None
    unsure: Unsure | None = None
    half_precision: HalfPrecision | None = None
    history: list[Epoch] | None = None
    explanations: ExplanationScores | None = None
    street: FoundAnswers | None = None
    others: dict[str, FolderScores] | None = None  # by folder, or FOLDER/SOURCE
    cost: Cost | None = None

    @field_validator("data", mode="before")
    @classmethod
    def _folders(cls, data: object) -> object:
        """Files of older programs hold the folders' names as one text."""
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            return data
        names, at_random = re.subn(r", split at random\b", "", data["name"])
        rest = {key: value for key, value in data.items() if key != "name"}
        return {"folders": names.split(" and "), "at_random": at_random > 0, **rest}

    @property
    def scores(self) -> Scores | None:
        """The scores on all pictures; None where they were never measured."""
        parts = (self.pictures, self.balanced_accuracy, self.per_class, self.confusion_matrix)
        return None if None in parts else Scores(*parts)  # type: ignore[arg-type]

    def shift(self, name: str) -> Scores | None:
        """The scores under one shift ("unaugmented": as taken); None where not measured."""
        return (self.shifts or {}).get(name)

    @property
    def measured(self) -> bool:
        """Whether an evaluation is there, in full."""
        return self.scores is not None and self.shift("unaugmented") is not None

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """Read a NAME.json's text. Raises ResultsError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "json_invalid":
                raise ResultsError("It is no JSON: fetch it again or measure anew.") from error
            place = ".".join(map(str, first["loc"])) or "the file"
            raise ResultsError(
                f"{place} holds no results ({first['msg'].lower()}): fetch the file again or "
                "measure anew."
            ) from error

    def to_json(self) -> str:
        """The text of NAME.json; what was not measured is left out."""
        return self.model_dump_json(indent=1, exclude_unset=True) + "\n"

    def including(self, other: "Results") -> "Results":
        """These results, with the parts that `other` has in place of their own."""
        return self.model_copy(update={k: getattr(other, k) for k in other.model_fields_set})
