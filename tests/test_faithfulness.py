"""The blur test tells a heatmap that matters from one that does not."""

from itertools import product

import numpy as np
import pytest
import torch
from conftest import TinyCNN, noise
from PIL import Image

from maskexplain.answer import MaskModel
from maskexplain.cards import verdict_of
from maskexplain.explain import Explanation
from maskexplain.faithfulness import RANDOM_FIFTHS, BlurTest, blur_test, hottest, lower_half, margin


@pytest.fixture
def corner_model() -> MaskModel:
    """A version that sees only bright dots in the upper left quarter, as with_mask."""
    network = TinyCNN()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.network[0].weight[0, :, 1, 1] = 1.0  # brightness
        network.network[2].weight[0, 0, 1, 1] = 1.0
        network.network[6].weight[1, [0, 1, 4, 5]] = 1.0  # channel 0, upper left of 4 x 4 places
    return MaskModel("corner", network, {}, torch.device("cpu"))


def explanation_at(rows: slice, columns: slice, size=(64, 64)) -> Explanation:
    heatmap = np.full(size, -1.0, dtype=np.float32)
    heatmap[rows, columns] = 1.0
    return Explanation(heatmap, "with_mask", "grad_cam", None)


def test_heat_on_what_is_used_beats_heat_on_what_is_not(corner_model):
    crop = Image.new("RGB", (64, 64))
    for x, y in product(range(0, 64, 8), repeat=2):
        crop.paste("white", (x, y, x + 4, y + 4))
    used = explanation_at(slice(0, 29), slice(0, 29))
    unused = explanation_at(slice(35, 64), slice(35, 64))
    good, bad = blur_test(corner_model, crop, [used, unused])
    assert good.fifths == RANDOM_FIFTHS
    assert good.beaten >= 18 > bad.beaten
    assert good.hottest < good.before and bad.hottest == pytest.approx(bad.before, abs=0.02)
    assert good.random == bad.random


def test_blur_test_is_seeded(corner_model):
    crop, heat = noise(1, (40, 50)), explanation_at(slice(0, 9), slice(0, 9), (50, 40))
    assert blur_test(corner_model, crop, [heat]) == blur_test(corner_model, crop, [heat])


def test_a_large_crop_is_tested_at_a_smaller_size(corner_model):
    large, heat = noise(2, (1200, 900)), explanation_at(slice(0, 400), slice(0, 500), (900, 1200))
    small = large.copy()
    small.thumbnail((256, 256))
    [a] = blur_test(corner_model, large, [heat])
    [b] = blur_test(corner_model, small, [explanation_at(slice(0, 85), slice(0, 107), (192, 256))])
    assert a.before == b.before and a.hottest == pytest.approx(b.hottest, abs=0.05)


def test_hottest_takes_the_share_also_among_ties():
    assert hottest(np.zeros((10, 10))).sum() == 20
    region = hottest(np.arange(100.0).reshape(10, 10))
    assert region[8:].all() and not region[:8].any()


def test_lower_half():
    assert lower_half(explanation_at(slice(32, 64), slice(0, 64))) == 1.0
    assert lower_half(explanation_at(slice(16, 48), slice(0, 64))) == pytest.approx(0.5)
    assert lower_half(explanation_at(slice(0, 0), slice(0, 0))) == 0.0


def test_margin_is_against_the_best_other_class():
    logits = torch.tensor([[1.0, 4.0, 2.0], [5.0, 1.0, 0.0]])
    assert margin(logits, 1).tolist() == [2.0, -4.0]


@pytest.mark.parametrize(
    ("beaten", "hottest", "verdict"),
    [(19, 0.2, "holds"), (18, 0.2, "holds"), (19, 0.85, "leads"), (17, 0.2, "doubtful")],
)
def test_verdicts(beaten, hottest, verdict):
    test = BlurTest(before=0.9, hottest=hottest, random=0.88, beaten=beaten, fifths=19)
    heat = explanation_at(slice(0, 32), slice(0, 64))
    key, sentence = verdict_of(heat, test)
    assert key == verdict and f"from 90% to {hottest:.0%}" in sentence
    nothing = explanation_at(slice(0, 0), slice(0, 0))
    assert verdict_of(nothing, test)[0] == "empty"
