"""Chromium whose camera shows a moving portrait."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from maskexplain.data.samples import example_pictures

from .served import QUIET, find_chromium


def write_camera(path: Path) -> None:
    """Frames of a portrait that moves from side to side, one after another: the fake camera's."""
    path.write_bytes(b"".join(frames([*range(60, 160, 5), *range(160, 60, -5)])))


def frames(places: Iterable[int]) -> Iterator[bytes]:
    """JPEG files (640 x 480) of a portrait so many pixels from the left."""
    portrait = example_pictures(whole=True)[0].image.resize((410, 480))
    for x in places:
        frame, file = Image.new("RGB", (640, 480), (90, 90, 90)), io.BytesIO()
        frame.paste(portrait, (x, 0))
        frame.save(file, "JPEG", quality=90)
        yield file.getvalue()


@contextmanager
def fake_browser(camera: Path) -> Iterator[Browser]:
    """Chromium with that camera. Raises UserError where there is no Chromium."""
    fake = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*QUIET, *fake])
        yield browser
        browser.close()
