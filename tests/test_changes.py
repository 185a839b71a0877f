"""A face, changed: what every slider does, and that no change is no change."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from maskexplain.images.crops import find_subjects, whole_crop
from maskexplain.images.edit import blurred, dark_35, gray
from maskexplain.web.what_if.changes import (
    COLOURS,
    MASKS,
    SLIDERS,
    ChangeError,
    Changes,
    apply,
    seat,
)


@pytest.fixture(scope="module")
def sitter(portrait):
    subjects = find_subjects(portrait)
    return seat(portrait, subjects.crops[0], subjects.landmarks[0])


def test_unchanged_it_is_the_crop_to_the_last_bit(portrait, sitter):
    crop = find_subjects(portrait).images[0]
    assert apply(sitter, Changes()).tobytes() == crop.tobytes()


def test_a_tilted_head_is_the_upright_crop(portrait):
    tilted = portrait.rotate(-25, Image.Resampling.BICUBIC, expand=True)
    subjects = find_subjects(tilted)
    assert abs(subjects.faces[0].tilt) > 10
    taken = seat(tilted, subjects.crops[0], subjects.landmarks[0])
    difference = np.subtract(apply(taken, Changes()), subjects.images[0], dtype=float)
    assert np.abs(difference).mean() < 1, "but for the part's own border"


def test_the_sliders_agree_with_the_measured_shifts(sitter):
    crop = sitter.crop.image
    assert apply(sitter, Changes.of(light=35)).tobytes() == dark_35(crop).tobytes()
    assert apply(sitter, Changes.of(gray=100)).tobytes() == gray(crop).tobytes()
    assert apply(sitter, Changes.of(blur=24)).tobytes() == blurred(crop).tobytes()


def test_turn_is_clockwise_and_corners_show_the_surroundings():
    photo = Image.new("RGB", (600, 600), (10, 200, 10))
    ImageDraw.Draw(photo).rectangle((200, 200, 399, 399), (200, 10, 10))
    ImageDraw.Draw(photo).rectangle((200, 200, 230, 230), (250, 250, 250))  # upper left corner
    crop = replace(
        whole_crop(photo.crop((200, 200, 400, 400))),
        transform=((1.0, 0.0, 200.0), (0.0, 1.0, 200.0)),
    )
    turned = np.asarray(apply(seat(photo, crop, None), Changes.of(turn=45)))
    assert turned[1, 1, 1] > 180, "the surroundings, not black"
    white = np.argwhere(turned.min(2) > 240).mean(0)
    assert white[0] < 40 and abs(white[1] - 100) < 12, "the upper left corner has gone to the top"


def test_size_shows_more_or_less_around_the_face():
    photo = Image.new("RGB", (600, 600), (10, 200, 10))
    ImageDraw.Draw(photo).rectangle((250, 250, 349, 349), (200, 10, 10))
    crop = replace(
        whole_crop(photo.crop((200, 200, 400, 400))),
        transform=((1.0, 0.0, 200.0), (0.0, 1.0, 200.0)),
    )
    taken = seat(photo, crop, None)
    shares = [
        (np.asarray(apply(taken, Changes.of(size=size)))[..., 0] > 100).mean()
        for size in (50, 100, 150)
    ]
    assert shares == pytest.approx([1 / 16, 1 / 4, 9 / 16], abs=0.01)


def test_a_large_face_is_shrunk(portrait):
    large = portrait.resize((1536, 1800), Image.Resampling.BICUBIC)
    subjects = find_subjects(large)
    taken = seat(large, subjects.crops[0], subjects.landmarks[0])
    assert max(taken.crop.image.size) == 256
    assert max(taken.photo.size) <= 256 * 3
    small = apply(taken, Changes()).resize((64, 64), Image.Resampling.BILINEAR)
    direct = subjects.images[0].resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(np.subtract(small, direct, dtype=float)).mean() < 2


@pytest.mark.parametrize("mask", [name for name in MASKS if name != "none"])
def test_every_mask_is_painted(sitter, mask):
    looks = {apply(sitter, Changes.of(mask=mask, colour=colour)).tobytes() for colour in COLOURS}
    assert len(looks) == len(COLOURS)
    assert apply(sitter, Changes()).tobytes() not in looks
    again = apply(sitter, Changes.of(mask=mask, colour="striped"))
    assert again.tobytes() in looks, "the same at every call"


def test_without_landmarks_no_mask_is_painted(portrait):
    taken = seat(portrait, find_subjects(portrait).crops[0], None)
    with pytest.raises(ChangeError, match="were not found"):
        apply(taken, Changes.of(mask="right"))
    assert seat(portrait, whole_crop(portrait), ((0.0, 0.0),) * 5).landmarks is None


def test_values_are_held_and_names_are_checked():
    held = Changes.of(light=1000, blur=-3, gray=400, turn=-90, size=10)
    assert tuple(held.values.values()) == (200, 8, 100, -45, 50)
    for wrong in ({"mask": "hat"}, {"colour": "ultraviolet"}, {"fog": 3}):
        with pytest.raises(ChangeError, match="There is no such"):
            Changes.of(**wrong)


def test_every_slider_has_its_field():
    assert [slider.neutral for slider in SLIDERS.values()] == [Changes()[key] for key in SLIDERS]
