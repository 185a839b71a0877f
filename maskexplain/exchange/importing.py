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
from ..models.checkpoints import FOLDER, list_versions, write_weights
from ..models.network import CLASSES, NETWORKS, build_network
from .torch_files import TensorFile, read_tensor_file

BATCH = 32


@dataclass(frozen=True)
class OrderFit:
    """How well an order of the outputs fits labelled faces: balanced accuracy, 0..1."""

    classes: tuple[str, ...]
    balanced_accuracy: float


@torch.inference_mode()
def fit_orders(network: nn.Module, pictures: Sequence[Picture]) -> list[OrderFit]:
    """All six orders of the classes, the best fitting one first. Raises DataError."""
    counts = torch.zeros(len(CLASSES), len(CLASSES))  # label, output
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        outputs = network(network.transform.batch([read_crop(p.file) for p in part])).argmax(1)
        for picture, output in zip(part, outputs.tolist(), strict=True):
            counts[picture.label, output] += 1
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    fits = [OrderFit(order, _balanced(shares, order)) for order in permutations(CLASSES)]
    return sorted(fits, key=lambda fit: -fit.balanced_accuracy)


def _balanced(shares: torch.Tensor, order: Sequence[str]) -> float:
    right = [shares[CLASSES.index(label), output] for output, label in enumerate(order)]
    return float(sum(right)) / len(CLASSES)


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
    than another one is refused. The weights of the last layer are put into this program's order.
    Pictures go in as the network's `transform` says.

    Raises UserError (and FileError) where the file does not fit, is more than tensors, names other
    classes, or the name is taken and `replace` is not given.
    """
    path = _free_place(name, replace, folder)
    content = read_tensor_file(file)
    network_name = _fitting_network(file, content.tensors)
    order = _class_order(file, content, classes)
    network = build_network(network_name).eval().requires_grad_(False)
    network.load_state_dict({key: t.float() for key, t in content.tensors.items()})
    _check_finite(file, network)
    fit = _check_order(file, network, order, labelled) if labelled else None
    _reorder(network, order)
    write_weights(path, network, network_name, half=False)
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


def _plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds real numbers, all of them, in memory."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return dense and not tensor.is_complex() and not tensor.is_quantized


def _fitting_network(file: Path, tensors: dict[str, torch.Tensor]) -> str:
    odd_ones = [name for name, tensor in tensors.items() if not _plain(tensor)]
    if odd_ones:
        raise UserError(f"{file} holds {odd_ones[0]} as no plain numbers: save it dense and real.")
    found = {(name, tuple(t.shape)) for name, t in tensors.items()}
    odd = {name: _shapes(name) ^ found for name in NETWORKS}
    best = min(odd, key=lambda name: len(odd[name]))
    if odd[best]:
        tensor = min(odd[best])[0]
        raise UserError(
            f"{file} does not fit any network here; of the nearest one, {best}, {tensor} is "
            f"missing, foreign or of another shape (networks: {', '.join(NETWORKS)})."
        )
    return best


def _shapes(network_name: str) -> set[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):  # shapes alone
        network = build_network(network_name)
    return {(name, tuple(t.shape)) for name, t in network.state_dict().items()}


def _class_order(file: Path, content: TensorFile, wanted: Sequence[str] | None) -> tuple[str, ...]:
    told = content.classes
    for order in (told, wanted):
        if order is not None and sorted(order) != sorted(CLASSES):
            raise UserError(
                f"{file} must answer the classes {', '.join(CLASSES)}, in any order: "
                f"{', '.join(order)[:200]} are others."
            )
    if told and wanted and tuple(wanted) != told:
        raise UserError(f"{file} says that its classes are {', '.join(told)}: leave out --classes.")
    return tuple(told or wanted or CLASSES)


def _check_order(
    file: Path, network: nn.Module, order: tuple[str, ...], labelled: Sequence[Picture]
) -> OrderFit:
    fits = fit_orders(network, labelled)
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


def _reorder(network: nn.Module, order: Sequence[str]) -> None:
    """Put the last layer's outputs, which stand for `order`, into this program's order."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    rows = [order.index(label) for label in CLASSES]
    with torch.no_grad():
        last.weight.copy_(last.weight[rows].clone())
        last.bias.copy_(last.bias[rows].clone())
