"""The answers to any number of pictures as one Parquet file, worked out part by part.

Beside answers.parquet lies, until it is complete, the folder answers.parquet.parts: the list of the
pictures, and the rows of each part that is done. Whoever asks for the same again goes on there.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from .. import __version__
from ..errors import UserError
from ..files import LOCK, alone_in, clear_half_written, write_file
from ..images.folder import find_pictures
from ..models.checkpoints import digest
from ..models.version import Model
from ..words import listed, printable
from .folders import Meter
from .workers import Answered, Order, Part, Seen, is_there, schema_of

PART = 256  # pictures: what an end at any moment may cost, less than a minute of work
ROW_GROUP = 2**16  # rows of the complete file that are held at a time
STOPPED = "stopped; the same command goes on from what was saved last."
LIST = pa.schema([("file", pa.binary())])  # a row group a part
# What the list tells of itself: the job, where its paths begin, and which of the named pictures and
# folders were there.
JOB, BASE, THERE = b"job", b"base", b"there"

# Answers the parts that it is given, in any order, and tells how many pictures are done.
Work = Callable[[Order, Iterator[Part], Seen], Iterator[Answered]]


class Job(BaseModel, frozen=True):
    """What a table answers: parts of equal jobs fit together.

    `versions`: of each the digest of its weights and the confidence below which it is unsure.
    """

    program: str
    versions: dict[str, tuple[str, float]]
    pictures: list[str]
    whole: bool


DIFFERENCES = {
    "program": "another release of this program",
    "versions": "other versions",
    "pictures": "other pictures or folders",
    "whole": "--whole changed",
}


@dataclass(frozen=True)
class Table:
    """What was written: its rows, the pictures in it, and how many of these have no answer."""

    path: Path
    rows: int
    pictures: int
    failed: int


def write_table(
    out: Path,
    order: Order,
    models: Sequence[Model],
    work: Work,
    replace_other: bool = False,
) -> Table:
    """Write the answers to an order, whose versions are `models`, as a Parquet file.

    `replace_other`: what is there of another job goes. Raises UserError; what is done by then is
    kept, and the same call goes on.
    """
    job = _job(order, models)
    parts = Parts(out.with_name(f"{out.name}.parts"))
    with parts.held():
        clear_half_written(out.parent, out.name)
        if out.exists() and not replace_other:
            raise UserError(f"{out} is there already: name another --out, or --replace.")
        begun = parts.begin(job, order, replace_other)
        parts.answer(begun, work)
        table = parts.join(out, schema_of(models))
        parts.remove()
    return table


def _job(order: Order, models: Sequence[Model]) -> Job:
    pairs = zip(models, order.weights, strict=True)
    return Job(
        program=__version__,
        versions={model.name: (digest(path), model.unsure_below) for model, path in pairs},
        pictures=[printable(os.path.abspath(path)) for path in order.named],
        whole=order.whole,
    )


class Parts:
    """The folder of a table that is being made. Raises UserError where it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list = folder / "pictures.parquet"

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process alone; it goes in the end where nothing is in it."""
        free = False
        try:
            busy = f"Another run writes in {self._folder}: wait for it, or name another --out."
            with alone_in(self._folder, busy):
                try:
                    yield
                finally:
                    free = not self._list.exists()
        finally:
            if free:
                (self._folder / LOCK).unlink(missing_ok=True)
                with suppress(OSError):
                    self._folder.rmdir()

    def begin(self, job: Job, order: Order, replace_other: bool) -> Order:
        """Go on with the parts of this job, or list its pictures; returns the order as it began.

        Raises UserError for parts of another job, unless they may be replaced.
        """
        if self._list.exists():
            begun, earlier = self._begun(order)
            if begun == job:
                return earlier
            if not replace_other:
                raise UserError(
                    f"{self._folder} holds the beginning of another table "
                    f"({_difference(begun, job)}): give that command again, name another --out, "
                    "or --replace."
                )
        self.remove()
        about = {
            JOB: job.model_dump_json().encode(),
            BASE: os.fsencode(os.getcwd()),
            THERE: "".join(str(int(is_there(path))) for path in order.named).encode(),
        }
        write_file(self._list, lambda beside: _write_list(beside, order.named, about))
        return self._begun(order)[1]

    def _begun(self, order: Order) -> tuple[Job, Order]:
        """The job of the list, and an order for it as it was when the list was made."""
        try:
            about = pq.read_schema(self._list).metadata
            job, base = Job.model_validate_json(about[JOB]), os.fsdecode(about[BASE])
            there = tuple(compress(order.named, map(int, about[THERE].decode())))
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._list} is damaged: remove {self._folder}.") from error
        return job, replace(order, base=base, there=there)

    def answer(self, order: Order, work: Work) -> None:
        """Work on the parts that are missing, and keep each as soon as it is done."""
        with pq.ParquetFile(self._list) as listed_files:
            about = listed_files.metadata
            sizes = [about.row_group(n).num_rows for n in range(about.num_row_groups)]
            missing = [n for n in range(len(sizes)) if not _readable(self._part(n))]
            done = sum(sizes) - sum(sizes[n] for n in missing)
            files = ((n, listed_files.read_row_group(n)["file"].to_pylist()) for n in missing)
            with Meter(sum(sizes), done) as meter:
                for number, rows in work(order, files, meter.add) if missing else ():
                    write_file(self._part(number), partial(Path.write_bytes, data=rows))

    def join(self, out: Path, schema: pa.Schema) -> Table:
        """Write all parts into one file, in the order of the list."""
        about = pq.read_metadata(self._list)
        tally = [0, 0]

        def write(beside: Path) -> None:
            with _writing(beside, schema) as to:
                for table in _collected(self._read(n) for n in range(about.num_row_groups)):
                    to.write_table(table)
                    tally[0] += len(table)
                    tally[1] += len(table) - table["trouble"].null_count

        write_file(out, write)
        return Table(out, tally[0], about.num_rows, tally[1])

    def _read(self, number: int) -> pa.Table:
        path = self._part(number)
        try:
            return pq.read_table(path, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            path.unlink(missing_ok=True)
            raise UserError(
                f"{path} was damaged and is gone: give the same command again."
            ) from error

    def remove(self) -> None:
        """Empty the folder, the list first: what is left without it is nobody's."""
        self._list.unlink(missing_ok=True)
        for path in self._folder.glob("*.parquet"):
            path.unlink(missing_ok=True)


def _difference(begun: Job, job: Job) -> str:
    return listed([w for key, w in DIFFERENCES.items() if getattr(begun, key) != getattr(job, key)])


def _write_list(to: Path, named: Sequence[Path], about: dict[bytes, bytes]) -> None:
    paths = (os.fsencode(file.path) for file in find_pictures(named))
    with _writing(to, LIST.with_metadata(about)) as writer:
        while part := [*islice(paths, PART)]:
            writer.write_table(pa.table({"file": part}, writer.schema))


@contextmanager
def _writing(to: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    # By Python's file: pyarrow's own tells of a full disk in words of its own.
    with to.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield writer


def _readable(part: Path) -> bool:
    """Whether a part is there to its end; after a power cut it may be there and empty."""
    try:
        pq.read_metadata(part)
    except (OSError, pa.ArrowException):
        return False
    return True


def _collected(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables as fewer, larger ones."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
