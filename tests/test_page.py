"""The Photo tab's handlers, without Gradio, and its input component on real payloads."""

import base64
import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import gradio as gr
import numpy as np
import pytest
import torch
from conftest import CLASSES, noise
from gradio.data_classes import ImageData
from measured import explained, measured, scores, way_scores
from PIL import Image

from maskexplain.data.samples import example_pictures, write_examples
from maskexplain.explain.question import Question
from maskexplain.explain.ways import all_ways
from maskexplain.images.crops import find_subjects
from maskexplain.images.read import ImageError
from maskexplain.web.faces import FaceChoice, face_at
from maskexplain.web.inputs import PhotoInput
from maskexplain.web.page import build_page
from maskexplain.web.parts import VISITORS, Newest
from maskexplain.web.photo import PhotoView, photo_views, photo_zip

GRAD_CAM = Question(ways=("grad_cam",))


def answer_photo(*args, **kwargs) -> PhotoView:
    """What the page shows in the end."""
    *_, last = photo_views(*args, **kwargs)
    return last


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
    assert view.choice.notice == "One face found."
    assert view.choice.numbered.size == portrait.size and view.choice.numbered != portrait
    for version in ("tiny", "random"):
        assert f'aria-label="Version {version}"' in view.cards
    assert view.cards.count("<figure>") == view.cards.count("How far to believe it") == 4
    assert "on their way" not in view.cards and "nan" not in view.cards
    positions = [view.cards.index(name) for name in CLASSES]
    assert positions == sorted(positions), "the bars keep the class order"


def test_every_face_gets_its_line_and_the_chosen_one_its_cards(tiny, pair):
    first, second = (answer_photo([tiny], pair, False, index, GRAD_CAM) for index in (0, 1))
    assert len(first.choice.lines) == 2 and first.choice.lines[0].startswith("1 · tiny: ")
    assert first.choice.notice.startswith("2 faces found")
    assert (first.choice.chosen, second.choice.chosen) == (0, 1) and first.cards != second.cards
    assert answer_photo([tiny], pair, False, 9, GRAD_CAM).choice.chosen == 1


def test_forty_faces_are_answered_in_one_batch(tiny, portrait, monkeypatch):
    sheet = Image.new("RGB", (8 * 200, 5 * 200))
    face = portrait.crop((140, 90, 400, 350)).resize((200, 200))
    for index in range(40):
        sheet.paste(face, (index % 8 * 200, index // 8 * 200))
    batches, inputs = [], tiny.inputs
    monkeypatch.setattr(tiny, "inputs", lambda crops: batches.append(len(crops)) or inputs(crops))
    *_, view = photo_views([tiny], sheet)
    assert len(view.choice.lines) == 40
    assert batches == [40, 1], "one for the faces, one for all that is asked of the chosen one"


def test_a_click_finds_the_face_under_it(pair):
    subjects = find_subjects(pair)
    for number, face in enumerate(subjects.faces):
        x0, y0, x1, y1 = face.box
        assert face_at(subjects, (x0 + x1) / 2, (y0 + y1) / 2) == number
    assert face_at(subjects, 2, 2) is None


def test_the_asked_class_is_explained(tiny, portrait):
    question = Question("with_mask", "without_mask", ("grad_cam", "occlusion"))
    view = answer_photo([tiny], portrait, question=question)
    assert view.cards.count("Why “Worn correctly”, not “No mask”?</p>") == 1
    assert view.cards.index("<b>Grad-CAM</b>") < view.cards.index("<b>Occlusion</b>")


def test_a_class_held_against_itself_gets_a_sentence(tiny, portrait):
    def views():
        for name in CLASSES:
            yield answer_photo(
                [tiny], portrait, question=Question("with_mask", name, ("grad_cam",))
            )

    found = {view.choice.notice for view in views() if not view.cards}
    assert found == {"A class cannot be held against itself: give two different ones."}


def test_answers_are_shown_before_the_heavy_figures(tiny, seed_model, portrait):
    views = list(photo_views([tiny, seed_model], portrait, question=GRAD_CAM))
    waiting = [view.cards.count("on their way") for view in views]
    assert waiting == [2, 2, 2, 1, 0]
    assert [view.cards.count("<figure>") for view in views] == [0, 1, 2, 2, 2]
    assert all(view.cards.count('class="bar') >= 6 for view in views)
    assert [view.cards.count("<svg") for view in views] == [0, 0, 0, 1, 2]


def test_what_speaks_against_can_be_shown_too(tiny, portrait):
    plain, signed = (
        answer_photo([tiny], portrait, question=GRAD_CAM, signed=signed) for signed in (False, True)
    )
    assert "ramp signed" in signed.cards and "ramp signed" not in plain.cards
    assert plain.cards != signed.cards


def test_a_measured_version_shows_its_best_way_and_its_record(tiny, portrait):
    record = dict.fromkeys(all_ways(), way_scores(190, 200))
    dark = dict.fromkeys(all_ways(), way_scores(40, 100))
    shifts = {"dark_35": scores(balanced=0.5)}
    tiny.results = measured(shifts=shifts, explanations=explained("occlusion", record, dark))
    view = answer_photo([tiny], portrait, question=Question(ways=("best", "grad_cam")))
    assert "at random on 190 of 200, in dim light on 40 of 100 (chance: half)." in view.cards
    assert view.cards.index("<b>Occlusion</b>") < view.cards.index("best for tiny")
    assert view.cards.count("best for") == 1
    del record["grad_cam"]
    tiny.results = measured(shifts=shifts, explanations=explained("lime", record, dark))
    odd = answer_photo([tiny], portrait, question=GRAD_CAM)
    assert "is not measured yet for this version." in odd.cards and "best for" not in odd.cards


def test_an_empty_map_gets_no_sentences_about_its_heat(tiny, portrait):
    with torch.no_grad():
        tiny.network.network[6].weight[1] = -1.0  # every activation speaks against with_mask
    view = answer_photo([tiny], portrait, question=Question("with_mask", ways=("grad_cam",)))
    assert "Nothing here supports this answer" in view.cards
    assert "curves" not in view.cards and "on their way" not in view.cards


def test_only_a_visitors_newest_question_is_answered():
    newest = Newest()
    first = newest.begin("ada")
    other = newest.begin("bob")
    assert first() and other()
    second = newest.begin("ada")
    assert not first() and second() and other()
    for index in range(VISITORS):
        newest.begin(f"visitor {index}")
    assert len(newest._last) == VISITORS


@pytest.mark.parametrize("shown", ["result", "compare-table"])
def test_a_stale_question_skips_every_output_before_it_ends(tiny, portrait, tmp_path, shown):
    """Of the Photo and the Compare tab: Gradio sends a handler's last update twice."""
    page = build_page([tiny], write_examples(tmp_path, whole=True)[:1])
    event = next(
        event
        for event in page.fns.values()
        if event.name == "show" and shown in {output.elem_id for output in event.outputs}
    )
    ada = SimpleNamespace(session_hash="ada")
    values = [getattr(control, "value", None) for control in event.inputs[1:]]
    older, newer = (event.fn(ada, portrait, *values) for _ in range(2))
    next(older), next(newer)
    (last,) = older
    assert set(last) == set(event.outputs)
    assert all(update == gr.skip() for update in last.values())
    assert any(update != gr.skip() for update in list(newer)[-1].values()), "it goes on"


def test_the_zip_holds_what_is_shown(tiny, portrait):
    content = photo_zip([tiny], portrait, question=Question("with_mask", ways=("grad_cam",)))
    with ZipFile(BytesIO(content)) as archive:
        facts = json.loads(archive.read("face.json"))["tiny"]
        assert [e["target"] for e in facts["explanations"]] == ["with_mask"]
        assert {"face.png", "face.crop.png", "face.tiny.grad_cam.npy"} < set(archive.namelist())


def test_without_a_face_there_is_no_zip(tiny):
    assert photo_zip([tiny], None) is None
    assert photo_zip([tiny], noise(3, (640, 480))) is None


def test_no_face_is_said_and_the_whole_picture_offered(tiny):
    empty = noise(3, (640, 480))
    view = answer_photo([tiny], empty)
    assert (
        view.choice.notice.startswith("No face was found") and "whole picture" in view.choice.notice
    )
    assert not view.cards and view.choice.numbered is None
    whole = answer_photo([tiny], empty, whole=True)
    assert (
        whole.choice.notice == "The whole picture is taken as the face."
        and "<figure>" in whole.cards
    )


def test_a_tight_crop_is_taken_whole(tiny):
    view = answer_photo([tiny], noise(4, (100, 100)))
    assert view.choice.notice.startswith("The picture looks like a face crop")
    assert view.cards and view.choice.numbered is None


def test_a_tiny_face_is_said_to_be_too_small(tiny, portrait):
    small = Image.new("RGB", (640, 480), (90, 90, 90))
    small.paste(portrait.resize((70, 82)), (300, 200))
    view = answer_photo([tiny], small)
    assert view.choice.notice.startswith("One face found. The chosen face has only ")
    assert "too few to believe" in view.choice.notice


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
    assert view == PhotoView(FaceChoice(str(error))) and "picture" in view.choice.notice


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
