"""One recipe per version: everything that distinguishes its training, found by name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch
from torchvision.transforms.v2 import functional as F

from ..models.network import CLASSES
from . import augment
from .vary import vary

# Maps stored training pictures (uint8, N x 3 x S x S) and their class indices (N) to the network's
# pixels (uint8, N x 3 x size x size), anew in each epoch.
Augment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a version is trained.

    `augment`: name of the training transform in AUGMENTS; `class_weights`: of the cross-entropy,
    in class order; `plateau`: (patience in epochs, factor) of ReduceLROnPlateau on the validation
    loss, None for a constant learning rate. `warm_up`: the share of the training in which the
    learning rate rises, before it falls by a cosine to 0; None for no such cycle. `average`: decay
    a step of the running mean of the weights that validates and ships, None for the weights
    themselves. `start`: name of the pretrained start in STARTS. `mix`: how many pictures of each
    pool an epoch draws (see mix.py; the third part of a pool's name is a `source` of the CSV), None
    for every picture once; `paint`: paintings a bare face, by position, that the mix draws from.
    `keep`: which epoch ships. `autocast`: whether bf16 helps where the processor has it; for
    depthwise convs it does not. `calibrate`: whether a temperature and an "unsure" threshold are
    fitted on val. `focus`: weight in the loss of what the class maps say outside of the faces'
    middles (see focus.py; for a mix only), 0 for none; `hide`: with a focus, the share of pictures
    whose middle is blurred out, for an even answer. `teachers`: recipes of the networks, trained
    before, whose mean answer is learned in the labels' place; their pictures, paintings and input
    transform are this recipe's.
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
    optimizer: Literal["adam", "adamw"] = "adam"
    warm_up: float | None = None
    average: float | None = None
    label_smoothing: float = 0.0
    start: str | None = None
    mix: dict[str, int] | None = None
    paint: dict[str, float] | None = None
    keep: Literal["best", "last"] = "best"
    autocast: bool = True
    calibrate: bool = False
    focus: float = 0.0
    hide: float = 0.0
    teachers: tuple["Recipe", ...] = ()

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


AUGMENTS: dict[str, Augment] = {"plain": plain, "seed_augment": seed_augment, "vary": vary}

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

# v3 without teachers: it learns from labels alone.
FOCUSED = Recipe(
    name="focused",
    network="lite0_stride16_3x3",
    augment="vary",
    epochs=12,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.02,
    class_weights=(1.0, 1.0, 1.0),
    plateau=None,
    seed=3,
    optimizer="adamw",
    warm_up=0.15,
    average=0.995,
    label_smoothing=0.05,
    start="lite0_imagenet",
    mix={
        "real/mask_weared_incorrect": 650,
        "painted/nose_out": 700,
        "painted/chin": 400,
        "painted/eyes": 40,
        "real/with_mask": 1050,
        "painted/right": 640,
        # Nine in ten bare faces are portraits, two in three masked ones from the street: with an
        # even draw "in the street" would say "masked".
        "real/without_mask": 1100,
        "real/without_mask/andrewmvd": 420,
    },
    paint={"right": 2.0, "nose_out": 2.0, "chin": 1.0, "eyes": 0.25},
    keep="last",
    autocast=False,
    calibrate=True,
    focus=0.05,
    hide=0.05,
)

# Two may look anywhere: they err on other faces than the third.
_ANYWHERE = replace(FOCUSED, focus=0.0, hide=0.0)
TEACHERS = (
    replace(_ANYWHERE, name="stride16", network="lite0_stride16", seed=3),
    replace(_ANYWHERE, name="stride32", network="lite0_stride32", seed=4),
    replace(FOCUSED, seed=5),
)

# The teachers' answers are as soft as smoothed labels.
V3 = replace(FOCUSED, name="v3", label_smoothing=0.0, teachers=TEACHERS)

# Training pictures are held at this size, so that a recipe can change them before its own resize.
TRAIN_SIZE = 128

RECIPES = {recipe.name: recipe for recipe in (V1, V2, V3)}
