"""Requests a second: our HTTP API against the seed's Flask app, in one run, on loopback:

    python -m benchmarks.http [--seconds 6] [--rounds 3] [--clients 1 8 32]

Both answer with v2's weights; ours once more with v3's, by which it answers unless it is told
otherwise. The servers run one at a time, each in a process of its own, and
take turns within every round, so that what else the machine does hits all alike; a round's first
second is not counted. The client is asynchronous and shares the machine's cores with the server.
`crop` is a face's crop (186 x 186, JPEG), for which ours is asked not to look for a face
(whole=true); `photo` a portrait of 512 x 600, in which ours finds the face. The Flask app never
does, but for the last one, which has our face finder in front. Figures are medians over the
rounds. Besides the rate a request's cost is printed, the server's processor time: what a busy
machine takes from the one and not from the other.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import aiohttp

from maskexplain.data.samples import example_pictures, painted_faces
from maskexplain.errors import UserError
from maskexplain.exchange.versions import export_version
from tools.served import children_of, free_port, started

VERSION, BEST = "v2", "v3"
WARM_SECONDS = 1.0
OURS, OURS_BEST = "ours", f"ours, {BEST} in place of {VERSION}"
FLASK, FLASK_ONE = "the seed's Flask app", "the same, one torch thread"
FLASK_FACES = "the same, face finder in front"
GOAL_CLIENTS = 8
# By picture and rival; a photo costs the rival no face finding, but for the last one.
GOALS = {
    ("crop", FLASK): 2.0,
    ("crop", FLASK_ONE): 2.0,
    ("photo", FLASK): 1.3,
    ("photo", FLASK_FACES): 2.0,
}


@dataclass(frozen=True)
class Server:
    """What to measure: its command behind the interpreter, and its environment's additions."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    finds_faces: bool = False


@dataclass(frozen=True)
class Load:
    """One reading: requests a second, milliseconds that 50% and 95% of them took at most, and
    milliseconds of processor time that one cost the server and its children (nan where that cannot
    be read).
    """

    rate: float
    p50: float
    p95: float
    cpu: float


def servers(scripted: Path, port: int, threads: Sequence[int]) -> list[Server]:
    """Ours by number of torch threads an answer, with v3, and the Flask app in three ways."""
    app = ("app.py", "--port", str(port), "--models", VERSION, "--threads")
    best = ("app.py", "--port", str(port), "--models", BEST, "--threads", str(threads[0]))
    names = [OURS if n == 1 else f"{OURS}, {n} torch threads" for n in threads]
    ours = [Server(name, (*app, str(n)), {}, True) for name, n in zip(names, threads, strict=True)]
    flask = ("-m", "benchmarks.flask_seed", str(scripted), str(port))
    one = {"OMP_NUM_THREADS": "1"}
    rivals = [Server(FLASK, flask, {}), Server(FLASK_ONE, flask, one)]
    ours.append(Server(OURS_BEST, best, {}, True))
    return [*ours, *rivals, Server(FLASK_FACES, (*flask, "--faces"), {})]


def processor_seconds(pid: int) -> float:
    """What a process and its children have used, all threads together; nan elsewhere than on Linux.

    Of the children, too: pictures are decoded in one.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not stat.is_file():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()  # from the third field on
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # with children that ended
    return own + sum(map(processor_seconds, children_of(pid)))


async def load(
    url: str, pid: int, picture: bytes, whole: bool, clients: int, seconds: float
) -> Load:
    """Keep `clients` requests in the house; each client sends its next when it has its answer."""
    begin = time.perf_counter() + WARM_SECONDS
    end = begin + seconds
    taken: list[float] = []
    answered, used = 0, processor_seconds(pid)

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while (sent := time.perf_counter()) < end:
            form = aiohttp.FormData()
            form.add_field("file", picture, filename="a.jpg", content_type="image/jpeg")
            if whole:
                form.add_field("whole", "true")
            async with session.post(f"{url}/predict", data=form) as reply:
                reply.raise_for_status()
                await reply.read()
            answered += 1
            if begin <= time.perf_counter() < end:
                taken.append(1000 * (time.perf_counter() - sent))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    cuts = statistics.quantiles(taken, n=20) if len(taken) > 1 else [float("nan")] * 19
    cost = 1000 * (processor_seconds(pid) - used) / max(answered, 1)
    return Load(len(taken) / seconds, cuts[9], cuts[18], cost)


def jpeg(image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def measure(
    candidates: Sequence[Server], url: str, clients: Sequence[int], rounds: int, seconds: float
) -> dict[tuple[str, str, int], list[Load]]:
    """Readings by picture, server and number of clients."""
    pictures = {
        "crop": jpeg(example_pictures()[1].image),
        "photo": jpeg(example_pictures(whole=True)[1].image),
    }
    found: dict[tuple[str, str, int], list[Load]] = {}
    for _ in range(rounds):
        for server in candidates:
            # Flask tells of every request on stderr.
            with started(
                server.command, f"{url}/healthz", server.environment, subprocess.DEVNULL
            ) as process:
                for kind, picture in pictures.items():
                    whole = server.finds_faces and kind == "crop"
                    for count in clients:
                        one = asyncio.run(load(url, process.pid, picture, whole, count, seconds))
                        found.setdefault((kind, server.name, count), []).append(one)
    return found


def report(found: dict[tuple[str, str, int], list[Load]], clients: Sequence[int]) -> list[str]:
    head = "".join(f"{f'{n} clients':>30}" for n in clients)
    lines = [f"{'requests/s, p50, p95, cost (ms)':<36}{head}"]
    for kind in ("crop", "photo"):
        lines.append({"crop": "crop, no face finding", "photo": "photo, ours finds the face"}[kind])
        for name in dict.fromkeys(name for k, name, _ in found if k == kind):
            cells = (_medians(found[kind, name, n]) for n in clients)
            texts = (
                f"{one.rate:.1f}, {one.p50:.0f}, {one.p95:.0f}, {one.cpu:.1f}" for one in cells
            )
            lines.append(f"  {name:<34}" + "".join(f"{text:>30}" for text in texts))
    return [*lines, *_goals(found)]


def _medians(loads: Sequence[Load]) -> Load:
    return Load(
        *(
            statistics.median(getattr(one, k) for one in loads)
            for k in ("rate", "p50", "p95", "cpu")
        )
    )


def _goals(found: dict[tuple[str, str, int], list[Load]]) -> list[str]:
    if ("crop", OURS, GOAL_CLIENTS) not in found:
        return []
    lines = [f"ours over each Flask app, {GOAL_CLIENTS} clients, and with {BEST}"]
    for (kind, name), goal in GOALS.items():
        ours, best, theirs = (
            _medians(found[kind, n, GOAL_CLIENTS]).rate for n in (OURS, OURS_BEST, name)
        )
        told = "reached" if ours >= goal * theirs else "missed"
        ratios = f"{ours / theirs:.2f} {told}, {best / theirs:.2f}"
        lines.append(f"  {kind}, {name} (>= {goal:g}): {ratios}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=6, help="of each reading")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="of ours, to compare"
    )
    parser.add_argument("--port", type=int, help="default: a free one")
    args = parser.parse_args()
    port = args.port or free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        scripted = Path(folder) / "model_v2_scripted.pth"
        export_version(VERSION, "torchscript", scripted, painted_faces(4))
        candidates = servers(scripted, port, args.threads)
        found = measure(candidates, url, args.clients, args.rounds, args.seconds)
    load_now = os.getloadavg()[0]
    print(f"{VERSION}, {os.cpu_count()} cores, machine's load at the end {load_now:.1f}")
    print(*report(found, args.clients), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"http: {error}", file=sys.stderr)
        sys.exit(2)
