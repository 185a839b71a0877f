"""A program of its own that decodes a clip: its file on stdin, RGB frames on stdout.

    python decoder.py SECONDS RATE SIDE CPU_SECONDS MEMORY < clip.mp4 > records

Started by `frames.py`, never imported with the rest: a stranger's bytes meet FFmpeg here, where
they reach no network, no file, little memory and little time. It imports nothing of the project.

A record is `HEADER`: kind, seconds and four numbers. Kinds:

    C  the clip: its declared seconds, 0 where unknown
    F  a frame: its time; width, height, bytes a row, degrees to turn it against the clock; its
       rows follow
    D  done: the seconds reached; 1 where the clip goes on beyond SECONDS
    E  an error: its name's number among `ERRORS`
"""

import struct
import sys
from importlib import import_module
from pkgutil import walk_packages

HEADER = struct.Struct("<cd4I")
ERRORS = ("unknown", "no_pictures", "codec", "too_large", "too_small", "damaged", "memory", "fast")

# By the file's first bytes, so that no playlist or script is taken for a clip: those name files.
MATROSKA = b"\x1aE\xdf\xa3"  # WebM, too
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # of MP4 and MOV
CODECS = "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,av1,libdav1d,mpeg4,mjpeg,prores"
MAX_PIXELS = 4096 * 2304  # 4K, a little over 9 megapixels
MIN_SIDE = 16
MOST_RATE = 300  # frames a second: phones' slow motion has 240, and each one has to be decoded
THREADS = 2  # a phone's 4K needs them; more cost memory
USUAL_RATE = 25.0  # of a clip that does not say when its frames are due
OPEN_FILES = 3  # stdin, stdout, stderr


class Refused(Exception):
    """The clip is not decoded; `args[0]` is one of ERRORS."""


def main() -> None:
    seconds, rate, side, cpu_seconds, memory = (int(argument) for argument in sys.argv[1:])
    av = _whole_library()
    _confine(cpu_seconds, memory)
    try:
        _decode(av, seconds, rate, side)
    except Refused as error:
        _write(b"E", 0.0, ERRORS.index(error.args[0]))
    except MemoryError:
        _write(b"E", 0.0, ERRORS.index("memory"))
    except (av.FFmpegError, ValueError, OverflowError, EOFError):
        _write(b"E", 0.0, ERRORS.index("damaged"))


def _whole_library():
    """PyAV with all its modules: some are imported when first used, and no file opens then."""
    import av

    for module in walk_packages(av.__path__, "av."):
        if not module.name.endswith(("__main__", ".datasets")):
            import_module(module.name)
    return av


def _confine(cpu_seconds: int, memory: int) -> None:
    """No further file or socket, and so many bytes and seconds; Windows has no such limits."""
    try:
        import resource
    except ImportError:
        return
    for limit, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        most = resource.getrlimit(limit)[1]  # a container may have set less
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))


def _decode(av, seconds: int, rate: int, side: int) -> None:
    with _opened(av) as container:
        stream = _pictures(container)
        declared = _declared(av, container, stream)
        size, begin, due, time = None, None, 0.0, 0.0
        for index, frame in enumerate(_frames(av, container, stream)):
            if index > seconds * MOST_RATE:
                raise Refused("fast")
            time = frame.time if frame.time is not None else _counted(stream, index)
            begin = time if begin is None else begin
            time -= begin
            if time >= seconds:
                return _write(b"D", float(seconds), 1)
            if time < due - 0.25 / rate:  # also what comes twice, or late
                continue
            due = max(due + 1 / rate, time + 0.5 / rate)
            if size is None:
                size = _size(frame, stream, side)
                _write(b"C", declared)
            _write_frame(frame, time, size)
        if size is None:
            raise Refused("damaged")
        return _write(b"D", time)


def _declared(av, container, stream) -> float:
    """How many seconds the pictures take, as the file says; its sound may go on."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _opened(av):
    file = sys.stdin.buffer
    start = file.read(8)
    file.seek(0)
    if start.startswith(MATROSKA):
        kind = "matroska"
    elif start[4:] in BOXES:
        kind = "mov"
    else:
        raise Refused("unknown")
    return av.open(file, format=kind, options={"codec_whitelist": CODECS})


def _pictures(container):
    """The track of pictures, ready to be decoded within bounds."""
    streams = [s for s in container.streams.video if "attached_pic" not in _flags(s)]
    if not streams:
        raise Refused("no_pictures")
    stream = streams[0]
    codec = stream.codec_context
    if codec is None or codec.codec.name not in CODECS.split(","):
        raise Refused("codec")
    if codec.width * codec.height > MAX_PIXELS:
        raise Refused("too_large")
    if (stream.average_rate or 0) > MOST_RATE:
        raise Refused("fast")
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type, codec.thread_count = "AUTO", THREADS
    return stream


def _flags(stream) -> str:
    return str(stream.disposition).lower()


def _frames(av, container, stream):
    """The frames that can be decoded; one damaged packet is no reason to end."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            if frame.width * frame.height > MAX_PIXELS:
                raise Refused("too_large")
            yield frame


def _counted(stream, index: int) -> float:
    return index / float(stream.average_rate or USUAL_RATE)


def _size(frame, stream, side: int) -> tuple[int, int]:
    """The size of all frames sent, before they are turned: pixels square, sides even."""
    wide = frame.width * float(stream.sample_aspect_ratio or 1)
    high = float(frame.height)
    if not min(wide, high) >= MIN_SIDE or max(wide, high) > 8 * min(wide, high):
        raise Refused("too_small")
    scale = min(1.0, side / max(wide, high))
    width, height = (max(MIN_SIDE, 2 * round(length * scale / 2)) for length in (wide, high))
    return width, height


def _write_frame(frame, time: float, size: tuple[int, int]) -> None:
    plane = frame.reformat(*size, format="rgb24").planes[0]
    _write(b"F", time, *size, plane.line_size, int(frame.rotation) % 360)
    sys.stdout.buffer.write(plane)
    sys.stdout.buffer.flush()


def _write(kind: bytes, time: float, *numbers: int) -> None:
    padded = (*numbers, 0, 0, 0, 0)[:4]
    sys.stdout.buffer.write(HEADER.pack(kind, time, *padded))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
