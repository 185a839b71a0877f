"""The Compare tab's handlers without Gradio: the table, the sentences, the test set's pictures."""

import json
import shutil
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from conftest import CLASSES, TinyCNN, noise
from measured import explained, measured, scores, way_scores
from PIL import Image, ImageEnhance
from servers import version

from maskexplain.cli import serve
from maskexplain.data.folder import DataError, csv_beside, list_pictures, read_crop, select
from maskexplain.data.samples import example_pictures, write_examples
from maskexplain.explain.explain import Question
from maskexplain.explain.report import Subject
from maskexplain.images.edit import brightness, in_other_light, is_dark, is_gray
from maskexplain.images.read import ImageError
from maskexplain.models.results import (
    MAP_SIDE,
    ClassMaps,
    MeanMap,
    PaintedScores,
    Results,
    Scores,
    Unsure,
    pack_map,
)
from maskexplain.models.version import Model, Prediction
from maskexplain.results.scores import fields_of
from maskexplain.task import task_of_names
from maskexplain.web.compare.disagree import Comparison, compare, drawn_to, headline, why_it_matters
from maskexplain.web.compare.split import (
    PAGE,
    Selection,
    SplitAnswers,
    disagreements_of,
    kind_key,
    picked,
    tally,
    tally_sentences,
)
from maskexplain.web.compare.view import (
    EXAMPLE,
    FROM_PHOTO,
    CompareView,
    Visit,
    compare_views,
    given_of,
    on_opening,
)
from maskexplain.web.parts import says
from maskexplain.web.photo.html import standing
from maskexplain.web.photo.view import photo_zip
from maskexplain.words import listed

GRAD_CAM = Question(ways=("grad_cam",))
INCORRECT, WORN, BARE = CLASSES


def always(name: str, label: str, results: Results | None = None) -> Model:
    """A version that answers one class to every picture."""
    model = version(name, results=results)
    with torch.no_grad():
        model.network.network[6].bias[CLASSES.index(label)] += 100
    return model


def shift(balanced: float, columns: tuple[int, int, int]) -> Scores:
    """Scores with so many answers of each class."""
    return scores([columns, (0, 0, 0), (0, 0, 0)], balanced)


FOOLED = {"unaugmented": shift(0.96, (10, 50, 40)), "dark_35": shift(0.44, (80, 15, 5))}
ROBUST = {"unaugmented": shift(0.98, (10, 50, 40)), "dark_35": shift(0.97, (11, 49, 40))}


def fooled(name: str) -> Model:
    """A version that learned that dark means worn incorrectly."""
    return version(name, results=measured(shifts=FOOLED))


def robust(name: str) -> Model:
    """A version that dim light does not mislead."""
    return version(name, results=measured(shifts=ROBUST))


def comparison(models, here, there, dark=False, gray=False) -> Comparison:
    """As if the versions had answered these classes, as it is and in the other light."""
    answers = [
        [_surely(*pair) for pair in zip(models, labels, strict=True)] for labels in (here, there)
    ]
    return Comparison(tuple(models), *map(tuple, answers), 40.0 if dark else 120.0, dark, gray)


def _surely(model: Model, label: str) -> Prediction:
    return model.prediction(torch.tensor([9.0 if name == label else 0.0 for name in CLASSES]))


@pytest.fixture(scope="module")
def portraits() -> dict[str, Image.Image]:
    return {example.name: example.image for example in example_pictures(whole=True)}


def last(*args, **kwargs) -> CompareView:
    """What is shown in the end."""
    *_, view = compare_views(*args, **kwargs)
    return view


def of(name: str, *names: str) -> Model:
    """A version of these classes."""
    torch.manual_seed(0)
    return Model(name, TinyCNN(len(names)), task_of_names(names))


@pytest.mark.parametrize(
    ("two", "says_two", "says_v9", "words"),
    [
        ((WORN, BARE), BARE, BARE, "Both versions say “No mask”."),
        ((WORN, BARE), WORN, WORN, "v9 says “Worn correctly”, theirs says “With mask”."),
        ((WORN, BARE), WORN, INCORRECT, "; theirs has no class “Worn incorrectly”."),
        ((WORN, BARE), WORN, BARE, "They disagree: v9 says “No mask”, theirs says “With mask”."),
        (("cup", "lamp"), "cup", BARE, "They answer different questions"),
    ],
)
def test_versions_of_other_classes_are_held_against_each_other(two, says_two, says_v9, words):
    models, labels = [version("v9"), of("theirs", *two)], [says_v9, says_two]
    answers = tuple(
        m.prediction(torch.tensor([9.0 if n == label else 0.0 for n in m.task.names]))
        for m, label in zip(models, labels, strict=True)
    )
    found = Comparison(tuple(models), answers, answers, 120.0, False, False)
    assert words in headline(found)
    assert found.agree == (says_two == says_v9)


def test_only_numbered_versions_are_older_than_others():
    models = [fooled("v1"), robust("v3"), fooled("theirs"), robust("best")]
    said = [standing(model, models) for model in models]
    assert said == ["(older; fooled by dim light)", "(current)", "(fooled by dim light)", ""]
    assert standing(models[2], models[2:3]) == "", "nothing stands beside it"
    assert standing(models[1], models[1:]) == "", "no other of the row is here"


# --- the table


def test_every_version_has_a_column_and_the_rows_are_aligned(tiny, seed_model, portraits):
    view = last([tiny, seed_model], portraits["bare"], question=GRAD_CAM)
    assert view.choice.notice == "One face found."
    rows = view.table.split('<div role="row"')[1:]
    assert len(rows) == 10
    assert all(row.count('role="cell"') == 2 for row in rows[1:])
    assert rows[0].count('role="columnheader"') == 3
    assert "on its way" not in view.table and "nan" not in view.table
    assert "16 x 16 pixels" in view.table and "64 x 64 pixels" in view.table
    assert view.table.count("Grad-CAM of") == 2


def test_answers_come_first_then_a_heatmap_a_version(tiny, seed_model, portraits):
    views = list(compare_views([tiny, seed_model], portraits["bare"], question=GRAD_CAM))
    assert [view.table.count("Grad-CAM of") for view in views] == [0, 1, 1, 2]
    assert all(view.table.count('class="bar') >= 6 for view in views)
    assert len({view.said for view in views}) == 1 and views[0].said


def test_each_versions_best_way_is_the_first_one_shown(tiny, portraits):
    assert "Integrated gradients" in last([tiny], portraits["bare"]).table


def test_the_mean_map_of_the_answer_stands_beside(portraits):
    mean = MeanMap(40, pack_map(np.eye(MAP_SIDE, dtype=np.float32)))
    model = always("v9", WORN)
    found = explained("grad_cam", {"grad_cam": way_scores(90)})
    maps = {"grad_cam": {WORN: ClassMaps(mean, None), BARE: ClassMaps(mean, None)}}
    model.results = measured(explanations=replace(found, maps=maps))
    table = last([model], portraits["bare"], question=GRAD_CAM).table
    assert table.count("Mean heatmap of 40 right answers “Worn correctly”") == 1


def test_an_asked_class_is_explained_by_all(tiny, seed_model, portraits):
    question = Question("with_mask", ways=("grad_cam",))
    view = last([tiny, seed_model], portraits["bare"], question=question)
    assert "<small>Why “Worn correctly”?</small>" in view.table


def test_a_second_face_can_be_chosen(tiny, portraits):
    both = Image.new("RGB", (900, 600))
    both.paste(portraits["bare"], (0, 0))
    both.paste(portraits["worn_right"].resize((340, 400)), (540, 100))
    first, second = (last([tiny], both, False, n, GRAD_CAM) for n in (0, 1))
    assert first.choice.notice.startswith("2 faces found") and len(first.choice.lines) == 2
    assert first.table != second.table
    assert last([tiny], both, False, 9, GRAD_CAM).choice.chosen == 1
    assert last([tiny], both, False, -3, GRAD_CAM).choice.chosen == 0


def test_what_cannot_be_answered_gets_a_sentence(tiny):
    assert last([tiny], None) == CompareView()
    assert last([tiny], ImageError("No picture.")).choice.notice == "No picture."
    empty = noise(3, (640, 480))
    view = last([tiny], empty)
    assert view.choice.notice.startswith("No face was found") and not view.table
    assert "whole picture" in view.choice.notice
    assert last([tiny], empty, whole=True).table
    odd = last([tiny], empty, True, question=Question(ways=("lime",)))
    assert odd.choice.notice.startswith("There is no way to explain 'lime'") and not odd.table


def test_the_download_holds_every_version(portraits):
    models = [version("v1"), version("v2", 1)]
    with ZipFile(BytesIO(photo_zip(models, portraits["bare"], question=GRAD_CAM))) as archive:
        assert list(json.loads(archive.read("face.json"))) == ["v1", "v2"]


# --- what the tab takes when it is opened


def test_the_first_opening_shows_an_example(tmp_path):
    example = write_examples(tmp_path, whole=True)[5][0]
    image, visit = on_opening(None, Visit(), example)
    assert given_of(visit.given, image).caption == EXAMPLE
    assert on_opening(None, visit, example) is None, "only once"
    assert on_opening(None, Visit(), None) is None
    assert given_of(visit.given, noise(1, (64, 64))) is None, "another picture is no example"


def test_the_photo_tabs_picture_is_taken_once(tmp_path):
    photo = noise(1, (64, 64))
    image, visit = on_opening(photo, Visit(), None)
    assert image is photo and given_of(visit.given, photo).caption == FROM_PHOTO
    assert on_opening(photo, visit, None) is None
    assert on_opening(noise(2, (64, 64)), visit, None) is not None
    assert on_opening(None, visit, None) is None
    assert on_opening(ImageError("no"), Visit(taken=""), None) is None
    assert "noise" not in repr(visit) and len(visit.taken) == 64, "a digest, and no picture"


# --- light


def test_the_light_is_measured_and_turned(portraits):
    bright, dim = portraits["striped"], portraits["striped_dim"]
    assert not is_dark(bright) and is_dark(dim)
    assert 100 < brightness(in_other_light(dim)) <= 122, "bright places are cut off"
    assert brightness(in_other_light(bright)) == pytest.approx(0.35 * brightness(bright), abs=1)
    assert brightness(in_other_light(Image.new("RGB", (20, 20)))) == 0
    assert is_gray(bright.convert("L").convert("RGB")) and not is_gray(bright)


def test_each_version_is_asked_in_both_lights(tiny, portraits):
    found = compare([tiny], Subject(portraits["bare"]))
    assert not found.dark and found.agree
    dark = ImageEnhance.Brightness(portraits["bare"]).enhance(0.35)
    assert found.in_other_light == (tiny.predict([dark])[0],)


# --- the sentences


def test_words():
    assert [listed(["a", "b", "c"][:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    said = says([version(name) for name in ("v1", "v2", "v3")], [INCORRECT, INCORRECT, WORN])
    assert said == "v1 and v2 say “Worn incorrectly”, v3 says “Worn correctly”"


def test_a_shortcut_is_told_from_the_measurements():
    assert drawn_to(fooled("a"), "dark_35") == INCORRECT
    assert drawn_to(robust("a"), "dark_35") is None
    assert drawn_to(version("a"), "dark_35") is None
    assert drawn_to(fooled("a"), "gray") is None, "never measured"


def test_a_dark_face_and_versions_that_learned_that_dark_means_incorrect():
    models = [fooled("v1"), robust("v3")]
    found = comparison(models, [INCORRECT, WORN], [WORN, WORN], dark=True)
    says_so = "They disagree: v1 says “Worn incorrectly”, v3 says “Worn correctly”."
    assert headline(found) == says_so
    text = " ".join(why_it_matters(found))
    assert "its mean brightness is 40 of 255" in text
    assert "v1 learned that dark means “Worn incorrectly”" in text
    assert "In dim light v1 is right on 44% of the test faces, as taken on 96%." in text
    assert "It says so of 80 of 100." in text
    turned = "With the light turned up, v1 says “Worn correctly”; v3 stays with its answer."
    assert turned in text
    assert "the light that decides what v1 answers here" in text
    assert "v3 learned" not in text


def test_nothing_is_said_of_darkness_where_the_measurements_do_not_support_it():
    models = [fooled("v1"), robust("v3")]
    other_class = comparison(models, [BARE, WORN], [BARE, WORN], dark=True)
    text = " ".join(why_it_matters(other_class))
    assert "dark means" not in text and "v1 and v3 stay with their answer" in text
    usual = comparison(models, [INCORRECT, WORN], [INCORRECT, WORN])
    assert "dark means" not in " ".join(why_it_matters(usual))


def test_agreement_is_worth_what_it_is():
    models = [fooled("v1"), robust("v3")]
    firm = comparison(models, [WORN, WORN], [WORN, WORN])
    assert headline(firm) == "Both versions say “Worn correctly”."
    assert "no proof" in why_it_matters(firm)[-1]
    loose = comparison(models, [WORN, WORN], [INCORRECT, WORN])
    text = " ".join(why_it_matters(loose))
    assert "With the light turned down to 35%, v1 says “Worn incorrectly”" in text
    assert "v1 learned that dark means" in text and "worth little" in text
    three = comparison([version(n) for n in "abc"], [BARE] * 3, [BARE] * 3)
    assert headline(three) == "All three versions say “No mask”."


def test_masks_painted_on_faces_tell_where_light_does_not():
    painted = PaintedScores(
        faces=10, **fields_of(scores([[8, 1, 1], [2, 8, 0], [0, 0, 0]])), by_position={}
    )
    models = [version(name, results=measured(painted=painted)) for name in "ab"]
    found = comparison(models, [INCORRECT, WORN], [INCORRECT, WORN])
    assert "a is right on 16 of 20 and b is right on 16 of 20" in " ".join(why_it_matters(found))
    one = comparison([models[0], version("b")], [INCORRECT, WORN], [INCORRECT, WORN])
    assert "painted" not in " ".join(why_it_matters(one))


def test_no_colour_and_an_unsure_answer_are_said():
    gray = {**FOOLED, "gray": shift(0.6, (10, 85, 5))}
    model = version("v2", results=measured(shifts=gray, unsure=Unsure(1.1)))
    text = " ".join(why_it_matters(comparison([model], [WORN], [WORN], gray=True)))
    assert "no colour" in text and "v2 learned that without colour means “Worn correctly”" in text
    assert "counts itself as unsure" in text
    assert "second version" in headline(comparison([model], [WORN], [WORN]))


# --- the test set's disagreements


@pytest.fixture
def split(toy_folder) -> SplitAnswers:
    """The toy test pictures (4 a class, one of them a made copy), two stubborn versions."""
    pictures = select(list_pictures(toy_folder, csv_beside(toy_folder)), "test")
    return SplitAnswers([always("v1", INCORRECT), always("v2", WORN)], pictures)


def answered(split: SplitAnswers) -> SplitAnswers:
    list(split.advance())
    assert split.complete
    return split


def test_a_folder_of_two_classes_holds_versions_of_two_and_of_three(toy_folder):
    """Whichever stands last: neither the folder nor a version is left out."""
    (toy_folder.parent / "toy.csv").unlink()
    shutil.rmtree(toy_folder / INCORRECT)
    two, three, other = of("two", WORN, BARE), always("v1", INCORRECT), of("x", "cup", "lamp")
    for models in ([two, other, three], [three, other, two]):
        split = answered(serve.test_split(toy_folder, models))
        assert {model.name for model in split.models} == {"two", "v1"}
        assert split.task.names == (WORN, BARE, INCORRECT)
        found = disagreements_of(split, Selection("two", "v1"))
        assert f"disagree on {len(split.pictures)} of" in found.notice
        assert "v1: Worn incorrectly" in found.pictures


def test_pictures_are_answered_once_for_all(split):
    assert not split.complete
    answered(split)
    assert split.complete and list(split.advance()) == []
    crops = [read_crop(picture.file) for picture in split.pictures]
    for model in split.models:
        expected = [p.label for p in model.predict(crops)]
        assert [split.answers_to(n)[model.name] for n in range(len(crops))] == expected


def test_disagreements_are_counted_by_class(split):
    found = answered(split).between("v1", "v2")
    assert len(found) == 12
    everything = tally(found)
    assert (everything.first, everything.second, everything.neither) == (4, 4, 4)
    sentences = tally_sentences(split.task, found, "v1", "v2")
    assert sentences[0] == "Of all 12: v1 right 4, v2 right 4, neither 4."
    assert sentences[3] == "No mask in truth 4: v1 right 0, v2 right 0, neither 4."
    assert len(split.between("v1", "v2", unaugmented=True)) == 9
    assert split.between("v1", "v1") == []


def test_a_page_of_disagreements(split):
    view = disagreements_of(answered(split), Selection("v1", "v2"))
    assert view.notice == "v1 and v2 disagree on 12 of 12 test pictures."
    assert view.pictures.count("<button") == 12 and "✓ right" in view.pictures
    assert "made copy" in view.pictures and "toy" not in view.pictures, "no file is named"
    assert view.kinds[0] == ("All of them (12)", "") and len(view.kinds) == 4
    some = disagreements_of(split, Selection("v1", "v2", kind_key((0, 0, 1)), unaugmented=True))
    assert some.pictures.count("<button") == 3 and "made copy" not in some.pictures
    assert "In truth: Worn incorrectly" in some.pictures
    odd = disagreements_of(split, Selection("v1", "v2", "9-9-9", page=77))
    assert odd.kind == "" and odd.page == 0 and odd.pictures.count("<button") == 12
    assert disagreements_of(split, Selection("v1", "v1")).notice == "Choose two different versions."


def test_pages_stay_light(split):
    many = SplitAnswers(split.models, split.pictures * 9)
    views = [disagreements_of(answered(many), Selection("v1", "v2", page=n)) for n in (0, 2)]
    assert views[0].pages == ("1–48", "49–96", "97–108")
    assert [view.pictures.count("<button") for view in views] == [PAGE, 12]


def test_versions_that_agree_have_no_pictures_to_show(toy_folder):
    pictures = select(list_pictures(toy_folder, csv_beside(toy_folder)), "test")
    split = answered(SplitAnswers([always("v1", WORN), always("v2", WORN)], pictures))
    view = disagreements_of(split, Selection("v1", "v2"))
    assert view.notice == "v1 and v2 disagree on 0 of 12 test pictures."
    assert not view.pictures and not split.disagreed(0)


@pytest.mark.parametrize("number", [None, -1, 12, 10**9, "1", 1.5, {"a": 1}])
def test_a_stranger_gets_no_other_picture(split, number):
    assert picked(answered(split), number) is None


def test_a_picked_picture_says_where_it_comes_from(split):
    assert picked(split, 0) is None, "not answered yet"
    image, given = picked(answered(split), 0)
    assert given.whole and given_of(given, image) is given
    says_so = "Test picture 1, in truth “Worn incorrectly”: v1 says “Worn incorrectly”"
    assert given.caption.startswith(says_so)


def test_an_unreadable_picture_is_an_error(split):
    split.pictures[3].file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="unreadable"):
        list(split.advance())


def test_the_program_reads_the_data_folder(toy_folder, tmp_path, tiny):
    assert serve.test_split(None, [tiny]) is None
    assert len(serve.test_split(toy_folder, [tiny]).pictures) == 12
    with pytest.raises(DataError, match="There is no folder"):
        serve.test_split(tmp_path / "nowhere", [tiny])
