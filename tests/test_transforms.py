"""The evaluation transform is the seed's, and training's transforms do what the recipes say."""

import pytest
import torch
from conftest import CLASSES, noise
from torchvision import transforms as v1
from torchvision.transforms.v2 import functional as F

from maskexplain.models.network import EvaluationTransform, build_network, to_pixels
from maskexplain.train import augment
from maskexplain.train.augment import AUGMENTS, plain, seed_augment
from maskexplain.train.recipe import RECIPES


def test_evaluation_transform_equals_the_seeds_torchvision_pipeline(crop):
    seeds = v1.Compose(
        [v1.Resize((64, 64)), v1.ToTensor(), v1.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])]
    )
    assert torch.allclose(EvaluationTransform(64)(crop), seeds(crop), atol=1e-6)


def test_a_batch_takes_crops_of_any_size():
    batch = EvaluationTransform(32).batch([noise(1, (20, 30)), noise(2, (200, 90))])
    assert batch.shape == (2, 3, 32, 32)
    assert batch.min() >= -1 and batch.max() <= 1


@pytest.fixture
def batch() -> torch.Tensor:
    """Three made pictures, uint8 3 x 3 x 128 x 128."""
    return torch.stack([to_pixels(noise(seed, (128, 128)), 128) for seed in range(3)])


def test_plain_recipe_is_the_evaluation_transforms_resize(batch):
    out = plain(batch, torch.zeros(3))
    by_pillow = torch.stack([to_pixels(noise(seed, (128, 128)), 64) for seed in range(3)])
    assert (out.int() - by_pillow.int()).abs().max() <= 1


FACTORS = torch.tensor([0.7, 1.0, 1.3])


@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation"])
def test_batched_light_equals_torchvisions(batch, name):
    ours = getattr(augment, name)(batch.float(), FACTORS)
    theirs = [
        getattr(F, name)(picture, float(f)) for picture, f in zip(batch, FACTORS, strict=True)
    ]
    # torchvision cuts uint8 values off where ours keep fractions.
    assert (ours - torch.stack(theirs)).abs().max() <= 2


def test_batched_blur_equals_torchvisions(batch):
    sigmas = [0.1, 0.8, 2.0]
    ours = augment.blur_3x3(batch.float(), torch.tensor(sigmas))
    theirs = [F.gaussian_blur(p.float(), 3, s) for p, s in zip(batch, sigmas, strict=True)]
    assert torch.allclose(ours, torch.stack(theirs), atol=0.01)


def test_batched_moves_equal_torchvisions(batch):
    degrees, shifts = torch.tensor([-5.0, 0.0, 4.0]), torch.tensor([[3.0, -2], [0, 0], [-6, 5]])
    ours = augment.rotate_and_shift(batch.float(), degrees, shifts)
    for picture, out, angle, (x, y) in zip(batch, ours, degrees, shifts, strict=True):
        theirs = F.affine(picture.float(), float(angle), [float(x), float(y)], 1.0, [0.0, 0.0])
        # A nearest pixel on the very border between two may be either.
        assert (out != theirs).float().mean() < 0.01


def test_only_the_incorrect_class_loses_light_in_v2():
    white = torch.full((20, 3, 128, 128), 200, dtype=torch.uint8)

    def darkest_light(name: str) -> int:
        torch.manual_seed(0)
        labels = torch.full((20,), CLASSES.index(name))
        return int(seed_augment(white, labels).amax((1, 2, 3)).min())

    assert darkest_light("with_mask") >= 199 and darkest_light("without_mask") >= 199
    assert darkest_light("mask_weared_incorrect") < 180


def test_every_picture_of_a_batch_draws_its_own_parameters(batch):
    torch.manual_seed(0)
    same = batch[:1].repeat(8, 1, 1, 1)
    out = seed_augment(same, torch.zeros(8, dtype=torch.long))
    assert len({picture.numpy().tobytes() for picture in out}) == 8
    assert torch.equal(same, batch[:1].repeat(8, 1, 1, 1)), "the stored pictures stay as they are"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_augment_gives_uint8_at_the_input_size(batch, recipe):
    out = AUGMENTS[recipe.augment](batch, torch.tensor([0, 1, 2]))
    size = build_network(recipe.network, 3).transform.size
    assert out.dtype == torch.uint8 and out.shape == (3, 3, size, size)
