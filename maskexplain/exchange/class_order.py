"""In which order a network's outputs stand for the classes: read, found by pictures, or asked for.

Neither names nor shapes of weights tell it, and a wrong order is a wrong answer for every picture.
So it is never assumed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.folder import Picture, read_crop
from ..data.names import known_names
from ..errors import UserError
from ..masks.task import MASK
from ..task import Task
from ..words import listed

BATCH = 32
MOST_ORDERED = 6  # classes of which all orders are tried; of more the likely ones
CLEAR = 0.1  # balanced accuracy by which another order must be better to be worth a word
ERRORS = 2  # by how many standard errors an order must beat every other one to be found
FEWEST = 3  # labelled pictures of each class that can tell
MAX_JSON = 2**20
DEPTH = 5  # containers inside each other
# Where programs keep the names, in small letters without _ and -: torchvision, fastai, Hugging
# Face, YOLO, Keras, scikit-learn.
KEYS = re.compile(
    r"(class(es)?|labels?|categor(y|ies)|targets?)(names?|list|map(ping)?|dict|indices|encoder)?"
    r"|(class|label|name|cls)(es|s)?(to|2)(idx|index|id|int|num)"
    r"|(idx|index|id|int|num)(to|2)(class|label|name|cls)(es|s)?|names|vocab"
)
FROM_NAMES = re.compile(
    r"^(class|label|name|cls)(es|s)?(to|2)"
)  # of a dict that gives each name its index
OF_CLASSES = re.compile(r"class|label|categor|idx|id2")  # in the name of a JSON of nothing else
BESIDE = re.compile(f"{OF_CLASSES.pattern}|mapping|config|names")  # of one that may tell, too
SEED_FILES = ("model_v1_scripted.pth", "model_v2_scripted.pth")  # the original program's


@dataclass(frozen=True)
class ClassOrder:
    """Classes in the order of a file's outputs, and what told it, as words for people.

    `told`: what the classes were called there.
    """

    classes: tuple[str, ...]
    source: str
    told: tuple[str, ...] = ()

    def by_known_names(self) -> "ClassOrder":
        """With the mask task's names, where all are known to it."""
        return replace(self, classes=known_names(self.classes), told=self.classes)


@dataclass(frozen=True)
class OrderFit:
    """How well an order of the outputs fits labelled faces: balanced accuracy, 0..1."""

    classes: tuple[str, ...]
    balanced_accuracy: float


def told_order(
    file: Path, notes: Sequence[Any], outputs: int, given: Sequence[str] | None, faces: bool = True
) -> ClassOrder | None:
    """The order that the file, a JSON beside it or `given` tells; None where nothing does.

    Of a network for `faces`, other names of the mask task's classes are read as these. Raises
    UserError where two orders differ, or name another number of classes.
    """
    found = [order for order in _all_orders(file, notes) if len(order.classes) == outputs]
    if faces:
        found = [order.by_known_names() for order in found]
    named = {order.classes: order for order in reversed(found)}
    if given is not None:
        own = ClassOrder(tuple(given), "--classes")
        return _given_order(file, named, outputs, own.by_known_names() if faces else own)
    if len(named) > 1:
        said = listed([f"{', '.join(o.classes)[:200]} ({o.source})" for o in named.values()])
        raise UserError(f"{file} comes with two orders of classes, {said}: choose with --classes.")
    return next(iter(named.values()), None)


def _given_order(
    file: Path, named: dict[tuple[str, ...], ClassOrder], outputs: int, given: ClassOrder
) -> ClassOrder:
    if len(given.classes) != outputs:
        raise UserError(
            f"{file} has {outputs} outputs, but --classes names {len(given.classes)}: name one for "
            "each."
        )
    # Numbers are no names: whoever gives names for them contradicts nothing.
    telling = {order for order in named if not are_numbers(order)}
    if telling and given.classes not in telling:
        said = listed([", ".join(order)[:200] for order in telling])
        raise UserError(f"{file} says that its classes are {said}: leave out --classes.")
    return given


def are_numbers(names: Sequence[str]) -> bool:
    """Whether classes are called by numbers alone, "0" or Hugging Face's "LABEL_0"."""
    return all(re.fullmatch(r"(label|class)?[ _-]?\d+", name, re.I) for name in names)


def assumed_nothing(file: Path, notes: Sequence[Any], outputs: int) -> UserError:
    """The question for whoever can answer it."""
    other = next((o for o in _all_orders(file, notes) if len(o.classes) != outputs), None)
    also = f" ({other.source} names {len(other.classes)} classes)" if other else ""
    return UserError(
        f"{file} does not say for which classes its {outputs} outputs stand{also}: give --classes "
        "in the order of its training (ImageFolder's is alphabetical), or labelled pictures, "
        "--data DIR."
    )


def seed_order(file: Path, network_name: str, outputs: int) -> ClassOrder | None:
    """The original program's two files are known by their names."""
    if file.name in SEED_FILES and network_name == "seed_cnn" and outputs == len(MASK):
        return ClassOrder(MASK.names, "the original program's file")
    return None


def _all_orders(file: Path, notes: Sequence[Any]) -> list[ClassOrder]:
    """What the file says, then what the JSONs beside it say."""
    inside = [ClassOrder(c, f"{file.name}, {key}") for c, key in _named_orders(list(notes))]
    return inside + [order for beside in _jsons(file) for order in _json_orders(beside)]


def _jsons(file: Path) -> list[Path]:
    def of_this_file(json_file: Path) -> bool:
        stem = json_file.stem
        own = stem == file.stem or stem.startswith((f"{file.stem}_", f"{file.stem}."))
        return own or BESIDE.search(stem.lower()) is not None

    found = sorted(path for path in file.parent.glob("*.json") if of_this_file(path))
    return [path for path in found if path.is_file() and path.stat().st_size <= MAX_JSON]


def _json_orders(file: Path) -> Iterator[ClassOrder]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return  # a stranger beside the weights
    whole = _order(content, "")
    # {"epoch": 1, "loss": 0} gives no names their indices.
    by_name = isinstance(content, dict) and not any(_whole(key) is not None for key in content)
    if whole and (not by_name or OF_CLASSES.search(file.stem.lower())):
        yield ClassOrder(whole, file.name)
    for classes, key in _named_orders(content):
        yield ClassOrder(classes, f"{file.name}, {key}")


def _named_orders(content: Any, depth: int = DEPTH) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every order in containers inside each other, with the key that it stands under."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content)) if len(content) < 100 else {}
    for key, value in _items(content):
        plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
        order = _order(value, plain) if KEYS.fullmatch(plain) else None
        if order:
            yield order, str(key)
        elif depth:
            yield from _named_orders(value, depth - 1)


def _items(content: Any) -> list[tuple[Any, Any]]:
    """What a container holds by names: a dict's items, and an object's attributes."""
    items = list(content.items()) if isinstance(content, dict) else []
    state = getattr(content, "state", None)  # of what an unknown class was made of
    items += list(state.items()) if isinstance(state, dict) else []
    return items + (list(vars(content).items()) if type(content).__name__ == "Module" else [])


def _order(value: Any, key: str) -> tuple[str, ...] | None:
    """Names in the order of the outputs, from a list or a dict in either direction; else None."""
    if isinstance(value, str) and value[:1] in "[{":  # safetensors' metadata are texts
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, dict):
        value = _by_index(dict(_items(value)), key)
    elif not isinstance(value, list | tuple):
        value = next((inner for name, inner in _items(value) if name == "classes_"), None)
    names = [name.strip() for name in value or () if isinstance(name, str) and name.strip()]
    same = len(names) == len(value or ()) and len(set(names)) == len(names) >= 2
    return tuple(names) if same else None


def _by_index(found: dict, key: str) -> list[str] | None:
    """The names of {index: name} or {name: index} in the order of the indices, 0, 1, 2, ..."""
    if "classes_" in found:  # scikit-learn's LabelEncoder
        return found["classes_"]
    indexed = [(_whole(k), v) for k, v in found.items()]
    turned = [(_whole(v), k) for k, v in found.items()]
    sides = [turned, indexed] if FROM_NAMES.match(key) else [indexed, turned]
    for side in sides:
        if sorted(str(i) for i, _ in side) == sorted(str(i) for i in range(len(side))):
            return [str(name) for _, name in sorted(side, key=lambda pair: pair[0])]
    return None


def _whole(value: Any) -> int | None:
    """A whole number, also as a text, a float or a list of one."""
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- labelled pictures


@torch.inference_mode()
def fit_orders(
    network: nn.Module,
    task: Task,
    pictures: Sequence[Picture],
    own: tuple[str, ...] | None = None,
) -> list[OrderFit]:
    """Orders of the task's classes, the best fitting one first. Raises DataError.

    All of them; of many classes `own` and the one that answers most are right in, where each output
    has a class of its own, each also with any two classes exchanged.
    """
    counts = torch.zeros(len(task), len(task))  # label, output
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        outputs = network(network.transform.batch([read_crop(p.file) for p in part])).argmax(1)
        for picture, output in zip(part, outputs.tolist(), strict=True):
            counts[picture.label, output] += 1
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    orders: Iterable[tuple[str, ...]] = permutations(task.names)
    if len(task) > MOST_ORDERED:
        likely = tuple(task.names[label] for label in shares.argmax(0).tolist())
        starts = [order for order in (own, likely) if order and len({*order}) == len(task)]
        orders = dict.fromkeys(near for order in starts for near in _neighbours(order))
    fits = [OrderFit(order, _balanced(shares, task, order)) for order in orders]
    return sorted(fits, key=lambda fit: -fit.balanced_accuracy)


def _neighbours(order: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The order, and it with any two exchanged."""
    yield order
    for a, b in combinations(order, 2):
        yield tuple({a: b, b: a}.get(name, name) for name in order)


def _balanced(shares: torch.Tensor, task: Task, order: Sequence[str]) -> float:
    right = [shares[task.index(label), output] for output, label in enumerate(order)]
    return float(sum(right)) / len(task)


def check_order(
    file: Path,
    network: nn.Module,
    task: Task,
    order: tuple[str, ...],
    labelled: Sequence[Picture],
) -> OrderFit:
    """How well an order fits. Raises UserError where another one clearly fits better."""
    best, *_, own = _fits(file, network, task, labelled, order)
    if own.balanced_accuracy < best.balanced_accuracy - _clear(task):
        raise UserError(
            f"{file} fits the labelled faces better ({best.balanced_accuracy:.1%} against "
            f"{own.balanced_accuracy:.1%}) with --classes {' '.join(best.classes)}."
        )
    return own


def _clear(task: Task) -> float:
    """By what balanced accuracy another order must be better: of many classes two weigh little."""
    return CLEAR * min(1, MOST_ORDERED / len(task))


def find_order(file: Path, network: nn.Module, task: Task, labelled: Sequence[Picture]) -> OrderFit:
    """The order that labelled pictures tell. Raises UserError where they do not tell it clearly."""
    best, second, *_ = _fits(file, network, task, labelled)
    counts = [sum(p.label == label for p in labelled) for label in range(len(task))]
    apart = 2 / len(task) if len(task) > MOST_ORDERED else 1  # two exchanged classes change so much
    clear = max(_clear(task), ERRORS * (apart / len(labelled)) ** 0.5)
    if min(counts) < FEWEST or best.balanced_accuracy < second.balanced_accuracy + clear:
        raise UserError(
            f"{file} answers the labelled pictures about as well in two orders of its classes "
            f"({best.balanced_accuracy:.1%} and {second.balanced_accuracy:.1%} right): give "
            "--classes, or more pictures."
        )
    return best


def _fits(
    file: Path,
    network: nn.Module,
    task: Task,
    labelled: Sequence[Picture],
    own: tuple[str, ...] | None = None,
) -> list[OrderFit]:
    """The orders, the best first; where one is asked about, that one last."""
    fits = fit_orders(network, task, labelled, own)
    if not fits:
        raise UserError(
            f"{file} gives no class of the labelled pictures to each of its outputs: give "
            "--classes, or more pictures."
        )
    return fits + [fit for fit in fits if fit.classes == own]
