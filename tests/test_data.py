"""The image folder: splits by group, and one sentence for what is wrong with it."""

import shutil
from collections import Counter

import pytest
from conftest import CLASSES

from maskexplain.data.folder import (
    DataError,
    csv_beside,
    fingerprint,
    list_all_pictures,
    list_pictures,
    load_pixels,
    select,
)


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
    "class missing": (lambda f: shutil.rmtree(f / "with_mask"), "has no folder with_mask"),
    "bad class": (replace("with_mask/00.png,with_mask", "with_mask/00.png,hat"), "the class hat"),
    "bad split": (replace("train", "weekday"), "the split weekday"),
    "bad column": (replace("group", "grp"), "needs the columns"),
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
    for name in ("__MACOSX", ".ipynb_checkpoints", "sub.png"):
        (folder / name).mkdir()
    (folder / "__MACOSX" / "x.png").write_bytes(b"x")
    assert list_pictures(toy_folder) == before
    (folder / "00.png").rename(folder / "sub.png" / "00.png")
    assert len(list_pictures(toy_folder)) == len(before)


def test_a_dead_link_gets_a_sentence(toy_folder):
    (toy_folder / "with_mask" / "broken.png").symlink_to(toy_folder / "nowhere.png")
    with pytest.raises(DataError, match="broken.png is a link that leads nowhere"):
        list_pictures(toy_folder)


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
