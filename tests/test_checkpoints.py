"""Weights survive a round trip; foreign and damaged files get a sentence."""

import json
import pickle

import pytest
import torch
from conftest import CLASSES, TinyCNN
from safetensors.torch import save_file

from maskexplain.errors import UserError
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import (
    CheckpointError,
    digest,
    find_version,
    list_versions,
    read_checkpoint,
    write_results,
    write_weights,
)
from maskexplain.models.results import Results, Unsure
from maskexplain.models.version import open_model


@pytest.fixture
def stored(tmp_path, tiny):
    path = tmp_path / "mine.safetensors"
    write_weights(path, tiny.network, "tiny", MASK, half=False)
    return path


def test_round_trip_in_full_precision(stored, tiny, crop):
    write_results(stored, Results(balanced_accuracy=0.5))
    model = open_model("mine", folder=stored.parent)
    assert torch.allclose(model.logits([crop]), tiny.logits([crop]), atol=1e-6)
    assert torch.equal(model.network.network[0].weight, tiny.network.network[0].weight)
    assert model.results == Results(balanced_accuracy=0.5, weights=digest(stored))
    assert list_versions(stored.parent) == ["mine"]


def test_half_precision_takes_half_the_bytes_and_answers_alike(tmp_path, seed_model, crop):
    for half in (False, True):
        write_weights(tmp_path / f"{half}.safetensors", seed_model.network, "seed_cnn", MASK, half)
    sizes = [(tmp_path / f"{half}.safetensors").stat().st_size for half in (True, False)]
    assert sizes[0] / sizes[1] == pytest.approx(0.5, abs=0.01)
    half = open_model(tmp_path / "True.safetensors")
    assert (half.logits([crop]) - seed_model.logits([crop])).abs().max() < 1e-3


@pytest.mark.parametrize(("threshold", "unsure"), [(0.0, False), (1.1, True)])
def test_an_answer_under_the_versions_threshold_is_unsure(tiny, crop, threshold, unsure):
    tiny.results = Results(unsure=Unsure(threshold))
    [answer] = tiny.predict([crop])
    assert answer.unsure is unsure and answer.to_dict()["unsure"] is unsure


def test_temperature_travels_with_the_weights_and_divides_the_logits(tmp_path, tiny, crop):
    path = tmp_path / "warm.safetensors"
    write_weights(path, tiny.network, "tiny", MASK, half=False, temperature=1.7)
    model = open_model(path)
    assert model.temperature == 1.7
    assert torch.allclose(model.logits([crop]), tiny.logits([crop]) / 1.7, atol=1e-6)
    through_features = model.network.head(model.network.features(model.inputs([crop])))
    assert torch.allclose(through_features, model.logits([crop])), "explanations see it too"


def test_a_version_without_a_temperature_is_left_as_it_is(stored):
    model = open_model(stored)
    assert (model.temperature, model.unsure_below) == (1.0, 0.0)


def _foreign(path, **changes):
    header = {"kind": "maskexplain", "network": "tiny", "classes": json.dumps(CLASSES)}
    tensors = {k: v.contiguous() for k, v in TinyCNN().state_dict().items()}
    tensors |= changes.pop("tensors", {})
    save_file(tensors, path, metadata={**header, **changes})


BROKEN = {
    "text": (lambda p: p.write_text("hello"), "damaged or no safetensors"),
    "empty": (lambda p: p.write_bytes(b""), "damaged or no safetensors"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "damaged or no safetensors"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-9]), "damaged or no safetensors"),
    "no header": (lambda p: save_file({"a": torch.ones(1)}, p), "not written by this program"),
    "network": (lambda p: _foreign(p, network="resnet"), "unknown network"),
    "classes": (lambda p: _foreign(p, classes='["cat"]'), "which classes it answers"),
    "extra": (lambda p: _foreign(p, tensors={"odd": torch.ones(1)}), "odd is missing, foreign"),
    "shape": (lambda p: _foreign(p, tensors={"network.6.bias": torch.ones(9)}), "another shape"),
    "nan": (
        lambda p: _foreign(p, tensors={"network.6.bias": torch.full((3,), torch.nan)}),
        "not finite",
    ),
    "absurd": (
        lambda p: _foreign(p, tensors={"network.0.weight": torch.full((8, 3, 3, 3), 3e38)}),
        "no usable answers",
    ),
    "huge": (lambda p: _foreign(p, tensors={"network.6.bias": torch.ones(3) * 1e9}), "no usable"),
    "temperature": (lambda p: _foreign(p, temperature="-1"), "no positive number"),
    "temperature text": (lambda p: _foreign(p, temperature="warm"), "no positive number"),
    "json": (lambda p: p.with_suffix(".json").write_text("{"), "is no JSON"),
    "json list": (lambda p: p.with_suffix(".json").write_text("[]"), "holds no results"),
    "json bytes": (lambda p: p.with_suffix(".json").write_bytes(b"\xff\xfe"), "is no JSON"),
    "json types": (
        lambda p: p.with_suffix(".json").write_text('{"unsure": {"threshold": [1]}}'),
        "unsure.threshold holds no results",
    ),
    "json null": (
        lambda p: p.with_suffix(".json").write_text('{"shifts": {"dark_35": {"pictures": null}}}'),
        "holds no results",
    ),
    "task types": (lambda p: _foreign(p, task="7"), "which classes it answers"),
    "task list": (lambda p: _foreign(p, task='{"classes": [1, 2]}'), "which classes it answers"),
}


def test_other_weights_do_not_get_a_versions_results(stored, tmp_path):
    write_results(stored, Results(unsure=Unsure(0.9)))
    assert open_model(stored).unsure_below == 0.9
    torch.manual_seed(5)
    write_weights(stored, TinyCNN(), "tiny", MASK, half=False)  # as if copied over
    with pytest.raises(CheckpointError, match="of another training than the weights"):
        open_model(stored)


@pytest.mark.parametrize("name", list_versions())
def test_shipped_results_are_tied_to_their_weights(name):
    path = find_version(name)
    assert json.loads(path.with_suffix(".json").read_text())["weights"] == digest(path)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_checkpoint_gets_a_sentence(stored, case):
    spoil, message = BROKEN[case]
    spoil(stored)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(stored)
    assert "\n" not in str(caught.value)


def test_missing_checkpoint_names_those_there_are(stored):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*v9.*\(mine\)"):
        open_model("v9", folder=stored.parent)


def test_versions_are_listed_as_people_count(tmp_path, tiny):
    for name in ("v10", "v2", "mine", ".12.v1"):
        write_weights(tmp_path / f"{name}.safetensors", tiny.network, "tiny", MASK, half=True)
    assert list_versions(tmp_path) == ["mine", "v2", "v10"]


def test_unknown_device_gets_a_sentence(stored):
    with pytest.raises(UserError, match="device nonsense cannot be used"):
        open_model(stored, device="nonsense")
