"""Heat by region of the face, from its landmarks."""

import numpy as np
import pytest

from maskexplain.data.samples import example_pictures
from maskexplain.explain.places import (
    BOXES,
    OUTSIDE,
    REST,
    face_middle,
    face_regions,
    heat_by_region,
    heat_in,
    upper_edge,
)
from maskexplain.images.crops import find_subjects

# eyes level at y = 40, the mouth 40 pixels below them, nose tip between
LANDMARKS = ((31.0, 40.0), (69.0, 40.0), (50.0, 62.0), (36.0, 80.0), (64.0, 80.0))


def test_every_pixel_lies_in_one_region():
    regions = face_regions(LANDMARKS, (100, 120))
    assert tuple(regions) == (*BOXES, REST, OUTSIDE)
    assert (sum(region.astype(int) for region in regions.values()) == 1).all()
    assert all(region.shape == (120, 100) for region in regions.values())


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("eyes", (31, 40)),
        ("eyes", (69, 40)),
        ("nose", (50, 62)),
        ("mouth", (50, 80)),
        ("chin", (50, 98)),
        ("cheeks and forehead", (50, 15)),
        ("outside the face", (2, 2)),
    ],
)
def test_landmarks_lie_in_their_regions(name, point):
    assert face_regions(LANDMARKS, (100, 120))[name][point[1], point[0]]


def test_the_regions_turn_with_the_face():
    turned = tuple((120.0 - y, x) for x, y in LANDMARKS)  # by 90 degrees clockwise
    upright, lying = face_regions(LANDMARKS, (100, 120)), face_regions(turned, (120, 100))
    for name in upright:
        assert (np.rot90(upright[name], -1) != lying[name]).mean() < 0.02


def test_landmarks_without_a_face_give_none():
    assert face_regions(((5.0, 5.0),) * 5, (100, 120)) is None


def test_heat_for_area():
    heatmap = np.zeros((10, 10), dtype=np.float32)
    heatmap[:5] = 3.0
    heatmap[5:] = 1.0
    heatmap[9, 9] = -50.0  # what speaks against the class does not count
    upper = np.zeros((10, 10), dtype=bool)
    upper[:5] = True
    found = heat_in(heatmap, upper)
    assert found.area == 0.5 and found.heat == pytest.approx(150 / 199)
    assert found.ratio == pytest.approx(300 / 199)
    nowhere = heat_in(heatmap, np.zeros((10, 10), dtype=bool))
    assert nowhere.ratio is None and nowhere.area == 0
    assert heat_in(-np.ones((10, 10)), upper).heat == 0
    everywhere = heat_by_region(np.ones((120, 100)), face_regions(LANDMARKS, (100, 120)))
    assert all(heat.ratio == pytest.approx(1) for heat in everywhere.values())


def test_a_found_face_brings_its_landmarks_to_the_crop():
    subjects = find_subjects(example_pictures(whole=True)[0].image)
    [crop], [landmarks] = subjects.images, subjects.landmarks
    assert all(0 < x < crop.width and 0 < y < crop.height for x, y in landmarks)
    regions = face_regions(landmarks, crop.size)
    right_eye, left_eye = landmarks[:2]
    assert right_eye[0] < left_eye[0] and right_eye[1] < landmarks[3][1]
    assert regions["eyes"][int(left_eye[1]), int(left_eye[0])]
    whole = find_subjects(crop, whole=True)
    assert np.allclose(whole.landmarks[0], landmarks, atol=0.08 * crop.width)


def test_the_middle_holds_nose_and_mouth_and_no_eyes():
    middle = face_middle(LANDMARKS, (100, 120))
    regions = face_regions(LANDMARKS, (100, 120))
    inside = {name: middle[regions[name]].mean() for name in ("nose", "mouth", "eyes")}
    assert inside["nose"] == inside["mouth"] == 1 and inside["eyes"] < 0.1
    assert not (middle & regions["outside the face"]).any()
    assert face_middle(((5.0, 5.0),) * 5, (100, 120)) is None


def test_the_upper_edge_follows_the_masks_first_rows():
    mask = np.zeros((40, 6), dtype=bool)
    mask[10:30, 1:3], mask[20:30, 3:5] = True, True
    edge = upper_edge(mask)
    assert edge[8:13, 1:3].all() and edge[18:23, 3:5].all() and edge.sum() == 4 * 5
    assert not upper_edge(np.zeros((40, 6), dtype=bool)).any()
