"""Other people's weights as a version of this program: checked, then written as all others are."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..data.folder import Picture
from ..errors import UserError
from ..models.by_name import bare_network, torchvision_names, usual_transform
from ..models.checkpoints import FOLDER, free_place, write_weights
from ..models.network import (
    NETWORKS,
    EvaluationTransform,
    NetworkError,
    build_network,
    check_network,
    last_layer,
)
from ..task import MAX_CLASSES, MIN_CLASSES, Task, task_of_classes
from ..words import listed
from .class_order import (
    ClassOrder,
    OrderFit,
    assumed_nothing,
    check_order,
    find_order,
    seed_order,
    told_order,
)
from .frozen import named_weights
from .torch_files import Stored, read_tensor_file

# What training programs put between a network's names: DataParallel, torch.compile, FSDP.
WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
# What they leave beside the weights: AveragedModel's counter, batch norm's, thop's.
COUNTERS = frozenset(("n_averaged", "num_batches_tracked", "total_ops", "total_params"))
# Places of weights that are not the ones in use: running means, earlier states.
SECOND = re.compile(
    r"(?:^|[._/-])(ema|swa|averaged?|teacher|momentum|best|old|initial|backup|shadow)(?=[._/-]|$)",
    re.I,
)
COMMON = ("resnet", "mobilenet", "efficientnet")  # tried first: most files are of one of them
# Parts of a training that a saved module may hold beside the network.
TRAINING = re.compile(
    r"criterion|loss|metric|acc|confusion|auroc|f1|train_|val_|valid_|test_", re.I
)
UNUSED = frozenset(("aux1", "aux2", "AuxLogits"))  # heads that help in training alone

# The labelled pictures of the classes with these names; without names, of all that are there.
Labelled = Callable[[Sequence[str] | None], tuple[Task, Sequence[Picture]]]


@dataclass(frozen=True)
class Imported:
    """A version that was imported: its network's registered name, its file, and the classes in the
    order of the given file's outputs; `source` says what told that order, `place` where in the file
    the weights lay, `last` the last layer where it lay elsewhere. `told`: what that source calls
    the classes, empty where it calls them so.
    `transform`: how a picture goes in. `passed_over`: other weights beside them that may count.
    `fit` is how well the order fits the labelled pictures, where some were given.
    """

    name: str
    network: str
    path: Path
    classes: tuple[str, ...]
    source: str
    place: str
    last: str
    transform: EvaluationTransform
    told: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    fit: OrderFit | None = None


@dataclass(frozen=True)
class Built:
    """What a file does not say of its network: its name (None: found out, where that is possible),
    how its pictures go in (None: as its library's), the layer that is to be explained, and whether
    it answers faces or whole pictures.
    """

    network: str | None = None
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    layer: str | None = None
    faces: bool = True

    def transform(self, usual: EvaluationTransform) -> EvaluationTransform:
        """The usual transform with what was given in its place."""
        given = {name: getattr(self, name) for name in ("size", "mean", "std")}
        return replace(usual, **{name: v for name, v in given.items() if v is not None})


@dataclass(frozen=True)
class Found:
    """Weights of a network in a file: by the network's names, all but those of the last layer,
    whose `weight` and `bias` stand apart. `place` is what came before the names in the file, `last`
    what the last layer is called there.
    """

    network: str
    place: str
    last: str
    tensors: dict[str, Stored]
    weight: Stored
    bias: Stored | None

    @property
    def outputs(self) -> int:
        """How many classes they answer; a single output stands for the second of two."""
        return max(2, self.weight.shape[0])


def import_version(
    file: Path,
    name: str,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    labelled: Labelled | None = None,
    folder: Path = FOLDER,
    built: Built = Built(),  # noqa: B008  (frozen)
) -> Imported:
    """Make a version of a TorchScript, state dict or safetensors file.

    Every registered network is tried, then torchvision's: the file must hold its tensors, in its
    shapes, under any common prefix. In which order the outputs stand for the classes is taken from
    the file or a JSON beside it where they say so, else from `classes`, else found by `labelled`
    pictures; an order that fits these clearly worse than another one is refused. Nothing is
    assumed. Where the classes are those of a known task, the weights of the last layer are put into
    its order; other classes keep the file's. Pictures go in as `built` or the network says.

    Raises UserError (and FileError) where the file does not fit, nothing tells the order, or the
    name is taken and `overwrite` is not given.
    """
    path = free_place(name, overwrite, folder)
    content = read_tensor_file(file)
    tensors = _thawed(file, content.frozen, built) if content.frozen else content.tensors
    found, others = find_weights(file, tensors, built)
    if found.outputs > MAX_CLASSES:
        raise UserError(
            f"{file} has {found.outputs} outputs, and a version answers {MIN_CLASSES} to "
            f"{MAX_CLASSES} classes: train it for yours first (maskexplain train NAME --network "
            f"{found.network} --data DIR)."
        )
    network = _network(found, built).eval().requires_grad_(False)
    _fill(file, network, found)
    check_network(network, found.network, found.outputs)
    order = told_order(file, content.notes, found.outputs, classes, built.faces)
    order = order or seed_order(file, found.network, found.outputs)
    if not order and not labelled:
        raise assumed_nothing(file, content.notes, found.outputs)
    order, task, fit = _settled(file, network, found.outputs, order, labelled)
    task = task if built.faces else replace(task, faces=False)
    _reorder(network, task, order.classes)
    write_weights(path, network, found.network, task, half=False)
    path.with_suffix(".json").unlink(missing_ok=True)  # those of a version that stood there
    return Imported(
        name,
        found.network,
        path,
        order.classes,
        order.source,
        found.place,
        "" if found.last.startswith(found.place) else found.last,
        network.transform,
        order.told if order.told != order.classes else (),
        others,
        fit,
    )


def _thawed(file: Path, frozen: Sequence[Stored], built: Built) -> dict[str, Stored]:
    """The weights of frozen TorchScript, by the names of the network that uses them so."""
    for name in [built.network] if built.network else NETWORKS:
        transform = built.transform(usual_transform(name)) if ":" in name else None
        tensors = named_weights(build_network(name, 2, transform), frozen)
        if tensors:
            return tensors
    raise UserError(
        f"{file} is frozen TorchScript, whose weights have lost their names, and not of "
        f"{built.network or 'a network here'}: give its --network, or the file before freezing."
    )


def _network(found: Found, built: Built) -> nn.Module:
    if ":" in found.network:
        transform = built.transform(usual_transform(found.network))
        return build_network(found.network, found.outputs, transform, built.layer)
    network = build_network(found.network, found.outputs, layer=built.layer)
    network.transform = built.transform(network.transform)
    return network


def _settled(
    file: Path,
    network: nn.Module,
    outputs: int,
    order: ClassOrder | None,
    labelled: Labelled | None,
) -> tuple[ClassOrder, Task, OrderFit | None]:
    """The order, told or found, its task, and how well it fits the labelled pictures."""
    if labelled is None:
        return order, task_of_classes(order.classes), None
    task, pictures = labelled(order.classes if order else None)
    if len(task) != outputs:
        raise UserError(
            f"{file} has {outputs} outputs, but the pictures are of {len(task)} classes: give "
            "pictures of the same classes."
        )
    if order is not None:
        return order, task, check_order(file, network, task, order.classes, pictures)
    fit = find_order(file, network, task, pictures)
    return ClassOrder(fit.classes, "the labelled pictures"), task, fit


# --- which of the file's tensors are the network's


def find_weights(
    file: Path, tensors: Mapping[str, Stored], built: Built
) -> tuple[Found, tuple[str, ...]]:
    """The weights of the network that fits, and what else in the file may count.

    Raises UserError where none fits, or where it is not plain which weights are in use.
    """
    plain = _unwrapped(tensors)
    fits = next((found for w in _candidates(built) if (found := _fitting(w, plain))), None)
    if not fits:
        raise UserError(_misfit(file, plain, built))
    first = [found for found in fits if not SECOND.search(found.place)] or fits
    if len(first) > 1:
        places = listed([found.place or "its top" for found in first])
        raise UserError(f"{file} holds several such networks, at {places}: save one of them alone.")
    others = [found.place or "its top" for found in fits if found is not first[0]]
    return first[0], (*others, *_beside(first[0], plain))


def _candidates(built: Built) -> Iterator["_Wanted"]:
    """The networks that the file may be of: the given one, or ours, then torchvision's."""
    if built.network:
        yield _wanted(built.network, built.size)
        return
    yield from (_wanted(name) for name in NETWORKS)
    # RegNets cannot be built without their numbers, which takes long: they must be given.
    names = [name for name in torchvision_names() if not name.startswith("regnet")]
    for name in sorted(names, key=lambda name: not name.startswith(COMMON)):
        with suppress(NetworkError):  # it takes no pictures of that size, so it is not the one
            yield _wanted(f"torchvision:{name}", built.size)


def _unwrapped(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors by their names without what wrappers put in between, and without counters."""
    plain: dict[str, Stored] = {}
    for name, tensor in tensors.items():
        container, slash, dotted = name.rpartition("/")
        parts = dotted.split(".")
        if parts[-1] not in COUNTERS:
            short = container + slash + ".".join(part for part in parts if part not in WRAPPERS)
            plain[name if short in plain else short] = tensor
    return plain


@dataclass(frozen=True)
class _Wanted:
    """What a network's weights are called and shaped: its last layer's, and all others'.

    `stem` is what all its names begin with; a file may hold them without it.
    """

    network: str
    stem: str
    last: str
    inputs: int
    body: dict[str, tuple[int, ...]]

    def shown(self, name: str) -> str:
        """A name as the network's own library writes it."""
        return name if ":" in self.network else self.stem + name


def _wanted(name: str, size: int | None = None) -> _Wanted:
    network = _shapes_of(name, size)
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    layer = last_layer(network)
    last = next(name for name, module in network.named_modules() if module is layer)
    tops = {name.partition(".")[0] for name in shapes}
    stem = f"{tops.pop()}." if len(tops) == 1 and ":" not in name else ""
    body = {
        name.removeprefix(stem): shape
        for name, shape in shapes.items()
        if not name.startswith(f"{last}.") and name.rpartition(".")[2] not in COUNTERS
    }
    stem = "network." if ":" in name else stem
    return _Wanted(name, stem, last.removeprefix(stem), layer.weight.shape[1], body)


def _shapes_of(name: str, size: int | None) -> nn.Module:
    """The network without numbers, where it can be built so."""
    with torch.device("cpu" if ":regnet" in name or name.startswith("timm:") else "meta"):
        if ":" in name:
            return bare_network(name, 2, size or usual_transform(name).size)
        return build_network(name, 2)


def _fitting(wanted: _Wanted, plain: Mapping[str, Stored]) -> list[Found]:
    """Every place where the file holds the whole network."""
    fits = []
    for place in _places(wanted, plain):
        if _odd(wanted, place, plain) is None:
            tensors = {wanted.stem + name: plain[place + name] for name in wanted.body}
            last = _last_names(wanted, place, plain)[0]
            weight, bias = plain[f"{last}.weight"], plain.get(f"{last}.bias")
            place = place.removesuffix(wanted.stem).rstrip("./")
            fits.append(Found(wanted.network, place, last, tensors, weight, bias))
    return fits


def _last_names(wanted: _Wanted, place: str, plain: Mapping[str, Stored]) -> list[str]:
    """The layers in the last one's place: most people put another one there, or several.

    Where none is there, the only layer behind a network that stands in another one.
    """
    top = wanted.last.partition(".")[0]
    body = {place + name for name in wanted.body}
    inside = [
        name.removesuffix(".weight")
        for name, tensor in plain.items()
        if name.startswith(f"{place}{top}.") and name.endswith(".weight") and name not in body
        if len(tensor.shape) > 1
    ]
    return inside or _behind(place, plain)


def _behind(place: str, plain: Mapping[str, Stored]) -> list[str]:
    """The layer beside a network, such as `classifier` beside `backbone.`, if it is the only one.

    A dropout between them changes nothing, and anything with weights would be there, too. Whether
    an activation lies between them labelled pictures tell.
    """
    container, slash, dotted = place.rpartition("/")
    parent, point, _ = dotted.rstrip(".").rpartition(".")
    root = container + slash + parent + point
    beside = [
        name
        for name, tensor in plain.items()
        if dotted and name.startswith(root) and not name.startswith(place)
        if _counts(name.removeprefix(root), tensor)
    ]
    layers = {name.rpartition(".")[0] for name in beside}
    wide = [name for name in beside if name.endswith(".weight") and len(plain[name].shape) == 2]
    return [*layers] if len(layers) == len(wide) == 1 else []


def _places(wanted: _Wanted, plain: Mapping[str, Stored]) -> list[str]:
    """What may stand before the network's names, by where one of its names is found."""
    names = list(wanted.body)
    found = {
        whole.removesuffix(name): None  # a dict, to keep the file's order
        for name in (names[0], names[len(names) // 2])
        for whole in plain
        if whole == name or whole.endswith((f".{name}", f"/{name}"))
    }
    return list(found)


def _odd(wanted: _Wanted, place: str, plain: Mapping[str, Stored]) -> str | None:
    """What keeps a place from being the network, in words; None where it is."""
    for name, shape in wanted.body.items():
        found = plain.get(place + name)
        if found is None or found.shape != shape:
            return _unlike(wanted.shown(name), found, shape)
    last = _last_names(wanted, place, plain)
    whole = wanted.shown(f"{wanted.last}.weight")
    if len(last) != 1:
        return _unlike(whole, None, ())
    weight, bias = plain[f"{last[0]}.weight"].shape, plain.get(f"{last[0]}.bias")
    if weight[1] != wanted.inputs:
        return f"{whole} takes {weight[1]} values in place of {wanted.inputs}"
    if bias is not None and bias.shape != weight[:1]:
        return _unlike(wanted.shown(f"{wanted.last}.bias"), bias, weight[:1])
    stranger = next(_strangers(wanted, place, last[0], plain), None)
    return stranger and f"{stranger} is foreign"


def _unlike(name: str, found: Stored | None, shape: tuple[int, ...]) -> str:
    """A tensor that is missing, or of another shape than a network's."""
    if found is None:
        return f"{name} is missing"
    own, wanted = (" x ".join(map(str, sides)) for sides in (found.shape, shape))
    return f"{name} is {own} in place of {wanted}"


def _strangers(
    wanted: _Wanted, place: str, last: str, plain: Mapping[str, Stored]
) -> Iterator[str]:
    """What lies with the network's tensors, is none of them, and may change its answers."""
    known = {*(place + name for name in wanted.body), f"{last}.weight", f"{last}.bias"}
    root = place.removesuffix(wanted.stem)
    for name, tensor in plain.items():
        inner = name.removeprefix(root)
        if name.startswith(root) and name not in known and _counts(inner, tensor):
            yield inner


def _counts(name: str, tensor: Stored) -> bool:
    """Whether a tensor beside a network's own may change its answers."""
    top = name.partition(".")[0]
    return "/" not in name and tensor.shape != () and top not in UNUSED and not TRAINING.match(top)


def _beside(found: Found, plain: Mapping[str, Stored]) -> list[str]:
    """What lies in the same container, outside of the network: nothing tells what it does."""
    container, slash, inside = found.place.rpartition("/")
    root = container + slash
    tops = {
        name.removeprefix(root).partition(".")[0]: None
        for name, tensor in plain.items()
        if inside and name.startswith(root)
        if not name.startswith((f"{found.place}.", f"{found.last}."))
        if _counts(name.removeprefix(root), tensor)
    }
    return list(tops)


def _misfit(file: Path, plain: Mapping[str, Stored], built: Built) -> str:
    """Which network is nearest, and what keeps it from fitting."""
    share, wanted, place = max(
        (
            _nearness(wanted, place, plain)
            for wanted in _candidates(built)
            for place in _places(wanted, plain) or [""]
        ),
        key=lambda one: one[0],
    )
    last = _last_names(wanted, place, plain)
    if share == 1 and len(last) > 1:
        return (
            f"{file} is a {wanted.network} with {len(last)} layers in place of the last one, "
            f"{', '.join(last)}: what lies between them is not in the file, so train it with one "
            f"layer, {wanted.last}."
        )
    odd = _odd(wanted, place, plain)
    if built.network:
        return f"{file} does not fit {built.network}: {odd}."
    return (
        f"{file} does not fit any network here; of the nearest one, {wanted.network}, {odd} "
        f"(networks: {', '.join(NETWORKS)}, torchvision:NAME)."
    )


def _nearness(
    wanted: _Wanted, place: str, plain: Mapping[str, Stored]
) -> tuple[float, _Wanted, str]:
    """The share (0..1) of a network's tensors that a place has."""
    same = sum(
        place + name in plain and plain[place + name].shape == shape
        for name, shape in wanted.body.items()
    )
    return same / len(wanted.body), wanted, place


# --- from the file into the network


def _fill(file: Path, network: nn.Module, found: Found) -> None:
    weight, bias = _last_layer(file, found)
    last = last_layer(network)
    loaded = {name: _numbers(file, name, t) for name, t in found.tensors.items()}
    network.load_state_dict(loaded, strict=False)
    with torch.no_grad():
        last.weight.copy_(weight.view_as(last.weight))
        last.bias.copy_(bias)
    if not all(torch.isfinite(t).all() for t in network.state_dict().values()):
        raise UserError(f"{file} holds weights that are not finite: save a sound one.")


def _last_layer(file: Path, found: Found) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias of the last layer, with a row for each class.

    A single output z, trained with a sigmoid, is two: the softmax of 0 and z is the sigmoid of z.
    """
    weight = _numbers(file, "weight", found.weight)
    bias = _numbers(file, "bias", found.bias) if found.bias else torch.zeros(len(weight))
    if len(weight) > 1:
        return weight, bias
    return torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros(1), bias])


def _numbers(file: Path, name: str, stored: Stored) -> torch.Tensor:
    tensor = stored.load() if stored.plain else None
    if tensor is None or tensor.is_complex() or tensor.is_quantized:
        raise UserError(f"{file} holds {name} as no plain numbers: save it dense and real.")
    return tensor.float()


def _reorder(network: nn.Module, task: Task, order: Sequence[str]) -> None:
    """Put the last layer's outputs, which stand for `order`, into the task's order."""
    last, rows = last_layer(network), [order.index(label) for label in task.names]
    with torch.no_grad():
        last.weight.copy_(last.weight[rows].clone())
        last.bias.copy_(last.bias[rows].clone())
