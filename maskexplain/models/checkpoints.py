"""Read and write versions: NAME.safetensors (weights) and, beside it, NAME.json (results)."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from math import inf, nan
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ..errors import UserError
from ..files import write_file
from ..masks.task import MASK  # noqa: F401  (registers itself, for files that hold names alone)
from ..task import Task, task_from_json, task_of_names
from .network import (
    NETWORKS,
    EvaluationTransform,
    build_network,
    check_network,
    divide_by_temperature,
)
from .own_head import head_from_json
from .results import Results, ResultsError

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_SOURCE = (_PACKAGE.parent / "pyproject.toml").is_file()
SHIPPED = (_PACKAGE.parent if _IN_SOURCE else _PACKAGE) / "checkpoints"
# Where new versions go: beside the shipped ones, or, of an installed program, where it is called.
FOLDER = SHIPPED if _IN_SOURCE else Path("checkpoints")
# Written to the header, so that a weights file says what it is without its JSON.
KIND = "maskexplain"
LARGEST = 1e6  # of a logit; the shipped versions' lie under a hundred
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")  # of a new version


class CheckpointError(UserError):
    """A version is missing, or its file is not one of ours."""


@dataclass(frozen=True)
class Checkpoint:
    """A version as read from disk: its network in evaluation mode, what it answers, and its
    measured results (empty where there is no NAME.json).

    The network's logits have been divided by `temperature`.
    """

    name: str
    network: nn.Module
    task: Task
    results: Results
    temperature: float = 1.0


def list_versions(folder: Path = FOLDER) -> list[str]:
    """Names of the versions in a folder, the newest last (v2 before v10).

    The default folder's come with the shipped ones.
    """
    # A name with a dot in front is a file that a killed program left half-written.
    files = (file for place in _places(folder) for file in place.glob("*.safetensors"))
    return sorted({file.stem for file in files if not file.name.startswith(".")}, key=by_number)


def _places(folder: Path) -> set[Path]:
    return {folder, SHIPPED} if folder == FOLDER else {folder}


def by_number(name: str) -> list:
    """A key that sorts names as people count, v2 before v10; ours last, since the last is the
    default, which an imported one becomes only where there is no other.
    """
    return [is_numbered(name)] + [
        int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)
    ]


def is_numbered(name: str) -> bool:
    """Whether a version is one of a row, v1, v2, ..., each newer than those before it."""
    return re.fullmatch(r"v\d+", name) is not None


def write_weights(
    path: Path,
    network: nn.Module,
    network_name: str,
    task: Task,
    half: bool,
    temperature: float = 1.0,
    training: str = "",
) -> None:
    """Write a network's weights as safetensors, in half precision where asked.

    `temperature` is what whoever reads the file divides the logits by; `training` which training
    they are of, as NAME.json says, too.
    """
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).contiguous().cpu()
        for name, t in network.state_dict().items()
    }
    header = {
        "kind": KIND,
        "network": network_name,
        "classes": json.dumps(task.names),  # for programs that know no tasks
        "task": task.to_json(),
        "transform": json.dumps(asdict(network.transform)),
    }
    if getattr(network, "layer", None):
        header["layer"] = network.layer
    if getattr(network, "own_head", None):
        header["head"] = network.own_head.to_json()
    if temperature != 1:
        header["temperature"] = repr(temperature)
    if training:
        header["training"] = training
    # By bytes: safetensors' own writer tells of a full disk in an error of its own.
    content = save(tensors, metadata=header)
    write_file(path, lambda beside: beside.write_bytes(content))


def write_results(path: Path, results: Results) -> None:
    """Write NAME.json beside the weights file `path`, with the digest that ties them together."""
    text = results.including(Results(weights=digest(path))).to_json()
    write_file(path.with_suffix(".json"), lambda beside: beside.write_text(text, encoding="utf-8"))


def add_results(name_or_path: str | Path, part: Results) -> None:
    """Add to a version's NAME.json, in place of what it has of the same parts.

    Raises CheckpointError.
    """
    path = find_version(name_or_path)
    write_results(path, _read_results(path).including(part))


def free_place(name: str, replace: bool, folder: Path = FOLDER) -> Path:
    """The weights file of a new version's name.

    Raises CheckpointError for a name that suits no file, or is taken and `replace` is not given.
    """
    if not NAME.fullmatch(name):
        raise CheckpointError(
            "A version's name begins with a letter and has up to 40 letters, digits, - and _."
        )
    # As on disks that take V3 and v3 for one file.
    taken = {version.casefold(): version for version in list_versions(folder)}.get(name.casefold())
    if taken is not None and (taken != name or not replace):
        raise CheckpointError(
            f"There is a version {taken} already: take another name, or --replace."
        )
    return folder / f"{name}.safetensors"


def training_of(path: Path) -> str:
    """Which training a version's weights file is of; empty where it does not say."""
    return _read_tensors(path)[0].get("training", "")


def find_version(name_or_path: str | Path, folder: Path = FOLDER) -> Path:
    """The weights file of a version's name, or of a path to it. Raises CheckpointError."""
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        path = folder / f"{name_or_path}.safetensors"
        if folder == FOLDER and not path.is_file():
            path = SHIPPED / path.name
    if not path.is_file():
        known = ", ".join(list_versions(folder)) or "none yet"
        raise CheckpointError(
            f"There is no checkpoint {path}: train it with `python train.py NAME --data DIR`, "
            f"or name one of those there are ({known})."
        )
    return path


def read_checkpoint(name_or_path: str | Path, folder: Path = FOLDER) -> Checkpoint:
    """Read a version by name or path, in float32. Raises CheckpointError."""
    path = find_version(name_or_path, folder)
    header, tensors = _read_tensors(path)
    name = _network_name(path, header)
    task = _task(path, header)
    own_head = head_from_json(header["head"]) if "head" in header else None
    transform = _transform(path, header)
    network = build_network(name, len(task), transform, header.get("layer"), own_head)
    _load(path, network, tensors)
    check_network(network, name, len(task))
    temperature = _temperature(path, header)
    divide_by_temperature(network, temperature)
    check_answers(path, network)
    results = _read_results(path)
    _check_tie(path, header, results)
    return Checkpoint(path.stem, network.eval(), task, results, temperature)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: fetch it again.") from error


def _check_tie(path: Path, header: dict[str, str], results: Results) -> None:
    """Weights with another version's results would get its threshold and its figures."""
    strange = results.weights is not None and results.weights != digest(path)
    if strange or results.training not in (None, header.get("training", results.training)):
        raise CheckpointError(
            f"{path.with_suffix('.json')} holds the results of another training than the weights "
            "beside it: train it anew, or fetch both files again."
        )


@torch.inference_mode()
def check_answers(path: Path, network: nn.Module) -> None:
    """Weights may be finite and yet give no numbers: one pass tells. Raises CheckpointError."""
    size = network.transform.size
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    if not network.eval()(noise).abs().max() < LARGEST:
        raise CheckpointError(
            f"{path} holds weights that give no usable answers: train or import it anew."
        )


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as handle:
            names = list(handle.keys())
            return handle.metadata() or {}, {name: handle.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file: fetch it again or train it anew."
        ) from error


def _network_name(path: Path, header: dict[str, str]) -> str:
    name = header.get("network", "")
    if header.get("kind") != KIND or (name not in NETWORKS and ":" not in name):
        raise CheckpointError(
            f"{path} was not written by this program or names an unknown network: "
            "use one that `python train.py` wrote."
        )
    return name


def _task(path: Path, header: dict[str, str]) -> Task:
    """What the file says it answers; files of older programs hold the classes' names alone."""
    try:
        if "task" in header:
            return task_from_json(header["task"])
        return task_of_names(json.loads(header["classes"]))
    except (UserError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say which classes it answers: train or import it anew."
        ) from error


def _transform(path: Path, header: dict[str, str]) -> EvaluationTransform | None:
    """How a crop goes in; files of older programs leave it to the network."""
    if "transform" not in header:
        return None
    try:
        stored = json.loads(header["transform"])
        mean, std = (tuple(map(float, stored[name])) for name in ("mean", "std"))
        return EvaluationTransform(int(stored["size"]), mean, std)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say how a picture goes in: train or import it anew."
        ) from error


def _temperature(path: Path, header: dict[str, str]) -> float:
    try:
        temperature = float(header.get("temperature", "1"))
    except ValueError:
        temperature = nan
    if not 0 < temperature < inf:
        raise CheckpointError(f"{path} holds a temperature that is no positive number: train anew.")
    return temperature


def _load(path: Path, network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise CheckpointError(
            f"{path} does not hold this network's weights ({odd} is missing, foreign or of "
            "another shape): use a file that `python train.py` wrote."
        )
    own = network.state_dict()  # it knows which version of the layers' code the names are of
    weights = {n: t.float() if own[n].is_floating_point() else t for n, t in tensors.items()}
    # Least and largest are not numbers where any is none; this takes a tenth of isfinite's time.
    bounds = [bound for t in weights.values() if t.numel() for bound in t.aminmax()]
    if not all(bound.isfinite() for bound in bounds):
        raise CheckpointError(f"{path} holds weights that are not finite: train it anew.")
    own.update(weights)
    network.load_state_dict(own)


def _read_results(path: Path) -> Results:
    file = path.with_suffix(".json")
    if not file.is_file():
        return Results()
    try:
        return Results.from_json(file.read_text(encoding="utf-8"))
    except ResultsError as error:
        raise CheckpointError(f"{file}: {error}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is no JSON: fetch it again or train anew.") from error
