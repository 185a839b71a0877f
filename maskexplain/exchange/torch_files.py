"""The tensors in other people's files, read without running anything that the file brings.

A stranger's file is a program in two ways. A pickle may name any function to be called while it
is read; and a TorchScript archive holds code, which `torch.jit.load` compiles and whoever asks the
network for an answer runs. So of both only tensors and plain values are read:

- Pickles (.pth, .pt, .ckpt, TorchScript's data.pkl) are read by a reader of our own. A handful of
  names in them stand for harmless parts of ours, which make tensors, numbers and texts. Every
  other name stands for an empty box, which keeps what is put into it and does nothing: what lies
  beside the weights, such as a path or an optimizer, is passed over. A file that would run a
  program elsewhere is refused with its name.
- The code in a TorchScript archive is not looked at: the weights go into this program's own network
  of the same shapes.
- safetensors hold no program.

Numbers are read when they are asked for: an optimizer's, beside the weights, never are.
Other processes and sandboxes were not chosen: they bound what hostile code does, this runs none.
"""

import json
import pickle
import re
import sys
import zipfile
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from errno import EINVAL
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import safe_open

from ..errors import UserError
from .file_kinds import UNPACK, foreign_kind

MAX_BYTES = 4 * 2**30  # of a file, and of what is packed in it
MAX_PICKLE = 32 * 2**20
MAX_ENTRIES = 100_000  # containers and tensors in a file
NOTES = "maskexplain.json"  # what our own export packs beside the tensors
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how torch before 1.6 began a file

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Modules of Python whose functions and classes act when they are called.
ACTING = re.compile(
    r"os|posix|nt|subprocess|sys|shutil|socket|pty|runpy|importlib|ctypes|pickle|marshal|code|codeop"
    r"|webbrowser|asyncio|multiprocessing|threading|signal|http|urllib|ftplib|smtplib|tempfile"
    r"|platform|pdb|timeit|cProfile|profile|trace|doctest|bdb|commands"
)
# What data holds of Python's own; the rest of it that is written small is a function.
QUIET = re.compile(
    r"set|frozenset|object|complex|slice|range|bytearray|list|dict|tuple|int|float|str|bool|bytes|type"
    r"|defaultdict|deque|date|datetime|time|timedelta|timezone|partial|_reconstructor|__newobj__"
    r"|itemgetter|count|array|_array_reconstructor"
)


# What quantized layers hold (PyTorch's, bitsandbytes', GPTQ's), and what layers made ready for it.
QUANTIZED = re.compile(r"(^|[./])(_packed_params|qweight|qzeros|SCB|weight_format)([./]|$)")
QUANTIZED_CLASS = re.compile(r"__torch__\.torch\..*\bquantized\.|torchao\..*Tensor$")
PREPARED = re.compile(r"(^|[./])(activation_post_process(_\d+)?|weight_fake_quant)\.")
FLOAT_ONE = "save the float network's, torch.save(model.state_dict(), FILE), before that step."
IS_QUANTIZED = f"is a quantized network, whose whole numbers give no heatmaps: {FLOAT_ONE}"
IS_PREPARED = f"is a network made ready for quantization, with observers in it: {FLOAT_ONE}"


class FileError(UserError):
    """A file that holds no weights, or would run a program where it is opened as usual."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape; `load` reads it. Not `plain`: quantized, sparse or complex."""

    shape: tuple[int, ...]
    load: Callable[[], torch.Tensor]
    plain: bool = True
    quantized: bool = False


@dataclass(frozen=True)
class TensorFile:
    """What a file holds: tensors by their names, with a slash behind each container that they lie
    in, and `notes`, the whole content, to look for the classes' names in. `frozen`: of TorchScript
    without names, its constants in the order in which the code names them. `kinds`: of TorchScript,
    the class of each module, by the same names.
    """

    tensors: dict[str, Stored]
    notes: tuple[Any, ...] = ()
    frozen: tuple[Stored, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)


def read_tensor_file(path: Path) -> TensorFile:
    """The tensors of a TorchScript archive, a state dict or a safetensors file, whatever its name.

    Raises FileError, which says what else the file is.
    """
    try:
        said = foreign_kind(path)
        if said:
            raise FileError(said)
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"is over {MAX_BYTES // 2**30} GB: save the weights alone.")
        return _read(path)
    except FileError as error:
        raise FileError(f"{path} {error}") from error
    except OSError as error:
        if error.errno == EINVAL:  # a cut zip points before its beginning
            raise FileError(f"{path} is cut off: copy or download it again.") from error
        raise FileError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    except Exception as error:  # on damaged bytes the readers raise nearly anything
        raise FileError(
            f"{path} is damaged, or no TorchScript, state dict or safetensors file: "
            "copy or save it again."
        ) from error


def _read(path: Path) -> TensorFile:
    with path.open("rb") as file:
        start = file.read(len(OLD_MAGIC))
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    if start.startswith(b"PK"):
        raise FileError("is cut off: copy or download it again.")
    content = _read_old(path) if start == OLD_MAGIC else _read_pickle(path)
    return _checked(TensorFile(dict(_named(content)), (content,)))


def _read_safetensors(path: Path) -> TensorFile:
    handle = safe_open(path, framework="pt")

    def stored(name: str) -> Stored:
        return Stored(tuple(handle.get_slice(name).get_shape()), lambda: handle.get_tensor(name))

    return TensorFile({name: stored(name) for name in handle.keys()}, (handle.metadata() or {},))  # noqa: SIM118


def _read_archive(path: Path) -> TensorFile:
    """A state dict since torch 1.6, or TorchScript: a zip with an index, data.pkl."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise FileError(f"unpacks to over {MAX_BYTES // 2**30} GB: save the weights alone.")
        index = next((name for name in names if f"/{name}".endswith("/data.pkl")), None)
        if index is None:
            raise FileError(UNPACK)
        root = index.removesuffix("data.pkl")
        if archive.getinfo(index).file_size > MAX_PICKLE:
            raise FileError(
                "holds large values that are no tensors, such as NumPy arrays: save the weights as "
                "tensors, torch.save(model.state_dict(), FILE)."
            )
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise FileError("was written by a machine of the other byte order: save it elsewhere.")
        reader = _Reader(BytesIO(archive.read(index)), _Members(path, f"{root}data/"))
        content = reader.load()
        extra = [_json(archive.read(n)) for n in names if n.startswith(f"{root}extra/")]
        tensors = dict(_named(content))
        frozen = () if tensors else _constants(archive, path, root)
    return _checked(TensorFile(tensors, (content, *extra), frozen, dict(_kinds(content))))


def _constants(archive: zipfile.ZipFile, path: Path, root: str) -> tuple[Stored, ...]:
    names = set(archive.namelist())
    index = f"{root}constants.pkl"
    if index not in names or archive.getinfo(index).file_size > MAX_PICKLE:
        return ()
    read = _Members(path, f"{root}constants/")
    constants = _Reader(BytesIO(archive.read(index)), read).load()
    code = [
        name for name in sorted(names) if name.startswith(f"{root}code/") and name[-3:] == ".py"
    ]
    small = [name for name in code if archive.getinfo(name).file_size <= MAX_PICKLE]
    text = b"".join(archive.read(name) for name in small)
    used = [constants[int(number)] for number in re.findall(rb"CONSTANTS\.c(\d+)", text)]
    return tuple(tensor for tensor in used if isinstance(tensor, Stored))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _read_old(path: Path) -> Any:
    """A file of torch before 1.6: pickles one after another, then the numbers."""
    with path.open("rb") as file:
        numbers = _Tail(path)
        for _ in range(3):  # magic number, version, the machine's sizes
            _Reader(file, numbers).load()
        reader = _Reader(file, numbers)
        content = reader.load()
        numbers.places(_Reader(file, numbers).load(), reader.storages, file.tell())
    return content


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            return _Reader(file, _Tail(path)).load()
        except pickle.UnpicklingError as error:
            raise FileError("is no file of weights: give a .pth, .pt or .safetensors.") from error


def _checked(found: TensorFile) -> TensorFile:
    """Refuse a quantized file, or one without tensors, saying what it holds in their place."""
    if any(QUANTIZED.search(name) or tensor.quantized for name, tensor in found.tensors.items()):
        raise FileError(IS_QUANTIZED)
    if any(PREPARED.search(name) for name in found.tensors):
        raise FileError(IS_PREPARED)
    if found.tensors or found.frozen:
        return found
    boxes = [box for box in _boxes(found.notes) if "_modules" in box.state]
    [content, *_] = found.notes
    if boxes:
        raise FileError(
            f"is a whole pickled model ({boxes[0].name}), which only its own program can open: "
            "save the weights there, torch.save(model.state_dict(), FILE)."
        )
    if isinstance(content, Box):
        raise FileError(f"is a pickled {content.name}, not the weights of a network: give these.")
    raise FileError("holds no weights: save them, torch.save(model.state_dict(), FILE).")


# --- what a pickle is made of


class Box(dict):
    """Stands for whatever a file names and this program does not know: keeps, and does nothing.

    Its items are those of a dict, `state` and `args` what an object was to be made of.
    """

    name = ""
    args: tuple
    state: dict
    listed: list
    __hash__ = object.__hash__

    def __new__(cls, *args: Any, **more: Any) -> "Box":
        box = super().__new__(cls)
        box.args, box.state, box.listed = (*args, more), {}, []
        return box

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.state.update(part)

    def append(self, item: Any) -> None:
        self.listed.append(item)

    def extend(self, items: list) -> None:
        self.listed.extend(items)


@dataclass
class _DType:
    """numpy's dtype, as numpy pickles it."""

    code: str
    order: str = "<"

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def values(self, data: Any) -> list:
        """The numbers or texts in bytes; a list is what it holds already."""
        if isinstance(data, list):
            return data
        if self.code[:1] not in "biufUS":
            return []
        order = self.order if self.order in "<>" else "|"
        return np.frombuffer(data, np.dtype(order + self.code)).tolist()


class _Array(list):
    """numpy's array, as a flat list."""

    def __setstate__(self, state: tuple) -> None:
        self.extend(state[2].values(state[4]))


def _scalar(kind: _DType, data: Any = b"") -> Any:
    return next(iter(kind.values(data)), None)


def _encoded(text: str, code: str = "latin1") -> bytes:
    return text.encode("latin1")  # how protocol 2 writes bytes


@dataclass(frozen=True)
class _Storage:
    """Numbers in one piece: how to find them, of which type, and how many."""

    key: str
    dtype: torch.dtype | None
    count: int
    read: Callable[["_Storage"], bytes]

    def numbers(self) -> torch.Tensor:
        data = self.read(self)
        if len(data) != self.count * self.dtype.itemsize:
            raise FileError("is cut off: copy or save it again.")
        return torch.frombuffer(bytearray(data), dtype=self.dtype)


def _rebuilt(storage: _Storage, offset: int, shape: tuple, stride: tuple, *_: Any) -> Stored:
    if not isinstance(storage, _Storage) or storage.dtype is None:
        return Stored(tuple(shape), lambda: torch.empty(0), plain=False)

    def load() -> torch.Tensor:
        if storage.count == 0:
            return torch.empty(shape, dtype=storage.dtype)
        return storage.numbers().as_strided(shape, stride, offset)  # it refuses what lies outside

    return Stored(tuple(shape), load)


def _odd(*_: Any) -> Stored:
    return Stored((), lambda: torch.empty(0), plain=False)


def _quantized(*_: Any) -> Stored:
    return Stored((), lambda: torch.empty(0), plain=False, quantized=True)


def _first(value: Any, *_: Any) -> Any:
    return value


@dataclass
class _Members:
    """The numbers of an archive: a member for each storage."""

    path: Path
    root: str

    def __call__(self, storage: _Storage) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            name = f"{self.root}{storage.key}"
            if archive.getinfo(name).file_size != storage.count * storage.dtype.itemsize:
                raise FileError("is cut off: copy or save it again.")
            return archive.read(name)


@dataclass
class _Tail:
    """The numbers at the end of an old file: a count and the numbers, a storage after another."""

    path: Path
    starts: dict[str, int] = field(default_factory=dict)

    def places(self, keys: list[str], storages: dict[str, _Storage], start: int) -> None:
        for key in keys:
            storage = storages[key]
            self.starts[key] = start + 8
            start += 8 + storage.count * (storage.dtype.itemsize if storage.dtype else 0)

    def __call__(self, storage: _Storage) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.starts[storage.key])
            return file.read(storage.count * storage.dtype.itemsize)


class _Reader(pickle.Unpickler):
    """Reads a pickle: modules and unknown things become boxes, tensors become `Stored`.

    Every name that the pickle may use stands for something made anew for this one file, so that
    not even changing their attributes reaches anything that lives on.
    """

    def __init__(self, file: BinaryIO, read: Callable[[_Storage], bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}
        self._read = read
        self._boxes: dict[str, type[Box]] = {}
        self._modules: dict[str, type] = {}
        array = type("Array", (_Array,), {})
        odd = ("sparse_tensor", "sparse_csr_tensor", "meta_tensor_no_storage")
        self._names = {
            ("torch._utils", "_rebuild_tensor"): lambda *args: _rebuilt(*args),
            ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _rebuilt(*args),
            ("torch._utils", "_rebuild_parameter"): lambda *args: _first(*args),
            ("torch._utils", "_rebuild_parameter_with_state"): lambda *args: _first(*args),
            ("torch._utils", "_rebuild_qtensor"): lambda *args: _quantized(*args),
            **{("torch._utils", f"_rebuild_{kind}"): lambda *args: _odd(*args) for kind in odd},
            ("torch._tensor", "_rebuild_from_type_v2"): lambda make, _, args, *__: make(*args),
            ("torch.jit._pickle", "restore_type_tag"): lambda *args: _first(*args),
            ("torch.jit._pickle", "build_intlist"): lambda *args: _first(*args),
            ("torch.jit._pickle", "build_doublelist"): lambda *args: _first(*args),
            ("torch.jit._pickle", "build_boollist"): lambda *args: _first(*args),
            ("collections", "OrderedDict"): type("Ordered", (OrderedDict,), {}),
            ("_codecs", "encode"): lambda *args: _encoded(*args),
            ("numpy", "dtype"): type("DType", (_DType,), {}),
            **{
                (f"numpy.{core}.multiarray", name): make
                for core in ("core", "_core")
                for name, make in (
                    ("scalar", lambda *args: _scalar(*args)),
                    ("_reconstruct", lambda *_: array()),
                )
            },
            **{(home, name): name for home in ("torch", "torch.cuda") for name in DTYPES},
        }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; raises FileError for one that acts."""
        if QUANTIZED_CLASS.match(f"{module}.{name}"):
            raise FileError(IS_QUANTIZED)
        if module == "__torch__" or module.startswith("__torch__."):
            return self._modules.setdefault(name, _module(name))
        if (module, name) in self._names:
            return self._names[module, name]
        whole = f"{module}.{name}"
        if _acts(module, name):
            raise FileError(
                f"holds more than tensors: it calls {whole}, which could run a program where it is "
                "opened as usual. Nothing was run. Get the state dict alone, as safetensors."
            )
        return self._boxes.setdefault(whole, type("Box", (Box,), {"name": whole}))

    def persistent_load(self, pid: Any) -> Any:
        """The numbers of one storage: ("storage", type, key, device, count)."""
        if pid[0] != "storage":
            return pid[1]  # a class with its source text, of very old files
        _, kind, key, _, count = pid[:5]
        dtype = DTYPES.get(kind) if isinstance(kind, str) else None
        found = self.storages.setdefault(str(key), _Storage(str(key), dtype, count, self._read))
        if (found.dtype, found.count) != (dtype, count):
            raise FileError("reads the same numbers in two ways, as no network does.")
        return found


def _module(kind: str) -> type:
    """A class of TorchScript: holds what is put into it; `kind` is its name."""

    def hold(self: Any, state: Any) -> None:
        vars(self).update(state if isinstance(state, dict) else {"state": state})

    return type("Module", (), {"kind": kind, "__setstate__": hold})


def _acts(module: str, name: str) -> bool:
    """Whether a name of Python's own library is one that does something when it is called."""
    top = module.partition(".")[0].replace("__builtin__", "builtins").replace("copy_reg", "copyreg")
    if ACTING.fullmatch(top):
        return True
    own = top in sys.stdlib_module_names
    return own and not QUIET.fullmatch(name) and ("." in name or not name.lstrip("_")[:1].isupper())


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container of a file holds, with its names."""
    if isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        # A history of losses may be long: what begins with plain values holds no tensors.
        if any(isinstance(inner, Stored | dict | list | tuple) for inner in value[:100]):
            yield from ((str(index), inner) for index, inner in enumerate(value))
    elif type(value).__name__ == "Module":
        yield from vars(value).items()


def _named(root: Any) -> Iterator[tuple[str, Stored]]:
    """(name, tensor) of a file's content: a slash behind a container, a dot behind a module."""
    waiting, seen = deque([("", root)]), 0
    while waiting:
        prefix, container = waiting.popleft()
        for name, value in _inside(container):
            seen += 1
            if seen > MAX_ENTRIES:  # a container may hold another one twice, and that a third ...
                raise FileError("holds more modules than a network does.")
            if isinstance(value, Stored):
                yield prefix + name, value
            else:
                end = "." if type(value).__name__ == "Module" else "/"
                waiting.append((f"{prefix}{name}{end}", value))


def _kinds(root: Any) -> Iterator[tuple[str, str]]:
    """(name, class) of the modules of TorchScript; `_named` has counted them."""
    waiting = deque([("", root)])
    while waiting:
        name, module = waiting.popleft()
        if type(module).__name__ == "Module":
            yield name, type(module).kind
            dot = f"{name}." if name else ""
            waiting += [(f"{dot}{key}", inner) for key, inner in _inside(module)]


def _boxes(root: Any, depth: int = 4) -> Iterator[Box]:
    if isinstance(root, Box):
        yield root
    if depth:
        for _, inner in _inside(root):
            yield from _boxes(inner, depth - 1)
