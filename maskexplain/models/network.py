"""The networks, each as `features` (through the final conv block) and `head` (the rest).

A network is built by a function of the number of its classes, registered under a name; weights
files carry that name. Its `transform` is the one evaluation transform: training's validation, page,
HTTP and command line share it.

The shipped versions' networks are the seed's, of v1 and v2, and v3's, EfficientNet-Lite0. Lite0 is
Tan and Le 2019 (arXiv:1905.11946), in the Lite form that its authors published in 2020: no
squeeze-and-excitation, ReLU6 for swish. v3 leaves out the stages behind stride 16: they hold three
quarters of the weights and would halve the map.
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


# --- of the shipped versions

Stage = tuple[int, int, int, int, int]  # expansion, kernel, stride, channels, blocks
TO_STRIDE_16: tuple[Stage, ...] = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
)
STEM, MAP = 32, 256


class Dropout(nn.Dropout):
    """nn.Dropout with its mask cut from uniform numbers.

    The same distribution; but PyTorch's own draws, bit by bit, took a tenth of a training step on
    a processor that is not Intel's.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return x
        keep = torch.empty_like(x, dtype=torch.float32).uniform_().ge_(self.p)
        return x * keep.div_(1 - self.p).to(x.dtype)


def _conv_block(inputs: int, outputs: int, dropout: float, middle: int | None = None) -> list:
    middle = middle or outputs
    return [
        nn.Conv2d(inputs, middle, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(middle, outputs, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Dropout(dropout),
    ]


@network("seed_cnn")
class MaskClassificationCNN(nn.Module):
    """Six 3x3 convs in three blocks, then 16384-1024-512-classes; 18,430,659 weights for three.

    Input N x 3 x 64 x 64, output logits N x classes. The state-dict names are `network.N.*`, as in
    the original author's files. ReLUs are not in place: in-place ones break attribution methods.
    """

    transform = EvaluationTransform(size=64)
    # `features` ends behind the ReLU of the last conv: its 16 x 16 map is the finest one of the
    # final block. The block's pooling and dropout come first in `head`.
    _features_end = 16

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            *_conv_block(3, 64, dropout=0.25, middle=32),  # N x 64 x 32 x 32
            *_conv_block(64, 128, dropout=0.25),  # N x 128 x 16 x 16
            *_conv_block(128, 256, dropout=0.5),  # N x 256 x 8 x 8
            nn.Flatten(),  # N x 16384
            nn.Linear(256 * 8 * 8, 1024),
            nn.ReLU(),
            Dropout(0.5),
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Linear(512, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    @property
    def features(self) -> nn.Sequential:
        """N x 3 x 64 x 64 to activations N x 256 x 16 x 16; shares the weights."""
        return self.network[: self._features_end]

    @property
    def head(self) -> nn.Sequential:
        """Activations N x 256 x 16 x 16 to logits N x classes; shares the weights."""
        return self.network[self._features_end :]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # as the published weights want it


def _conv(inputs: int, outputs: int, kernel: int, relu: bool = True, **more: int) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **more)
    # ReLU6 is not in place: in-place ones break attribution methods.
    return nn.Sequential(conv, _norm(outputs), *([nn.ReLU6()] if relu else []))


class InvertedResidual(nn.Module):
    """Widen (1x1), filter each channel (k x k), narrow (1x1); added to its input where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [_conv(inputs, wide, 1)] if expansion > 1 else []
        layers.append(_conv(wide, wide, kernel, stride=stride, groups=wide))
        layers.append(_conv(wide, outputs, 1, relu=False))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


def _blocks(stages: Sequence[Stage]) -> list[nn.Module]:
    blocks, inputs = [], STEM
    for expansion, kernel, stride, channels, count in stages:
        for index in range(count):
            step = stride if index == 0 else 1
            blocks.append(InvertedResidual(inputs, channels, expansion, kernel, step))
            inputs = channels
    return blocks


@network("lite0_stride16_3x3")
class Lite0(nn.Module):
    """Input N x 3 x 161 x 161, final map N x 256 x 11 x 11, logits N x classes; .7 million weights.

    161 = 10 x 16 + 1: with an odd side every stride is centred, so the map lies straight over the
    picture, and the convs' own padding is the one that the published weights were trained with.
    `head` is a mean over the map and one linear layer, so a class's logit is the sum of what the
    map's places give (class activation maps are exact, Zhou et al. 2016).
    """

    # The last stage's kernels are 5 wide as published; 3 see less far, and the heat is truer.
    stages = (*TO_STRIDE_16[:-1], (6, 3, 1, 112, 3))
    transform = EvaluationTransform(size=161, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

    def __init__(self, classes: int) -> None:
        super().__init__()
        channels = self.stages[-1][3]
        self.features = nn.Sequential(
            _conv(3, STEM, 3, stride=2),  # N x 32 x 81 x 81
            *_blocks(self.stages),  # N x 112 x 11 x 11 in v3
            _conv(channels, MAP, 1),  # N x 256 x 11 x 11
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # N x 256
            nn.Dropout(0.2),
            nn.Linear(MAP, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


@network("lite0_stride16")
class Lite0Stride16(Lite0):
    """Lite0 with the published kernels: a place of its map sees more of the picture."""

    stages = TO_STRIDE_16


@network("lite0_stride32")
class Lite0Stride32(Lite0):
    """Lite0 with all published stages: final map N x 256 x 6 x 6, about 3.0 million weights."""

    stages = (*TO_STRIDE_16, (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))
