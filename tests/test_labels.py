"""Labels that the other pictures contradict, and labels mended by hand."""

import csv
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import CLASSES, SHARED

from maskexplain import cli
from maskexplain.data.folder import csv_beside, list_pictures, look_at
from maskexplain.data.names import DIGITS, ClassNames, DataError, known_face
from maskexplain.masks.task import MASK
from maskexplain.results.labels import cross_validated, find_suspects, mend_labels, penultimate

MENDED_LABELS = Path(cli.__file__).parents[1] / "data" / "mended_labels.csv"

FLIPPED = {  # where a file lies, and the class that it shows
    "with_mask/flip_a.png": "without_mask",
    "without_mask/flip_b.png": "mask_weared_incorrect",
    "mask_weared_incorrect/flip_c.png": "with_mask",
}


@pytest.fixture
def flipped(toy_folder):
    """The toy folder with three files in the wrong class, and no CSV."""
    (toy_folder.parent / "toy.csv").unlink()
    for index, (file, shown) in enumerate(FLIPPED.items()):
        shutil.move(toy_folder / shown / f"{index:02d}.png", toy_folder / file)
    return toy_folder


def find(folder, version, *more):
    return cli.main(["data", str(folder), *more, "--suspects", "--model", version])


def rows_of(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_flipped_labels_come_first_and_the_mended_list_sets_them_right(flipped, version, capsys):
    assert find(flipped, version) == 0
    assert "of 60 pictures have a label that the others contradict" in capsys.readouterr().out
    listed = flipped.with_name("toy_suspects.csv")
    rows = rows_of(listed)
    assert {row["file"] for row in rows[:3]} == set(FLIPPED)
    assert all(FLIPPED[row["file"]] == row["looks_like"] for row in rows[:3])
    assert not any(row["new"] for row in rows), "what is right, a person says"
    page = flipped.with_name("toy_suspects.html").read_text()
    assert page.count("<img ") == len(rows) and "with_mask/flip_a.png" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "nothing is asked for"

    listed.write_text(listed.read_text().replace(",,without_mask", ",without_mask,without_mask"))
    assert find(flipped, version) == 2, "the list is not written over"
    assert "give --replace" in capsys.readouterr().err
    again = flipped.with_name("again.csv")
    more = [
        "--labels",
        str(listed),
        "--out",
        str(again),
        "--sheet",
        str(again.with_suffix(".html")),
    ]
    assert find(flipped, version, *more) == 0
    left = {row["file"] for row in rows_of(again)}
    assert "with_mask/flip_a.png" not in left and "without_mask/flip_b.png" in left
    assert "1 label is mended" in capsys.readouterr().err


def test_several_folders_tell_of_each_other(flipped, version, tmp_path, capsys):
    other = shutil.copytree(flipped, tmp_path / "other")  # the same groups
    assert find(flipped, version, str(other)) == 0
    rows = rows_of(flipped.with_name("toy_suspects.csv"))
    both = {f"{folder}/{file}" for folder in ("toy", "other") for file in FLIPPED}
    assert {row["file"] for row in rows[:6]} == both
    assert "among the labels of toy and other" in flipped.with_name("toy_suspects.html").read_text()
    same = shutil.copytree(other, tmp_path / "more" / "toy")
    assert find(flipped, version, str(same), "--replace") == 2
    assert "Two of the data folders have the same name" in capsys.readouterr().err
    assert cli.main(["data", str(flipped), str(other)]) == 2
    assert "Copies are found in one folder" in capsys.readouterr().err


def test_imagenets_features_serve_where_no_version_is_named(flipped, capsys):
    assert cli.main(["data", str(flipped), "--suspects"]) == 0
    rows = rows_of(flipped.with_name("toy_suspects.csv"))
    assert {row["file"] for row in rows[:3]} == set(FLIPPED)


def test_nobody_answers_a_picture_whose_group_it_saw(tiny):
    torch.manual_seed(0)
    labels = torch.arange(12) % 2
    features = torch.eye(12)  # each picture is known by a feature of its own
    folds = torch.arange(12) // 6
    alone = cross_validated(features, labels, folds, 2)
    assert torch.allclose(alone, torch.full((12, 2), 0.5), atol=1e-3)
    told = cross_validated(torch.cat([features, labels[:, None] * 1.0], 1), labels, folds, 2)
    assert (told.argmax(1) == labels).all()


def test_made_copies_and_groups_of_one_class(toy_folder, tiny):
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    run = penultimate(tiny.network)
    assert run(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 128)
    found = find_suspects(pictures, run, 16, MASK)
    assert not any(one.picture.augmented for one in found)
    few = [p for p in pictures if p.label or p.file.name == "00.png"]
    with pytest.raises(DataError, match="Labels of mask_weared_incorrect cannot be checked"):
        find_suspects(few, run, 16, MASK)


HEAD = "file,old,new\n"
WRONG = {
    "an unknown file": ("nowhere.png,with_mask,without_mask", "line 2, names nowhere.png, which"),
    "an unknown class": ("with_mask/00.png,with_mask,hat", "the new class hat: use mask_weared"),
    "no old class": ("with_mask/00.png,,without_mask", "the old class nothing"),
    "another old class": (
        "with_mask/00.png,without_mask,with_mask",
        "the old class without_mask, but its class is with_mask",
    ),
    "two new classes": (
        "with_mask/00.png,with_mask,without_mask\nwith_mask/00.png,with_mask,mask_weared_incorrect",
        "two new classes",
    ),
    "no rows": (
        "",
        "lacks rows: it needs the columns file, old, new and a row a picture",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_list_gets_a_sentence(toy_folder, tmp_path, case):
    rows, message = WRONG[case]
    mended = tmp_path / "mended.csv"
    mended.write_text(HEAD + rows)
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    with pytest.raises(DataError, match=message) as caught:
        mend_labels({toy_folder: pictures}, [mended], ClassNames(MASK))
    assert "\n" not in str(caught.value)


def test_a_name_that_two_folders_have_is_told_apart_by_the_folder(toy_folder, tmp_path):
    other = shutil.copytree(toy_folder, tmp_path / "other")
    folders = {f: list_pictures(f, toy_folder.with_suffix(".csv")) for f in (toy_folder, other)}
    mended = tmp_path / "mended.csv"
    # As spreadsheets write it, and with names of classes that other sets use.
    mended.write_text("\ufeffFile;Old;New\nwith_mask\\00.png;mask;no_mask\n", encoding="utf-8")
    with pytest.raises(DataError, match="several folders hold: write FOLDER/with_mask/00.png"):
        mend_labels(folders, [mended], ClassNames(MASK))
    mended.write_text(HEAD + "other/with_mask/00.png,with_mask,without_mask\n")
    first, second = mend_labels(folders, [mended], ClassNames(MASK))
    assert first == folders[toy_folder]
    changed = [p for p, old in zip(second, folders[other], strict=True) if p != old]
    assert [(p.file.name, CLASSES[p.label]) for p in changed] == [("00.png", "without_mask")]


def test_rows_of_a_folder_that_is_not_given_are_left_out_and_told(toy_folder, tmp_path):
    pictures = {toy_folder: list_pictures(toy_folder, csv_beside(toy_folder))}
    mended, told = tmp_path / "mended.csv", []
    other = "other/with_mask/01.png,with_mask,without_mask\n"
    mended.write_text(HEAD + "toy/with_mask/00.png,with_mask,without_mask\n" + other)
    [after] = mend_labels(pictures, [mended], ClassNames(MASK), lambda *said: told.append(said))
    changed = [p for p, old in zip(after, pictures[toy_folder], strict=True) if p != old]
    assert [(p.file.name, CLASSES[p.label]) for p in changed] == [("00.png", "without_mask")]
    [(sentence, names), (count, _)] = told
    assert sentence.startswith("1 row is left out") and names == ["other/with_mask/01.png"]
    assert count.startswith("1 label is mended")
    mended.write_text(HEAD + other)
    with pytest.raises(DataError, match="pictures of other alone, which the data lack"):
        mend_labels(pictures, [mended], ClassNames(MASK))
    mended.write_text(HEAD + "toy/with_mask/99.png,with_mask,without_mask\n")
    with pytest.raises(DataError, match="which is not in the data"):
        mend_labels(pictures, [mended], ClassNames(MASK))


def test_pixels_find_a_picture_where_its_file_has_another_name(flipped, tmp_path):
    shutil.copy(flipped / "with_mask/01.png", flipped / "with_mask/again.png")
    digest, _ = look_at(flipped / "with_mask/01.png")
    mended, told = tmp_path / "mended.csv", []
    row = f"kaggle/with_mask/7.webp,{digest[:DIGITS]},with_mask,without_mask\n"
    mended.write_text("file,pixels,old,new\n" + row)
    pictures = {flipped: list_pictures(flipped)}
    [after] = mend_labels(pictures, [mended], ClassNames(MASK), lambda *said: told.append(said))
    changed = {p.file.name for p, old in zip(after, pictures[flipped], strict=True) if p != old}
    assert changed == {"01.png", "again.png"}
    assert [sentence.partition(" as ")[0] for sentence, _ in told] == ["2 labels are mended"]


def test_the_list_that_comes_with_the_program_is_well_formed():
    rows = rows_of(MENDED_LABELS)
    files = [row["file"] for row in rows]
    assert rows and files == sorted(set(files)), "sorted, no file twice"
    for row in rows:
        folder, own, name = row["file"].split("/")
        assert folder in ("kaggle3", "more") and own == row["old"] and name.endswith(".webp")
        assert {row["old"], row["new"]} <= set(CLASSES) and row["old"] != row["new"]
        assert (known_face(row["pixels"]) is not None) == (folder == "kaggle3")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real faces beside the project")
@pytest.mark.parametrize("given", [("kaggle3", "more"), ("kaggle3",)])
def test_the_list_fits_the_pictures_that_it_was_made_from(given):
    folders = {
        SHARED / name: list_pictures(SHARED / name, SHARED / f"{name}.csv") for name in given
    }
    after = mend_labels(folders, [MENDED_LABELS], ClassNames(MASK))
    olds = folders.values()
    changed = sum(
        p != q for a, b in zip(after, olds, strict=True) for p, q in zip(a, b, strict=True)
    )
    rows = [row for row in rows_of(MENDED_LABELS) if row["file"].split("/")[0] in given]
    assert changed == len(rows)
    assert all(look_at(SHARED / row["file"])[0].startswith(row["pixels"]) for row in rows)


def test_labels_are_for_those_who_read_them(toy_folder, capsys):
    assert cli.main(["data", str(toy_folder), "--labels", "mended.csv"]) == 2
    assert "--labels goes with --suspects" in capsys.readouterr().err
