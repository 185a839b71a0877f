"""What a recipe is: everything that distinguishes the training of one version, found by name.

The recipes themselves are in recipes.py, which registers them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from ..masks.task import MASK
from ..task import Task

# Maps stored training pictures (uint8, N x 3 x S x S) and their class indices (N) to the network's
# pixels (uint8, N x 3 x size x size), anew in each epoch.
Augment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Training pictures are held at this size, so that a recipe can change them before its own resize.
TRAIN_SIZE = 128


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
    fitted on val; `sure`: the share (0..1) of val's sure answers that must be right. `focus`:
    weight in the loss of what the class maps say outside of the faces' middles (see mix.py; for a
    mix only), 0 for none; `hide`: with a focus, the share of pictures whose middle is blurred out,
    for an even answer. `teachers`: recipes of the networks, trained before, whose mean answer is
    learned in the labels' place; their pictures, paintings and input transform are this recipe's.
    `task`: what is answered. `size`: side of the network's pictures, None for its own.
    """

    name: str
    network: str
    augment: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    class_weights: tuple[float, ...]
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
    sure: float = 0.995
    size: int | None = None
    focus: float = 0.0
    hide: float = 0.0
    teachers: tuple["Recipe", ...] = ()
    task: Task = MASK

    def to_dict(self) -> dict:
        """Plain values; the task as the list of its classes."""
        teachers = tuple(teacher.to_dict() for teacher in self.teachers)
        plain = {**asdict(self), "teachers": teachers, "task": list(self.task.names)}
        # Trainings that began before it was there go on.
        return plain if self.size is not None else {k: v for k, v in plain.items() if k != "size"}


AUGMENTS: dict[str, Augment] = {}
RECIPES: dict[str, Recipe] = {}


def augment(run: Augment) -> Augment:
    """Register a training transform by its function's name."""
    AUGMENTS[run.__name__] = run
    return run


def register(recipe: Recipe) -> Recipe:
    """Register a version's recipe by its name."""
    RECIPES[recipe.name] = recipe
    return recipe
