"""Where on a training picture the answer has to come from: on nose, mouth and a mask's upper edge.

Ross et al. 2017 (arXiv:1703.03717), "Right for the Right Reasons": what a network's explanation
says outside of the places that are known to matter is added to the loss. Here the explanation is
the class activation map (Zhou et al. 2016), which for a head of a mean and one linear layer is
exactly what each place adds to each logit; so the penalty costs one 1x1 convolution.
"""

import torch
from torch import nn
from torch.nn import functional as nnf

from ..explain.places import blur_inputs

WIDER = 9  # pixels of the square that widens the hidden part: 4 on each side
LEFT = 0.3  # of the label is left where the middle is hidden; the rest is even over the classes


def class_maps(head: nn.Sequential, activations: torch.Tensor) -> torch.Tensor:
    """What each place adds to each logit, times the number of places: N x classes x h x w.

    For heads that take the mean over the map and end in their only linear layer.
    """
    weight = head[-1].weight  # classes x C
    return nnf.conv2d(activations, weight[:, :, None, None])


def share_outside(maps: torch.Tensor, middles: torch.Tensor) -> torch.Tensor:
    """Mean share (0..1) of what class maps N x classes x h x w say beyond the middles.

    `middles`: N x 1 x H x W, 0 outside to 1 inside; pictures without one count as 0.
    """
    known = (middles.amax((1, 2, 3)) > 0).to(maps)
    # The map is coarse: a cell counts by the part of it that a slightly wider middle leaves.
    wide = nnf.max_pool2d(middles, 5, stride=1, padding=2)
    outside = 1 - nnf.adaptive_avg_pool2d(wide, maps.shape[-2:])
    said = maps.abs()
    share = (said * outside).sum((1, 2, 3)) / said.sum((1, 2, 3)).clamp(min=1e-6)
    return (share * known).mean()


def hide_some(
    inputs: torch.Tensor, targets: torch.Tensor, middles: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur the middles of a random share of the inputs N x 3 x S x S out, so that none can tell.

    `targets`: probabilities N x classes; those of hidden pictures become nearly even. What is left
    of a face without nose and mouth then carries no sure answer. `middles`: N x 1 x S x S, 0..1.
    """
    drawn = (torch.rand(len(inputs)) < share).to(inputs.device)
    chosen = drawn & (middles.amax((1, 2, 3)) > 0)
    if not chosen.any():
        return inputs, targets
    inputs, targets = inputs.clone(), targets.clone()
    part = nnf.max_pool2d(middles[chosen], WIDER, stride=1, padding=WIDER // 2)
    inputs[chosen] = torch.lerp(inputs[chosen], blur_inputs(inputs[chosen]), part)
    targets[chosen] = LEFT * targets[chosen] + (1 - LEFT) / targets.shape[1]
    return inputs, targets
