"""For the browser tests: the real program, the shipped versions, a real browser and fake camera.

Screenshots for people to look at are written to screenshots/.
"""

import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from maskexplain.data.samples import example_pictures, write_examples
from maskexplain.models.checkpoints import list_versions
from tools.camera import fake_browser, write_camera
from tools.served import CHROMIUM, served

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
VERSIONS = ("v2", "v3")  # one with the shortcut, one without
PATIENCE = 60_000  # milliseconds that a look waits: a crowded machine is slow
expect.set_options(timeout=PATIENCE)

needs_browser = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium found: install it, or set CHROMIUM"),
    pytest.mark.skipif(
        not set(VERSIONS) <= set(list_versions()), reason=f"checkpoints/ lacks one of {VERSIONS}"
    ),
]


@pytest.fixture(scope="session")
def url():
    """The program as a user starts it; prints how long it takes to answer."""
    began = time.monotonic()
    with served(("app.py", "--models", *VERSIONS)) as address:
        print(f"the page answers {time.monotonic() - began:.1f} s after the start")
        yield address


@pytest.fixture(scope="session")
def portraits(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("portraits")
    names = [example.name for example in example_pictures()]
    files = [path for path, _ in write_examples(folder, whole=True)]
    return dict(zip(names, files, strict=True))


@pytest.fixture(scope="session")
def two_faces(portraits) -> Path:
    """A photo of two faces: the larger one bare, the smaller one masked."""
    bare, masked = (Image.open(portraits[name]) for name in ("bare", "worn_right"))
    both = Image.new("RGB", (900, 600))
    both.paste(bare, (0, 0))
    both.paste(masked.resize((340, 400)), (540, 100))
    path = portraits["bare"].with_name("both.png")
    both.save(path)
    return path


@pytest.fixture(scope="session")
def camera(tmp_path_factory) -> Path:
    """Frames of a portrait that moves from side to side, 640 x 480."""
    path = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    write_camera(path)
    return path


@pytest.fixture(scope="session")
def browser(camera):
    with fake_browser(camera) as chromium:
        yield chromium


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
    expect(page.locator("#photo")).to_be_visible()
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


WATCH = """([seen, clicked]) => {
  window.watched = [];
  let pressed = false;
  new MutationObserver(() => {
    const all = [...document.querySelectorAll(seen)];
    if (!all.length) return;
    const button = clicked && !pressed && document.querySelector(clicked);
    if (button) { pressed = true; button.click(); }
    window.watched.push({ count: all.length, text: all.map((e) => e.textContent).join(" ") });
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


def watch(page: Page, seen: str, click: str | None = None) -> None:
    """Remember all that is ever at a place; at the first sight of it, click another one.

    This happens in the page, as it changes: a look from outside may come after what is soon over.
    """
    page.evaluate(WATCH, [seen, click])


def watched(page: Page) -> list[dict]:
    """Each state of the watched place since then (one at least): its `count` and its `text`."""
    page.wait_for_function("window.watched.length > 0")
    return page.evaluate("window.watched")


def screenshot(page: Page, name: str) -> None:
    """Written for people to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
