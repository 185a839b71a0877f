"""The seed's network: v1 and v2."""

import torch
from torch import nn

from .network import EvaluationTransform, network


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
