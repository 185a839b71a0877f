"""One recipe per version: everything that distinguishes its training, found by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torchvision.transforms.v2 import functional as F

from . import augment
from .model import CLASSES

# Maps stored training pictures (uint8, N x 3 x S x S) and their class indices (N) to the network's
# pixels (uint8, N x 3 x size x size), anew in each epoch.
Augment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a version is trained.

    `augment`: name of the training transform in AUGMENTS; `class_weights`: of the cross-entropy,
    in class order; `plateau`: (patience in epochs, factor) of ReduceLROnPlateau on the validation
    loss, None for a constant learning rate.
    """

    name: str
    network: str
    augment: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    class_weights: tuple[float, float, float]
    plateau: tuple[int, float] | None
    seed: int

    def to_dict(self) -> dict:
        return asdict(self)


def plain(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """v1: no augmentation."""
    return F.resize(pixels, [64, 64])


def seed_augment(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """v2: light and blur for badly worn masks, then saturation and small moves for all."""
    # In the seed this ran for one class alone, and so taught the network a shortcut. It is kept.
    incorrect = labels == CLASSES.index("mask_weared_incorrect")
    pixels = pixels.float()
    pixels[incorrect] = _light_and_blur(pixels[incorrect])
    pixels = F.resize(pixels, [64, 64])
    count = len(pixels)
    pixels = augment.adjust_saturation(pixels, augment.uniform(count, 0.8, 1.2))
    shifts = augment.uniform(count * 2, -6.4, 6.4).round().view(count, 2)  # a tenth of 64
    moved = augment.rotate_and_shift(pixels, augment.uniform(count, -5, 5), shifts)
    return moved.round().to(torch.uint8)


def _light_and_blur(pixels: torch.Tensor) -> torch.Tensor:
    count = len(pixels)
    changes = [augment.adjust_brightness, augment.adjust_contrast]
    for index in torch.randperm(2).tolist():  # ColorJitter's order is random
        pixels = changes[index](pixels, augment.uniform(count, 0.7, 1.3))
    return augment.blur_3x3(pixels, augment.uniform(count, 0.1, 2.0))


AUGMENTS: dict[str, Augment] = {"plain": plain, "seed_augment": seed_augment}

V1 = Recipe(
    name="v1",
    network="seed_cnn",
    augment="plain",
    epochs=15,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.0,
    class_weights=(1.0, 1.0, 1.0),
    plateau=None,
    seed=1,
)

V2 = Recipe(
    name="v2",
    network="seed_cnn",
    augment="seed_augment",
    epochs=15,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=1e-5,
    class_weights=(3.0, 1.0, 1.0),
    plateau=(3, 0.5),
    seed=2,
)

# Training pictures are held at this size, so that a recipe can change them before its own resize.
TRAIN_SIZE = 128

RECIPES = {recipe.name: recipe for recipe in (V1, V2)}
