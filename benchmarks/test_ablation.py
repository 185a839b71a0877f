"""The ablation changes what it says, keeps finished runs and prints one row a variant."""

import argparse

import pytest
from conftest import TinyCNN, toy_folder  # noqa: F401  (a fixture)

from benchmarks import ablation
from maskexplain.data.folder import csv_beside, list_pictures
from maskexplain.errors import UserError
from maskexplain.train.recipe import RECIPES


def test_every_variant_changes_one_thing():
    whole = ablation.shortened(3, epochs=2, share=0.5)
    size = sum(whole.mix.values())
    assert size == pytest.approx(sum(RECIPES["v3"].mix.values()) / 2, abs=5)
    changed = {name: change(whole) for name, change in ablation.LEFT_OUT.items()}
    alike = [name for name, recipe in changed.items() if recipe == whole]
    assert alike == ["everything", ablation.COPIES]  # the latter changes the pictures
    assert all(sum(r.mix.values()) == size for r in changed.values())
    real = changed["no painted masks"]
    assert all(name.startswith("real/") for name in real.mix) and not real.paint


def test_finished_runs_are_kept_and_printed(
    toy_folder,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    trained = []

    def train(recipe, train, val, folder, paintings):
        trained.append((folder.name, sum(p.augmented for p in train), len(val)))
        return TinyCNN()

    monkeypatch.setattr(ablation, "_train", train)
    args = ["--data", str(toy_folder), "--out", str(tmp_path), "--seeds", "1", "2"]
    args += ["--only", "everything", ablation.COPIES]
    ablation.main(args)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("| everything | 0.") and "±" in lines[-2]
    assert [augmented for _, augmented, _ in trained] == [9, 9, 0, 0]
    assert {val for *_, val in trained} == {9}, "val keeps its un-augmented pictures alone"
    ablation.main(args)
    assert len(trained) == 4
    with pytest.raises(UserError, match="another recipe: give another --out"):
        ablation.main([*args, "--epochs", "5"])


def test_what_was_not_measured_is_a_dash():
    whole = dict.fromkeys(ablation.COLUMNS, 0.5)
    rows = {"everything": [whole], "no light": [{**whole, "nose_mouth": None}, {"gray": 0.25}]}
    *_, first, second = ablation.table(rows).splitlines()
    assert first == "| everything" + " | 0.500" * len(ablation.COLUMNS) + " |"
    assert second.count("–") == len(ablation.COLUMNS) - 1 and "0.375 ± 0.125" not in first
    assert ablation.table({"x": [whole, {**whole, "gray": 0.25}]}).count("0.375 ± 0.125") == 1


def test_no_split_but_val_is_scored(
    toy_folder,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    seen = []
    monkeypatch.setattr(ablation, "_train", lambda *args: TinyCNN())
    real = ablation.evaluate
    monkeypatch.setattr(ablation, "evaluate", lambda n, t, p: seen.extend(p) or real(n, t, p))
    sample = ablation.sample_faces
    monkeypatch.setattr(ablation, "sample_faces", lambda p, *n: seen.extend(p) or sample(p, *n))
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    args = argparse.Namespace(out=tmp_path, epochs=1, share=1.0, scenes=None)
    ablation.run("everything", 1, args, pictures)
    assert {p.split for p in seen} == {"val"}
