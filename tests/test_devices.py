"""Commands and recipes give on another device what they give on the CPU, and name a missing one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import together
import torch
from conftest import noise

from maskexplain import cli
from maskexplain.errors import UserError
from maskexplain.explain.explain import all_ways
from maskexplain.models import fused_conv, network
from maskexplain.models.version import DEVICES, pick_device

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("picture") / "face.png"
    noise(3, (40, 40)).save(file)
    return file


def test_another_device_gives_what_the_cpu_gives(
    version, picture, toy_folder, tmp_path, capsys, monkeypatch
):
    """The other one takes no tensor of the CPU's, as a GPU does; it computes as the CPU does."""
    monkeypatch.setattr(network, "CPU_PIXELS", 0)  # both take CPU_LEAST pictures at once
    monkeypatch.setattr(fused_conv, "ONE_STEP", None)  # both go layer by layer
    theirs = [*_commands(version, picture, toy_folder, tmp_path / "theirs", "elsewhere")]
    recipes = ["+", "recipes", str(tmp_path), "elsewhere"]
    words = [word for command in theirs for word in ("+", *command)] + recipes
    ran = subprocess.run(
        [sys.executable, str(ROOT / "tests/elsewhere.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 0, ran.stderr
    for command in _commands(version, picture, toy_folder, tmp_path / "ours", "cpu"):
        assert cli.main(command) == 0
    for file in ("evaluation.json", "comparison.json", "explained/face.json"):
        ours, other = (_figures(tmp_path / place / file) for place in ("ours", "theirs"))
        assert ours == other, file
    for file in ("report.html", "answers.parquet"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    for file in (tmp_path / "ours/explained").glob("*.npy"):
        assert np.array_equal(np.load(file), np.load(tmp_path / "theirs/explained" / file.name))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: two add up in another order
    trained = [*together.train_all(tmp_path / "one")]
    torch.set_num_threads(threads)
    for name, training in trained:
        found = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        for part, values in together.outcome(training).items():
            assert torch.equal(found[part], values), (name, part)


VARIED = """
import elsewhere, torch
from maskexplain.train.augment import AUGMENTS
pixels = torch.randint(0, 256, (24, 3, 128, 128), dtype=torch.uint8)
labels, place = torch.arange(24) % 3, torch.device("elsewhere")
for name, augment in AUGMENTS.items():
    torch.manual_seed(7)
    ours = augment(pixels, labels)
    torch.manual_seed(7)
    with place:
        theirs = augment(pixels.to(place), labels.to(place))
    apart = (ours.int() - theirs.to("cpu").int()).abs().max().item()
    print(name, theirs.device.type, apart <= 1)  # other devices round a resized picture otherwise
"""


def test_pictures_are_varied_on_the_device():
    paths = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", VARIED]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert {line.split()[0] for line in lines} >= {"plain", "seed_augment", "vary"}
    assert all(line.endswith(" elsewhere True") for line in lines), lines


def _commands(version, picture, toy_folder, folder, device):
    folder.mkdir()
    ways = [word for way in all_ways() for word in ("--method", way)]
    data, to = ["--data", str(toy_folder)], ["--out", str(folder / "explained")]
    yield ["predict", str(picture), "--whole", "--model", version, "--device", device]
    more = ["--whole", "--second-opinion", "--model", version, "--device", device]
    yield ["explain", str(picture), *ways, *to, *more]
    more = ["--json", str(folder / "evaluation.json"), "--device", device]
    yield ["evaluate", "--model", version, *data, *more]
    more = ["--json", str(folder / "comparison.json"), "--device", device]
    yield ["compare", *data, "--faces", "3", "--models", version, "v2", *more]
    more = ["--out", str(folder / "report.html"), "--device", device]
    yield ["report", version, *data, "--faces", "6", *more]
    more = ["--out", str(folder / "answers.parquet"), "--device", device]
    yield ["predict", str(picture), "--whole", "--model", version, *more]


def _figures(file: Path) -> dict:
    """What a command wrote, but for times and places."""
    figures = json.loads(file.read_text())
    return {name: value for name, value in figures.items() if name not in ("cost", "files")}


COMMANDS = {
    "serve": ["--models", "VERSION"],
    "predict": ["PICTURE", "--model", "VERSION"],
    "explain": ["PICTURE", "--model", "VERSION", "--out", "OUT"],
    "evaluate": ["--model", "VERSION", "--data", "DATA"],
    "compare": ["--data", "DATA", "--models", "VERSION", "v2"],
    "report": ["VERSION", "--data", "DATA"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_device_is_one_sentence(
    command, version, picture, toy_folder, tmp_path, capsys, monkeypatch
):
    known = {"VERSION": version, "PICTURE": picture, "DATA": toy_folder, "OUT": tmp_path / "out"}
    words = [str(known.get(word, word)) for word in COMMANDS[command]]
    monkeypatch.setenv("NO_PROXY", "")
    assert cli.main([command, *words, "--device", "cuda:77"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "The device cuda:77 cannot be used here: this machine has cpu" in error


def test_auto_takes_the_fastest_there_is(monkeypatch):
    there = [kind for kind, found in DEVICES.items() if found()]
    assert pick_device().type == there[0] and there[-1] == "cpu"
    assert list(DEVICES) == ["cuda", "mps", "cpu"]
    monkeypatch.setitem(DEVICES, "cuda", lambda: False)
    monkeypatch.setitem(DEVICES, "mps", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    for name in ("cuda", "mps", "meta", "cpu:x", "", "GPU"):
        with pytest.raises(UserError, match="cannot be used here: this machine has cpu"):
            pick_device(name)


def test_what_a_gpu_measured_is_not_stored(version, toy_folder, capsys):
    words = ["evaluate", "--model", version, "--data", str(toy_folder), "--store"]
    assert cli.main([*words, "--device", "auto"]) == 2
    assert "--store keeps what a CPU gives" in capsys.readouterr().err
