"""The evaluation transform is the seed's, and training's transforms do what the recipes say."""

import torch
from conftest import noise
from torchvision import transforms as v1

from maskexplain.model import CLASSES
from maskexplain.recipes import AUGMENTS, plain, seed_augment
from maskexplain.transforms import EvaluationTransform, to_pixels


def test_evaluation_transform_equals_the_seeds_torchvision_pipeline(crop):
    seeds = v1.Compose(
        [v1.Resize((64, 64)), v1.ToTensor(), v1.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])]
    )
    assert torch.allclose(EvaluationTransform(64)(crop), seeds(crop), atol=1e-6)


def test_a_batch_takes_crops_of_any_size():
    batch = EvaluationTransform(32).batch([noise(1, (20, 30)), noise(2, (200, 90))])
    assert batch.shape == (2, 3, 32, 32)
    assert batch.min() >= -1 and batch.max() <= 1


def test_plain_recipe_is_a_resize_only(crop):
    picture = to_pixels(crop, 128)
    assert torch.equal(plain(picture, 0), plain(picture, 1))
    assert plain(picture, 0).shape == (3, 64, 64)


def test_only_the_incorrect_class_loses_light_in_v2():
    picture = torch.full((3, 128, 128), 200, dtype=torch.uint8)

    def brightest(label: int) -> list[int]:
        torch.manual_seed(0)
        return [int(seed_augment(picture, label).max()) for _ in range(20)]

    assert min(brightest(CLASSES.index("with_mask"))) >= 199
    assert min(brightest(CLASSES.index("without_mask"))) >= 199
    assert min(brightest(CLASSES.index("mask_weared_incorrect"))) < 180


def test_every_augment_gives_uint8_at_the_input_size(crop):
    for augment in AUGMENTS.values():
        out = augment(to_pixels(crop, 128), 0)
        assert out.dtype == torch.uint8 and out.shape == (3, 64, 64)
