"""Strangers' pictures, decoded in a few processes of their own: time and memory are bounded there.

Some files make a decoder ask for gigabytes, or work for minutes, and nothing in a thread could end
it. A process can be ended; the next picture then gets a new one. The processes import no PyTorch,
start with the first picture and end with the program, however that ends: they read from its pipe.
On Windows the time is bounded by the clock alone, and outside of Linux the memory is not.
"""

import atexit
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pillow_heif
from PIL import AvifImagePlugin, Image

from .read import MAX_SIDE, TOO_MUCH_MEMORY, ImageError, bytes_of, decode, takes_over

if sys.platform == "linux":
    import resource

# One is not enough: while it decodes a large picture, nobody else would get an answer.
WORKERS = max(2, min(4, os.cpu_count() or 1))
# Seconds of the clock: a crowded machine needs them, and one that cannot count a core's.
PATIENCE = 60.0

TOO_LONG = (
    "The picture takes too long to open: send a smaller copy of it, or save it as JPEG or PNG."
)
NOT_OPENED = "The picture could not be opened: save it as JPEG or PNG and try again."
NO_PROCESS = "The server cannot open pictures just now: try again in a minute."

# Asked: the long side (0 for its own), the file's bytes. Told: bytes of JSON, bytes of pixels.
HEAD = struct.Struct("<QQ")
# The package of this very file, whichever others are installed.
START = """
import sys
sys.path.insert(0, sys.argv[1])
import maskexplain
del sys.path[0]
from maskexplain.images.pool import Bounds, work
work(Bounds(float(sys.argv[2]), int(sys.argv[3])))
"""


def read_apart(
    source: str | Path | bytes | BinaryIO, max_side: int | None = MAX_SIDE
) -> Image.Image:
    """`read_image` for what a stranger sent: decoded in another process, within bounds.

    Raises ImageError.
    """
    return POOL.decode(bytes_of(source), max_side)


class NoProcessError(ImageError):
    """No process could be started: the picture may be good."""


@dataclass(frozen=True)
class Bounds:
    """What one picture may cost.

    A phone's photo takes .1 to .4 seconds, the largest that are allowed take one.
    """

    seconds: float = 2.0  # of a core
    memory: int = 384 * 2**20  # bytes above what an idle process has


class _Ended(Exception):
    """The process has ended; `late`: because the picture took too long."""

    def __init__(self, late: bool) -> None:
        super().__init__(late)
        self.late = late


class Pool:
    """Processes that decode pictures, a picture each; they start when they are needed."""

    def __init__(self, size: int = WORKERS, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        # The one that was busy last is taken first: the others stay asleep, or unborn.
        self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._started: list[_Worker] = []
        for _ in range(size):
            self._free.put(None)
        atexit.register(self.close)

    def warm(self) -> None:
        """Start a process, and do not wait until it is ready."""
        worker = self._free.get()
        self._free.put(worker or self._start())

    def decode(self, data: bytes, max_side: int | None) -> Image.Image:
        """The picture of a file's bytes; waits where all are busy. Raises ImageError, and of these
        NoProcessError where it is not the picture's fault.

        A process that has ended, because of the file or while it waited, is replaced.
        """
        worker = self._free.get()
        try:
            for _ in range(2):
                worker = worker or self._start()
                try:
                    return worker.decode(data, max_side)
                except _Ended as end:
                    self._started.remove(worker)
                    worker = None
                    if end.late:
                        raise ImageError(TOO_LONG) from end
            raise ImageError(NOT_OPENED)
        finally:
            self._free.put(worker)

    @property
    def pids(self) -> list[int]:
        """The processes that have started and were not seen to end."""
        return [worker.pid for worker in self._started]

    def close(self) -> None:
        """End all processes; the next picture starts new ones."""
        for worker in self._started:
            worker.end()

    def _start(self) -> "_Worker":
        try:
            worker = _Worker(self._bounds)
        except OSError as error:
            raise NoProcessError(NO_PROCESS) from error
        self._started.append(worker)
        return worker


class _Worker:
    """One process that decodes picture after picture."""

    def __init__(self, bounds: Bounds) -> None:
        root = Path(__file__).resolve().parents[2]
        bounded = [str(bounds.seconds), str(bounds.memory)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, str(root), *bounded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders tell of what is in a file
            # Ctrl-C is for the program, which ends the process by ending.
            process_group=None if os.name == "nt" else 0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._late = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(self, data: bytes, max_side: int | None) -> Image.Image:
        """Raises ImageError, or _Ended."""
        clock = threading.Timer(PATIENCE, self._give_up)
        clock.daemon = True
        clock.start()
        try:
            reply, pixels = self._asked(HEAD.pack(max_side or 0, len(data)), data)
        except (OSError, ValueError, struct.error) as error:  # the pipe ends with the process
            self.end()
            raise _Ended(self._late or self._process.returncode == -OUT_OF_TIME) from error
        finally:
            clock.cancel()
        if "error" in reply:
            raise ImageError(reply["error"], reply["too_large"])
        picture = Image.frombytes("RGB", tuple(reply["size"]), pixels)
        picture.info.update(reply["info"])
        return picture

    def _asked(self, *parts: bytes) -> tuple[dict, bytes]:
        questions, answers = self._process.stdin, self._process.stdout
        assert questions and answers
        for part in parts:
            questions.write(part)
        questions.flush()
        told, pixels = HEAD.unpack(answers.read(HEAD.size))
        return json.loads(answers.read(told)), answers.read(pixels)

    def _give_up(self) -> None:
        self._late = True
        self._process.kill()

    def end(self) -> None:
        """Kill the process, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was never written cannot be flushed any more
                pipe.close()


POOL = Pool()


# --- in the other process

OUT_OF_TIME = getattr(signal, "SIGPROF", 1 << 16)  # Windows has none: no exit code is this


def work(bounds: Bounds) -> None:
    """Decode what comes on standard input until it ends."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed here is no answer
    AvifImagePlugin.DEFAULT_MAX_THREADS = pillow_heif.options.DECODE_THREADS = 1
    _bound_memory(bounds.memory)
    while head := questions.read(HEAD.size):
        max_side, length = HEAD.unpack(head)
        data = questions.read(length)
        _bound_time(bounds.seconds)
        told, pixels = _answer(data, max_side or None, bounds.memory)
        _bound_time(0)
        for part in (HEAD.pack(len(told), len(pixels)), told, pixels):
            answers.write(part)
        answers.flush()


def _answer(data: bytes, max_side: int | None, memory: int) -> tuple[bytes, bytes]:
    try:
        picture = decode(data, max_side)
    except ImageError as error:
        if not error.too_large and takes_over(data, memory):
            error = ImageError(TOO_MUCH_MEMORY, too_large=True)
        return json.dumps({"error": str(error), "too_large": error.too_large}).encode(), b""
    return json.dumps({"size": picture.size, "info": picture.info}).encode(), picture.tobytes()


def _bound_time(seconds: float) -> None:
    """End the process once it has used so much of a core from now on; 0 for no bound."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _bound_memory(more: int) -> None:
    """Let no allocation lead further than so many bytes above what the process has now."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
