"""A clip's frames as RGB pictures: read in a process of its own, within bounds, and written.

Strangers send clips, and their decoders are large. So the bytes are decoded by `decoder.py`, which
can open nothing and is ended when it takes too much. Nothing is written to disk.
"""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from threading import Timer
from typing import IO, BinaryIO

import av
from PIL import Image, ImageOps

from ..errors import UserError
from ..files import write_file
from .decoder import ERRORS, HEADER

SUFFIXES = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".3gp"}
DECODER = Path(__file__).with_name("decoder.py")

RATE = 10  # frames answered a second: a hand takes some .3 s to pull a mask down
SIDE = 1280  # pixels of a frame's long side; a larger one is shrunk
SPARE = 256  # bytes at most that a row has behind its pixels
MEMORY = 1 << 30  # bytes of the decoder: 4K with 16 reference frames takes about half of it
PATIENCE = 20.0  # seconds of waiting for the next frame, on a busy machine
# Processor seconds for each second of a clip: 4K of 60 frames a second takes about 2.
EFFORT = 4

REMEDY = "save it as MP4 (H.264) and try again"
SENTENCES = {
    "unknown": "The file is no video that is read here: give an MP4, WebM or MOV.",
    "no_pictures": "The file holds sound but no pictures: give a video.",
    "codec": f"The video is coded in a way that is not read here: {REMEDY}.",
    "too_large": "The video's frames are larger than 4K: send a smaller copy of it.",
    "too_small": "The video is too small or a very narrow strip: send one that shows a face.",
    "damaged": f"The video is damaged or cut off: send it again, or {REMEDY}.",
    "fast": "The video has more than 300 frames a second: save it with fewer and try again.",
    "memory": "The video takes too much memory to decode: send a smaller copy of it.",
    "slow": "The video takes too long to decode: send a shorter or smaller copy of it.",
}  # What a decoder ends with that was ended here, or by its limit; Windows has neither signal.
OUT_OF_TIME = {-getattr(signal, name, 0) for name in ("SIGKILL", "SIGXCPU")}
EMPTY = "The video's file is empty: choose or send it again."
CUT_OFF = "The file is damaged or cut off after {:.1f} s: the rest is not answered."
LONGER = "The clip is longer: its first {} s are answered."


class ClipError(UserError, ValueError):
    """Not a usable clip; the text is one sentence."""


@dataclass(frozen=True)
class Frame:
    """A picture of a clip: seconds from the clip's begin, and the upright RGB picture."""

    time: float
    image: Image.Image


class Frames:
    """The frames of an open clip, one after the other; each has the size of the first.

    `seconds`: how long the clip is, or is answered; 0 where it does not say. `remark`: a sentence
    once all frames are read, where they are not the whole clip; else "".
    """

    def __init__(self, process: subprocess.Popen, records: IO[bytes] | None, most: int) -> None:
        assert records is not None, "its output is piped"
        self._process = process
        self._records = records
        self._most = most
        self._size: tuple[int, int] | None = None
        self.remark = ""
        kind, seconds, *_ = self._header()
        if kind != b"C":
            raise ClipError(SENTENCES["damaged"])
        self.seconds = min(seconds, float(most)) if seconds > 0 else 0.0

    def __iter__(self) -> Iterator[Frame]:
        time = 0.0
        while True:
            try:
                kind, time, *numbers = self._header()
                if kind != b"F":
                    break
                yield Frame(time, self._picture(*numbers))
            except ClipError:
                if self._size is None:
                    raise
                # What was decoded until then was answered: that is worth more than an error.
                self.remark = CUT_OFF.format(time)
                return
        self.remark = LONGER.format(self._most) if numbers[0] else self._missing(time)

    def _missing(self, time: float) -> str:
        """Decoders skip what is damaged: a clip that ends early was cut off."""
        return CUT_OFF.format(time) if time + 2 / RATE < 0.9 * self.seconds else ""

    def _picture(self, width: int, height: int, row: int, turn: int) -> Image.Image:
        # Whoever has taken over the decoder could ask for any amount of memory here.
        if not (0 < width <= SIDE and 0 < height <= SIDE and 3 * width <= row <= 3 * width + SPARE):
            raise ClipError(SENTENCES["damaged"])
        pixels = self._read(row * height)
        image = Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", row, 1)
        image = image.rotate(turn, expand=True) if turn else image.copy()
        self._size = self._size or image.size
        # A clip's frames may change their size, such as where a call's phone was turned.
        return image if image.size == self._size else ImageOps.pad(image, self._size)

    def _header(self) -> tuple:
        kind, time, *numbers = HEADER.unpack(self._read(HEADER.size))
        if kind == b"E":
            raise ClipError(SENTENCES[ERRORS[numbers[0] % len(ERRORS)]])
        return kind, time, *numbers

    def _read(self, count: int) -> bytes:
        """So many bytes of the decoder. Raises ClipError where it ends or takes too long."""
        watch = Timer(PATIENCE, self._process.kill)
        watch.start()
        try:
            content = self._records.read(count)
        finally:
            watch.cancel()
        if len(content) == count:
            return content
        raise ClipError(SENTENCES["slow" if self._process.wait() in OUT_OF_TIME else "damaged"])


@contextmanager
def open_clip(path: str | Path, seconds: int) -> Iterator[Frames]:
    """The frames of an MP4, WebM or MOV, of its first `seconds`, at most RATE a second.

    Frames are turned upright, their pixels made square, their long side shrunk to SIDE pixels.
    Raises ClipError for what is no such clip.
    """
    limits = (seconds, RATE, SIDE, 10 + EFFORT * seconds, MEMORY)
    # -P: the folder of decoder.py is no place to import from.
    command = [sys.executable, "-P", str(DECODER), *map(str, limits)]
    with (
        _file(Path(path)) as file,
        subprocess.Popen(
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            yield Frames(process, process.stdout, seconds)
        finally:
            process.kill()


def _file(path: Path) -> BinaryIO:
    """A plain file, open. Raises ClipError."""
    try:
        status = path.stat()
        # Reading a device or a pipe might never end.
        if not stat.S_ISREG(status.st_mode):
            raise ClipError("That path is no plain file: give a video's file.")
        if not status.st_size:
            raise ClipError(EMPTY)
        return path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, ClipError):
            raise
        raise ClipError("The video's file cannot be opened: check its path.") from error


# --- the annotated clip

# What bounds its size: thirty seconds are at most some 6 MB.
BITS_A_SECOND = 1_500_000
QUALITY = 24  # x264's constant rate factor: text stays sharp
TICKS = 1000  # a second


class ClipWriter:
    """An MP4 (H.264, no sound) that grows by a frame at a time; all frames have one size."""

    def __init__(self, file: BinaryIO) -> None:
        self._container = av.open(file, "w", format="mp4")
        self._stream: av.VideoStream | None = None

    def add(self, image: Image.Image, time: float) -> None:
        """Add an RGB picture that is shown from `time` (seconds) on."""
        image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
        stream = self._stream = self._stream or self._begun(image.size)
        frame = av.VideoFrame.from_image(image)
        frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
        self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Write what is left; the file is whole from then on."""
        if self._stream:
            self._container.mux(self._stream.encode())
        self._container.close()

    def _begun(self, size: tuple[int, int]) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.options = {
            "crf": str(QUALITY),
            "preset": "veryfast",
            "maxrate": str(BITS_A_SECOND),
            "bufsize": str(2 * BITS_A_SECOND),
            "g": str(RATE),  # a whole frame each second: a click on the timeline is quick
            "threads": "1",
        }
        return stream

    @classmethod
    @contextmanager
    def to(cls, path: Path | None) -> Iterator[ClipWriter | None]:
        """A writer to a file that is renamed to `path` once it is whole; None for no path."""
        if path is None:
            yield None
            return
        with BytesIO() as content:
            writer = cls(content)
            yield writer
            writer.close()
            write_file(path, lambda beside: beside.write_bytes(content.getvalue()))
