"""Things before a face that are no masks."""

import numpy as np
import pytest

from maskexplain.data.folder import Picture
from maskexplain.data.painted import OCCLUDED, PLACES, paint_faces
from maskexplain.data.samples import FACE, LANDMARKS
from maskexplain.masks import OCCLUDERS, POSITIONS, paint_mask, paint_occluder
from maskexplain.masks.task import BARE, INCORRECT, MASK


def changed(before, after) -> np.ndarray:
    """Where two pictures differ visibly: bool H x W."""
    return np.abs(np.subtract(before, after, dtype=float)).max(-1) > 24


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_something_lies_before_the_face_and_not_over_the_eyes(portrait, kind):
    x0, y0, x1, y1 = FACE
    for seed in range(4):
        drawn = paint_occluder(portrait, LANDMARKS, kind, seed)
        difference = changed(portrait, drawn)
        assert 0.01 < difference[y0:y1, x0:x1].mean() < 0.6
        eyes = [(round(x), round(y)) for x, y in LANDMARKS[:2]]
        assert not any(difference[y, x] for x, y in eyes)
        assert not difference[:60].any(), "far from it the picture stays"


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_the_same_seed_draws_the_same(portrait, kind):
    one, again, other = (paint_occluder(portrait, LANDMARKS, kind, seed) for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_a_hand_has_the_skins_colour(portrait):
    dark = portrait.point(lambda value: value // 4)
    drawn = paint_occluder(dark, LANDMARKS, "hand", 0)
    difference = changed(dark, drawn)
    assert np.asarray(drawn)[difference].mean() < 90


def test_landmarks_that_form_no_face_are_refused(portrait):
    with pytest.raises(ValueError):
        paint_occluder(portrait, ((0.0, 0.0),) * 5, "cup", 0)


def test_an_occluded_face_stays_bare_and_a_mask_under_the_lip_is_worn_incorrectly(
    portrait, tmp_path
):
    portrait.crop((145, 110, 395, 360)).save(tmp_path / "bare.png")
    bare = [Picture(tmp_path / "bare.png", MASK.index(BARE), "train", "g", False)]
    found = paint_faces(bare, 32, {OCCLUDED: 2.0, "lip": 1.0, "forehead": 1.0}, seed=1)
    assert found.positions == (OCCLUDED, OCCLUDED, "lip", "forehead")
    names = [MASK.names[label] for label in found.labels]
    assert names == [BARE, BARE, INCORRECT, INCORRECT]
    assert set(PLACES) == {*POSITIONS, OCCLUDED}


def test_lip_and_forehead_lie_where_they_say(portrait):
    nose_y, mouth_y = LANDMARKS[2][1], LANDMARKS[3][1]
    lip = np.nonzero(paint_mask(portrait, LANDMARKS, "lip", None, 0).mask)[0]
    forehead = np.nonzero(paint_mask(portrait, LANDMARKS, "forehead", None, 0).mask)[0]
    assert lip.min() > mouth_y - 25 and np.median(lip) > mouth_y
    assert forehead.max() < min(LANDMARKS[0][1], LANDMARKS[1][1]) < nose_y


@pytest.mark.parametrize("aside", [-25, 0, 25])
def test_a_mask_hangs_from_the_ear_that_is_seen_and_leaves_the_mouth_bare(portrait, aside):
    points = np.array(LANDMARKS)
    points[2, 0] += aside  # the nose tells how the head is turned
    middle, sides = points[3:, 0].mean(), set()
    for seed in range(12):
        mask = paint_mask(portrait, points, "ear", None, seed).mask
        rows, columns = np.nonzero(mask)
        side = np.sign(np.median(columns) - middle)
        sides.add(side)
        beside = columns[rows < points[3:, 1].max()]
        assert rows.max() > points[3:, 1].max(), "down to below the mouth"
        assert (side * (beside - points[4 if side > 0 else 3, 0]) > 0).all()
        assert rows.min() > points[:2, 1].min()
    assert sides == ({-1, 1} if not aside else {-np.sign(aside)})
