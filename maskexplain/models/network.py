"""The networks, each as `features` (through the final conv block) and `head` (the rest).

A network is a class without arguments, registered under a name; checkpoints carry that name. Its
`transform` is the one evaluation transform, which training, page, HTTP and command line share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import functional as F


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
        return F.normalize(pixels.float() / 255, self.mean, self.std)


def to_pixels(crop: Image.Image, size: int) -> torch.Tensor:
    """An RGB picture resized to a square, as uint8 tensor 3 x size x size."""
    return F.pil_to_tensor(crop.resize((size, size), Image.Resampling.BILINEAR))


# Alphabetical, as torchvision's ImageFolder orders the folders of the data set.
CLASSES = ("mask_weared_incorrect", "with_mask", "without_mask")

NETWORKS: dict[str, Callable[[], nn.Module]] = {}


def network(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a network class under the name by which recipes and checkpoints find it."""

    def register(builder: type[nn.Module]) -> type[nn.Module]:
        NETWORKS[name] = builder
        return builder

    return register


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
    """The seed network: six 3x3 convs in three blocks, then 16384-1024-512-3; 18,430,659 weights.

    Input N x 3 x 64 x 64, output logits N x 3. The state-dict names are `network.N.*`, as in the
    original author's files. ReLUs are not in place: in-place ones break attribution methods.
    """

    transform = EvaluationTransform(size=64)
    # `features` ends behind the ReLU of the last conv: its 16 x 16 map is the finest one of the
    # final block. The block's pooling and dropout come first in `head`.
    _features_end = 16

    def __init__(self) -> None:
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
            nn.Linear(512, len(CLASSES)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    @property
    def features(self) -> nn.Sequential:
        """N x 3 x 64 x 64 to activations N x 256 x 16 x 16; shares the weights."""
        return self.network[: self._features_end]

    @property
    def head(self) -> nn.Sequential:
        """Activations N x 256 x 16 x 16 to logits N x 3; shares the weights."""
        return self.network[self._features_end :]


def build_network(name: str) -> nn.Module:
    """A new network with random weights, by its registered name."""
    return NETWORKS[name]()


def divide_by_temperature(network: nn.Module, temperature: float) -> None:
    """Divide the network's logits, by dividing the weights of its last linear layer.

    After this every way through the network, explanations too, sees calibrated logits.
    """
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight /= temperature
        last.bias /= temperature
