"""Heads that people put in place of a library network's last layers, as a chain of words.

Names and shapes of weights tell the layers that have some. What lies between them, such as an
activation or dropout, leaves nothing in a file of weights. So a head is a list of words: what a
person says (`relu`, `linear 512 relu linear`), and what a version's file holds.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from torch import nn

from ..words import listed
from .network import NetworkError

LINEAR, BATCH_NORM, LAYER_NORM, PRELU = "linear", "batch_norm", "layer_norm", "prelu"
CONV = "conv"  # of one pixel: a linear layer for each place of a map
WITH_WEIGHTS = (LINEAR, BATCH_NORM, LAYER_NORM, PRELU)
# Activations by their words; a number behind one is its slope or scale.
ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
WITH_NUMBER = (LINEAR, "leaky_relu", "elu", "celu")  # a linear layer's is how many values it gives
NOTHING = ("dropout", "identity", "none")  # what changes no answer
# A map N x C x h x w as values: each channel's mean or largest, N x C, or all, N x Chw.
AS_VALUES = {
    "mean": lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    "max": lambda: [nn.AdaptiveMaxPool2d(1), nn.Flatten()],
    "flatten": lambda: [nn.Flatten()],
}
AT_THE_END = ("softmax", "log_softmax", "sigmoid", *NOTHING)  # an answer's own softmax is in them
MEANT = {
    "swish": "silu",
    "hard_swish": "hardswish",
    "leakyrelu": "leaky_relu",
    "dense": LINEAR,
    "batchnorm": BATCH_NORM,
    "batchnorm1d": BATCH_NORM,
    "layernorm": LAYER_NORM,
    "layernorm2d": LAYER_NORM,
    "logsoftmax": "log_softmax",
    "adaptiveavgpool2d": "mean",
    "adaptivemaxpool2d": "max",
}
KNOWN = frozenset((*WITH_WEIGHTS, *ACTIVATIONS, *NOTHING, *AS_VALUES, *AT_THE_END))
SAID_BESIDE = frozenset(("-", "p", "dim", "inplace", "true", "false", "sequential"))
# What TorchScript names its layers; of others it keeps a number elsewhere.
IN_SCRIPTS = {
    "Linear": LINEAR,
    "BatchNorm1d": BATCH_NORM,
    "LayerNorm": LAYER_NORM,
    "PReLU": PRELU,
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "SiLU": "silu",
    "Mish": "mish",
    "Hardswish": "hardswish",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Dropout": "dropout",
    "Identity": "identity",
    "Flatten": "flatten",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}


class HeadUnknown(NetworkError):
    """A head whose layers without weights nobody has told yet."""


@dataclass(frozen=True)
class OwnHead:
    """Layers in the place of one of a library network's modules, such as `fc` or `classifier`.

    `inputs`: how many values the first layer with weights takes. `layers`: words in the order in
    which they run, each with its number where it has one: "mean", "linear 512", "relu",
    "leaky_relu 0.2", "linear". The last one is a linear layer with an output for each class.
    """

    place: str
    inputs: int
    layers: tuple[str, ...]

    @property
    def words(self) -> str:
        """The layers as a person writes them behind --head."""
        return " ".join(self.layers)

    def module(self, classes: int) -> nn.Sequential:
        """The layers, with random weights. Raises NetworkError for words that are no head."""
        width = self.inputs
        built: list[nn.Module] = []
        for layer in self.layers[:-1]:
            kind, number = parted(layer)
            built += _built(kind, number, width)
            width = int(number) if kind == LINEAR else width
        return nn.Sequential(*built, nn.Linear(width, classes))

    def with_weights(self) -> list[int]:
        """Where in `module` the layers with weights are, in their order."""
        modules = [module for layer in self.layers[:-1] for module in _built(*parted(layer), 1)]
        kinds = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.PReLU)
        inner = [at for at, module in enumerate(modules) if isinstance(module, kinds)]
        return [*inner, len(modules)]

    def to_json(self) -> str:
        """What a version's file holds."""
        return json.dumps(asdict(self))


def head_from_json(text: str) -> OwnHead:
    """The head that `OwnHead.to_json` wrote. Raises NetworkError."""
    try:
        found = json.loads(text)
        return OwnHead(str(found["place"]), int(found["inputs"]), tuple(map(str, found["layers"])))
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkError("The file's list of last layers is damaged: import it anew.") from error


def parted(layer: str) -> tuple[str, str]:
    """A layer's kind and its number, which may be missing."""
    kind, _, number = layer.partition(" ")
    return kind, number


def _built(kind: str, number: str, width: int) -> Sequence[nn.Module]:
    if kind == LINEAR and number.isdecimal():
        return [nn.Linear(width, int(number))]
    if kind in (BATCH_NORM, LAYER_NORM):
        return [nn.BatchNorm1d(width) if kind == BATCH_NORM else nn.LayerNorm(width)]
    if kind == PRELU:
        return [nn.PReLU(int(number or 1))]
    if kind in AS_VALUES:
        return AS_VALUES[kind]()
    if kind in NOTHING:
        return [nn.Identity()]
    if kind in ACTIVATIONS:
        make = partial(ACTIVATIONS[kind], float(number)) if number else ACTIVATIONS[kind]
        return [make()]
    raise NetworkError(f"There is no layer {kind} {number}: import the version anew.")


# --- what a person, or TorchScript, says of one


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """What a person gives for layers, as words: "nn.Linear(2048, 512), nn.ReLU()" too.

    Raises NetworkError for a word that stands for no layer.

    >>> words_of(["linear", "512", "relu", "linear"])
    ('linear 512', 'relu', 'linear')
    """
    found: list[str] = []
    for part in re.split(r"[\s,()=>\[\]]+", " ".join(texts).lower().replace("nn.", "")):
        word = MEANT.get(part, part)
        if re.fullmatch(r"\d+|\d*\.\d+", word) and found:
            found[-1] = f"{parted(found[-1])[0]} {word}"  # of Linear(inputs, outputs) the second
        elif word in KNOWN:
            found.append(word)
        elif word and word not in SAID_BESIDE:
            known = ", ".join((LINEAR, *ACTIVATIONS, "dropout", BATCH_NORM, LAYER_NORM))
            raise NetworkError(f"--head does not know {part}: its words are {known}.")
    kinds = [(word, parted(word)[0]) for word in found]
    return tuple(word if kind in WITH_NUMBER else kind for word, kind in kinds)


def script_words(kinds: Mapping[str, str], place: str, start: int = 0) -> tuple[str, ...] | None:
    """The layers of nn.Sequential in TorchScript, which keeps their kinds; None if not certain.

    `start`: the number of the first one that counts.
    """
    inside = {
        _owner(name)[1]: kind for name, kind in kinds.items() if _owner(name)[0] == f"{place}."
    }
    if kinds.get(place) != "Sequential" or not all(number.isdecimal() for number in inside):
        return None
    words = [
        IN_SCRIPTS.get(inside[number]) for number in sorted(inside, key=int) if int(number) >= start
    ]
    return tuple(word for word in words if word) if all(words) else None


# --- what a file's names and shapes say of one


@dataclass(frozen=True)
class Layer:
    """A layer with weights in a file: its name there, its kind, and how many values it takes and
    gives; 0 where it gives as many as it takes, whatever these are.
    """

    name: str
    kind: str
    inputs: int
    outputs: int


def layers_in(shapes: Mapping[str, tuple[int, ...]]) -> list[Layer]:
    """The layers that tensors belong to, by their numbers, else in the file's order."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        owner, _, part = name.rpartition(".")
        parts.setdefault(owner, {})[part] = shape
    layers = [_layer(name, own) for name, own in parts.items()]
    return sorted(layers, key=_number) if _in_one_chain(layers) else layers


def _layer(name: str, parts: dict[str, tuple[int, ...]]) -> Layer:
    weight = parts.get("weight", parts.get("running_mean", ()))
    if set(parts) - {"weight", "bias", "running_mean", "running_var"} or not weight:
        return Layer(name, "", 0, 0)
    if len(weight) == 2 or weight[2:] == (1, 1):
        return Layer(name, LINEAR if len(weight) == 2 else CONV, weight[1], weight[0])
    kind = BATCH_NORM if "running_mean" in parts else LAYER_NORM if "bias" in parts else PRELU
    kind = kind if len(weight) == 1 else ""
    return Layer(name, kind, 0 if kind == PRELU else weight[0], weight[0])


def _in_one_chain(layers: Sequence[Layer]) -> bool:
    """Whether the layers are numbered ones of one nn.Sequential."""
    owners = {_owner(layer.name)[0] for layer in layers}
    return len(owners) == 1 and all(_owner(layer.name)[1].isdecimal() for layer in layers)


def _owner(name: str) -> tuple[str, str]:
    """What a name lies in, and the rest of it."""
    last = max(name.rfind("."), name.rfind("/")) + 1
    return name[:last], name[last:]


def _number(layer: Layer) -> int:
    return int(_owner(layer.name)[1])


def is_chain(layers: Sequence[Layer]) -> bool:
    """Whether each layer takes what the one before it gives, and the last one is linear."""
    if not layers or layers[-1].kind not in (LINEAR, CONV):
        return False
    width = next(layer.inputs for layer in layers if layer.kind in (LINEAR, CONV))
    for layer in layers:
        if layer.kind not in (*WITH_WEIGHTS, CONV) or layer.inputs not in (0, width):
            return False
        width = layer.outputs if layer.kind in (LINEAR, CONV) else width
    return len(layers) == 1 or all(layer.kind != CONV for layer in layers)


def settled(layers: Sequence[Layer], said: Sequence[str] | None) -> tuple[str, ...]:
    """All layers of a head as words: those of the file, and between them what was said.

    `said` is one activation, to stand between any two linear layers, or the whole head. Raises
    HeadUnknown where it is needed and missing, NetworkError where it contradicts the file.
    """
    between = _gaps(layers)
    own = [_word(layer, at == len(layers) - 1) for at, layer in enumerate(layers)]
    if said and LINEAR in {parted(word)[0] for word in said}:
        return _merged(layers, own, between, said)
    open_places = [at for at in range(1, len(layers)) if between[at] != 0]
    if not open_places:
        return tuple(own)
    if not said:
        raise HeadUnknown(_question(layers, own, between))
    if len(said) != 1 or said[0] in AS_VALUES:
        raise NetworkError(f"--head {' '.join(said)} is no head: {_example(own, between)}")
    linear = [at for at, layer in enumerate(layers) if layer.kind == LINEAR]
    for first, second in zip(linear, linear[1:], strict=False):
        if len([at for at in open_places if first < at <= second]) > 1:
            raise NetworkError(
                f"Norms lie between {layers[first].name} and {layers[second].name}, so --head "
                f"{said[0]} may stand in two places: {_example(own, between)}"
            )
    words: list[str] = []
    for at, word in enumerate(own):
        words += [said[0], word] if at in open_places and at > linear[0] else [word]
    return tuple(words)


def _word(layer: Layer, last: bool) -> str:
    if layer.kind in (LINEAR, CONV):
        return LINEAR if last else f"{LINEAR} {layer.outputs}"
    return f"{PRELU} {layer.outputs}" if layer.kind == PRELU else layer.kind


def _gaps(layers: Sequence[Layer]) -> list[int | None]:
    """How many layers without weights stand before each one; None where the names do not tell."""
    if not _in_one_chain(layers):
        return [None] * len(layers)
    numbers = [_number(layer) for layer in layers]
    return [None, *(b - a - 1 for a, b in zip(numbers, numbers[1:], strict=False))]


def _merged(
    layers: Sequence[Layer], own: Sequence[str], between: Sequence[int | None], said: Sequence[str]
) -> tuple[str, ...]:
    """The whole head as it was said, where it agrees with the file."""
    shown = f"--head {' '.join(said)}"
    kinds = [parted(word)[0] for word in said]
    end = max(at for at, kind in enumerate(kinds) if kind in WITH_WEIGHTS)
    inner = [at for at, kind in enumerate(kinds) if kind in WITH_WEIGHTS]
    sizes = [parted(said[at])[1] for at in inner]
    same = [parted(word)[0] for word in own] == [kinds[at] for at in inner]
    fits = same and all(
        not size or int(float(size)) == layer.outputs
        for size, layer in zip(sizes, layers, strict=True)
    )
    if not fits:
        raise NetworkError(f"{shown} is another head than the file's, {_shown(own, layers)}.")
    starts = [-1, *inner]
    for at, layer in enumerate(layers):
        count, room = inner[at] - starts[at] - 1, between[at]
        if room is not None and count > room:
            raise NetworkError(
                f"{shown} has {count} layers before {layer.name}, where the file's numbers leave "
                f"room for {room}."
            )
    if any(kind not in AT_THE_END for kind in kinds[end + 1 :]):
        raise NetworkError(f"{shown} does not end in the linear layer that answers.")
    return tuple(
        own[inner.index(at)] if at in inner else word for at, word in enumerate(said[: end + 1])
    )


def _question(layers: Sequence[Layer], own: Sequence[str], between: Sequence[int | None]) -> str:
    names = listed([layer.name for layer in layers])
    count = sum(layer.kind == LINEAR for layer in layers)
    return (
        f"with {count} linear layers in place of the last one ({names}), and no file of weights "
        f"says what lies between them: {_example(own, between)}"
    )


def _example(own: Sequence[str], between: Sequence[int | None]) -> str:
    words: list[str] = []
    for room, word in zip([0, *between[1:]], own, strict=True):
        if room != 0:
            first = "relu" if any(LINEAR in word for word in words) else "dropout"
            words += [first, *["dropout"] * ((room or 1) - 1)]
        words.append(word)
    return f"give --head relu where it is ReLU, or the whole head, such as --head {' '.join(words)}"


def _shown(own: Sequence[str], layers: Sequence[Layer]) -> str:
    return " ".join([*own[:-1], f"{LINEAR} {layers[-1].outputs}"])
