"""How well a version answers the faces that the program itself finds on scenes: the whole way."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from ..dataset.data import Progress, quietly
from ..finding.crops import crop_face
from ..finding.faces import find_faces
from ..networks.answer import MaskModel
from ..networks.model import CLASSES
from .scenes import Scene, list_scenes, match_boxes, read_scene
from .statistics import Scores, score

MINIMUM_SIDE = 24  # pixels; on smaller faces a person can hardly tell how a mask is worn
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class FoundAnswers:
    """One version's answers to the found faces among `boxed` of `minimum_side` pixels and more."""

    splits: tuple[str, ...]
    pictures: int
    minimum_side: int
    boxed: int
    scores: Scores

    def to_dict(self) -> dict:
        return asdict(self)


def answer_scenes(
    model: MaskModel,
    folder: str | Path,
    splits: Sequence[str] = HELD_OUT,
    progress: Progress = quietly,
) -> FoundAnswers:
    """Answer the found faces of the scenes in `folder`, cut out as the page cuts them.

    A found face has the class of the boxed one that it overlaps by IoU .5 or more. By default
    val and test, since a version was trained on faces of train. Raises ScenesError.
    """
    scenes = list_scenes(folder, *splits)
    labels, answers = [], []
    for scene in progress(scenes):
        pairs = list(_found(scene))
        labels += [label for label, _ in pairs]
        answers += [p.label for p in model.predict([crop for _, crop in pairs])]
    boxed = sum(face.side >= MINIMUM_SIDE for scene in scenes for face in scene.faces)
    indices = (
        torch.tensor([CLASSES.index(n) for n in names]).long() for names in (labels, answers)
    )
    return FoundAnswers(tuple(splits), len(scenes), MINIMUM_SIDE, boxed, score(*indices))


def _found(scene: Scene) -> Iterator[tuple[str, Image.Image]]:
    """Class and crop of each boxed face that is large enough and was found."""
    image = read_scene(scene)
    faces = find_faces(image)
    for match in match_boxes([f.box for f in faces], [f.box for f in scene.faces]):
        boxed = scene.faces[match.boxed]
        if boxed.side >= MINIMUM_SIDE:
            yield boxed.label, crop_face(image, faces[match.found]).image
