"""Training learns a separable toy set, resumes, and stops on a loss that is not finite."""

import json
import re
import shutil
import sys
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from maskexplain import cli
from maskexplain.cli import train
from maskexplain.data import folder
from maskexplain.data.folder import (
    csv_beside,
    decoded_once,
    let_go,
    list_pictures,
    load_pixels,
    select,
    split_at_random,
)
from maskexplain.errors import UserError
from maskexplain.files import alone_in
from maskexplain.models.checkpoints import (
    FOLDER,
    SHIPPED,
    CheckpointError,
    read_checkpoint,
    training_of,
)
from maskexplain.models.version import open_model
from maskexplain.results.scores import logits_of
from maskexplain.task import task_of_names
from maskexplain.train.finish import finish
from maskexplain.train.loop import TrainingError, epoch_inputs, fit, resume, start
from maskexplain.train.recipe import RECIPES, own_recipe
from maskexplain.train.siblings import (
    best_network,
    mean_network,
    mean_of,
    sibling_recipes,
    start_sibling,
    training_folders,
)


@pytest.fixture
def recipe(monkeypatch):
    from maskexplain.train.augment import AUGMENTS

    monkeypatch.setitem(AUGMENTS, "none", lambda pixels, labels: pixels)
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
    assert results.sure.pictures == 12
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


def counted_reads(monkeypatch) -> Counter[Path]:
    """How often each file is decoded from now on."""
    reads, read = Counter(), folder.read_image

    def counted(file: Path, *limits: int, **more: bool) -> Image.Image:
        reads[file] += 1
        return read(file, *limits, **more)

    monkeypatch.setattr(folder, "read_image", counted)
    return reads


class Command:
    """`maskexplain train v1` with a tiny network on the toy folder, run in this process."""

    def __init__(self, data: Path, place: Path) -> None:
        self.runs, self.out = place / "runs", place / "out"
        folders = ["--data", data, "--runs", self.runs, "--out", self.out]
        self.arguments = ["train", "v1", *map(str, folders), "--epochs", "2"]

    def __call__(self, *more: str) -> int:
        return cli.main([*self.arguments, *more])

    def epochs(self, folder: str) -> list[float]:
        """The losses of the epochs so far."""
        file = self.runs / "v1" / folder / "history.json"
        return [line["train_loss"] for line in json.loads(file.read_text())["history"]]


@pytest.fixture
def command(recipe, toy_folder, tmp_path, monkeypatch) -> Command:
    monkeypatch.setitem(RECIPES, "v1", replace(recipe, name="v1"))
    monkeypatch.setattr(train, "TRAIN_SIZE", 16)
    return Command(toy_folder, tmp_path)


def test_a_folder_of_ones_own_classes_is_trained_in_one_command(toy_folder, tmp_path, capsys):
    (toy_folder.parent / "toy.csv").unlink()  # of other classes
    for old, new in (("with_mask", "cup"), ("without_mask", "lamp")):
        (toy_folder / old).rename(toy_folder / new)
    shutil.rmtree(toy_folder / "mask_weared_incorrect")
    arguments = ["train", "mine", "--network", "tiny", "--data", str(toy_folder), "--epochs", "3"]
    arguments += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--whole"]
    assert cli.main(arguments) == 0
    assert "tiny for cup, lamp, from random weights" in capsys.readouterr().out
    model = open_model("mine", folder=tmp_path / "out")
    assert model.task.names == ("cup", "lamp") and not model.task.faces
    assert model.results.epochs == 3 and model.temperature > 0
    assert cli.main(["train", "mine", "--data", str(toy_folder)]) == 2
    assert "There is no recipe mine" in capsys.readouterr().err


def test_a_librarys_network_starts_at_the_pictures_size_with_weights_at_hand(toy, monkeypatch):
    pictures, *_ = toy
    name = "torchvision:shufflenet_v2_x0_5"
    recipe = own_recipe(name, task_of_names(["a", "b", "c"]), [p for p in pictures if p.label])
    network = start(recipe).network
    assert network.transform.size == 128 and recipe.start is None
    assert recipe.class_weights[1] < 1 < recipe.class_weights[0]
    assert recipe.epochs == 200, "a folder of two batches is gone through often"
    with pytest.raises(UserError, match="not on this machine"):
        start(replace(recipe, start="published"))


def test_batch_norms_follow_a_short_training():
    """MobileNetV3's own forget 1% a step: after hundreds of steps they answer by chance."""
    recipe = own_recipe("torchvision:mobilenet_v3_small", task_of_names(["a", "b"]), [])
    network = start(replace(recipe, size=32)).network
    norm, x = network.network.features[0][1], 3 + torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        seen = network.network.features[0][0](x).mean((0, 2, 3))
        for _ in range(40):
            network(x)
    assert torch.allclose(norm.running_mean, seen, rtol=0.05)


def test_published_weights_are_taken_but_for_the_last_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    theirs = torchvision.models.shufflenet_v2_x0_5()
    (tmp_path / "checkpoints").mkdir()
    url = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url
    torch.save(theirs.state_dict(), tmp_path / "checkpoints" / url.rpartition("/")[2])
    recipe = own_recipe("torchvision:shufflenet_v2_x0_5", task_of_names(["a", "b"]), [])
    assert recipe.start == "published"
    ours = start(recipe).network.network
    assert torch.equal(ours.conv5[0].weight, theirs.conv5[0].weight)
    assert ours.fc.weight.shape == (2, 1024)


def _stop(*line: object, **more: object) -> None:
    raise KeyboardInterrupt


def test_the_command_trains_the_teachers_first_and_once(recipe, command, monkeypatch, capsys):
    teacher = replace(recipe, name="elder", seed=5)
    monkeypatch.setitem(RECIPES, "v1", replace(recipe, name="v1", teachers=(teacher,)))
    assert command() == 0
    results = open_model("my_v1", folder=command.out).results
    assert results.epochs == 2 and results.recipe["teachers"][0]["name"] == "elder"
    first = command.epochs("my_v1"), command.epochs("elder")
    written = (command.runs / "v1/elder/last.pt").stat().st_mtime_ns
    assert command("--seed", "8") == 0
    other = command.epochs("my_v1_seed8")
    assert len(other) == 2 and other != first[0]
    assert (command.runs / "v1/elder/last.pt").stat().st_mtime_ns == written, "taught by the same"

    with monkeypatch.context() as stopping:
        stopping.setattr(train.tqdm, "write", _stop)
        assert command("--fresh") == 130
    assert len(command.epochs("elder")) == 1, "stopped in the teacher's training"
    assert command() == 0
    assert (command.epochs("my_v1"), command.epochs("elder")) == first, "gone on, not with the old"
    assert command("--epochs", "1", "--seed", "9") == 2
    assert "elder/last.pt cannot be resumed" in capsys.readouterr().err
    assert command("--name", "Elder") == command("--name", "painting") == 2
    assert capsys.readouterr().err.count("holds what trainings share: give this one") == 2
    assert command("--fresh", "--data", "nowhere") == 2
    assert (command.runs / "v1/my_v1/last.pt").is_file(), "a slip removes nothing"


def test_the_mean_of_several_trainings_ships(recipe, command, monkeypatch, capsys):
    several = replace(recipe, name="v1", trainings=3, plateau=None)
    monkeypatch.setitem(RECIPES, "v1", several)
    folder, shipped = command.runs / "v1/my_v1", command.out / "my_v1.safetensors"
    _, *places = training_folders(several, folder)
    assert command() == 0
    weights = [load_file(place / "best.safetensors") for place in (folder, *places)]
    first = load_file(shipped)
    for name, value in first.items():
        mean = sum(one[name] for one in weights) / 3
        assert torch.allclose(value.float(), mean, rtol=1e-2, atol=1e-3), name
    name = next(name for name in weights[0] if name.endswith("weight"))
    assert not torch.equal(weights[1][name], weights[2][name]), "draws of its own"
    assert "of the first of 3 trainings, whose mean it is" in capsys.readouterr().out

    written = (folder / "last.pt").stat().st_mtime_ns
    monkeypatch.setitem(RECIPES, "v1", replace(several, trainings=1))
    assert command() == 0, "fewer may be asked for, and more again"
    assert torch.equal(load_file(shipped)[name], weights[0][name].half())
    monkeypatch.setitem(RECIPES, "v1", several)
    shutil.rmtree(places[1])
    assert command() == 0, "what is left is gone on with"
    assert all(torch.equal(value, first[n]) for n, value in load_file(shipped).items())
    assert (folder / "last.pt").stat().st_mtime_ns == written
    assert command("--epochs", "3") == 0
    names = ["my_v1", *(f"my_v1/{place.name}" for place in places)]
    assert [len(command.epochs(name)) for name in names] == [3, 3, 3]
    assert command("--fresh") == 0
    assert [len(command.epochs(name)) for name in names] == [2, 2, 2]
    shutil.copy(folder / "best.safetensors", places[0])
    assert command() == 2
    assert f"{places[0].name}/best.safetensors is not what this" in capsys.readouterr().err


def test_trainings_whose_mean_ships_start_alike(recipe):
    several = replace(recipe, trainings=2)
    first, [sibling] = start(several), sibling_recipes(several)
    second = start_sibling(sibling, several)
    weights = second.network.state_dict()
    assert all(torch.equal(value, weights[n]) for n, value in first.network.state_dict().items())
    assert second.recipe == replace(recipe, seed=recipe.seed + 1)


def test_a_means_norms_are_measured_on_training_pictures(recipe, toy, tmp_path):
    """A mean of weights has activations of its own: its trainings' statistics do not fit them."""
    pictures, *_ = toy
    train, val = (load_pixels(select(pictures, split), 64) for split in ("train", "val"))
    several = replace(recipe, network="torchvision:shufflenet_v2_x0_5", size=64, trainings=2)
    several = replace(several, epochs=2, batch_size=len(train.labels), learning_rate=0.1)
    trainings = [start(several), *(start_sibling(s, several) for s in sibling_recipes(several))]
    places = training_folders(several, tmp_path)
    for training, place in zip(trainings, places, strict=True):
        fit(training, train, val, place)
    mean = mean_of(trainings, tmp_path, train).network
    plain = mean_network(list(map(best_network, trainings, places)))
    [x] = epoch_inputs(trainings[0], train, 2)
    assert _furthest_norm(mean, x) < 1e-3
    assert _furthest_norm(plain, x) > 0.1
    assert not mean.training


def _furthest_norm(network: nn.Module, x: torch.Tensor) -> float:
    """By how much of the spread a norm's running mean is off what it gets of these inputs."""
    off = []

    def note(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
        seen = inputs[0].mean((0, 2, 3)) - norm.running_mean
        off.append((seen.abs() / (norm.running_var + norm.eps).sqrt()).max().item())

    network = deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        network.train()(x)
    return max(off)


def test_a_version_that_is_there_is_not_replaced_unasked(command, capsys):
    assert command() == 0
    first = training_of(command.out / "my_v1.safetensors")
    assert command() == 0, "the same training may write its version again"
    assert command("--seed", "7", "--name", "my_v1") == 2
    assert command("--name", "MY_V1") == 2
    assert capsys.readouterr().err.count("There is a version my_v1 already") == 2
    assert training_of(command.out / "my_v1.safetensors") == first
    assert command("--seed", "7", "--name", "my_v1", "--replace", "--fresh") == 0
    assert training_of(command.out / "my_v1.safetensors") != first


def test_mended_labels_are_trained_on_and_a_page_tells_of_all(command, tmp_path, capsys):
    mended = tmp_path / "mended.csv"
    mended.write_text("file,old,new\nwith_mask/00.png,with_mask,without_mask\n")
    assert command("--labels", str(mended)) == 0
    said = capsys.readouterr().out
    assert re.search(r"without_mask +13 +4 +4 ", said), "a picture more in train"
    assert re.findall(r"epoch . of 2: .* s; (\S+) left", said)[-1] == "00:00"
    assert "report.html: all of it on one page" in said
    folder = command.runs / "v1/my_v1"
    assert "1 label is mended" in (folder / "data.txt").read_text()
    page = (folder / "report.html").read_text()
    assert "Loss over 2 epochs" in page and "measured on toy, test" in page
    assert command("--replace") == 2, "other labels are other data"
    assert "start over with --fresh" in capsys.readouterr().err
    mended.write_text("file,old,new\nwith_mask/none.png,with_mask,without_mask\n")
    assert command("--labels", str(mended), "--name", "other") == 2
    assert "line 2, names with_mask/none.png, which is not in the data" in capsys.readouterr().err
    assert not (command.runs / "v1/other").exists()


def test_tensorboard_gets_every_epoch_once(command, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with monkeypatch.context() as stopping:
        stopping.setattr(train.tqdm, "write", _stop)
        assert command() == 130, "stopped behind its first epoch, which nobody watched"
    assert command("--tensorboard") == 0
    folder = command.runs / "v1/my_v1"
    read = events.EventAccumulator(str(folder / "tensorboard")).Reload()
    lines = json.loads((folder / "history.json").read_text())["history"]
    figures = {"loss/val": "val_loss", "val/balanced accuracy": "val_balanced_accuracy"}
    for name, own in {**figures, "learning rate": "learning_rate"}.items():
        found = [(event.step, pytest.approx(event.value)) for event in read.Scalars(name)]
        assert found == [(line["epoch"], line[own]) for line in lines] and len(found) == 2
    assert "val/recall without_mask" in read.Tags()["scalars"]


def test_figures_that_cannot_be_written_end_with_a_sentence(command, capsys):
    pytest.importorskip("tensorboard")
    place = command.runs / "v1/my_v1/tensorboard"
    place.parent.mkdir(parents=True)
    place.write_text("a file in the folder's place")
    assert command("--tensorboard") == 2
    assert re.search(r"tensorboard/\S+ cannot be written \(File exists\)", capsys.readouterr().err)


def test_without_tensorboard_a_sentence_says_how_to_get_it(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert command("--tensorboard") == 2
    assert 'pip install "maskexplain[tensorboard]"' in capsys.readouterr().err
    assert not command.runs.exists()


@pytest.mark.parametrize("name", ["v1", "V3", "../v1", "a b", ""])
def test_shipped_versions_are_safe_and_names_suit_files(command, name, capsys):
    before = {file: file.stat().st_mtime_ns for file in SHIPPED.iterdir()}
    assert command("--name", name or "-", "--out", str(FOLDER)) == 2
    assert re.search(
        "There is a version v. already|A version's name begins", capsys.readouterr().err
    )
    assert {file: file.stat().st_mtime_ns for file in SHIPPED.iterdir()} == before


def test_two_trainings_do_not_share_a_folder(command, capsys):
    with alone_in(command.runs / "v1/my_v1", "busy"):
        assert command() == 2
        assert "Another training works in" in capsys.readouterr().err
        assert command("--name", "mine") == 0


def test_weights_of_another_training_do_not_ship(command, capsys):
    assert command() == 0 and command("--seed", "7", "--name", "other") == 0
    version = (command.out / "my_v1.safetensors").read_bytes()
    shutil.copy(command.runs / "v1/other/best.safetensors", command.runs / "v1/my_v1")
    assert command() == 2
    assert "is not what this training wrote" in capsys.readouterr().err
    assert (command.out / "my_v1.safetensors").read_bytes() == version
    shutil.copy(command.out / "other.json", command.out / "my_v1.json")
    with pytest.raises(CheckpointError, match="of another training than the weights"):
        open_model("my_v1", folder=command.out)


def test_what_a_killed_training_left_half_written_goes(command):
    folder = command.runs / "v1/my_v1"
    left = [folder / ".123.last.pt", command.out / ".77.my_v1.json"]
    others = [command.out / ".77.other.json"]
    for file in left + others:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    assert command() == 0
    assert not any(file.exists() for file in left) and all(file.exists() for file in others)


@pytest.mark.parametrize("beside", ["a CSV", "no CSV"])
def test_test_pictures_are_decoded_once(command, toy_folder, monkeypatch, beside):
    """From the check to the report, under every shift and with painted masks."""
    if beside == "no CSV":
        csv_beside(toy_folder).unlink()
    tests = {p.file for p in list_pictures(toy_folder, csv_beside(toy_folder)) if p.split == "test"}
    reads = counted_reads(monkeypatch)
    assert command() == 0
    assert {file: reads[file] for file in tests} == dict.fromkeys(tests, 1)
    assert len(reads) == 60 and max(reads.values()) == 2, "labels of all are checked at the end"
    for words in (["evaluate", "--model"], ["report"]):
        reads.clear()
        more = ["--data", str(toy_folder), "--split", "all"]
        more += ["--out", str(command.out / "page.html")] if words[0] == "report" else []
        assert cli.main([*words, str(command.out / "my_v1.safetensors"), *more]) == 0
        assert len(reads) == 60 and set(reads.values()) == {1}, words


def test_pictures_without_room_are_decoded_again(toy_folder, monkeypatch):
    reads = counted_reads(monkeypatch)
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    each = 20 * 20 * 3  # bytes
    with decoded_once(room=45 * each):
        first, again = load_pixels(pictures, 16), load_pixels(pictures, 16)
        assert sum(reads.values()) == 60 + 15
        let_go(pictures[:20])
        load_pixels(pictures, 16)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.pixels, load_pixels(pictures, 16).pixels)
    assert sum(reads.values()) == 60 + 15 + 20 + 15 + 60


def test_bad_pictures_are_named_before_anything_starts_or_skipped(command, toy_folder, capsys):
    toy_folder.with_suffix(".csv").unlink()
    bad = [toy_folder / "with_mask" / name for name in ("a.png", "b.png", "c.png")]
    for file in bad:
        file.write_bytes(b"no picture")
    (toy_folder / "visor").mkdir()
    shutil.copy(toy_folder / "with_mask/00.png", toy_folder / "visor")
    assert command() == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(str(file) in error for file in bad) and not command.runs.exists()
    assert command("--skip") == 0
    assert "class                  train  val  test  groups  copies" in capsys.readouterr().out
    report = (command.runs / "v1/my_v1/data.txt").read_text()
    assert all(str(file) in report for file in bad) and "visor" in report


WRONG_USE = {
    "negative threads": (["--threads", "-1"], "--threads must be 1 or more"),
    "no threads": (["--threads", "0"], "--threads must be 1 or more"),
    "no batch": (["--batch-size", "0"], "--batch-size must be 1 or more"),
    "no such device": (["--device", "cuda:7"], "device cuda:7 cannot be used here: this machine"),
    "no numbers": (["--device", "meta"], "device meta cannot be used here: this machine has cpu"),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_gets_a_sentence(command, case, capsys):
    more, message = WRONG_USE[case]
    assert command(*more) == 2
    assert message in capsys.readouterr().err
    assert not command.runs.exists()


def test_a_random_split_says_that_copies_leak_and_stays_the_same(command, toy_folder, capsys):
    assert command("--split", "random") == 0
    told = capsys.readouterr()
    assert told.err.count("copies of a face lie in train and in test") == 1
    results = open_model("my_v1_random", folder=command.out).results
    assert results.data.name == "toy, split at random" and results.data.folders == ("toy",)
    version = str(command.out / "my_v1_random.safetensors")
    assert cli.main(["evaluate", "--model", version, "--data", str(toy_folder)]) == 0
    told = capsys.readouterr()
    assert "my_v1_random learned from a random split of toy" in told.err
    assert "12 pictures of test" in told.out
    words = ["evaluate", "--model", version, "--data", str(toy_folder), "--split", "val"]
    assert cli.main(words) == 0 and "a random split of toy" in capsys.readouterr().err
    pictures = list_pictures(toy_folder, csv_beside(toy_folder))
    once, again, other = (split_at_random(pictures, seed) for seed in (0, 0, 5))
    assert once == again != other
    assert results.data.pictures == Counter(picture.split for picture in once)
    assert [replace(p, split="") for p in once] == [replace(p, split="") for p in pictures]
    moved = sum(a.split != b.split for a, b in zip(once, pictures, strict=True))
    assert moved > 10, "by the pictures, and not by their groups"
    assert {(p.label, p.split) for p in once} == {(p.label, p.split) for p in pictures}


def test_a_full_disk_gets_a_sentence(command, capsys):
    """A limit on the size of files stands for the disk's end; the first epoch's weights fit."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (100, 9000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))
        try:
            assert command() == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert re.search(r"my_v1/\S+ cannot be written \(File too large\)", capsys.readouterr().err)
    folder = command.runs / "v1/my_v1"
    assert not list(folder.glob(".[0-9]*")) and (folder / "best.safetensors").is_file()
    assert command() == 0


def test_weights_that_are_not_finite_are_not_kept(recipe, toy, tmp_path, monkeypatch):
    _, train_pixels, val = toy
    training = fit(start(replace(recipe, epochs=1)), train_pixels, val, tmp_path)
    best = (tmp_path / "best.safetensors").read_bytes()
    training.recipe = recipe

    def spoil(epoch: int, loss: float, rate: float) -> None:
        with torch.no_grad():
            next(training.network.parameters()).fill_(torch.nan)

    training.recipe = replace(recipe, batch_size=36)  # one step an epoch: only val can tell
    with pytest.raises(TrainingError, match="The loss of toy on val is nan in epoch 2"):
        fit(training, train_pixels, val, tmp_path, on_step=spoil)
    assert (tmp_path / "best.safetensors").read_bytes() == best
    assert len(resume(recipe, tmp_path / "last.pt").history) == 1


def test_recipes_are_the_seeds():
    v1, v2 = RECIPES["v1"], RECIPES["v2"]
    assert (v1.augment, v1.class_weights, v1.plateau) == ("plain", (1, 1, 1), None)
    assert (v2.class_weights, v2.plateau, v2.weight_decay) == ((3, 1, 1), (3, 0.5), 1e-5)
    assert v1.learning_rate == v2.learning_rate == 1e-3
