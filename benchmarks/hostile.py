"""What hostile pictures cost the process that decodes them: seconds of a core, and megabytes.

python -m benchmarks.hostile

Each picture is made anew and read in a process of its own, as the server reads what strangers send.
What an idle process costs is taken off. Behind them the largest honest pictures, and what reading
apart adds to a usual photo. Nothing here needs PyTorch, and nothing is sent anywhere.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskexplain.data.samples import example_pictures
from maskexplain.images import pool
from maskexplain.images.read import MAX_SIDE, ImageError, read_image
from tools.bombs import BOMBS, HONEST, SMALL, saved

GOAL_SECONDS, GOAL_MEGABYTES = 2.0, 400
MEGABYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """Seconds of a core, megabytes at the peak, and what was answered."""

    seconds: float
    megabytes: float
    answer: str


def cost(data: bytes) -> Cost:
    """What a fresh process costs that reads one picture and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = pool.Pool(1)
    own.warm()
    [pid] = own.pids
    try:
        size = own.decode(data, MAX_SIDE).size
        answer = f"read, {size[0]} x {size[1]}"
    except ImageError as error:
        answer = f"refused: {str(error).partition(':')[0]}"
    megabytes = _peak(pid)
    own.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, megabytes, answer)


def _peak(pid: int) -> float:
    """The most megabytes that a process had; all that it was allowed where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return pool.Bounds().memory / MEGABYTE
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(pictures: dict[str, Callable[[], bytes]], idle: Cost) -> list[str]:
    """A line a picture; the last one says how many keep the goal."""
    lines, kept = [], 0
    for name, make in pictures.items():
        data = make()
        spent = cost(data)
        seconds, megabytes = spent.seconds - idle.seconds, spent.megabytes - idle.megabytes
        kept += seconds <= GOAL_SECONDS and megabytes <= GOAL_MEGABYTES
        lines.append(
            f"{name:44}{len(data) / MEGABYTE:7.2f} MB{max(0, seconds):7.2f} s"
            f"{max(0, megabytes):7.0f} MB  {spent.answer}"
        )
        print(lines[-1], flush=True)
    goal = f"within {GOAL_SECONDS:g} s of a core and {GOAL_MEGABYTES} MB"
    lines.append(f"{kept} of {len(pictures)} {goal}")
    print(lines[-1], flush=True)
    return lines


def price(rounds: int) -> str:
    """What reading in another process adds to a usual photo."""
    photo = saved(example_pictures(whole=True)[1].image, "JPEG", quality=92)
    large = HONEST["JPEG, 12 megapixels"]()
    told = []
    for name, data in (("512 x 600", photo), ("4032 x 3024", large)):
        here, apart = (
            statistics.median(_timed(read, data) for _ in range(rounds))
            for read in (read_image, pool.read_apart)
        )
        told.append(f"{name}: {1000 * here:.1f} ms here, {1000 * apart:.1f} ms apart")
    return "; ".join(told)


def _timed(read: Callable[[bytes], object], data: bytes) -> float:
    start = time.perf_counter()
    read(data)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="of the price of a photo")
    args = parser.parse_args()
    idle = cost(saved(SMALL, "PNG"))
    print(f"an idle process: {idle.seconds:.2f} s, {idle.megabytes:.0f} MB")
    report(BOMBS, idle)
    print("the largest honest pictures")
    report(HONEST, idle)
    print(f"a photo, median of {args.rounds}: {price(args.rounds)}")
    print(f"{os.cpu_count()} cores, machine's load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
