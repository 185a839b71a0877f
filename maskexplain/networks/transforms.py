"""The one evaluation transform: training's validation, the page, HTTP and command line share it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
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
