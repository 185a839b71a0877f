"""Answers along a slider, the smallest change that flips one, and the What if tab's handlers."""

from dataclasses import replace

import pytest
from conftest import CLASSES, TinyCNN, noise
from measured import scores
from PIL import Image

from maskexplain.images.crops import whole_crop
from maskexplain.images.read import ImageError
from maskexplain.masks.task import MASK
from maskexplain.models.results import Results
from maskexplain.models.version import Model
from maskexplain.results.sentences import lessons
from maskexplain.task import task_of_names
from maskexplain.web.what_if.changes import SLIDERS, Changes, apply, seat
from maskexplain.web.what_if.curves import (
    FlipSearch,
    even_values,
    find_flips,
    flips_along,
    setting_of,
    sweep_svg,
    sweeps,
    words,
)
from maskexplain.web.what_if.view import (
    FORGOTTEN,
    chart,
    charts_html,
    curves_key,
    flip_lines,
    flips_html,
    show,
    take,
)


@pytest.fixture
def wavering(tiny):
    """The tiny version with its biases moved until the made face stands between two classes."""
    rows = [tiny.logits([apply(sitter_of(2), Changes.of(light=light))])[0] for light in (30, 100)]
    middle = sum(rows) / 2
    tiny.network.network[-1].bias -= middle
    return tiny


def sitter_of(seed: int):
    image = noise(seed, (60, 60))
    return seat(image, whole_crop(image), None)


def label(model, sitter, changes) -> str:
    return model.predict([apply(sitter, changes)])[0].label


def test_a_sweep_says_what_each_value_alone_would(tiny):
    sitter, changes = sitter_of(1), Changes.of(gray=30)
    (found,) = sweeps([tiny], sitter, changes, "light")
    assert found.values == even_values("light", 100) and len(found.values) >= 24
    assert (found.values[0], found.values[-1]) == (10, 200)
    for value, row in zip(found.values, found.probabilities, strict=True):
        alone = tiny.predict([apply(sitter, changes.at("light", value))])[0]
        assert list(row) == pytest.approx(list(alone.probabilities.values()), abs=1e-5)


def test_a_flip_is_real_and_the_nearest(wavering):
    """Against every single value of the slider."""
    seen = 0
    for seed in (2, 3, 4):
        sitter, start = sitter_of(seed), Changes()
        answer = label(wavering, sitter, start)
        for key, slider in SLIDERS.items():
            whole_way = tuple(range(slider.low, slider.high + 1))
            (every,) = sweeps([wavering], sitter, start, key, whole_way)
            answers = dict(zip(every.values, every.labels, strict=True))
            coarse = even_values(key, slider.neutral)
            flips = flips_along([wavering], sitter, start, key)["tiny"]
            for flip in flips:
                seen += 1
                step = 1 if flip.value > flip.start else -1
                before = start.at(key, flip.value - step)
                after = start.at(key, flip.value)
                title = MASK.title(label(wavering, sitter, before))
                assert title == MASK.title(answer) == flip.before
                title = MASK.title(label(wavering, sitter, after))
                assert title == flip.after != flip.before
                between = [v for v in coarse if min(flip.start, flip.value) < v]
                between = [v for v in between if v < max(flip.start, flip.value)]
                assert {answers[v] for v in between} <= {answer}, "no nearer one on the grid"
            below = any(answers[v] != answer for v in coarse if v < slider.neutral)
            above = any(answers[v] != answer for v in coarse if v > slider.neutral)
            assert len(flips) == below + above
            assert [flip.share for flip in flips] == sorted(flip.share for flip in flips)
    assert seen >= 3, "some of these faces flip"


def test_the_search_goes_on_from_the_present_setting(wavering):
    sitter, start = sitter_of(2), Changes.of(light=30)
    *parts, last = find_flips([wavering], sitter, start)
    assert [len(part.waiting) for part in parts] == list(range(len(SLIDERS), 0, -1))
    assert not last.waiting
    assert len({flip.slider for flip in last.flips}) + len(last.kept) == len(SLIDERS)
    assert [flip.share for flip in last.flips] == sorted(flip.share for flip in last.flips)
    first = last.flips[0]
    assert first.start == start[first.slider]
    assert MASK.title(label(wavering, sitter, setting_of(last, 0))) == first.after
    html = flips_html(last)
    assert first.sentence() in html and "the smallest change of all" in html
    assert "light 30%" in html and len(flip_lines(last)) == len(last.flips)


def test_the_search_is_said_in_words():
    waiting = FlipSearch(Changes(), waiting=(("v2", "light"), ("v2", "gray")))
    assert "Searching along light: 0 of 2 done" in flips_html(waiting)
    kept = flips_html(FlipSearch(Changes(), kept=(("v3", "light"), ("v3", "turn"))))
    assert "v3 keeps its answer from end to end of: light, turn" in kept
    assert "No slider alone changes any answer" in kept


def test_the_chart_is_drawn_and_said(wavering):
    (found,) = sweeps([wavering], sitter_of(2), Changes(), "light")
    svg = sweep_svg(found)
    assert svg.count("<polyline") == len(CLASSES) and "nan" not in svg
    assert words(found).startswith("Answers of tiny along light: ") and words(found) in svg
    assert found.runs()[0][1] == 10 and found.runs()[-1][2] == 200


def test_the_curves_come_version_by_version_and_are_used_again(tiny, seed_model, portrait):
    models = [tiny, seed_model]
    taken = take(models, portrait)
    first, whole = chart(models, taken, Changes.of(light=60, gray=20), "light")
    assert [len(c.sweeps) for c in (first, whole)] == [1, 2]
    assert "on their way" in charts_html(first.sweeps, "light", 2)
    assert "on their way" not in charts_html(whole.sweeps, "light", 2)
    assert list(chart(models, taken, Changes.of(light=80, gray=20), "light", whole)) == [whole]
    other = list(chart(models, taken, Changes.of(light=80, gray=30), "light", whole))
    assert len(other) == 2 and other[-1] != whole
    same, key = (curves_key(taken, Changes.of(light=v), "light") for v in (60, 80))
    assert same == key != curves_key(taken, Changes.of(light=80), "gray")


def test_a_face_is_taken_and_shown(tiny, seed_model, portrait):
    models = [tiny, seed_model]
    taken = take(models, portrait, "example")
    assert taken.notice.startswith("An example") and taken.paintable and taken.faces == 1
    plain, dark = (show(models, taken, Changes.of(light=light)) for light in (100, 30))
    for shown in (plain, dark):
        assert shown.cards.count('class="bar') >= 6 and shown.cards.count("<img") == 2
        positions = [shown.cards.index(f'fill" data-class="{name}"') for name in CLASSES]
        assert positions == sorted(positions)
    assert "as it is" in plain.face and "light 30%" in dark.face and plain.face != dark.face
    assert "not measured yet" in plain.cards


def test_another_face_of_several_can_be_taken(tiny, portrait):
    both = Image.new("RGB", (900, 600))
    both.paste(portrait, (0, 0))
    both.paste(portrait.resize((340, 400)), (540, 100))
    first, second, beyond = (take([tiny], both, chosen=index) for index in (0, 1, 9))
    assert first.faces == 2 and "2 faces found; the largest is taken" in first.notice
    assert "number 2 is taken" in second.notice and beyond.chosen == 1
    assert first.sitter.crop.image.size > second.sitter.crop.image.size


def test_what_cannot_be_played_with_gets_a_sentence(tiny):
    assert take([tiny], ImageError("That is no picture.")).notice == "That is no picture."
    nothing = take([tiny], noise(3, (640, 480)))
    assert nothing.notice.startswith("No face was found") and nothing.sitter is None
    assert show([tiny], nothing, Changes()).cards == ""
    assert FORGOTTEN in show([tiny], None, Changes()).face
    tight = take([tiny], noise(4, (90, 90)))
    assert not tight.paintable and "No mask can be painted" in tight.notice
    assert "were not found" in show([tiny], tight, Changes.of(mask="right")).face


def test_a_masked_face_is_told_that_masks_are_for_bare_ones(tiny, portrait):
    taken = replace(take([tiny], portrait), masked=True)
    assert "meant for a bare face" in show([tiny], taken, Changes.of(mask="chin")).face
    assert "meant for a bare face" not in show([tiny], taken, Changes()).face


def test_the_lesson_is_read_from_the_results(tiny):
    matrix = [[5, 0, 0], [4, 1, 0], [5, 0, 0]]
    shifts = {"unaugmented": scores(matrix, 0.9), "dark_35": scores(matrix, 0.4)}
    tiny.results = Results(shifts=shifts)
    text = lessons([tiny])
    assert "<b>tiny</b>: many faces in dim light are taken for “Worn incorrectly”" in text
    assert "gray" not in text
    tiny.results = Results()
    assert "Move a slider" in lessons([tiny])


def test_the_key_names_a_class_of_several_versions_once(tiny):
    two = task_of_names(["with_mask", "without_mask"])
    models = [tiny, Model("theirs", TinyCNN(2), two)]
    html = charts_html(list(sweeps(models, sitter_of(2), Changes(), "light")), "light", 2)
    key = html[html.index('<p class="key') :]
    assert key.count("No mask") == 1 and "Worn correctly" in key and "With mask" in key
    assert two.style("without_mask") == MASK.style("without_mask") != two.style("with_mask")
