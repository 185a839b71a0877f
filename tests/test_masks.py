"""Painted masks lie where they should, follow the face, and leave the rest of the picture alone."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from maskexplain.data.samples import LANDMARKS, Example, example_pictures, write_examples
from maskexplain.masks import KINDS, PATTERNS, POSITIONS, MaskStyle, paint_mask, random_style

LEFT, TOP, SIDE = 145, 110, 250  # a part of the example portrait, to be quick
RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH = range(5)
PLAIN_WHITE = MaskStyle("surgical", (240, 240, 240), straps="none")


@pytest.fixture(scope="module")
def examples() -> dict[bool, list[Example]]:
    """By `whole`."""
    return {whole: example_pictures(whole) for whole in (False, True)}


@pytest.fixture(scope="module")
def face(examples) -> Image.Image:
    portrait = examples[True][0].image
    return portrait.crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE))


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.array(LANDMARKS) - (LEFT, TOP)


def on(region: np.ndarray, point: np.ndarray) -> bool:
    x, y = np.round(point).astype(int)
    return bool(region[y, x])


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def brightness(image: Image.Image, region: np.ndarray) -> float:
    return float(pixels(image)[region].mean())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_each_position_covers_and_bares_what_its_name_says(face, points, kind, seed):
    middle = points[3:].mean(0)
    covered = {}
    for position in POSITIONS:
        painted = paint_mask(face, points, position, MaskStyle(kind), seed)
        mask = painted.mask
        covered[position] = (
            on(mask, points[RIGHT_EYE]) and on(mask, points[LEFT_EYE]),
            on(mask, points[NOSE]),
            on(mask, middle),
        )
        assert painted.nose.any() == (not on(mask, points[NOSE]))
        assert not (painted.nose & mask).any()
    assert covered == {
        "right": (False, True, True),
        "nose_out": (False, False, True),
        "chin": (False, False, False),
        "eyes": (True, False, False),
        "lip": (False, False, False),
        "forehead": (False, False, False),
        "ear": (False, False, False),
    }


def test_regions_are_bool_and_of_the_pictures_size(face, points):
    painted = paint_mask(face.crop((0, 0, 240, 230)), points, "nose_out", PLAIN_WHITE)
    assert painted.image.size == (240, 230) and painted.image.mode == "RGB"
    for region in (painted.mask, painted.nose):
        assert region.shape == (230, 240) and region.dtype == bool


def test_right_covers_the_corners_of_the_mouth_and_the_chin(face, points):
    mask = paint_mask(face, points, "right", PLAIN_WHITE).mask
    down = points[3:].mean(0) - points[:2].mean(0)
    chin = points[3:].mean(0) + 0.5 * down
    assert all(on(mask, point) for point in (points[RIGHT_MOUTH], points[LEFT_MOUTH], chin))


def test_chin_lies_below_the_mouth(face, points):
    mask = paint_mask(face, points, "chin", PLAIN_WHITE).mask
    columns = mask[:, int(points[RIGHT_MOUTH][0]) : int(points[LEFT_MOUTH][0])]
    assert columns.any() and np.nonzero(columns)[0].min() > points[3:, 1].max()


def test_the_bare_nose_reaches_from_the_bridge_to_the_masks_edge(face, points):
    painted = paint_mask(face, points, "nose_out", PLAIN_WHITE)
    rows = np.nonzero(painted.nose)[0]
    assert on(painted.nose, points[NOSE])
    assert points[:2, 1].mean() < rows.min() < points[NOSE][1] - 10
    assert points[NOSE][1] < rows.max() < points[3:, 1].min()


@pytest.mark.parametrize("factor", [0.26, 2.0, 3.0])
def test_the_mask_scales_with_the_face(face, points, factor):
    small = paint_mask(face, points, "right", PLAIN_WHITE).mask
    side = round(SIDE * factor)
    large = paint_mask(
        face.resize((side, side)), points * side / SIDE, "right", PLAIN_WHITE, rng=0
    ).mask
    assert large.mean() == pytest.approx(small.mean(), rel=0.05)
    again = np.asarray(Image.fromarray(small).resize((side, side)))
    assert overlap(large, again) > 0.93


@pytest.mark.parametrize("degrees", [-35, 20, 90])
def test_the_mask_turns_with_the_face(face, points, degrees):
    centre = (SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, 1)
    turned = cv2.warpAffine(np.asarray(face), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    turned_points = points @ matrix[:, :2].T + matrix[:, 2]
    upright = paint_mask(face, points, "nose_out", PLAIN_WHITE).mask
    expected = cv2.warpAffine(upright.astype(np.uint8), matrix, (SIDE, SIDE)) > 0
    found = paint_mask(Image.fromarray(turned), turned_points, "nose_out", PLAIN_WHITE).mask
    assert overlap(found, expected) > 0.93


@pytest.mark.parametrize("side", [-1, 1])
def test_the_far_cheek_shows_less_of_the_mask(face, points, side):
    aside = points.copy()
    aside[NOSE, 0] = points[3:, 0].mean() + side * 20
    mask = paint_mask(face, aside, "right", PLAIN_WHITE).mask
    columns = np.nonzero(mask.any(0))[0]
    to_left = points[3:, 0].mean() - columns.min()
    to_right = columns.max() - points[3:, 0].mean()
    assert (to_left > 1.15 * to_right) == (side > 0)
    assert (to_right > 1.15 * to_left) == (side < 0)


@pytest.mark.parametrize("position", POSITIONS)
def test_nothing_else_in_the_picture_changes(face, points, position):
    before = face.tobytes()
    painted = paint_mask(face, points, position, PLAIN_WHITE)
    reach = np.ones((31, 31), np.uint8)  # soft edge and shadow: a fifth of eye to mouth each way
    near = cv2.dilate(painted.mask.astype(np.uint8), reach) > 0
    changed = (pixels(painted.image) != pixels(face)).any(-1)
    assert face.tobytes() == before
    assert not (changed & ~near).any()
    assert changed[painted.mask].mean() > 0.95


def test_straps_run_from_the_mask_to_the_ears_only(face, points):
    without = paint_mask(face, points, "chin", MaskStyle(straps="none"))
    for straps in ("ears", "head"):
        painted = paint_mask(face, points, "chin", MaskStyle(straps=straps))
        assert (painted.mask == without.mask).all()
        changed = (pixels(painted.image) != pixels(without.image)).any(-1)
        columns = np.nonzero(changed)[1]
        eyes = points[[RIGHT_EYE, LEFT_EYE], 0]
        assert columns.min() < eyes[0] and columns.max() > eyes[1]
        assert not changed[: int(points[NOSE][1]), int(eyes[0]) : int(eyes[1])].any()


def test_the_same_seed_paints_the_same_picture(face, points):
    first, again, other = (paint_mask(face, points, "right", rng=seed) for seed in (5, 5, 6))
    given = paint_mask(face, points, "right", rng=np.random.default_rng(5))
    assert first.image.tobytes() == again.image.tobytes() == given.image.tobytes()
    assert (first.mask == again.mask).all()
    assert first.image.tobytes() != other.image.tobytes()


def test_every_kind_pattern_and_strap_looks_different(face, points):
    red, yellow = (170, 40, 40), (230, 210, 60)
    styles = [MaskStyle(kind, red, straps="none") for kind in KINDS]
    styles += [MaskStyle("cloth", red, p, yellow, "none") for p in PATTERNS if p != "plain"]
    styles += [MaskStyle("cup", red, straps="none", valve=True)]
    styles += [MaskStyle("cup", red, straps="ears"), MaskStyle("cup", red, straps="head")]
    pictures = {paint_mask(face, points, "right", style).image.tobytes() for style in styles}
    assert len(pictures) == len(styles)


def test_the_cloth_has_the_colour_asked_for(face, points):
    green = paint_mask(face, points, "right", MaskStyle("cloth", (40, 160, 60)))
    red, mid, blue = pixels(green.image)[green.mask].mean(0)
    assert mid > 1.5 * red and mid > 1.5 * blue
    black = paint_mask(face, points, "right", MaskStyle("cloth", (30, 30, 30)))
    white = paint_mask(face, points, "right", MaskStyle("cloth", (240, 240, 240)))
    assert brightness(black.image, black.mask) < 60
    assert brightness(white.image, white.mask) > 160


def test_the_mask_takes_the_light_of_the_picture(face, points):
    bright = paint_mask(face, points, "right", PLAIN_WHITE)
    dim = paint_mask(face.point(lambda v: v * 0.35), points, "right", PLAIN_WHITE)
    ratio = brightness(dim.image, dim.mask) / brightness(bright.image, bright.mask)
    assert ratio == pytest.approx(0.35, abs=0.05)


def test_the_mask_is_darker_on_the_darker_side_of_the_face(face, points):
    fall = np.linspace(1.0, 0.4, SIDE)[None, :, None]
    lit = Image.fromarray((np.asarray(face) * fall).astype(np.uint8))
    painted = paint_mask(lit, points, "right", PLAIN_WHITE)
    even = paint_mask(face, points, "right", PLAIN_WHITE)
    left = np.arange(SIDE)[None, :] < points[NOSE][0]

    def balance(result) -> float:
        on_left = brightness(result.image, result.mask & left)
        return on_left / brightness(result.image, result.mask & ~left)

    assert balance(painted) > 1.1 * balance(even)


def test_a_gray_picture_gets_a_gray_mask(face, points):
    gray = face.convert("L").convert("RGB")
    painted = paint_mask(gray, points, "right", MaskStyle("cloth", (200, 40, 40)))
    values = pixels(painted.image)[painted.mask]
    assert (values.max(1) - values.min(1)).max() <= 2


def test_a_blurred_picture_gets_a_blurred_mask(face, points):
    stripes = MaskStyle("cloth", (20, 20, 20), "stripes", (240, 240, 240), "none")

    def steepest(image: Image.Image) -> float:
        painted = paint_mask(image, points, "right", stripes)
        gray = np.asarray(painted.image.convert("L")).astype(float)
        inner = cv2.erode(painted.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        return float(np.percentile(np.hypot(*np.gradient(gray))[inner], 95))

    assert steepest(face.filter(ImageFilter.GaussianBlur(4))) < 0.6 * steepest(face)


def test_a_mask_below_the_picture_leaves_it_as_it_is(face, points):
    cut = face.crop((0, 0, SIDE, int(points[3:, 1].max()) + 4))
    painted = paint_mask(cut, points, "chin", MaskStyle(straps="none"))
    assert not painted.mask.any() and painted.image.tobytes() == cut.tobytes()
    assert on(painted.nose, points[NOSE])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_picture_modes_are_taken_as_rgb(face, points, mode):
    assert paint_mask(face.convert(mode), points).image.mode == "RGB"


def spoilt(points: np.ndarray) -> dict[str, tuple[object, str]]:
    together, outside, nowhere = points.copy(), points + 400, points.copy()
    together[LEFT_EYE] = together[RIGHT_EYE]
    nowhere[NOSE] = np.nan
    return {
        "eyes coincide": (together, "too close together"),
        "outside": (outside, "outside the picture"),
        "nan": (nowhere, "five"),
        "four points": (points[:4], "five"),
        "left and right swapped": (points[[1, 0, 2, 4, 3]], "do not form a face"),
        "eyes below mouth": (points[[3, 4, 2, 0, 1]], "do not form a face"),
    }


@pytest.mark.parametrize("case", spoilt(np.array(LANDMARKS)))
def test_landmarks_that_are_no_face_get_one_sentence(face, points, case):
    landmarks, text = spoilt(points)[case]
    with pytest.raises(ValueError, match=text) as caught:
        paint_mask(face, landmarks)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_an_unknown_position_names_those_there_are(face, points):
    with pytest.raises(ValueError, match="right, nose_out, chin, eyes"):
        paint_mask(face, points, "ankle")


def test_random_styles_are_seeded_and_of_all_kinds():
    first, again = (
        [random_style(rng) for _ in range(300)]
        for rng in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first == again
    assert {style.kind for style in first} == set(KINDS)
    assert {style.pattern for style in first} == set(PATTERNS)
    assert {style.straps for style in first} == {"ears", "head", "none"}
    assert all(0 <= v <= 255 for style in first for v in (*style.colour, *style.second))


@pytest.mark.parametrize("whole", [False, True])
def test_seven_examples_differ_and_are_the_same_at_each_call(examples, whole):
    pictures = examples[whole]
    assert len(pictures) == 7
    assert len({e.name for e in pictures}) == len({e.caption for e in pictures}) == 7
    assert {e.image.size for e in pictures} == {(512, 600) if whole else (186, 186)}
    assert {e.image.mode for e in pictures} == {"RGB"}
    assert len({e.image.tobytes() for e in pictures}) == 7
    again = example_pictures(whole)
    assert [e.image.tobytes() for e in pictures] == [e.image.tobytes() for e in again]


def test_the_dim_example_is_the_striped_one_in_35_percent_of_its_light(examples):
    pictures = {e.name: pixels(e.image) for e in examples[False]}
    ratio = pictures["striped_dim"].mean() / pictures["striped"].mean()
    assert ratio == pytest.approx(0.35, abs=0.01)


def test_examples_are_written_as_files_that_open_again(examples, tmp_path):
    folder = tmp_path / "new" / "folder"
    written = {whole: write_examples(folder, whole) for whole in (False, True)}
    for whole in (False, True):
        assert [caption for _, caption in written[whole]] == [e.caption for e in examples[whole]]
        for (path, _), example in zip(written[whole], examples[whole], strict=True):
            with Image.open(path) as image:
                assert image.tobytes() == example.image.tobytes()
    assert len({path for path, _ in written[False] + written[True]}) == 14
