"""The part of a head that a picture uses: its channels without those that are zero.

Behind a ReLU most channels of the final conv are zero all over a face (about 70% in v1 and v2).
Where a channel is zero in the crop and in its baseline, it is so on the whole path between them:
it adds nothing to a score and nothing to a map. Left out, the head's first layer, which is most of
the work of integrated gradients, shrinks as much.
"""

import torch
from torch import nn

# Layers that treat each channel on its own, so that channels can be left out before them.
BY_CHANNEL = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Flatten, nn.Identity)
WORTH = 0.8  # with more of the channels than this the copy costs more than it saves


def live_part(
    head: nn.Module, activations: torch.Tensor, baseline: torch.Tensor
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Leave out the channels (of N x C x h x w) that are zero in all crops and baselines.

    Returns the head for the others, their activations and those of the baseline; everything as it
    is where leaving out does not pay, or where the head mixes channels before its first weights.
    """
    used = (activations != 0).any(0) | (baseline != 0).any(0)  # C x h x w
    channels = used.flatten(1).any(1).nonzero()[:, 0]
    at = _first_weights(head)
    if at is None or not 0 < len(channels) <= WORTH * len(used):
        return head, activations, baseline
    fewer = _narrowed(head, at, channels, len(used))
    return fewer, activations[:, channels], baseline[:, channels]


def _first_weights(head: nn.Module) -> int | None:
    """Where the head's first linear layer lies; None where something else mixes channels first."""
    if not isinstance(head, nn.Sequential):
        return None
    mixing = [index for index, layer in enumerate(head) if not isinstance(layer, BY_CHANNEL)]
    return mixing[0] if mixing and isinstance(head[mixing[0]], nn.Linear) else None


def _narrowed(head: nn.Sequential, at: int, channels: torch.Tensor, count: int) -> nn.Sequential:
    """The head for these of `count` channels alone; shares all weights but its first layer's."""
    linear = head[at]
    weight = linear.weight.unflatten(1, (count, -1)).index_select(1, channels).flatten(1)
    fewer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    fewer.weight, fewer.bias = nn.Parameter(weight, requires_grad=False), linear.bias
    return nn.Sequential(*head[:at], fewer, *head[at + 1 :])
