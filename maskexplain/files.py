"""Files are written beside and renamed: a reader never meets a half-written one. Names as lines."""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError

LOCK = ".lock"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # on the disk, for this user, by a limit


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it to `path`.

    Raises UserError where that is not possible.
    """
    with _beside(path) as beside:
        write(beside)
        beside.replace(path)


def check_writable(path: Path) -> None:
    """Raise UserError, before long work, where a file cannot be written to `path` at its end."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it.")
    with _beside(path) as beside:
        beside.touch()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name beside `path`, in whose folder, made if need be, nothing stays under it."""
    # The suffix stays last: some writers choose the format by it.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UserError:
    """The sentence of a file or folder that could not be written."""
    reason = error.strerror or "unknown reason"
    return UserError(f"{path} cannot be written ({reason}): make room or choose another place.")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there is no room for a file."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


@contextmanager
def alone_in(folder: Path, busy: str) -> Iterator[None]:
    """Hold a folder, made if need be, for this process alone; half-written files in it go.

    `busy`: the sentence of the UserError that is raised where another process holds it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(busy) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        clear_half_written(folder, "*")
        yield
    finally:
        lock.release()


def clear_half_written(folder: Path, name: str) -> None:
    """Remove what killed programs left of files of this name, a pattern, while none writes them."""
    for file in folder.glob(f".[0-9]*.{name}"):
        file.unlink(missing_ok=True)


def on_one_line(path: object) -> str:
    """A path or name for one printed line: what would end it, or steer a terminal, is escaped.

    >>> print(on_one_line("a\\tb.jpg"))
    a\\tb.jpg
    """
    steering = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]"
    return re.sub(steering, lambda found: found[0].encode("unicode_escape").decode(), str(path))


def write_text(path: Path, text: str) -> None:
    """Write a text and a last line's end; names that are no text are escaped."""
    content = f"{text}\n".encode("utf-8", "backslashreplace")
    write_file(path, lambda beside: beside.write_bytes(content))


def write_json(path: Path, content: dict) -> None:
    """Write a dict as indented JSON."""
    write_file(path, lambda beside: beside.write_text(json.dumps(content, indent=1) + "\n"))
