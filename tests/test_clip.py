"""Clips: decoded within bounds, faces followed with a steady answer, drawn, and the Clip tab."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from clips import SIZE, frame, portraits, turned, write_clip
from gradio.data_classes import FileData
from PIL import Image
from test_live import face, prediction

from maskexplain.images.faces import iou
from maskexplain.masks.task import MASK
from maskexplain.models.version import Model, open_model
from maskexplain.task import task_of_names
from maskexplain.video import frames as reading
from maskexplain.video.answers import (
    Mark,
    answer_clip,
    changes,
    draw_marks,
    lasting,
    sign,
    words,
    written_out,
)
from maskexplain.video.decoder import ERRORS, HEADER
from maskexplain.video.frames import EMPTY, SENTENCES, ClipError, ClipWriter, open_clip
from maskexplain.video.tracks import HOLD, TURNS, Scene, Track, advance, answered, due, matched
from maskexplain.web.clip import (
    MAX_SECONDS,
    NO_FACE,
    clip_views,
    example_clip,
    frame_at,
)
from maskexplain.web.gradio_inside import as_upload
from maskexplain.web.parts import GONE, ClipInput


def colours(count: int, size=(160, 120)) -> list[Image.Image]:
    """Frames that tell their number by their brightness."""
    return [Image.new("RGB", size, (10 * n, 10 * n, 10 * n)) for n in range(count)]


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """Two seconds bare, then two masked; the head moves, and is blurred from .8 to 1.2 s."""
    faces = portraits()
    pictures = [
        frame(faces["bare" if n < 20 else "worn_right"], 90 + 3 * n, blur=30 * (8 <= n < 12))
        for n in range(40)
    ]
    return write_clip(tmp_path_factory.mktemp("clips") / "story.mp4", pictures)


def shown(path: Path, seconds: int = 30) -> list:
    with open_clip(path, seconds) as clip:
        return list(clip)


# Decoding


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.webm", "libvpx"),
        ("a.webm", "libvpx-vp9"),
        ("a.mp4", "libx265"),
        ("a.mp4", "libsvtav1"),
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
    ],
)
def test_what_phones_and_browsers_record_is_read(tmp_path, name, codec):
    path = write_clip(tmp_path / name, colours(20), codec=codec)
    read = shown(path)
    assert [f.time for f in read] == pytest.approx(np.arange(20) / 10, abs=0.01)
    levels = [np.asarray(f.image).mean() for f in read]
    assert levels == pytest.approx(10 * np.arange(20), abs=4)


def test_a_phones_ten_bit_clip_is_read(tmp_path):
    with av.open(str(tmp_path / "hdr.mov"), "w") as container:
        stream = container.add_stream("libx265", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        for image in colours(5):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    levels = [np.asarray(f.image).mean() for f in shown(tmp_path / "hdr.mov")]
    assert levels == pytest.approx([0, 10, 20, 30, 40], abs=4)


def test_ten_frames_a_second_are_taken_of_more(tmp_path):
    path = write_clip(tmp_path / "fast.mp4", colours(24, (64, 64)) * 2, fps=24)
    times = [f.time for f in shown(path)]
    assert 18 <= len(times) <= 24 and min(np.diff(times)) > 0.08


def test_large_frames_are_shrunk_and_pixels_made_square(tmp_path):
    path = write_clip(tmp_path / "large.mp4", colours(2, (1920, 1080)))
    assert shown(path)[0].image.size == (1280, 720)
    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 180, 240, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (180, 240)))))
        container.mux(stream.encode())
    assert shown(tmp_path / "wide.mp4")[0].image.size == (360, 240)


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((0, 1, -1, 0), "top right"),  # a phone held upright: turn it by the clock
        ((-1, 0, 0, -1), "bottom right"),
        ((0, -1, 1, 0), "bottom left"),
    ],
)
def test_a_clip_of_a_turned_phone_is_upright(tmp_path, matrix, corner):
    picture = Image.new("RGB", (160, 96))
    picture.paste("white", (0, 0, 40, 40))  # stored top left
    path = turned(write_clip(tmp_path / "turned.mp4", [picture] * 3), matrix)
    image = shown(path)[0].image
    assert image.size == ((160, 96) if matrix[0] else (96, 160))
    w, h = image.size
    corners = {
        "top left": (8, 8),
        "top right": (w - 8, 8),
        "bottom left": (8, h - 8),
        "bottom right": (w - 8, h - 8),
    }
    assert [name for name, at in corners.items() if image.getpixel(at)[0] > 128] == [corner]


def test_a_longer_clip_is_read_up_to_the_bound_and_says_so(tmp_path):
    path = write_clip(tmp_path / "long.mp4", colours(25, (64, 64)) * 2)
    with open_clip(path, 2) as clip:
        assert len(list(clip)) == 20
        assert (
            clip.seconds == 2 and clip.remark == "The clip is longer: its first 2 s are answered."
        )


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx"), ("a.mkv", "libx264")])
def test_a_clip_that_is_cut_off_is_read_up_to_there(tmp_path, name, codec):
    noisy = [
        Image.fromarray(np.random.default_rng(n).integers(0, 255, (96, 128, 3), np.uint8))
        for n in range(30)
    ]
    path = write_clip(tmp_path / name, noisy, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_clip(path, 30) as clip:
        assert 5 < len(list(clip)) < 25
        assert clip.remark.startswith("The file is damaged or cut off after")


JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
BAD = {
    "empty": (b"", EMPTY),
    "picture": (JPEG, SENTENCES["unknown"]),
    "text": (b"hello " * 100, SENTENCES["unknown"]),
    # FFmpeg's own readers of these would open the files that they name.
    "playlist": (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", SENTENCES["unknown"]),
    "list": (b"ffconcat version 1.0\nfile /etc/hostname\n", SENTENCES["unknown"]),
    "no moov": (b"\0\0\0\x18ftypmp42" + bytes(500), SENTENCES["damaged"]),
    "noise": (b"\x1aE\xdf\xa3" + np.random.default_rng(0).bytes(5000), SENTENCES["damaged"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_clip_gets_a_sentence(tmp_path, kind):
    content, sentence = BAD[kind]
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(ClipError) as caught:
        shown(tmp_path / "bad.mp4")
    assert str(caught.value) == sentence
    assert max(len(part.split()) for part in sentence.split(". ")) <= 25


def test_folders_pipes_and_missing_files_get_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none.mp4", "a\0b"):
        with pytest.raises(ClipError, match=r"video's file"):
            shown(path)


def test_sound_alone_is_no_clip(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ClipError, match="no pictures"):
        shown(tmp_path / "sound.mp4")


@pytest.mark.parametrize(("size", "kind"), [((4096, 2400), "too_large"), ((512, 16), "too_small")])
def test_frames_out_of_bounds_are_refused(tmp_path, size, kind):
    path = write_clip(tmp_path / "size.mp4", [Image.new("RGB", size)])
    with pytest.raises(ClipError, match=SENTENCES[kind]):
        shown(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_million_tiny_frames_are_not_decoded(tmp_path, name):
    path = write_clip(tmp_path / name, [Image.new("RGB", (16, 16))] * 3200, fps=1000)
    with pytest.raises(ClipError, match=SENTENCES["fast"]):
        shown(path)


def test_a_clip_whose_mean_rate_is_low_is_ended(tmp_path):
    """Thousands of frames in the first second, and one much later."""
    times = [*range(700), 99_000]
    path = write_clip(tmp_path / "a.mp4", [Image.new("RGB", (16, 16))] * 701, 1000, "mpeg4", times)
    with open_clip(path, 2) as frames:
        assert 2 <= len(list(frames)) < 9 and "not answered" in frames.remark


def test_every_error_of_the_decoder_has_its_sentence():
    assert set(ERRORS) <= set(SENTENCES)


def test_a_decoder_out_of_time_or_memory_is_ended(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", colours(20, (1280, 720)))
    monkeypatch.setattr(reading, "PATIENCE", 0.01)
    with pytest.raises(ClipError, match="too long to decode"):
        shown(path)
    monkeypatch.setattr(reading, "PATIENCE", 20)
    monkeypatch.setattr(reading, "MEMORY", 150 * 2**20)
    with pytest.raises(ClipError):
        shown(path)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
def test_the_decoder_can_open_nothing(tmp_path):
    """Once it is confined, neither a file nor a socket."""
    program = (
        "import sys, socket; sys.path.insert(0, sys.argv[1]); import decoder; "
        "decoder._confine(10, 2**30)\n"
        "for act in (lambda: open('/etc/hostname'), socket.socket):\n"
        "    try: act(); print('opened')\n"
        "    except OSError as error: print(error.errno)\n"
    )
    run = [sys.executable, "-c", program, str(reading.DECODER.parent)]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["24", "24"]  # EMFILE


HOSTILE = {  # what somebody who has taken over the decoder might send
    "vast": HEADER.pack(b"F", 0.0, 2**31, 2**31, 2**31, 0),
    "long rows": HEADER.pack(b"F", 0.0, 64, 64, 2**31, 0),
    "short rows": HEADER.pack(b"F", 0.0, 64, 64, 64, 0) + bytes(64 * 64),
    "no error": HEADER.pack(b"E", 0.0, 2**31, 0, 0, 0),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_decoder_is_not_trusted(tmp_path, monkeypatch, kind):
    sent = HEADER.pack(b"C", 1.0, 0, 0, 0, 0) + HOSTILE[kind]
    (tmp_path / "sent").write_bytes(sent)
    program = tmp_path / "decoder.py"
    program.write_text(
        f"import sys; sys.stdout.buffer.write(open({str(tmp_path / 'sent')!r}, 'rb').read())"
    )
    monkeypatch.setattr(reading, "DECODER", program)
    path = write_clip(tmp_path / "a.mp4", colours(2))
    with pytest.raises(ClipError):
        shown(path)


def test_leaving_a_clip_ends_its_decoder(tmp_path):
    path = write_clip(tmp_path / "a.mp4", colours(25, (1280, 720)) * 4)
    with open_clip(path, 30) as clip:
        next(iter(clip))
        process = clip._process
    assert process.poll() is not None


# Following and smoothing


def test_an_unsure_answer_changes_little_and_a_sure_one_much():
    known = answered(Track(1, face(0), 0.0, 0.0), prediction(0.01, 0.02, 0.97), 0.0)
    unsure = known
    for step in range(1, 21):  # two seconds in profile: hardly decided, for another class
        unsure = answered(unsure, prediction(0.5, 0.1, 0.4), step * 0.1)
    assert unsure.label == "without_mask"
    sure = known
    for step in range(1, 8):
        sure = answered(sure, prediction(0.96, 0.02, 0.02), step * 0.1)
    assert sure.label == "mask_weared_incorrect"


def test_doubt_is_told_although_the_answer_is_kept():
    track = answered(Track(1, face(0), 0.0, 0.0), prediction(0, 0, 1), 0.0)
    doubtful = replace(prediction(0.4, 0.1, 0.5), unsure=True)
    for step in range(1, 11):
        track = answered(track, doubtful, step * 0.1)
    assert track.label == "without_mask" and track.prediction(0.0).unsure


def test_a_face_out_of_sight_is_kept_at_its_place_for_a_while():
    scene = matched(Scene(), [face(0)], 0.0)
    known = answered(scene.tracks[0], prediction(0, 1, 0), 0.0)
    scene = matched(replace(scene, tracks=(known,)), [], 0.5)
    (lost,) = scene.shown(0.5)
    assert lost.label == "with_mask" and not scene.visible(0.5)
    assert matched(scene, [], HOLD + 0.1).shown(HOLD + 0.1) == ()


def test_a_face_that_comes_back_nearby_is_the_same_and_a_far_one_is_not():
    scene = matched(Scene(), [face(0)], 0.0)
    gone = matched(scene, [], 0.5)
    assert [t.number for t in matched(gone, [face(80)], 1.0).tracks] == [1]
    assert [t.number for t in matched(gone, [face(300)], 1.0).visible(1.0)] == [2]
    assert matched(gone, [face(80, side=20)], 1.0).visible(1.0)[0].number == 2, "of another size"


def test_two_tracks_never_go_to_one_face():
    pictures = portraits()
    both = frame(pictures["bare"], 0)
    scene = advance(Scene(), both, 0.0)
    (track,) = scene.tracks
    x0, y0, x1, y1 = track.face.box
    beside = replace(track.face, box=(x0 + 60, y0, x1 + 60, y1))
    scene = replace(scene, tracks=(track, replace(track, number=2, face=beside)), count=2)
    (kept,) = advance(scene, both, 0.1).visible(0.1)
    assert kept.number == 1 and iou(kept.face.box, track.face.box) > 0.8


def test_in_a_crowd_faces_take_turns():
    tracks = [
        answered(Track(n, face(0), 0.0, 0.0), prediction(0, 1, 0), n / 100) for n in range(30)
    ]
    asked = due(tracks)
    assert [t.number for t in asked] == list(range(TURNS + 1))
    new = Track(99, face(0), 0.0, 0.0)
    assert new in due([*tracks, new]) and due(tracks[:5]) == tuple(tracks[:5])


# Answers


def test_a_clip_is_answered_and_its_face_keeps_its_number_through_blur(tiny, story):
    clip = answer_clip(tiny, story)
    assert clip.size == SIZE and len(clip.frames) == 40 and not clip.remark
    assert clip.seconds == pytest.approx(4)
    assert lasting(clip) == [1], "one face, whatever it did"
    assert {f.number for one in clip.frames for f in one.faces} == {1}
    assert all(one.faces for one in clip.frames), "never a jump to no face"
    lost = [one.time for one in clip.frames if one.faces[0].lost]
    assert lost and min(lost) > 0.7 and max(lost) < 1.4
    spans = clip.spans()[1]
    assert spans[0].begin == 0 and spans[-1].end == clip.seconds
    assert all(a.end == b.begin for a, b in zip(spans, spans[1:], strict=False))
    assert [s for s in spans if s.label is None], "said to be lost"


@pytest.mark.parametrize("light", [1.0, 0.4])
def test_v3_tells_when_the_mask_comes(tmp_path, light):
    """The shipped version on a clip in which a mask is put on after two seconds."""
    faces = portraits()
    pictures = [
        frame(
            faces["bare" if n < 20 else "worn_right"], 115, light=light, shear=0.5 * (8 <= n < 14)
        )
        for n in range(40)
    ]
    clip = answer_clip(open_model("v3"), write_clip(tmp_path / "on.mp4", pictures))
    changed = [(time, old, new) for time, _, old, new in changes(clip)]
    assert [(old, new) for _, old, new in changed] == [
        (None, "without_mask"),
        ("without_mask", "with_mask"),
    ]
    assert 2.0 <= changed[1][0] <= 2.7
    sure = [one for one in clip.spans()[1] if not one.unsure and one.label == "with_mask"]
    assert sum(one.end - one.begin for one in sure) > (1.0 if light == 1 else 0), "soon sure"


def test_csv_and_json_say_the_same(tiny, story):
    clip = answer_clip(tiny, story)
    rows = list(csv.DictReader(io.StringIO(clip.to_csv())))
    facts = json.loads(json.dumps(clip.to_dict()))
    assert len(rows) == sum(len(one["faces"]) for one in facts["frames"])
    first, said = rows[0], facts["frames"][0]["faces"][0]
    assert first["answer"] == said["answer"]["label"] in MASK.names
    assert float(first["confidence"]) == pytest.approx(said["answer"]["confidence"], abs=1e-4)
    assert sum(float(first[name]) for name in MASK.names) == pytest.approx(1, abs=1e-3)
    assert first["alone"] == said["alone"]["label"]
    assert {row["lost"] for row in rows} == {"0", "1"}
    assert all((row["lost"] == "1") == (row["alone"] == "") for row in rows)


def test_a_version_that_is_not_about_faces_answers_the_whole_frame(tiny, tmp_path):
    whole = Model("things", tiny.network, task_of_names(["cup", "lamp", "shoe"], faces=False))
    clip = answer_clip(whole, write_clip(tmp_path / "a.mp4", colours(5)))
    assert [one.faces[0].box for one in clip.frames] == [(0.0, 0.0, 160.0, 120.0)] * 5


def test_the_annotated_clip_is_written_whole_or_not_at_all(tiny, story, tmp_path):
    out = tmp_path / "out" / "annotated.mp4"
    answer_clip(tiny, story, out)
    read = shown(out)
    assert len(read) == 40 and read[-1].time == pytest.approx(3.9, abs=0.01)
    assert [p.name for p in out.parent.iterdir()] == ["annotated.mp4"]
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with pytest.raises(ClipError):
        answer_clip(tiny, bad, tmp_path / "never.mp4")
    assert not (tmp_path / "never.mp4").exists()


# Drawing


def test_an_answer_in_words_and_as_a_sign():
    mark = Mark((0, 0, 10, 10), "without_mask", 0.934)
    assert words(MASK, mark, full=True) == "✗ No mask 93%"
    assert words(MASK, replace(mark, unsure=True), full=False) == "✗?"
    assert words(MASK, replace(mark, lost=True), full=True) == "face lost; was: No mask"
    assert len({sign(MASK, name) for name in MASK.names}) == len(MASK)
    things = task_of_names(["cup", "lamp"])
    assert [sign(things, name) for name in things.names] == ["1", "2"]


def test_words_cover_no_other_face_and_no_other_words():
    far = [Mark((x, 200, x + 60, 260), "without_mask", 0.9) for x in (20, 560)]
    assert written_out(MASK, far, SIZE, 20) == [True, True]
    near = [Mark((x, 200, x + 60, 260), "without_mask", 0.9) for x in (20, 100, 560)]
    assert written_out(MASK, near, SIZE, 20) == [False, True, True], "beside one another"
    above = [Mark((20, y, 80, y + 30), "with_mask", 0.9) for y in (200, 235)]
    assert written_out(MASK, above, SIZE, 20) == [True, False], "its words would hide a face"
    assert written_out(MASK, above[:1], SIZE, 60) == [True] and not written_out(MASK, [], SIZE, 20)


def test_boxes_are_drawn_in_their_classes_colours():
    grey = Image.new("RGB", SIZE, "grey")
    marks = [
        Mark((60 * n, 100, 60 * n + 40, 140), name, 0.9, name=str(n))
        for n, name in enumerate(MASK.names * 2)
    ]
    drawn = np.asarray(draw_marks(grey, MASK, marks)).reshape(-1, 3)
    seen = {tuple(pixel) for pixel in drawn.tolist()}
    for name in MASK.names:
        colour = MASK.colour(name)
        assert tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) in seen


def test_the_annotated_clip_is_bounded_however_wild_the_pictures():
    rng = np.random.default_rng(0)
    content = io.BytesIO()
    writer = ClipWriter(content)
    for n in range(30):
        noise = Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8))
        writer.add(noise, n / 10)
    writer.close()
    assert len(content.getvalue()) < 3 * 1_500_000 / 8 * 1.6


# The tab's handlers


def test_the_tab_tells_how_far_it_is_and_then_the_result(tiny, story, monkeypatch):
    monkeypatch.setattr("maskexplain.web.clip.TOLD_EVERY", 0.0)
    first, *between, last = clip_views(tiny, story)
    assert "<progress" in first.progress and not first.result
    assert len(between) > 10 and all("of 4.0 s" in view.progress for view in between)
    assert not last.progress and last.notice == "One face in 4.0 s, answered by tiny."
    for part in ("data:video/mp4;base64,", "data:text/csv;", "data:application/json;", "Face lost"):
        assert part in last.result
    assert last.result.count('class="who">Face 1<') == 1


def test_a_stopped_clip_keeps_what_is_answered(tiny, story):
    left = iter([True] * 15)
    *_, last = clip_views(tiny, story, lambda: next(left, False))
    assert last.notice.endswith("Stopped: the first 1.6 s are answered.") and last.result


def test_a_clip_of_one_frame_is_answered(tiny, tmp_path):
    *_, last = clip_views(tiny, write_clip(tmp_path / "a.mp4", [frame(portraits()["bare"])]))
    assert last.notice == "One face in 0.1 s, answered by tiny." and last.result


def test_bad_clips_and_clips_without_a_face_are_a_sentence(tiny, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    *_, last = clip_views(tiny, tmp_path / "bad.mp4")
    assert last.notice == SENTENCES["unknown"] and not last.progress and not last.result
    *_, last = clip_views(tiny, ClipError("What is wrong."))
    assert last.notice == "What is wrong."
    *_, last = clip_views(tiny, write_clip(tmp_path / "none.mp4", colours(5)))
    assert last.notice == NO_FACE and not last.result


def test_names_of_classes_are_escaped(tiny, story):
    evil = task_of_names(["<b>a</b>", "b", "c"])
    *_, last = clip_views(Model("<i>tiny</i>", tiny.network, evil), story)
    assert last.result and "<b>a" not in last.result.lower() and "&lt;b&gt;" in last.result


def test_a_busy_machine_ends_with_what_there_is(tiny, story, monkeypatch):
    monkeypatch.setattr("maskexplain.web.clip.WORK_SECONDS", 0.0)
    *_, last = clip_views(tiny, story)
    assert "busy machine" in last.notice


def test_a_frame_of_the_clip_is_the_one_that_is_shown(tmp_path):
    path = write_clip(tmp_path / "a.mp4", colours(20))
    for asked, number in ((0.0, 0), (0.45, 4), (1.05, 10), (99.0, 19), (-1.0, 0)):
        image = Image.open(io.BytesIO(frame_at(path, asked)))
        assert np.asarray(image).mean() == pytest.approx(10 * number, abs=4)
    for nothing in (None, ClipError("Gone.")):
        with pytest.raises(ClipError):
            frame_at(nothing, 0.0)


def test_the_example_shows_a_face_all_the_time(tiny, tmp_path):
    path = tmp_path / "example.mp4"
    path.write_bytes(example_clip())
    *_, last = clip_views(tiny, path)
    assert last.notice.startswith("One face in 8.0 s") and MAX_SECONDS >= 8
    assert len(example_clip()) < 2**20


@pytest.mark.parametrize("path", [None, "/etc/hostname", "clip.mp4"])
def test_only_uploads_are_taken_for_clips(path):
    given = ClipInput().preprocess(FileData(path=path or "", url="data:video/mp4;base64,AAAA"))
    assert isinstance(given, ClipError) and "upload" in str(given)


def test_an_upload_that_was_deleted_gets_a_sentence():
    clip = ClipInput()
    path = Path(as_upload(b"any bytes", "clip.mp4", clip))
    assert clip.preprocess(FileData(path=str(path))) == path.resolve()
    path.unlink()
    assert str(clip.preprocess(FileData(path=str(path)))) == GONE
