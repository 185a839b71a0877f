"""Maps that know nothing of a picture, through the same tests as heatmaps; and the mean maps.

What these earn is what a heatmap must beat. The mean maps show where a version looks on the whole.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageOps

from ..data.folder import Picture, Progress, read_crop
from ..explain.blur_test import blur_test
from ..explain.explain import Explanation, ForwardPass, explain_pass, forward_pass
from ..explain.places import NOSE, SPREAD, blob, enlarged, heat_at, random_heat
from ..explain.question import Question, Way, all_ways
from ..explain.verdicts import Verdict, verdict_of
from ..models.results import MAP_SIDE, ClassMaps, Firmness, MeanMap, pack_map
from ..models.version import Model
from ..task import Task

OTHERS = 4  # single faces' maps kept for each way and class
SPARE = 40  # more of them stand for "another face's map" in the measurement, and are not kept
KINDS = {
    "blob": "A blob at a random place",
    "smooth": "A smooth random map",
    "other": "Another {subject}’s map",
    "mean": "The mean map of other {subject}s",
    "nose": "A blob about the {middle}",
}
ABOUT = 0.06  # standard deviation of a blob's place about the nose, as a part of the side


def kind_title(kind: str, task: Task) -> str:
    """One of KINDS for people; of faces the nose lies in the middle."""
    middle = "nose" if task.faces else "middle"
    return KINDS[kind].format(subject=task.subject, middle=middle)


Maps = dict[str, dict[str, ClassMaps]]  # by way and answered class
Spare = dict[str, dict[str, list[torch.Tensor]]]


def mean_maps(model: Model, pictures: Sequence[Picture], progress: Progress) -> tuple[Maps, Spare]:
    """The mean maps of every way and answered class, and some faces' own maps beside them."""
    found: dict[str, dict[str, list[tuple[bool, torch.Tensor]]]] = {key: {} for key in all_ways()}
    for picture in progress(pictures):
        explanations = explain_pass(
            forward_pass(model, [read_crop(picture.file)]), list(all_ways().values())
        )[0]
        for key, explanation in zip(all_ways(), explanations, strict=True):
            label = explanation.target
            right = model.task.index(label) == picture.label
            found[key].setdefault(label, []).append((right, _small(explanation)))
    maps = {
        key: {name: _class_maps(rows) for name, rows in of.items()} for key, of in found.items()
    }
    spare = {
        key: {name: [one for _, one in rows[OTHERS : OTHERS + SPARE]] for name, rows in of.items()}
        for key, of in found.items()
    }
    return maps, spare


def _small(explanation: Explanation) -> torch.Tensor:
    """MAP_SIDE x MAP_SIDE, divided by its largest absolute value."""
    small = heat_at([explanation.heatmap], MAP_SIDE)[0]
    return small / small.abs().max().clamp(min=1e-12)


def _class_maps(rows: Sequence[tuple[bool, torch.Tensor]]) -> ClassMaps:
    parts = []
    for wanted in (True, False):
        some = [one for right, one in rows if right == wanted]
        mean = torch.stack(some).mean(0).numpy() if some else None
        parts.append(None if mean is None else MeanMap(len(some), pack_map(mean)))
    return ClassMaps(*parts, tuple(pack_map(one.numpy()) for _, one in rows[:OTHERS]))


def meaningless_maps(
    forward: ForwardPass, way: Way, label: str, spare: Spare, seed: int
) -> dict[str, Explanation]:
    """A map of each kind for one crop, as if `way` had made it of the class; seeded."""
    size, rng = forward.inputs.shape[-1], np.random.default_rng(seed)
    scores = forward.model.results.explanations
    known = scores.maps_of(way.key, label) if scores else None
    centre = rng.normal(NOSE, ABOUT)
    maps = {
        "blob": blob(size, tuple(rng.uniform(0, 1, 2))),
        "smooth": random_heat(1, size, seed)[0],
        "nose": blob(size, tuple(centre), (SPREAD * rng.uniform(0.7, 1.4), SPREAD)),
    }
    if known is not None:
        maps["mean"] = enlarged(torch.from_numpy(known.mean)[None], size)[0]
    others = spare.get(way.key, {}).get(label, [])
    if others:
        maps["other"] = enlarged(others[seed % len(others)][None], size)[0]
    return {
        kind: Explanation(maps[kind].numpy(), label, way.method, baseline=way.baseline)
        for kind in KINDS
        if kind in maps
    }


# --- how firm the verdicts are


def shifted(crop: Image.Image) -> Image.Image:
    """The crop moved by two of its 128 pixels to the right, its left edge repeated."""
    pixels, step = np.asarray(crop), max(1, round(crop.width / 64))
    moved = np.pad(pixels, ((0, 0), (step, 0), (0, 0)), mode="edge")[:, : crop.width]
    return Image.fromarray(moved)


def jpeg_90(crop: Image.Image) -> Image.Image:
    """The crop after JPEG compression of quality 90."""
    buffer = BytesIO()
    crop.save(buffer, "JPEG", quality=90)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


CHANGES = {
    "other draws": lambda crop: crop,
    "shift by 2 pixels": shifted,
    "mirrored": ImageOps.mirror,
    "JPEG 90": jpeg_90,
}


def changed_verdicts(
    model: Model, crop: Image.Image, way: Way
) -> dict[str, tuple[Verdict, Verdict]]:
    """The verdict on one way's map of a crop, and that after each change; of the same class."""
    forward = forward_pass(model, [crop])
    label = forward.predictions()[0].label
    before = _verdict(forward, way, label, seed=0)
    return {
        name: (before, _verdict(forward_pass(model, [change(crop)]), way, label, seed=index == 0))
        for index, (name, change) in enumerate(CHANGES.items())
    }


def _verdict(forward: ForwardPass, way: Way, label: str, seed: int) -> Verdict:
    [[explanation]] = explain_pass(forward, [way], Question(label))
    return verdict_of(explanation, blur_test(forward, [explanation], seed)[0])


def firmness(pairs: Sequence[tuple[Verdict, Verdict]]) -> Firmness:
    """How many of these pairs of verdicts differ."""
    changed = [pair for pair in pairs if pair[0].key != pair[1].key]
    return Firmness(len(pairs), len(changed), sum(not (a.close or b.close) for a, b in changed))
