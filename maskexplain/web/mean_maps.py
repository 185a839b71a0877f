"""Where a version looks on the whole: the mean of its heatmaps over many faces, as pictures."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..explain.draw import HEAT, data_url, relative_heat
from ..explain.ways import default_way
from ..models.results import MeanMap
from ..models.version import Model
from ..task import Task

MIN_FACES = 3  # of a mean map worth a look
MAP_PIXELS = 96  # of a mean map that is shown


@dataclass(frozen=True)
class MeanPicture:
    """One class's mean map as a picture."""

    url: str
    alt: str
    title: str
    style: str
    faces: int


def mean_maps(model: Model, label: str | None = None) -> list[MeanPicture]:
    """The mean maps of a version's best way: of each class (or of one alone), right answers beside
    wrong ones.
    """
    scores, way, task = model.results.explanations, default_way(model), model.task
    names = task.names if label is None else (label,)
    known = {name: scores.maps_of(way.key, name) for name in names} if scores else {}
    return [
        _mean_map(task, name, kind, mean)
        for name, found in known.items()
        if found is not None
        for kind, mean in (("right", found.right), ("wrong", found.wrong))
        if mean is not None and mean.faces >= MIN_FACES
    ]


def _mean_map(task: Task, name: str, kind: str, mean: MeanMap) -> MeanPicture:
    heat = relative_heat(mean.array)
    colours = (HEAT(heat)[..., :3] * 255).astype(np.uint8)
    size = (MAP_PIXELS, MAP_PIXELS)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    title = f"{task.title(name)}, {kind}"
    alt = f"Mean heatmap of {mean.faces} {kind} answers “{task.title(name)}”"
    return MeanPicture(data_url(picture, "webp"), alt, title, task.style(name), mean.faces)
