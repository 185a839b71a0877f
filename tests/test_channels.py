"""Leaving out channels that are zero changes no logit, and happens only where it can."""

import pytest
import torch
from torch import nn

from maskexplain.explain.methods import live_part


def some_activations(live: list[int], channels: int = 8) -> torch.Tensor:
    torch.manual_seed(1)
    activations = torch.zeros(2, channels, 4, 4)
    activations[:, live] = torch.rand(2, len(live), 4, 4)
    return activations


@pytest.fixture
def head() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4, 5), nn.ReLU(), nn.Linear(5, 3))
    return nn.Sequential(*layers).requires_grad_(False)


def test_the_fewer_channels_give_the_same_logits(head):
    activations, baseline = some_activations([1, 6]), some_activations([2])[:1]
    fewer, left, start = live_part(head, activations, baseline)
    assert left.shape == (2, 3, 4, 4) and start.shape == (1, 3, 4, 4)
    assert torch.allclose(fewer(left), head(activations), atol=1e-6)
    assert torch.allclose(fewer(start), head(baseline), atol=1e-6)
    assert fewer[-1] is head[-1] and head[2].in_features == 32


@pytest.mark.parametrize("live", [[], list(range(7))])
def test_nothing_is_left_out_where_it_does_not_pay(head, live):
    activations, baseline = some_activations(live), torch.zeros(1, 8, 4, 4)
    assert live_part(head, activations, baseline) == (head, activations, baseline)


def test_a_head_that_mixes_channels_first_stays_whole():
    head = nn.Sequential(nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    activations, baseline = some_activations([1]), torch.zeros(1, 8, 4, 4)
    assert live_part(head, activations, baseline)[0] is head


def test_a_head_that_pools_globally_is_narrowed():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    activations, baseline = some_activations([0, 3]), torch.zeros(1, 8, 4, 4)
    fewer, left, _ = live_part(head, activations, baseline)
    assert left.shape[1] == 2 and torch.allclose(fewer(left), head(activations), atol=1e-6)
