"""Versions held against each other over a folder: who is right, and where they look."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from ..data.folder import Picture, Progress, quietly, read_crop
from ..explain.explain import answer_and_explain, default_way
from ..explain.faithfulness import spearman
from ..explain.places import heat_at
from ..files import write_json
from ..models.checkpoints import FOLDER, CheckpointError, digest, find_version
from ..models.version import Model
from ..words import markdown_table
from .explanations import find_landmarks, heat_ratio, mean_known, nose_and_mouth

VERSION_COLUMNS = ("Version", "right", "unsure", "heat on nose and mouth")
PAIR_COLUMNS = (
    "Two versions",
    "same answer",
    "only the first is right",
    "only the second",
    "heat alike",
)
HEAT_ON_FACES = "Heat on nose and mouth is for their area: 1 is even over the face. "
HOW_TO_READ = (
    "Heat alike: 1 is the same map, 0 has nothing in common. A version that lacks the class of a "
    "picture is not right there."
)
MAP = 56  # pixels a side at which heatmaps are held against each other


@dataclass(frozen=True)
class VersionOnFolder:
    """One version: the shares (0..1) of the pictures that it answers right and that it is unsure
    of (None where it is never unsure), and its mean heat for area on nose and mouth (1 is even),
    None where no face was found.
    """

    name: str
    right: float
    unsure: float | None
    nose_mouth: float | None


@dataclass(frozen=True)
class PairOnFolder:
    """Two versions: the share (0..1) of equal answers, how many pictures only the first and how
    many only the second answers right, and how alike their heatmaps are (Spearman, -1..1).
    """

    names: tuple[str, str]
    agree: float
    first_right: int
    second_right: int
    heat_alike: float


@dataclass(frozen=True)
class FolderComparison:
    """All versions and all pairs of them, over the same pictures."""

    pictures: int
    versions: tuple[VersionOnFolder, ...]
    pairs: tuple[PairOnFolder, ...]


@dataclass(frozen=True)
class StoredComparison:
    """A comparison as it is kept for the page: over which folder (its name) and split, made when
    (YYYY-MM-DD), and by which weights (SHA-256 by a version's name).
    """

    folder: str
    split: str
    made: str
    weights: dict[str, str]
    found: FolderComparison


_STORED = TypeAdapter(StoredComparison)


@dataclass(frozen=True)
class _Look:
    """One version's answer to one picture, and its heatmap, MAP x MAP."""

    label: str
    right: bool
    unsure: bool
    heat: torch.Tensor
    nose_mouth: float | None


def compare_on(
    models: Sequence[Model],
    pictures: Sequence[Picture],
    classes: Sequence[str],
    progress: Progress = quietly,
) -> FolderComparison:
    """Answer and explain every picture by every version, each in its own best way.

    `classes`: the names of the pictures' labels; a version that lacks one is never right there.
    Raises DataError.
    """
    rows = []
    for picture in progress(pictures):
        crop = read_crop(picture.file)
        landmarks = find_landmarks(crop) if any(m.task.faces for m in models) else None
        place = nose_and_mouth(landmarks, crop.size)
        rows.append([_look(model, crop, classes[picture.label], place) for model in models])
    columns = list(zip(*rows, strict=True))
    names = [model.name for model in models]
    versions = [_version(model, looks) for model, looks in zip(models, columns, strict=True)]
    pairs = combinations(zip(names, columns, strict=True), 2)
    return FolderComparison(
        len(rows), tuple(versions), tuple(_pair(*one, *other) for one, other in pairs)
    )


def _look(model: Model, crop: Image.Image, truth: str, place: np.ndarray | None) -> _Look:
    answer = answer_and_explain(model, crop, [default_way(model)])
    [explanation] = answer.explanations
    label, unsure = answer.prediction.label, answer.prediction.unsure
    heat = heat_at([explanation.heatmap], MAP)[0]
    return _Look(label, label == truth, unsure, heat, heat_ratio(explanation, place))


def _version(model: Model, looks: Sequence[_Look]) -> VersionOnFolder:
    return VersionOnFolder(
        model.name,
        right=float(np.mean([look.right for look in looks])),
        unsure=float(np.mean([look.unsure for look in looks])) if model.unsure_below else None,
        nose_mouth=mean_known(look.nose_mouth for look in looks),
    )


def _pair(first: str, own: Sequence[_Look], second: str, other: Sequence[_Look]) -> PairOnFolder:
    both = list(zip(own, other, strict=True))
    return PairOnFolder(
        (first, second),
        agree=float(np.mean([a.label == b.label for a, b in both])),
        first_right=sum(a.right and not b.right for a, b in both),
        second_right=sum(b.right and not a.right for a, b in both),
        heat_alike=float(np.mean([spearman(a.heat, b.heat) for a, b in both])),
    )


# --- kept for the page


def store_comparison(
    found: FolderComparison,
    data: str,
    split: str,
    versions: Sequence[str | Path],
    folder: Path = FOLDER,
) -> Path:
    """Keep a comparison over the folder `data` (its name) in place of an earlier one of it by the
    same versions, given as for `open_model`.

    Raises UserError where it cannot be written.
    """
    names = [one.name for one in found.versions]
    digests = [digest(find_version(version, folder)) for version in versions]
    weights = dict(zip(names, digests, strict=True))
    stored = StoredComparison(data, split, date.today().isoformat(), weights, found)
    name = re.sub(r"[^\w-]+", "-", "_".join([data, *sorted(names)]))[:100]
    path = folder / "comparisons" / f"{name}.json"
    write_json(path, asdict(stored))
    return path


def stored_comparisons(models: Sequence[Model], folder: Path = FOLDER) -> list[StoredComparison]:
    """What was kept of two or more of these versions, as their weights are now; the newest first.

    Raises CheckpointError for a file that holds something else.
    """
    files = sorted((folder / "comparisons").glob("[!.]*.json"))
    if not files:
        return []
    now = {model.name: weights for model in models if (weights := _digest(model, folder))}
    parts = [_of_these(_read_stored(file), now) for file in files]
    known = [part for part in parts if part.found.pairs]
    return sorted(known, key=lambda part: part.made, reverse=True)


def _digest(model: Model, folder: Path) -> str:
    try:
        return digest(find_version(model.name, folder))
    except CheckpointError:  # opened from elsewhere
        return ""


def _read_stored(file: Path) -> StoredComparison:
    try:
        return _STORED.validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{file} is no comparison: remove it, or make it anew.") from error


def _of_these(stored: StoredComparison, now: dict[str, str]) -> StoredComparison:
    """The part that is about versions whose weights are the same."""
    same = {name for name, weights in stored.weights.items() if now.get(name) == weights}
    versions = tuple(one for one in stored.found.versions if one.name in same)
    pairs = tuple(pair for pair in stored.found.pairs if {*pair.names} <= same)
    return replace(stored, found=replace(stored.found, versions=versions, pairs=pairs))


# --- as text


def how_to_read(all_found: Sequence[FolderComparison]) -> str:
    """What the columns mean that are there."""
    faces = any(len(version_table(found)[0]) == len(VERSION_COLUMNS) for found in all_found)
    return HEAT_ON_FACES + HOW_TO_READ if faces else HOW_TO_READ


def version_table(found: FolderComparison) -> tuple[Sequence[str], list[list[str]]]:
    """Columns and rows of the versions; without heat on nose and mouth where no face is there."""
    faces = any(one.nose_mouth is not None for one in found.versions)
    columns = VERSION_COLUMNS if faces else VERSION_COLUMNS[:-1]
    return columns, [version_cells(one)[: len(columns)] for one in found.versions]


def version_cells(one: VersionOnFolder) -> list[str]:
    """A version's row: its name, right, unsure, heat for area on nose and mouth."""
    unsure = "–" if one.unsure is None else f"{one.unsure:.1%}"
    heat = "–" if one.nose_mouth is None else f"{one.nose_mouth:.2f}"
    return [one.name, f"{one.right:.1%}", unsure, heat]


def pair_cells(pair: PairOnFolder) -> list[str]:
    """A pair's row: its names, equal answers, who alone is right, how alike the heatmaps are."""
    counts = [str(pair.first_right), str(pair.second_right)]
    return [" and ".join(pair.names), f"{pair.agree:.1%}", *counts, f"{pair.heat_alike:.2f}"]


def comparison_markdown(found: FolderComparison) -> str:
    """Two tables: the versions, and their pairs."""
    versions = markdown_table(*version_table(found))
    pairs = markdown_table(PAIR_COLUMNS, map(pair_cells, found.pairs))
    return "\n\n".join([f"{found.pictures} pictures", versions, pairs, how_to_read([found])])
