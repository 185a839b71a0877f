"""Attributions equal Captum's layer methods on the whole network, and leave nothing behind."""

import gc
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import (
    LayerAttribution,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    Occlusion,
)
from conftest import CLASSES, noise

from maskexplain.data.samples import example_pictures
from maskexplain.explain import methods
from maskexplain.explain.explain import (
    BASELINES,
    ExplainError,
    Question,
    Way,
    all_ways,
    answer_and_explain,
    answer_and_explain_all,
    explain,
    explain_pass,
    forward_pass,
)
from maskexplain.explain.methods import METHODS
from maskexplain.explain.places import blur_inputs
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions
from maskexplain.models.network import build_network
from maskexplain.models.version import Model, open_model

FIXTURES = Path(__file__).parent / "fixtures"

VERSIONS = [name for name in ("v1", "v2", "v3") if name in list_versions()]


@pytest.fixture(params=["tiny", *VERSIONS])
def model(request, tiny):
    return tiny if request.param == "tiny" else open_model(request.param)


def final_relu(model):
    """The layer behind the final conv."""
    return model.network.features[-1]


def enlarged(values, crop):
    return LayerAttribution.interpolate(values.detach(), crop.size[::-1], "bilinear")[0, 0].numpy()


def plain_captum(model, crop, method, target):
    """What Captum's own layer method gives, the whole network run at every step."""
    x, layer = model.inputs([crop]), final_relu(model)
    if method == "grad_cam":
        return enlarged(LayerGradCam(model.network, layer).attribute(x, target=target), crop)
    if method == "layer_cam":
        values = LayerGradientXActivation(model.network, layer).attribute(x, target=target)
        return enlarged(values.sum(1, keepdim=True), crop)
    lig = LayerIntegratedGradients(model.network, layer)
    values = lig.attribute(x, target=target, n_steps=50)
    return enlarged(values.sum(1, keepdim=True), crop)


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "integrated_gradients"])
def test_equals_captum_called_plainly(model, crop, method, target, monkeypatch):
    monkeypatch.setattr(methods, "MAX_IG_STEPS", 50)  # as many steps as Captum's default takes
    ours = explain(model, crop, method, target)
    theirs = plain_captum(model, crop, method, CLASSES.index(target))
    assert ours.heatmap.shape == (56, 48) and ours.heatmap.dtype == np.float32
    assert np.abs(ours.heatmap - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("baseline", BASELINES)
def test_integrated_gradients_start_where_they_are_told(tiny, crop, baseline, monkeypatch):
    monkeypatch.setattr(methods, "MAX_IG_STEPS", 50)
    x = tiny.inputs([crop])
    pictures = {
        "gray": torch.zeros_like(x),
        "black": -torch.ones_like(x),  # (0 - .5) / .5
        "blurred": blur_inputs(x),
    }
    lig = LayerIntegratedGradients(tiny.network, final_relu(tiny))
    values = lig.attribute(x, baselines=pictures[baseline], target=1, n_steps=50)
    theirs = enlarged(values.sum(1, keepdim=True), crop)
    ours = explain(tiny, crop, "integrated_gradients", "with_mask", baseline=baseline)
    assert ours.baseline == baseline
    assert np.abs(ours.heatmap - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_grad_cam_equals_its_formula(tiny, crop):
    with torch.enable_grad():
        activations = tiny.network.features(tiny.inputs([crop])).detach().requires_grad_()
        tiny.network.head(activations)[0, 1].backward()
    weights = activations.grad.mean((2, 3), keepdim=True)
    by_hand = (weights * activations).sum(1, keepdim=True).detach()
    ours = explain(tiny, crop, "grad_cam", "with_mask").heatmap
    large = enlarged(by_hand, crop)
    assert np.abs(ours - large).max() <= 1e-5 * np.abs(large).max()


def test_occlusion_equals_captums_and_its_definition(tiny, crop):
    x = tiny.inputs([crop])
    values = Occlusion(tiny.network).attribute(
        x, (3, 4, 4), strides=(3, 2, 2), baselines=blur_inputs(x), target=1
    )
    cells = torch.nn.functional.avg_pool2d(values.mean(1, keepdim=True), 2)
    ours = explain(tiny, crop, "occlusion", "with_mask").heatmap
    assert np.abs(ours - enlarged(cells, crop)).max() <= 1e-5
    corner = x.clone()
    corner[..., :4, :4] = blur_inputs(x)[..., :4, :4]
    with torch.no_grad():
        fall = (tiny.network(x) - tiny.network(corner))[0, 1].item()
    assert cells[0, 0, 0, 0].item() == pytest.approx(fall, abs=1e-5)


def test_smooth_gradients_are_the_mean_over_noisy_pictures(tiny, crop):
    x = tiny.inputs([crop])
    noisy = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lig = LayerIntegratedGradients(tiny.network, final_relu(tiny))
    rows = [
        lig.attribute(x + 0.15 * n, baselines=torch.zeros_like(x), target=1, n_steps=25)
        for n in noisy[:, None]
    ]
    theirs = enlarged(torch.cat(rows).mean(0, keepdim=True).sum(1, keepdim=True), crop)
    ours = explain(tiny, crop, "smooth_gradients", "with_mask").heatmap
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("method", METHODS)
def test_against_another_class_is_the_difference_of_the_two(tiny, crop, method, monkeypatch):
    monkeypatch.setattr(methods, "MAX_IG_STEPS", 50)  # the same steps for all three
    one, other = (explain(tiny, crop, method, name).heatmap for name in CLASSES[:2])
    both = explain(tiny, crop, method, CLASSES[0], against=CLASSES[1])
    assert both.against == CLASSES[1]
    assert np.abs(both.heatmap - (one - other)).max() <= 1e-4 * np.abs(both.heatmap).max()


@pytest.mark.parametrize("method", METHODS)
def test_many_crops_give_what_each_gives_alone(tiny, method):
    crops = [noise(seed, (40 + seed, 50)) for seed in range(3)]
    together = answer_and_explain_all(tiny, crops, [Way(method)])
    for crop, answer in zip(crops, together, strict=True):
        alone = answer_and_explain(tiny, crop, [Way(method)])
        assert answer.prediction.label == alone.prediction.label
        [ours], [theirs] = answer.explanations, alone.explanations
        assert np.abs(ours.heatmap - theirs.heatmap).max() <= 1e-5 * np.abs(theirs.heatmap).max()
    assert answer_and_explain_all(tiny, [], [Way(method)]) == []


@pytest.mark.parametrize("portrait", ["bare", "worn_right", "striped"])
def test_integrated_gradients_are_complete(model, portrait):
    [image] = [example.image for example in example_pictures() if example.name == portrait]
    explanation = explain(model, image, "integrated_gradients")
    assert explanation.completeness_gap < 0.01 and explanation.steps <= 100
    assert explain(model, image, "grad_cam").completeness_gap is None


def test_steps_double_until_the_gap_closes(tiny, crop, monkeypatch):
    once = explain(tiny, crop, "integrated_gradients")
    assert once.steps == 50
    monkeypatch.setattr(methods, "IG_STEPS", 1)
    monkeypatch.setattr(methods, "MAX_GAP", 1e-5)
    fine = explain(tiny, crop, "integrated_gradients")
    assert fine.steps > 1 and fine.steps & (fine.steps - 1) == 0
    monkeypatch.setattr(methods, "MAX_IG_STEPS", 1)
    coarse = explain(tiny, crop, "integrated_gradients")
    assert coarse.steps == 1 and coarse.completeness_gap > fine.completeness_gap


def test_an_all_negative_map_is_said_to_be_empty(tiny, crop):
    with torch.no_grad():
        tiny.network.network[6].weight[1] = -1.0  # every activation speaks against with_mask
    assert explain(tiny, crop, "grad_cam", "with_mask").empty
    assert not explain(tiny, crop, "grad_cam", "with_mask").heatmap.max() > 0


def test_default_target_is_the_predicted_class(model, crop):
    answer = answer_and_explain(model, crop, [Way(method) for method in METHODS])
    [prediction] = model.predict([crop])
    assert answer.prediction.label == prediction.label
    assert answer.prediction.confidence == pytest.approx(prediction.confidence, abs=1e-5)
    assert [e.target for e in answer.explanations] == [prediction.label] * len(METHODS)
    assert [e.method for e in answer.explanations] == list(METHODS)


def test_the_predicted_class_is_not_held_against_itself(tiny, crop):
    [prediction] = tiny.predict([crop])
    explanation = explain(tiny, crop, against=prediction.label)
    assert explanation.target == prediction.label and explanation.against is None


def hooks_of(network) -> list:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [hook for m in network.modules() for kind in kinds for hook in getattr(m, kind).values()]


def test_nothing_is_left_behind(model, crop):
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    for method in METHODS:
        explain(model, crop, method)
    with pytest.raises(ExplainError):
        explain(model, crop, "grad_cam", "hat")
    assert not hooks_of(model.network) and not model.network.training
    assert all(p.grad is None for p in model.network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
def test_a_failure_leaves_no_hook(tiny, crop, method, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    explain(tiny, crop, method)  # the constant baseline is known from here on
    monkeypatch.setattr(tiny.network.network[-1], "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        explain(tiny, crop, method)
    assert not hooks_of(tiny.network)


def test_memory_stays_flat_over_two_thousand_explanations(tiny, crop):
    fast = [Way("grad_cam"), Way("layer_cam")]

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    for _ in range(20):
        answer_and_explain(tiny, crop, fast)
    tracemalloc.start()
    try:
        before, tensors_before = tracemalloc.get_traced_memory()[0], tensors()
        for _ in range(950):
            answer_and_explain(tiny, crop, fast)
        for _ in range(50):
            answer_and_explain(tiny, crop, [Way("integrated_gradients"), Way("occlusion")])
        assert tensors() <= tensors_before + 5
        assert tracemalloc.get_traced_memory()[0] - before < 500_000
    finally:
        tracemalloc.stop()


def test_an_explanation_tells_its_facts(tiny, crop):
    explanation = explain(tiny, crop, "integrated_gradients", "with_mask", "without_mask", "black")
    content = explanation.to_dict()
    assert set(content) == set(asdict(explanation))
    assert np.array(content["heatmap"]).shape == (56, 48)
    assert (content["target"], content["against"]) == ("with_mask", "without_mask")
    assert (content["baseline"], content["steps"]) == ("black", explanation.steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lime"}, "no method 'lime'"),
        ({"target": "hat"}, "no class 'hat'"),
        ({"against": "hat"}, "no class 'hat'"),
        ({"baseline": "pink"}, "no baseline 'pink': use gray, black, blurred"),
        ({"target": "with_mask", "against": "with_mask"}, "against itself"),
    ],
)
def test_unknown_names_get_a_sentence(tiny, crop, arguments, message):
    with pytest.raises(ExplainError, match=message):
        explain(tiny, crop, **arguments)
    with pytest.raises(ExplainError):
        Question(target="hat").check(MASK)


def test_heatmaps_equal_those_of_the_first_program():
    """Made by it, before its modules were sorted into rooms: every sixth pixel of two networks'."""
    with np.load(FIXTURES / "heatmaps.npz") as stored:
        before = dict(stored)
    for name, size in (("seed_cnn", 64), ("lite0_stride16_3x3", 129)):
        torch.manual_seed(0)
        network = build_network(name, 3)
        network.transform = replace(network.transform, size=size)
        model = Model(name, network, MASK)
        for seed in (0, 1):
            forward = forward_pass(model, [noise(seed, (48, 56))])
            [answer], [found] = (
                forward.predictions(),
                explain_pass(forward, list(all_ways().values()), Question("with_mask")),
            )
            probabilities = list(answer.probabilities.values())
            assert probabilities == pytest.approx(before[f"{name}.{seed}"].tolist(), abs=1e-6)
            for key, explanation in zip(all_ways(), found, strict=True):
                expected = before[f"{name}.{seed}.{key}"]
                difference = np.abs(explanation.heatmap[::6, ::6] - expected).max()
                # Convolutions round otherwise on other processors: some 1e-6 of the peak.
                assert difference <= 1e-5 * max(np.abs(expected).max(), 1e-3), (name, key)
