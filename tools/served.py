"""Programs that serve a page, for as long as they are measured."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
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


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(command: Sequence[str]) -> Iterator[str]:
    """A server of its own process, for as long as it is needed; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with started([*command, "--port", str(port)], address):
        yield address


@contextmanager
def started(
    command: Sequence[str],
    address: str,
    environment: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen]:
    """Python with this command line, once it answers at the address; ended afterwards.

    `environment` adds to this process's own; `stderr` is as in Popen. Raises UserError where the
    program ends or does not answer.
    """
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    ) as server:
        try:
            _wait(address, server)
            yield server
        finally:
            server.terminate()


def _wait(address: str, server: subprocess.Popen) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        if server.poll() is not None:
            raise UserError(f"{' '.join(server.args[1:])} ended with {server.returncode}.")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.HTTPError:  # it is there, and has no such page
            return
        except OSError:
            time.sleep(0.05)
    raise UserError(f"{address} did not answer within two minutes.")


def children_of(pid: int) -> list[int]:
    """The processes that a process started and that are there still; only on Linux."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
