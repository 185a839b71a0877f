"""What is wrong with a data set, said all at once, before anything starts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ..files import on_one_line
from ..task import Task
from ..words import counted, listed
from .folder import Picture, Progress, Tell, look_at, quietly, silently
from .names import SPLITS, DataError

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
