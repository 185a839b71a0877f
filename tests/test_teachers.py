"""Schedules, averaged weights, and networks that learn what others answer."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import Mean, toy

from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights
from maskexplain.models.network import NETWORKS
from maskexplain.models.results import Epoch
from maskexplain.models.version import open_model
from maskexplain.train.augment import AUGMENTS
from maskexplain.train.loop import (
    Training,
    TrainingError,
    fit,
    mean_answer,
    one_cycle,
    resume,
    set_rate,
    start,
)
from maskexplain.train.recipe import RECIPES, Recipe


def test_one_cycle_rises_and_falls():
    values = [one_cycle(p, 0.2) for p in (0, 0.1, 0.2, 0.6, 1)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_only_recipes_with_a_cycle_change_the_rate():
    for recipe, wanted in ((RECIPES["v2"], 1e-3), (replace(RECIPES["v2"], warm_up=0.5), 5e-4)):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
        set_rate(recipe, optimizer, progress=0.25)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted)


def test_averaged_training_learns_and_ships_the_last_epoch(recipe, tmp_path):
    data = toy()
    training = fit(start(recipe), data, data, tmp_path)
    assert training.best is training.history[-1]
    assert training.history[-1].val_balanced_accuracy == 1.0
    assert training.answering is training.average.module is not training.network


def test_resumed_averaged_training_equals_an_uninterrupted_one(recipe, tmp_path):
    data = toy()
    whole = fit(start(recipe), data, data, tmp_path / "whole")
    stopped = start(recipe)

    def stop(line: Epoch) -> None:
        if line.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, data, data, tmp_path / "parts", on_epoch=stop)
    last = tmp_path / "parts" / "last.pt"
    parts = fit(resume(recipe, last), data, data, tmp_path / "parts")
    for a, b in zip(parts.average.parameters(), whole.average.parameters(), strict=True):
        assert torch.equal(a, b)
    assert timeless(parts) == timeless(whole)


def timeless(training: Training) -> list[Epoch]:
    return [replace(line, seconds=0) for line in training.history]


def every_recipe(recipe: Recipe) -> dict[str, Recipe]:
    """What a recipe may have that a checkpoint must keep, in tiny form."""
    plain = replace(recipe, mix=None, average=None, warm_up=None, keep="best", epochs=2)
    focus = {"network": "mean", "focus": 0.05, "hide": 0.3}
    return {
        "a plateau": replace(plain, plateau=(0, 0.5), optimizer="adam"),
        "a cycle and averaged weights": replace(recipe, epochs=2),
        "a focus": replace(recipe, epochs=2, **focus),
        "teachers": replace(recipe, epochs=2, teachers=(recipe,)),
    }


@pytest.mark.parametrize(
    "case", ["a plateau", "a cycle and averaged weights", "a focus", "teachers"]
)
def test_what_stops_in_the_middle_of_an_epoch_goes_on_exactly(recipe, tmp_path, monkeypatch, case):
    """At every step of two epochs in turn."""
    monkeypatch.setitem(NETWORKS, "mean", Mean)
    monkeypatch.setitem(AUGMENTS, "none", lambda p, _: (p + torch.randint(0, 9, p.shape)).byte())
    recipe, data = every_recipe(recipe)[case], toy()
    teachers = [start(t).network.eval() for t in recipe.teachers]

    def run(training: Training, folder: str, on_step=lambda *step: None) -> Training:
        training.teachers = teachers
        return fit(training, data, data, tmp_path / folder, on_step=on_step, every=0)

    whole = run(start(recipe), "whole")
    last, count = tmp_path / "parts/last.pt", 0
    while not last.is_file() or len(resume(recipe, last).history) < recipe.epochs:
        taken = []

        def stop(*step: object, taken: list = taken) -> None:
            taken.append(step)
            if len(taken) == 2:  # the first one is saved, this one is lost
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            run(resume(recipe, last) if last.is_file() else start(recipe), "parts", stop)
        count += 1
    assert count > 2 * recipe.epochs, "it stopped in the middle of epochs"
    parts = resume(recipe, last)
    assert timeless(parts) == timeless(whole)
    for a, b in zip(parts.answering.parameters(), whole.answering.parameters(), strict=True):
        assert torch.equal(a, b)


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))  # sums are rounded by how they are shared out
sys.path[:0] = sys.argv[3:]
import conftest, toys
from maskexplain.train.loop import fit, start
from maskexplain.train.augment import AUGMENTS
from maskexplain.train.recipe import V3
AUGMENTS["none"] = lambda pixels, labels: pixels
recipe = replace(V3, **eval(Path(sys.argv[1], "recipe").read_text()))
fit(start(recipe), toys.toy(), toys.toy(), Path(sys.argv[1]), every=0)
"""


def test_what_is_killed_while_it_writes_goes_on_exactly(recipe, tmp_path):
    """kill -9 at the moment when a checkpoint is half-written."""
    # Without a cycle: its rate knows how many epochs are wanted.
    data, recipe = toy(), replace(recipe, epochs=400, warm_up=None)
    changed = {k: v for k, v in vars(recipe).items() if v != vars(RECIPES["v3"])[k]}
    (tmp_path / "recipe").write_text(repr(changed))
    tests = Path(__file__).parent
    given = [str(tmp_path), str(torch.get_num_threads()), str(tests), str(tests.parent)]
    command = [sys.executable, "-c", KILLED, *given]
    with subprocess.Popen(command) as process:
        while not (tmp_path / "last.pt").is_file() or not list(tmp_path.glob(".*.last.pt")):
            assert process.poll() is None, "it ended before it could be killed"
        process.kill()
    done = len(resume(recipe, tmp_path / "last.pt").history)
    recipe = replace(recipe, epochs=done + 1)
    parts = fit(resume(recipe, tmp_path / "last.pt"), data, data, tmp_path)
    whole = fit(start(recipe), data, data, tmp_path / "whole")
    assert timeless(parts) == timeless(whole)


def test_a_pupil_learns_the_answer_and_not_the_label(recipe, tmp_path, monkeypatch):
    """The teacher's labels are the wrong way round."""
    monkeypatch.setitem(NETWORKS, "mean", Mean)
    data = toy()
    turned = replace(data, labels=(data.labels + 1) % 3)
    teacher = fit(start(recipe), turned, turned, tmp_path / "teacher").answering
    for more in ({}, {"network": "mean", "focus": 0.05, "hide": 0.1, "epochs": 10}):
        pupil = start(replace(recipe, teachers=(recipe,), **more))
        pupil.teachers = [teacher.eval()]
        history = fit(pupil, data, turned, tmp_path / str(len(more))).history
        assert history[-1].val_balanced_accuracy == 1.0


def test_a_teacher_answers_as_the_network_and_is_not_trained(recipe, tmp_path):
    network, x = start(recipe).network.eval(), torch.randn(4, 3, 16, 16)
    answer = network(x).softmax(1)
    write_weights(tmp_path / "best.safetensors", network.train(), recipe.network, MASK, half=False)
    teacher = open_model(tmp_path / "best.safetensors").network
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    flat = torch.zeros(4, 3)
    both = mean_answer([teacher, lambda _: flat], x)
    assert torch.allclose(both, (answer + 1 / 3) / 2, atol=1e-5)


def test_teachers_must_be_there(recipe, tmp_path):
    data = toy()
    with pytest.raises(ValueError, match="teachers of its recipe"):
        fit(start(replace(recipe, teachers=(recipe,))), data, data, tmp_path)


def test_a_pupil_is_not_resumed_with_other_teachers(recipe, tmp_path):
    data = toy()
    recipe = replace(recipe, teachers=(recipe,))
    pupil = start(replace(recipe, epochs=1))
    pupil.teachers = [start(recipe).network.eval()]
    fit(pupil, data, data, tmp_path)
    assert len(resume(recipe, tmp_path / "last.pt").history) == 1
    for change in ({"seed": 9}, {"epochs": 9}):
        other = replace(recipe, teachers=(replace(recipe.teachers[0], **change),))
        with pytest.raises(TrainingError, match="of another recipe"):
            resume(other, tmp_path / "last.pt")
