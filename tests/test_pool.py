"""Strangers' pictures are read in processes that can be ended, within time and memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import Image
from test_images import BAD, GOOD

from maskexplain.images import pool as pools
from maskexplain.images.pool import NOT_OPENED, TOO_LONG, Bounds, Pool, read_apart
from maskexplain.images.read import (
    MAX_SIDE,
    TOO_MUCH_MEMORY,
    ImageError,
    decode,
    read_image,
    remark_of,
)
from tools import bombs
from tools.bombs import BOMBS, saved

ROOT = Path(__file__).resolve().parents[1]
PICTURE = saved(noise(0, (96, 64)), "PNG")
# Two seconds' work to make; the limit that ends it has a test of its own.
SLOW_TO_MAKE = {"AVIF: says 64 x 64, is 108 megapixels"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows counts no core's time")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One process, so that all of these tests meet the same one."""
    one = Pool(1)
    yield one
    one.close()


def read(pool: Pool, data: bytes) -> Image.Image:
    return pool.decode(data, MAX_SIDE)


def test_pictures_are_the_same_as_read_here(pool: Pool) -> None:
    for name, (make, _, _) in GOOD.items():
        data = make()
        assert np.array_equal(read(pool, data), read_image(data)), name


@pytest.mark.parametrize("name", ["empty", "text", "pdf", "41 megapixels", "half a PNG", "nothing"])
def test_bad_files_get_the_same_sentence(name: str) -> None:
    make, said, too_large = BAD[name]
    with pytest.raises(ImageError) as caught:
        read_apart(make())
    assert said in str(caught.value) and caught.value.too_large is too_large


def test_remark_travels_along(pool: Pool) -> None:
    cut = saved(noise(0, (96, 64)), "JPEG")[:-2]
    assert remark_of(read(pool, cut)) == remark_of(decode(cut)) != ""


def peak(pid: int) -> int:
    """The most megabytes that a process had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


@linux
@pytest.mark.parametrize("name", sorted(BOMBS.keys() - SLOW_TO_MAKE))
def test_bomb_costs_little(pool: Pool, name: str) -> None:
    """Read or refused, it ends no process, and the process has hardly grown."""
    data = BOMBS[name]()
    assert len(data) < 20 * 2**20
    read(pool, PICTURE)
    pids = pool.pids
    try:
        assert read(pool, data).size == bombs.SMALL.size
    except ImageError as error:
        assert str(error) not in (TOO_LONG, NOT_OPENED, TOO_MUCH_MEMORY)
    assert pool.pids == pids and peak(pids[0]) < 150


@pytest.fixture(scope="module")
def large() -> bytes:
    return saved(Image.new("RGB", (5000, 4000), "white"), "PNG", compress_level=1)


@posix
def test_picture_that_takes_long_is_ended_and_the_next_one_is_read(large: bytes) -> None:
    hurried = Pool(1, Bounds(seconds=0.03))
    try:
        with pytest.raises(ImageError, match="too long"):
            read(hurried, large)
        assert hurried.pids == []
        assert read(hurried, PICTURE).size == (96, 64)
    finally:
        hurried.close()


def test_clock_ends_what_the_processor_does_not(monkeypatch, large: bytes) -> None:
    monkeypatch.setattr(pools, "PATIENCE", 0.0)
    impatient = Pool(1)
    try:
        with pytest.raises(ImageError, match="too long"):
            read(impatient, large)
    finally:
        impatient.close()


def clear(size: tuple[int, int]) -> Image.Image:
    """A picture with transparency."""
    return Image.new("RGBA", size, (200, 120, 90, 128))


@linux
@pytest.mark.parametrize(
    "data",
    [
        lambda large: large,
        lambda _: bombs.lying_avif((5000, 4000)),
        # The decoders of these call it damaged.
        lambda _: saved(clear((2000, 2000)), "WEBP", lossless=True, method=0),
        lambda _: saved(clear((2000, 2000)), "AVIF", speed=10),
        lambda _: bombs.heic(clear((1600, 1600))),
    ],
    ids=["png", "lying avif", "webp", "avif", "heic"],
)
def test_picture_that_takes_much_memory_is_refused(data, large: bytes, request) -> None:
    narrow = Pool(1, Bounds(memory=24 * 2**20))
    lies = "lying" in request.node.name  # how much it takes cannot be known
    try:
        with pytest.raises(ImageError, match="damaged" if lies else TOO_MUCH_MEMORY):
            read(narrow, data(large))
        assert read(narrow, PICTURE).size == (96, 64)
    finally:
        narrow.close()


@pytest.mark.parametrize("times", [1, 2])
def test_killed_process_is_replaced(pool: Pool, times: int) -> None:
    for _ in range(times):
        read(pool, PICTURE)
        [pid] = pool.pids
        os.kill(pid, signal.SIGTERM)
        assert np.array_equal(read(pool, PICTURE), noise(0, (96, 64)))
        assert pool.pids != [pid]


@posix
def test_nobody_waits_for_another_picture(large: bytes) -> None:
    """While one process is stopped in its picture, the other one answers."""
    two = Pool(2)
    try:
        two.warm()
        [busy] = two.pids
        os.kill(busy, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(read, two, large)
            while two._free.qsize() == 2:  # until it has the process that is stopped
                time.sleep(0.01)
            assert read(two, PICTURE).size == (96, 64)
            assert not waiting.done()
            os.kill(busy, signal.SIGCONT)
            assert waiting.result().size == (MAX_SIDE, MAX_SIDE * 4 // 5)
    finally:
        two.close()


def test_many_threads_share_few_processes(pool: Pool) -> None:
    pictures = [noise(seed, (40, 30)) for seed in range(12)]
    with ThreadPoolExecutor(6) as threads:
        read_back = threads.map(lambda p: read(pool, saved(p, "PNG")), pictures)
    assert all(np.array_equal(a, b) for a, b in zip(read_back, pictures, strict=True))
    assert len(pool.pids) == 1


PROGRAM = """
import os, sys
from maskexplain.images.pool import POOL, read_apart
read_apart(open(sys.argv[1], "rb").read())
[pid] = POOL.pids
print(pid, "torch" in open(f"/proc/{pid}/maps").read(), flush=True)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), 9)
"""


@linux
@pytest.mark.parametrize("how", ["end", "kill"])
def test_processes_end_with_the_program_and_know_no_torch(tmp_path: Path, how: str) -> None:
    """Started from a script without a guard for its main part, as people write them."""
    picture, script = tmp_path / "picture.png", tmp_path / "script.py"
    picture.write_bytes(PICTURE)
    script.write_text(PROGRAM)
    told = subprocess.run(
        [sys.executable, str(script), str(picture), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    ).stdout.split()
    assert told[1] == "False"
    for _ in range(200):
        if not alive(int(told[0])):
            break
        time.sleep(0.02)
    assert not alive(int(told[0]))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
