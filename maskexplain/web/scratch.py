"""The one folder for all temporary files of a run: swept by age, with a quota, and never left over.

Import it before Gradio, some of whose parts read where uploads go when they are imported.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from filelock import FileLock, Timeout

from ..errors import UserError
from ..files import is_disk_full
from ..memory import release_memory

PREFIX, LOCK = "maskexplain-", ".lock"
PLACES = ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE", "TMPDIR", "MPLCONFIGDIR")
AGE = 300.0  # seconds that an upload stays: somebody looks at their photo in all tabs
SHORT_AGE = 60.0  # where the room is used up
LOOK = 20.0  # seconds between two sweeps
QUOTA = 2**30  # bytes
LEFT_OVER = 600.0  # seconds: nobody makes a folder for so long
NO_FOLDER = "No folder for temporary files can be written (or the disk is full): set TMPDIR to one."


@dataclass(frozen=True)
class _Seen:
    """A file or folder as last seen: what tells a change, and since when there was none."""

    mark: tuple[int, int, int]
    since: float  # of the monotonic clock, which nobody sets


class Scratch:
    """A run's folder, with `uploads` for Gradio and `nameless` for what is opened and unlinked."""

    def __init__(self, path: Path, quota: int = QUOTA) -> None:
        self.path = path
        self.uploads, self._nameless = path / "uploads", path / "nameless"
        for folder in (self.uploads, self._nameless):
            folder.mkdir()
        # A small disk, or one in memory, must not fill up.
        self._quota = min(quota, shutil.disk_usage(path).free // 2)
        self._seen: dict[Path, _Seen] = {}
        self._kept: set[Path] = set()
        self._taken = 0
        self._before: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def use(self) -> None:
        """Let this process, its libraries and children put their temporary files here."""
        self._before = {name: os.environ.get(name) for name in PLACES}
        os.environ["GRADIO_TEMP_DIR"] = str(self.uploads)
        os.environ["GRADIO_EXAMPLES_CACHE"] = str(self.path / "examples-cache")
        os.environ["TMPDIR"] = tempfile.tempdir = str(self._nameless)
        if not os.access(Path.home(), os.W_OK):  # a read-only container: matplotlib would complain
            os.environ.setdefault("MPLCONFIGDIR", str(self.path / "matplotlib"))

    def leave(self) -> None:
        """Let them put their files where they did before."""
        for name, place in self._before.items():
            os.environ.pop(name, None)
            if place is not None:
                os.environ[name] = place
        if self._before:
            tempfile.tempdir = None  # it follows TMPDIR

    def keep(self) -> None:
        """What lies here now is the page's own, such as its examples: it stays."""
        self._kept = {path for path, _ in self._entries()}

    def take(self, size: int) -> bool:
        """Whether there is room for a file of so many bytes; `give` it back once it has come.

        A disk that other things fill is told where the file is written.
        """
        with self._lock:
            for age in (AGE, SHORT_AGE):
                fits = self._swept(age) + self._taken + size <= self._quota
                if fits and shutil.disk_usage(self.path).free >= size:
                    break
            self._taken += size if fits else 0
        return fits

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._taken -= size

    def sweep(self) -> int:
        """Remove what has not changed for AGE seconds; returns the bytes that stay."""
        with self._lock:
            return self._swept(AGE)

    def _swept(self, age: float) -> int:
        now, seen, size = time.monotonic(), {}, 0
        for path, stat in self._entries():
            mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            before = self._seen.get(path)
            one = before if before and before.mark == mark else _Seen(mark, now)
            if path not in self._kept and now - one.since >= age and _removed(path):
                continue
            seen[path] = one
            size += 0 if S_ISDIR(stat.st_mode) else stat.st_size
        self._seen = seen
        return size

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Files and folders, a folder after what lies in it."""
        for top in (self.uploads, self._nameless):
            for folder, folders, files in os.walk(top, topdown=False):
                for name in (*files, *folders):
                    with suppress(FileNotFoundError):  # gone since it was listed
                        path = Path(folder, name)
                        yield path, path.lstat()


def _removed(path: Path) -> bool:
    try:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError:  # a folder with files, or gone already
        return not path.exists()
    return True


@contextmanager
def scratch() -> Iterator[Scratch]:
    """The folder of this run, while it runs; what killed runs have left is removed first.

    Raises UserError where no folder can be written, or where an error of a full disk ends the run.
    """
    try:
        root = Path(tempfile.gettempdir())
        remove_stale(root)
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root)).resolve()
        lock = FileLock(path / LOCK)
        lock.acquire()
        folder = Scratch(path)
    except OSError as error:
        raise UserError(NO_FOLDER) from error
    ended = threading.Event()
    threading.Thread(target=_sweep_until, args=(folder, ended), daemon=True).start()
    try:
        yield folder
    except OSError as error:
        if is_disk_full(error):  # it did not even take the page's own pictures
            raise UserError(NO_FOLDER) from error
        raise
    finally:
        ended.set()
        folder.leave()
        # The lock goes last: if this is broken off, the next start goes on with it.
        for inside in path.iterdir():
            if inside.name != LOCK:
                shutil.rmtree(inside, ignore_errors=True)
        lock.release()
        shutil.rmtree(path, ignore_errors=True)


def remove_stale(root: Path) -> None:
    """Remove the folders of runs that were killed: those whose lock nobody holds.

    One without a lock is just being made, or was left over while it was tidied up.
    """
    for path in root.glob(f"{PREFIX}*"):
        lock = path / LOCK
        # Whoever may write here may have put a link, or a folder of their own.
        if path.is_symlink() or not path.is_dir() or not _is_ours(path):
            continue
        if not lock.is_file():
            if (path / "uploads").is_dir() and time.time() - path.lstat().st_mtime > LEFT_OVER:
                shutil.rmtree(path, ignore_errors=True)
            continue
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(path, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def _sweep_until(folder: Scratch, ended: threading.Event) -> None:
    while not ended.wait(LOOK):
        folder.sweep()
        release_memory()  # the other thing that answers leave behind
