"""The Photo tab's handlers, without Gradio, and its input component on real payloads."""

import base64
import json
import re
from html import unescape
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
from PIL import Image, ImageEnhance
from servers import version

from maskexplain.data.samples import example_pictures, write_examples
from maskexplain.explain import report as report_module
from maskexplain.explain.explain import Question, Way, all_ways, default_way
from maskexplain.explain.report import reports
from maskexplain.explain.verdicts import TITLES, record_sentence, second_opinions
from maskexplain.images.crops import find_subjects
from maskexplain.images.read import ImageError
from maskexplain.masks.task import MASK
from maskexplain.web.faces import FaceChoice, face_clicked, look, subject_of
from maskexplain.web.page import build_page
from maskexplain.web.parts import VISITORS, Newest, PhotoInput, changes_of, newest_first
from maskexplain.web.photo import html
from maskexplain.web.photo.html import CELLS, arrival_html
from maskexplain.web.photo.tab import MOST, answer_files, many_html
from maskexplain.web.photo.view import (
    PhotoView,
    hidden_html,
    hide,
    photo_views,
    photo_zip,
    places_of,
    second_html,
)

GRAD_CAM = Question(ways=("grad_cam",))


def answer_photo(*args, **kwargs) -> PhotoView:
    """What the page shows in the end."""
    *_, last = photo_views(*args, **kwargs)
    return last


@pytest.fixture(scope="module")
def pair(portrait) -> Image.Image:
    """The portrait beside a smaller copy of itself: two faces."""
    both = Image.new("RGB", (900, 600))
    both.paste(portrait, (0, 0))
    both.paste(portrait.resize((340, 400)), (540, 100))
    return both


def parts(view: PhotoView) -> str:
    """All of the chosen face's HTML."""
    return view.lead + view.heat + view.tested + view.more + view.others


def test_the_newest_version_leads_and_the_others_follow(tiny, portrait):
    old, new = version("v1"), version("v2", seed=1)
    view = answer_photo([old, new, tiny], portrait)
    assert view.choice.notice == "One face found." and 'data-face="0"' in view.choice.stage
    assert 'aria-label="Version v2"' in view.lead and "v2 (current)" in view.lead
    assert view.spoken.startswith("v2 answers: ")
    assert [f'aria-label="Version {name}"' in view.others for name in ("v1", "tiny", "v2")] == [
        True,
        True,
        False,
    ]
    assert "v1 (older)" in view.others and "agree" not in view.lead
    assert view.heat.count("<figure>") == 1 and view.others.count("<figure>") == 4
    assert "on its way" not in parts(view) and "nan" not in parts(view)
    titles = [view.lead.index(f'<span class="name">{one.title}') for one in MASK.classes]
    assert titles == sorted(titles), "the bars keep the class order"
    assert not any(f">{name}<" in parts(view) for name in CLASSES), "raw names are for JSON"


def test_a_verdict_is_about_the_map_and_has_no_classs_colour(tiny, portrait):
    view = answer_photo([tiny], portrait, question=GRAD_CAM)
    (verdict,) = re.findall(r'<p class="verdict">.*?</p>', view.heat)
    assert verdict.startswith('<p class="verdict">Test of the map: <b>') and "style" not in verdict
    assert "verdict" not in view.lead


def test_the_answers_sentence_holds_what_was_measured_here(tiny, portrait):
    *_, report = reports([tiny], subject_of(portrait, find_subjects(portrait), 0), GRAD_CAM)
    test = report[0].verdicts[0].test
    view = answer_photo([tiny], portrait, question=GRAD_CAM)
    (because,) = re.findall(r'<p class="because">(.*?)</p>', view.lead)
    assert f"takes this to {test.hottest:.0%}." in because
    assert f"elsewhere takes it to {test.random:.0%}" in because
    assert re.search("bright area, (over the [a-z ]+|outside the face), takes", because)


def test_every_face_gets_its_line_and_the_chosen_one_its_parts(tiny, pair):
    first, second = (answer_photo([tiny], pair, False, index, GRAD_CAM) for index in (0, 1))
    assert len(first.choice.lines) == 2 and first.choice.lines[0].startswith("1 · tiny: ")
    assert first.choice.notice.startswith("2 faces found")
    assert (first.choice.chosen, second.choice.chosen) == (0, 1) and first.heat != second.heat
    assert answer_photo([tiny], pair, False, 9, GRAD_CAM).choice.chosen == 1


def test_the_faces_are_counted_in_words_and_boxed_in_their_answers_colours(tiny, pair):
    scene = look([tiny], pair)
    stage = answer_photo([tiny], pair, question=GRAD_CAM).choice.stage
    labels = [answer.label for answer in scene.answers["tiny"]]
    for index, label in enumerate(labels):
        (box,) = re.findall(rf'<button type="button" data-face="{index}".*?>', stage)
        assert MASK.style(label) in box and f"Face {index + 1}: {MASK.title(label)}" in box
    assert re.search(r'<p class="count">2 faces: \d [a-z]', stage)


def test_forty_faces_are_found_and_answered_once(tiny, portrait, monkeypatch):
    sheet = Image.new("RGB", (8 * 200, 5 * 200))
    face = portrait.crop((140, 90, 400, 350)).resize((200, 200))
    for index in range(40):
        sheet.paste(face, (index % 8 * 200, index // 8 * 200))
    batches, inputs = [], tiny.inputs
    monkeypatch.setattr(tiny, "inputs", lambda crops: batches.append(len(crops)) or inputs(crops))
    *_, view = photo_views([tiny], sheet)
    assert len(view.choice.lines) == view.choice.stage.count("data-face") == 40
    assert batches == [40, 1], "one for the faces, one for all that is asked of the chosen one"
    *_, other = photo_views([tiny], sheet, chosen=7, kept=view.kept)
    assert batches == [40, 1, 1] and other.kept.scene is view.kept.scene


def test_nothing_is_computed_or_drawn_twice(tiny, portrait, monkeypatch):
    first = answer_photo([tiny], portrait, question=GRAD_CAM)
    drawn, ran = [], []
    draw, run = html.overlay, report_module.explain_pass
    monkeypatch.setattr(html, "overlay", lambda *a, **k: drawn.append(1) or draw(*a, **k))
    monkeypatch.setattr(
        report_module, "explain_pass", lambda *a, **k: ran.append(a[1]) or run(*a, **k)
    )
    again = answer_photo([tiny], portrait, question=GRAD_CAM, kept=first.kept)
    assert parts(again) == parts(first) and not drawn and not ran
    two = Question(ways=("grad_cam", "occlusion"))
    more = answer_photo([tiny], portrait, question=two, kept=first.kept)
    assert [[way.key for way in ways] for ways in ran] == [["occlusion"]] and len(drawn) == 1
    assert more.more.count("<figure>") == 1
    assert photo_zip([tiny], portrait, question=two, kept=more.kept) and len(ran) == 1
    other = answer_photo([tiny], portrait, question=Question("with_mask", ways=("grad_cam",)))
    assert other.kept is not first.kept, "another class is another question"


def test_only_changes_are_sent():
    updates = [{"a": 1, "b": [1]}, {"a": 1, "b": [2]}, {"a": 1, "b": [2]}, {"a": 2, "b": [2]}]
    assert list(changes_of(updates)) == [{"a": 1, "b": [1]}, {"b": [2]}, {}, {"a": 2}]


def test_a_clicked_box_names_its_face():
    def event(data):
        return gr.EventData(None, data)

    assert face_clicked(event({"face": 3}), 0) == 3
    for odd in (None, {}, {"face": "2"}, {"face": -1}, {"face": [1]}, [2]):
        assert face_clicked(event(odd), 1) == 1, "a stranger may send anything"


def test_the_asked_class_is_explained(tiny, portrait):
    question = Question("with_mask", "without_mask", ("grad_cam", "occlusion"))
    view = answer_photo([tiny], portrait, question=question)
    assert "Why “Worn correctly”, not “No mask”?</p>" in view.heat
    assert "<b>Grad-CAM</b>" in view.heat and "<b>Occlusion</b>" in view.more


def test_a_class_held_against_itself_gets_a_sentence(tiny, portrait):
    def views():
        for name in CLASSES:
            yield answer_photo(
                [tiny], portrait, question=Question("with_mask", name, ("grad_cam",))
            )

    found = {view.choice.notice for view in views() if not view.lead}
    assert found == {"A class cannot be held against itself: give two different ones."}


def test_answers_are_shown_before_the_heavy_figures(tiny, seed_model, portrait):
    views = list(photo_views([tiny, seed_model], portrait, question=GRAD_CAM))
    assert [view.heat.count("<figure>") for view in views] == [0, 1, 1, 1, 1, 1]
    tested = [view.heat.count("Test of the map: ") for view in views]
    assert tested == [0, 0, 1, 1, 1, 1], "the map before its test"
    assert "The test of its map is on its way." in views[1].lead
    assert [view.others.count("<figure>") for view in views] == [0, 0, 0, 1, 1, 1]
    assert all(view.lead.count('class="bar') >= 3 for view in views)
    assert [view.tested.count("<svg") for view in views] == [0, 0, 0, 0, 1, 1]
    assert "More tests" in views[3].tested and "on their way" not in parts(views[-1])


def test_what_speaks_against_can_be_shown_too(tiny, portrait):
    plain, signed = (
        answer_photo([tiny], portrait, question=GRAD_CAM, signed=signed) for signed in (False, True)
    )
    assert "ramp signed" in signed.heat and "ramp signed" not in plain.heat
    assert plain.heat != signed.heat


def test_a_measured_version_shows_its_best_way_and_its_record(tiny, portrait):
    record = dict.fromkeys(all_ways(), way_scores(190, 200))
    dark = dict.fromkeys(all_ways(), way_scores(40, 100))
    shifts = {"dark_35": scores(balanced=0.5)}
    tiny.results = measured(shifts=shifts, explanations=explained("occlusion", record, dark))
    view = answer_photo([tiny], portrait, question=Question(ways=("best", "grad_cam")))
    assert record_sentence(tiny, Way("occlusion")) in view.tested and "190 of 200" in view.tested
    assert "<b>Occlusion</b>" in view.heat and "best for tiny" in view.heat
    assert "best for" not in view.more
    assert "90% right on test photos, 50% when the same photos are dark." in view.lead
    del record["grad_cam"]
    tiny.results = measured(shifts=shifts, explanations=explained("lime", record, dark))
    odd = answer_photo([tiny], portrait, question=GRAD_CAM)
    assert "is not measured yet for this version." in odd.tested and "best for" not in odd.heat


def test_an_empty_map_gets_no_sentences_about_its_heat(tiny, portrait):
    with torch.no_grad():
        tiny.network.network[6].weight[1] = -1.0  # every activation speaks against with_mask
    view = answer_photo([tiny], portrait, question=Question("with_mask", ways=("grad_cam",)))
    assert TITLES["empty"] in view.heat
    assert "curves" not in view.tested and "on their way" not in view.tested


def test_several_files_get_a_row_each(tiny, portrait, pair, tmp_path):
    portrait.save(tmp_path / "<one>.png")
    pair.save(tmp_path / "two.png")
    noise(3, (640, 480)).save(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    files = [tmp_path / f"{name}.png" for name in ("<one>", "two", "none", "text")]
    views = list(answer_files([tiny], files))
    assert [len(rows) for rows in views] == [1, 2, 3, 4]
    assert [len(row.answers) for row in views[-1]] == [1, 2, 0, 0]
    assert "No face was found" in views[-1][2].trouble and "text" in views[-1][3].trouble
    page = many_html([tiny], views[-1], 4)
    assert page.count("<li>") == 4 and "&lt;one&gt;.png" in page and "<progress" not in page
    assert "1 of 4 photos answered" in many_html([tiny], views[0], 4)
    assert len(list(answer_files([tiny], files[3:] * (MOST + 1)))) == MOST
    assert f"The first {MOST} of {MOST + 1}" in many_html([tiny], views[-1], MOST + 1)


def test_the_first_map_is_tested_in_a_second_way_on_request(tiny, portrait):
    *_, view = photo_views([tiny], portrait)
    html = second_html([tiny], view.kept, [])
    key = "tiny", default_way(tiny).key
    explanation, first = view.kept.known.maps[key], view.kept.known.verdicts[key]
    [opinion] = second_opinions(view.kept.known.passes["tiny"], [explanation])
    assert opinion.verdict.sentence in unescape(html) and opinion.verdict.title in unescape(html)
    assert ("Both tests say the same" in html) == (first.key == opinion.verdict.key)
    assert "Fill the brightest fifth" in html
    assert "on its way" in second_html([tiny], view.kept, ["occlusion"])
    assert "no longer in memory" in second_html([tiny], None, [])


# --- on arrival, and the brush


def test_the_light_slider_of_the_arrival_has_every_versions_real_answers(tiny):
    page = arrival_html([tiny])
    found = json.loads(unescape(re.search(r'data-answers="(.*?)"', page).group(1)))
    assert list(map(int, found)) == list(range(10, 151, 5))
    striped = next(e.image for e in example_pictures() if e.name == "striped")
    dark = tiny.predict([ImageEnhance.Brightness(striped).enhance(0.35)])[0]
    assert f"> {dark.confidence:.0%}<" in found["35"]["tiny"].replace("</span>", "</span>>")[:400]
    assert MASK.title(dark.label) in found["35"]["tiny"]


def test_hidden_places_change_the_answers_and_the_map_foretells_them(tiny, seed_model, portrait):
    models = [tiny, seed_model]
    kept = answer_photo(models, portrait, question=Question()).kept
    everything = places_of("1" * CELLS**2)
    for model, found in zip(newest_first(models), hide(models, kept, everything), strict=True):
        assert found.model is model and found.area == 1 and found.heat == pytest.approx(1)
        assert found.foretold.startswith("100% of its heat lies there")
    nothing = hide(models, kept, torch.zeros(1, CELLS, CELLS, dtype=torch.bool))
    assert all(found.now == pytest.approx(found.before.confidence) for found in nothing)
    rows = hidden_html(models, kept, "1" * 60 + "0" * (CELLS**2 - 60))
    assert rows.count("with places hidden") == 2 and "You hide 10% of the face." in rows


def test_odd_strokes_and_forgotten_faces_get_a_sentence(tiny, portrait):
    kept = answer_photo([tiny], portrait, question=GRAD_CAM).kept
    for odd in ("", "0" * CELLS**2, "1", "x" * CELLS**2, "1" * (CELLS**2 + 1)):
        assert "paint over the picture" in hidden_html([tiny], kept, odd)
    assert "no longer in memory" in hidden_html([tiny], None, "1" * CELLS**2)


def test_only_a_visitors_newest_question_is_answered():
    newest = Newest()
    first = newest.begin("ada")
    other = newest.begin("bob")
    assert first() and other()
    second = newest.begin("ada")
    assert not first() and second() and other()
    third, late = newest.begin("ada", 20.0), newest.begin("ada", 10.0)
    assert third() and not late() and not second()
    assert newest.begin("ada")() and not third()
    for index in range(VISITORS):
        newest.begin(f"visitor {index}")
    assert len(newest._last) == VISITORS


@pytest.mark.parametrize("shown", ["heat", "compare-table"])
def test_a_stale_question_skips_every_output_before_it_ends(tiny, portrait, tmp_path, shown):
    """Of the Photo and the Compare tab: Gradio sends a handler's last update twice."""
    page = build_page([tiny], write_examples(tmp_path, whole=True)[:1])
    event = next(
        event
        for event in page.fns.values()
        if event.name == "show" and shown in {output.elem_id for output in event.outputs}
    )
    ada = SimpleNamespace(session_hash="ada")
    values = [control.value for control in event.inputs[2:]]
    # The later one is begun first: the earlier photo was read for longer.
    older, newer = (event.fn(ada, moment, portrait, *values) for moment in (1.0, 2.0))
    next(newer)
    (last,) = older
    assert set(last) == set(event.outputs)
    assert all(update == gr.skip() for update in last.values())
    assert any(update != gr.skip() for update in list(newer)[-1].values()), "it goes on"


@pytest.mark.parametrize("asked_before", [0, 1])
def test_the_box_for_the_whole_picture_is_the_visitors_after_the_first_answer(
    tiny, portrait, tmp_path, asked_before
):
    """Another photo clears it once; a click on it meanwhile is not taken back."""
    page = build_page([tiny], write_examples(tmp_path, whole=True)[:1])
    events = [event for event in page.fns.values() if event.name in ("first", "show")]
    ada = SimpleNamespace(session_hash="ada")
    for first in (event for event in events if event.name == "first"):
        [box] = (part for part in first.outputs if str(part.elem_id).endswith("-whole"))
        values = [control.value for control in first.inputs[2:]]
        answer = first.fn(ada, 1.0, portrait, *values)
        seen = [next(answer) for _ in range(asked_before)]
        assert [update.get(box) for update in seen] == [False] * asked_before
        click = next(e for e in events if e.name == "show" and {*e.outputs} < {*first.outputs})
        next(click.fn(ada, 2.0, portrait, True, *(i.value for i in click.inputs[3:])))
        rest = list(answer)
        assert rest and all(update.get(box, gr.skip()) == gr.skip() for update in rest)


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
    assert view.choice.notice.startswith("No face was found")
    assert "whole picture" in view.choice.notice
    assert not view.lead and not view.choice.stage
    whole = answer_photo([tiny], empty, whole=True)
    assert whole.choice.notice == "The whole picture is taken as the face."
    assert "<figure>" in whole.heat


def test_a_tight_crop_is_taken_whole(tiny):
    view = answer_photo([tiny], noise(4, (100, 100)))
    assert view.choice.notice.startswith("The picture looks like a face crop")
    assert view.lead and not view.choice.stage


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
