"""Other people's weights in as a version, and a version out as TorchScript or ONNX.

In: checked, then written as all versions are. Out: for programs that are not this one, verified
before it stays.

The exported network takes what `EvaluationTransform` makes of face crops, float32 N x 3 x S x S
(RGB, resized to S x S by bilinear interpolation with antialiasing, 0..1, less the mean, over the
standard deviation), any N, and gives logits N x classes in the task's order. They have been divided
by the version's temperature already: their softmax is the probability that the page shows. S,
mean, standard deviation and classes are packed into the file (TorchScript: the extra file
maskexplain.json; ONNX: metadata), where `import` finds the classes again.
"""

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from ..data.folder import Picture
from ..errors import UserError
from ..files import write_file
from ..models.by_name import runs_in_order, usual_transform
from ..models.checkpoints import (
    FOLDER,
    check_answers,
    free_place,
    read_checkpoint,
    write_results,
    write_weights,
)
from ..models.network import (
    NETWORKS,
    EvaluationTransform,
    build_network,
    check_network,
    in_parts,
    last_layer,
)
from ..models.own_head import OwnHead
from ..models.results import Results
from ..task import MAX_CLASSES, MIN_CLASSES, Task, task_of_classes
from .class_order import (
    ClassOrder,
    OrderFit,
    assumed_nothing,
    check_order,
    find_order,
    seed_order,
    told_order,
)
from .forms import Built
from .torch_files import NOTES, Stored, read_tensor_file
from .weights import Found, find_weights, named_weights

# A gray picture is the sum of its colours by these shares (ITU-R BT.601, as Pillow's mode L).
GRAY = (0.299, 0.587, 0.114)
HALF = (0.5, 0.5, 0.5)  # what most people subtract of a gray picture, and divide it by

# The labelled pictures of the classes with these names; without names, of all that are there.
Labelled = Callable[[Sequence[str] | None], tuple[Task, Sequence[Picture]]]
# The temperature of a network whose answers are of a task's classes, and what its JSON says of it.
Fit = Callable[[nn.Module, Task], tuple[float, Results]]


@dataclass(frozen=True)
class Imported:
    """A version that was imported: its network's registered name, its file, and the classes in the
    order of the given file's outputs; `source` says what told that order, `place` where in the file
    the weights lay, `last` the last layer where it lay elsewhere. `told`: what that source calls
    the classes, empty where it calls them so. `own_head`: the last layers, where they are not the
    library's. `transform`: how a picture goes in, and whether it is made `gray`.
    `passed_over`: other weights beside them that may count. `fit` is how well the order fits the
    labelled pictures, where some were given; `measured` what was fitted on them.
    """

    name: str
    network: str
    path: Path
    classes: tuple[str, ...]
    source: str
    place: str
    last: str
    transform: EvaluationTransform
    gray: bool = False
    own_head: OwnHead | None = None
    told: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    fit: OrderFit | None = None
    measured: Results = Results()


def import_version(
    file: Path,
    name: str,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    labelled: Labelled | None = None,
    folder: Path = FOLDER,
    built: Built = Built(),  # noqa: B008  (frozen)
    fit: Fit | None = None,
) -> Imported:
    """Make a version of a TorchScript, state dict or safetensors file.

    Every registered network is tried, then torchvision's: the file must hold its tensors, in its
    shapes, under any common prefix. In which order the outputs stand for the classes is taken from
    the file or a JSON beside it where they say so, else from `classes`, else found by `labelled`
    pictures; an order that fits these clearly worse than another one is refused. Nothing is
    assumed. Where the classes are those of a known task, the weights of the last layer are put into
    its order; other classes keep the file's. Pictures go in as `built` or the network says. `fit`
    gives the temperature, and what else is known of the answers.

    Raises UserError (and FileError) where the file does not fit, nothing tells the order, or the
    name is taken and `overwrite` is not given.
    """
    path = free_place(name, overwrite, folder)
    content = read_tensor_file(file)
    tensors = _thawed(file, content.frozen, built) if content.frozen else content.tensors
    found, others = find_weights(file, tensors, built, content.kinds)
    network = _filled(file, found, built)
    order = told_order(file, content.notes, found.outputs, classes, built.faces)
    order = order or seed_order(file, found.network, found.outputs)
    if not order and not labelled:
        raise assumed_nothing(file, content.notes, found.outputs)
    order, task, order_fit = _settled(file, network, found.outputs, order, labelled)
    task = task if built.faces else replace(task, faces=False)
    _reorder(network, task, order.classes)
    temperature, results = fit(network, task) if fit else (1.0, Results())
    write_weights(path, network, found.network, task, half=False, temperature=temperature)
    path.with_suffix(".json").unlink(missing_ok=True)  # those of a version that stood there
    if results != Results():
        write_results(path, results)
    return Imported(
        name,
        found.network,
        path,
        order.classes,
        order.source,
        found.place,
        "" if found.last.startswith(found.place) else found.last,
        network.transform,
        found.gray,
        found.own_head,
        order.told if order.told != order.classes else (),
        others,
        order_fit,
        results,
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


def _filled(file: Path, found: Found, built: Built) -> nn.Module:
    """The network with the file's weights. Raises UserError where it cannot answer here."""
    if found.outputs > MAX_CLASSES:
        raise UserError(
            f"{file} has {found.outputs} outputs, and a version answers {MIN_CLASSES} to "
            f"{MAX_CLASSES} classes: train it for yours first (maskexplain train NAME --network "
            f"{found.network} --data DIR)."
        )
    network = _network(file, found, built).eval().requires_grad_(False)
    _fill(file, network, found)
    check_network(network, found.network, found.outputs)
    check_answers(file, network)
    size = network.transform.size
    if found.numbered and not runs_in_order(network.network, found.numbered, size):
        raise UserError(
            f"{file} has numbers for its parts, as nn.Sequential(*network.children()) gives them, "
            f"but {found.network} does more than run its parts in order: what yours does there is "
            "not in the file, so give one of the network itself."
        )
    return network


def _network(file: Path, found: Found, built: Built) -> nn.Module:
    """The network of a file with random weights, for pictures as they go in."""
    if ":" in found.network:
        transform = _transform(file, usual_transform(found.network), found, built)
        return build_network(found.network, found.outputs, transform, built.layer, found.own_head)
    network = build_network(found.network, found.outputs, layer=built.layer)
    network.transform = _transform(file, network.transform, found, built)
    return network


def _transform(
    file: Path, usual: EvaluationTransform, found: Found, built: Built
) -> EvaluationTransform:
    if found.gray:
        usual = replace(usual, mean=HALF, std=HALF)
    transform = built.transform(usual)
    if found.gray and len({*transform.mean}) + len({*transform.std}) > 2:
        raise UserError(f"{file} takes gray pictures: give --mean and --std one number each.")
    return transform


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


# --- from the file into the network


def _fill(file: Path, network: nn.Module, found: Found) -> None:
    weight, bias = _last_layer(file, found)
    last, own = last_layer(network), network.state_dict()
    loaded = {
        name: _numbers(file, name, t, own[name].is_floating_point())
        for name, t in found.tensors.items()
    }
    if found.gray:
        loaded = _in_colour(own, loaded)
    own.update(loaded)  # it knows which version of the layers' code the names are of
    network.load_state_dict(own)
    with torch.no_grad():
        last.weight.copy_(weight.view_as(last.weight))
        last.bias.copy_(bias)
    if not all(torch.isfinite(t).all() for t in network.state_dict().values()):
        raise UserError(f"{file} holds weights that are not finite: save a sound one.")


def _in_colour(
    own: dict[str, torch.Tensor], loaded: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights of a network for gray pictures, so that it takes coloured ones.

    Its first conv makes them gray: exact, as long as all colours are scaled alike.
    """
    shares = torch.tensor(GRAY)[None, :, None, None]  # 1 x 3 x 1 x 1
    return {
        name: t * shares if t.ndim == 4 and t.shape[1] == 1 and own[name].shape[1] == 3 else t
        for name, t in loaded.items()
    }


def _last_layer(file: Path, found: Found) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias of the last layer, with a row for each class.

    A single output z, trained with a sigmoid, is two: the softmax of 0 and z is the sigmoid of z.
    """
    weight = _numbers(file, "weight", found.weight)
    bias = _numbers(file, "bias", found.bias) if found.bias else torch.zeros(len(weight))
    if len(weight) > 1:
        return weight, bias
    return torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros(1), bias])


def _numbers(file: Path, name: str, stored: Stored, real: bool = True) -> torch.Tensor:
    try:
        tensor = stored.load() if stored.plain else None
    except UserError:
        raise
    except Exception as error:  # on damaged bytes the readers raise nearly anything
        raise UserError(f"{file} is damaged at {name}: copy or download it again.") from error
    if tensor is None or tensor.is_complex() or tensor.is_quantized:
        raise UserError(f"{file} holds {name} as no plain numbers: save it dense and real.")
    if real and not tensor.is_floating_point():
        raise UserError(
            f"{file} holds {name} as whole numbers, as after quantization: save the float weights."
        )
    return tensor.float() if real else tensor


def _reorder(network: nn.Module, task: Task, order: Sequence[str]) -> None:
    """Put the last layer's outputs, which stand for `order`, into the task's order."""
    last, rows = last_layer(network), [order.index(label) for label in task.names]
    with torch.no_grad():
        last.weight.copy_(last.weight[rows].clone())
        last.bias.copy_(last.bias[rows].clone())


# --- out

FORMATS = ("torchscript", "onnx")
TOLERANCE = 1e-3  # of a logit; what is found is some 1e-6
INPUT, OUTPUT = "faces", "logits"
ONNX_MISSING = "Export to ONNX needs more packages: pip install onnx onnxscript 'onnxruntime<1.29'."

Run = Callable[[torch.Tensor], torch.Tensor]  # N x 3 x S x S to logits N x classes


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how far its logits lie from the version's at most."""

    path: Path
    faces: int
    difference: float


def export_version(
    name: str, kind: str, path: Path, crops: Sequence[Image.Image], folder: Path = FOLDER
) -> Exported:
    """Write a version to a file of the kind "torchscript" or "onnx" and run it on RGB crops.

    Raises UserError where the file answers another logit than the version (over TOLERANCE), a
    package is missing or the file cannot be written; then no file is left.
    """
    checkpoint = read_checkpoint(name, folder)
    network = checkpoint.network.requires_grad_(False)
    inputs = network.transform.batch(crops)
    write, load = FORMS[kind]
    notes = notes_of(network, checkpoint.task)
    found: list[float] = []

    def write_and_compare(beside: Path) -> None:
        write(network, inputs[:2], notes, beside)
        found.append(_difference(network, load(beside), inputs))
        if not found[0] <= TOLERANCE:
            raise UserError(f"The exported network is off by {found[0]:.2g}: nothing was written.")

    write_file(path, write_and_compare)
    return Exported(path, len(crops), found[0])


def notes_of(network: nn.Module, task: Task) -> dict:
    """What a user of the file must know: classes in order, and what to do to a picture."""
    return {"classes": task.names, **asdict(network.transform)}


@torch.inference_mode()
def _difference(network: nn.Module, exported: Run, inputs: torch.Tensor) -> float:
    parts = in_parts(inputs, inputs.device)
    return max((network(x) - exported(x)).abs().max().item() for x in parts)


def _write_torchscript(network: nn.Module, example: torch.Tensor, notes: dict, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecated, but what others' programs still read
        traced = torch.jit.trace(network, example)
        content = BytesIO()  # PyTorch's own file ends the whole program on a full disk
        torch.jit.save(traced, content, {NOTES: json.dumps(notes)})
    path.write_bytes(content.getvalue())


def _load_torchscript(path: Path) -> Run:
    """Runs the file's code: for files that this program has just written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path))


def _write_onnx(network: nn.Module, example: torch.Tensor, notes: dict, path: Path) -> None:
    if not all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime")):
        raise UserError(ONNX_MISSING)
    any_number = ({0: torch.export.Dim("n")},)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=any_number,
            verbose=False,
        )
    program.model.metadata_props.update({key: json.dumps(value) for key, value in notes.items()})
    program.save(path)


def _load_onnx(path: Path) -> Run:
    from ..images.faces import open_session

    session = open_session(str(path))
    return lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])


FORMS: dict[str, tuple[Callable, Callable[[Path], Run]]] = {
    "torchscript": (_write_torchscript, _load_torchscript),
    "onnx": (_write_onnx, _load_onnx),
}
