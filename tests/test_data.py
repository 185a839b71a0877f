"""The image folder: splits by group, and one sentence for what is wrong with it."""

import shutil
from collections import Counter

import pytest
from conftest import CLASSES

from maskexplain.data.folder import (
    DataError,
    csv_beside,
    fingerprint,
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
