"""The Photo tab's handlers, without Gradio, and its input component on real payloads."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from gradio.data_classes import ImageData
from PIL import Image

from maskexplain.examples import example_pictures
from maskexplain.images import ImageError
from maskexplain.model import CLASSES
from maskexplain.page import PhotoView, answer_photo, face_at
from maskexplain.photo import find_subjects
from maskexplain.photo_input import PhotoInput


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return example_pictures(whole=True)[0].image


@pytest.fixture(scope="module")
def pair(portrait) -> Image.Image:
    """The portrait beside a smaller copy of itself: two faces."""
    both = Image.new("RGB", (900, 600))
    both.paste(portrait, (0, 0))
    both.paste(portrait.resize((340, 400)), (540, 100))
    return both


def test_a_photo_is_answered_by_every_version(tiny, seed_model, portrait):
    view = answer_photo([tiny, seed_model], portrait)
    assert view.notice == "One face found."
    assert view.numbered.size == portrait.size and view.numbered != portrait
    for version in ("tiny", "random"):
        assert f'aria-label="Version {version}"' in view.cards
    assert view.cards.count("<figure>") == 4
    positions = [view.cards.index(name) for name in CLASSES]
    assert positions == sorted(positions), "the bars keep the class order"


def test_every_face_gets_its_line_and_the_chosen_one_its_cards(tiny, pair):
    first, second = (answer_photo([tiny], pair, chosen=index) for index in (0, 1))
    assert len(first.lines) == 2 and first.lines[0].startswith("1 · tiny: ")
    assert first.notice.startswith("2 faces found")
    assert (first.chosen, second.chosen) == (0, 1) and first.cards != second.cards
    assert answer_photo([tiny], pair, chosen=9).chosen == 1


def test_forty_faces_are_answered_in_one_batch(tiny, portrait, monkeypatch):
    sheet = Image.new("RGB", (8 * 200, 5 * 200))
    face = portrait.crop((140, 90, 400, 350)).resize((200, 200))
    for index in range(40):
        sheet.paste(face, (index % 8 * 200, index // 8 * 200))
    batches, logits = [], tiny.logits
    monkeypatch.setattr(tiny, "logits", lambda crops: batches.append(len(crops)) or logits(crops))
    view = answer_photo([tiny], sheet)
    assert len(view.lines) == 40
    assert batches[0] == 40 and len(batches) == 2, "one for the faces, one for the blur test"


def test_a_click_finds_the_face_under_it(pair):
    subjects = find_subjects(pair)
    for number, face in enumerate(subjects.faces):
        x0, y0, x1, y1 = face.box
        assert face_at(subjects, (x0 + x1) / 2, (y0 + y1) / 2) == number
    assert face_at(subjects, 2, 2) is None


def test_the_asked_class_is_explained(tiny, portrait):
    view = answer_photo([tiny], portrait, target="with_mask")
    assert view.cards.count("for “Mask worn”") == 2


def test_no_face_is_said_and_the_whole_picture_offered(tiny):
    empty = noise(3, (640, 480))
    view = answer_photo([tiny], empty)
    assert view.notice.startswith("No face was found") and "whole picture" in view.notice
    assert not view.cards and view.numbered is None
    whole = answer_photo([tiny], empty, whole=True)
    assert whole.notice == "The whole picture is taken as the face." and "<figure>" in whole.cards


def test_a_tight_crop_is_taken_whole(tiny):
    view = answer_photo([tiny], noise(4, (100, 100)))
    assert view.notice.startswith("The picture looks like a face crop")
    assert view.cards and view.numbered is None


def test_a_tiny_face_is_said_to_be_too_small(tiny, portrait):
    small = Image.new("RGB", (640, 480), (90, 90, 90))
    small.paste(portrait.resize((70, 82)), (300, 200))
    view = answer_photo([tiny], small)
    assert view.notice.startswith("One face found. The chosen face has only ")
    assert "too few to believe" in view.notice


def test_nothing_given_shows_nothing(tiny):
    assert answer_photo([tiny], None) == PhotoView()


def photo_input(cache: Path) -> PhotoInput:
    """The component with `cache` for its upload folder."""
    component = PhotoInput(type="pil")
    component.GRADIO_CACHE = str(cache)
    return component


def test_input_reads_files_and_data_urls_upright(tmp_path):
    upright = noise(5, (60, 40))
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    url = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    for payload in (ImageData(path=str(path)), ImageData(url=url)):
        image = photo_input(tmp_path).preprocess(payload)
        assert np.array_equal(np.asarray(image), np.asarray(upright))
    assert PhotoInput().preprocess(None) is None


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_bad_file_gets_a_sentence(tiny, tmp_path, content):
    buffer = BytesIO()
    noise(6, (64, 64)).save(buffer, "PNG")
    path = tmp_path / "bad.png"
    path.write_bytes(buffer.getvalue()[:200] if content is None else content)
    error = photo_input(tmp_path).preprocess(ImageData(path=str(path)))
    assert isinstance(error, ImageError)
    view = answer_photo([tiny], error)
    assert view == PhotoView(str(error)) and "picture" in view.notice


def test_a_stranger_cannot_name_a_path_or_an_address(tmp_path):
    (tmp_path / "cache").mkdir()
    secret = tmp_path / "secret.png"
    noise(7, (64, 64)).save(secret)
    component = photo_input(tmp_path / "cache")
    for payload in (
        ImageData(path=str(secret)),
        ImageData(path=f"{tmp_path}/cache/../secret.png"),
        ImageData(url=str(secret)),
        ImageData(url="http://127.0.0.1:1/a.png"),
        ImageData(),
    ):
        error = component.preprocess(payload)
        assert isinstance(error, ImageError) and "no uploaded picture" in str(error)
