"""Programs that serve a page, for as long as they are measured."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maskexplain.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# What keeps Chromium from asking anybody but the page's server.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Chromium's path. Raises UserError where there is none."""
    if not CHROMIUM:
        raise UserError("No Chromium was found: install it, or set CHROMIUM to its path.")
    return CHROMIUM


@contextmanager
def served(command: Sequence[str]) -> Iterator[str]:
    """A server of its own process, for as long as it is needed; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, *command, "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            _wait(address, server)
            yield address
        finally:
            server.terminate()


def _wait(address: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise UserError(f"{' '.join(server.args[1:])} ended with {server.returncode}.")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise UserError(f"{address} did not answer within two minutes.")
