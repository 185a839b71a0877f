"""The networks, each as `features` (through the final conv block) and `head` (the rest).

A network is built by a function of the number of its classes, registered under a name; weights
files carry that name. Its `transform` is the one evaluation transform: training's validation, page,
HTTP and command line share it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..errors import UserError

if TYPE_CHECKING:
    from .own_head import OwnHead  # it needs this module


@dataclass(frozen=True)
class EvaluationTransform:
    """Resize to a square (bilinear, antialiased), scale to 0..1, subtract `mean`, divide by `std`.

    Calling it with an RGB picture gives a float32 tensor 3 x size x size.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __call__(self, crop: Image.Image) -> torch.Tensor:
        return self.normalise(to_pixels(crop, self.size))

    def batch(self, crops: Sequence[Image.Image]) -> torch.Tensor:
        """Crops of any size as one float32 tensor N x 3 x size x size."""
        return torch.stack([self(crop) for crop in crops])

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 pixels (0..255) to the network's floats; any leading dimensions."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]  # 3 x 1 x 1
            for values in (self.mean, self.std)
        )
        return (pixels.float() / 255 - mean) / std


def to_pixels(crop: Image.Image, size: int) -> torch.Tensor:
    """An RGB picture resized to a square, as uint8 tensor 3 x size x size."""
    resized = crop.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


# Pixels that go through a network at once: what lies between its layers then stays in a processor's
# cache. On one core an EfficientNet-Lite0 takes 3.7 ms for one of 4 pictures of 161 x 161, and 8.0
# for one of 31. Few pictures of a large network would read its weights too often: 4 at least.
CPU_PIXELS, CPU_LEAST = 2**16, 4
GPU_PICTURES = 128  # they also bound the memory


def pictures_at_once(side: int, device: torch.device) -> int:
    """How many pictures of `side` x `side` pixels go through a network at once, the fastest way."""
    return GPU_PICTURES if device.type != "cpu" else max(CPU_LEAST, CPU_PIXELS // side**2)


def in_parts(pictures: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Pictures N x 3 x S x S in such parts; `device`: the network's."""
    return pictures.split(pictures_at_once(pictures.shape[-1], device))


class Network(Protocol):
    """What a network must have to be trained, asked and explained here.

    `features` maps inputs N x 3 x S x S to activations N x C x h x w, `head` those to logits
    N x classes, and calling the network does both. `head` ends in a linear layer with a bias.
    """

    transform: EvaluationTransform

    @property
    def features(self) -> nn.Module: ...

    @property
    def head(self) -> nn.Module: ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class NetworkError(UserError):
    """A network that does not keep the contract, or a name that stands for none."""


Builder = Callable[[int], nn.Module]
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

NETWORKS: dict[str, Builder] = {}


def network(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Register a network's builder (a class or function of the number of classes) by name."""

    def register(builder: AnyBuilder) -> AnyBuilder:
        NETWORKS[name] = builder
        return builder

    return register


def build_network(
    name: str,
    classes: int,
    transform: EvaluationTransform | None = None,
    layer: str | None = None,
    own_head: "OwnHead | None" = None,
) -> nn.Module:
    """A new network with random weights, by its registered name or as `torchvision:resnet18`.

    `transform`: how a crop goes in, None for the network's own way. For networks of other
    libraries, `layer`: which one is explained, `own_head`: what stands in place of their last
    layers. Raises NetworkError.
    """
    if ":" in name:
        from .by_name import build_by_name  # it needs this module

        return build_by_name(name, classes, transform, layer, own_head)
    if name not in NETWORKS:
        from .by_name import torchvision_names

        own = [f"torchvision:{name}"] if name in torchvision_names() else NETWORKS
        known = ", ".join([*own, "torchvision:NAME"])
        raise NetworkError(f"There is no network {name}: use {known} or timm:NAME.")
    if layer is not None:
        raise NetworkError(f"The network {name} is explained at its last map: leave out the layer.")
    built = NETWORKS[name](classes)
    if transform is not None:
        built.transform = transform
    return built


@torch.no_grad()
def check_network(built: nn.Module, name: str, classes: int) -> None:
    """Raise NetworkError, saying what is missing, unless a network is a `Network`."""
    for part in ("transform", "features", "head"):  # isinstance does not see a module's parts
        if not hasattr(built, part):
            raise NetworkError(f"The network {name} has no `{part}`: see models/network.py.")
    if last_layer(built.head) is None:
        raise NetworkError(f"The head of the network {name} has no linear layer to end in.")
    parameter = next(built.parameters())
    size = built.transform.size
    was_training = built.training
    x = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    activations = built.eval().features(x)
    logits = built.head(activations) if activations.ndim == 4 else None
    built.train(was_training)
    if logits is None or logits.shape != (1, classes):
        shape = tuple(activations.shape) if logits is None else tuple(logits.shape)
        raise NetworkError(
            f"The network {name} gives {shape}: `features` must give N x C x h x w and `head` "
            f"N x {classes}."
        )


def last_layer(module: nn.Module) -> nn.Linear | nn.Conv2d | None:
    """The last linear layer of a module, which gives the logits; None where there is none.

    Of a network without any it is the last conv: SqueezeNet's gives a map for each class.
    """
    for kind in (nn.Linear, nn.Conv2d):
        found = [part for part in module.modules() if isinstance(part, kind)]
        if found:
            return found[-1]
    return None


def divide_by_temperature(network: nn.Module, temperature: float) -> None:
    """Divide the network's logits, by dividing the weights of its last linear layer.

    After this every way through the network, explanations too, sees calibrated logits.
    """
    last = last_layer(network)
    if last is None:
        raise NetworkError("A network without a linear layer has no temperature.")
    with torch.no_grad():
        last.weight /= temperature
        if last.bias is not None:
            last.bias /= temperature
