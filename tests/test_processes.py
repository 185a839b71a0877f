"""Two processes that torchrun starts train what one trains, speak once and end together."""

import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import together
import torch
from torch import nn

from maskexplain import cli
from maskexplain.errors import UserError
from maskexplain.files import alone_in
from maskexplain.models.version import open_model
from maskexplain.train import processes
from maskexplain.train.processes import own_device

ROOT = Path(__file__).resolve().parents[1]
STARTER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
WITHIN = 1e-5
PATIENCE = 90  # seconds


def start(*arguments: object) -> subprocess.Popen[str]:
    """tests/together.py in two processes of torchrun's."""
    if sys.platform == "win32":
        pytest.skip("torchrun is tried where there are Unix signals")
    command = [*STARTER, str(ROOT / "tests/together.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    piped = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=piped, stderr=piped, text=True)


@pytest.fixture
def train(toy_folder, tmp_path) -> list[str]:
    """The arguments that train a tiny network for so long that it can be stopped."""
    places = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    return ["train", "mine", "--network", "tiny", "--whole", "--data", str(toy_folder), *places]


def test_two_processes_give_what_one_gives(tmp_path):
    process = start("recipes", tmp_path)
    alone = {name: together.outcome(t) for name, t in together.train_all(tmp_path / "one")}
    told, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert told.split() == ["True", "False", *alone], "the first one alone speaks"
    assert list(tmp_path.glob("*/0/last.pt")) and not list(tmp_path.glob("*/1"))
    for name, wanted in alone.items():
        found = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        assert found.keys() == wanted.keys()
        for part, values in wanted.items():
            assert torch.allclose(found[part], values, rtol=0, atol=WITHIN), (name, part)


def test_ctrl_c_ends_both_and_one_goes_on(train, tmp_path, capsys):
    last = tmp_path / "runs/own/mine/last.pt"
    process = start(*train, "--epochs", "400")
    deadline = time.monotonic() + PATIENCE
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=PATIENCE)
    assert errors.count("goes on from what was saved last") == 1, errors
    assert told.count("mine, epoch 1 of") == 1 and "mine, epoch 400 of" not in told
    done = told.count("mine, epoch")

    assert cli.main([*train, "--epochs", str(done + 3)]) == 0
    assert 1 <= capsys.readouterr().out.count("mine, epoch") <= 3
    assert open_model("mine", folder=tmp_path / "out").results.epochs == done + 3


def test_an_error_is_told_once_and_ends_both(train, tmp_path):
    with alone_in(tmp_path / "runs/own/mine", "busy"):
        process = start(*train)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.count("Another training works in") == 1
    assert "maskexplain/train" not in errors, "no traceback but torchrun's own"


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4, eps=0.1, momentum=0.3),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False, track_running_stats=False),
        nn.BatchNorm1d(4),
        together.WithRelu(4),
    ],
    ids=str,
)
def test_a_shared_norm_is_torchs_own_in_one_process(norm, monkeypatch):
    told = []
    monkeypatch.setattr(processes, "add_up", lambda values: told.append(values) or values)
    torch.manual_seed(0)
    shape = (6, 4) if isinstance(norm, nn.BatchNorm1d) else (6, 4, 5, 5)
    if norm.affine:
        norm.weight.data = torch.arange(1.0, 5)
    shared, x = deepcopy(norm), torch.randn(shape) * 3 + 20
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    usual = norm(inputs[0])
    with processes.SharedNorms():
        found = shared(inputs[1])
    assert torch.allclose(usual, found, atol=1e-5)
    for answer in (usual, found):
        (answer**3).sum().backward()
    assert len(told) == 2, "there and back"
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-3)
    for name, values in norm.state_dict().items():
        assert torch.allclose(shared.state_dict()[name], values, atol=1e-5), name
    with processes.SharedNorms():
        assert torch.allclose(norm.eval()(x), shared.eval()(x), atol=1e-5)


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    monkeypatch.setattr(processes, "pick_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert own_device("auto") == torch.device("cpu")
    for name, message in (("cuda", "3 processes need 3 GPUs, and this"), ("mps", "cannot share")):
        with pytest.raises(UserError, match=message):
            own_device(name)


def test_processes_without_a_gpu_each_train_on_the_cpu():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    assert own_device("auto") == own_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="device cuda cannot be used here: this machine has cpu"):
        own_device("cuda")
