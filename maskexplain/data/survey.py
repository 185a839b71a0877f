"""What is wrong with a data set, said all at once before anything starts; and copies in it.

Copies of one picture were turned, mirrored, darkened, sheared, shifted or compressed again. Light
is taken out, and a network's features are weighted so that what such changes do to a picture
counts little. How much, is learned from copies made of the very pictures that are asked about, then
from the groups that were found surely: features are whitened by the scatter within these (linear
discriminant analysis, Fisher 1936; as within-class covariance normalisation, Hatch et al. 2006).
Pictures that are alike are then joined by mean linkage.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as nnf

from ..files import on_one_line
from ..models.network import in_parts
from ..task import Task
from ..words import counted, listed
from .folder import (
    COLUMNS,
    Picture,
    Progress,
    Tell,
    check_groups,
    load_pixels,
    look_at,
    quietly,
    read_crop,
    silently,
    split_by_group,
    split_in,
)
from .names import SPLITS, DataError, KnownFace, known_face

FEW, MANY = 5, 50  # names in a remark, and in what ends a command


def some(names: Sequence[object], most: int = FEW) -> str:
    """The names in a row, the first few of them where there are many."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return listed([*map(on_one_line, names[:most]), *more])


# What is wrong with pictures, and their names.
Problem = tuple[str, Sequence[str]]


def readable(
    pictures: Sequence[Picture],
    skip: bool = False,
    tell: Tell = silently,
    progress: Progress = quietly,
) -> list[Picture]:
    """The pictures with their digests; each is opened, those that have one are not again.

    DataError names those that cannot be read; with `skip` they are told and left out.
    """
    good, problems = _opened(pictures, progress)
    _refuse(problems, skip, tell)
    return good


def ready_to_train(
    pictures: Sequence[Picture],
    task: Task,
    skip: bool = False,
    tell: Tell = silently,
    progress: Progress = quietly,
) -> list[Picture]:
    """The pictures that a training may use, with their digests.

    DataError names all that is wrong: pictures that cannot be read, the same picture in two splits
    or two classes. `skip` tells of these and leaves them out (of train, or of val where it is in
    test; of both classes). DataError, too, for a class without pictures in a split.
    """
    good, problems = _opened(pictures, progress)
    doubled = _doubled(good)
    leaks = _in_two_splits(doubled)
    unclear = _of_two_classes(doubled)
    if doubled:
        count = counted(len(doubled), "picture is", "pictures are")
        tell(f"{count} there twice or more", _names(doubled))
    problems += [("the same picture lies in two splits", _names(leaks))] if leaks else []
    problems += [("the same picture lies in two classes", _names(unclear))] if unclear else []
    _refuse(problems, skip, tell)
    left = {p.file for found in unclear for p in found}
    left |= {p.file for found in leaks for p in found if p.split != _last_split(found)}
    kept = [picture for picture in good if picture.file not in left]
    _check_splits(kept, task)
    return kept


def tell_of_two_classes(pictures: Sequence[Picture], tell: Tell) -> None:
    """Tell which of the opened pictures are in two classes: a training refuses them."""
    unclear = _of_two_classes(_doubled(pictures))
    if unclear:
        names = [" = ".join(str(p.file) for p in found) for found in unclear]
        tell("The same picture lies in two classes, which training refuses", names)


def tell_of_two_splits(pictures: Sequence[Picture], tell: Tell) -> None:
    """Tell which of the opened pictures are in two splits: a training refuses them."""
    leaks = _in_two_splits(_doubled([p for p in pictures if p.digest]))
    if leaks:
        tell("The same picture lies in two splits, which inflates the scores", _names(leaks))


def _doubled(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """The pictures of each digest that several have."""
    same = defaultdict(list)
    for picture in pictures:
        same[picture.digest].append(picture)
    return [found for found in same.values() if len(found) > 1]


def _of_two_classes(doubled: Sequence[list[Picture]]) -> list[list[Picture]]:
    return [found for found in doubled if len({p.label for p in found}) > 1]


def _in_two_splits(doubled: Sequence[list[Picture]]) -> list[list[Picture]]:
    return [found for found in doubled if len({p.split for p in found}) > 1]


def _opened(pictures: Sequence[Picture], progress: Progress) -> tuple[list[Picture], list[Problem]]:
    good, bad = [], []
    for picture in progress(pictures):
        digest, reason = (picture.digest, "") if picture.digest else look_at(picture.file)
        if digest:
            good.append(replace(picture, digest=digest))
        else:
            bad.append(f"{picture.file} ({reason})")
    return good, [(f"{len(bad)} of {len(pictures)} pictures cannot be read", bad)] if bad else []


def _names(doubled: Sequence[Sequence[Picture]]) -> list[str]:
    return [" = ".join(f"{p.file} ({p.split})" for p in found) for found in doubled]


def _refuse(problems: Sequence[Problem], skip: bool, tell: Tell) -> None:
    for sentence, names in problems if skip else ():
        tell(f"{sentence}; left out", names)
    if problems and not skip:
        found = "; ".join(f"{sentence}: {some(names, MANY)}" for sentence, names in problems)
        raise DataError(f"{found}: mend or remove them, or go on without them by --skip.")


def _last_split(pictures: Sequence[Picture]) -> str:
    return max((picture.split for picture in pictures), key=SPLITS.index)


def _check_splits(pictures: Sequence[Picture], task: Task) -> None:
    counts = Counter((picture.label, picture.split) for picture in pictures)
    lacking = [
        f"{name} in {split}"
        for label, name in enumerate(task.names)
        for split in SPLITS
        if not counts[label, split]
    ]
    if lacking:
        raise DataError(
            f"There is no picture of {listed(lacking)}: a class needs at least three different "
            "pictures (of three groups), one for each of train, val and test."
        )


def counts_table(pictures: Sequence[Picture], task: Task) -> str:
    """Pictures by class and split, and the groups and made copies among them, as a table."""
    head = ("class", *SPLITS, "groups", "copies")
    rows = [head, *(_row(name, pictures, task) for name in task.names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(lines)


def _row(name: str, pictures: Sequence[Picture], task: Task) -> tuple[str, ...]:
    own = [picture for picture in pictures if task.names[picture.label] == name]
    splits = Counter(picture.split for picture in own)
    groups = len({picture.group for picture in own})
    copies = sum(picture.augmented for picture in own)
    return (name, *(str(splits[split]) for split in SPLITS), str(groups), str(copies))


# --- copies of one picture

SIDE = 128  # pixels that pictures are looked at with
LEARNED, MADE = 250, 8  # pictures that copies are made of, and copies each
SHRINK = 0.1  # of the scatter towards an even one: it has more entries than the copies can tell
# How alike copies are: so many times the spread of all pairs of a class, of which few are copies.
SURE, ALIKE = 6.0, 5.0
PAIRS = 100_000  # that the spread is measured on
FEW = 4  # members that a group needs to be learned from
# Of a few pictures the spread says little: from this cosine on they are alike in any case.
CERTAIN = 0.6

# Maps pictures N x 3 x 128 x 128 (mean 0, standard deviation 1 each) to features N x C.
Features = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def group_copies(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    features: Features,
    progress: Progress = quietly,
) -> torch.Tensor:
    """A number N for each picture; copies of one have the same, and one class.

    `pixels`: uint8 N x 3 x 128 x 128; `labels`: class indices N.
    """
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(pixels), generator=generator)[:LEARNED]
    made = make_copies(pixels[chosen], MADE, generator)  # K * MADE x 3 x 128 x 128
    own, copied = (features_of(x, features, progress) for x in (pixels, made))
    for label in labels.unique():  # what all of a class share tells no picture from another
        own[labels == label] -= own[labels == label].mean(0)
    copied = copied.view(len(chosen), MADE, -1)
    within = (copied - copied.mean(1, keepdim=True)).flatten(0, 1)
    sure = _groups(own @ _whitening(within), labels, SURE, generator)
    return _groups(
        own @ _whitening(torch.cat([within, _scatter(own, sure)])), labels, ALIKE, generator
    )


def make_copies(pixels: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` copies of each picture (N x 3 x S x S), changed at random: floats in 0..255."""
    pictures = pixels.float().repeat_interleave(count, 0)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(len(pictures), generator=generator) * (high - low) + low

    turn, shear = torch.deg2rad(uniform(-40, 40)), uniform(-0.35, 0.35)
    mirror = uniform(-1, 1).sign()
    across, down = uniform(0.75, 1.25) * mirror, uniform(0.75, 1.25)
    shift = torch.stack([uniform(-0.4, 0.4), uniform(-0.4, 0.4)], 1)  # 1 is half a side
    rows = [
        turn.cos() * across,
        (shear - turn.sin()) * down,
        turn.sin() * across,
        turn.cos() * down,
    ]
    back = torch.cat([torch.stack(rows, 1).view(-1, 2, 2), shift[..., None]], 2)  # N x 2 x 3
    grid = nnf.affine_grid(back, list(pictures.shape), align_corners=False)
    moved = nnf.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return (moved * uniform(0.25, 1.1).view(-1, 1, 1, 1)).clamp(0, 255)


def features_of(
    pixels: torch.Tensor, features: Features, progress: Progress = quietly
) -> torch.Tensor:
    """Features N x F of pixels N x 3 x S x S whose light was made even, in parts."""
    parts = progress(in_parts(pixels, pixels.device))
    return torch.cat([features(even_light(part.float())) for part in parts])


def even_light(pixels: torch.Tensor) -> torch.Tensor:
    """Without light: each picture has mean 0 and standard deviation 1."""
    mean, spread = pixels.mean((1, 2, 3), keepdim=True), pixels.std((1, 2, 3), keepdim=True)
    return (pixels - mean) / spread.clamp(min=4)


def _whitening(within: torch.Tensor) -> torch.Tensor:
    """Weights C x C that make the scatter of these differences (M x C) even."""
    scatter = within.T @ within / len(within)
    even = torch.eye(len(scatter)) * scatter.diagonal().mean()
    values, vectors = torch.linalg.eigh(torch.lerp(scatter, even, SHRINK))
    return vectors * values.clamp(min=1e-9).rsqrt()


def _scatter(own: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """How the members of the larger groups differ from their groups' means: M x C."""
    _, group, sizes = groups.unique(return_inverse=True, return_counts=True)
    means = own.new_zeros(len(sizes), own.shape[1]).index_add_(0, group, own) / sizes[:, None]
    return (own - means[group])[sizes[group] >= FEW]


def _groups(
    places: torch.Tensor, labels: torch.Tensor, times: float, generator: torch.Generator
) -> torch.Tensor:
    """A number N for each picture, by how alike they are: `times` the spread of their class."""
    numbers = torch.empty(len(places), dtype=torch.long)
    for label in labels.unique():
        [rows] = (labels == label).nonzero(as_tuple=True)
        own = nnf.normalize(places[rows])
        first, second = torch.randint(len(own), (2, PAIRS), generator=generator)
        parts = zip(first.split(4096), second.split(4096), strict=True)
        alike = torch.cat([(own[a] * own[b]).sum(1) for a, b in parts])
        spread = 1.4826 * (alike - alike.median()).abs().median().item()  # of a normal curve
        numbers[rows] = rows[_linked(own, min(times * spread, CERTAIN))]
    return numbers


def _linked(places: torch.Tensor, threshold: float) -> torch.Tensor:
    """The first row N of each row's group.

    By mean linkage: the most alike pairs first, while the groups' mean cosine reaches `threshold`.
    """
    group = list(range(len(places)))
    sums, sizes = places.clone(), [1] * len(places)

    def root(row: int) -> int:
        while group[row] != row:
            group[row] = row = group[group[row]]
        return row

    for pair in _alike(places, threshold).tolist():
        a, b = sorted(map(root, pair))
        if a != b and (sums[a] @ sums[b]).item() >= threshold * sizes[a] * sizes[b]:
            group[b] = a
            sums[a] += sums[b]
            sizes[a] += sizes[b]
    return torch.tensor([root(row) for row in range(len(places))])


def _alike(places: torch.Tensor, threshold: float) -> torch.Tensor:
    """Pairs of rows (M x 2) whose cosine reaches the threshold, the most alike first."""
    found, values = [], []
    for start in range(0, len(places), 1024):
        alike = places[start : start + 1024] @ places.T
        alike = alike.triu(start + 1)  # each pair once
        pairs = (alike >= threshold).nonzero()
        values.append(alike[pairs[:, 0], pairs[:, 1]])
        found.append(pairs + torch.tensor([start, 0]))
    return torch.cat(found)[torch.cat(values).argsort(descending=True)]


# --- what comes of it


def join_copies(
    folder: Path,
    pictures: Sequence[Picture],
    features: Features,
    task: Task,
    progress: Progress = quietly,
) -> list[Picture]:
    """The pictures (opened, of a folder without a CSV) with copies in one group and one split.

    Which picture of a group was taken and which were made of it, is not known: none is marked.
    Pictures that are known keep their groups; where all are, none is looked at. Raises DataError
    where a group lies in two of the folder's own splits.
    """
    known = {p.digest: face for p in pictures if (face := known_face(p.digest))}
    if not all(picture.digest in known for picture in pictures):
        pixels = load_pixels(pictures, SIDE, progress)
        numbers = group_copies(pixels.pixels, pixels.labels, features, progress=progress).tolist()
        pictures = _with_groups(pictures, numbers, known)
    parted = [replace(p, split=split_in(folder, p.file, task)) for p in pictures]
    parted = split_by_group(parted, {face.group: face.split for face in known.values()})
    check_groups(parted, folder)
    return parted


def _with_groups(
    pictures: Sequence[Picture], numbers: Sequence[int], known: Mapping[str, KnownFace]
) -> list[Picture]:
    """A known picture gives its group to those that are alike; else the first digest names it."""
    names: dict[int, str] = {}
    for picture, number in zip(pictures, numbers, strict=True):
        if picture.digest in known:
            names.setdefault(number, picture.group)
    for picture, number in zip(pictures, numbers, strict=True):
        names.setdefault(number, picture.group)
    return [
        picture if picture.digest in known else replace(picture, group=names[number])
        for picture, number in zip(pictures, numbers, strict=True)
    ]


def csv_text(folder: Path, pictures: Sequence[Picture], task: Task) -> str:
    """The CSV that `list_pictures` reads: a row a picture."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "source"])
    for p in pictures:
        file = p.file.relative_to(folder).as_posix()
        name = task.names[p.label]
        writer.writerow([file, name, p.split, p.group, int(p.augmented), p.source])
    return text.getvalue()


THUMB, ROWS, ACROSS = 64, 20, 16  # pixels; groups, and pictures of each


def sheet(pictures: Sequence[Picture]) -> Image.Image | None:
    """The largest groups, a row each; None where no group has two pictures."""
    groups = defaultdict(list)
    for picture in pictures:
        groups[picture.group].append(picture)
    large = sorted((g for g in groups.values() if len(g) > 1), key=len, reverse=True)[:ROWS]
    if not large:
        return None
    across = min(ACROSS, len(large[0]))
    result = Image.new("RGB", (across * THUMB, len(large) * THUMB), "white")
    for row, group in enumerate(large):
        for column, picture in enumerate(group[:across]):
            small = read_crop(picture.file).resize((THUMB, THUMB))
            result.paste(small, (column * THUMB, row * THUMB))
    return result
