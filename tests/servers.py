"""Servers for tests to talk to, and what they are sent."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn
from conftest import TinyCNN, noise
from fastapi import APIRouter, FastAPI
from PIL import Image

from maskexplain.data.samples import write_examples
from maskexplain.masks.task import MASK
from maskexplain.models.results import Results
from maskexplain.models.version import Model
from maskexplain.web.page import build_page
from maskexplain.web.serve import launch
from tools.served import ROOT, free_port


def version(name: str, seed: int = 0, results: Results | None = None) -> Model:
    torch.manual_seed(seed)
    return Model(name, TinyCNN(), MASK, results)


@contextmanager
def program(
    weights: Path, temporary: Path, port: int, *arguments: str, stderr=None, **environment: str
) -> Iterator:
    """app.py with a tiny version, in a process of its own -> (address, process)."""
    temporary.mkdir(exist_ok=True)
    given = ["--models", str(weights), "--port", str(port), *arguments]
    # The tiny network is registered by conftest, so the program is started behind it.
    start = (
        "import signal, sys; sys.path[:0] = ['tests', '.']; import conftest; "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # ignored where tests run under nohup
        f"sys.argv[1:] = {given!r}; from maskexplain.cli import run_command; "
        "sys.exit(run_command('serve', 'app.py'))"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), **environment}
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process)
            yield url, process
        finally:
            process.terminate()


def _wait(url: str, process: subprocess.Popen) -> None:
    for _ in range(240):
        try:
            httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, "app.py has ended"
            time.sleep(0.5)
    pytest.fail("app.py did not answer within two minutes")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def page_server(models, folder, auth=None, **more) -> Iterator[httpx.Client]:
    port = free_port()
    page = build_page(models, write_examples(folder, whole=True)[:1])
    launch(page, models, "127.0.0.1", port, auth=auth, block=False, **more)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        page.close(verbose=False)


@contextmanager
def plain_server(router: APIRouter) -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


class Trap(BaseHTTPRequestHandler):
    """Gives a face to whoever asks, and remembers it in its server's `asked`."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CROP)

    def log_message(self, *_):
        """Nothing to say."""


@contextmanager
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody should ask -> (address of its face, the paths that were asked for)."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Trap) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a.png", server.asked
        finally:
            server.shutdown()


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


CROP = encoded(noise(1, (90, 100)))  # small and near-square: taken whole


def send(client: httpx.Client, path: str, picture: bytes = CROP, **fields) -> httpx.Response:
    return client.post(path, files={"file": ("photo.png", picture)}, data=fields)
