"""How soon the page answers a visitor:  python -m benchmarks.page [--photos 6] [--touches 40]

A real browser on this machine, the real program with all shipped versions. From the click on an
example to the answer, to the first heatmap with its test and to the last figure; from a touch of
the brush to every version's answer; from the click on “Find the flip” to what was found; and the
bytes that one photo costs. Prints a Markdown table. Needs Chromium; measure on a quiet machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from playwright.sync_api import Page, sync_playwright

from maskexplain.data.samples import example_pictures
from maskexplain.errors import UserError
from maskexplain.models.checkpoints import list_versions
from tools.served import QUIET, find_chromium, served

PATIENCE = 60_000  # milliseconds of patience


@dataclass(frozen=True)
class Line:
    """One row of the table: what was timed, its goal, and the readings in milliseconds."""

    what: str
    goal: int
    read: list[float]

    def __str__(self) -> str:
        p50, p95 = np.percentile(self.read, (50, 95))
        reached = "yes" if p95 <= self.goal else "no"
        return f"| {self.what} | {p50:.0f} | {p95:.0f} | {self.goal} | {reached} |"


def until(page: Page, script: str) -> float:
    """Milliseconds until a script's value is true, asked at every frame."""
    page.wait_for_function(script, timeout=PATIENCE, polling="raf")
    return page.evaluate("performance.now() - window.began")


def photos(page: Page, count: int) -> list[Line]:
    """Click one example after another, each until nothing more comes."""
    captions = [example.caption for example in example_pictures()]
    read: list[list[float]] = [[], [], [], []]
    for caption in islice(cycle(captions), count):
        if page.locator("#photo img").count():
            page.locator("#photo").get_by_label("Remove Image").first.click()
        page.locator(".arrival").wait_for()
        page.wait_for_timeout(500)
        page.evaluate(
            "addEventListener('click', () => { window.began = performance.now(); }, "
            "{capture: true, once: true})"
        )
        page.get_by_role("button", name=caption, exact=True).first.click()
        read[0].append(until(page, "document.querySelector('#lead .lead h2')"))
        read[1].append(until(page, "document.querySelector('#heat figure')"))
        read[2].append(until(page, "document.querySelector('#heat .verdict b')"))
        done = "document.querySelector('#heat .verdict') && !document.querySelector('.waiting')"
        read[3].append(until(page, done))
        page.wait_for_timeout(500)
    titles = (
        "click to answer",
        "click to first heatmap",
        "click to the test of it",
        "click to last figure",
    )
    goals = (300, 1000, 5000, 5000)
    return [Line(*row) for row in zip(titles, goals, read, strict=True)]


def touches(page: Page, count: int) -> Line:
    """Touch the brush here and there, each touch until its answers are shown."""
    page.get_by_role("button", name="Check it yourself").click()
    canvas = page.locator("#brush canvas")
    page.wait_for_timeout(500)
    read: list[float] = []
    rng = np.random.default_rng(0)
    page.get_by_role("button", name="Hide the brightest fifth").click()
    page.wait_for_timeout(1000)
    for _ in range(count):
        page.get_by_role("button", name="Show all", exact=True).click()
        page.wait_for_function("!document.querySelector('.hidden-answers')", timeout=PATIENCE)
        canvas.scroll_into_view_if_needed()
        box, (x, y) = canvas.bounding_box(), rng.uniform(0.1, 0.9, 2)
        page.evaluate("window.began = performance.now()")
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        read.append(until(page, "document.querySelector('.hidden-answers')"))
    return Line("touch of the brush to every version's answer", 300, read)


def flips(page: Page, count: int) -> Line:
    """Search the flips of the example face."""
    page.get_by_role("tab", name="What if").click()
    page.locator("svg.sweep").nth(len(list_versions()) - 1).wait_for()
    read = []
    for _ in range(count):
        page.evaluate("window.began = performance.now()")
        page.get_by_role("button", name="Find the flip").click()
        page.wait_for_selector("#whatif-found progress", timeout=PATIENCE)
        done = "!document.querySelector('#whatif-found progress')"
        read.append(until(page, done))
    return Line("“Find the flip” to what was found", 3000, read)


def counted(page: Page) -> Callable[[], int]:
    """Counts the bytes that reach the browser from now on; the result tells how many."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    seen = [0]

    def note(event: dict) -> None:
        seen[0] += event.get("encodedDataLength", 0)

    session.on("Network.dataReceived", note)
    return lambda: seen[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page, measure it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--photos", type=int, default=7)
    parser.add_argument("--touches", type=int, default=40)
    args = parser.parse_args(arguments)
    path = find_chromium()
    with served(["app.py"]) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=QUIET)
        page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.locator(".arrival").wait_for()
        photos(page, 1)  # the first answer warms the networks up
        for fold in ("How this map was tested", "The other versions"):
            page.get_by_role("button", name=fold).click()  # what is folded is not drawn
        bytes_seen, began = counted(page), time.monotonic()
        lines = photos(page, args.photos)
        sent = bytes_seen() / args.photos
        lines += [touches(page, args.touches), flips(page, 3)]
        chromium.close()
    print("| From … to shown, ms | p50 | p95 | goal | reached |")
    print("| --- | --- | --- | --- | --- |")
    print(*lines, sep="\n")
    print(f"{sent / 1000:.0f} kB reach the browser for each photo")
    print(f"{len(list_versions())} versions; {time.monotonic() - began:.0f} s")
    print(f"load average of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"page: {error}", file=sys.stderr)
        sys.exit(2)
