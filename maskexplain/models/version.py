"""A version ready to answer: crops in, predictions out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import UserError
from ..task import Task
from .checkpoints import FOLDER, read_checkpoint
from .fused_conv import fuse
from .network import in_parts
from .results import Results
from .threads import check

# What this program runs on and whether this machine has it, the fastest first.
DEVICES: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


@dataclass(frozen=True)
class Prediction:
    """An answer: its class, that class's probability (0..1), and all of them in class order.

    `unsure`: whether the probability lies under the version's `unsure_below`.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    unsure: bool

    def to_dict(self) -> dict:
        return asdict(self)


class Model:
    """A version: its name, its network in evaluation mode, its task and its measured results.

    The network's logits have been divided by `temperature`, so that its probabilities can be
    believed; 1 for a version without one.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        task: Task,
        results: Results | None = None,
        device: torch.device | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.name = name
        self.task = task
        self.temperature = temperature
        self.results = results or Results()
        self.device = device or torch.device("cpu")
        # channels_last: a third faster on a CPU. No weight is trained here, so none needs a grad.
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.network.eval().requires_grad_(False)

    @property
    def unsure_below(self) -> float:
        """The confidence (0..1) below which an answer counts as unsure; 0 where none was chosen."""
        return self.results.unsure.threshold if self.results.unsure else 0.0

    def inputs(self, crops: Sequence[Image.Image]) -> torch.Tensor:
        """RGB crops of any size as the network's input, N x 3 x S x S."""
        batch = self.network.transform.batch(crops).to(self.device)
        return batch.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def logits_of(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits N x classes, on the CPU, of inputs N x 3 x S x S; a few go through at a time."""
        return torch.cat([self._part(part) for part in in_parts(inputs, self.device)]).cpu()

    def _part(self, inputs: torch.Tensor) -> torch.Tensor:
        check()
        return self.network(inputs)

    def logits(self, crops: Sequence[Image.Image]) -> torch.Tensor:
        """Logits N x classes of RGB crops of any size, on the CPU."""
        return self.logits_of(self.inputs(crops))

    def predict(self, crops: Sequence[Image.Image]) -> list[Prediction]:
        """Answer RGB face crops of any size, in one batch; none gives an empty list."""
        return [self.prediction(row) for row in self.logits(crops)] if crops else []

    def prediction(self, logits: torch.Tensor) -> Prediction:
        """The answer that one row of this version's logits stands for (softmax)."""
        probabilities = dict(zip(self.task.names, logits.softmax(0).tolist(), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        confidence = probabilities[label]
        return Prediction(label, confidence, probabilities, confidence < self.unsure_below)


def any_faces(models: Iterable[Model]) -> bool:
    """Whether any version answers faces; else all answer whole pictures."""
    return any(model.task.faces for model in models)


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name, such as "cpu", "cuda:1" or "mps"; "auto": CUDA, else MPS, else the CPU.

    Raises UserError for one that this machine lacks.
    """
    here = [kind for kind, there in DEVICES.items() if there()]
    try:
        device = torch.device(here[0] if name == "auto" else name)
        if device.type not in here:
            raise ValueError("another kind of device")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        known = ", ".join(reversed(here))
        raise UserError(
            f"The device {name} cannot be used here: this machine has {known}."
        ) from error
    return device


def open_model(
    name_or_path: str | Path, device: str | torch.device | None = None, folder: Path = FOLDER
) -> Model:
    """Open a version by name ("v2") or by the path of its safetensors file.

    `device` is a name as `pick_device` takes it; None is the CPU. Raises CheckpointError, or
    UserError for a device that this machine lacks.
    """
    checkpoint = read_checkpoint(name_or_path, folder)
    fold(checkpoint.network)
    return Model(
        checkpoint.name,
        checkpoint.network,
        checkpoint.task,
        checkpoint.results,
        pick_device(str(device or "cpu")),
        checkpoint.temperature,
    )


def open_models(
    names: Sequence[str | Path], device: str | torch.device | None = None
) -> list[Model]:
    """Open several versions, each as `open_model` does. Raises UserError for a name given twice."""
    models = [open_model(name, device) for name in names]
    if len({model.name for model in models}) < len(models):
        raise UserError("Two versions have the same name: give each once.")
    return models


def fold(network: nn.Module) -> None:
    """Put every batch norm that follows a conv into that conv, and the ReLU or ReLU6 behind, too.

    In place, and exact up to rounding. For networks in evaluation mode that are not trained on:
    there a batch norm is one scale and one shift a channel, which the conv's weights and bias hold.
    """
    if hasattr(network, "fold"):
        return network.fold()
    for stage in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (at, conv), (behind, norm) in pairwise(list(stage.named_children())):
            if isinstance(conv, nn.Conv2d) and type(norm) is nn.BatchNorm2d:  # others may do more
                setattr(stage, at, fuse_conv_bn_eval(conv, norm))
                setattr(stage, behind, nn.Identity())
        fuse(stage)
