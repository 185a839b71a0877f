"""The image folder: splits by group, and one sentence for what is wrong with it."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pytest
from conftest import CLASSES, noise
from PIL import Image

from maskexplain.cli.folders import own_classes
from maskexplain.data.folder import (
    DataError,
    csv_beside,
    default_split,
    fingerprint,
    list_all_pictures,
    list_pictures,
    load_pixels,
    read_crop,
    select,
)
from maskexplain.data.names import SPLITS, ClassNames
from maskexplain.data.survey import readable, ready_to_train, some, tell_of_two_splits
from maskexplain.images.folder import find_pictures
from maskexplain.masks.task import MASK
from maskexplain.results.labels import mend_labels
from maskexplain.task import TaskError, task_of_names


def test_csv_gives_the_splits(toy_folder):
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    assert Counter(p.split for p in pictures) == {"train": 36, "val": 12, "test": 12}
    assert {p.label for p in select(pictures, "val")} == {0, 1, 2}
    assert any(p.augmented for p in pictures)


def test_without_csv_equal_files_share_a_split(toy_folder):
    for name in CLASSES:
        for file in sorted((toy_folder / name).iterdir()):
            shutil.copy(file, file.with_stem(file.stem + "copy"))
    splits: dict[str, set] = {}
    for picture in list_pictures(toy_folder):
        splits.setdefault(picture.group, set()).add(picture.split)
    assert len(splits) == 60 and all(len(s) == 1 for s in splits.values())


def test_pixels_are_decoded_in_order(toy_folder):
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    data = load_pixels(pictures, 8)
    assert data.pixels.shape == (60, 3, 8, 8)
    assert data.labels.tolist() == [p.label for p in pictures]
    means = [data.pixels[data.labels == label].float().mean() for label in range(3)]
    assert means[0] < means[1] < means[2]


def replace(old, new):
    return lambda folder: _edit(folder.with_suffix(".csv"), old, new)


def _edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


BROKEN = {
    "no folder": (shutil.rmtree, "There is no folder"),
    "class missing": (lambda f: shutil.rmtree(f / "with_mask"), "names with_mask/00.png, which"),
    "bad class": (replace("with_mask/00.png,with_mask", "with_mask/00.png,hat"), "the class hat"),
    "bad split": (replace("train", "weekday"), "the split weekday"),
    "bad column": (replace("group", "grp"), "lacks group: it needs the columns"),
    "a column twice": (replace("augmented", "augmented,class"), "has class twice"),
    "no file": (replace("with_mask/00.png,", ","), "names no file"),
    "no class": (replace("with_mask/00.png,with_mask,", "with_mask/00.png,,"), r"class \(empty\)"),
    "bad augmented": (replace(",0\n", ",yes\n"), "no 0 or 1 for augmented"),
    "file missing": (lambda f: (f / "with_mask" / "03.png").unlink(), "names with_mask/03.png"),
    "group in two splits": (replace("with_mask19", "with_mask0"), "into two splits"),
    "unreadable": (
        lambda f: (f / "with_mask" / "03.png").write_bytes(b"no picture"),
        "03.png is unreadable",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_gets_a_sentence(toy_folder, case):
    spoil, message = BROKEN[case]
    spoil(toy_folder)
    with pytest.raises(DataError, match=message) as caught:
        load_pixels(list_pictures(toy_folder, toy_folder.with_suffix(".csv")), 8)
    assert "\n" not in str(caught.value)


def test_a_dot_in_the_folders_name_is_no_suffix(toy_folder):
    dotted = toy_folder.rename(toy_folder.with_name("toy.2"))
    assert csv_beside(dotted) is None
    toy_folder.with_suffix(".csv").rename(dotted.parent / "toy.2.csv")
    assert csv_beside(dotted) == dotted.parent / "toy.2.csv"


def test_fingerprint_knows_the_data_and_not_their_place(toy_folder):
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    moved = shutil.copytree(toy_folder, toy_folder.parent / "elsewhere")
    same = list_pictures(moved, toy_folder.with_suffix(".csv"))
    assert fingerprint(pictures) == fingerprint(same) != fingerprint(pictures[1:])


def test_empty_class_and_empty_split_get_a_sentence(toy_folder):
    for file in (toy_folder / "with_mask").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="holds no pictures"):
        list_pictures(toy_folder)
    with pytest.raises(DataError, match="split test holds no pictures"):
        select([], "test")


def rewrite(folder, change, encoding="utf-8"):
    """The CSV beside the folder, changed as text and written anew."""
    file = folder.parent / "toy.csv"
    file.write_bytes(change(file.read_text()).encode(encoding))
    return file


AS_WRITTEN = {
    "semicolons": (lambda t: t.replace(",", ";"), "utf-8"),
    "tabs": (lambda t: t.replace(",", "\t"), "utf-8"),
    "a mark in front": (lambda t: t, "utf-8-sig"),
    "UTF-16": (lambda t: t, "utf-16"),
    "headings in capitals": (
        lambda t: t.replace("file,class,split", "File,CLASS,Split", 1),
        "utf-8",
    ),
    "blanks around cells": (lambda t: t.replace(",", " , "), "utf-8"),
    "backslashes in paths": (lambda t: t.replace("/", "\\"), "utf-8"),
    "validation": (lambda t: t.replace(",val,", ",validation,"), "utf-8"),
    "valid": (lambda t: t.replace(",val,", ",valid,"), "utf-8"),
    "true and false": (
        lambda t: t.replace(",1\n", ",TRUE\n").replace(",0\n", ",false\n"),
        "utf-8",
    ),
    "Windows lines": (lambda t: t.replace("\n", "\r\n"), "utf-8"),
    "an empty line": (lambda t: t + "\n\n", "utf-8"),
    "upright lines": (lambda t: t.replace(",", "|"), "utf-8"),
    "Excel's first line": (lambda t: "sep=;\n" + t.replace(",", ";"), "utf-8"),
    "the folder's own name in front": (lambda t: re.sub(r"\n(?=\w)", "\ntoy/", t), "utf-8"),
}


@pytest.mark.parametrize("case", AS_WRITTEN)
def test_csvs_are_read_as_people_write_them(toy_folder, case):
    expected = list_pictures(toy_folder, csv_beside(toy_folder))
    change, encoding = AS_WRITTEN[case]
    assert list_pictures(toy_folder, rewrite(toy_folder, change, encoding)) == expected


def test_pictures_without_a_group_are_groups_of_their_own(toy_folder):
    def without_groups(text):
        head, *rows = text.strip().split("\n")
        cells = [row.split(",") for row in rows]
        return "\n".join([head, *(",".join([*c[:3], "", c[4]]) for c in cells)])

    pictures = list_pictures(toy_folder, rewrite(toy_folder, without_groups))
    assert len({p.group for p in pictures}) == len(pictures) == 60


def test_absolute_paths_are_read(toy_folder):
    expected = list_pictures(toy_folder, csv_beside(toy_folder))
    file = rewrite(toy_folder, lambda t: t.replace("\nmask_", f"\n{toy_folder}/mask_"))
    assert [p.file for p in list_pictures(toy_folder, file)] == [p.file for p in expected]


@pytest.mark.parametrize("root", ["C:\\\\me\\\\toy\\\\", "/home/me/toy/", "toy/"])
def test_paths_of_another_machine_count_from_the_folders_name(toy_folder, root):
    expected = list_pictures(toy_folder, csv_beside(toy_folder))
    file = rewrite(toy_folder, lambda t: re.sub(r"\n(?=\w)", f"\n{root}", t))
    assert [p.file for p in list_pictures(toy_folder, file)] == [p.file for p in expected]


def test_an_old_spreadsheets_accents_are_read(toy_folder):
    (toy_folder / "with_mask/00.png").rename(toy_folder / "with_mask/süß.png")
    file = rewrite(toy_folder, lambda t: t.replace("with_mask/00", "with_mask/süß", 1), "cp1252")
    assert "süß.png" in {p.file.name for p in list_pictures(toy_folder, file)}


def test_a_link_to_itself_is_a_bad_picture(toy_folder):
    (toy_folder / "with_mask/loop.png").symlink_to("loop.png")
    told = Told()
    assert len(list_pictures(toy_folder, csv_beside(toy_folder), tell=told)) == 60
    assert any("not in" in line for line, _ in told)


def test_a_file_in_two_lines_is_refused(toy_folder):
    def doubled(text):
        first = text.split("\n")[1]
        return text + first.replace("train", "test") + "\n"

    with pytest.raises(DataError, match="twice, in line 2 and in line 62"):
        list_pictures(toy_folder, rewrite(toy_folder, doubled))


def test_a_class_that_contradicts_the_folder_is_refused(toy_folder):
    file = rewrite(toy_folder, lambda t: t.replace("00.png,with_mask", "00.png,without_mask"))
    with pytest.raises(DataError, match=r"line \d+, gives .* it lies in the folder with_mask"):
        list_pictures(toy_folder, file)


def test_what_systems_leave_is_skipped_and_nested_pictures_are_taken(toy_folder):
    before = list_pictures(toy_folder)
    folder = toy_folder / "with_mask"
    for name in ("._00.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"x")
    for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir", "sub.png"):
        (folder / name).mkdir()
    (toy_folder / "lost+found").mkdir()  # beside the classes, as on a disk of its own
    for name in ("__MACOSX", "@eaDir"):
        (folder / name / "x.png").write_bytes(b"x")
    found = {file.path.name for file in find_pictures([folder])}
    assert list_pictures(toy_folder) == before
    assert not {"x.png", "._00.png"} & found and "00.png" in found
    (folder / "00.png").rename(folder / "sub.png" / "00.png")
    assert len(list_pictures(toy_folder)) == len(before)


def test_a_name_ends_no_line():
    assert some(["a\nb.png", "c.png"]) == r"a\nb.png and c.png"


def spoil_some(folder: Path) -> set[str]:
    """Put pictures that cannot be read into a class's folder; returns their names."""
    place = folder / "with_mask"
    (place / "broken.png").symlink_to(folder / "nowhere.png")
    (place / "empty.png").write_bytes(b"")
    (place / "text.jpg").write_text("no picture")
    noise(0, (1, 1)).save(place / "dot.png")
    whole = (place / "00.png").read_bytes()
    (place / "cut.png").write_bytes(whole[: len(whole) // 3])
    os.mkfifo(place / "pipe.png")
    return {"broken.png", "empty.png", "text.jpg", "dot.png", "cut.png", "pipe.png"}


def test_all_bad_pictures_are_named_together_or_skipped(toy_folder):
    bad = spoil_some(toy_folder)
    pictures, told = list_pictures(toy_folder), Told()
    with pytest.raises(DataError, match="6 of 66 pictures cannot be read: .* by --skip") as caught:
        readable(pictures, tell=told)
    assert "\n" not in str(caught.value) and not told, "said once"
    assert all(f"/{name} (" in str(caught.value) for name in bad)
    assert len(readable(pictures, skip=True, tell=told)) == 60
    assert told.names("cannot be read; left out") == bad


def test_pictures_that_are_skipped_fill_no_split(toy_folder):
    for name in CLASSES:
        for file in sorted((toy_folder / name).glob("*.png"))[3:]:
            file.write_bytes(b"")
    ready = ready_to_train(list_pictures(toy_folder), MASK, skip=True)
    assert {(p.label, p.split) for p in ready} == {*product(range(3), SPLITS)}


@pytest.mark.parametrize("here", [False, True])
def test_a_csv_may_name_files_from_the_root(toy_folder, monkeypatch, here):
    before, file = list_pictures(toy_folder, csv_beside(toy_folder)), toy_folder.with_suffix(".csv")
    file.write_text(re.sub(r"(?m)^(?=\w+/)", f"{toy_folder}/with_mask/../", file.read_text()))
    if here:
        monkeypatch.chdir(toy_folder.parent)
        toy_folder, file = Path("toy"), Path("toy.csv")
    pictures = list_pictures(toy_folder, file)
    assert [p.file.relative_to(toy_folder) for p in pictures] == [
        p.file.relative_to(before[0].file.parents[1]) for p in before
    ]
    first = pictures[0].file.relative_to(toy_folder).as_posix()
    (toy_folder.parent / "mended.csv").write_text(f"file,old,new\n{first},{CLASSES[0]},with_mask\n")
    lists = [toy_folder.parent / "mended.csv"]
    [mended] = mend_labels({toy_folder: pictures}, lists, ClassNames(MASK))
    assert mended[0].label == CLASSES.index("with_mask")


@pytest.mark.parametrize("outside", ["../toy/../other.png", "/dev/null", "{}/other.png"])
def test_a_csv_names_no_files_beside_the_folder(toy_folder, outside):
    noise(0, (20, 20)).save(toy_folder.parent / "other.png")
    file = toy_folder.with_suffix(".csv")
    name = outside.format(toy_folder.parent)
    file.write_text(file.read_text().replace("with_mask/00.png", name, 1))
    with pytest.raises(DataError, match="line 22, names .*, which .* does not hold"):
        list_pictures(toy_folder, file)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_big_pictures_are_shrunk(toy_folder, suffix):
    file = toy_folder / "with_mask" / f"big.{suffix}"
    Image.new("RGB", (8000, 8000), (90, 120, 60)).save(file)
    assert read_crop(file).size == (1600, 1600)


class Told(list):
    """Takes what is told of a folder."""

    def __call__(self, sentence: str, names: Sequence[object]) -> None:
        self.append((sentence, [str(name) for name in names]))

    def names(self, part: str) -> set[str]:
        """Files' names, or words, of the sentence that has this part."""
        [found] = [names for sentence, names in self if part in sentence]
        return {Path(name.split(" (")[0]).name for name in found}


def test_nothing_is_left_out_in_silence(toy_folder):
    for name in ("visor/1.png", "with_mask/notes.txt", "with_mask/a.jp2", "top.png"):
        (toy_folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(toy_folder / "with_mask/00.png", toy_folder / name)
    (toy_folder / "with_mask/._00.png").write_bytes(b"x")
    told = Told()
    assert len(list_pictures(toy_folder, tell=told)) == 60
    assert told.names("no pictures by name") == {"notes.txt", "a.jp2"}
    assert told.names("systems leave") == {"._00.png"}
    assert told.names("in no class's folder") == {"visor", "toy"}
    told.clear()
    assert len(list_pictures(toy_folder, csv_beside(toy_folder), tell=told)) == 60
    assert told.names("are not in") == {"1.png", "top.png"}
    with_map = list_pictures(toy_folder, class_map={"visor": "without_mask"})
    assert len(with_map) == 61


def test_a_class_map_names_classes_that_there_are(toy_folder):
    with pytest.raises(DataError, match="visor=hat names no class: use mask_weared_incorrect"):
        list_pictures(toy_folder, class_map={"visor": "hat"})


OTHER_NAMES = [
    ("mask_worn_incorrectly", "mask_with", "mask_without"),
    ("with_incorrect_mask", "WithMask", "WithoutMask"),
    ("Mask Weared Incorrect", "Masked", "No-Mask"),
    ("incorrect_mask", "correct_mask", "no_mask"),
    ("IMFD", "CMFD", "unmasked"),
]


@pytest.mark.parametrize("names", OTHER_NAMES)
def test_other_names_of_the_classes_are_read_and_told(toy_folder, names):
    expected = [(p.file.name, p.label) for p in list_pictures(toy_folder)]
    csv = csv_beside(toy_folder).read_text()
    for own, other in zip(CLASSES, names, strict=True):
        (toy_folder / own).rename(toy_folder / other)
        csv = csv.replace(f"{own}/", f"{other}/").replace(f",{own},", f",{other},")
    told = Told()
    found = list_pictures(toy_folder, tell=told)
    assert sorted((p.file.name, p.label) for p in found) == sorted(expected)
    words = {f"{other} as {own}" for own, other in zip(CLASSES, names, strict=True)}
    assert told.names("Class names are read") == words
    file = csv_beside(toy_folder)
    file.write_text(csv)
    assert [p.label for p in list_pictures(toy_folder, file)] == [0] * 20 + [1] * 20 + [2] * 20


def sort_in(folder: Path, place: Callable[[str, str], str], splits: Sequence[str]) -> None:
    """Move the pictures to `place(split, class)`: 12, 4 and 4 of each class, as splits say."""
    for name in CLASSES:
        for index, file in enumerate(sorted((folder / name).glob("*.png"))):
            split = splits[(index >= 12) + (index >= 16)]
            new = folder / "new" / place(split, name) / file.name
            new.parent.mkdir(parents=True, exist_ok=True)
            file.rename(new)
        (folder / name).rmdir()


LAYOUTS = {
    "splits above": (lambda s, c: f"{s}/{c}", ("train", "val", "test")),
    "splits below": (lambda s, c: f"{c}/{s}", ("Training", "validation", "Testing")),
    "people below": (lambda s, c: f"{s}/{c}/people/deep", ("train", "valid", "test")),
    "a folder around": (lambda s, c: f"masks/{s}/{c}", ("Train", "Dev", "Test")),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_split_folders_are_read_above_and_below_the_classes(toy_folder, case):
    sort_in(toy_folder, *LAYOUTS[case])
    pictures = list_pictures(toy_folder)
    assert Counter(p.split for p in pictures) == {"train": 36, "val": 12, "test": 12}
    assert Counter(p.label for p in pictures) == {0: 20, 1: 20, 2: 20}
    assert default_split(toy_folder, pictures) == "test"


def test_a_split_without_a_folder_is_taken_from_train(toy_folder):
    sort_in(toy_folder, lambda s, c: f"{s}/{c}", ("train", "train", "test"))
    told = Told()
    pictures = list_pictures(toy_folder, tell=told)
    counts = Counter((p.label, p.split) for p in pictures)
    assert all(counts[label, "test"] == 4 and counts[label, "val"] > 0 for label in range(3))
    assert any("no folder for val: these are taken from train" in line for line, _ in told)


def test_folders_in_folders_of_two_classes_are_refused_or_parted(toy_folder):
    deep = toy_folder / "with_mask" / "no_mask"
    deep.mkdir()
    (toy_folder / "with_mask/00.png").rename(deep / "00.png")
    with pytest.raises(DataError, match="lies in folders of with_mask and without_mask"):
        list_pictures(toy_folder)
    around = toy_folder / "masked"
    around.mkdir()
    (deep / "00.png").rename(toy_folder / "with_mask/00.png")
    deep.rmdir()
    for name in CLASSES:
        (toy_folder / name).rename(around / name)
    assert Counter(p.label for p in list_pictures(toy_folder)) == {0: 20, 1: 20, 2: 20}


def test_pictures_beside_split_folders_are_refused(toy_folder):
    (toy_folder / "with_mask/train").mkdir()
    (toy_folder / "with_mask/00.png").rename(toy_folder / "with_mask/train/00.png")
    with pytest.raises(DataError, match="lies in no folder for train, val or test, as others do"):
        list_pictures(toy_folder)


@pytest.mark.parametrize("count", [3, 4, 7])
def test_small_sets_have_each_class_in_each_split(toy_folder, count):
    for name in CLASSES:
        for file in sorted((toy_folder / name).iterdir())[count:]:
            file.unlink()
    counts = Counter((p.label, p.split) for p in list_pictures(toy_folder))
    assert len(counts) == 9 and sum(counts.values()) == 3 * count


def test_too_small_a_set_says_how_many_pictures_a_class_needs(toy_folder):
    for file in sorted((toy_folder / "with_mask").iterdir())[2:]:
        file.unlink()
    with pytest.raises(DataError, match="no picture of with_mask in .* at least three different"):
        ready_to_train(list_pictures(toy_folder), MASK)


def test_the_same_picture_in_two_splits_or_classes_is_refused_or_skipped(toy_folder):
    """Other bytes, the same pixels."""
    for old, new in (("with_mask/00", "with_mask/19"), ("with_mask/01", "without_mask/01")):
        Image.open(toy_folder / f"{old}.png").save(toy_folder / f"{new}.png", compress_level=0)
    pictures, told = list_pictures(toy_folder, csv_beside(toy_folder)), Told()
    with pytest.raises(
        DataError, match=r"the same picture lies in two splits: .*00.png \(train\) = "
    ):
        ready_to_train(pictures, MASK)
    kept = ready_to_train(pictures, MASK, skip=True, tell=told)
    left = {
        f"{p.file.parent.name}/{p.file.stem}"
        for p in pictures
        if p.file not in {k.file for k in kept}
    }
    assert left == {"with_mask/00", "with_mask/01", "without_mask/01"}
    assert [len(names) for line, names in told if "twice" in line] == [2]


def test_names_that_are_no_text_are_read_and_written(toy_folder):
    odd = os.fsdecode(b"caf\xe9.png")
    (toy_folder / "with_mask/00.png").rename(toy_folder / "with_mask" / odd)
    (toy_folder / "with_mask" / os.fsdecode(b"bad\xe9.png")).write_bytes(b"")
    pictures = list_pictures(toy_folder)
    assert fingerprint(pictures) == fingerprint(list_pictures(toy_folder))
    file = csv_beside(toy_folder)
    file.write_bytes(file.read_bytes().replace(b"with_mask/00.png", b"with_mask/caf\xe9.png", 1))
    assert odd in {p.file.name for p in list_pictures(toy_folder, file)}


def test_a_folder_that_is_linked_twice_is_read_once(toy_folder):
    (toy_folder / "with_mask/again").symlink_to(toy_folder, target_is_directory=True)
    (toy_folder / "without_mask").rename(toy_folder.parent / "elsewhere")
    (toy_folder / "without_mask").symlink_to(toy_folder.parent / "elsewhere")
    assert len(list_pictures(toy_folder)) == 60


def test_the_kaggle_set_is_known_by_its_pixels(kaggle3, tmp_path):
    """As it is downloaded: PNG files without a CSV."""
    every = list_pictures(kaggle3, csv_beside(kaggle3))
    wanted = [p for label in range(3) for p in [p for p in every if p.label == label][::100]]
    for picture in wanted:
        new = tmp_path / picture.file.parent.name / f"{picture.file.stem}.png"
        new.parent.mkdir(exist_ok=True)
        Image.open(picture.file).save(new)
    found = {(p.file.parent.name, p.file.stem): p for p in list_pictures(tmp_path)}
    assert len(found) == len(wanted) == 90
    for p in wanted:
        own = found[p.file.parent.name, p.file.stem]
        assert (own.group, own.split, own.augmented) == (p.group, p.split, p.augmented)


def classes_of(folder, tmp_path, *names, map_=()):
    """The classes of a new folder with these folders of one empty picture each."""
    for name in names:
        (tmp_path / folder / name).mkdir(parents=True)
        (tmp_path / folder / name / "a.png").touch()
    return own_classes(tmp_path / folder, dict(map_))


def test_classes_that_are_written_alike_stay_apart(tmp_path):
    names = ["C", "C#", "C++", "🍔", "🍕"]
    assert classes_of("x", tmp_path, *names) == names
    known = ClassNames(task_of_names(names))
    assert [known.of(name) for name in names] == names
    assert known.of("c") is None, "it may be any of three"
    assert ClassNames(task_of_names(["K\u00e4se", "b"])).of("ka\u0308se") == "K\u00e4se"


REFUSED_CLASSES = {
    "one name twice": (["Cat", "cat", "dog"], r"Cat and cat, which .* --class-map Cat=cat"),
    "an accent twice": (["K\u00e4se", "Ka\u0308se", "b"], "which count as one name"),
    "one class": (["a"], "has 1 class, and a version answers 2 to 20"),
    "too many": ([f"c{i}" for i in range(21)], "has 21 folders of classes"),
    "one folder around": (["all/a", "all/b"], r"the classes in it: give .*/x/all.$"),
    "a split's name": (["valid", "invalid"], "a class by --class-map valid=valid"),
}


@pytest.mark.parametrize("case", REFUSED_CLASSES)
def test_folders_that_are_no_classes_are_told_what_to_do(case, tmp_path):
    names, message = REFUSED_CLASSES[case]
    with pytest.raises(DataError, match=message):
        classes_of("x", tmp_path, *names)


def test_a_class_may_be_called_like_a_split(tmp_path):
    map_ = [("train", "train")]
    assert classes_of("x", tmp_path, "bus", "car", "train", map_=map_) == ["bus", "car", "train"]
    task = task_of_names(["bus", "car", "train"])
    pictures = list_pictures(tmp_path / "x", None, task, dict(map_))
    assert [p.label for p in pictures] == [0, 1, 2]


def test_without_folders_of_classes_a_csv_names_them(tmp_path):
    (tmp_path / "flat").mkdir()
    rows = "1.png,cup,train,,0\n2.png,book,train,,0\n"
    (tmp_path / "flat.csv").write_text(f"file,class,split,group,augmented\n{rows}")
    assert own_classes(tmp_path / "flat", {}) == ["book", "cup"]


def test_the_same_picture_in_two_folders_of_splits_is_named(toy_folder):
    sort_in(toy_folder, lambda s, c: f"{s}/{c}", SPLITS)
    files = [
        toy_folder / f"new/{place}" for place in ("train/with_mask/x.png", "test/with_mask/y.png")
    ]
    for file in files:
        noise(5, (20, 20)).save(file)
    (toy_folder.parent / "toy.csv").unlink()
    [pictures], told = list_all_pictures([toy_folder]), Told()
    with pytest.raises(DataError, match=r"two splits: .*x.png .*y.png|two splits: .*y.png .*x.png"):
        ready_to_train(pictures, MASK)
    assert len(ready_to_train(pictures, MASK, skip=True)) == len(pictures) - 1
    tell_of_two_splits(pictures, told)
    assert ["two splits" in line for line, _ in told] == [True]


def test_several_folders_are_checked_together(toy_folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(toy_folder, other)
    text = (tmp_path / "toy.csv").read_text()
    (tmp_path / "other.csv").write_text(text)
    both = list_all_pictures([toy_folder, other])
    assert [len(pictures) for pictures in both] == [60, 60]
    (tmp_path / "other.csv").write_text(text.replace("train,with_mask3", "test,with_mask3"))
    with pytest.raises(DataError, match="puts group with_mask3 into two splits"):
        list_all_pictures([toy_folder, other])
    with pytest.raises(DataError, match="as often as --data"):
        list_all_pictures([toy_folder, other], [tmp_path / "toy.csv"])


@pytest.mark.parametrize("name", ["a\nb", "", " ", "caf\udce9"])
def test_a_classs_name_is_a_line_of_text(name):
    with pytest.raises(TaskError, match="is no line of text"):
        task_of_names(["a", name])
