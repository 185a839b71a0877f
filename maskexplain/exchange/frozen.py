"""Weights of frozen TorchScript, which has lost their names: found by the order of their use.

`torch.jit.freeze` makes constants of all weights and puts batch norms into the convs before them.
The code still names the constants one after another as the network uses them; that text is read,
not run. A network of ours uses its own weights in its own order: where all shapes agree, one after
another, the constants are these weights.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import fx, nn

from ..models.by_name import SplitNetwork, traced_graph
from .torch_files import Stored

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
WITH_WEIGHTS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)


def named_weights(network: nn.Module, used: Sequence[Stored]) -> dict[str, Stored] | None:
    """The constants by the network's names for them; None where they are not its weights."""
    for folded in (True, False):
        names = list(_in_use(network, folded))
        own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        # The last layer may answer other classes.
        shapes = [own.get(name) or own[name.replace(".bias", ".weight")][:1] for name in names]
        inner = [tensor.shape for tensor in used]
        if len(names) == len(used) and inner[:-2] == shapes[:-2]:
            found = dict(zip(names, used, strict=True))
            return _unfolded(network, found) if folded else found
    return None


def _in_use(network: nn.Module, folded: bool) -> Iterator[str]:
    """The names of a network's weights in the order of their use."""
    whole = isinstance(network, SplitNetwork)
    graph = traced_graph(network.network if whole else network)
    prefix, modules = "network." if whole else "", dict(network.named_modules())
    called = [f"{prefix}{n.target}" for n in graph.nodes if n.op == "call_module"]
    inside = set(_folded_norms(graph, prefix, modules)) if folded else set()
    for name in called:
        module = modules[name]
        if not isinstance(module, WITH_WEIGHTS) or name in inside:
            continue
        parts = BATCH_NORM if isinstance(module, nn.BatchNorm2d) else ("weight", "bias")
        following = _next(called, name)
        has_norm = following in inside
        yield from (
            f"{name}.{part}"
            for part in parts
            if getattr(module, part) is not None or (part == "bias" and has_norm)
        )


def _next(called: Sequence[str], name: str) -> str | None:
    at = called.index(name) + 1
    return called[at] if at < len(called) else None


def _folded_norms(graph: fx.Graph, prefix: str, modules: dict[str, nn.Module]) -> Iterator[str]:
    """The batch norms right behind a conv."""
    called = [f"{prefix}{n.target}" for n in graph.nodes if n.op == "call_module"]
    for before, name in zip(called, called[1:], strict=False):
        pair = modules[before], modules[name]
        if isinstance(pair[0], nn.Conv2d) and isinstance(pair[1], nn.BatchNorm2d):
            yield name


def _unfolded(network: nn.Module, found: dict[str, Stored]) -> dict[str, Stored]:
    """The same with batch norms that only add what freezing has put into the conv's bias."""
    result = dict(found)
    previous = ""
    for name, module in network.named_modules():
        folded = isinstance(module, nn.BatchNorm2d) and f"{name}.weight" not in found
        if folded and f"{previous}.bias" in result:
            bias = result.pop(f"{previous}.bias")
            result |= _shift(name, module, bias)
            if getattr(network.get_submodule(previous), "bias", None) is not None:
                result[f"{previous}.bias"] = _filled(bias.shape, 0.0)
        if isinstance(module, nn.Conv2d):
            previous = name
    return result


def _shift(name: str, norm: nn.BatchNorm2d, bias: Stored) -> dict[str, Stored]:
    """A batch norm that adds `bias` and does nothing else."""
    scale = (1 + norm.eps) ** 0.5
    return {
        f"{name}.weight": _filled(bias.shape, scale),
        f"{name}.bias": bias,
        f"{name}.running_mean": _filled(bias.shape, 0.0),
        f"{name}.running_var": _filled(bias.shape, 1.0),
    }


def _filled(shape: tuple[int, ...], value: float) -> Stored:
    return Stored(shape, lambda: torch.full(shape, value))
