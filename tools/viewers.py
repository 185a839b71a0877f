"""Viewers of the Live tab without a browser: they send frames and read answers as its page does.

Eight browsers need more than the machine that they would measure.
"""

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from maskexplain.web.live import STREAM_EVERY, frame_name

from .camera import frames

NAMED = re.compile(r'data-frame=\\"([^"\\]+)')  # in an answer, which is JSON


@dataclass
class Viewer:
    """What one viewer saw: for how many milliseconds each answer let it wait since its frame."""

    delays: list[float] = field(default_factory=list)
    sent: dict[str, float] = field(default_factory=dict)

    def sees(self, line: str) -> None:
        """A line of the stream of answers."""
        found = NAMED.search(line)
        if found and found[1] in self.sent:
            self.delays.append(1000 * (time.perf_counter() - self.sent.pop(found[1])))


async def watch(url: str, files: Sequence[bytes], seconds: float) -> Viewer:
    """Send a frame every STREAM_EVERY seconds, whatever is answered, and read all answers."""
    viewer = Viewer()
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        config = (await client.get("config")).json()
        [stream] = [
            event
            for event in config["dependencies"]
            if any(trigger == "stream" for _, trigger in event["targets"])
        ]
        values = {part["id"]: part["props"].get("value") for part in config["components"]}
        asked = {
            "fn_index": stream["id"],
            "trigger_id": stream["inputs"][0],
            "session_hash": secrets.token_hex(8),
        }
        others = [values.get(part) for part in stream["inputs"][1:]]

        async def send(path: str, number: int) -> httpx.Response:
            file = files[number % len(files)]
            url = "data:image/jpeg;base64," + base64.b64encode(file).decode()
            picture = {"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}
            viewer.sent[frame_name(file)] = time.perf_counter()
            return await client.post(path, json={**asked, "data": [picture, *others]})

        begin = secrets.randbelow(len(files))
        reply = await send("gradio_api/queue/join", begin)
        event = reply.raise_for_status().json()["event_id"]
        reading = asyncio.create_task(_read(client, asked["session_hash"], viewer))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not reading.done():
            await asyncio.sleep(STREAM_EVERY)
            begin += 1
            await send(f"gradio_api/stream/{event}", begin)
        reading.cancel()
    return viewer


async def _read(client: httpx.AsyncClient, session: str, viewer: Viewer) -> None:
    query = {"session_hash": session}
    async with client.stream("GET", "gradio_api/queue/data", params=query) as answers:
        async for line in answers.aiter_lines():
            viewer.sees(line)
            if line.startswith("data:") and json.loads(line[5:])["msg"] == "close_stream":
                return


def watch_all(url: str, count: int, seconds: float) -> list[Viewer]:
    """What so many viewers see at once."""

    async def all_of_them() -> list[Viewer]:
        files = [*frames(range(60, 160))]  # each another one: an answer names its frame
        return await asyncio.gather(*(watch(url, files, seconds) for _ in range(count)))

    return asyncio.run(all_of_them())
