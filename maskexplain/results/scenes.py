"""Whole scenes whose faces are boxed by hand: how well faces are found there, and answered."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch
from PIL import Image

from ..data.folder import Progress, quietly
from ..data.names import read_rows
from ..errors import UserError
from ..images.crops import crop_face
from ..images.faces import Box, find_faces, iou
from ..images.read import ImageError, read_image
from ..masks.task import MASK, is_mask
from ..models.results import FoundAnswers, Recall
from ..models.version import Model
from .scores import recall, score, wilson

COLUMNS = ("file", "class", "xmin", "ymin", "xmax", "ymax", "split")
MINIMUM_SIDE = 32
MINIMUM_IOU = 0.5
GOAL = 0.93  # for each class's recall and for the precision
GOAL_IOU = 0.78  # for the mean overlap of found and boxed faces


class ScenesError(UserError):
    """The folder of scenes or its CSV cannot be used."""


@dataclass(frozen=True)
class BoxedFace:
    """A face boxed by hand: pixels of its picture, and its class's name."""

    box: Box
    label: str

    @property
    def side(self) -> float:
        return _side(self.box)


@dataclass(frozen=True)
class Scene:
    """A picture with all of its boxed faces."""

    file: Path
    split: str
    faces: tuple[BoxedFace, ...]


@dataclass(frozen=True)
class Match:
    """A found box (its index) that takes a boxed face (its index), and their overlap, 0..1."""

    found: int
    boxed: int
    iou: float


@dataclass(frozen=True)
class ScenesResult:
    """What was found of the boxed faces whose shorter side is `minimum_side` pixels or more.

    `right` of `found` faces of that size match a boxed one, which makes the `precision` (with
    Wilson's 95% interval); `mean_iou` is over those matches. `milliseconds` is one picture's
    mean, for finding alone. `per_class` holds each class's recall.
    """

    pictures: int
    minimum_side: int
    per_class: dict[str, Recall]
    right: int
    found: int
    precision: float
    precision_interval: tuple[float, float]
    mean_iou: float
    milliseconds: float

    @property
    def reached(self) -> bool:
        """Whether precision, every class's recall (.93) and the mean IoU (.78) reach the goals."""
        recalls = [r.recall for r in self.per_class.values() if r.total]
        good = bool(recalls) and min(*recalls, self.precision) >= GOAL
        return good and self.mean_iou >= GOAL_IOU

    def to_dict(self) -> dict:
        return {**asdict(self), "goal": GOAL, "reached": self.reached}


# --- reading


def list_scenes(folder: str | Path, *splits: str) -> list[Scene]:
    """The scenes that `folder`/scenes.csv lists, their pictures being in `folder`/scenes.

    `splits`: train, val, test; none, or "all", takes every scene. Raises ScenesError.
    """
    folder = Path(folder)
    scenes: dict[str, list[dict[str, str]]] = {}
    for row in _rows(folder):
        if not splits or {"all", row["split"]} & set(splits):
            scenes.setdefault(row["file"], []).append(row)
    if not scenes:
        wanted = " or ".join(splits)
        raise ScenesError(f"{folder / 'scenes.csv'} lists no picture of the split {wanted}.")
    return [_scene(folder / "scenes" / name, rows) for name, rows in scenes.items()]


def _rows(folder: Path) -> Sequence[dict[str, str]]:
    file = folder / "scenes.csv"
    if not (folder / "scenes").is_dir() or not file.is_file():
        raise ScenesError(f"{folder} needs a folder scenes and a file scenes.csv: check the path.")
    return read_rows(file, COLUMNS, "check it", "face", ScenesError)


def _scene(file: Path, rows: Sequence[dict[str, str]]) -> Scene:
    return Scene(file, rows[0]["split"], tuple(_boxed_face(row) for row in rows))


def _boxed_face(row: dict[str, str]) -> BoxedFace:
    try:
        x0, y0, x1, y1 = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    except (TypeError, ValueError) as error:
        raise ScenesError(f"scenes.csv has no box for a face of {row['file']}: mend it.") from error
    if row["class"] not in MASK or not (x0 < x1 and y0 < y1):
        raise ScenesError(f"scenes.csv has a wrong class or box for {row['file']}: mend it.")
    return BoxedFace((x0, y0, x1, y1), row["class"])


# --- measuring


def evaluate_scenes(
    folder: str | Path,
    minimum_side: int = MINIMUM_SIDE,
    split: str = "all",
    progress: Progress = quietly,
) -> ScenesResult:
    """Find the faces of every scene and compare them with the boxed ones.

    A found face matches a boxed one at an IoU of .5 or more; the best pairs are taken first and
    every face takes part once. Boxed faces whose shorter side is under `minimum_side` pixels
    count for no recall, and a found face that matches one is neither right nor wrong. A found
    face that matches none is wrong where its own shorter side is `minimum_side` or more, also
    where it shows a face that nobody boxed; a smaller one is left out.

    Raises ScenesError.
    """
    return measure(list_scenes(folder, split), minimum_side, progress)


def measure(
    scenes: Sequence[Scene], minimum_side: int = MINIMUM_SIDE, progress: Progress = quietly
) -> ScenesResult:
    """The same for scenes that are listed already."""
    hits, totals = dict.fromkeys(MASK.names, 0), dict.fromkeys(MASK.names, 0)
    ious: list[float] = []
    wrong, seconds = 0, 0.0
    for scene in progress(scenes):
        found, spent = _found_boxes(scene)
        seconds += spent
        matches = match_boxes(found, [face.box for face in scene.faces])
        wrong += _wrong(found, matches, minimum_side)
        for face in scene.faces:
            totals[face.label] += face.side >= minimum_side
        for match in matches:
            face = scene.faces[match.boxed]
            if face.side >= minimum_side:
                hits[face.label] += 1
                ious.append(match.iou)
    per_class = {name: recall(hits[name], totals[name]) for name in MASK.names}
    return _result(len(scenes), minimum_side, per_class, ious, wrong, seconds)


def _result(
    pictures: int,
    minimum_side: int,
    per_class: dict[str, Recall],
    ious: Sequence[float],
    wrong: int,
    seconds: float,
) -> ScenesResult:
    right, found = len(ious), len(ious) + wrong
    return ScenesResult(
        pictures=pictures,
        minimum_side=minimum_side,
        per_class=per_class,
        right=right,
        found=found,
        precision=right / found if found else 0.0,
        precision_interval=wilson(right, found),
        mean_iou=sum(ious) / right if right else 0.0,
        milliseconds=1000 * seconds / max(1, pictures),
    )


def read_scene(scene: Scene) -> Image.Image:
    """The scene's picture as RGB, in its own size. Raises ScenesError, which names the file."""
    try:
        return read_image(scene.file, max_side=None, complete=True)
    except ImageError as error:
        raise ScenesError(f"{scene.file} is unreadable ({error}): mend or remove it.") from error


def _found_boxes(scene: Scene) -> tuple[list[Box], float]:
    """The found boxes of a scene, and the seconds that finding took."""
    image = read_scene(scene)
    start = perf_counter()
    faces = find_faces(image)
    return [face.box for face in faces], perf_counter() - start


def _wrong(found: Sequence[Box], matches: Sequence[Match], minimum_side: int) -> int:
    matched = {match.found for match in matches}
    return sum(i not in matched and _side(box) >= minimum_side for i, box in enumerate(found))


def match_boxes(found: Sequence[Box], boxed: Sequence[Box]) -> list[Match]:
    """Pairs that overlap by IoU .5 or more, best first; every box takes part once."""
    pairs = [Match(i, j, iou(a, b)) for i, a in enumerate(found) for j, b in enumerate(boxed)]
    taken: list[Match] = []
    for pair in sorted(pairs, key=lambda pair: -pair.iou):
        if pair.iou < MINIMUM_IOU:
            break
        if all(pair.found != other.found and pair.boxed != other.boxed for other in taken):
            taken.append(pair)
    return taken


def _side(box: Box) -> float:
    return min(box[2] - box[0], box[3] - box[1])


ANSWERED_SIDE = 24  # pixels; on smaller faces a person can hardly tell how a mask is worn
HELD_OUT = ("val", "test")


def answer_scenes(
    model: Model,
    folder: str | Path,
    splits: Sequence[str] = HELD_OUT,
    progress: Progress = quietly,
) -> FoundAnswers:
    """Answer the found faces of the scenes in `folder`, cut out as the page cuts them.

    A found face has the class of the boxed one that it overlaps by IoU .5 or more. By default
    val and test, since a version was trained on faces of train. Raises ScenesError.
    """
    if not is_mask(model.task):
        raise ScenesError(f"{model.name} answers other classes than the boxed faces have.")
    scenes = list_scenes(folder, *splits)
    labels, answers = [], []
    for scene in progress(scenes):
        pairs = list(_found_faces(scene))
        labels += [label for label, _ in pairs]
        answers += [p.label for p in model.predict([crop for _, crop in pairs])]
    boxed = sum(face.side >= ANSWERED_SIDE for scene in scenes for face in scene.faces)
    indices = (torch.tensor([MASK.index(n) for n in names]).long() for names in (labels, answers))
    return FoundAnswers(tuple(splits), len(scenes), ANSWERED_SIDE, boxed, score(*indices, MASK))


def _found_faces(scene: Scene) -> Iterator[tuple[str, Image.Image]]:
    """Class and crop of each boxed face that is large enough and was found."""
    image = read_scene(scene)
    faces = find_faces(image)
    for match in match_boxes([f.box for f in faces], [f.box for f in scene.faces]):
        boxed = scene.faces[match.boxed]
        if boxed.side >= ANSWERED_SIDE:
            yield boxed.label, crop_face(image, faces[match.found]).image
