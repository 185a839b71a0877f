"""A file's last layers: found by names and shapes, and by what a person or TorchScript says."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from ..models.by_name import shape_into
from ..models.network import NetworkError
from ..models.own_head import (
    AS_VALUES,
    CONV,
    LINEAR,
    NOTHING,
    HeadUnknown,
    Layer,
    OwnHead,
    is_chain,
    layers_in,
    script_words,
    settled,
)
from ..words import listed
from .forms import Built, Tensors, Wanted, counts, shapes_of, unlike
from .torch_files import Stored


def last_layers(wanted: Wanted, place: str, plain: Mapping[str, Stored]) -> list[Layer]:
    """The layers in the last one's place: most people put another one there, or several.

    Then those beside a network that stands in another one, such as `classifier` beside `backbone.`,
    where they go on from there or nothing is in its place.
    """
    top = place + ("" if wanted.numbered else wanted.place.partition(".")[0] + ".")
    body = {place + name for name in wanted.body}
    inside = layers_in(
        {
            name: tensor.shape
            for name, tensor in plain.items()
            if name.startswith(top) and name not in body and counts(name[len(place) :], tensor)
        }
    )
    behind = _behind(place, plain)
    if not inside or (is_chain(inside) and is_chain([*inside, *behind])):
        return [*inside, *behind]
    return inside


def _behind(place: str, plain: Mapping[str, Stored]) -> list[Layer]:
    """The layers beside a network in another one, where they are one chain."""
    container, slash, dotted = place.rpartition("/")
    parent, point, _ = dotted.rstrip(".").rpartition(".")
    root = container + slash + parent + point
    layers = layers_in(
        {
            name: tensor.shape
            for name, tensor in plain.items()
            if dotted and name.startswith(root) and not name.startswith(place)
            if counts(name.removeprefix(root), tensor)
        }
    )
    return layers if is_chain(layers) and layers[-1].kind == LINEAR else []


def own_head_of(
    wanted: Wanted, layers: Sequence[Layer], plain: Tensors, built: Built
) -> OwnHead | None:
    """The file's last layers, where they are not the library's own. Raises NetworkError."""
    shown = wanted.shown(wanted.last)
    if not layers:
        raise NetworkError(unlike(f"{shown}.weight", None, ()))
    if not is_chain(layers):
        odd = listed([layer.name for layer in layers])
        raise NetworkError(f"in place of {shown} it has {odd}, which take and give other values")
    _check_bias(wanted, layers[-1], plain)
    _check_form(wanted, layers, plain, built)
    words = settled(layers, _told(wanted, layers, plain, built))
    width = next(layer.inputs for layer in layers if layer.kind in (LINEAR, CONV))
    if _is_usual(wanted, layers, words, plain):
        if width != wanted.inputs:
            raise NetworkError(f"{shown}.weight takes {width} values in place of {wanted.inputs}")
        return None
    if ":" not in wanted.network or wanted.sides == 4 and wanted.place == wanted.last:
        raise NetworkError(f"{len(layers)} layers are in place of {shown}")
    return OwnHead(wanted.place, width, (*_as_values(wanted, width, words), *_rest(words)))


def _check_form(wanted: Wanted, layers: Sequence[Layer], plain: Tensors, built: Built) -> None:
    """Raise NetworkError where the last layers are better understood by another form.

    Several in one row with the library's own may all be somebody's, with another activation. Where
    the library's own stand before one layer, or before some that stand in its place, they are its,
    unless TorchScript says otherwise.
    """
    owner = wanted.last.rpartition(".")[0]
    in_a_row = [one for one in layers if owner and _ends(one.name.rpartition(".")[0], owner)]
    foreign = _is_foreign(wanted, in_a_row, plain)
    whole = any(word.startswith(LINEAR) for word in built.head or ())
    if wanted.place == wanted.last:
        linear = any(len(wanted.body[k]) == 2 for k in wanted.body if k.startswith(f"{owner}."))
        if foreign or (len(layers) > 1 and in_a_row and linear):
            raise NetworkError(f"{len(layers)} layers are in place of {wanted.last}")
    elif wanted.inner and not foreign and not whole:
        own = {name: plain[name].shape for layer in layers for name in _tensors(layer, plain)}
        kept = [
            any(_ends(name, k) and shape == own[name] for name in own)
            for k, shape in wanted.inner.items()
        ]
        behind = len(in_a_row) - len({k.rpartition(".")[0] for k in wanted.inner})
        if all(kept) and behind < 2:
            raise NetworkError(f"{wanted.last} and the layers before it are the library's")


def _is_foreign(wanted: Wanted, in_a_row: Sequence[Layer], plain: Tensors) -> bool:
    """Whether TorchScript has other layers than the library in a row with the last one."""
    row = in_a_row[0].name.rpartition(".")[0] if in_a_row else ""
    kinds = wanted.kinds.items()
    return any(plain.kinds.get(f"{row}.{number}", kind) != kind for number, kind in kinds)


def _ends(name: str, with_: str) -> bool:
    """Whether a file's name is a network's own, behind whatever place."""
    return name == with_ or name.endswith((f".{with_}", f"/{with_}"))


def _tensors(layer: Layer, plain: Mapping[str, Stored]) -> Iterator[str]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return (f"{layer.name}.{part}" for part in parts if f"{layer.name}.{part}" in plain)


def _is_usual(
    wanted: Wanted, layers: Sequence[Layer], words: Sequence[str], plain: Mapping[str, Stored]
) -> bool:
    """Whether a file has one layer in place of the library's last one, and nothing before it."""
    if wanted.place != wanted.last or len(layers) > 1:
        return False
    sides = len(plain[f"{layers[0].name}.weight"].shape)
    return sides in (wanted.sides, 4) and not set(words) - {LINEAR, *NOTHING, *AS_VALUES}


def _told(
    wanted: Wanted, layers: Sequence[Layer], plain: Tensors, built: Built
) -> Sequence[str] | None:
    """The words of the last layers, by TorchScript or a person. Raises NetworkError."""
    scripted = _scripted(wanted, layers, plain)
    if not scripted or not built.head:
        return scripted or built.head
    own, said = settled(layers, scripted), settled(layers, built.head)
    if [w for w in own if w not in NOTHING] != [w for w in said if w not in NOTHING]:
        raise NetworkError(f"its last layers are {' '.join(own)}, so leave out --head")
    return scripted


def _scripted(wanted: Wanted, layers: Sequence[Layer], plain: Tensors) -> tuple[str, ...] | None:
    """What TorchScript says of the chain that the last layers are in, where they are in one."""
    owners = {layer.name.rpartition(".")[0] for layer in layers}
    owner, number = wanted.last.rpartition(".")[::2]
    [place, *others] = owners
    if others:
        return None
    # Before the place of the library's last layer its own layers stand.
    kept = wanted.place == wanted.last and owner and _ends(place, owner)
    return script_words(plain.kinds, place, int(number) if kept and number.isdecimal() else 0)


def _check_bias(wanted: Wanted, layer: Layer, plain: Mapping[str, Stored]) -> None:
    bias, shape = plain.get(f"{layer.name}.bias"), (layer.outputs,)
    if bias is not None and bias.shape != shape:
        raise NetworkError(unlike(wanted.shown(f"{wanted.last}.bias"), bias, shape))


def _as_values(wanted: Wanted, width: int, words: Sequence[str]) -> tuple[str, ...]:
    """How what comes to the last layers becomes the values that they take. Raises NetworkError."""
    shape = shape_into(shapes_of(wanted.network, wanted.size), wanted.place, wanted.size)
    values = torch.Size(shape).numel()
    told = tuple(word for word in words if word in ("mean", "max"))[:1]
    if len(shape) > 1 and width == shape[0]:
        if told or values == width:
            return told or ("flatten",)
        raise HeadUnknown(
            f"whose last layers take the {width} channels of a map: say how they become values, "
            f"such as --head mean {' '.join(_rest(words))} for nn.AdaptiveAvgPool2d(1)"
        )
    if values != width:
        raise NetworkError(f"its last layers take {width} values in place of {values}")
    return ("flatten",) if len(shape) > 1 else ()


def _rest(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in AS_VALUES)


def head_tensors(
    place: str, own_head: OwnHead, layers: Sequence[Layer], plain: Mapping[str, Stored]
) -> dict[str, Stored]:
    """The tensors of all last layers but the last one, by the names that they get here."""
    found = {}
    for number, layer in zip(own_head.with_weights()[:-1], layers, strict=False):
        for name in _tensors(layer, plain):
            found[f"{place}.{number}.{name.rpartition('.')[2]}"] = plain[name]
    return found
