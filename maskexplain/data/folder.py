"""An image folder, its classes and its splits by group, and its pixels in memory.

Nothing of a folder is left out in silence: `tell` gets a sentence for it, and the names.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from ..images.edit import Shift
from ..images.folder import SUFFIXES, of_system
from ..images.read import MAX_SIDE, OWN_PIXELS, ImageError, digest_of, read_image
from ..masks.task import MASK
from ..models.network import to_pixels
from ..task import Task
from ..words import counted, listed
from .names import (
    SPLITS,
    ClassNames,
    DataError,
    KnownFace,
    Row,
    known_face,
    read_rows,
    split_of,
    western,
)

__all__ = ["DataError"]  # with what is defined here

COLUMNS = ("file", "class", "split", "group", "augmented")
TRUTH = {"1": True, "true": True, "0": False, "false": False}
KAGGLE = "the public Kaggle set, whose groups, splits and made copies are listed here"

# Wraps an iterable and shows how far it is, as tqdm does.
Progress = Callable[[Iterable], Iterable]
# Gets a sentence about the data, and the names that it speaks of.
Tell = Callable[[str, Sequence[object]], object]


def quietly(items: Iterable) -> Iterable:
    """The progress that shows nothing."""
    return items


def silently(sentence: str, names: Sequence[object] = ()) -> None:
    """The teller that says nothing."""


@dataclass(frozen=True)
class Picture:
    """One picture of the data: `label` is its class index, `augmented` marks a made copy.

    `source`: which collection it comes from, as the CSV tells; empty where it does not. `digest`:
    of its pixels; empty where it was not opened yet, or cannot be.
    """

    file: Path
    label: int
    split: str
    group: str
    augmented: bool
    source: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Pixels:
    """Decoded pictures: uint8 pixels N x 3 x size x size and class indices N."""

    pixels: torch.Tensor
    labels: torch.Tensor


def list_pictures(
    folder: Path,
    csv_file: Path | None = None,
    task: Task = MASK,
    class_map: Mapping[str, str] | None = None,
    tell: Tell = silently,
    progress: Progress = quietly,
) -> list[Picture]:
    """The pictures of `folder`, with splits from the CSV, from its folders, or made by content.

    `task`: whose classes the folder holds; `class_map`: other names for them. Without a CSV every
    picture is opened. Raises DataError.
    """
    check_folder(folder)
    names = ClassNames(task, class_map or {})
    files = _walk(folder, tell)
    if csv_file:
        return _from_csv(folder, csv_file, names, files, tell)
    return _from_folder(folder, names, files, tell, progress)


def list_all_pictures(
    folders: Sequence[Path],
    csv_files: Sequence[Path] = (),
    task: Task = MASK,
    class_map: Mapping[str, str] | None = None,
    tell: Tell = silently,
    progress: Progress = quietly,
) -> list[list[Picture]]:
    """The pictures of several folders, a list each, with the CSVs beside them or the given ones.

    Raises DataError, also for a group that lies in two splits of different folders.
    """
    if csv_files and len(csv_files) != len(folders):
        raise DataError("--csv must be given as often as --data, in the same order, or not at all.")
    files = list(csv_files) or [csv_beside(folder) for folder in folders]
    pairs = list(zip(folders, files, strict=True))
    lists = [list_pictures(place, file, task, class_map, tell, progress) for place, file in pairs]
    # The same pixels in two splits are named, or skipped, before a training.
    together = [p for pictures in lists for p in pictures if p.group != p.digest]
    check_groups(together, " and ".join(str(file or folder) for folder, file in pairs))
    return lists


def csv_beside(folder: Path) -> Path | None:
    """The CSV named like the folder and beside it (kaggle3/ and kaggle3.csv), if it is there."""
    folder = folder.resolve()
    file = folder.parent / f"{folder.name}.csv"
    return file if file.is_file() else None


def check_folder(folder: Path) -> None:
    """Raise DataError where there is no such folder."""
    if not folder.is_dir():
        what = (
            f"{folder} is a file, no folder" if folder.exists() else f"There is no folder {folder}"
        )
        raise DataError(f"{what}: give an image folder.")


def default_split(folder: Path, pictures: Sequence[Picture]) -> str:
    """What to score of a folder: "test" where somebody parted it, "all" where nobody did."""
    parted = any(p.group not in (p.digest, str(p.file)) for p in pictures)
    folders = (part for p in pictures for part in p.file.relative_to(folder).parts[:-1])
    return "test" if parted or any(split_of(part) for part in set(folders)) else "all"


def class_folders(folder: Path, class_map: Mapping[str, str] | None = None) -> list[str]:
    """The classes that an image folder is parted into, by their names in order.

    They may lie below folders of splits; `class_map`: other names for them. A folder that is called
    like a split is a class where `class_map` says so.
    """
    mapped, found = class_map or {}, set[str]()
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.is_dir() or of_system(path.name):
            continue
        if path.name in mapped:
            found.add(mapped[path.name])
        elif split_of(path.name):
            found.update(class_folders(path, class_map))
        elif path.name[0] != "_":
            found.add(path.name)
    return sorted(found)


def csv_classes(csv_file: Path, class_map: Mapping[str, str] | None = None) -> list[str]:
    """The classes that a CSV names, in order. Raises DataError."""
    rows = read_rows(csv_file, COLUMNS, "check --csv", "picture", DataError)
    mapped = class_map or {}
    return sorted({mapped.get(row["class"], row["class"]) for row in rows} - {""})


def split_in(folder: Path, file: Path, task: Task) -> str:
    """The split that the folders above a picture stand for; "" where they stand for none."""
    parts = [part for part in file.relative_to(folder).parts[:-1] if part not in task]
    return next((split for part in parts if (split := split_of(part))), "")


# --- by a CSV


def _from_csv(
    folder: Path, csv_file: Path, names: ClassNames, files: Sequence[Path], tell: Tell
) -> list[Picture]:
    rows = read_rows(csv_file, COLUMNS, "check --csv", "picture", DataError)
    pictures = [_picture(folder, csv_file, row, names) for row in rows]
    _check_files(pictures, rows, csv_file)
    check_groups(pictures, csv_file)
    _tell_of_names((row["class"] for row in rows), names, tell)
    named = {os.path.realpath(picture.file) for picture in pictures}
    others = [file for file in files if os.path.realpath(file) not in named]
    if others:
        count = counted(len(others), f"picture of {folder} is", f"pictures of {folder} are")
        tell(f"{count} not in {csv_file}, so left out", others)
    return pictures


def _picture(folder: Path, csv_file: Path, row: Row, names: ClassNames) -> Picture:
    where = f"{csv_file}, line {row.line},"
    known, split = names.of(row["class"]) or names.of(western(row["class"])), split_of(row["split"])
    if known is None or split is None:
        raise DataError(
            f"{where} gives {row['file'] or 'a picture'} the class {row['class'] or '(empty)'} and "
            f"the split {row['split'] or '(empty)'}: use {', '.join(names.task.names)} and "
            f"{', '.join(SPLITS)}."
        )
    augmented = TRUTH.get(row["augmented"].lower())
    if augmented is None:
        raise DataError(f"{where} gives {row['file']} no 0 or 1 for augmented: correct it.")
    name = row["file"].replace("\\", "/")
    file = _file_in(folder, name) or _file_in(folder, western(name))
    if file is None:
        raise DataError(
            f"{where} names {row['file'] or 'no file'}, which {folder} does not hold: write its "
            f"path from there, such as {known}/1.jpg."
        )
    own = names.of(file.parent.name)
    if own not in (None, known):
        raise DataError(
            f"{where} gives {row['file']} the class {row['class']}, but it lies in the folder "
            f"{file.parent.name}: match both."
        )
    # Without a group a picture is one of its own.
    group, source = row["group"] or f"{csv_file.stem}/{row['file']}", row.get("source", "")
    return Picture(file, names.task.index(known), split, group, augmented, source)


def _file_in(folder: Path, name: str) -> Path | None:
    """The file that a CSV names, from the folder or from the root; None where the folder lacks it.

    A file is called by its place in the folder, however the CSV calls it. A path from the root of
    another machine, or from the folder's own name, counts from there.
    """
    if not name or "\0" in name:
        return None
    plain = ".." not in Path(name).parts and not os.path.isabs(name)
    if plain and (folder / name).is_file():
        return folder / name
    roots = () if plain else (os.path.abspath(folder), os.path.realpath(folder))
    for root in map(Path, roots):
        file = Path(os.path.normpath(root / name))
        if file.is_relative_to(root) and file.is_file():
            return folder / file.relative_to(root)
    _, own, inside = f"/{name}".rpartition(f"/{Path(os.path.realpath(folder)).name}/")
    return _file_in(folder, inside) if own and ".." not in Path(inside).parts else None


def _check_files(pictures: Sequence[Picture], rows: Sequence[Row], csv_file: Path) -> None:
    lines: dict[str, int] = {}
    for picture, row in zip(pictures, rows, strict=True):
        first = lines.setdefault(os.path.realpath(picture.file), row.line)
        if first != row.line:
            raise DataError(
                f"{csv_file} names {row['file']} twice, in line {first} and in line {row.line}: "
                "name each file once."
            )


def check_groups(pictures: Sequence[Picture], where: object) -> None:
    """Raise DataError, which names `where`, for groups that lie in two splits."""
    firsts: dict[str, Picture] = {}
    torn = {p.group: p for p in pictures if firsts.setdefault(p.group, p).split != p.split}
    if not torn:
        return
    group, other = next(iter(torn.items()))
    pair = listed([f"{one.file} ({one.split})" for one in (firsts[group], other)])
    more = f", and {counted(len(torn) - 1, 'group', 'groups')} more" if len(torn) > 1 else ""
    called = f"group {group}" if group != firsts[group].digest else "copies of one picture"
    raise DataError(
        f"{where} puts {called} into two splits, {pair}{more}: a group must lie in one, or the "
        "scores are inflated, so move or remove one."
    )


# --- by its folders


def _from_folder(
    folder: Path, names: ClassNames, files: Sequence[Path], tell: Tell, progress: Progress
) -> list[Picture]:
    found = _labelled(folder, names, files, tell)
    _check_classes(folder, names, found)
    there = {picture.split for picture in found} - {""}
    lacking = [split for split in SPLITS if split not in there]
    if "train" in there and lacking:
        tell(f"{folder} has no folder for {listed(lacking)}: these are taken from train", ())
    opened = [replace(p, digest=look_at(p.file)[0]) for p in progress(found)]
    known = {p.digest: face for p in opened if (face := known_face(p.digest))}
    if known:
        count = sum(picture.digest in known for picture in opened)
        tell(f"{count} of {len(opened)} pictures in {folder} are of {KAGGLE}", ())
    pictures = [_grouped(picture, known.get(picture.digest)) for picture in opened]
    # Those that cannot be read fill no split: what is left without them needs each.
    good, bad = ([p for p in pictures if bool(p.digest) is read] for read in (True, False))
    parted = split_by_group(good, {face.group: face.split for face in known.values()})
    return [*parted, *(replace(p, split=p.split or "train") for p in bad)]


def _grouped(picture: Picture, known: KnownFace | None) -> Picture:
    """The picture with its group: known, or of all that have its very pixels."""
    if known is None:
        return replace(picture, group=picture.digest or str(picture.file))
    return replace(picture, group=known.group, augmented=known.augmented, source=known.source)


def _labelled(folder: Path, names: ClassNames, files: Sequence[Path], tell: Tell) -> list[Picture]:
    """Each picture with the class, and the split if any, that the folders above it stand for."""
    parts = {file: file.relative_to(folder).parts[:-1] for file in files}
    pictures, left, used = [], [], []
    around = _around_classes(parts.values(), names)
    for file, above in parts.items():
        meant = [
            part
            for depth, part in enumerate(above, start=1)
            if names.of(part) and above[:depth] not in around
        ]
        own = {names.of(part) for part in meant}
        used += meant
        splits = {split_of(part) for part in above if split_of(part) and not names.of(part)}
        if len(own) > 1 or len(splits) > 1:
            both = " and ".join(sorted(own if len(own) > 1 else splits))
            raise DataError(f"{file} lies in folders of {both}: move it into one.")
        if own:
            [label], split = own, "".join(splits)
            pictures.append(Picture(file, names.task.index(label), split, "", False))
        else:
            left.append(file)
    _check_splits(pictures)
    _tell_of_names(used, names, tell)
    if left:
        count = counted(len(left), "picture is", "pictures are")
        tell(
            f"{count} left out of {folder}, being in no class's folder "
            "(--class-map FOLDER=CLASS takes them)",
            sorted({file.parent for file in left}),
        )
    return pictures


def _around_classes(parts: Iterable[tuple[str, ...]], names: ClassNames) -> set[tuple[str, ...]]:
    """Folders with folders of several classes in them: these are parted by class, no class."""
    below: dict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for above in set(parts):
        for depth in range(1, len(above)):
            below[above[:depth]] |= {names.of(part) for part in above[depth:]} - {None}
    return {place for place, classes in below.items() if len(classes) > 1}


def _check_splits(pictures: Sequence[Picture]) -> None:
    without = [picture for picture in pictures if not picture.split]
    if without and len(without) < len(pictures):
        raise DataError(
            f"{without[0].file} lies in no folder for train, val or test, as others do: sort "
            f"{len(without)} such pictures in, or rename these folders."
        )


def _check_classes(folder: Path, names: ClassNames, pictures: Sequence[Picture]) -> None:
    labels = {picture.label for picture in pictures}
    missing = [name for label, name in enumerate(names.task.names) if label not in labels]
    if not missing:
        return
    empty = [name for name in missing if (folder / name).is_dir()]
    if empty:
        raise DataError(f"{folder / empty[0]} holds no pictures: put some there, or remove it.")
    there = sorted(p.name for p in folder.iterdir() if p.is_dir() and not of_system(p.name))
    raise DataError(
        f"{folder} has no folder {' and no folder '.join(missing)}: an image folder with "
        f"{', '.join(names.task.names)} is needed. It has {listed(there) or 'none'}; "
        f"--class-map NAME={missing[0]} gives one a meaning."
    )


def _tell_of_names(used: Iterable[str], names: ClassNames, tell: Tell) -> None:
    read = {name: names.of(name) for name in dict.fromkeys(used)}
    other = [f"{name} as {known}" for name, known in read.items() if known not in (None, name)]
    if other:
        tell("Class names are read", other)


def _walk(folder: Path, tell: Tell) -> list[Path]:
    """The pictures' files in a folder and the folders in it, in order; dead links are among them.

    What is left out is told: files that systems put there, and those that are no pictures.
    """
    system, others, pictures = [], [], []
    for file in _all_files(folder):
        parts = file.relative_to(folder).parts
        if any(of_system(part) for part in parts):
            system.append(file)
        elif file.suffix.lower() in SUFFIXES:
            pictures.append(file)
        else:
            others.append(file)
    if system:
        count = counted(len(system), "file is", "files are")
        tell(f"{count} left out of {folder}, of the kind that systems leave", system)
    if others:
        count = counted(len(others), "file is", "files are")
        tell(f"{count} left out of {folder}, being no pictures by name", others)
    return pictures


def _all_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, through links, each folder once."""
    seen = set()
    for place, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(folders)
        yield from (Path(place, name) for name in sorted(files) if real not in seen)
        seen.add(real)


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be opened: check its permissions.") from error


# --- splits

SHARES = {"train": 70, "val": 15, "test": 15}  # percent


def split_by_group(
    pictures: Sequence[Picture], known: Mapping[str, str] | None = None
) -> list[Picture]:
    """The pictures with splits, where they have none; a group lies in one.

    `known`: splits of groups. Others go by the groups' digests: 70% train, 15% val, 15% test, so
    that pictures which come later change no other's split. Then each class gets a group in each
    split, as long as it has three. Of a folder with train and test alone, or train and val, train
    gives what is missing.
    """
    there = {picture.split for picture in pictures} - {""}
    fixed = there - {"train"}
    if fixed and "train" not in there:
        return list(pictures)
    open_to = [split for split in SPLITS if split not in fixed]
    groups = {p.group for p in pictures} - {p.group for p in pictures if p.split in fixed}
    splits = {group: (known or {}).get(group, "") for group in groups}
    splits = {g: s if s in open_to else _place(g, open_to) for g, s in splits.items()}
    _fill(pictures, splits, open_to)
    return [
        p if p.split in fixed else replace(p, split=splits.get(p.group, "train")) for p in pictures
    ]


def split_at_random(pictures: Sequence[Picture], seed: int = 0) -> list[Picture]:
    """The pictures with other splits, drawn for each picture: copies of a face lie in several.

    Scores on such a split are inflated. It shows by how much.
    """
    alone = [
        replace(p, split="", group=f"{seed}/{p.file.parent.name}/{p.file.name}") for p in pictures
    ]
    pairs = zip(pictures, split_by_group(alone), strict=True)
    return [replace(picture, split=drawn.split) for picture, drawn in pairs]


def _place(group: str, open_to: Sequence[str]) -> str:
    share = int(_sha256(group)[:8], 16) % 100 * sum(SHARES[s] for s in open_to) / 100
    for split in open_to:
        share -= SHARES[split]
        if share < 0:
            return split
    return open_to[-1]


def _fill(pictures: Sequence[Picture], splits: dict[str, str], open_to: Sequence[str]) -> None:
    """Move groups of small classes, so that none lacks a split."""
    for label in sorted({picture.label for picture in pictures}):
        own = sorted({p.group for p in pictures if p.label == label and p.group in splits})
        for wanted in open_to if len(own) >= len(open_to) else ():
            by_split = {split: [g for g in own if splits[g] == split] for split in open_to}
            if not by_split[wanted]:
                splits[max(by_split.values(), key=len)[0]] = wanted


# --- opening them


def look_at(file: Path) -> tuple[str, str]:
    """The digest of a picture's pixels, or, where it cannot be read, "" and why."""
    try:
        return digest_of(_open(file)), ""
    except ImageError as error:
        return "", str(error)


def load_pixels(
    pictures: Sequence[Picture], size: int, progress: Progress = quietly, shift: Shift | None = None
) -> Pixels:
    """Decode every picture once, shift it where asked, and hold it at size x size.

    Raises DataError.
    """
    pixels = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
    for row, picture in zip(pixels, progress(pictures), strict=True):
        crop = read_crop(picture.file)
        row.copy_(to_pixels(shift(crop) if shift else crop, size))
    return Pixels(pixels, torch.tensor([p.label for p in pictures], dtype=torch.long))


def read_crop(file: Path) -> Image.Image:
    """A picture of the data as RGB. Raises DataError, which names the file."""
    try:
        return _open(file)
    except ImageError as error:
        raise DataError(f"{file} is unreadable ({error}): mend or remove it.") from error


def _open(file: Path) -> Image.Image:
    kept = _kept.get()
    if kept is None:
        return read_image(file, MAX_SIDE, OWN_PIXELS, complete=True)
    return kept.read(file)


ROOM = 2**29  # bytes of decoded pictures: 10,000 of 128 x 128


class _Kept:
    """Pictures that were decoded: their sizes and bytes, while there is room."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pictures: dict[Path, tuple[tuple[int, int], bytes]] = {}

    def read(self, file: Path) -> Image.Image:
        """The picture as RGB, decoded where it is not kept."""
        if file in self._pictures:
            return Image.frombytes("RGB", *self._pictures[file])
        image = read_image(file, MAX_SIDE, OWN_PIXELS, complete=True)
        if 3 * image.width * image.height <= self._room:
            content = image.tobytes()
            self._pictures[file] = image.size, content
            self._room -= len(content)
        return image

    def let_go(self, file: Path) -> None:
        """Make room."""
        _, content = self._pictures.pop(file, ((0, 0), b""))
        self._room += len(content)


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def decoded_once(room: int = ROOM) -> Iterator[None]:
    """What is read inside is decoded once, and kept until the end while there is room (bytes).

    What has no room is decoded each time that it is read.
    """
    token = _kept.set(_Kept(room))
    try:
        yield
    finally:
        _kept.reset(token)


def let_go(pictures: Iterable[Picture]) -> None:
    """Keep these no longer: their room is for others."""
    kept = _kept.get()
    for picture in pictures if kept else ():
        kept.let_go(picture.file)


def fingerprint(pictures: Sequence[Picture]) -> str:
    """A digest of which pictures lie where: the same data give the same one on every machine."""
    lines = sorted(f"{p.file.parent.name}/{p.file.name} {p.label} {p.split}" for p in pictures)
    return _sha256("\n".join(lines))


def _sha256(text: str) -> str:
    # A file's name may hold bytes that are no text.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def select(pictures: Sequence[Picture], split: str) -> list[Picture]:
    """The pictures of one split; "all" for every picture. Raises DataError where it is empty."""
    chosen = [p for p in pictures if split in ("all", p.split)]
    if not chosen:
        raise DataError(f"The split {split} holds no pictures: use {', '.join(SPLITS)} or all.")
    return chosen
