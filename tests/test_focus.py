"""Where the answer comes from: class maps, and pictures whose middle is hidden."""

from dataclasses import replace

import pytest
import torch
from conftest import noise
from toys import Mean, toy

from maskexplain.models.network import NETWORKS, to_pixels
from maskexplain.train import augment, mix
from maskexplain.train.loop import (
    fit,
    start,
)
from maskexplain.train.mix import class_maps, hide_some, share_outside

INCORRECT, WITH, WITHOUT = range(3)

STEPS = ("cover", "place", "detail", "light", "noise", "compression")


def test_class_maps_add_up_to_the_logits():
    torch.manual_seed(0)
    network = Mean()
    activations = network.features(torch.randn(2, 3, 16, 16))
    means = class_maps(network.head, activations).mean((2, 3))
    assert torch.allclose(means + network.head[-1].bias, network.head(activations), atol=1e-6)


def test_the_share_outside_by_hand():
    middles = torch.zeros(3, 1, 32, 32)
    middles[:2, ..., 18:] = 1  # widened by two places: the right half
    maps = torch.zeros(3, 3, 4, 4)
    maps[0, 1, :, 3] = -5.0  # inside
    maps[1, 0, :, 3], maps[1, 2, :, 0] = 1.0, -3.0
    maps[2] = 1.0  # without a middle: nothing is asked
    assert share_outside(maps, middles).item() == pytest.approx((0 + 0.75 + 0) / 3)
    assert share_outside(torch.zeros(1, 3, 4, 4), middles[:1]).item() == 0, "a map that is empty"


def two_halves() -> mix.Mixed:
    """Pictures whose left half tells the class by red, and whose right half by blue."""
    data = toy()
    told = torch.tensor([20, 120, 220], dtype=torch.uint8)[data.labels]
    pixels = torch.full_like(data.pixels, 120)
    pixels[:, 0, :, :8], pixels[:, 2, :, 8:] = (told[:, None, None].expand(-1, 16, 8),) * 2
    return replace(data, pixels=pixels)


def test_a_focus_moves_what_the_network_uses(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "mean", Mean)
    data = two_halves()
    shares = []
    for focus in (0.0, 1.0):
        told = replace(recipe, network="mean", focus=focus, hide=0.2, epochs=10)
        network = fit(start(told), data, data, tmp_path / str(focus)).answering
        inputs = Mean.transform.normalise(data.pixels)
        maps = class_maps(network.head, network.features(inputs))
        shares.append(share_outside(maps, data.middles.float() / 255).item())
    assert shares[1] < 0.7 * shares[0]


def test_hidden_middles_leave_no_sure_answer():
    torch.manual_seed(0)
    inputs, middles = torch.randn(40, 3, 33, 33), torch.zeros(40, 1, 33, 33)
    middles[:20, :, 12:20, 12:20] = 1
    targets = torch.eye(3)[torch.zeros(40, dtype=torch.long)]
    seen, answers = hide_some(inputs, targets, middles, share=0.5)
    changed = (seen != inputs).flatten(1).any(1)
    assert 4 < changed[:20].sum() < 16 and not changed[20:].any()
    assert torch.equal(seen[..., :6, :], inputs[..., :6, :]), "the rest stays"
    assert torch.allclose(answers[changed], torch.tensor([16 / 30, 7 / 30, 7 / 30]))
    assert torch.equal(answers[~changed], targets[~changed])
    for same, before in zip(
        hide_some(inputs, targets, middles, 0.0), (inputs, targets), strict=True
    ):
        assert same is before


def test_the_middle_moves_with_the_picture_and_is_not_dimmed():
    pictures = torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(8)])
    torch.manual_seed(0)
    out = augment.vary(torch.cat([pictures, pictures], 1), torch.full((8,), WITHOUT), STEPS)
    assert torch.equal(out[:, :3], out[:, 3:]), "flipped alike"
    middles = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
    middles[..., 24:40, 24:40] = 255
    varied = augment.vary(torch.cat([pictures, middles], 1), torch.full((8,), WITHOUT))
    assert varied.shape == (8, 4, 161, 161) and varied.dtype == torch.uint8
    inside = (varied[:, 3] > 127).float().mean((1, 2)) * 16  # of an area of 1/16
    assert (varied[:, 3].amax((1, 2)) == 255).all() and 0.4 < inside.mean() < 1.3
