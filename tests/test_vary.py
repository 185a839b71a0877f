"""How a training picture is varied."""

import json

import pytest
import torch
from conftest import CLASSES, noise
from torchvision.transforms.v2 import functional as F

from maskexplain.models.network import to_pixels
from maskexplain.train import augment
from maskexplain.train.recipe import RECIPES

INCORRECT, WITH, WITHOUT = range(3)


@pytest.fixture
def batch() -> torch.Tensor:
    """Six made pictures, float 6 x 3 x 64 x 64."""
    return torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(6)]).float()


def test_classes_are_varied_alike(monkeypatch):
    monkeypatch.setattr(augment, "_cover", lambda pixels, labels: pixels)  # tested below
    pictures = torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(8)])
    outs = []
    for label in range(len(CLASSES)):
        torch.manual_seed(0)
        outs.append(augment.vary(pictures, torch.full((8,), label)))
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("label", [INCORRECT, WITH])
def test_nose_and_mouth_of_a_masked_face_stay_uncovered(batch, label):
    torch.manual_seed(0)
    many = batch.repeat(20, 1, 1, 1)
    out = augment._cover(many, torch.full((len(many),), label))
    assert torch.equal(out[..., 30:58, 28:36], many[..., 30:58, 28:36])
    assert not torch.equal(out, many)


def test_unmoved_pictures_stay_as_they_are(batch):
    one = torch.ones(6)
    assert torch.allclose(augment.adjust_gamma(batch, one), batch, atol=1e-3)
    assert torch.equal(augment.adjust_colour(batch, torch.ones(6, 3)), batch)
    assert torch.allclose(augment.light_from_a_side(batch, one, one * 0), batch)
    assert torch.equal(augment.add_noise(batch, one * 0), batch)
    assert torch.allclose(augment.coarsen(batch, (one * 64).long()), batch, atol=1e-3)
    unit = torch.eye(2, 3).expand(6, 2, 3)
    assert torch.allclose(augment.warp(batch, unit, 64), batch, atol=1e-2)
    whole = batch.to(torch.uint8)
    assert torch.equal(augment.compress(whole, (one * 101).long()), whole)


def test_batched_wide_blur_equals_torchvisions(batch):
    sigmas = [0.5, 1.0, 1.5, 2.0, 2.5, 0.7]
    ours = augment.blur(batch, torch.tensor(sigmas))
    theirs = [F.gaussian_blur(p, 13, s) for p, s in zip(batch, sigmas, strict=True)]
    assert torch.allclose(ours, torch.stack(theirs), atol=0.05)


def test_compression_keeps_channels_in_their_places(batch):
    whole = batch.to(torch.uint8)
    for quality, near in ((95, 6), (10, 30)):
        out = augment.compress(whole, torch.full((6,), quality))
        assert out.shape == whole.shape and not torch.equal(out, whole)
        assert (out.float() - batch).abs().mean() < near


def test_light_falls_off_towards_its_direction():
    white = torch.full((2, 3, 64, 64), 200.0)
    right, down = augment.light_from_a_side(
        white, torch.tensor([0.0, torch.pi / 2]), torch.tensor([0.5, 0.5])
    )
    assert right[0, :, 0].mean() > right[0, :, -1].mean() + 50
    assert down[0, 0].mean() > down[0, -1].mean() + 50


def test_a_patch_shows_another_place_of_the_picture(batch):
    centres, radii = torch.full((6, 2), 0.5), torch.full((6, 2), 0.2)
    out = augment.move_patches(batch, centres, radii, torch.tensor([[0.25, 0.0]]).repeat(6, 1))
    assert torch.allclose(out[..., 32, 32], batch[..., 32, 48])
    assert torch.equal(out[..., :16], batch[..., :16])


def test_v3_writes_plain_json():
    assert json.loads(json.dumps(RECIPES["v3"].to_dict()))["mix"]["painted/right"] > 0
