"""One recipe per version: everything that distinguishes its training, found by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torchvision.transforms import v2

from .model import CLASSES

# Maps one stored training picture (uint8, 3 x S x S) and its class index to the network's pixels
# (uint8, 3 x size x size), anew in each epoch.
Augment = Callable[[torch.Tensor, int], torch.Tensor]


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


_resize = v2.Resize((64, 64))

_seed_base = v2.Compose(
    [_resize, v2.ColorJitter(saturation=0.2), v2.RandomAffine(degrees=5, translate=(0.1, 0.1))]
)

# In the seed this ran for one class alone, and so taught the network a shortcut. It is kept.
_seed_incorrect_only = v2.Compose(
    [v2.ColorJitter(brightness=0.3, contrast=0.3), v2.GaussianBlur(3, sigma=(0.1, 2.0))]
)


def plain(picture: torch.Tensor, label: int) -> torch.Tensor:
    """v1: no augmentation."""
    return _resize(picture)


def seed_augment(picture: torch.Tensor, label: int) -> torch.Tensor:
    """v2: light and blur for badly worn masks, then colour and small shifts for all."""
    if CLASSES[label] == "mask_weared_incorrect":
        picture = _seed_incorrect_only(picture)
    return _seed_base(picture)


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
