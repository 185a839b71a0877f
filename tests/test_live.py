"""The Live tab's handlers, without Gradio: following faces, smoothing, the picture, bad frames."""

import asyncio
import base64
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import gradio as gr
import numpy as np
import pytest
from conftest import CLASSES, noise
from gradio.data_classes import ImageData
from gradio.processing_utils import async_move_files_to_cache
from measured import explained, measured, way_scores
from PIL import Image

from maskexplain.data.samples import example_pictures
from maskexplain.explain.explain import all_ways
from maskexplain.images.crops import Crop, crop_face, whole_crop
from maskexplain.images.faces import Face, find_faces, follow_face, iou
from maskexplain.images.read import ImageError
from maskexplain.masks.task import MASK
from maskexplain.models.version import Model, Prediction
from maskexplain.task import task_of_names
from maskexplain.video.tracks import (
    ANSWER_SECONDS,
    HOLD,
    LEAD,
    MAX_TRACKS,
    MIN_OVERLAP,
    TURNS,
    Heat,
    Scene,
    Track,
    advance,
    answered,
    matched,
    mixed_heat,
    mixed_probabilities,
    new_share,
    steady_label,
)
from maskexplain.web.live import (
    LOST_FACE,
    NO_FACE,
    SHRINK,
    LiveView,
    Told,
    bars_are_due,
    frame_name,
    heat_url,
    is_new,
    live_marks,
    live_record,
    live_view,
)
from maskexplain.web.parts import MAX_URL, LiveInput, PhotoInput

POINTS = ((0.0, 0.0),) * 5


def face(x: float, y: float = 0.0, side: float = 100.0) -> Face:
    return Face((x, y, x + side, y + side), 0.9, POINTS)


def probabilities(*values: float) -> dict[str, float]:
    return dict(zip(CLASSES, values, strict=True))


def prediction(*values: float) -> Prediction:
    named = probabilities(*values)
    label = max(named, key=named.__getitem__)
    return Prediction(label, named[label], named, unsure=False)


def jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def frame_at(x: int) -> Image.Image:
    """A camera's frame with the portrait at a place."""
    frame = Image.new("RGB", (640, 480), (90, 90, 90))
    frame.paste(example_pictures(whole=True)[0].image.resize((410, 480)), (x, 0))
    return frame


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    return [frame_at(x) for x in range(60, 160, 10)]


# Smoothing


def test_the_mean_forgets_by_the_clock_and_not_by_the_frame():
    old, new = probabilities(0.1, 0.8, 0.1), probabilities(0.7, 0.2, 0.1)
    once = mixed_probabilities(old, new, 0.2)
    often = old
    for _ in range(20):
        often = mixed_probabilities(often, new, 0.01)
    assert once == pytest.approx(often)
    assert sum(once.values()) == pytest.approx(1)
    assert old["with_mask"] > once["with_mask"] > new["with_mask"]


def test_new_answers_weigh_nothing_at_once_and_all_in_the_end():
    assert new_share(0, 1) == 0 and new_share(-1, 1) == 0
    assert new_share(ANSWER_SECONDS, ANSWER_SECONDS) == pytest.approx(1 - np.exp(-1))
    assert new_share(1e9, 1) == 1


def test_the_label_changes_only_at_a_clear_lead():
    assert steady_label("with_mask", probabilities(0.0, 0.49, 0.51)) == "with_mask"
    clear = probabilities(0.0, 0.5 - LEAD / 2, 0.5 + LEAD / 2)
    assert steady_label("with_mask", clear) == "without_mask"


def test_one_odd_frame_does_not_change_the_answer_but_a_second_of_them_does():
    track = answered(Track(1, face(0), 0.0, 0.0), prediction(0, 1, 0), 0.0)
    track = answered(track, prediction(0, 0, 1), 0.05)
    assert track.label == "with_mask"
    for step in range(2, 8):
        track = answered(track, prediction(0, 0, 1), step * 0.05)
    assert track.prediction(unsure_below=0.95).unsure, "the answers contradict one another"
    for step in range(8, 22):
        track = answered(track, prediction(0, 0, 1), step * 0.05)
    shown = track.prediction(unsure_below=0.95)
    assert track.label == shown.label == "without_mask"
    assert shown.confidence == track.confidence == track.probabilities["without_mask"]
    assert not shown.unsure


def test_heat_is_mixed_for_one_class_and_begins_anew_for_another():
    cold, hot = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert 0 < mixed_heat(cold, hot, 0.05).mean() < 0.5
    track = answered(Track(1, face(0), 0.0, 0.0), prediction(0, 1, 0), 0.0, Heat(cold, "with_mask"))
    same = answered(track, prediction(0, 1, 0), 0.05, Heat(hot, "with_mask"))
    assert 0 < same.heat.map.mean() < 0.5
    other = answered(track, prediction(0, 1, 0), 0.05, Heat(hot, "without_mask"))
    assert other.heat.map.mean() == 1


# Tracks


def test_iou_of_boxes():
    assert iou(face(0).box, face(0).box) == 1
    assert iou(face(0).box, face(50).box) == pytest.approx(1 / 3)
    assert iou(face(0).box, face(100).box) == iou(face(0).box, face(500, 500).box) == 0


def test_found_faces_continue_the_tracks_that_they_iou():
    scene = matched(Scene(), [face(0), face(300)], 0.0)
    assert [track.number for track in scene.tracks] == [1, 2]
    scene = matched(scene, [face(310), face(20), face(500)], 0.1)
    assert {t.number: t.face.box[0] for t in scene.tracks} == {2: 310, 1: 20, 3: 500}
    assert scene.count == 3


def test_what_no_search_finds_is_given_up_after_a_while():
    scene = matched(Scene(), [face(0)], 0.0)
    scene = matched(scene, [], HOLD / 2)
    assert len(scene.tracks) == 1 and not scene.visible(HOLD / 2), "remembered, not shown"
    # Followed all the time, but never found again: it was none.
    scene = replace(scene, tracks=(replace(scene.tracks[0], seen=HOLD),))
    assert matched(scene, [], HOLD).tracks == ()


def test_two_tracks_never_share_a_face():
    scene = Scene(tracks=(Track(1, face(0), 0.0, 0.0), Track(2, face(20), 0.0, 0.0)), count=2)
    assert iou(face(0).box, face(20).box) > MIN_OVERLAP
    assert [track.number for track in matched(scene, [face(2)], 0.1).tracks] == [1]


def test_the_memory_is_bounded():
    scene = matched(Scene(), [face(200 * x) for x in range(50)], 0.0)
    scene = matched(scene, [face(200 * x, 500) for x in range(50)], 0.1)
    assert len(scene.tracks) == MAX_TRACKS


def test_a_moving_face_is_followed(frames):
    scene = Scene()
    for step, frame in enumerate(frames):
        scene = advance(scene, frame, step * 0.05)
        (track,) = scene.visible(step * 0.05)
        found = find_faces(frame)[0]
        assert iou(track.face.box, found.box) > 0.8
        assert track.number == scene.main == 1
    assert scene.searched == pytest.approx(0.0), "searched once, followed from then on"


def test_following_finds_the_tilt_and_knows_when_a_face_is_lost(frames):
    known = find_faces(frames[0])[0]
    for degrees in range(0, 35, 5):
        turned = frames[0].rotate(-degrees, Image.Resampling.BICUBIC, center=(310, 200))
        known = follow_face(turned, known)
    searched = find_faces(turned)[0]
    assert known.tilt == pytest.approx(searched.tilt, abs=8)
    assert iou(known.box, searched.box) > 0.7
    assert follow_face(Image.new("RGB", (640, 480)), known) is None


def test_the_main_face_stays_until_another_is_clearly_larger(frames):
    pair = frame_at(-60)
    pair.paste(frame_at(0).resize((320, 240)), (380, 100))
    scene = advance(Scene(), pair, 0.0)
    first, second = scene.visible(0.0)
    assert scene.main == first.number and first.face.box[2] < second.face.box[0]
    scene = advance(replace(scene, main=second.number), pair, 0.05)
    assert scene.main == first.number, "clearly larger"
    close = replace(scene, tracks=(Track(7, face(0, side=100), 0, 0), Track(8, face(200), 0, 0)))
    assert replace(close, main=8).visible(0)[0].number == 8


# The view


def test_frames_are_answered_and_explained(tiny, frames):
    scene, notices = Scene(), []
    for step, frame in enumerate(frames[:4]):
        view = live_view(tiny, jpeg(frame), scene, step * 0.05)
        scene = view.scene
        notices.append(view.notice)
    assert all(notice.startswith("One face: ") for notice in notices)
    positions = [view.panel.index(f'data-class="{name}"') for name in CLASSES]
    assert positions == sorted(positions), "the bars keep the class order"
    assert view.marks.count('class="box') == view.marks.count('class="tag') == 1
    assert f'data-frame="{frame_name(jpeg(frames[3]))}"' in view.marks
    (track,) = scene.tracks
    assert sum(track.probabilities.values()) == pytest.approx(1)
    assert not any(isinstance(part, (bytes, Image.Image)) for part in vars(track).values())


def test_all_faces_are_answered_and_one_is_explained(tiny, frames):
    pair = frame_at(-60)
    pair.paste(frame_at(0).resize((320, 240)), (380, 100))
    view = live_view(tiny, jpeg(pair), Scene(), 0.0)
    assert view.notice.startswith("2 faces")
    assert view.marks.count('class="tag') == 2 and view.marks.count('class="heat"') == 1
    assert [track.heat is not None for track in view.scene.visible(0.0)] == [True, False]


def crowd() -> Image.Image:
    """Fifty portraits side by side, as small as a camera sees a hall."""
    frame = Image.new("RGB", (640, 480), (90, 90, 90))
    small = example_pictures(whole=True)[0].image.resize((64, 76))
    for n in range(50):
        frame.paste(small, (64 * (n % 10), 96 * (n // 10) + 10))
    return frame


def test_a_crowd_is_answered_in_turns_and_every_face_has_its_sign(tiny):
    frame, scene = jpeg(crowd()), Scene()
    view = live_view(tiny, frame, scene, 0.0)
    tracks = view.scene.visible(0.0)
    assert len(tracks) >= 40 and all(track.label for track in tracks)
    signs = re.findall(r'class="tag[^"]* short"[^>]*>([^<]*)<', view.marks)
    assert len(signs) == len(tracks) and all(len(sign) <= 2 for sign in signs)
    counted = [int(n) for n in re.findall(r"</b> (\d+) ", view.panel)]
    assert sum(counted) == len(tracks)
    view = live_view(tiny, frame, view.scene, 0.1)
    asked = [track for track in view.scene.tracks if track.answered == 0.1]
    assert len(asked) == TURNS + 1
    said = re.search(r'aria-label="([^"]*)"', view.marks)[1]
    assert len(said) < 100, "counted, not one by one"


def test_a_lost_face_is_said_to_be_lost_and_keeps_its_answer(tiny, frames):
    view = live_view(tiny, jpeg(frames[0]), Scene(), 0.0)
    label = view.scene.tracks[0].label
    empty = jpeg(Image.new("RGB", (640, 480), (90, 90, 90)))
    blink = live_view(tiny, empty, view.scene, 0.1)
    assert blink.notice == view.notice, "a moment is not told"
    assert 'class="box main lost"' in blink.marks and "face lost" in blink.marks
    gone = live_view(tiny, empty, blink.scene, 1.0)
    assert gone.notice == LOST_FACE and "Face lost. The last answer" in gone.panel
    back = live_view(tiny, jpeg(frames[2]), gone.scene, 1.1)
    assert back.scene.tracks[0].number == 1 and "lost" not in back.marks
    away = live_view(tiny, empty, gone.scene, 4.0)
    assert away.notice == NO_FACE and not away.panel and label


def test_the_answer_is_that_of_the_crop(tiny, frames):
    view = live_view(tiny, jpeg(frames[0]), Scene(), 0.0)
    read = Image.open(BytesIO(jpeg(frames[0])))
    crop = crop_face(read, find_faces(read)[0])
    alone = tiny.prediction(tiny.logits([crop.image])[0])
    assert view.scene.tracks[0].probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_another_version_begins_anew(tiny, seed_model, frames):
    first = live_view(tiny, jpeg(frames[0]), Scene(), 0.0)
    second = live_view(seed_model, jpeg(frames[1]), first.scene, 0.05)
    assert second.scene.version == "random"
    assert second.scene.tracks[0].answered == 0.05 and len(second.scene.tracks) == 1


def test_no_face_is_a_sentence(tiny):
    view = live_view(tiny, jpeg(noise(5, (640, 480))), Scene(), 0.0)
    assert view.notice == NO_FACE
    assert "no face found" in view.marks and not view.panel


@pytest.mark.parametrize("frame", [b"", b"no picture", ImageError("What is wrong.")])
def test_bad_frames_get_a_sentence(tiny, frame):
    view = live_view(tiny, frame, Scene(), 0.0)
    assert view.notice.endswith(".") and not view.marks and not view.panel


def test_a_large_frame_is_shrunk(tiny, frames):
    view = live_view(tiny, jpeg(frames[0].resize((1920, 1440))), Scene(), 0.0)
    assert "aspect-ratio:640/480" in view.marks and view.notice.startswith("One face")


# The picture


def test_boxes_lie_mirrored_and_heat_does_not():
    track = answered(Track(1, face(0), 0.0, 0.0), prediction(0, 0.9, 0.1), 0.0)
    html = live_marks(b"jpeg", (400, 200), MASK, [track], None)
    assert "left:75.0%;top:0.0%;width:25.0%;height:50.0%" in html
    assert "Worn correctly 90%" in html and 'class="heat"' in html and " hidden>" in html


def test_a_version_from_elsewhere_cannot_bring_html(tiny, frames):
    evil = task_of_names(['a"><script>', "b", "c"])
    scene, model = Scene(), Model('<b>"', tiny.network, evil)
    view = live_view(model, jpeg(frames[0]), scene, 0.0)
    assert view.panel and "<script" not in view.marks + view.panel


def test_heat_lies_at_its_true_place():
    heat = np.zeros((24, 24), np.float32)
    heat[:12, :12] = 1  # the crop's upper left quarter
    crop = Crop(Image.new("RGB", (200, 100)), ((1.0, 0.0, 240.0), (0.0, 1.0, 80.0)))
    url = heat_url(heat, crop, (640, 480))
    alpha = np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))[..., 3]
    assert alpha.shape == (480 // SHRINK, 640 // SHRINK)
    rows, columns = (np.nonzero(alpha.max(axis) > 128)[0] * SHRINK for axis in (1, 0))
    assert (rows.min(), rows.max()) == pytest.approx((80, 130), abs=2 * SHRINK)
    assert (columns.min(), columns.max()) == pytest.approx((240, 340), abs=2 * SHRINK)


def test_heat_turns_with_its_crop():
    heat = np.ones((24, 24), np.float32)
    turned = Crop(Image.new("RGB", (100, 100)), ((0.0, -1.0, 300.0), (1.0, 0.0, 200.0)))
    url = heat_url(heat, turned, (640, 480))
    alpha = np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))[..., 3]
    rows, columns = (np.nonzero(alpha.max(axis) > 128)[0] * SHRINK for axis in (1, 0))
    assert (rows.min(), columns.min()) == pytest.approx((200, 200), abs=2 * SHRINK)


def test_cold_maps_are_clear():
    url = heat_url(np.zeros((24, 24), np.float32), whole_crop(noise(0, (64, 64))), (64, 64))
    assert not np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))[..., 3].any()


# What was measured of the live method


def test_the_record_says_what_was_measured(tiny):
    assert "not measured yet for this version" in live_record(tiny)
    for right, words in ((30, "mostly misleads"), (60, "hardly better"), (110, "mostly right")):
        taken = dict.fromkeys(all_ways(), way_scores(right, 120))
        tiny.results = measured(explanations=explained("occlusion", taken))
        assert f"{right} of 120" in live_record(tiny) and words in live_record(tiny)
        assert "tiny’s best way" in live_record(tiny)
        tiny.results = measured(explanations=explained("grad_cam", taken))
        assert "No other way" in live_record(tiny) and words not in live_record(tiny)


def test_the_bars_are_drawn_for_a_new_answer_and_else_five_times_a_second():
    view = LiveView("One face: Worn correctly.", "", "", Scene())
    other = replace(view, notice="One face: No mask.")
    assert bars_are_due(view, Told("Start the camera."), 0.0)
    told = Told(view.notice, 10.0)
    assert not bars_are_due(view, told, 10.15) and bars_are_due(view, told, 10.21)
    assert bars_are_due(other, told, 10.01) and is_new(other, told) and not is_new(view, told)


def test_an_unsure_answer_is_marked_on_the_picture():
    track = answered(Track(1, face(0), 0.0, 0.0), prediction(0.3, 0.7, 0), 0.0)
    sure, unsure = (live_marks(b"jpeg", (640, 480), MASK, [track], None, t) for t in (0.6, 0.9))
    assert "Worn correctly 70%<" in sure and "Worn correctly 70%, unsure<" in unsure
    doubtful = replace(prediction(0.1, 0.9, 0), unsure=True)
    track = answered(Track(1, face(0), 0.0, 0.0), doubtful, 0.0)
    assert "90%, unsure<" in live_marks(b"jpeg", (640, 480), MASK, [track], None, 0.95)


# The camera's payloads


@pytest.mark.parametrize(
    "url",
    [
        None,
        "https://example.org/face.jpg",
        "data:text/html;base64,PGI+",
        "data:image/jpeg,plain",
        "data:image/jpeg;base64,not base64!",
        "data:image/jpeg;base64," + "A" * (MAX_URL + 4),
    ],
)
def test_strange_payloads_get_a_sentence(url):
    camera = LiveInput(sources=["webcam"], streaming=True)
    assert isinstance(camera.preprocess(ImageData(url=url)), ImageError)


def test_a_frames_own_bytes_arrive(frames):
    camera = LiveInput(sources=["webcam"], streaming=True)
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg(frames[0])).decode()
    assert camera.preprocess(ImageData(url=url)) == jpeg(frames[0])
    assert camera.preprocess(None) is None


@pytest.mark.parametrize("component", [LiveInput(streaming=True, sources=["webcam"]), PhotoInput()])
def test_no_address_is_fetched_for_a_stranger(component):
    """As Gradio resolves a payload, before any handler sees it."""
    payload = {"path": "http://127.0.0.1:9/a.png", "meta": {"_type": "gradio.FileData"}}
    moving = async_move_files_to_cache(payload, component, check_in_upload_folder=True)
    # In a thread: the browser tests leave an event loop in this one.
    with ThreadPoolExecutor(1) as pool, pytest.raises(gr.Error, match="Addresses are not fetched"):
        pool.submit(asyncio.run, moving).result()
