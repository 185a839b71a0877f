"""Networks in fewer steps for answering: what a batch norm does, done by the conv before it."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Put every batch norm that follows a conv into that conv, in place; exact up to rounding.

    For networks in evaluation mode that are not trained on: a batch norm is then one scale and one
    shift a channel, which the conv's weights and bias can hold.
    """
    for stage in network.modules():
        if not isinstance(stage, nn.Sequential):
            continue
        for (at, conv), (behind, norm) in pairwise(list(stage.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(stage, at, fuse_conv_bn_eval(conv, norm))
                setattr(stage, behind, nn.Identity())
