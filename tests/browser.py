"""For the browser tests: the real program, the shipped versions, a real browser and fake camera.

Screenshots for people to look at are written to screenshots/.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.live import write_camera
from maskexplain.examples import example_pictures, write_examples
from maskexplain.networks.checkpoints import list_versions

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "screenshots"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VERSIONS = ("v2", "v3")  # one with the shortcut, one without
PATIENCE = 60_000  # milliseconds; a crowded machine is slow

needs_browser = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium found: install it, or set CHROMIUM"),
    pytest.mark.skipif(
        not set(VERSIONS) <= set(list_versions()), reason=f"checkpoints/ lacks one of {VERSIONS}"
    ),
]


@pytest.fixture(scope="session")
def url():
    """The program as a user starts it; prints how long it takes to answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    began = time.monotonic()
    command = [sys.executable, "app.py", "--models", *VERSIONS, "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            wait_for(address, server)
            print(f"the page answers {time.monotonic() - began:.1f} s after the start")
            yield address
        finally:
            server.terminate()


def wait_for(address: str, server: subprocess.Popen) -> None:
    """Until the server answers; fails the test where it ends before, or takes too long."""
    for _ in range(240):
        if server.poll() is not None:
            pytest.fail(f"app.py ended with {server.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("app.py did not answer within two minutes")


@pytest.fixture(scope="session")
def portraits(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("portraits")
    names = [example.name for example in example_pictures()]
    files = [path for path, _ in write_examples(folder, whole=True)]
    return dict(zip(names, files, strict=True))


@pytest.fixture(scope="session")
def camera(tmp_path_factory) -> Path:
    """Frames of a portrait that moves from side to side, 640 x 480."""
    path = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    write_camera(path)
    return path


@pytest.fixture(scope="session")
def browser(camera):
    fake = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *fake])
        yield chromium
        chromium.close()


def open_page(browser: Browser, url: str, width: int = 1400, dark: bool = False) -> Page:
    """A visitor of their own; `close` fails the test where another server was asked."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        permissions=["camera"],
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.elsewhere = []
    page.on("request", lambda r: None if _is_ours(r.url, url) else page.elsewhere.append(r.url))
    page.goto(url + ("?__theme=dark" if dark else ""))
    expect(page.locator("#photo")).to_be_visible(timeout=PATIENCE)
    return page


def close(page: Page) -> None:
    """The visitor leaves; the page must have asked nobody but its own server."""
    page.context.close()
    assert not page.elsewhere


def _is_ours(address: str, url: str) -> bool:
    return address.startswith((url, "data:", "blob:"))


def upload(page: Page, path: Path, into: str = "photo") -> None:
    """Give a picture's file to the photo input with this id."""
    page.set_input_files(f"#{into} input[type=file]", path)


def screenshot(page: Page, name: str) -> None:
    """Written for people to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
