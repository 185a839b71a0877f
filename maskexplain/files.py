"""Files are written beside and renamed: a reader never meets a half-written one."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from .errors import UserError


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it to `path`.

    Raises UserError where that is not possible.
    """
    # The suffix stays last: some writers choose the format by it.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise UserError(f"{path} cannot be written ({reason}): choose another place.") from error


def write_json(path: Path, content: dict) -> None:
    """Write a dict as indented JSON."""
    write_file(path, lambda beside: beside.write_text(json.dumps(content, indent=1) + "\n"))
