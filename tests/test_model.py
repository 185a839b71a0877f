"""The seed's architecture, exactly, and its split into features and head."""

import pytest
import torch
from conftest import CLASSES

from maskexplain.models.network import NETWORKS, Dropout, build_network, pictures_at_once

SEED_SHAPES = {
    "network.0": (32, 3, 3, 3),
    "network.2": (64, 32, 3, 3),
    "network.6": (128, 64, 3, 3),
    "network.8": (128, 128, 3, 3),
    "network.12": (256, 128, 3, 3),
    "network.14": (256, 256, 3, 3),
    "network.19": (1024, 16384),
    "network.22": (512, 1024),
    "network.24": (3, 512),
}

# Other tests register networks of their own.
SHIPPED = [key for key, one in NETWORKS.items() if one.__module__.startswith("maskexplain.")]


def test_seed_network_has_the_authors_names_and_shapes():
    state = build_network("seed_cnn", 3).state_dict()
    expected = {f"{k}.weight": v for k, v in SEED_SHAPES.items()}
    expected |= {f"{k}.bias": v[:1] for k, v in SEED_SHAPES.items()}
    assert {k: tuple(v.shape) for k, v in state.items()} == expected
    assert sum(v.numel() for v in state.values()) == 18_430_659


def test_seed_network_has_the_seeds_layers_in_order():
    kinds = [type(layer).__name__ for layer in build_network("seed_cnn", 3).network]
    block = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d", "Dropout"]
    head = ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    assert kinds == block * 3 + head
    drops = [m.p for m in build_network("seed_cnn", 3).modules() if isinstance(m, torch.nn.Dropout)]
    assert drops == [0.25, 0.25, 0.5, 0.5]


def test_features_and_head_are_the_network_cut_in_two():
    for name in SHIPPED:
        torch.manual_seed(1)
        network = build_network(name, 3).eval()
        x = torch.randn(2, 3, network.transform.size, network.transform.size)
        activations = network.features(x)
        assert activations.dim() == 4
        assert torch.equal(network.head(activations), network(x))
        assert network(x).shape == (2, len(CLASSES))
        shared = {id(p) for p in network.features.parameters()} | {
            id(p) for p in network.head.parameters()
        }
        assert shared == {id(p) for p in network.parameters()}


def test_no_relu_works_in_place():
    relus = [m for m in build_network("seed_cnn", 3).modules() if isinstance(m, torch.nn.ReLU)]
    assert relus and not any(m.inplace for m in relus)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    for p in (0.25, 0.5):
        drop = Dropout(p)
        x = torch.ones(200, 1000, dtype=torch.bfloat16, requires_grad=True)
        out = drop(x)
        assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.005)
        assert out.float().mean().item() == pytest.approx(1, abs=0.01)
        out.sum().backward()
        assert torch.equal(x.grad, out.detach()), "the gradient takes the same mask"
        assert drop.eval()(x) is x


def test_few_large_pictures_and_many_small_ones_go_through_at_once(tiny):
    """What lies between the layers stays in a processor's cache, and the answers are the same."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    counts = [pictures_at_once(side, cpu) for side in (32, 64, 161, 384)]
    assert counts == [64, 16, 4, 4] and pictures_at_once(161, gpu) == 128
    inputs = torch.rand(300, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    one_by_one = torch.cat([tiny.logits_of(one) for one in inputs.split(1)])
    assert torch.allclose(tiny.logits_of(inputs), one_by_one, atol=1e-5)
