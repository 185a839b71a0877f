"""A version as TorchScript or ONNX, for programs that are not this one, verified before it stays.

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
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from ..errors import UserError
from ..files import write_file
from ..models.checkpoints import FOLDER, read_checkpoint
from ..models.network import in_parts
from ..task import Task
from .torch_files import NOTES

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
