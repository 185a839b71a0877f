"""The README's moving picture, made from the running page:  python -m tools.gif [PATH]

Six seconds: the light of the face on arrival goes down and comes back, and the answers follow.
Needs Chromium.
"""

import argparse
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from maskexplain.errors import UserError
from maskexplain.files import write_file
from tools.served import QUIET, find_chromium, served

LIGHTS = (*range(100, 25, -5), *range(25, 105, 5))  # percent, frame by frame
SECONDS = 6
WAIT = 8  # frames at the lowest light
WIDTH = 600  # pixels
COLOURS = 96


def frames(address: str) -> list[Image.Image]:
    """The arrival's card at every light."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        page.goto(address)
        card, shots = page.locator(".arrival"), []
        slider = card.locator("input[type=range]")
        card.locator(".answer").first.wait_for()
        page.wait_for_timeout(500)
        for light in LIGHTS:
            slider.fill(str(light))
            slider.blur()  # no frame around it
            page.wait_for_timeout(150)  # the strips' movement
            shots.append(Image.open(BytesIO(card.screenshot())).convert("RGB"))
        chromium.close()
    return shots


def write_gif(shots: list[Image.Image], path: Path) -> None:
    """Write them as one GIF that starts anew; it rests at the lowest light. Raises UserError."""
    lowest = LIGHTS.index(min(LIGHTS))
    shots = [*shots[:lowest], *[shots[lowest]] * WAIT, *shots[lowest:]]
    size = (WIDTH, round(WIDTH * shots[0].height / shots[0].width))
    small = [shot.resize(size, Image.Resampling.LANCZOS) for shot in shots]
    both = Image.new("RGB", (size[0], 2 * size[1]))  # the classes' colours are in the one or other
    both.paste(small[0], (0, 0))
    both.paste(small[lowest], (0, size[1]))
    palette = both.quantize(COLOURS)
    first, *rest = (shot.quantize(palette=palette, dither=Image.Dither.NONE) for shot in small)
    duration = round(1000 * SECONDS / len(small))
    more = {"append_images": rest, "duration": duration, "loop": 0, "optimize": True}
    write_file(path, lambda beside: first.save(beside, "GIF", save_all=True, **more))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path("docs/arrival.gif"))
    path = parser.parse_args().path
    with served(("app.py",)) as address:
        write_gif(frames(address), path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"gif: {error}", file=sys.stderr)
        sys.exit(2)
