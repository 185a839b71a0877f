"""The networks that a file may be of, and the forms in which it may hold each.

A network is looked for in several forms. Its last layers may be somebody's own, in place of the
library's last one or of all that stand in one module with it. And its parts may carry numbers in
place of names, as in nn.Sequential(*network.children()).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import nn

from ..models.by_name import bare_network, torchvision_names, usual_transform
from ..models.network import (
    NETWORKS,
    EvaluationTransform,
    NetworkError,
    build_network,
    last_layer,
)
from .torch_files import Stored

# What training programs put between a network's names: DataParallel, torch.compile, FSDP.
WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
# What they leave beside the weights: AveragedModel's counter, batch norm's, thop's.
COUNTERS = frozenset(("n_averaged", "num_batches_tracked", "total_ops", "total_params"))
COMMON = ("resnet", "mobilenet", "efficientnet")  # tried first: most files are of one of them
# Parts of a training that a saved module may hold beside the network.
TRAINING = re.compile(
    r"criterion|loss|metric|acc|confusion|auroc|f1|train_|val_|valid_|test_", re.I
)
UNUSED = frozenset(("aux1", "aux2", "AuxLogits"))  # heads that help in training alone
COLOURS = 3  # channels of a picture here


@dataclass(frozen=True)
class Built:
    """What a file does not say of its network: its name (None: found out, where that is possible),
    how its pictures go in (None: as its library's), the layer that is to be explained, whether it
    answers faces or whole pictures, and the words of its last layers (see `models.own_head`).
    """

    network: str | None = None
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    layer: str | None = None
    faces: bool = True
    head: tuple[str, ...] | None = None

    def transform(self, usual: EvaluationTransform) -> EvaluationTransform:
        """The usual transform with what was given in its place."""
        given = {name: getattr(self, name) for name in ("size", "mean", "std")}
        return replace(usual, **{name: v for name, v in given.items() if v is not None})


def candidates(built: Built) -> Iterator["Wanted"]:
    """The networks that the file may be of: the given one, or ours, then torchvision's."""
    if built.network:
        yield from forms(built.network, built.size)
        return
    for name in NETWORKS:
        yield from forms(name)
    # RegNets cannot be built without their numbers, which takes long: they must be given.
    names = [name for name in torchvision_names() if not name.startswith("regnet")]
    for name in sorted(names, key=lambda name: not name.startswith(COMMON)):
        with suppress(NetworkError):  # it takes no pictures of that size, so it is not the one
            yield from forms(f"torchvision:{name}", built.size)


@dataclass(frozen=True)
class Wanted:
    """A form of a network: what its weights are called in a file and shaped, but for its last ones.

    `stem` is what all its names begin with; a file may hold them without it. `own`: the network's
    own names, where a file calls them otherwise. `last`: the library's last layer, which takes
    `inputs` values and whose weight has `sides` dimensions; `place`: the module that the file's
    last layers are in place of, with the library's `inner` layers before the last one in it.
    `kinds`: the classes of what stands in a row with the last one, by their numbers there.
    `first`: the first conv's weight.
    """

    network: str
    stem: str
    last: str
    inputs: int
    sides: int
    place: str
    body: dict[str, tuple[int, ...]]
    first: str
    own: dict[str, str] = field(default_factory=dict)
    inner: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def shown(self, name: str) -> str:
        """A name as the network's own library writes it."""
        return name if ":" in self.network else self.stem + name

    @property
    def numbered(self) -> bool:
        return bool(self.own)


def forms(name: str, size: int | None = None) -> Sequence[Wanted]:
    """The forms of a network. A library's are kept: a file that fits nothing asks for all twice."""
    return _kept_forms(name, size) if ":" in name else tuple(_forms(name, size))


@cache
def _kept_forms(name: str, size: int | None) -> Sequence[Wanted]:
    return tuple(_forms(name, size))


def _forms(name: str, size: int | None) -> Iterator[Wanted]:
    """The network as its library makes it, then with more and more of its last layers replaced,
    then the same with numbers for its parts.
    """
    network = shapes_of(name, size)
    library = ":" in name
    shapes = {
        key: tuple(t.shape)
        for key, t in network.state_dict().items()
        if key.rpartition(".")[2] not in COUNTERS
    }
    layer = last_layer(network)
    last = next(path for path, module in network.named_modules() if module is layer)
    tops = {key.partition(".")[0] for key in shapes}
    stem = f"{tops.pop()}." if len(tops) == 1 and not library else ""
    whole = Wanted(
        name,
        "network." if library else stem,
        last.removeprefix(stem),
        layer.weight.shape[1],
        layer.weight.ndim,
        last.removeprefix(stem),
        {key.removeprefix(stem): shape for key, shape in shapes.items()},
        "",
        kinds=_in_a_row(network, last),
        size=(size or usual_transform(name).size) if library else 0,
    )
    parts = last.split(".")
    places = [".".join(parts[:end]) for end in range(len(parts), 0, -1)] if library else [last]
    named = [_without(whole, place.removeprefix(stem)) for place in places]
    yield from named
    if library:
        numbers = {child: str(at) for at, (child, _) in enumerate(network.named_children())}
        yield from (_by_number(form, numbers) for form in named if len(numbers) > 1)


def _in_a_row(network: nn.Module, last: str) -> dict[str, str]:
    """The classes of the layers before the last one in its nn.Sequential."""
    owner, _, number = last.rpartition(".")
    row = network.get_submodule(owner)
    if not isinstance(row, nn.Sequential):
        return {}
    others = [(name, module) for name, module in row.named_children() if name != number]
    return {name: type(module).__name__ for name, module in others}


def _without(whole: Wanted, place: str) -> Wanted:
    """The form with everything in one module replaced."""
    body = {k: shape for k, shape in whole.body.items() if not k.startswith(f"{place}.")}
    convs = (k for k, shape in body.items() if len(shape) == 4 and shape[1] == COLOURS)
    there = (k for k in whole.body if k.startswith(f"{place}."))
    inner = {k: whole.body[k] for k in there if not k.startswith(f"{whole.last}.")}
    return replace(whole, place=place, body=body, inner=inner, first=next(convs, ""))


def _by_number(form: Wanted, numbers: Mapping[str, str]) -> Wanted:
    """The form whose parts a file calls by their numbers."""
    own = {}
    for name in form.body:
        top, point, rest = name.partition(".")
        own[numbers.get(top, top) + point + rest] = name
    body = {number: form.body[name] for number, name in own.items()}
    first = next((number for number, name in own.items() if name == form.first), "")
    return replace(form, body=body, own=own, first=first)


def shapes_of(name: str, size: int | None) -> nn.Module:
    """The network without numbers, where it can be built so."""
    with torch.device("cpu" if ":regnet" in name or name.startswith("timm:") else "meta"):
        if ":" in name:
            return bare_network(name, 2, size or usual_transform(name).size)
        return build_network(name, 2)


# --- a file's tensors


class Tensors(dict[str, Stored]):
    """A file's tensors by their plain names; `kinds` are TorchScript's classes by the same."""

    def __init__(self, tensors: Mapping[str, Stored], kinds: Mapping[str, str]) -> None:
        super().__init__(_unwrapped(tensors))
        self.kinds = {_short(name): kind for name, kind in kinds.items()}


def _unwrapped(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors by their names without what wrappers put in between, and without counters."""
    plain: dict[str, Stored] = {}
    for name, tensor in tensors.items():
        short = _short(name)
        if short.rpartition(".")[2].rpartition("/")[2] not in COUNTERS:
            plain[name if short in plain else short] = tensor
    return plain


def _short(name: str) -> str:
    """A name without what wrappers put into it."""
    container, slash, dotted = name.rpartition("/")
    return container + slash + ".".join(p for p in dotted.split(".") if p not in WRAPPERS)


def counts(name: str, tensor: Stored) -> bool:
    """Whether a tensor beside a network's own may change its answers."""
    top = name.partition(".")[0]
    return "/" not in name and tensor.shape != () and top not in UNUSED and not TRAINING.match(top)


def unlike(name: str, found: Stored | None, shape: tuple[int, ...]) -> str:
    """A tensor that is missing, or of another shape than a network's."""
    if found is None:
        return f"{name} is missing"
    own, wanted = (" x ".join(map(str, sides)) for sides in (found.shape, shape))
    size = ", as of another --size" if "pos_embed" in name else ""
    return f"{name} is {own} in place of {wanted}{size}"
