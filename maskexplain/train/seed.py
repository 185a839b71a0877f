"""v1 and v2: the seed system before and after its author's changes.  python train.py v1 --data DIR

v1: plain pictures, no weights, a constant learning rate. It learns the data's shortcut, dark means
worn incorrectly, and is kept to show that. v2: class weights, weight decay, a learning rate that
halves on a plateau, and changes of light and blur for the badly worn class alone: these teach the
network the same shortcut.
"""

import torch
from torchvision.transforms.v2 import functional as F

from ..masks.task import INCORRECT, MASK
from . import augment as transforms
from .recipe import Recipe, augment, register


@augment
def plain(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Resized to 64 x 64, no augmentation."""
    return F.resize(pixels, [64, 64])


V1 = register(
    Recipe(
        name="v1",
        network="seed_cnn",
        augment="plain",
        epochs=15,  # val stops improving before
        batch_size=64,
        learning_rate=1e-3,  # Adam's own, as in the seed
        weight_decay=0.0,
        class_weights=(1.0, 1.0, 1.0),
        plateau=None,
        seed=1,
    )
)


@augment
def seed_augment(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """v2: light and blur for badly worn masks, then saturation and small moves for all."""
    # In the seed this ran for one class alone, and so taught the network a shortcut. It is kept.
    incorrect = labels == MASK.index(INCORRECT)
    pixels = pixels.float()
    pixels[incorrect] = _light_and_blur(pixels[incorrect])
    pixels = F.resize(pixels, [64, 64])
    count = len(pixels)
    pixels = transforms.adjust_saturation(pixels, transforms.uniform(count, 0.8, 1.2))
    shifts = transforms.uniform(count * 2, -6.4, 6.4).round().view(count, 2)  # a tenth of 64
    moved = transforms.rotate_and_shift(pixels, transforms.uniform(count, -5, 5), shifts)
    return moved.round().to(torch.uint8)


def _light_and_blur(pixels: torch.Tensor) -> torch.Tensor:
    count = len(pixels)
    changes = [transforms.adjust_brightness, transforms.adjust_contrast]
    for index in torch.randperm(2, device="cpu").tolist():  # ColorJitter's order is random
        pixels = changes[index](pixels, transforms.uniform(count, 0.7, 1.3))
    return transforms.blur_3x3(pixels, transforms.uniform(count, 0.1, 2.0))


V2 = register(
    Recipe(
        name="v2",
        network="seed_cnn",
        augment="seed_augment",
        epochs=15,  # val stops improving before
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-5,  # the seed's
        class_weights=(3.0, 1.0, 1.0),  # the seed's; it tried 2.5 and 3.5, too
        plateau=(3, 0.5),  # epochs without a lower loss on val, then half the rate
        seed=2,
    )
)
