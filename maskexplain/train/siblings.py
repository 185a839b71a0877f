"""Trainings from the same first weights, and the mean of the weights that they reach.

Networks that have their beginning in common lie in one valley of the loss: the mean of their
weights answers as well as each of them or better, and costs no more time than one (Frankle et al.
2020, arXiv:1912.05671; Wortsman et al. 2022, arXiv:2203.05482). The mean of two trainings that
begin from different random weights answers worse than either (docs/v3.md).
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from .loop import CPU, Training, start
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


@torch.no_grad()
def mean_network(networks: Sequence[nn.Module]) -> nn.Module:
    """A network with the mean of the weights, and of the norms' statistics, of one or more.

    All are of one architecture; counts of batches are the first one's.
    """
    mean = deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return mean
