"""Networks whose mean answer another one learns in the labels' place.

Hinton et al. 2015 (arXiv:1503.02531); teachers and pupil see the very same varied picture, as in
Beyer et al. 2022 (arXiv:2106.05237).
"""

from collections.abc import Sequence

import torch
from torch import nn


@torch.no_grad()
def mean_answer(teachers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Mean of the teachers' probabilities N x 3 for the pupil's inputs N x 3 x S x S."""
    return torch.stack([teacher(x).softmax(1) for teacher in teachers]).mean(0)
