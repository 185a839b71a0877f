"""Faces are found, cut upright and drawn back where they were; the real scenes where they are."""

import csv
import io
import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import hypot
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image, ImageFilter

from maskexplain.images import faces as finder
from maskexplain.images.crops import (
    Crop,
    crop_face,
    find_subjects,
    looks_like_crop,
    paste_back,
    whole_crop,
)
from maskexplain.images.edit import turned as quarter_turned
from maskexplain.images.faces import Face, FaceError, find_faces, iou
from maskexplain.images.read import read_image
from maskexplain.results.scenes import (
    ScenesError,
    evaluate_scenes,
    list_scenes,
    match_boxes,
    measure,
)
from tools.yunet import any_size

ROOT = Path(__file__).resolve().parents[1]
OPENCVS = ROOT / "tests/fixtures/face_detection_yunet_2023mar.onnx"
SHARED = ROOT.parent / "shared" / "data"
# Read off the portrait by eye, at 512 x 600: right eye, left eye, nose tip, corners of the mouth.
PORTRAIT_POINTS = ((227, 193), (309, 193), (267, 235), (232, 268), (303, 267))
TILTS = (-45, -20, -16, 15, 30, 50)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    """Grace Hopper's portrait out of matplotlib's sample data (public domain), 512 x 600."""
    return read_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture(scope="module")
def pair(portrait: Image.Image) -> Image.Image:
    """A picture with two faces, one half as large."""
    picture = Image.new("RGB", (900, 620), (120, 130, 140))
    picture.paste(portrait, (380, 10))
    picture.paste(portrait.reduce(2), (40, 150))
    return picture


def turned(picture: Image.Image, clockwise: float) -> Image.Image:
    return picture.rotate(
        -clockwise, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128)
    )


def on_picture(crop: Crop, point: Sequence[float]) -> np.ndarray:
    return np.array(crop.transform) @ (*point, 1)


def in_crop(crop: Crop, point: Sequence[float]) -> np.ndarray:
    matrix = np.array(crop.transform)
    return np.linalg.solve(matrix[:, :2], np.array(point) - matrix[:, 2])


def blob(size: tuple[int, int], centre: Sequence[float]) -> np.ndarray:
    """A heatmap (height, width) with a round hill."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 50).astype(np.float32)


def centroid(heat: np.ndarray) -> np.ndarray:
    y, x = np.indices(heat.shape) + 0.5
    return np.array([(x * heat).sum(), (y * heat).sum()]) / heat.sum()


# --- finding


def test_portrait_is_found_with_its_landmarks(portrait: Image.Image) -> None:
    (face,) = find_faces(portrait)
    assert face.score > 0.9
    away = [
        hypot(x - u, y - v) for (x, y), (u, v) in zip(face.landmarks, PORTRAIT_POINTS, strict=True)
    ]
    assert max(away) < 10, face.landmarks
    x0, y0, x1, y1 = face.box
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face.landmarks)
    assert abs(face.tilt) < 3
    assert json.loads(json.dumps(face.to_dict()))["score"] == round(face.score, 4)


def test_largest_comes_first(pair: Image.Image) -> None:
    first, second = find_faces(pair)
    assert first.box[0] > 450 > second.box[2]
    small, large = second.box[2] - second.box[0], first.box[2] - first.box[0]
    assert small == pytest.approx(large / 2, rel=0.1)


def test_face_that_fills_the_frame_is_found(portrait: Image.Image) -> None:
    close = portrait.crop((170, 130, 370, 350)).resize((1000, 1100), Image.Resampling.BICUBIC)
    (face,) = find_faces(close)
    assert not looks_like_crop(close, [face]), "on a large picture the face's box serves"
    small = close.resize((200, 220))
    assert looks_like_crop(small, find_faces(small))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(16, 16), (17, 1600), (1600, 17), (64, 64), (640, 480)])
def test_plain_picture_has_no_face(size: tuple[int, int]) -> None:
    assert find_faces(Image.new("RGB", size, (90, 120, 150))) == []


def test_sideways_photo_gives_the_same_faces(pair: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    file = io.BytesIO()
    pair.transpose(Image.Transpose.ROTATE_270).save(file, "PNG", exif=exif)
    assert find_faces(read_image(file.getvalue())) == find_faces(pair)


def test_threads_find_the_same(portrait: Image.Image, pair: Image.Image) -> None:
    pictures = [portrait, pair, turned(portrait, 20), pair.reduce(2)] * 4
    alone = [find_faces(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_faces, pictures)) == alone


def test_the_model_lies_beside_its_licence() -> None:
    licence = finder.MODEL_FILE.with_name("LICENSE").read_text()
    assert "MIT License" in licence and "Shiqi Yu" in licence
    assert len(finder._model.__wrapped__()) == finder.MODEL_FILE.stat().st_size


def test_the_model_is_opencvs_with_its_sizes_open() -> None:
    assert any_size(OPENCVS.read_bytes()) == finder.MODEL_FILE.read_bytes()


@pytest.mark.parametrize("size", [(640, 546), (320, 273), (352, 352), (224, 224), (33, 57)])
def test_opencv_finds_the_same(pair: Image.Image, size: tuple[int, int]) -> None:
    pixels = np.asarray(pair.resize(size))[:, :, ::-1].copy()
    detector = cv2.FaceDetectorYN.create(
        str(OPENCVS), "", size, finder.MIN_SCORE, finder.MAX_OVERLAP
    )
    found, rows = detector.detect(pixels)[1], finder.detect(pixels)
    assert len(rows) == (0 if found is None else len(found))
    assert size[0] < 200 or len(rows) == 2
    if found is not None:
        np.testing.assert_allclose(rows[:, :15], found, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MODEL_SHA256", "0" * 64, "not the known file"),
        ("MODEL_FILE", Path("no_such.onnx"), "not installed"),
    ],
)
def test_wrong_model_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    monkeypatch.setattr(finder, name, value)
    with pytest.raises(FaceError, match=said):
        finder._model.__wrapped__()


# --- tilted heads


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("angle", TILTS)
def test_tilt_is_measured_and_cut_upright(portrait: Image.Image, angle: float, large: bool) -> None:
    # Small faces are where YuNet's own landmarks stay level.
    upright = portrait if large else portrait.reduce(3)
    picture = turned(upright, angle)
    face, straight = find_faces(picture)[0], find_faces(upright)[0]
    assert face.tilt == pytest.approx(angle, abs=9)
    crop = crop_face(picture, face)
    eyes = [in_crop(crop, point) for point in face.landmarks[:2]]
    assert abs(eyes[1][1] - eyes[0][1]) < 0.16 * (eyes[1][0] - eyes[0][0])
    assert likeness(crop.image, crop_face(upright, straight).image) > 0.6


def likeness(a: Image.Image, b: Image.Image) -> float:
    """Correlation of two crops, blurred so that small shifts do not count."""
    small = [
        np.asarray(p.convert("L").resize((64, 64)).filter(ImageFilter.GaussianBlur(3)), float)
        for p in (a, b)
    ]
    return float(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1])


def test_likeness_can_tell(portrait: Image.Image) -> None:
    upright = crop_face(portrait, find_faces(portrait)[0]).image
    assert likeness(upright, upright) == pytest.approx(1)
    assert likeness(upright, turned(upright, 30)) < 0.6


def test_slight_tilt_is_cut_along_the_picture(portrait: Image.Image) -> None:
    face = find_faces(portrait)[0]
    crop = crop_face(portrait, face)
    x0, y0 = (round(value) for value in face.box[:2])
    assert crop.transform == ((1, 0, x0), (0, 1, y0))
    assert np.array_equal(
        crop.image, portrait.crop((x0, y0, x0 + crop.image.width, y0 + crop.image.height))
    )


# --- photos that lie on their side


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_photo_on_its_side_is_answered_as_if_turned(pair: Image.Image, turn: int) -> None:
    upright, given = find_subjects(pair), quarter_turned(pair, 360 - turn)
    lying = find_subjects(given)
    assert (upright.turn, upright.remark) == (0, "")
    assert lying.turn == turn and "turn it" in lying.remark and lying.remark.count(".") == 1
    assert np.array_equal(quarter_turned(given, lying.turn), pair)
    for one, other in zip(lying.images, upright.images, strict=True):
        assert np.allclose(one.size, other.size, atol=1) and likeness(one, other) > 0.99
    assert np.allclose(lying.landmarks, upright.landmarks, atol=3)
    for face, crop in zip(lying.faces, lying.crops, strict=True):
        assert np.allclose(on_picture(crop, np.array(crop.image.size) / 2), middle(face), atol=1)


def middle(face: Face) -> np.ndarray:
    return np.array(face.box).reshape(2, 2).mean(0)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_crop_on_its_side_is_turned_whole(portrait: Image.Image, turn: int) -> None:
    crop = crop_face(portrait, find_faces(portrait)[0]).image
    given = quarter_turned(crop, 360 - turn)
    lying = find_subjects(given)
    assert lying.tight and lying.turn == turn and np.array_equal(lying.images[0], crop)
    x, y = on_picture(lying.crops[0], (10.5, 20.5))
    assert given.getpixel((int(x), int(y))) == crop.getpixel((10, 20))


def test_whole_picture_is_taken_as_it_lies(portrait: Image.Image) -> None:
    lying = quarter_turned(portrait, 90)
    asked = find_subjects(lying, whole=True)
    assert asked.turn == 0 and asked.images == [lying]


@pytest.mark.parametrize("angle", [-45, -30, 30, 45])
def test_tilted_head_lies_upright(portrait: Image.Image, angle: float) -> None:
    assert find_subjects(turned(portrait, angle)).turn == 0


# --- drawing back


@pytest.mark.parametrize("angle", [0, *TILTS])
@pytest.mark.parametrize("side", [None, 64, 300])
def test_find_crop_draw_back_hits_within_a_pixel(
    portrait: Image.Image, angle: float, side: int | None
) -> None:
    picture = turned(portrait, angle)
    face = find_faces(picture)[0]
    crop = crop_face(picture, face)
    width, height = crop.image.size
    for landmark in face.landmarks:
        place = in_crop(crop, landmark)
        size = (side, side) if side else crop.image.size
        heat = blob(size, (place[0] * size[0] / width, place[1] * size[1] / height))
        drawn = paste_back(heat, crop, picture.size)
        assert drawn.dtype == np.float32 and drawn.shape == picture.size[::-1]
        assert np.abs(centroid(drawn**2) - landmark).max() < 1


@pytest.mark.parametrize("angle", [0, 30])
def test_crop_drawn_back_is_the_picture(portrait: Image.Image, angle: float) -> None:
    picture = turned(portrait, angle).convert("L").convert("RGB")
    crop = crop_face(picture, find_faces(picture)[0])
    drawn = paste_back(np.asarray(crop.image.convert("L"), np.float32) + 1, crop, picture.size)
    inside = drawn > 0
    area = crop.image.width * crop.image.height
    assert inside.sum() == pytest.approx(area, rel=0.01)
    off = np.abs(drawn - 1 - np.asarray(picture.convert("L"), np.float32))[inside]
    assert off.mean() < (5 if angle else 1e-6)


def test_parts_beyond_the_picture_are_repeated_and_not_drawn(portrait: Image.Image) -> None:
    edge = ((10.0, 20.0), (40.0, 50.0), (15.0, 45.0), (0.0, 50.0), (20.0, 70.0))
    face = Face((-0.0, 0.0, 60.0, 80.0), 0.9, edge, 45.0)
    crop = crop_face(portrait, face)
    assert crop.image.size == (60, 80)
    heat = paste_back(np.ones((80, 60), np.float32), crop, portrait.size)
    corner = on_picture(crop, (0, 80))
    assert corner.min() < 0 < heat.sum() < 60 * 80
    assert set(np.unique(heat)) == {0, 1}
    nearest = crop.image.getpixel((0, 79))
    assert nearest == pytest.approx(portrait.getpixel((0, int(max(0, corner[1])))), abs=12)


def test_crop_beside_the_picture_draws_nothing() -> None:
    crop = Crop(Image.new("RGB", (20, 20)), ((1.0, 0.0, 500.0), (0.0, 1.0, 10.0)))
    assert not paste_back(np.ones((20, 20), np.float32), crop, (100, 80)).any()


def test_whole_picture_is_its_own_crop(portrait: Image.Image) -> None:
    crop = whole_crop(portrait)
    heat = np.random.default_rng(0).normal(size=(600, 512)).astype(np.float32)
    assert np.array_equal(paste_back(heat, crop, portrait.size), heat)
    assert json.loads(json.dumps(crop.to_dict()))["size"] == [512, 600]


# --- crops


@pytest.mark.parametrize(
    ("size", "is_crop"),
    [((128, 128), True), ((100, 140), True), ((128, 200), False), ((400, 400), False)],
)
def test_picture_without_a_face_is_a_crop_when_small(size: tuple[int, int], is_crop: bool) -> None:
    assert looks_like_crop(Image.new("RGB", size)) is is_crop


def test_photo_with_a_face_is_no_crop(portrait: Image.Image, pair: Image.Image) -> None:
    for picture in (portrait, pair, portrait.reduce(4)):
        assert not looks_like_crop(picture, find_faces(picture))


def test_training_crops_look_like_crops() -> None:
    rows = [row for row in rows_of("kaggle3.csv") if row["augmented"] == "0"]
    chosen = random.Random(0).sample(rows, 150)
    pictures = [read_image(SHARED / "kaggle3" / row["file"]) for row in chosen]
    assert sum(looks_like_crop(picture, find_faces(picture)) for picture in pictures) >= 135


def rows_of(name: str) -> list[dict[str, str]]:
    if not (SHARED / name).is_file():
        pytest.skip(f"needs the real pictures of {name} in shared/data beside the project")
    with open(SHARED / name, newline="") as file:
        return list(csv.DictReader(file))


# --- scenes


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 2, 2), (2, 0, 3, 2)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_every_box_is_matched_once_and_the_best_first() -> None:
    found = [(0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)]
    boxed = [(1, 0, 11, 10), (50, 50, 60, 66), (90, 90, 95, 95)]
    matches = match_boxes(found, boxed)
    assert [(match.found, match.boxed) for match in matches] == [(1, 0), (2, 1)]
    assert matches[0].iou == 1


def write_scenes(folder: Path, picture: Image.Image, boxes: Sequence[tuple]) -> Path:
    (folder / "scenes").mkdir()
    picture.save(folder / "scenes" / "a.png")
    lines = [",".join(map(str, ("a.png", label, *box, "val"))) for label, *box in boxes]
    (folder / "scenes.csv").write_text("\n".join(["file,class,xmin,ymin,xmax,ymax,split", *lines]))
    return folder


def test_scenes_are_counted(tmp_path: Path, pair: Image.Image) -> None:
    large, small = (tuple(round(value) for value in face.box) for face in find_faces(pair))
    missed = ("with_mask", 10, 500, 60, 560)
    folder = write_scenes(tmp_path, pair, [("without_mask", *large), missed])
    result = evaluate_scenes(folder)
    assert (result.right, result.found, result.precision) == (1, 2, 0.5)
    assert result.per_class["without_mask"].recall == 1
    assert (result.per_class["with_mask"].right, result.per_class["with_mask"].total) == (0, 1)
    assert result.mean_iou > 0.97 and not result.reached
    assert json.loads(json.dumps(result.to_dict()))["reached"] is False


def test_small_boxed_face_is_neither_right_nor_wrong(tmp_path: Path, pair: Image.Image) -> None:
    large, small = (tuple(round(value) for value in face.box) for face in find_faces(pair))
    folder = write_scenes(tmp_path, pair, [("without_mask", *large), ("with_mask", *small)])
    limit = min(small[2] - small[0], small[3] - small[1]) + 1
    result = evaluate_scenes(folder, minimum_side=limit)
    assert (result.right, result.found, result.reached) == (1, 1, True)
    assert result.per_class["with_mask"].total == 0
    assert evaluate_scenes(folder, minimum_side=limit - 1).found == 2


def test_bad_scenes_get_one_sentence(tmp_path: Path, pair: Image.Image) -> None:
    with pytest.raises(ScenesError, match="needs a folder scenes"):
        evaluate_scenes(tmp_path)
    folder = write_scenes(tmp_path, pair, [("masked", 1, 2, 30, 40)])
    with pytest.raises(ScenesError, match="wrong class or box"):
        evaluate_scenes(folder)
    table = folder / "scenes.csv"
    head = "file,class,xmin,ymin,xmax,ymax,split\n"
    for text, said in (
        ("file,class\na.png,with_mask\n", "needs the columns"),
        (head + "a.png,with_mask,1,2,x,4,val\n", "no box"),
        (head + "a.png,with_mask,9,2,3,4,val\n", "wrong class or box"),
        (head + "b.png,with_mask,1,2,3,4,val\n", "unreadable"),
        (head, "needs the columns"),
    ):
        table.write_text(text)
        with pytest.raises(ScenesError, match=said):
            evaluate_scenes(folder)
    table.write_text(head + "a.png,with_mask,1,2,3,4,val\n")
    with pytest.raises(ScenesError, match="split test"):
        evaluate_scenes(folder, split="test")


def test_faces_of_real_scenes_are_found() -> None:
    rows_of("scenes.csv")
    scenes = random.Random(0).sample(list_scenes(SHARED), 220)
    result = measure(scenes)
    # The whole set is held to .93 by the command line; a part of it varies by some points.
    assert min(recall.recall for recall in result.per_class.values()) >= 0.9
    assert result.precision >= 0.92
    assert result.mean_iou >= 0.78
