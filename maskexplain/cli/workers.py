"""The rows of a table of answers, worked out in this process or by the workers of a Ray cluster."""

import logging
import os
import platform
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from .. import __version__
from ..errors import UserError
from ..explain.report import pictures_for, subjects_for
from ..images.crops import NoFaceError, Subjects, remarks
from ..images.pool import Bounds, NoProcessError, Pool
from ..images.read import MAX_SIDE, ImageError, bytes_of
from ..memory import bound_memory
from ..models.threads import at_once
from ..models.version import Model, Prediction, open_models
from ..words import printable

# Decoded pictures that are held at a time: 128 MB of the largest ones.
AT_ONCE = 16
CROPS = 32  # a crowd's crops at once would fill the memory
# A picture of one's own may take longer than a stranger's, but it may not end a run of days.
BOUNDS = Bounds(seconds=30.0, memory=2**30)

NO_PROCESS = (
    "No process to open pictures in can be started here: free memory or processes, "
    "then give the same command again."
)

GONE = "{} is no longer there: bring it back, then give the same command again."

Part = tuple[int, list[bytes]]  # its number, and the paths of its pictures
Answered = tuple[int, bytes]  # its number, and its rows as a Parquet file
Seen = Callable[[int], object]  # is told how many more pictures are answered


@dataclass(frozen=True)
class Order:
    """What is to be answered how.

    `weights`: the versions' files. `named`: pictures and folders, whose paths begin in `base`.
    `whole`: each picture is a face crop. `device`: its name, for each worker. `there`: which of
    `named` were there when the pictures were listed.
    """

    weights: tuple[Path, ...]
    named: tuple[Path, ...]
    whole: bool = False
    device: str = "cpu"
    base: str = ""
    there: tuple[Path, ...] = ()

    @property
    def gone(self) -> list[Path]:
        """What was there and is no more, such as a disk that was taken off."""
        return [path for path in self.there if not is_there(Path(self.base, path))]


def is_there(path: Path) -> bool:
    """Whether a file is there, or a folder with something in it: an empty one may be a disk's."""
    try:
        if path.is_file():
            return True
        with os.scandir(path) as entries:  # no list of a million
            return next(entries, None) is not None
    except OSError:
        return False


def schema_of(models: Sequence[Model]) -> pa.Schema:
    """The table's columns with their types; docs/command-line.md says what is in each."""
    classes = dict.fromkeys(name for model in models for name in model.task.names)
    columns = {
        "file": pa.string(),
        "face": pa.int32(),
        **dict.fromkeys(("x0", "y0", "x1", "y1"), pa.float32()),
        "width": pa.int32(),
        "height": pa.int32(),
        "turn": pa.int16(),
        "version": pa.string(),
        "class": pa.string(),
        **{f"p_{name}": pa.float32() for name in classes},
        "unsure": pa.bool_(),
        "remark": pa.string(),
        "trouble": pa.string(),
    }
    return pa.schema(list(columns.items()))


@dataclass(frozen=True)
class _Found:
    """A picture that can be answered: by each version, one crop a face, or the whole."""

    size: tuple[int, int]
    subjects: Subjects
    remark: str
    crops: tuple[list[Image.Image], ...]


class Answerer:
    """Answers pictures by the same versions; `each` works on several pictures, at once or not."""

    def __init__(
        self, models: Sequence[Model], order: Order, each: Callable = at_once, processes: int = 2
    ) -> None:
        self._models, self._order, self._each = models, order, each
        self._schema = schema_of(models)
        self._pool = Pool(processes, BOUNDS)

    def part(self, files: Sequence[bytes], seen: Seen = lambda count: None) -> bytes:
        """The rows of some pictures, in their order, as a Parquet file."""
        rows: list[dict] = []
        for begin in range(0, len(files), AT_ONCE):
            few = files[begin : begin + AT_ONCE]
            rows += self._rows(few)
            seen(len(few))
        return packed(pa.Table.from_pylist(rows, self._schema))

    def _rows(self, files: Sequence[bytes]) -> Iterator[dict]:
        """A row a face and version, largest face first; one for a picture without an answer."""
        found = list(self._each(self._look, files))
        good = [one for one in found if isinstance(one, _Found)]
        answers = [
            iter(_predict(model, [crop for one in good for crop in one.crops[index]]))
            for index, model in enumerate(self._models)
        ]
        for file, one in zip(files, found, strict=True):
            named = {"file": printable(os.fsdecode(file))}
            if not isinstance(one, _Found):
                yield {**named, "trouble": one}
                continue
            for index, model in enumerate(self._models):
                for face in range(len(one.crops[index])):
                    facts = _answer_row(model, one, face, next(answers[index]))
                    yield {**named, **facts}

    def _look(self, file: bytes) -> _Found | str:
        """What there is to answer in a picture, or why there is nothing."""
        try:
            data = bytes_of(Path(self._order.base, os.fsdecode(file)))
            image = self._pool.decode(data, MAX_SIDE)
            subjects = subjects_for(self._models, image, self._order.whole, landmarks=False)
        except NoProcessError as error:  # no row may blame the picture
            raise UserError(NO_PROCESS) from error
        except NoFaceError as error:
            return f"{error} (--whole)"
        except ImageError as error:
            if self._order.gone:
                raise UserError(GONE.format(self._order.gone[0])) from error
            return str(error)
        crops = tuple(pictures_for(model, image, subjects) for model in self._models)
        return _Found(image.size, subjects, remarks(image, subjects), crops)


def packed(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def _predict(model: Model, crops: Sequence[Image.Image]) -> Iterator[Prediction]:
    for begin in range(0, len(crops), CROPS):
        yield from model.predict(crops[begin : begin + CROPS])


def _answer_row(model: Model, found: _Found, face: int, answer: Prediction) -> dict:
    faces = found.subjects.faces if model.task.faces else ()
    box = dict(zip(("x0", "y0", "x1", "y1"), faces[face].box, strict=True)) if faces else {}
    return {
        "face": face + 1,
        **box,
        "width": found.size[0],
        "height": found.size[1],
        "turn": found.subjects.turn,
        "version": model.name,
        "class": answer.label,
        **{f"p_{name}": share for name, share in answer.probabilities.items()},
        "unsure": answer.unsure,
        "remark": found.remark or None,
    }


def here(
    models: Sequence[Model], order: Order, parts: Iterator[Part], seen: Seen
) -> Iterator[Answered]:
    """Answer the parts one by one in this process."""
    answerer = Answerer(models, order, processes=max(2, os.cpu_count() or 1))
    for number, files in parts:
        yield number, answerer.part(files, seen)


# --- on a cluster

# Ray reports its use to its makers unless told otherwise, and tells much of itself on stderr.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
KNOCK = 5.0  # seconds
NO_RAY = "--ray needs the package ray: pip install 'maskexplain[ray]'."


@dataclass(frozen=True)
class _Brief:
    """What a worker needs to begin: the program's version, the names and bytes of the versions'
    files, and the order.
    """

    program: str
    files: tuple[tuple[str, bytes], ...]
    order: Order

    def open(self) -> list[Model]:
        """The versions, from files that travelled here. Raises UserError."""
        host = platform.node()
        if __version__ != self.program:
            raise UserError(
                f"The worker {host} has maskexplain {__version__}: install {self.program} there."
            )
        if self.order.gone:
            raise UserError(
                f"The worker {host} does not see {Path(self.order.base, self.order.gone[0])}: "
                "put the pictures where all workers see them under the same path."
            )
        with TemporaryDirectory() as folder:
            for name, content in self.files:
                Path(folder, name).write_bytes(content)
            return open_models(
                [Path(folder, path.name) for path in self.order.weights], self.order.device
            )


class _Worker:
    """An actor of the cluster: opens the versions once, then answers part after part."""

    def __init__(self, brief: _Brief) -> None:
        self._brief = brief
        self._answerer: Answerer | None = None

    def __call__(self, part: pa.Table) -> pa.Table:
        [files] = part["files"].to_pylist()
        rows, trouble = b"", ""
        try:
            rows = self._ready().part(files)
        except UserError as error:  # as a row: Ray would wrap it in a page of its own
            trouble = str(error)
        told = {"count": [len(files)], "rows": [rows], "trouble": [trouble]}
        return pa.table({"part": part["part"], **told})

    def _ready(self) -> Answerer:
        if self._answerer is None:
            bound_memory()
            # One of many on its machine: it has one core, and one process to decode in.
            models, order = self._brief.open(), self._brief.order
            self._answerer = Answerer(models, order, map, processes=1)
        return self._answerer


def on_ray(address: str, order: Order, parts: Iterator[Part], seen: Seen) -> Iterator[Answered]:
    """Answer the parts by a Ray cluster, in the order in which they are ready.

    A worker that dies is replaced, and its part answered anew. Raises UserError.
    """
    for name, value in QUIET.items():  # before Ray is imported
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(NO_RAY) from error
    _join_cluster(ray, address)
    try:
        answered = _dataset(ray, order, parts)
        for batch in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                if row["trouble"]:
                    raise UserError(row["trouble"])
                seen(row["count"])
                yield row["part"], row["rows"]
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"The cluster failed: {reason}") from error
    finally:
        ray.shutdown()


def _join_cluster(ray: Any, address: str) -> None:
    wrong = f"There is no Ray cluster at {address}: give its HOST:PORT, auto or local."
    if address not in ("auto", "local"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:  # Ray itself would knock for ever
            socket.create_connection((host, int(port)), KNOCK).close()
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(wrong) from error
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except ConnectionError as error:
        raise UserError(wrong) from error
    except (RuntimeError, ValueError, OSError) as error:  # such as another version of Ray there
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"The Ray cluster at {address} cannot be used: {reason}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised, too


def _dataset(ray: Any, order: Order, parts: Iterator[Part]) -> Any:
    """The parts, a block each, with their answers."""
    beside = [path.with_suffix(".json") for path in order.weights]
    files = [*order.weights, *(path for path in beside if path.is_file())]
    sent = tuple((file.name, file.read_bytes()) for file in files)
    brief = _Brief(__version__, sent, order)
    blocks = [pa.table({"part": [number], "files": [files]}) for number, files in parts]
    there = ray.cluster_resources()
    on_gpu = order.device.startswith("cuda") or (order.device == "auto" and there.get("GPU", 0))
    actors = max(1, int(there.get("GPU" if on_gpu else "CPU", 1)))
    # A pool that can shrink: where a machine is lost, its actors wait for another's place.
    pool = ray.data.ActorPoolStrategy(min_size=1, initial_size=actors, max_size=actors)
    return ray.data.from_arrow(blocks).map_batches(
        _Worker,
        fn_constructor_args=(brief,),
        batch_size=1,
        batch_format="pyarrow",
        compute=pool,
        num_cpus=1,
        num_gpus=1 if on_gpu else 0,
    )
