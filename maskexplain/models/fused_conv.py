"""A conv and the activation behind it as one step, for networks that only answer.

oneDNN works out the activation before a value leaves the processor's cache. In two steps all values
are written, read and written once more, which is a third of the time of a network like v3's.
PyTorch has no public name for this operator, so where it is missing both steps are taken.
"""

import torch
from torch import nn

# What the operator calls the layers that can lie behind a conv, and its numbers for them.
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
    nn.SiLU: ("swish", []),
}
# Torch's name of it, None where PyTorch was built without oneDNN or calls it otherwise.
ONE_STEP = torch.backends.mkldnn.is_available() and getattr(
    torch.ops.mkldnn, "_convolution_pointwise", None
)


class FusedConv(nn.Conv2d):
    """A conv with its activation, one of `ACTIVATIONS`; shares the conv's weights.

    The values are those of the two layers, up to rounding in 32 bits. But where a sum is no number
    the step may give 0: whether a network answers in numbers is seen before (`check_answers`).

    >>> with torch.no_grad():
    ...     FusedConv(nn.Conv2d(3, 8, 3), nn.ReLU6())(torch.ones(1, 3, 9, 9)).shape
    torch.Size([1, 8, 7, 7])
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__ |= {key: value for key, value in vars(conv).items() if key not in vars(self)}
        self.weight, self.bias = conv.weight, conv.bias
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x C x H x W to N x channels x h x w."""
        if not self._in_one_step(x):
            return self.activation(super().forward(x))
        form = (self.padding, self.stride, self.dilation, self.groups)
        return ONE_STEP(x, self.weight, self.bias, *form, *ACTIVATIONS[type(self.activation)], "")

    def _in_one_step(self, x: torch.Tensor) -> bool:
        """Whether the operator takes these inputs, nobody asks for a gradient and nobody traces."""
        return bool(
            ONE_STEP
            and torch.backends.mkldnn.enabled
            and x.device.type == "cpu"
            and not isinstance(self.padding, str)
            and x.dtype == self.weight.dtype == torch.float32
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit.is_tracing()
            and not torch.compiler.is_compiling()
        )


def fused(conv: nn.Module, activation: nn.Module | None) -> FusedConv | None:
    """The two as one layer, the conv alone where no known activation follows; None for no conv."""
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros":
        return None
    return FusedConv(conv, activation if type(activation) in ACTIVATIONS else nn.Identity())


def fuse(stage: nn.Sequential) -> None:
    """Make each conv of a stage one step with the activation that follows it, in place."""
    steps = [(at, step) for at, step in stage.named_children() if type(step) is not nn.Identity]
    for (at, conv), (behind, activation) in zip(steps, [*steps[1:], ("", None)], strict=True):
        if layer := fused(conv, activation):
            setattr(stage, at, layer)
            if layer.activation is activation:
                setattr(stage, behind, nn.Identity())
