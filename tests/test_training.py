"""Training learns a separable toy set, resumes, and stops on a loss that is not finite."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maskexplain.cli import train
from maskexplain.data.folder import csv_beside, list_pictures, load_pixels, select
from maskexplain.errors import UserError
from maskexplain.models.checkpoints import read_checkpoint
from maskexplain.models.version import open_model
from maskexplain.results.evaluate import logits_of
from maskexplain.train.finish import finish
from maskexplain.train.loop import TrainingError, fit, resume, start
from maskexplain.train.recipe import RECIPES


@pytest.fixture
def recipe(monkeypatch):
    from maskexplain.train import recipe as recipes

    monkeypatch.setitem(recipes.AUGMENTS, "none", lambda pixels, labels: pixels)
    return replace(
        RECIPES["v2"],
        name="toy",
        network="tiny",
        augment="none",
        epochs=4,
        batch_size=8,
        learning_rate=0.01,
    )


@pytest.fixture
def toy(toy_folder):
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    train, val = (load_pixels(select(pictures, split), 16) for split in ("train", "val"))
    return pictures, train, val


def test_learns_a_separable_set_and_writes_a_version(recipe, toy, tmp_path):
    pictures, train, val = toy
    steps = []
    training = fit(start(recipe), train, val, tmp_path, on_step=lambda *step: steps.append(step))
    assert training.best.val_balanced_accuracy == 1.0
    assert len(steps) == 4 * 5
    assert training.history[-1].train_loss < training.history[0].train_loss

    summary = finish(training, {"toy": pictures}, tmp_path, tmp_path / "out")
    assert "balanced accuracy on test 1.000" in summary
    model = open_model("toy", folder=tmp_path / "out")
    assert model.results.confusion_matrix == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert model.results.shift("unaugmented").pictures == 9
    assert model.results.half_precision.same_answers == 12
    for file in ("last.pt", "best.safetensors", "history.png", "confusion_matrix.png"):
        assert (tmp_path / file).stat().st_size > 0
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_a_calibrated_version_states_its_temperature_and_threshold(recipe, toy, tmp_path):
    pictures, train, val = toy
    recipe = replace(recipe, calibrate=True, epochs=1)
    finish(fit(start(recipe), train, val, tmp_path), {"toy": pictures}, tmp_path, tmp_path / "out")
    model = open_model("toy", folder=tmp_path / "out")
    results = model.results
    assert model.temperature == results.temperature == results.calibration.temperature
    assert model.temperature != 1
    assert model.unsure_below == results.unsure.threshold
    assert results.unsure.val.pictures == 9, "copies do not count"
    assert results.unsure.test.pictures == 12
    plain = read_checkpoint(tmp_path / "best.safetensors").network
    x = val.pixels[:4]
    divided = logits_of(plain, x) / model.temperature
    assert torch.allclose(logits_of(model.network, x), divided, atol=1e-2)


def test_resumed_training_equals_an_uninterrupted_one(recipe, toy, tmp_path):
    _, train, val = toy
    whole = fit(start(recipe), train, val, tmp_path / "whole")
    fit(start(replace(recipe, epochs=2)), train, val, tmp_path / "parts")
    parts = fit(resume(recipe, tmp_path / "parts" / "last.pt"), train, val, tmp_path / "parts")
    assert [line.train_loss for line in parts.history] == [
        line.train_loss for line in whole.history
    ]
    for a, b in zip(parts.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_stops_on_a_loss_that_is_not_finite_and_keeps_the_best(recipe, toy, tmp_path):
    _, train, val = toy
    training = fit(start(replace(recipe, epochs=1)), train, val, tmp_path)
    best = (tmp_path / "best.safetensors").read_bytes()
    training.recipe = recipe
    with torch.no_grad():
        next(training.network.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match="The loss of toy is nan in epoch 2, step 1"):
        fit(training, train, val, tmp_path)
    assert (tmp_path / "best.safetensors").read_bytes() == best


@pytest.mark.parametrize("spoil", ["damaged", "another recipe", "other data"])
def test_what_cannot_be_resumed_gets_a_sentence(recipe, toy, tmp_path, spoil):
    _, train, val = toy
    fit(start(replace(recipe, epochs=1)), train, val, tmp_path)
    last = Path(tmp_path / "last.pt")
    if spoil == "damaged":
        last.write_bytes(last.read_bytes()[:500])
    else:
        recipe = replace(recipe, seed=7)
    data = "other" if spoil == "other data" else ""
    with pytest.raises(TrainingError, match="start over with --fresh"):
        resume(recipe, last, data)


def _stop(*line: object, **more: object) -> None:
    raise KeyboardInterrupt


def test_the_command_trains_the_teachers_first_and_once(recipe, toy_folder, tmp_path, monkeypatch):
    teacher = replace(recipe, name="elder", seed=5)
    monkeypatch.setitem(RECIPES, "v1", replace(recipe, name="v1", teachers=(teacher,)))
    monkeypatch.setattr(train, "TRAIN_SIZE", 16)
    runs, out = tmp_path / "runs", tmp_path / "out"
    folders = ["--data", str(toy_folder), "--runs", str(runs), "--out", str(out)]

    def epochs(folder: str) -> list[float]:
        """The losses of the epochs so far."""
        history = json.loads((runs / folder / "history.json").read_text())["history"]
        return [line["train_loss"] for line in history]

    def command(*more: str) -> None:
        train.main(train.parse(["v1", *folders, "--epochs", "2", *more]))

    command()
    results = open_model("v1", folder=out).results
    assert results.epochs == 2 and results.recipe["teachers"][0]["name"] == "elder"
    first = epochs("v1"), epochs("v1/elder")
    written = (runs / "v1/elder/last.pt").stat().st_mtime_ns
    command("--seed", "8")
    assert len(epochs("v1/seed8")) == 2 and epochs("v1/seed8") != first[0]
    assert (runs / "v1/elder/last.pt").stat().st_mtime_ns == written, "taught by the same"

    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopping.setattr(train, "_bar", lambda what: list)
        stopping.setattr(train.tqdm, "write", _stop)
        command("--fresh")
    assert len(epochs("v1/elder")) == 1, "stopped in the teacher's training"
    command()
    assert (epochs("v1"), epochs("v1/elder")) == first, "gone on, and not with the old pupil"
    with pytest.raises(TrainingError, match="elder.last.pt cannot be resumed"):
        train.main(train.parse(["v1", *folders, "--epochs", "1", "--seed", "9"]))
    with pytest.raises(UserError, match="There is no folder"):
        command("--fresh", "--data", str(tmp_path / "nowhere"))
    assert (runs / "v1/last.pt").is_file(), "a slip removes nothing"


def test_recipes_are_the_seeds():
    v1, v2 = RECIPES["v1"], RECIPES["v2"]
    assert (v1.augment, v1.class_weights, v1.plateau) == ("plain", (1, 1, 1), None)
    assert (v2.class_weights, v2.plateau, v2.weight_decay) == ((3, 1, 1), (3, 0.5), 1e-5)
    assert v1.learning_rate == v2.learning_rate == 1e-3
