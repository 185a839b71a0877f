"""Versions compared over a folder: counts that can be checked by hand."""

import json
import shutil

import pytest
import torch
from conftest import TinyCNN

from maskexplain import cli
from maskexplain.data.folder import list_pictures
from maskexplain.masks.task import MASK
from maskexplain.models import checkpoints
from maskexplain.models.checkpoints import CheckpointError, write_weights
from maskexplain.models.version import Model, open_model
from maskexplain.results.compare import compare_on, stored_comparisons
from maskexplain.task import task_of_names
from maskexplain.web.compare.view import over_folders


def always(label: str, task=MASK) -> Model:
    """A version that answers one class whatever it sees."""
    torch.manual_seed(len(label))
    network = TinyCNN(len(task))
    with torch.no_grad():
        network.network[-1].bias[task.index(label)] = 100
    return Model(label, network, task)


def test_who_is_right_and_who_agrees(toy_folder):
    two = task_of_names(["without_mask", "with_mask"])
    models = [always("with_mask"), always("without_mask"), always("with_mask", two)]
    pictures = list_pictures(toy_folder)[::5]
    counts = [sum(p.label == label for p in pictures) for label in range(3)]
    found = compare_on(models, pictures, MASK.names)
    worn, bare = (counts[MASK.index(name)] for name in ("with_mask", "without_mask"))
    assert found.pictures == len(pictures) == 12
    assert [round(one.right * 12) for one in found.versions] == [worn, bare, worn]
    assert all(one.nose_mouth is None for one in found.versions), "no face on plain colours"
    first, same, last = found.pairs
    assert (first.agree, first.first_right, first.second_right) == (0, worn, bare)
    assert (same.agree, same.first_right, same.second_right) == (1, 0, 0)
    assert (last.agree, last.first_right, last.second_right) == (0, bare, worn)
    assert all(-1 <= pair.heat_alike <= 1 for pair in found.pairs)


def test_a_folder_of_classes_that_nobody_knows_is_refused(toy_folder, tmp_path, capsys):
    file = tmp_path / "other.safetensors"
    write_weights(file, TinyCNN(2), "tiny", task_of_names(["cup", "book"]), False)
    assert cli.main(["compare", "--data", str(toy_folder), "--models", str(file), "v2"]) == 2
    assert "other cannot answer any class of" in capsys.readouterr().err


def test_a_folder_by_other_names_fits_both_questions(toy_folder, tmp_path, capsys):
    """Two classes of a public set, beside a version of three."""
    (toy_folder.parent / "toy.csv").unlink()
    for old, new in (("with_mask", "WithMask"), ("without_mask", "visor")):
        (toy_folder / old).rename(toy_folder / new)
    shutil.rmtree(toy_folder / "mask_weared_incorrect")
    files = [tmp_path / "two.safetensors", tmp_path / "three.safetensors"]
    for file, task in zip(files, (task_of_names(["with_mask", "without_mask"]), MASK), strict=True):
        write_weights(file, always("with_mask", task).network, "tiny", task, False)
    command = ["compare", "--data", str(toy_folder), "--models", *map(str, files)]
    assert cli.main([*command, "--class-map", "visor=without_mask"]) == 0
    said, read = capsys.readouterr()
    assert "| two | 50.0% | – |\n" in said and "| three | 50.0% | – |\n" in said
    assert "| two and three | 100.0% | 0 | 0 |" in said
    assert "WithMask as with_mask and visor as without_mask" in read


def test_it_is_kept_for_the_page_while_the_weights_are_the_same(toy_folder, tmp_path, monkeypatch):
    labels = ("with_mask", "without_mask", "mask_weared_incorrect")
    files = {label: tmp_path / f"{label}.safetensors" for label in labels}
    for label, file in files.items():
        write_weights(file, always(label).network, "tiny", MASK, False)
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    command = ["compare", "--data", str(toy_folder), "--faces", "6", "--store", "--models"]
    assert cli.main([*command, *map(str, files.values())]) == 0

    models = [open_model(label, folder=tmp_path) for label in labels]
    [kept] = stored_comparisons(models, tmp_path)
    assert (kept.folder, kept.split, kept.found.pictures) == ("toy", "test", 6)
    assert len(kept.found.versions) == len(kept.found.pairs) == 3
    shown = over_folders([kept])
    assert "<b>toy</b>, 6 pictures of test" in shown and "with_mask and without_mask" in shown

    [part] = stored_comparisons(models[1:], tmp_path)  # the page serves two of them
    assert [pair.names for pair in part.found.pairs] == [labels[1:]]
    write_weights(files[labels[2]], always(labels[0]).network, "tiny", MASK, False)
    assert stored_comparisons(models[1:], tmp_path) == [], "measured with other weights"
    assert len(stored_comparisons(models, tmp_path)[0].found.pairs) == 1
    [file] = (tmp_path / "comparisons").iterdir()
    file.write_text("{}")
    with pytest.raises(CheckpointError, match="no comparison: remove it"):
        stored_comparisons(models, tmp_path)


def test_the_command_prints_it_as_tables(toy_folder, tmp_path, capsys):
    names = []
    for label in ("with_mask", "without_mask"):
        names.append(str(tmp_path / f"{label}.safetensors"))
        write_weights(tmp_path / f"{label}.safetensors", always(label).network, "tiny", MASK, False)
    command = ["compare", "--data", str(toy_folder), "--faces", "6", "--models"]
    assert cli.main([*command, *names, "--json", str(tmp_path / "x.json")]) == 0
    said = capsys.readouterr().out
    assert "6 pictures" in said and "| with_mask and without_mask | 0.0% |" in said
    assert json.loads((tmp_path / "x.json").read_text())["pairs"][0]["agree"] == 0
    assert cli.main([*command, names[0]]) == 2
    assert "two or more versions" in capsys.readouterr().err
