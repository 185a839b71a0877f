"""How fast the Live tab is: rounds a second and their delay, beside an empty handler's.

The real program and, in turns with it, a page whose handler does nothing, each with a browser on
the same machine, whose fake camera shows a moving face of 640 x 480. A round is a frame whose
answer is on screen. Its delay runs from the moment at which the page takes the frame from the
camera to the one at which the browser draws the answer (the first animation frame after it). Then
eight viewers at once, without browsers: they send every frame, and a round is an answer that came.

python -m benchmarks.live [--model v3] [--seconds 10] [--turns 3]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from playwright.sync_api import Browser, BrowserContext, Page

from maskexplain.errors import UserError
from maskexplain.models.checkpoints import by_number, list_versions
from maskexplain.models.version import open_model
from maskexplain.web.live import STREAM_EVERY, TIME_LIMIT, VIEWERS, frame_name, make_camera
from maskexplain.web.serve import launch
from tools.camera import fake_browser, write_camera
from tools.served import served
from tools.viewers import watch_all

MIN_SHARE, MIN_ROUNDS = 0.9, 20.0  # of the empty handler's rounds; a second
CROWD = 8  # viewers at once
MIN_EACH, MAX_DELAY = 5.0, 1000.0  # rounds a second of each in the crowd; milliseconds of any
WARM_UP = 3.0  # seconds

# Notes when each frame is taken and when its answer is drawn; both handlers name the frame they got
# (live.view.frame_name).
WATCH = """
(() => {
  const taken = new Map();
  const name = (url) => {
    const body = url.slice(url.indexOf(",") + 1);
    const bytes = (body.length / 4) * 3 - (body.match(/=*$/)[0].length);
    return `${bytes}:${body.slice(-(76 + (bytes % 3 ? 4 : 0)))}`;
  };
  const read = HTMLCanvasElement.prototype.toDataURL;
  HTMLCanvasElement.prototype.toDataURL = function (...args) {
    const now = performance.now();
    const url = read.apply(this, args);
    taken.set(name(url), now);
    return url;
  };
  window.delays = [];
  let last;
  new MutationObserver(() => {
    const shown = document.querySelector("#live-shown [data-frame]")?.dataset.frame;
    if (!shown || shown === last) return;
    last = shown;
    const began = taken.get(shown);
    requestAnimationFrame((now) => window.delays.push(now - began));
  }).observe(document, { subtree: true, childList: true, attributes: true });
})();
"""


@dataclass(frozen=True)
class Rounds:
    """One turn's rounds: a second, and their delays in milliseconds."""

    per_second: float
    delays: tuple[float, ...]


def empty_page() -> gr.Blocks:
    """A page with the Live tab's camera and output, and a handler that only names its frame."""
    with gr.Blocks(analytics_enabled=False) as page, gr.Tabs(), gr.Tab("Live"):
        camera, shown = make_camera(), gr.HTML(elem_id="live-shown")
        camera.stream(
            named,
            camera,
            shown,
            stream_every=STREAM_EVERY,
            time_limit=TIME_LIMIT,
            concurrency_limit=VIEWERS,
            show_progress="hidden",
        )
    return page


def named(frame: bytes) -> str:
    """All that the empty handler answers: which frame it got."""
    return f'<i data-frame="{frame_name(frame)}"></i>'


def start_viewer(browser: Browser, url: str) -> Page:
    """A visitor of their own whose stream is being answered."""
    context: BrowserContext = browser.new_context(
        viewport={"width": 1400, "height": 900}, permissions=["camera"]
    )
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.get_by_role("tab", name="Live").click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    page.wait_for_function("window.delays.length > 5")
    return page


def measure(browser: Browser, url: str, seconds: float, viewers: int = 1) -> list[Rounds]:
    """One turn: each viewer's rounds, all of them watching at once."""
    pages = [start_viewer(browser, url) for _ in range(viewers)]
    try:
        pages[0].wait_for_timeout(WARM_UP * 1000)
        begun = [(time.perf_counter(), page.evaluate("window.delays.length")) for page in pages]
        pages[0].wait_for_timeout(seconds * 1000)
        return [_rounds(page, *start) for page, start in zip(pages, begun, strict=True)]
    finally:
        for page in pages:
            page.context.close()


def _rounds(page: Page, began: float, before: int) -> Rounds:
    delays = page.evaluate("window.delays")[before:]
    return Rounds(len(delays) / (time.perf_counter() - began), tuple(delays))


def row(name: str, turns: Sequence[Rounds]) -> str:
    """A line of the table: the median turn's rounds, and the percentiles of all delays."""
    rates = sorted(turn.per_second for turn in turns)
    delays = [delay for turn in turns for delay in turn.delays]
    p50, p95 = np.percentile(delays, (50, 95))
    spread = f"{np.median(rates):.1f} ({rates[0]:.1f}-{rates[-1]:.1f})"
    return f"{name:<34} {spread:>18} {p50:>9.0f} {p95:>9.0f}"


def goals(real: Sequence[Rounds], empty: Sequence[Rounds], crowd: Sequence[Rounds]) -> list[str]:
    """Whether the real handler is fast enough, for one viewer and for a crowd's slowest."""
    rate, most = (np.median([turn.per_second for turn in turns]) for turns in (real, empty))
    slowest = min(viewer.per_second for viewer in crowd)
    longest = max(delay for viewer in crowd for delay in viewer.delays)
    lines = (
        (f"rounds a second (>= {MIN_ROUNDS:g})", rate, rate >= MIN_ROUNDS),
        (f"real / empty (>= {MIN_SHARE:g})", rate / most, rate / most >= MIN_SHARE),
        (f"the slowest of {CROWD} (>= {MIN_EACH:g})", slowest, slowest >= MIN_EACH),
        (f"the longest delay, ms (<= {MAX_DELAY:g})", longest, longest <= MAX_DELAY),
    )
    return [
        f"{name:<34} {value:>18.2f} {'reached' if good else 'missed'}"
        for name, value, good in lines
    ]


def compare(model: str, seconds: float, turns: int) -> None:
    """Measure both pages in turns and print the table."""
    real_page = ("app.py", "--models", model)
    empty = ("-m", "benchmarks.live", "--empty")
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "face.mjpeg"
        write_camera(camera)
        with served(real_page) as real_url, served(empty) as empty_url, fake_browser(camera) as b:
            found = [
                (measure(b, empty_url, seconds)[0], measure(b, real_url, seconds)[0])
                for _ in range(turns)
            ]
            two = measure(b, real_url, seconds, viewers=2)
        # Without browsers, which would take more of the machine than the server.
        with served(real_page) as url:
            crowd = [
                Rounds(len(viewer.delays) / seconds, tuple(viewer.delays))
                for viewer in watch_all(url, CROWD, seconds)
            ]
    nothing, real = zip(*found, strict=True)
    print(f"{model}, 640 x 480, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<34} {'rounds a second':>18} {'p50 ms':>9} {'p95 ms':>9}")
    print(row("an empty handler", nothing), row("boxes, bars and Grad-CAM", real), sep="\n")
    for number, viewer in enumerate(two, 1):
        print(row(f"  two viewers at once, viewer {number}", [viewer]))
    print(row(f"  {CROWD} viewers at once, all of them", crowd))
    print(*goals(real, nothing, crowd), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", help="default: the newest version")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--empty", action="store_true", help="serve the empty page on --port")
    parser.add_argument("--port", type=int, default=7860)
    args = parser.parse_args()
    model = args.model or max(list_versions(), key=by_number, default=None)
    if model is None:
        raise UserError("There is no version in checkpoints/: train one first.")
    if args.empty:
        torch.set_num_threads(1)  # as app.py does
        launch(empty_page(), [open_model(model)], "127.0.0.1", args.port)
    else:
        compare(model, args.seconds, args.turns)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.live: {error}")
