"""Other people's weights as a version of this program: checked, then written as all others are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import torch
from torch import nn

from ..data.folder import Picture, read_crop
from ..errors import UserError
from ..masks.task import MASK
from ..models.checkpoints import FOLDER, list_versions, write_weights
from ..models.network import NETWORKS, build_network, check_network, last_linear
from ..task import KNOWN, Task, task_of_names
from .torch_files import TensorFile, read_tensor_file

BATCH = 32
MOST_ORDERED = 6  # classes whose order labelled pictures can find: all orders are tried


@dataclass(frozen=True)
class OrderFit:
    """How well an order of the outputs fits labelled faces: balanced accuracy, 0..1."""

    classes: tuple[str, ...]
    balanced_accuracy: float


@torch.inference_mode()
def fit_orders(network: nn.Module, task: Task, pictures: Sequence[Picture]) -> list[OrderFit]:
    """All orders of the task's classes, the best fitting one first. Raises DataError."""
    counts = torch.zeros(len(task), len(task))  # label, output
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        outputs = network(network.transform.batch([read_crop(p.file) for p in part])).argmax(1)
        for picture, output in zip(part, outputs.tolist(), strict=True):
            counts[picture.label, output] += 1
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    fits = [OrderFit(order, _balanced(shares, task, order)) for order in permutations(task.names)]
    return sorted(fits, key=lambda fit: -fit.balanced_accuracy)


def _balanced(shares: torch.Tensor, task: Task, order: Sequence[str]) -> float:
    right = [shares[task.index(label), output] for output, label in enumerate(order)]
    return float(sum(right)) / len(task)


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Imported:
    """A version that was imported: its network's registered name, its file, and the classes in the
    order of the given file's outputs; `told` says whether that order is known or only assumed.
    `fit` is how well it fits labelled faces, where some were given.
    """

    name: str
    network: str
    path: Path
    classes: tuple[str, ...]
    told: bool
    fit: OrderFit | None = None


def import_version(
    file: Path,
    name: str,
    classes: Sequence[str] | None = None,
    replace: bool = False,
    labelled: Sequence[Picture] = (),
    folder: Path = FOLDER,
) -> Imported:
    """Make a version of a TorchScript, state dict or safetensors file.

    Every registered network is tried: the file must hold its tensors, all of them and no other,
    in its shapes. Neither names nor shapes say in which order the outputs stand for the classes:
    that is taken from the file where it says so, else from `classes`, else assumed to be
    alphabetical, as ImageFolder makes it. `labelled` faces find out: an order that fits them worse
    than another one is refused. Where the classes are those of a known task, the weights of the
    last layer are put into its order; other classes keep the file's. Pictures go in as the
    network's `transform` says.

    Raises UserError (and FileError) where the file does not fit, is more than tensors, or the name
    is taken and `replace` is not given.
    """
    path = _free_place(name, replace, folder)
    content = read_tensor_file(file)
    order = _class_order(file, content, classes)
    task = task_of_classes(order)
    network_name = _fitting_network(file, content.tensors, len(task))
    network = build_network(network_name, len(task)).eval().requires_grad_(False)
    network.load_state_dict({key: t.float() for key, t in content.tensors.items()})
    _check_finite(file, network)
    check_network(network, network_name, len(task))
    fit = _check_order(file, network, task, order, labelled) if labelled else None
    _reorder(network, task, order)
    write_weights(path, network, network_name, task, half=False)
    path.with_suffix(".json").unlink(missing_ok=True)  # those of a version that stood there
    return Imported(name, network_name, path, order, bool(content.classes or classes), fit)


def _free_place(name: str, replace: bool, folder: Path) -> Path:
    if not NAME.fullmatch(name):
        raise UserError(
            "A version's name begins with a letter and has up to 40 letters, digits, - and _."
        )
    # As on disks that take V3 and v3 for one file.
    taken = {version.casefold(): version for version in list_versions(folder)}.get(name.casefold())
    if taken is not None and (taken != name or not replace):
        raise UserError(f"There is a version {taken} already: take another name, or --replace.")
    return folder / f"{name}.safetensors"


def task_of_classes(names: Sequence[str]) -> Task:
    """The known task with these classes in any order, or a plain one in this order.

    Raises TaskError.
    """
    known = (task for task in KNOWN.values() if sorted(task.names) == sorted(names))
    return next(known, None) or task_of_names(names)


def _plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds real numbers, all of them, in memory."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and not tensor.is_complex() and not tensor.is_quantized


def _fitting_network(file: Path, tensors: dict[str, torch.Tensor], classes: int) -> str:
    odd_ones = [name for name, tensor in tensors.items() if not _plain(tensor)]
    if odd_ones:
        raise UserError(f"{file} holds {odd_ones[0]} as no plain numbers: save it dense and real.")
    found = {(name, tuple(t.shape)) for name, t in tensors.items()}
    odd = {name: _shapes(name, classes) ^ found for name in NETWORKS}
    best = min(odd, key=lambda name: len(odd[name]))
    if odd[best]:
        tensor = min(odd[best])[0]
        raise UserError(
            f"{file} does not fit any network here; of the nearest one, {best}, {tensor} is "
            f"missing, foreign or of another shape for {classes} classes (networks: "
            f"{', '.join(NETWORKS)}; --classes names other classes)."
        )
    return best


def _shapes(network_name: str, classes: int) -> set[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):  # shapes alone
        network = build_network(network_name, classes)
    return {(name, tuple(t.shape)) for name, t in network.state_dict().items()}


def _class_order(file: Path, content: TensorFile, given: Sequence[str] | None) -> tuple[str, ...]:
    named = content.classes
    if named and given and tuple(given) != named:
        raise UserError(
            f"{file} says that its classes are {', '.join(named)[:200]}: leave out --classes."
        )
    return tuple(named or given or MASK.names)


def _check_order(
    file: Path,
    network: nn.Module,
    task: Task,
    order: tuple[str, ...],
    labelled: Sequence[Picture],
) -> OrderFit:
    if len(task) > MOST_ORDERED:
        raise UserError(
            f"Labelled pictures find the order of up to {MOST_ORDERED} classes: leave out --data."
        )
    fits = fit_orders(network, task, labelled)
    own = next(fit for fit in fits if fit.classes == order)
    if own.balanced_accuracy < fits[0].balanced_accuracy:
        raise UserError(
            f"{file} fits the labelled faces better ({fits[0].balanced_accuracy:.1%} against "
            f"{own.balanced_accuracy:.1%}) with --classes {' '.join(fits[0].classes)}."
        )
    return own


def _check_finite(file: Path, network: nn.Module) -> None:
    if not all(torch.isfinite(t).all() for t in network.state_dict().values()):
        raise UserError(f"{file} holds weights that are not finite: save a sound one.")


def _reorder(network: nn.Module, task: Task, order: Sequence[str]) -> None:
    """Put the last layer's outputs, which stand for `order`, into the task's order."""
    last, rows = last_linear(network), [order.index(label) for label in task.names]
    if last is None:
        raise UserError("The network ends in no linear layer: its classes cannot be put in order.")
    with torch.no_grad():
        last.weight.copy_(last.weight[rows].clone())
        last.bias.copy_(last.bias[rows].clone())
