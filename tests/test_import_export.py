"""Other people's files: what is taken, what is refused without being run, and the way back out."""

import argparse
import gzip
import importlib
import io
import json
import os
import pickle
import random
import subprocess
import zipfile
from collections import defaultdict, deque
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import CLASSES, COLOURS, TinyCNN, noise
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from maskexplain import cli
from maskexplain.data.folder import Picture, list_pictures, read_crop
from maskexplain.data.samples import painted_faces
from maskexplain.errors import UserError
from maskexplain.exchange.class_order import check_order, find_order
from maskexplain.exchange.forms import Built
from maskexplain.exchange.torch_files import FileError, read_tensor_file
from maskexplain.exchange.versions import FORMATS, export_version, import_version, notes_of
from maskexplain.images.faces import open_session
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions, write_weights
from maskexplain.models.network import EvaluationTransform
from maskexplain.models.version import Model, open_model
from maskexplain.results.scores import choose_threshold, fit_temperature
from maskexplain.task import task_of_names

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CROPS = [noise(seed, (40, 44)) for seed in range(3)]


class MaskClassificationCNN(nn.Module):
    """The seed's class as its author wrote it."""

    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int, c: int, dropout: float) -> list[nn.Module]:
            first, second = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, c, 3, padding=1)
            return [first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(dropout)]

        self.network = nn.Sequential(
            *block(3, 32, 64, 0.25),
            *block(64, 128, 128, 0.25),
            *block(128, 256, 256, 0.5),
            nn.Flatten(),
            nn.Linear(16384, 1024),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Linear(512, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)


class Disguised(nn.Module):
    """The tiny network's tensors, with another program around them."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(x.shape[0], 3)


class Config:
    """Somebody's own settings."""

    def __init__(self) -> None:
        self.size = 16


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def logits(model: Model) -> torch.Tensor:
    return model.logits(CROPS)


@pytest.fixture
def state(tiny) -> dict[str, torch.Tensor]:
    return tiny.network.state_dict()


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("mode", ["scripted", "state dict", "old state dict", "half"])
def test_the_seeds_files_answer_as_they_did(mode, tmp_path):
    torch.manual_seed(3)
    seed = MaskClassificationCNN().eval()
    path = tmp_path / "model_v2_scripted.pth"
    if mode == "scripted":
        torch.jit.script(seed).save(str(path))
    elif mode == "half":
        saved(seed.half().state_dict(), path)
        seed.float()
    else:
        torch.save(seed.state_dict(), path, _use_new_zipfile_serialization=mode == "state dict")
    done = import_version(path, "mine", folder=tmp_path)
    assert (done.network, done.classes) == ("seed_cnn", CLASSES)
    model = open_model("mine", folder=tmp_path)
    with torch.inference_mode():
        assert torch.allclose(logits(model), seed(model.inputs(CROPS)), atol=1e-5)
    assert list_versions(tmp_path) == ["mine"]


WAYS = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s},
    "model": lambda s: {"model": s},
    "net": lambda s: {"net": s},
    "weights": lambda s: {"weights": s},
    "ema": lambda s: {"ema": s, "best_acc": torch.tensor(0.9)},
    "any name, deep": lambda s: {"run 7": {"stuff": s}},
    "a tuple": lambda s: (3, s),
    "DataParallel": lambda s: _under("module.", s),
    "compiled": lambda s: _under("_orig_mod.", s),
    "compiled, parallel": lambda s: {"model": _under("module._orig_mod.", s)},
    "compiled in a wrapper": lambda s: _under("model._orig_mod.", s),
    "a part compiled": lambda s: {k.replace("network.", "network.module."): s[k] for k in s},
    "AveragedModel": lambda s: {**_under("module.", s), "n_averaged": torch.tensor(4)},
    "Lightning": lambda s: {
        "state_dict": {**_under("model.", s), "criterion.weight": torch.ones(3)},
        "optimizer_states": [{"state": {0: {"exp_avg": s["network.6.bias"]}}}],
    },
    "a metric beside": lambda s: {**s, "train_acc.total": torch.ones(1)},
    "thop": lambda s: {**s, "network.0.total_ops": torch.zeros(1)},
    "half": lambda s: {name: t.half() for name, t in s.items()},
    "double": lambda s: {name: t.double() for name, t in s.items()},
    "parameters": lambda s: {name: nn.Parameter(t.clone()) for name, t in s.items()},
}


def _under(prefix: str, state: dict) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_found_wherever_training_programs_put_them(way, state, tiny, tmp_path):
    path = saved(WAYS[way](state), tmp_path / "x.pt")
    assert import_version(path, "mine", CLASSES, folder=tmp_path).network == "tiny"
    near = 1e-2 if way == "half" else 1e-6
    assert torch.allclose(logits(open_model("mine", folder=tmp_path)), logits(tiny), atol=near)


BESIDE = {
    "numpy scalars": {"acc": np.float64(0.9), "epoch": np.int64(3), "loss": np.float32(1)},
    "numpy arrays": {"history": np.arange(3.0), "names": np.array(["a", "b"])},
    "a path": {"root": Path("data")},
    "arguments": {"args": argparse.Namespace(lr=0.1, root=Path("x"))},
    "an optimizer": {"optimizer": torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict()},
    "time": {"date": datetime(2026, 1, 1), "took": timedelta(1)},
    "containers": {"a": defaultdict(list, x=[1]), "b": {1, 2}, "c": deque([1])},
    "a device, a type": {"device": torch.device("cpu"), "dtype": torch.float16},
    "a class of one's own": {"config": Config()},
    "a function": {"act": nn.functional.relu},
    "a module": {"criterion": nn.CrossEntropyLoss()},
    "random numbers' state": {"rng": random.getstate(), "np": np.random.get_state()},
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("old", [False, True])
def test_harmless_things_beside_the_weights_are_passed_over(beside, old, state, tiny, tmp_path):
    path = tmp_path / "x.ckpt"
    content = {**BESIDE[beside], "model": state}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    import_version(path, "mine", CLASSES, folder=tmp_path)
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))


def test_of_two_networks_the_plain_one_is_taken_and_said(state, tiny, tmp_path, capsys):
    other = {name: tensor + 1 for name, tensor in state.items()}
    path = saved({"model_ema": other, "model": state}, tmp_path / "x.pt")
    command = ["import", str(path), "--as", "mine", "--folder", str(tmp_path), "--classes"]
    assert cli.main([*command, *CLASSES]) == 0
    assert "Weights of model; passed over: model_ema" in capsys.readouterr().out
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))
    with pytest.raises(UserError, match="several such networks, at left and right"):
        import_version(saved({"left": state, "right": other}, path), "x", folder=tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin", ""])
def test_safetensors_under_any_suffix(suffix, state, tiny, tmp_path):
    path = tmp_path / f"weights{suffix}"
    metadata = {"id2label": json.dumps(dict(enumerate(CLASSES)))}
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(_under("model.module.", tensors), path, metadata)
    assert import_version(path, "mine", folder=tmp_path).classes == CLASSES
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))


class Wrapper(nn.Module):
    """A network with the picture's normalisation before and the softmax behind it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).softmax(1)


@pytest.mark.parametrize("form", ["scripted", "traced", "scripted half"])
def test_a_wrapped_script_is_unwrapped(form, tiny, tmp_path):
    wrapped = Wrapper(tiny.network.network.eval())
    if form == "traced":
        script = torch.jit.trace(wrapped, torch.zeros(1, 3, 16, 16))
    else:
        script = torch.jit.script(wrapped.half() if "half" in form else wrapped)
    script.save(str(tmp_path / "x.pt"))
    import_version(tmp_path / "x.pt", "mine", CLASSES, folder=tmp_path)
    near = 1e-2 if "half" in form else 1e-6
    ours = logits(open_model("mine", folder=tmp_path))
    tiny.network.float()
    assert torch.allclose(ours, logits(tiny), atol=near)


def test_one_output_is_the_second_of_two_classes(tmp_path):
    torch.manual_seed(2)
    one = TinyCNN(1).eval()
    path = saved({"model": one.state_dict(), "classes": ["off", "on"]}, tmp_path / "x.pt")
    import_version(path, "mine", folder=tmp_path)
    model = open_model("mine", folder=tmp_path)
    with torch.inference_mode():
        theirs = one(model.inputs(CROPS)).sigmoid()[:, 0]
    assert torch.allclose(logits(model).softmax(1)[:, 1], theirs, atol=1e-6)


def test_a_safetensors_file_of_ours_and_every_export_come_back(tiny, tmp_path):
    file = tmp_path / "first.safetensors"
    write_weights(file, tiny.network, "tiny", MASK, half=False)
    assert import_version(file, "second", folder=tmp_path).source == "first.safetensors, classes"
    export_version("second", "torchscript", tmp_path / "x.pt", CROPS, tmp_path)
    assert import_version(tmp_path / "x.pt", "third", folder=tmp_path).classes == CLASSES
    assert torch.equal(logits(open_model("third", folder=tmp_path)), logits(tiny))


# --- the order of the classes


ORDER = ("with_mask", "without_mask", "mask_weared_incorrect")
TOLD = {
    "classes": list(ORDER),
    "class_names": ORDER,
    "labels": dict(enumerate(ORDER)),
    "label_map": {name: i for i, name in enumerate(ORDER)},
    "class_to_idx": {name: i for i, name in enumerate(ORDER)},
    "idx_to_class": dict(enumerate(ORDER)),
    "id2label": {str(i): name for i, name in enumerate(ORDER)},
    "label2id": {name: str(i) for i, name in enumerate(ORDER)},
    "classNames": np.array(ORDER),
    "labels_": np.array(ORDER, dtype=object),
    "class-to-idx": {name: np.int64(i) for i, name in enumerate(ORDER)},
    "names": {2: ORDER[2], 0: ORDER[0], 1: ORDER[1]},
}
PLACES = {
    "beside": lambda told: told,
    "Lightning": lambda told: {"hyper_parameters": {"lr": 0.1, "data": told}},
    "arguments": lambda told: {"args": argparse.Namespace(**told)},
    "a list": lambda told: {"meta": [1, told]},
}


def _is_in_our_order(folder: Path, tiny: Model) -> bool:
    ours, theirs = logits(open_model("mine", folder=folder)), logits(tiny)
    columns = [ORDER.index(label) for label in CLASSES]
    return torch.allclose(ours, theirs[:, columns], atol=1e-6)


@pytest.mark.parametrize("key", TOLD)
def test_the_order_is_read_beside_the_weights(key, state, tiny, tmp_path):
    path = saved({"state_dict": state, key: TOLD[key]}, tmp_path / "x.pt")
    assert import_version(path, "mine", folder=tmp_path).classes == ORDER
    assert _is_in_our_order(tmp_path, tiny)


@pytest.mark.parametrize("place", PLACES)
def test_the_order_is_read_wherever_it_lies(place, state, tiny, tmp_path):
    told = PLACES[place]({"idx_to_class": TOLD["idx_to_class"]})
    path = saved({"state_dict": state, **told}, tmp_path / "x.pt")
    assert import_version(path, "mine", folder=tmp_path).classes == ORDER
    assert _is_in_our_order(tmp_path, tiny)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", {"id2label": TOLD["id2label"]}),
        ("x.json", list(ORDER)),
        ("classes.json", list(ORDER)),
        ("class_indices.json", TOLD["class_to_idx"]),
        ("idx_to_class.json", TOLD["id2label"]),
        ("config.json", {"model": {"label2id": TOLD["label2id"]}}),
    ],
)
def test_the_order_is_read_from_a_json_beside_the_file(name, content, state, tiny, tmp_path):
    (tmp_path / "away").mkdir()
    path = saved(state, tmp_path / "away" / "x.pt")
    (tmp_path / "away" / name).write_text(json.dumps(content))
    done = import_version(path, "mine", folder=tmp_path)
    assert done.classes == ORDER and done.source.startswith(name)
    assert _is_in_our_order(tmp_path, tiny)


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"classes": 3},
        {"labels": [0, 1, 2, 1]},
        {"labels": ["with_mask", "with_mask", "without_mask"]},
        {"idx_to_class": {1: "a", 2: "b", 3: "c"}},
        {"classes": ["a", "b"]},
        {"metrics": {"loss": 0, "epoch": 2, "accuracy": 1}},
        {"class_weights": {"a": 1.0, "b": 2.0, "c": 3.0}},
    ],
)
def test_where_nothing_tells_the_order_it_is_asked_for(beside, state, tmp_path):
    path = saved({"state_dict": state, **beside}, tmp_path / "x.pt")
    (tmp_path / "x.json").write_text(json.dumps({"loss": 0, "epoch": 2, "accuracy": 1}))
    with pytest.raises(UserError, match="does not say for which classes its 3 outputs") as caught:
        import_version(path, "mine", folder=tmp_path)
    assert "--classes" in str(caught.value) and "--data" in str(caught.value)
    assert list_versions(tmp_path) == []
    import_version(path, "mine", ORDER, folder=tmp_path)


def test_orders_that_contradict_each_other_are_asked_about(state, tmp_path):
    told = {"classes": list(ORDER), "class_to_idx": {n: i for i, n in enumerate(CLASSES)}}
    path = saved({"state_dict": state, **told}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="two orders of classes"):
        import_version(path, "mine", folder=tmp_path)
    with pytest.raises(UserError, match="leave out --classes"):
        import_version(path, "mine", ORDER[::-1], folder=tmp_path)
    assert import_version(path, "mine", CLASSES, folder=tmp_path).classes == CLASSES


@pytest.fixture
def telling(tiny) -> Model:
    """The tiny version, made to tell the toy colours by their distance."""
    colours = torch.tensor(COLOURS) / 127.5 - 1
    with torch.no_grad():
        for parameter in tiny.network.parameters():
            parameter.zero_()
        first, second, last = (tiny.network.network[i] for i in (0, 2, 6))
        for channel in range(3):
            first.weight[channel, channel, 1, 1] = first.bias[channel] = 1
            second.weight[channel, channel, 1, 1] = 1
        last.weight[:, :48] = colours.repeat_interleave(16, 1) / 16
        last.bias.copy_(-colours.sum(1) - (colours**2).sum(1) / 2)
    return tiny


def test_labelled_faces_tell_a_wrong_order(telling, toy_folder, tmp_path, capsys):
    tiny, last = telling, telling.network.network[6]
    saved(tiny.network.state_dict(), tmp_path / "x.pt")
    arguments = ["import", str(tmp_path / "x.pt"), "--as", "mine", "--folder", str(tmp_path)]
    arguments += ["--data", str(toy_folder)]
    wrong = [CLASSES[1], CLASSES[0], CLASSES[2]]
    assert cli.main([*arguments, "--classes", *wrong]) == 2
    assert f"with --classes {' '.join(CLASSES)}." in capsys.readouterr().err
    assert list_versions(tmp_path) == []
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "100.0% balanced accuracy on 12 pictures" in said and "the labelled pictures" in said
    with torch.no_grad():
        last.weight.zero_()
    saved(tiny.network.state_dict(), tmp_path / "x.pt")
    assert cli.main([*arguments, "--replace"]) == 2
    assert "about as well in two orders" in capsys.readouterr().err


def blurred_folder(folder: Path, count: int) -> Path:
    """Pictures whose colours lie between two classes' now and then; each class has `count`."""
    rng = np.random.default_rng(7)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            share = rng.uniform(0, 0.7)
            own, other = np.array(COLOURS[label]), np.array(COLOURS[(label + 1) % 3])
            pixels = (1 - share) * own + share * other + rng.integers(-20, 20, (18, 18, 3))
            made = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            made.save(folder / name / f"{index:03d}.png")
    return folder


def test_the_doubt_is_fitted_on_pictures_that_are_not_test(telling, tmp_path, capsys):
    folder = blurred_folder(tmp_path / "faces", 40)
    rows = ["file,class,split,group,augmented"]
    for name in CLASSES:
        for index in range(40):
            split = "val" if index < 30 else "test"
            rows.append(f"{name}/{index:03d}.png,{name},{split},,{index % 10 == 0:d}")
            if split == "test":  # which is not even opened
                (folder / name / f"{index:03d}.png").write_bytes(b"no picture")
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    path = saved(telling.network.state_dict(), tmp_path / "x.pt")
    command = ["import", str(path), "--as", "mine", "--folder", str(tmp_path)]
    assert cli.main([*command, "--data", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "balanced accuracy on 90 pictures" in said and "fitted on 81 pictures, none of t" in said
    val = [p for p in list_pictures(folder, tmp_path / "faces.csv") if p.split == "val"]
    plain = [p for p in val if not p.augmented]
    labels = torch.tensor([p.label for p in plain])
    outputs = telling.logits([read_crop(p.file) for p in plain])
    model = open_model("mine", folder=tmp_path)
    assert model.temperature == pytest.approx(fit_temperature(outputs, labels), rel=1e-3)
    wanted = choose_threshold(outputs / model.temperature, labels)
    assert 0.4 < model.unsure_below == pytest.approx(wanted, rel=1e-3)
    answers = model.predict([read_crop(p.file) for p in plain])
    unsure, sure = model.results.unsure, [a for a in answers if not a.unsure]
    assert unsure.val.pictures == 81 and 10 < unsure.val.answered < 81
    assert abs(unsure.val.answered - len(sure)) <= 1  # one answer lies on the threshold itself
    assert (unsure.folder, model.results.sure, model.results.data) == ("faces", None, None)


def test_of_a_folder_that_nobody_parted_evaluation_gets_the_rest(telling, tmp_path, capsys):
    folder = blurred_folder(tmp_path / "own", 30)
    path = saved(telling.network.state_dict(), tmp_path / "x.pt")
    command = ["import", str(path), "--as", "mine", "--folder", str(tmp_path)]
    assert cli.main([*command, "--data", str(folder), "--classes", *CLASSES]) == 0
    pictures = list_pictures(folder)
    left = [p for p in pictures if p.split != "test"]
    assert f"fitted on {len(left)} pictures" in capsys.readouterr().out
    version = str(tmp_path / "mine.safetensors")
    assert cli.main(["evaluate", "--model", version, "--data", str(folder)]) == 0
    assert f"{len(pictures) - len(left)} pictures" in capsys.readouterr().out


def test_without_enough_pictures_the_doubt_is_not_fitted(telling, toy_folder, tmp_path, capsys):
    path = saved(telling.network.state_dict(), tmp_path / "x.pt")
    command = ["import", str(path), "--as", "mine", "--folder", str(tmp_path)]
    assert cli.main([*command, "--data", str(toy_folder)]) == 0
    assert "has 9 pictures for it, test left out, and 50 are needed" in capsys.readouterr().out
    assert cli.main([*command, "--replace", "--classes", *CLASSES]) == 0
    assert "no answer will count as unsure" in capsys.readouterr().out
    model = open_model("mine", folder=tmp_path)
    assert (model.temperature, model.unsure_below) == (1, 0)
    assert not (tmp_path / "mine.json").exists()


def test_a_name_that_is_taken_and_replaced(state, tmp_path, capsys):
    path = saved(state, tmp_path / "x.pt")
    arguments = ["import", str(path), "--as", "mine", "--folder", str(tmp_path)]
    arguments += ["--classes", *CLASSES]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 2 and "version mine already" in capsys.readouterr().err
    (tmp_path / "mine.json").write_text("{}")
    assert cli.main([*arguments, "--replace"]) == 0
    assert not (tmp_path / "mine.json").exists(), "they belonged to what stood there"


# --- nothing of a stranger's is run


def test_torchscript_code_is_not_run(tiny, tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.script(Disguised(tiny.network.network)).save(str(path))
    import_version(path, "mine", CLASSES, folder=tmp_path)
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))


@pytest.mark.parametrize("place", ["pickle", "old", "beside", "data.pkl", "constants.pkl"])
def test_pickles_that_hold_more_than_tensors_are_refused(place, state, tiny, tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "x.pt"
    if place == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif place == "beside":
        saved({"state_dict": state, "note": Bomb(mark)}, path)
    elif place == "old":
        torch.save({"a": state, "b": Bomb(mark)}, path, _use_new_zipfile_serialization=False)
    else:
        _script_with(place, pickle.dumps(Bomb(mark), 2), tiny.network, path)
    if place == "constants.pkl":  # belongs to the code, so nobody reads it
        import_version(path, "mine", CLASSES, folder=tmp_path)
    else:
        with pytest.raises(FileError, match="more than tensors") as caught:
            import_version(path, "mine", folder=tmp_path)
        assert str(caught.value).count("\n") == 0
    assert not mark.exists()


def _script_with(name: str, content: bytes, network: nn.Module, path: Path) -> None:
    """A TorchScript file with one of its parts exchanged."""
    whole = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 16, 16)), whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry.endswith(f"/{name}") else old.read(entry))


CALLS = {
    "os.system": (os.system, ("true",)),
    "eval": (eval, ("1",)),
    "exec": (exec, ("1",)),
    "Popen": (subprocess.Popen, (["true"],)),
    "import": (importlib.import_module, ("antigravity",)),
    "getattr": (getattr, ("", "upper")),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_file_that_would_run_a_program_is_refused_by_its_name(call, state, tmp_path):
    class Call:
        def __reduce__(self):
            return CALLS[call]

    path = saved({"state_dict": state, "x": Call()}, tmp_path / "x.pt")
    with pytest.raises(FileError, match=r"it calls \S+, which could run a program"):
        import_version(path, "mine", CLASSES, folder=tmp_path)


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    noise(0, (40, 40)).save(buffer, kind)
    return buffer.getvalue()


def _onnx() -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [])
    return onnx.helper.make_model(graph).SerializeToString()


def _pickled(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 44730640\n"
KINDS = {
    "nothing": (b"", "is empty"),
    "zeros": (bytes(4096), "is empty"),
    "a Git LFS pointer": (LFS, "git lfs pull"),
    "a DVC pointer": (b"outs:\n- md5: 1\n  path: x\n", "dvc pull"),
    "a web page": (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    "a list of parts": (b'{"metadata": {}, "weight_map": {}}', "is the list of a network's parts"),
    "a message of a server": (b'{"error": "not found"}', "is a text file"),
    "text": ("no network: café".encode(), "is a text file"),
    "Keras .h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras or HDF5"),
    "Keras .keras": (_zip(**{"config.json": b"", "model.weights.h5": b""}), r"\(.keras\)"),
    "ONNX": (_onnx(), "is an ONNX file"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"),
    "SavedModel": (b"\x08\x01\x12\xd3\x0a" + bytes(40), "SavedModel"),
    "PNG": (_picture("PNG"), "is a picture"),
    "JPEG": (_picture("JPEG"), "is a picture"),
    "WebP": (_picture("WEBP"), "is a picture"),
    "gzip": (gzip.compress(b"x" * 99), "is a packed archive"),
    "zip": (_zip(**{"best.pth": b"x"}), "is a packed archive"),
    "numpy": (_zip(**{"a.npy": b"x"}), "NumPy archive"),
    "a cut zip": (b"PK\x03\x04" + bytes(99), "is cut off"),
    "noise": (bytes(range(200, 256)) * 9, "no file of weights"),
    "a whole model": (_pickled(nn.Linear(2, 2)), r"whole pickled model \(torch\S+Linear\)"),
    "a model in a dict": (_pickled({"model": nn.Linear(2, 2)}), "whole pickled model"),
    "an object": (_pickled(Config()), r"a pickled \S+Config, not"),
    "figures": (_pickled({"loss": [1.0, 2.0]}), "holds no weights"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_refusal_says_what_the_file_is(kind, tmp_path):
    content, message = KINDS[kind]
    for name in ("x.pth", "x.safetensors", "x"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=message) as caught:
            read_tensor_file(tmp_path / name)
        said = str(caught.value)
        assert "could run" not in said and "\n" not in said, "no danger is claimed"


def _small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


def _dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(_small(), {nn.Linear})


def _prepared() -> nn.Module:
    network = _small()
    network.qconfig = torch.ao.quantization.default_qconfig
    network = torch.ao.quantization.prepare(network)
    network(torch.randn(5, 4))
    return network


@pytest.mark.parametrize(
    ("make", "script", "message"),
    [
        (_dynamic, False, "is a quantized network"),
        (_dynamic, True, "is a quantized network"),
        (lambda: torch.ao.quantization.convert(_prepared()), False, "is a quantized network"),
        (lambda: torch.ao.quantization.convert(_prepared()), True, "is a quantized network"),
        (_prepared, False, "is a network made ready for quantization"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_quantized_network_is_said_with_what_to_save(make, script, message, tmp_path):
    path = tmp_path / "x.pt"
    if script:
        torch.jit.script(make()).save(str(path))
    else:
        torch.save({"model": make().state_dict()}, path)
    with pytest.raises(FileError, match=rf"{message}.*: save the float network's, torch\.save"):
        read_tensor_file(path)


def test_whole_numbers_are_no_weights(state, tmp_path):
    numbers = {name: (100 * tensor).to(torch.int8) for name, tensor in state.items()}
    with pytest.raises(UserError, match=r"weight as whole numbers, as after quantization: save"):
        import_version(saved(numbers, tmp_path / "x.pt"), "mine", CLASSES, folder=tmp_path)


def test_a_cut_off_file_and_a_folder_are_said(state, tmp_path):
    whole = saved(state, tmp_path / "x.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[:-200])
    for path, message in ((tmp_path / "cut.pt", "cut off"), (tmp_path, "is a folder")):
        with pytest.raises(FileError, match=message):
            read_tensor_file(path)


def test_modules_inside_each_other_without_end_are_refused(tiny, tmp_path):
    module = type("Module", (), {"__module__": "__torch__"})
    inner = root = module()
    for _ in range(40):  # each holds the next one twice: 2 ** 40 ways down
        following = module()
        inner.a = inner.b = following
        inner = following
    buffer = io.BytesIO()
    _Named(buffer, 2).dump(root)
    _script_with("data.pkl", buffer.getvalue(), tiny.network, tmp_path / "x.pt")
    with pytest.raises(FileError, match="more modules"):
        read_tensor_file(tmp_path / "x.pt")


class _Named(pickle._Pickler):
    """Writes every class as __torch__.Module, as TorchScript does."""

    def save_global(self, obj, name=None):
        self.write(b"c__torch__\nModule\n")
        self.memoize(obj)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("network.0.weight"), "network.0.weight is missing"),
        (lambda s: s.update({"extra": torch.zeros(1)}), "extra is foreign"),
        (lambda s: s.update({"network.6.bias": torch.zeros(4)}), "network.6.bias is 4 in place"),
        (lambda s: s["network.6.bias"].fill_(torch.nan), "not finite"),
        (lambda s: s["network.0.weight"].fill_(3e38), "give no usable answers"),
    ],
)
def test_foreign_shapes_and_numbers_are_refused(change, message, state, tmp_path):
    change(state)
    with pytest.raises(UserError, match=message):
        import_version(saved(state, tmp_path / "x.pt"), "mine", folder=tmp_path)
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "", ".x", "a b", "-x", "1", "x" * 41])
def test_names_that_are_no_names(name, state, tmp_path):
    with pytest.raises(UserError, match="name begins with a letter"):
        import_version(saved(state, tmp_path / "x.pt"), name, CLASSES, folder=tmp_path)


def test_other_classes_keep_the_files_order(state, tmp_path, crop):
    path = saved({"state_dict": state, "classes": ["cat", "dog", "cow"]}, tmp_path / "x.pt")
    import_version(path, "mine", folder=tmp_path)
    model = open_model("mine", folder=tmp_path)
    assert model.task.names == ("cat", "dog", "cow") and model.task.title("cow") == "Cow"
    assert list(model.predict([crop])[0].probabilities) == ["cat", "dog", "cow"]
    with pytest.raises(UserError, match="has 3 outputs, but --classes names 2"):
        import_version(saved(state, path), "two", classes=["cat", "dog"], folder=tmp_path)
    with pytest.raises(UserError, match="is not there"):
        import_version(tmp_path / "none.pt", "none", folder=tmp_path)


def test_known_classes_stay_whole_where_the_pictures_are(state, tmp_path):
    """The file says that it answers whole pictures, whatever its classes are called."""
    path = saved({"state_dict": state, "classes": list(CLASSES)}, tmp_path / "x.pt")
    import_version(path, "mine", folder=tmp_path, built=Built(faces=False))
    task = open_model("mine", folder=tmp_path).task
    assert task.names == CLASSES and not task.faces
    assert task_of_names(CLASSES).faces and not task_of_names(CLASSES, faces=False).faces


@pytest.mark.parametrize(
    ("told", "faces", "read"),
    [
        (["Mask", "NoMask", "Mask_Worn_Incorrectly"], True, ORDER),
        (["Mask", "NoMask", "other"], True, ("Mask", "NoMask", "other")),
        (["correct", "incorrect", "bare"], False, ("correct", "incorrect", "bare")),
    ],
)
def test_other_names_of_the_mask_classes_are_read_as_these(told, faces, read, state, tmp_path):
    path = saved({"state_dict": state, "classes": told}, tmp_path / "x.pt")
    done = import_version(path, "mine", folder=tmp_path, built=Built(faces=faces))
    assert done.classes == read and done.told == (() if read == tuple(told) else tuple(told))
    again = import_version(path, "again", read, folder=tmp_path, built=Built(faces=faces))
    assert again.classes == read, "--classes may use either names"


# --- export


@pytest.fixture(scope="module")
def cold(tmp_path_factory) -> Path:
    """A folder with a version whose logits are divided by 2."""
    folder = tmp_path_factory.mktemp("versions")
    torch.manual_seed(1)
    write_weights(folder / "cold.safetensors", TinyCNN(), "tiny", MASK, half=False, temperature=2.0)
    return folder


@pytest.mark.parametrize("kind", FORMATS)
def test_an_exported_file_answers_as_the_version(kind, cold, tmp_path):
    done = export_version("cold", kind, tmp_path / "file", painted_faces(40), cold)
    assert done.faces == 40 and done.difference < 1e-5
    model = open_model("cold", folder=cold)
    inputs, notes = (
        model.inputs(CROPS).contiguous(),
        json.loads(json.dumps(notes_of(model.network, MASK))),
    )
    if kind == "torchscript":
        extra = {"maskexplain.json": ""}
        outputs = torch.jit.load(str(done.path), _extra_files=extra)(inputs)
        found = json.loads(extra["maskexplain.json"])
    else:
        session = open_session(str(done.path))
        outputs = torch.from_numpy(session.run(["logits"], {"faces": inputs.numpy()})[0])
        metadata = session.get_modelmeta().custom_metadata_map
        found = {key: json.loads(value) for key, value in metadata.items()}
    assert torch.allclose(outputs, logits(model), atol=1e-5), "divided by the temperature"
    assert (
        found
        == notes
        == {
            "classes": list(CLASSES),
            "size": 16,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        }
    )


def test_a_file_that_answers_otherwise_does_not_stay(cold, tmp_path, monkeypatch):
    monkeypatch.setattr("maskexplain.exchange.versions.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="nothing was written"):
        export_version("cold", "torchscript", tmp_path / "x.pt", CROPS, cold)
    assert list(tmp_path.iterdir()) == []


def test_painted_faces_differ_and_come_again():
    faces = painted_faces(8)
    assert len({face.tobytes() for face in faces}) == 8
    assert [f.tobytes() for f in faces] == [f.tobytes() for f in painted_faces(8)]


def test_damaged_numbers_are_said(state, tmp_path):
    path = saved(state, tmp_path / "x.pt")
    weights = next(t for t in state.values() if t.numel() > 100)
    numbers = bytes(weights.untyped_storage().tolist())
    content = path.read_bytes()
    path.write_bytes(content.replace(numbers, bytes(len(numbers)), 1))
    with pytest.raises(UserError, match="is damaged at network"):
        import_version(path, "mine", CLASSES, folder=tmp_path)
    path.write_bytes(content[len(content) // 2 :])
    with pytest.raises(FileError, match="is cut off"):
        read_tensor_file(path)


def test_names_that_are_numbers_may_be_given_names(state, tmp_path):
    names = {str(index): f"LABEL_{index}" for index in range(3)}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
    path = saved(state, tmp_path / "x.pt")
    assert import_version(path, "mine", ["a", "b", "c"], folder=tmp_path).classes == ("a", "b", "c")


@pytest.mark.parametrize("option", [("--mean", "nan"), ("--mean", "123.7"), ("--std", "inf")])
def test_numbers_that_no_picture_can_have_are_refused(option, state, tmp_path, capsys):
    path = saved(state, tmp_path / "x.pt")
    command = ["import", str(path), "--as", "mine", "--folder", str(tmp_path), *option]
    assert cli.main([*command, "--classes", *CLASSES]) == 2
    assert "divide those of 0 to 255 by 255" in capsys.readouterr().err


def test_the_order_of_many_classes_is_found_and_checked(tmp_path):
    """Eight grays, each of which has an output of its own."""
    names, wanted = [f"c{index}" for index in range(8)], [3, 1, 0, 2, 7, 5, 6, 4]
    task, pictures = task_of_names(names, faces=False), []
    for label, index in product(range(8), range(4)):
        file = tmp_path / f"{label}{index}.png"
        Image.new("RGB", (20, 20), (32 * label + 16,) * 3).save(file)
        pictures.append(Picture(file, label, "val", str(file), False))

    class Grays(nn.Module):
        transform = EvaluationTransform(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            level = (x.mean((1, 2, 3)) * 0.5 + 0.5) * 255  # N
            centres = torch.tensor([32.0 * label + 16 for label in wanted])
            return -(level[:, None] - centres).abs()

    order = tuple(names[label] for label in wanted)
    assert find_order(tmp_path, Grays(), task, pictures).classes == order
    assert check_order(tmp_path, Grays(), task, order, pictures).balanced_accuracy == 1
    swapped = (order[1], order[0], *order[2:])
    with pytest.raises(UserError, match=f"with --classes {' '.join(order)}"):
        check_order(tmp_path, Grays(), task, swapped, pictures)
