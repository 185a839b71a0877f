"""What a file is that holds no weights this program reads: told by its first bytes."""

import re
import zipfile
from pathlib import Path

AGAIN = "download it again, with its real address"
PICTURE = "is a picture, not a network's weights: give the file of weights."
TENSORFLOW = (
    "only TensorFlow reads it: train the network in PyTorch, or save PyTorch's state dict of it."
)
UNPACK = "is a packed archive: unpack it and give the file of weights in it."

# What a file begins with, and what is said of it.
STARTS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`.",
    ),
    (b"\x89HDF\r\n\x1a\n", f"is a Keras or HDF5 file (.h5), and {TENSORFLOW}"),
    (b"\x89PNG", PICTURE),
    (b"\xff\xd8\xff", PICTURE),
    (b"GIF8", PICTURE),
    (b"BM", PICTURE),
    (b"II*\0", PICTURE),
    (b"MM\0*", PICTURE),
    (b"RIFF", PICTURE),
    (b"%PDF", "is a PDF, not a network's weights: give the file of weights."),
    (b"\x1f\x8b", UNPACK),
    (b"BZh", UNPACK),
    (b"\xfd7zXZ", UNPACK),
    (b"\x28\xb5\x2f\xfd", UNPACK),
    (b"7z\xbc\xaf", UNPACK),
    (b"Rar!", UNPACK),
    (
        b"\x93NUMPY",
        "is a NumPy array (.npy): save the network's state dict, "
        "torch.save(model.state_dict(), FILE).",
    ),
    (
        b"GGUF",
        "is a GGUF file of a language model: give the weights of an image classifier.",
    ),
)
# The same behind the first four bytes, or further.
LATER: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", f"is a TensorFlow Lite file, and {TENSORFLOW}"),
    (4, b"ftyp", PICTURE),
    (257, b"ustar", UNPACK),
)
# What a zip holds that is no file of torch's.
MEMBERS: tuple[tuple[str, str], ...] = (
    ("model.weights.h5", f"is a Keras file (.keras), and {TENSORFLOW}"),
    (
        "archive_format",
        "is an exported program of torch.export (.pt2): save the state dict, "
        "torch.save(model.state_dict(), FILE).",
    ),
    (
        ".npy",
        "is a NumPy archive (.npz): save the network's state dict, "
        "torch.save(model.state_dict(), FILE).",
    ),
    ("word/", "is a document, not a network's weights: give the file of weights."),
)
ONNX = re.compile(rb"\x08[\x03-\x20](\x12|\x1a|\x22|\x3a|\x42)", re.DOTALL)
PICKLED_TEXT = re.compile(r"(\(|c\w+(\.\w+)*\n)")
SAVED_MODEL = re.compile(rb"\x08\x01\x12")


def foreign_kind(path: Path) -> str | None:
    """What is said of a file (or of none) that cannot hold weights; None where it may."""
    if path.is_dir():
        return "is a folder: give the file of weights in it."
    if not path.is_file():
        return "is not there: check its path."
    with path.open("rb") as file:
        start = file.read(512)
    if not start.strip(b"\0"):
        return "is empty: copy or download it again."
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        return None  # safetensors: the length of a JSON header, and the header
    said = next((said for begin, said in STARTS if start.startswith(begin)), None)
    said = said or next((said for at, b, said in LATER if start[at:].startswith(b)), None)
    return said or _of_zip(path, start) or _of_text(start) or _of_messages(start, path.suffix)


def _of_zip(path: Path, start: bytes) -> str | None:
    if not start.startswith(b"PK") or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(f"/{name}".endswith("/data.pkl") for name in names):
        return None
    return next((said for part, said in MEMBERS if any(part in name for name in names)), UNPACK)


ONE_FILE = "load all of them there, and save them as one file"


def _of_text(start: bytes) -> str | None:
    try:
        text = start.decode("utf-8-sig").lstrip().lower()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # a letter cut in two at the end is still text
            return None
        text = start[: error.start].decode("utf-8-sig").lstrip().lower()
    if any(ord(letter) < 9 for letter in text):
        return None
    if '"weight_map"' in text:
        return f"is the list of a network's parts, not the weights: {ONE_FILE}."
    if text.startswith(("<!doctype html", "<html")):
        return f"is a web page, not the weights themselves: {AGAIN}."
    if text.startswith("outs:") and "md5:" in text:
        return "is a DVC pointer, not the weights themselves: fetch them with `dvc pull`."
    if PICKLED_TEXT.match(text):
        return None  # pickles of protocol 0 are text, too
    return f"is a text file, not a network's weights: {AGAIN}."


def _of_messages(start: bytes, suffix: str) -> str | None:
    """ONNX and TensorFlow's SavedModel are protocol buffers, which have no mark of their own."""
    if SAVED_MODEL.match(start) or suffix == ".pb":
        return f"is a TensorFlow SavedModel, and {TENSORFLOW}"
    if ONNX.match(start) or suffix == ".onnx":
        return (
            "is an ONNX file, whose weights have lost their names: give the PyTorch file that it "
            "was exported from."
        )
    return None
