"""Half a minute of 32 clients that send good, bad, huge and aborted requests, all at once."""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from conftest import noise
from PIL import Image
from servers import encoded, files_in, free_port, program

from maskexplain.data.samples import example_pictures
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights

SECONDS, CLIENTS = 30, 32
MAX_GROWTH = 1.15  # of the memory, from a third of the time on

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@dataclass
class Good:
    """A request with a right answer, as one client alone gets it."""

    path: str
    picture: bytes
    fields: dict
    answer: dict = field(default_factory=dict)

    def form(self) -> dict:
        return {"files": {"file": ("a.png", self.picture)}, "data": self.fields}


@pytest.fixture
def server(tmp_path, tiny):
    weights = tmp_path / "tiny.safetensors"
    write_weights(weights, tiny.network, "tiny", MASK, half=False)
    with program(weights, tmp_path / "tmp", free_port()) as (url, process):
        yield url, process.pid, tmp_path / "tmp"


def good_requests() -> list[Good]:
    portrait = example_pictures(whole=True)[0].image
    pair = Image.new("RGB", (900, 600))
    pair.paste(portrait.resize((340, 400)), (0, 100))
    pair.paste(portrait, (380, 0))
    crops = [encoded(noise(seed, (60, 64))) for seed in range(12)]
    asked = [Good("/predict", crop, {"whole": "true"}) for crop in crops]
    asked += [Good("/predict", encoded(pair), {})]
    asked += [Good("/explain", crops[0], {"method": "grad_cam", "target": "with_mask"})]
    return asked


BAD = (
    (b"no picture", 400),
    (b"", 400),
    (encoded(noise(0, (64, 64)))[:200], 400),
    (encoded(Image.new("1", (8000, 6000))), 413),
    (encoded(noise(3, (640, 480))), 422),
    (bytes(21 * 2**20), 413),
)


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def deleted_files(pid: int) -> list[str]:
    """Nameless temporary files that a process holds open."""
    opened = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            opened.append(os.readlink(link))
        except FileNotFoundError:  # closed since it was listed
            continue
    return sorted(name for name in opened if name.endswith("(deleted)"))


def equal(answer, expected) -> bool:
    """Whether two replies are the same, numbers within 1e-5 (percents within 1e-3)."""
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(
            equal(answer[key], value)
            if key not in ("confidence", "heatmap_png", "overlay_png", "sentence")
            else key != "confidence" or abs(answer[key] - value) <= 1e-3
            for key, value in expected.items()
        )
    if isinstance(expected, list):
        pairs = zip(answer, expected, strict=False)
        return len(answer) == len(expected) and all(equal(a, e) for a, e in pairs)
    if isinstance(expected, float):
        return abs(answer - expected) <= 1e-5 * max(1, abs(expected))
    return answer == expected


async def one_client(url: str, good: list[Good], seed: int, end: float, told: Counter) -> None:
    rng = random.Random(seed)
    host, port = httpx.URL(url).host, httpx.URL(url).port
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        while time.monotonic() < end:
            chance = rng.random()
            if chance < 0.65:
                await ask_well(client, rng.choice(good), told)
            elif chance < 0.85:
                picture, status = rng.choice(BAD)
                reply = await client.post("/predict", files={"file": ("a.png", picture)})
                told["bad as expected"] += reply.status_code in (status, 503)
                told["bad"] += 1
            else:
                await abort(host, port, rng.choice(good), rng, told)


async def ask_well(client: httpx.AsyncClient, good: Good, told: Counter) -> None:
    reply = await client.post(good.path, **good.form())
    told["good"] += 1
    if reply.status_code == 503:
        told["busy"] += int(reply.headers["retry-after"]) > 0
    else:
        told["right"] += reply.status_code == 200 and equal(reply.json(), good.answer)


async def abort(host: str, port: int, good: Good, rng: random.Random, told: Counter) -> None:
    """Leave in the middle of the upload, or while the answer is awaited."""
    request = httpx.Request("POST", f"http://{host}:{port}{good.path}", **good.form())
    body = request.read()
    head = f"POST {good.path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {request.headers['content-type']}\r\n\r\n"
    _, writer = await asyncio.open_connection(host, port)
    writer.write(head.encode() + body[: rng.choice((0, len(body) // 2, len(body)))])
    await writer.drain()
    await asyncio.sleep(rng.random() / 10)
    writer.close()
    told["aborted"] += 1


async def storm(url: str, pid: int, good: list[Good]) -> tuple[Counter, list[int]]:
    told: Counter = Counter()
    end = time.monotonic() + SECONDS
    clients = [
        asyncio.create_task(one_client(url, good, seed, end, told)) for seed in range(CLIENTS)
    ]
    sizes = []
    while not all(task.done() for task in clients):
        await asyncio.sleep(1)
        sizes.append(memory(pid))
    await asyncio.gather(*clients)
    return told, sizes


def test_half_a_minute_of_everything(server):
    url, pid, temporary = server
    good = good_requests()
    with httpx.Client(base_url=url, timeout=60) as client:
        for one in good:
            reply = client.post(one.path, **one.form())
            assert reply.status_code == 200
            one.answer = reply.json()
        before = files_in(temporary), deleted_files(pid)
        # In a thread: the browser tests leave an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            told, sizes = pool.submit(asyncio.run, storm(url, pid, good)).result()
        print(dict(told), [size // 2**20 for size in sizes[::10]], "MB")
        assert told["right"] + told["busy"] == told["good"] > CLIENTS
        assert told["right"] > 0.9 * told["good"], "the house has room for all of them"
        assert told["bad as expected"] == told["bad"] > 0 < told["aborted"]
        assert sum(sizes[-5:]) / 5 < MAX_GROWTH * sum(sizes[10:15]) / 5, "memory is flat"
        for one in good:
            assert equal(client.post(one.path, **one.form()).json(), one.answer)
    deadline = time.monotonic() + 20
    while (files_in(temporary), deleted_files(pid)) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (files_in(temporary), deleted_files(pid)) == before, "no file is left"
