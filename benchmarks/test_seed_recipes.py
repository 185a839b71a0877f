"""The seed's recipes are varied as the table says, trained once, and scored on the right faces."""

import csv
import json
from dataclasses import replace

import pytest
from conftest import TinyCNN, kaggle3, toy_folder  # noqa: F401  (two are fixtures)
from torchvision.transforms.v2 import functional as F

from benchmarks import seed_recipes
from maskexplain.data.folder import csv_beside, list_pictures, select, split_at_random
from maskexplain.errors import UserError
from maskexplain.models.checkpoints import SHIPPED, read_checkpoint
from maskexplain.train import recipe as recipes


@pytest.fixture
def tiny_recipes(monkeypatch):
    """v1 and v2 with a tiny network, two epochs, and nothing else changed."""
    size = TinyCNN.transform.size
    small = {"network": "tiny", "augment": "small", "epochs": 2}
    monkeypatch.setitem(recipes.AUGMENTS, "small", lambda pixels, _: F.resize(pixels, [size, size]))
    for name in ("v1", "v2"):
        monkeypatch.setitem(recipes.RECIPES, name, replace(recipes.RECIPES[name], **small))


@pytest.fixture
def copies(toy_folder):  # noqa: F811
    """The toy folder, whose first class shows one face a split, over and over."""
    file = csv_beside(toy_folder)
    rows = list(csv.DictReader(file.open()))
    for row in rows:
        if row["class"] == rows[0]["class"]:
            row["group"] = f"face of {row['split']}"
    with file.open("w", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return toy_folder


def test_each_variant_changes_one_thing():
    own = {name: v.recipe(0, None) for name, v in seed_recipes.VARIANTS.items()}
    assert own["v1 group"] == own["v1 random"] == recipes.RECIPES["v1"]
    assert own["v2 group"] == own["v2 random"] == recipes.RECIPES["v2"]
    for weight in (2.5, 3.5):
        varied = own[f"v2 weight {weight}"]
        assert varied == replace(recipes.RECIPES["v2"], class_weights=(weight, 1.0, 1.0))
    assert seed_recipes.VARIANTS["v2 group"].recipe(2, 4).seed == recipes.RECIPES["v2"].seed + 2


def test_runs_are_kept_and_both_tables_printed(copies, tiny_recipes, tmp_path, monkeypatch, capsys):
    args = ["--data", str(copies), "--out", str(tmp_path / "out")]
    args += ["--only", "v2 group", "v2 random", "v2 weight 2.5"]
    seed_recipes.main([*args, "--seeds", "2"])
    first = capsys.readouterr().out
    leak, weights = (part.splitlines() for part in first.strip().split("\n\n")[1:])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in leak[2:]]
    places = [(split, tested) for _, split, tested, *_ in cells]
    parts = [("group", "group"), ("random", "random"), ("random", "group")]
    assert places == [(a, f"{b}, {what}") for a, b in parts for what in ("all", "as taken")]
    known = [int(line[3].split(" of ")[0]) for line in cells]
    assert known[:2] == [0, 0] and all(known[2:]), "the random split alone has its faces in train"
    assert all(" ± " in line[4] for line in cells)
    assert [line.split(" | ")[:2] for line in weights[2:]] == [["| 3", "2"], ["| 2.5", "2"]]

    monkeypatch.setattr(seed_recipes, "_train", None)  # all is read from here on
    seed_recipes.main([*args, "--seeds", "2"])
    assert capsys.readouterr().out == first
    with pytest.raises(UserError, match="another recipe: give another --out"):
        seed_recipes.main([*args, "--epochs", "5"])


def test_each_run_is_scored_on_its_test_pictures(copies, tiny_recipes, tmp_path, monkeypatch):
    seen, real = [], seed_recipes.evaluate
    monkeypatch.setattr(seed_recipes, "evaluate", lambda *a: seen.append(set(a[2])) or real(*a))
    pictures = list_pictures(copies, csv_beside(copies))
    splits = {"group": pictures, "random": split_at_random(pictures)}
    tests = {name: set(select(own, "test")) for name, own in splits.items()}
    for name, wanted in (("v1 group", ["group"]), ("v1 random", ["group", "random"])):
        variant = seed_recipes.VARIANTS[name]
        found = seed_recipes.run(variant, tmp_path / name, variant.recipe(0, 1), copies, splits)
        assert sorted(found) == wanted
        assert {split: r.pictures for split, r in found.items()} == {
            split: len(tests[split]) for split in wanted
        }
    assert len(seen) == 3 and all(pictures in tests.values() for pictures in seen)


def test_an_interrupted_run_goes_on(copies, tiny_recipes, tmp_path, monkeypatch):
    variant = seed_recipes.VARIANTS["v2 group"]
    pictures = list_pictures(copies, csv_beside(copies))
    for folder, epochs in (("cut", 1), ("cut", 3), ("whole", 3)):
        seed_recipes._train(variant.recipe(0, epochs), pictures, tmp_path / folder)
    cut, whole = (tmp_path / folder / "history.json" for folder in ("cut", "whole"))
    lines = [json.loads(file.read_text())["history"] for file in (cut, whole)]
    assert [{**line, "seconds": 0} for line in lines[0]] == [
        {**line, "seconds": 0} for line in lines[1]
    ]


def test_a_shipped_version_stands_for_its_own_run_alone(kaggle3):  # noqa: F811
    pictures = list_pictures(kaggle3, csv_beside(kaggle3))
    for name in ("v1", "v2"):
        recipe = recipes.RECIPES[name]
        shipped = seed_recipes._shipped(recipe, kaggle3, pictures)
        assert shipped == read_checkpoint(name, SHIPPED).results
        others = [replace(recipe, seed=9), replace(recipe, epochs=3)]
        assert not any(seed_recipes._shipped(other, kaggle3, pictures) for other in others)
        assert seed_recipes._shipped(recipe, kaggle3, pictures[1:]) is None
