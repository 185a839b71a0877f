"""Batch norms and activations folded into convs: the same answers in fewer steps."""

import pytest
import torch
from torch import nn

from maskexplain.models import fused_conv
from maskexplain.models.by_name import build_by_name
from maskexplain.models.network import EvaluationTransform, Lite0
from maskexplain.models.version import fold


def test_a_folded_network_answers_the_same_without_a_batch_norm():
    torch.manual_seed(0)
    network = Lite0(3)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 129, 129))  # running means that are not 0 and 1
    network.eval()
    faces = torch.randn(2, 3, 129, 129)
    with torch.no_grad():
        before = network(faces)
        fold(network)
        assert torch.allclose(network(faces), before, atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_a_batch_norm_without_a_conv_before_it_stays():
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    fold(network)
    assert isinstance(network[1], nn.BatchNorm2d)


def lite0_folded() -> Lite0:
    torch.manual_seed(0)
    network = Lite0(3).eval().requires_grad_(False)
    fold(network)
    return network


def test_one_step_gives_what_the_layers_give_one_by_one(monkeypatch):
    network, faces = lite0_folded(), torch.randn(2, 3, 65, 65)
    calls = []
    operator = fused_conv.ONE_STEP
    monkeypatch.setattr(fused_conv, "ONE_STEP", lambda *a: calls.append(a) or operator(*a))
    together = network(faces)
    convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(calls) == len(convs) > 30  # else PyTorch calls its operator by another name now
    monkeypatch.setattr(fused_conv, "ONE_STEP", None)
    assert torch.allclose(network(faces), together, atol=1e-5)


def test_a_gradient_and_a_tracer_see_every_layer():
    network, faces = lite0_folded(), torch.randn(1, 3, 65, 65, requires_grad=True)
    network(faces).sum().backward()
    assert faces.grad is not None and faces.grad.abs().sum() > 0
    traced = torch.jit.trace(network, faces.detach())
    assert "_convolution_pointwise" not in str(traced.inlined_graph)
    assert torch.allclose(traced(faces), network(faces), atol=1e-5)


def test_a_conv_with_another_border_stays():
    conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
    network = nn.Sequential(conv, nn.ReLU()).eval()
    fold(network)
    assert network[0] is conv and isinstance(network[1], nn.ReLU)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "densenet121"])
@pytest.mark.parametrize("layer", [None, "first conv"])
def test_other_libraries_networks_keep_their_answers_and_their_map(name, layer):
    torch.manual_seed(0)
    small = EvaluationTransform(64)
    if layer:
        bare = build_by_name(f"torchvision:{name}", 3, small).network
        layer = next(key for key, part in bare.named_modules() if isinstance(part, nn.Conv2d))
    network = build_by_name(f"torchvision:{name}", 3, small, layer).eval().requires_grad_(False)
    x = torch.randn(2, 3, 64, 64)
    answers, maps = network(x), network.features(x)
    fold(network)
    steps = [part for part in network.modules() if isinstance(part, fused_conv.FusedConv)]
    assert len(steps) == sum(isinstance(part, nn.Conv2d) for part in network.network.modules())
    if name.startswith("mobilenet") and not layer:
        assert sum(type(step.activation) is not nn.Identity for step in steps) > len(steps) / 2
    assert torch.allclose(network(x), answers, atol=1e-5)
    assert torch.allclose(network.head(network.features(x)), answers, atol=1e-5)
    if layer:  # its batch norm is in it now, and its activation is not
        assert network.features(x).min() < 0
    else:
        assert torch.allclose(network.features(x), maps, rtol=1e-3, atol=1e-4)
