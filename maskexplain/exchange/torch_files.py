"""The tensors in other people's files, read without running anything that the file brings.

A stranger's file is a program in two ways. A pickle may name any function to be called while it
is read; and a TorchScript archive holds code, which `torch.jit.load` compiles and whoever asks the
network for an answer runs. So of both only the tensors are read:

- State dicts (.pth, .pt) by `torch.load(weights_only=True)`, which refuses every pickle that holds
  more than tensors and plain containers.
- TorchScript: the archive is a zip whose data.pkl says which module holds which tensor. It is
  unpickled with a handful of names allowed, each of them a harmless stand-in of ours; the tensors'
  bytes lie beside it. The code in the archive is not even looked at: the weights go into this
  program's own network of the same shapes.
- safetensors hold no program.

Other processes and sandboxes were not chosen: they bound what hostile code does, this runs none.
"""

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..errors import UserError

MAX_BYTES = 2**30  # of a file, and of what is packed in it
MAX_PICKLE = 8 * 2**20
MAX_MODULES = 2000
NOTES = "maskexplain.json"  # what our own export packs beside the tensors
WRAPPED = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights
CLASS_KEYS = ("classes", "class_names", "class_to_idx")  # and the names of their classes

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
}


class FileError(UserError):
    """A file that holds no tensors, or more than tensors."""


@dataclass(frozen=True)
class TensorFile:
    """What a file holds: tensors by their state-dict names, and the order of the outputs' classes
    where the file says it, else None.
    """

    tensors: dict[str, torch.Tensor]
    classes: tuple[str, ...] | None = None


def read_tensor_file(path: Path) -> TensorFile:
    """The tensors of a TorchScript archive, a state dict or a safetensors file.

    Raises FileError.
    """
    if not path.is_file():
        raise FileError(f"There is no file {path}: check its path.")
    if path.stat().st_size > MAX_BYTES:
        raise FileError(
            f"{path} is over {MAX_BYTES // 2**30} GB: it is no network of this program."
        )
    try:
        return _reader(path)(path)
    except FileError as error:
        raise FileError(f"{path} {error}") from error
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{path} holds more than tensors and is not opened, since reading it could run a "
            "program: save the state dict alone, torch.save(model.state_dict(), FILE)."
        ) from error
    except Exception as error:  # on damaged bytes the readers raise nearly anything
        raise FileError(
            f"{path} is damaged, or no TorchScript, state dict or safetensors file: save it again."
        ) from error


def _reader(path: Path) -> Callable[[Path], TensorFile]:
    if path.suffix == ".safetensors":
        return _read_safetensors
    if not zipfile.is_zipfile(path):
        return _read_state_dict  # torch before 1.6
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise FileError("unpacks to over a gigabyte: it is no network of this program.")
        script = any("/code/" in name for name in archive.namelist())
    return _read_torchscript if script else _read_state_dict


def _read_safetensors(path: Path) -> TensorFile:
    with safe_open(path, framework="pt") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        classes = (handle.metadata() or {}).get("classes")
    return TensorFile(tensors, _class_order(json.loads(classes)) if classes else None)


def _read_state_dict(path: Path) -> TensorFile:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise FileError("holds no state dict: save one, torch.save(model.state_dict(), FILE).")
    inner = next((content[key] for key in WRAPPED if isinstance(content.get(key), dict)), content)
    tensors = {
        str(name).removeprefix("module."): value  # DataParallel adds that
        for name, value in inner.items()
        if isinstance(value, torch.Tensor)
    }
    named = next((content[key] for key in CLASS_KEYS if key in content), None)
    return TensorFile(tensors, _class_order(named))


def _class_order(named: Any) -> tuple[str, ...] | None:
    """Class names in the order of the outputs: from a list, or from ImageFolder's class_to_idx."""
    if isinstance(named, dict):
        named = sorted(named, key=named.__getitem__)
    return tuple(map(str, named)) if isinstance(named, list | tuple) else None


# --- TorchScript


def _read_torchscript(path: Path) -> TensorFile:
    with zipfile.ZipFile(path) as archive:
        [index] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        root = index.removesuffix("data.pkl")
        if archive.getinfo(index).file_size > MAX_PICKLE:
            raise FileError("has an index that is far too large for a network.")
        if _optional(archive, f"{root}byteorder", b"little") != b"little":
            raise FileError("was written by a machine of the other byte order: save it elsewhere.")
        module = _ModuleReader(archive, root, archive.read(index)).load()
        notes = json.loads(_optional(archive, f"{root}extra/{NOTES}", b"{}"))
    return TensorFile(dict(_named_tensors(module)), _class_order(notes.get("classes")))


def _optional(archive: zipfile.ZipFile, name: str, otherwise: bytes) -> bytes:
    return archive.read(name) if name in archive.namelist() else otherwise


class _ModuleReader(pickle.Unpickler):
    """Reads data.pkl: modules become plain objects with attributes, storages become tensors.

    Every name that the pickle may use stands for something made anew for this one file, so that
    not even changing their attributes reaches anything that lives on.
    """

    def __init__(self, archive: zipfile.ZipFile, root: str, data: bytes) -> None:
        super().__init__(BytesIO(data))
        self._archive = archive
        self._root = root
        self._names = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _rebuild(*args[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
            ("torch.jit._pickle", "build_intlist"): lambda values: values,
            ("torch.jit._pickle", "build_doublelist"): lambda values: values,
            ("torch.jit._pickle", "build_boollist"): lambda values: values,
            ("collections", "OrderedDict"): type("Ordered", (OrderedDict,), {}),
            **{("torch", name): name for name in DTYPES},
        }
        self._module = type("Module", (), {})
        self._storages: dict[tuple[str, int], torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; raises UnpicklingError for every other one."""
        if module == "__torch__" or module.startswith("__torch__."):
            return self._module
        try:
            return self._names[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """The numbers of one storage: ("storage", type, key, device, count)."""
        _, kind, key, _, count = pid
        place = kind, int(key)
        if place not in self._storages:  # read once, so that the archive's size bounds the memory
            if any(key == place[1] for _, key in self._storages):
                raise FileError("reads the same numbers in two ways, as no network does.")
            data = self._archive.read(f"{self._root}data/{place[1]}")
            self._storages[place] = torch.frombuffer(bytearray(data), dtype=DTYPES[kind])
        if len(self._storages[place]) != count:
            raise FileError("is cut off: save it again.")
        return self._storages[place]


def _rebuild(storage: torch.Tensor, offset: int, shape: tuple, stride: tuple) -> torch.Tensor:
    return storage.as_strided(shape, stride, offset)  # which refuses what lies outside


def _named_tensors(root: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of a module and the modules inside it, as in a state dict."""
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, module = waiting.pop()
        seen += 1
        if seen > MAX_MODULES:  # a module may hold another one twice, and that one a third ...
            raise FileError("holds more modules than a network does.")
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                yield prefix + name, value
            elif hasattr(value, "__dict__"):
                waiting.append((f"{prefix}{name}.", value))
