"""Which of a file's tensors are a network's weights: by names and shapes, wherever they lie.

Frozen TorchScript has lost the names. `torch.jit.freeze` makes constants of all weights and puts
batch norms into the convs before them. The code still names the constants one after another as the
network uses them; that text is read, not run. A network of ours uses its own weights in its own
order: where all shapes agree, one after another, the constants are these weights.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import fx, nn

from ..errors import UserError
from ..models.by_name import SplitNetwork, traced_graph
from ..models.network import NETWORKS, NetworkError
from ..models.own_head import HeadUnknown, Layer, OwnHead
from ..words import listed
from .file_kinds import ONE_FILE
from .forms import (
    COLOURS,
    Built,
    Tensors,
    Wanted,
    candidates,
    counts,
    unlike,
)
from .last_layers import head_tensors, last_layers, own_head_of
from .torch_files import Stored

# Places of weights that are not the ones in use: running means, earlier states.
SECOND = re.compile(
    r"(?:^|[._/-])(ema|swa|averaged?|teacher|momentum|best|old|initial|backup|shadow)(?=[._/-]|$)",
    re.I,
)
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
WITH_WEIGHTS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)


@dataclass(frozen=True)
class Found:
    """Weights of a network in a file: by the network's names, all but those of the last layer,
    whose `weight` and `bias` stand apart. `place` is what came before the names in the file, `last`
    what the last layer is called there. `own_head`: the last layers, where they are not the
    library's. `gray`: it takes pictures of one channel. `numbered`: the module of the network whose
    inputs the file's numbered parts must give, where its parts carry numbers.
    """

    network: str
    place: str
    last: str
    tensors: dict[str, Stored]
    weight: Stored
    bias: Stored | None
    own_head: OwnHead | None = None
    gray: bool = False
    numbered: str | None = None

    @property
    def outputs(self) -> int:
        """How many classes they answer; a single output stands for the second of two."""
        return max(2, self.weight.shape[0])


def find_weights(
    file: Path,
    tensors: Mapping[str, Stored],
    built: Built,
    kinds: Mapping[str, str] | None = None,
) -> tuple[Found, tuple[str, ...]]:
    """The weights of the network that fits, and what else in the file may count.

    `kinds`: of TorchScript, the classes of its modules by their names. Raises UserError where no
    network fits, where it is not plain which weights are in use, or where nobody has said what lies
    between the last layers.
    """
    plain = Tensors(tensors, kinds or {})
    fits = next((found for w in candidates(built) if (found := _fitting(w, plain, built))), None)
    if not fits:
        raise UserError(_misfit(file, plain, built))
    first = [found for found in fits if not SECOND.search(found.place)] or fits
    if len(first) > 1:
        places = listed([found.place or "its top" for found in first])
        raise UserError(f"{file} holds several such networks, at {places}: save one of them alone.")
    others = [found.place or "its top" for found in fits if found is not first[0]]
    return first[0], (*others, *_beside(first[0], plain))


# --- where the file holds one


def _fitting(wanted: Wanted, plain: Tensors, built: Built) -> list[Found]:
    """Every place where the file holds the whole network."""
    found = []
    for place in _places(wanted, plain):
        with suppress(NetworkError):
            found.append(_at(wanted, place, plain, built))
    return found


def _places(wanted: Wanted, plain: Mapping[str, Stored]) -> list[str]:
    """What may stand before the network's names, by where one of its names is found."""
    names = list(wanted.body)
    found = {
        whole.removesuffix(name): None  # a dict, to keep the file's order
        for name in (names[0], names[len(names) // 2])
        for whole in plain
        if whole == name or whole.endswith((f".{name}", f"/{name}"))
    }
    return list(found)


def _at(wanted: Wanted, place: str, plain: Tensors, built: Built) -> Found:
    """The network at a place of the file. Raises NetworkError, which says what is not as it is."""
    for name, shape in wanted.body.items():
        found = plain.get(place + name)
        if found is None or found.shape not in (shape, _of_channels(wanted, name, shape, 1)):
            raise NetworkError(_unlike_body(wanted, name, found, shape))
    layers = last_layers(wanted, place, plain)
    stranger = next(_strangers(wanted, place, layers, plain), None)
    if stranger:
        raise NetworkError(f"{stranger} is foreign")
    own_head = own_head_of(wanted, layers, plain, built)
    tensors = {
        wanted.stem + wanted.own.get(name, name): plain[place + name] for name in wanted.body
    }
    if own_head:
        tensors |= head_tensors(f"{wanted.stem}{own_head.place}", own_head, layers, plain)
    last = layers[-1].name
    first = plain.get(place + wanted.first)
    return Found(
        wanted.network,
        place.removesuffix(wanted.stem).rstrip("./"),
        last,
        tensors,
        plain[f"{last}.weight"],
        plain.get(f"{last}.bias"),
        own_head,
        first is not None and len(first.shape) == 4 and first.shape[1] == 1,
        wanted.place if wanted.numbered else None,
    )


def _of_channels(
    wanted: Wanted, name: str, shape: tuple[int, ...], channels: int
) -> tuple[int, ...]:
    """The shape of a tensor, where it is the first conv's, for pictures of so many channels."""
    return (shape[0], channels, *shape[2:]) if name == wanted.first else shape


def _unlike_body(wanted: Wanted, name: str, found: Stored | None, shape: tuple[int, ...]) -> str:
    channels = found.shape[1] if found and len(found.shape) == 4 else COLOURS
    if found and channels != COLOURS and found.shape == _of_channels(wanted, name, shape, channels):
        return f"it takes pictures of {channels} channels, and those here have 3 (or 1, gray)"
    return unlike(wanted.shown(wanted.own.get(name, name)), found, shape)


# --- what lies beside


def _strangers(
    wanted: Wanted, place: str, layers: Sequence[Layer], plain: Mapping[str, Stored]
) -> Iterator[str]:
    """What lies with the network's tensors, is none of them, and may change its answers."""
    known = {place + name for name in wanted.body}
    owners = {layer.name for layer in layers if layer.kind}
    root = place.removesuffix(wanted.stem)
    for name, tensor in plain.items():
        inner = name.removeprefix(root)
        new = name not in known and name.rpartition(".")[0] not in owners
        if name.startswith(root) and new and counts(inner, tensor):
            yield inner


def _beside(found: Found, plain: Mapping[str, Stored]) -> list[str]:
    """What lies in the same container, outside of the network: nothing tells what it does."""
    container, slash, inside = found.place.rpartition("/")
    root = container + slash
    used = {id(tensor) for tensor in (*found.tensors.values(), found.weight, found.bias)}
    tops = {
        name.removeprefix(root).partition(".")[0]: None
        for name, tensor in plain.items()
        if inside and name.startswith(root)
        if not name.startswith(f"{found.place}.") and id(tensor) not in used
        if counts(name.removeprefix(root), tensor)
    }
    return list(tops)


def _misfit(file: Path, plain: Tensors, built: Built) -> str:
    """Which network is nearest, and what keeps it from fitting."""
    tried = [
        (_nearness(wanted, place, plain), wanted, _trouble(wanted, place, plain, built))
        for wanted in candidates(built)
        for place in _places(wanted, plain) or [""]
    ]
    near, wanted, why = max(tried, key=lambda one: (one[0], isinstance(one[2], HeadUnknown)))
    said = str(why).rstrip(".")
    if isinstance(why, HeadUnknown):
        return f"{file} is a {wanted.network} {said}."
    if built.network:
        return f"{file} does not fit {built.network}: {said}{_part(file)}."
    if not near:
        return (
            f"{file} holds no weights by the names of a network here or of torchvision's: give "
            "timm's by --network timm:NAME; others cannot be imported."
        )
    known = f"networks: {', '.join(NETWORKS)}, torchvision:NAME"
    return (
        f"{file} does not fit any network here; of the nearest one, {wanted.network}, "
        f"{said}{_part(file)} ({known})."
    )


def _part(file: Path) -> str:
    several = re.search(r"-\d{5}-of-\d{5}", file.name)
    return f" in this one of several parts: {ONE_FILE}" if several else ""


def _trouble(wanted: Wanted, place: str, plain: Tensors, built: Built) -> NetworkError:
    try:
        _at(wanted, place, plain, built)
    except NetworkError as error:
        return error
    return NetworkError("nothing is missing")  # it is asked about where no network fits


def _nearness(wanted: Wanted, place: str, plain: Mapping[str, Stored]) -> float:
    """The share (0..1) of a network's tensors that a place has."""
    same = sum(
        place + name in plain and plain[place + name].shape == shape
        for name, shape in wanted.body.items()
    )
    return same / len(wanted.body)


# --- of frozen TorchScript, by the order of their use


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
