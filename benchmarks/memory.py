"""How much memory the server takes: at its start, at the peak of mixed answers, and after it.

python -m benchmarks.memory [--answers 2000] [--visitors 8] [--models v1 v2 v3]

Each visitor asks in turns by HTTP (/predict, /explain) and through the page's queue, as Gradio's
own client does, about portraits of several sizes. What counts is what belongs to the
server's process alone or is shared with others by equal parts (PSS), its children's, too.
"""

import argparse
import itertools
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from gradio_client import Client, handle_file

from maskexplain.data.samples import example_pictures
from maskexplain.errors import UserError
from maskexplain.explain.methods import METHODS
from tools.served import children_of, free_port, started

GOAL_START, GOAL_AFTER = 900, 1300  # MB
LOOK_SECONDS = 0.5
REST_SECONDS = 45.0  # a sweep gives freed memory back every 20
SIZES = ((512, 600), (1024, 1200), (2000, 2344), (400, 469))


@dataclass
class Readings:
    """Megabytes at the start, at most, and after a rest; answers that came, and that did not."""

    start: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    answered: int = 0
    refused: int = 0


def proportional(pid: int) -> float:
    """Megabytes (PSS) of a process and its children; only on Linux."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [own] = [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return own + sum(map(proportional, children_of(pid)))


def write_pictures(folder: Path) -> list[Path]:
    """The page's examples in several sizes."""
    paths = []
    for number, (example, size) in enumerate(itertools.product(example_pictures(True), SIZES)):
        paths.append(folder / f"{number}.jpg")
        example.image.resize(size).save(paths[-1])
    return paths


def visit(url: str, models: list[str], pictures: list[Path], turns, seed: int, told: Readings):
    """Ask until the turns are used up."""
    rng = random.Random(seed)
    page = Client(url, verbose=False)
    with httpx.Client(base_url=url, timeout=300) as client:
        for turn in turns:
            picture, asked = rng.choice(pictures), {"model": rng.choice(models)}
            kind = ("predict", "explain")[turn % 2]
            if kind == "explain":
                asked["method"] = rng.choice([*METHODS, "grad_cam", "integrated_gradients"])
            try:
                if turn % 4 < 2:
                    form = {"files": {"file": BytesIO(picture.read_bytes())}, "data": asked}
                    client.post(f"/{kind}", **form).raise_for_status()
                else:
                    page.predict(handle_file(picture), api_name=f"/{kind}", **asked)
                told.answered += 1
            except (httpx.HTTPError, ValueError, RuntimeError):  # full, or no face in a small one
                told.refused += 1


def measure(answers: int, visitors: int, models: list[str]) -> Readings:
    """Serve these versions, let visitors ask, and read the memory meanwhile."""
    told, port = Readings(), free_port()
    url = f"http://127.0.0.1:{port}/"
    command = ("app.py", "--models", *models, "--port", str(port))
    with TemporaryDirectory() as folder, started(command, url) as server:
        pictures = write_pictures(Path(folder))
        time.sleep(5)  # what is imported once it answers
        told.start = told.peak = proportional(server.pid)
        turns = iter(range(answers))
        threads = [
            threading.Thread(target=visit, args=(url, models, pictures, turns, seed, told))
            for seed in range(visitors)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(LOOK_SECONDS)
            told.peak = max(told.peak, proportional(server.pid))
        time.sleep(REST_SECONDS)
        told.after = proportional(server.pid)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--models", nargs="+", default=["v1", "v2", "v3"])
    args = parser.parse_args()
    if sys.platform != "linux":
        raise UserError("The memory is read from /proc: run it on Linux.")
    load = os.getloadavg()[0]
    told = measure(args.answers, args.visitors, args.models)
    print(f"{told.answered} answers to {args.visitors} visitors, {told.refused} refused; ", end="")
    print(f"the machine's load before: {load:.1f}\n")
    print("| MB | measured | goal |\n| --- | --- | --- |")
    print(f"| at the start | {told.start:.0f} | {GOAL_START} |")
    print(f"| at the peak | {told.peak:.0f} | |")
    print(f"| {REST_SECONDS:.0f} s after the last answer | {told.after:.0f} | {GOAL_AFTER} |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.memory: {error}")
