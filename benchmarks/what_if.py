"""How soon the What if tab follows its slider:  python -m benchmarks.what_if [--steps 60]

A real browser on this machine moves the light by its keys: from the slider's input event to the new
bars and heatmaps of every version decoded and painted. Once step by step, each waiting for the one
before, and once held down (an input event every 40 ms); there the time runs from the input event of
the value that is shown. An empty handler behind the same slider takes turns with it. Needs
Chromium; prints a Markdown table of milliseconds.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import cycle, islice

import gradio as gr
import numpy as np
from playwright.sync_api import Page, sync_playwright

from maskexplain.errors import UserError
from maskexplain.models.checkpoints import list_versions
from tools.served import QUIET, find_chromium, served

GOAL = 300  # milliseconds
HELD_EVERY = 40  # milliseconds between two input events of a key held down
ROUNDS = 4  # in which the candidates take turns
OURS, EMPTY = "What if, {} versions", "an empty handler"

WATCH = """() => {
  window.inputs = new Map(); window.shown = [];
  document.addEventListener('input', e => {
    if (e.target.type === 'range') inputs.set(e.target.value, performance.now());
  }, true);
  let last = null;
  new MutationObserver(async () => {
    const cards = document.querySelector('#whatif-cards [data-setting]');
    const value = cards?.dataset.setting.match(/light=(\\d+)/)[1];
    if (!value || value === last) return;
    last = value;
    await Promise.all([...cards.querySelectorAll('img')].map(img => img.decode().catch(() => 0)));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    if (inputs.has(value)) shown.push([value, performance.now() - inputs.get(value)]);
  }).observe(document.body, {childList: true, subtree: true, attributes: true});
}"""


def empty_page() -> gr.Blocks:
    """The same slider and output, with nothing done between them."""
    with gr.Blocks(analytics_enabled=False) as page:
        light = gr.Slider(10, 200, 100, step=1, precision=0, elem_id="whatif-light")
        cards = gr.HTML(elem_id="whatif-cards")
        light.input(
            lambda value: f'<div data-setting="light={value}">{value}</div>',
            light,
            cards,
            show_progress="hidden",
            trigger_mode="always_last",
        )
    return page


def watched(page: Page, address: str, whole: bool) -> Page:
    """The page opened at the slider, with the stop watch in it."""
    page.set_default_timeout(120_000)
    page.goto(address)
    if whole:
        page.get_by_role("tab", name="What if").click()
        page.locator("svg.sweep").nth(len(list_versions()) - 1).wait_for()
    page.locator("#whatif-light input[type=range]").wait_for()
    page.evaluate(WATCH)
    return page


def single_steps(page: Page, keys: Sequence[str]) -> list[float]:
    """Milliseconds from input to shown, each step waiting for the one before."""
    slider = page.locator("#whatif-light input[type=range]")
    for key in keys:
        page.evaluate("shown.length = 0; inputs.clear()")
        slider.press(key)
        page.wait_for_function("shown.length > 0")
        page.evaluate("window.all = [...(window.all ?? []), ...shown.map(s => s[1])]")
        page.wait_for_timeout(150)
    return page.evaluate("all.splice(0)")


def held_down(page: Page, keys: Sequence[str]) -> list[float]:
    """Milliseconds from the input event of each value that is shown, while they go on coming."""
    slider = page.locator("#whatif-light input[type=range]")
    slider.focus()
    page.evaluate("shown.length = 0; inputs.clear()")
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(HELD_EVERY)
    last = slider.input_value()
    page.wait_for_function("last => shown.at(-1)?.[0] === last", arg=last)
    return page.evaluate("shown.map(s => s[1])")


def measure(pages: dict[str, Page], steps: int) -> dict[tuple[str, str], list[float]]:
    """What was read of every page in each way, the pages taking turns."""
    read: dict[tuple[str, str], list[float]] = {}
    for key in islice(cycle(("ArrowLeft", "ArrowRight")), ROUNDS):
        for name, page in pages.items():
            keys = [key] * (steps // ROUNDS)
            read.setdefault((name, "step by step"), []).extend(single_steps(page, keys))
            read.setdefault((name, "held down"), []).extend(held_down(page, keys * 2))
    return read


def table(read: dict[tuple[str, str], list[float]]) -> str:
    """A Markdown table: p50, p95 and how many were read."""
    lines = [
        "| From input to shown, ms | moved | p50 | p95 | readings |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (name, way), values in read.items():
        p50, p95 = np.percentile(values, (50, 95))
        lines.append(f"| {name} | {way} | {p50:.0f} | {p95:.0f} | {len(values)} |")
    return "\n".join(lines)


def verdict(read: dict[tuple[str, str], list[float]]) -> str:
    """Whether the goal was reached, by the slowest way."""
    slowest = max(float(np.percentile(values, 95)) for values in read.values())
    return f"goal (p95 under {GOAL} ms): {'reached' if slowest < GOAL else 'NOT reached'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve both pages, measure them in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--models", nargs="+", default=list_versions())
    parser.add_argument("--empty", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=7860, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.empty:
        empty_page().queue().launch(server_port=args.port, quiet=True, ssr_mode=False)
        return
    chromium_path = find_chromium()
    ours = ["app.py", "--models", *args.models]
    empty = ["-m", "benchmarks.what_if", "--empty"]
    with served(ours) as ours_at, served(empty) as empty_at, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=QUIET)
        name = OURS.format(len(args.models))
        pages = {
            name: watched(chromium.new_context().new_page(), ours_at, whole=True),
            EMPTY: watched(chromium.new_context().new_page(), empty_at, whole=False),
        }
        read = measure(pages, args.steps)
        chromium.close()
    print(table(read), verdict(read), sep="\n")
    print(f"load average of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"what_if: {error}", file=sys.stderr)
        sys.exit(2)
