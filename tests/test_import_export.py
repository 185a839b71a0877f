"""Other people's files: what is taken, what is refused without being run, and the way back out."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import CLASSES, TinyCNN, noise
from torch import nn

from maskexplain import cli
from maskexplain.data.samples import painted_faces
from maskexplain.errors import UserError
from maskexplain.exchange.exporting import FORMATS, export_version, notes_of
from maskexplain.exchange.importing import import_version
from maskexplain.exchange.onnx_engine import open_session
from maskexplain.exchange.torch_files import FileError, read_tensor_file
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions, write_weights
from maskexplain.models.version import Model, open_model

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
    assert (done.network, done.classes, done.told) == ("seed_cnn", CLASSES, False)
    model = open_model("mine", folder=tmp_path)
    with torch.inference_mode():
        assert torch.allclose(logits(model), seed(model.inputs(CROPS)), atol=1e-5)
    assert list_versions(tmp_path) == ["mine"]


@pytest.mark.parametrize("wrap", ["state_dict", "model_state_dict", "model", None])
def test_training_checkpoints_and_data_parallel_are_unwrapped(wrap, state, tiny, tmp_path):
    inner = {f"module.{key}": value for key, value in state.items()}
    path = saved({wrap: inner, "epoch": 3} if wrap else inner, tmp_path / "x.pt")
    assert import_version(path, "mine", folder=tmp_path).network == "tiny"
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))


def test_a_safetensors_file_of_ours_and_every_export_come_back(tiny, tmp_path):
    file = tmp_path / "first.safetensors"
    write_weights(file, tiny.network, "tiny", MASK, half=False)
    assert import_version(file, "second", folder=tmp_path).told
    export_version("second", "torchscript", tmp_path / "x.pt", CROPS, tmp_path)
    done = import_version(tmp_path / "x.pt", "third", folder=tmp_path)
    assert done.told and done.classes == CLASSES
    assert torch.equal(logits(open_model("third", folder=tmp_path)), logits(tiny))


# --- the order of the classes


@pytest.mark.parametrize("way", ["said", "list", "class_to_idx"])
def test_another_class_order_is_put_into_ours(way, state, tiny, tmp_path):
    order = ("with_mask", "without_mask", "mask_weared_incorrect")
    named = {
        "said": {},
        "list": {"classes": list(order)},
        "class_to_idx": {"class_to_idx": {name: i for i, name in enumerate(order)}},
    }[way]
    path = saved({"state_dict": state, **named}, tmp_path / "x.pt")
    done = import_version(path, "mine", order if way == "said" else None, folder=tmp_path)
    assert done.told and done.classes == order
    ours = logits(open_model("mine", folder=tmp_path))
    theirs = logits(tiny)
    for label in CLASSES:
        column = ours[:, CLASSES.index(label)]
        assert torch.allclose(column, theirs[:, order.index(label)], atol=1e-6)


def test_labelled_faces_tell_a_wrong_order(tiny, toy_folder, tmp_path, capsys):
    colours = torch.tensor([[40, 30, 30], [60, 120, 210], [230, 190, 160]]) / 127.5 - 1
    with torch.no_grad():  # a network that tells the toy colours by their distance
        for parameter in tiny.network.parameters():
            parameter.zero_()
        first, second, last = (tiny.network.network[i] for i in (0, 2, 6))
        for channel in range(3):
            first.weight[channel, channel, 1, 1] = first.bias[channel] = 1
            second.weight[channel, channel, 1, 1] = 1
        last.weight[:, :48] = colours.repeat_interleave(16, 1) / 16
        last.bias.copy_(-colours.sum(1) - (colours**2).sum(1) / 2)
    saved(tiny.network.state_dict(), tmp_path / "x.pt")
    arguments = ["import", str(tmp_path / "x.pt"), "--as", "mine", "--folder", str(tmp_path)]
    arguments += ["--data", str(toy_folder)]
    wrong = [CLASSES[1], CLASSES[0], CLASSES[2]]
    assert cli.main([*arguments, "--classes", *wrong]) == 2
    assert f"with --classes {' '.join(CLASSES)}." in capsys.readouterr().err
    assert list_versions(tmp_path) == []
    assert cli.main(arguments) == 0
    assert "100.0% balanced accuracy on 12 faces" in capsys.readouterr().out


def test_the_command_says_that_the_order_is_assumed(state, tmp_path, capsys):
    path = saved(state, tmp_path / "x.pt")
    arguments = ["import", str(path), "--as", "mine", "--folder", str(tmp_path)]
    assert cli.main(arguments) == 0
    assert "does not say the order of its classes" in capsys.readouterr().out
    assert cli.main(arguments) == 2 and "version mine already" in capsys.readouterr().err
    (tmp_path / "mine.json").write_text("{}")
    assert cli.main([*arguments, "--replace"]) == 0
    assert not (tmp_path / "mine.json").exists(), "they belonged to what stood there"


# --- nothing of a stranger's is run


def test_torchscript_code_is_not_run(tiny, tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.script(Disguised(tiny.network.network)).save(str(path))
    import_version(path, "mine", folder=tmp_path)
    assert torch.equal(logits(open_model("mine", folder=tmp_path)), logits(tiny))


@pytest.mark.parametrize("place", ["pickle", "beside", "network", "data.pkl", "constants.pkl"])
def test_pickles_that_hold_more_than_tensors_are_refused(place, state, tiny, tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "x.pt"
    if place == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif place == "beside":
        saved({"state_dict": state, "note": Bomb(mark)}, path)
    elif place == "network":
        saved(tiny.network, path)
    else:
        _script_with(place, pickle.dumps(Bomb(mark), 2), tiny.network, path)
    if place == "constants.pkl":  # belongs to the code, so nobody reads it
        import_version(path, "mine", folder=tmp_path)
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


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"no network", "damaged|more than tensors"), (b"PK\x03\x04", "damaged")],
)
def test_what_is_no_file_of_tensors_is_said(content, message, tmp_path):
    for name in ("x.pth", "x.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=message if name == "x.pth" else "damaged"):
            read_tensor_file(tmp_path / name)


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
        (lambda s: s.update({"extra": torch.zeros(1)}), "extra is missing, foreign"),
        (lambda s: s.update({"network.6.bias": torch.zeros(4)}), "network.6.bias is missing"),
        (lambda s: s["network.6.bias"].fill_(torch.nan), "not finite"),
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
        import_version(saved(state, tmp_path / "x.pt"), name, folder=tmp_path)


def test_other_classes_keep_the_files_order(state, tmp_path, crop):
    path = saved({"state_dict": state, "classes": ["cat", "dog", "cow"]}, tmp_path / "x.pt")
    import_version(path, "mine", folder=tmp_path)
    model = open_model("mine", folder=tmp_path)
    assert model.task.names == ("cat", "dog", "cow") and model.task.title("cow") == "Cow"
    assert list(model.predict([crop])[0].probabilities) == ["cat", "dog", "cow"]
    with pytest.raises(UserError, match="for 2 classes"):
        import_version(saved(state, path), "two", classes=["cat", "dog"], folder=tmp_path)
    with pytest.raises(UserError, match="There is no file"):
        import_version(tmp_path / "none.pt", "none", folder=tmp_path)


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
    monkeypatch.setattr("maskexplain.exchange.exporting.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="nothing was written"):
        export_version("cold", "torchscript", tmp_path / "x.pt", CROPS, cold)
    assert list(tmp_path.iterdir()) == []


def test_painted_faces_differ_and_come_again():
    faces = painted_faces(8)
    assert len({face.tobytes() for face in faces}) == 8
    assert [f.tobytes() for f in faces] == [f.tobytes() for f in painted_faces(8)]
