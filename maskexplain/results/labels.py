"""Labels that the other pictures contradict, and the list that mends them by hand.

Contradicted by cross-validated networks: confident learning, Northcutt et al. 2021
(arXiv:1911.00068). The network's layers are not trained anew: a linear classifier on their features
is, once a fold, on the other folds' groups. So it takes minutes.

The list is a CSV of file, old and new class, laid over the data's own labels. A column `pixels`,
the first digits of a digest, finds a picture where its file has another name.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as nnf

from ..data.folder import Picture, Progress, Tell, load_pixels, quietly, silently
from ..data.names import DIGITS, ClassNames, DataError, Row, read_rows
from ..models.network import last_layer
from ..task import Task
from ..words import counted, listed, printable
from .scores import logits_of

FOLDS = 5
# Of the weights in the loss, features having variance 1. From .1 to 1 flipped labels were found
# alike with a version's 256 features and with 1280 of ImageNet; less finds fewer.
DECAY = 0.3
STEPS = 100  # of L-BFGS; it ends sooner where the loss is flat
PART = 512  # pictures in memory at once

# Maps uint8 pixels N x 3 x S x S to features N x C.
Features = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Suspect:
    """A picture whose label is contradicted.

    `answer`: the class (its index) that the others' labels speak for; `given` and `believed`: the
    probabilities (0..1) of the label and of that class.
    """

    picture: Picture
    answer: int
    given: float
    believed: float

    @property
    def margin(self) -> float:
        """How far the label lies behind (-1..1): the lowest is the most contradicted."""
        return self.given - self.believed


def find_suspects(
    pictures: Sequence[Picture],
    features: Features,
    size: int,
    task: Task,
    progress: Progress = quietly,
) -> list[Suspect]:
    """The pictures whose labels are contradicted, the surest first.

    `features` of pictures at size x size; they had better not have been trained on these very
    labels, or they know the wrong ones by heart. Made copies are left out. Raises DataError for an
    unreadable picture, or a class whose pictures are of one group.
    """
    plain = [picture for picture in pictures if not picture.augmented]
    starts = range(0, len(plain), PART)
    parts = (load_pixels(plain[start : start + PART], size) for start in progress(starts))
    found = torch.cat([features(part.pixels) for part in parts])
    labels = torch.tensor([picture.label for picture in plain], dtype=torch.long)
    folds = _folds(plain, task)
    return _contradicted(plain, cross_validated(found, labels, folds, len(task)))


def penultimate(network: nn.Module) -> Features:
    """What a network's last layer gets (N x C): its features. A map's mean, where that is one."""
    last = last_layer(network.head)

    def run(pixels: torch.Tensor) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        hook = last.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
        try:
            logits_of(network, pixels)
        finally:
            hook.remove()
        rows = torch.cat(seen).float().cpu()
        return rows.flatten(2).mean(2) if rows.ndim > 2 else rows

    return run


def _folds(pictures: Sequence[Picture], task: Task) -> torch.Tensor:
    """A fold N for each picture: a group lies in one, and each class in as many as may be."""
    labels = defaultdict(list)
    for picture in pictures:
        labels[picture.group].append(picture.label)
    classes = {group: Counter(own).most_common(1)[0][0] for group, own in labels.items()}
    order = sorted(
        classes,
        key=lambda group: (
            classes[group],
            sha256(group.encode(errors="backslashreplace")).digest(),
        ),
    )
    folds = {group: place % FOLDS for place, group in enumerate(order)}
    where = defaultdict(set)
    for picture in pictures:
        where[picture.label].add(folds[picture.group])
    alone = [name for label, name in enumerate(task.names) if len(where[label]) < 2]
    if alone:
        raise DataError(
            f"Labels of {listed(alone)} cannot be checked: each class needs pictures of more "
            "groups than one."
        )
    return torch.tensor([folds[picture.group] for picture in pictures])


def cross_validated(
    features: torch.Tensor, labels: torch.Tensor, folds: torch.Tensor, classes: int
) -> torch.Tensor:
    """Probabilities N x classes of each picture, by classifiers that did not see its fold.

    `features`: N x C; `labels`: class indices N; `folds`: numbers N.
    """
    probabilities = torch.empty(len(labels), classes)
    for fold in folds.unique():
        others = folds != fold
        mean, spread = features[others].mean(0), features[others].std(0).clamp(min=1e-3)
        even = nnf.pad((features - mean) / spread, (0, 1), value=1.0)  # N x (C + 1)
        weights = _linear(even[others], labels[others], classes)
        probabilities[~others] = (even[~others] @ weights).softmax(1)
    return probabilities


def _linear(features: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights (C + 1) x classes of a multinomial regression; the last feature is 1.

    Every class counts alike: else a rare one is hardly answered, and its labels are doubted most.
    """
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    each = len(labels) / classes / counts
    weights = torch.zeros(features.shape[1], classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nnf.cross_entropy(features @ weights, labels, weight=each)
        value = value + DECAY / 2 * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def _contradicted(pictures: Sequence[Picture], probabilities: torch.Tensor) -> list[Suspect]:
    """Confident learning: those that are surely of another class than their label's.

    A picture is surely of a class where its probability reaches the mean of those that are
    labelled so; of several such classes the likeliest counts. Ranked by the margin.
    """
    labels = torch.tensor([picture.label for picture in pictures])
    own = nnf.one_hot(labels, probabilities.shape[1]).to(probabilities)  # N x classes
    usual = (probabilities * own).sum(0) / own.sum(0).clamp(min=1)
    surely = torch.where(probabilities >= usual, probabilities, -1.0)
    believed, answers = surely.max(1)
    given = (probabilities * own).sum(1)
    rows = ((believed >= 0) & (answers != labels)).nonzero()[:, 0].tolist()
    found = [
        Suspect(pictures[i], int(answers[i]), float(given[i]), float(believed[i])) for i in rows
    ]
    return sorted(found, key=lambda suspect: suspect.margin)


def suspects_csv(suspects: Sequence[Suspect], names: Sequence[str], task: Task) -> str:
    """The list to mend by hand: `names` are the pictures' in their data; `new` is left empty."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*MENDED, "looks_like", "probability"])
    for name, one in zip(names, suspects, strict=True):
        old, other = task.names[one.picture.label], task.names[one.answer]
        writer.writerow([name, old, "", other, f"{one.believed:.3f}"])
    return text.getvalue()


# --- labels mended by hand

MENDED = ("file", "old", "new")  # the columns that are read; a list may have others


def mend_labels(
    folders: Mapping[Path, Sequence[Picture]],
    lists: Sequence[Path],
    names: ClassNames,
    tell: Tell = silently,
) -> list[list[Picture]]:
    """The folders' pictures, with the classes that the lists of mended labels give them.

    A row names a picture as its folder's CSV does, or as FOLDER/file where several folders hold
    such a file. `pixels` finds it, and all that show the same, in a folder without a CSV. A row
    without a new class changes nothing, nor does one of a FOLDER that is not given. Raises
    DataError for a file that is not in the data, an unknown class, an old class that is not the
    picture's, a file named twice, and a list of other folders' pictures alone.
    """
    known = _by_name(folders)
    labels: dict[Path, int] = {}
    for file in lists:
        rows = read_rows(file, MENDED, "check --labels", "picture", DataError)
        rows = _given(file, rows, known, tell)
        mended = [found for row in rows for found in _mended(file, row, known, names)]
        for picture, label in mended:
            if labels.setdefault(picture.file, label) != label:
                raise DataError(f"{file} gives {picture.file} two new classes: leave one.")
        files = list(dict.fromkeys(picture.file for picture, _ in mended))
        count = counted(len(files), "label is", "labels are")
        tell(f"{count} mended as {file} says", files)
    return [
        [replace(p, label=labels.get(p.file, p.label)) for p in pictures]
        for pictures in folders.values()
    ]


def _by_name(folders: Mapping[Path, Sequence[Picture]]) -> dict[str, list[Picture]]:
    """The pictures that a name in a list stands for, or the digits of a digest."""
    known: dict[str, list[Picture]] = {}
    for folder, pictures in folders.items():
        for picture in pictures:
            digits = (picture.digest[:DIGITS],) if picture.digest else ()
            for spelling in (*_spellings(folder, picture), *digits):
                known.setdefault(spelling, []).append(picture)
    return known


def _spellings(folder: Path, picture: Picture) -> tuple[str, str]:
    """A picture's name in the CSV of its folder, and with the folder's own name before it."""
    name = picture.file.relative_to(folder).as_posix()
    return name, f"{folder.resolve().name}/{name}"


def _given(file: Path, rows: Sequence[Row], known: Mapping[str, object], tell: Tell) -> list[Row]:
    """The rows but those of folders that are not given: a list may serve several folders.

    Such a row's file is FOLDER/CLASS/NAME at least, and no picture's name begins with its FOLDER.
    """
    begins = {name.partition("/")[0] for name in known}
    parts = [row["file"].replace("\\", "/").split("/") for row in rows]
    own = [
        len(part) < 3 or part[0] in begins or row.get("pixels") in known
        for row, part in zip(rows, parts, strict=True)
    ]
    others = [row["file"] for row, mine in zip(rows, own, strict=True) if not mine]
    if not any(own):
        folders = listed(sorted({printable(part[0]) for part in parts}))
        raise DataError(
            f"{file} names pictures of {folders} alone, which the data lack: "
            "name the data's folder so."
        )
    if others:
        count = counted(len(others), "row is", "rows are")
        tell(f"{count} left out of {file}, of folders that are not given", others)
    return [row for row, mine in zip(rows, own, strict=True) if mine]


def names_in(folders: Mapping[Path, Sequence[Picture]]) -> dict[Path, str]:
    """What a list of mended labels calls each picture's file."""
    several = len(folders) > 1
    return {
        picture.file: _spellings(folder, picture)[several]
        for folder, pictures in folders.items()
        for picture in pictures
    }


def _mended(
    file: Path, row: Row, known: Mapping[str, Sequence[Picture]], names: ClassNames
) -> list[tuple[Picture, int]]:
    """The pictures of a row with their new class; none where the row gives none."""
    where, name = f"{file}, line {row.line},", row["file"].replace("\\", "/")
    found = known.get(name) or known.get(row.get("pixels", ""), ())
    if not found:
        raise DataError(f"{where} names {printable(name)}, which is not in the data: match both.")
    if len(found) > 1 and name in known:
        raise DataError(
            f"{where} names {printable(name)}, which several folders hold: write FOLDER/{name}."
        )
    for column in ("old", "new"):
        if names.of(row[column]) is None and (row[column] or column == "old"):
            raise DataError(
                f"{where} gives {printable(name)} the {column} class {row[column] or 'nothing'}: "
                f"use {', '.join(names.task.names)}."
            )
    old, new = names.of(row["old"]), names.of(row["new"])
    own = {names.task.names[picture.label] for picture in found}
    if own != {old}:
        raise DataError(
            f"{where} gives {printable(name)} the old class {old}, but its class is "
            f"{' and '.join(sorted(own))}: correct the row."
        )
    return [(picture, names.task.index(new)) for picture in found] if new else []
