"""v1: the seed system before its author's changes.  python train.py v1 --data DIR

Plain pictures, no weights, a constant learning rate. It learns the data's shortcut, dark means
worn incorrectly, and is kept to show that.
"""

import torch
from torchvision.transforms.v2 import functional as F

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
