"""Drawn results: heat where it belongs, and PNGs that open."""

import base64
from io import BytesIO

import numpy as np
import pytest
from conftest import CLASSES
from PIL import Image

from maskexplain.explain.draw import (
    data_url,
    overlay,
    overlay_on_photo,
    relative_heat,
    relative_signed,
)
from maskexplain.explain.explain import Explanation
from maskexplain.images.crops import Crop, whole_crop
from maskexplain.masks.task import MASK
from maskexplain.models.results import Epoch
from maskexplain.train.finish import confusion_figure, history_figure

GRAY = Image.new("RGB", (80, 80), (128, 128, 128))


def explanation(heatmap: np.ndarray) -> Explanation:
    return Explanation(heatmap.astype(np.float32), "with_mask", "grad_cam", None)


def changed(picture: Image.Image) -> np.ndarray:
    """Which pixels are no longer gray, bool H x W."""
    return np.abs(np.asarray(picture).astype(int) - 128).max(axis=2) > 8


def test_overlay_shows_the_positive_heat_alone():
    heatmap = np.zeros((80, 80))
    heatmap[:40] = 3.0
    heatmap[60:] = -9.0
    drawn = changed(overlay(GRAY, explanation(heatmap), side=80))
    assert drawn[:38].all() and not drawn[42:].any()


def test_overlay_without_positive_heat_is_the_face():
    assert not changed(overlay(GRAY, explanation(-np.ones((80, 80))), side=80)).any()


def test_signed_overlay_shows_both_sides_in_their_colours():
    heatmap = np.zeros((80, 80))
    heatmap[:30] = 3.0
    heatmap[50:] = -3.0
    drawn = overlay(GRAY, explanation(heatmap), side=80, signed=True)
    shown = changed(drawn)
    assert shown[:28].all() and shown[52:].all() and not shown[35:45].any()
    red, _, blue = np.asarray(drawn).astype(int).transpose(2, 0, 1)
    assert (red > blue)[:28].all(), "orange speaks for"
    assert (blue > red)[52:].all(), "purple speaks against"
    assert relative_signed(np.array([[-8.0, 4.0]])).tolist() == [[-1, 0.5]]
    assert not relative_signed(np.zeros((2, 2))).any()


def test_relative_heat_lies_between_0_and_1():
    heat = relative_heat(np.array([[-4.0, 0.0, 2.0, 8.0]]))
    assert heat.tolist() == [[0, 0, 0.25, 1]]
    assert not relative_heat(np.full((2, 2), -1.0)).any()


def test_heat_lies_on_the_face_of_the_photo():
    crop = Crop(GRAY.crop((0, 0, 20, 20)), ((1.0, 0.0, 50.0), (0.0, 1.0, 10.0)))
    drawn = changed(overlay_on_photo(GRAY, crop, explanation(np.ones((20, 20))), side=80))
    assert drawn[11:29, 51:69].all()
    drawn[9:31, 49:71] = False
    assert not drawn.any()


def test_whole_crop_fills_the_photo():
    drawn = overlay_on_photo(GRAY, whole_crop(GRAY), explanation(np.ones((80, 80))), side=40)
    assert drawn.size == (40, 40) and changed(drawn).all()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_data_url_holds_the_picture(kind):
    header, body = data_url(GRAY, kind).split(",")
    assert header == f"data:image/{kind};base64"
    picture = Image.open(BytesIO(base64.b64decode(body)))
    assert picture.format == kind.upper() and picture.size == GRAY.size


def test_figures_are_written_as_png(tmp_path):
    recalls = dict.fromkeys(CLASSES, 0.5)
    history = [Epoch(n, 1.0, 0.9, 0.5, recalls, 1e-3) for n in (1, 2)]
    history_figure(history, MASK, tmp_path / "history.png")
    confusion_figure([[3, 1, 0], [0, 5, 0], [0, 0, 0]], MASK, "title", tmp_path / "confusion.png")
    for name in ("history", "confusion"):
        figure = Image.open(tmp_path / f"{name}.png")
        figure.load()
        assert figure.format == "PNG" and min(figure.size) > 300
