"""Trainings from the same first weights, and the mean of the weights that they reach.

Networks that have their beginning in common lie in one valley of the loss: the mean of their
weights answers as well as each of them or better, and costs no more time than one (Frankle et al.
2020, arXiv:1912.05671; Wortsman et al. 2022, arXiv:2203.05482). The mean of two trainings that
begin from different random weights answers worse than either (docs/v3.md).
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from ..data.folder import Pixels, Progress, quietly
from ..models.checkpoints import read_checkpoint
from .loop import CPU, Training, TrainingError, epoch_inputs, start, weights_digest
from .recipe import Recipe


def sibling_recipes(recipe: Recipe) -> list[Recipe]:
    """The recipes of the trainings beside the first one: the next seeds' draws."""
    seeds = range(recipe.seed + 1, recipe.seed + recipe.trainings)
    return [replace(recipe, trainings=1, seed=seed) for seed in seeds]


def training_folders(recipe: Recipe, folder: Path) -> list[Path]:
    """Where each is kept: the first one in `folder`, the others below it."""
    return [folder, *(folder / f"seed_{sibling.seed}" for sibling in sibling_recipes(recipe))]


def start_sibling(
    sibling: Recipe, first: Recipe, data: str = "", device: torch.device = CPU
) -> Training:
    """A training at its beginning, which is that of the first one; what it draws is its own.

    Raises UserError where the recipe's pretrained weights are not installed.
    """
    training = start(replace(sibling, seed=first.seed), data, device)
    training.recipe = sibling
    return training


@dataclass(frozen=True)
class Made:
    """The network that ships, and `kept`: the digest of what the trainings wrote that made it."""

    network: nn.Module
    kept: str


def mean_of(
    trainings: Sequence[Training], folder: Path, data: Pixels, progress: Progress = quietly
) -> Made:
    """The mean of the trainings in `folder` and below it, which have learned from `data`.

    Its norms' statistics are measured anew, on what one more epoch of the first one would show it:
    a mean of weights has activations of its own, smaller ones than the trainings' (Izmailov et al.
    2018, arXiv:1803.05407, section 3.2; Jordan et al. 2023, arXiv:2211.08403). Raises TrainingError
    where a best.safetensors is not what its training wrote.
    """
    first = trainings[0]
    places = training_folders(first.recipe, folder)
    networks = [best_network(one, place) for one, place in zip(trainings, places, strict=True)]
    # channels_last: as in training, three times faster on a CPU.
    mean = mean_network(networks).to(first.device).to(memory_format=torch.channels_last)
    update_bn(epoch_inputs(first, data, first.recipe.epochs, progress), mean)
    kept = "".join(one.kept for one in trainings)
    return Made(mean.cpu().eval(), sha256(kept.encode()).hexdigest()[:16])


def best_network(training: Training, folder: Path) -> nn.Module:
    """The best epoch's network. Raises TrainingError where its file is another training's."""
    file = folder / "best.safetensors"
    if weights_digest(file) != training.kept:
        raise TrainingError(
            f"{file} is not what this training wrote: start over with --fresh, in a folder that no "
            "other training writes."
        )
    return read_checkpoint(file).network


@torch.no_grad()
def mean_network(networks: Sequence[nn.Module]) -> nn.Module:
    """A network with the mean of the weights, and of all other numbers, of one or more.

    All are of one architecture; counts of batches are the first one's.
    """
    mean = deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return mean
