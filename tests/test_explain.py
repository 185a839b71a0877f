"""Attributions equal Captum's layer methods on the whole network, and leave nothing behind."""

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam, LayerIntegratedGradients

from maskexplain.explain import METHODS, ExplainError, answer_and_explain, explain
from maskexplain.model import CLASSES

FINAL_RELU = {"tiny": 3, "random": 15}  # index in `network` of the final conv's ReLU


@pytest.fixture(params=["tiny", "random"])
def model(request, tiny, seed_model):
    return {"tiny": tiny, "random": seed_model}[request.param]


def plain_captum(model, crop, method, target):
    """What Captum's own layer method gives, the whole network run at every step."""
    layer = model.network.network[FINAL_RELU[model.name]]
    x = model.inputs([crop])
    if method == "grad_cam":
        values = LayerGradCam(model.network, layer).attribute(x, target=target)
    else:
        lig = LayerIntegratedGradients(model.network, layer)
        values = lig.attribute(x, target=target, n_steps=50).sum(1, keepdim=True)
    values = values.detach()
    return LayerAttribution.interpolate(values, crop.size[::-1], "bilinear")[0, 0].numpy()


@pytest.mark.parametrize("target", CLASSES)
@pytest.mark.parametrize("method", METHODS)
def test_equals_captum_called_plainly(model, crop, method, target):
    ours = explain(model, crop, method, target)
    theirs = plain_captum(model, crop, method, CLASSES.index(target))
    assert ours.heatmap.shape == (56, 48) and ours.heatmap.dtype == np.float32
    assert np.abs(ours.heatmap - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_grad_cam_equals_its_formula(tiny, crop):
    with torch.enable_grad():
        activations = tiny.network.features(tiny.inputs([crop])).detach().requires_grad_()
        tiny.network.head(activations)[0, 1].backward()
    weights = activations.grad.mean((2, 3), keepdim=True)
    by_hand = (weights * activations).sum(1, keepdim=True).detach()
    large = torch.nn.functional.interpolate(by_hand, (56, 48), mode="bilinear")[0, 0].numpy()
    ours = explain(tiny, crop, "grad_cam", "with_mask").heatmap
    assert np.abs(ours - large).max() <= 1e-5 * np.abs(large).max()


def test_integrated_gradients_are_complete(model, crop):
    explanation = explain(model, crop, "integrated_gradients")
    assert explanation.completeness_gap < 0.01
    assert explain(model, crop, "grad_cam").completeness_gap is None


def test_default_target_is_the_predicted_class(model, crop):
    answer = answer_and_explain(model, crop)
    [prediction] = model.predict([crop])
    assert answer.prediction.label == prediction.label
    assert answer.prediction.confidence == pytest.approx(prediction.confidence, abs=1e-5)
    assert [e.target for e in answer.explanations] == [prediction.label] * 2
    assert [e.method for e in answer.explanations] == list(METHODS)


def test_nothing_is_left_behind(model, crop):
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    for method in METHODS:
        explain(model, crop, method)
    with pytest.raises(ExplainError):
        explain(model, crop, "grad_cam", "hat")
    hooks = [
        hook
        for module in model.network.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        for hook in hooks
    ]
    assert not hooks and not model.network.training
    assert all(p.grad is None for p in model.network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [("lime", None, "no method 'lime'"), ("grad_cam", "hat", "no class 'hat'")],
)
def test_unknown_names_get_a_sentence(tiny, crop, method, target, message):
    with pytest.raises(ExplainError, match=message):
        explain(tiny, crop, method, target)
