"""What is said of the versions: failures in words, confusions, reliability; from real results."""

import base64
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from conftest import CLASSES
from measured import explained, measured, scores, way_scores
from PIL import Image
from servers import version

from maskexplain.models.checkpoints import list_versions
from maskexplain.models.results import (
    MAP_SIDE,
    ClassMaps,
    FoundAnswers,
    MeanMap,
    Results,
    pack_map,
)
from maskexplain.models.version import Model, open_model
from maskexplain.results.sentences import good_and_bad, known_failures
from maskexplain.web.about import results_tables, version_details, versions_html
from maskexplain.web.charts import mean_maps, reliability_svg

SHIPPED = [v for v in ("v1", "v2", "v3") if v in list_versions()]


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request) -> Model:
    return open_model(request.param)


def test_the_shortcut_is_named_where_it_was_measured(shipped):
    sentences = known_failures(shipped)
    dark = shipped.results.shift("dark_35")
    lost = shipped.results.shift("unaugmented").balanced_accuracy - dark.balanced_accuracy
    named = [s for s in sentences if s.startswith("Dark (35%)")]
    assert bool(named) == (lost >= 0.05)
    if named:
        wrong = sum(row[0] for row in dark.confusion_matrix[1:])
        assert f"{wrong} of " in named[0] and "called “Worn incorrectly”" in named[0]
    assert "commonest mistake" in sentences[-1]


def test_the_worst_shift_comes_first():
    counts = [[10, 0, 0], [5, 5, 0], [0, 0, 10]]
    accuracies = {"unaugmented": 0.95, "gray": 0.8, "dark_35": 0.5, "blurred": 0.94}
    shifts = {name: scores(counts, accuracy) for name, accuracy in accuracies.items()}
    sentences = known_failures(version("v9", results=measured(counts, shifts)))
    assert [s.split(":")[0] for s in sentences] == [
        "Dark (35%)",
        "Gray",
        "Its commonest mistake on test",
    ]
    assert "falls from 0.95 to 0.50; 5 of 20 other pictures are called" in sentences[0]
    assert sentences[-1].endswith("“Worn correctly” called “Worn incorrectly”, 5 of 10 times.")


def test_street_faces_are_named_where_they_are_missed():
    counts = [[9, 1, 0], [0, 10, 0], [0, 0, 10]]
    street = scores([[0, 0, 0], [1, 68, 0], [0, 29, 40]])
    found = FoundAnswers(("val", "test"), 9, 24, 140, street)
    sentences = known_failures(version("v9", results=measured(counts, street=found)))
    wanted = "Faces found on street photos, “No mask”: only 40 of 69 are recognised."
    assert [s for s in sentences if "street" in s] == [wanted]


def test_without_mistakes_there_is_no_commonest_one():
    counts = [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
    assert known_failures(version("v9", results=measured(counts))) == []


def test_a_version_that_was_never_measured_has_no_column(tiny, shipped):
    assert known_failures(tiny) == []
    tiny.results = Results(explanations=explained("grad_cam", {}))  # stored alone
    assert known_failures(tiny) == [] and results_tables([tiny]) == ""
    assert version_details([tiny]).count("<section") == 0
    page = version_details([tiny, shipped])
    assert page.count("<section") == 1 and f"Measured of {shipped.name}" in page


def test_the_confusion_matrices_add_up(shipped):
    page = version_details([shipped])
    cells = [int(n) for n in re.findall(r'<td class="(?:right|wrong)"[^>]*>(\d+)</td>', page)]
    both = shipped.results.confusion_matrix + shipped.results.shift("dark_35").confusion_matrix
    assert cells == [count for row in both for count in row]
    assert len(cells) == 2 * len(CLASSES) ** 2


def test_reliability_has_a_dot_a_bin_with_answers(shipped):
    calibration = shipped.results.calibration
    filled = [b for b in calibration.bins if b.answers]
    svg = reliability_svg(calibration, shipped.name, len(CLASSES))
    assert svg.count("<circle") == svg.count('class="interval"') == len(filled)
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    best = max(range(len(filled)), key=lambda i: filled[i].accuracy)
    assert heights[best] == min(heights), "up is right"
    assert f"of {filled[-1].answers}" in svg


def test_names_from_strangers_are_escaped(shipped):
    named = Model("<b>", shipped.network, shipped.task, shipped.results)
    assert "<b>" not in version_details([named])
    assert "<b>" not in versions_html([named])


def test_a_version_is_told_in_three_lines():
    shifts = {"dark_35": scores(balanced=0.44), "turned_15": scores(balanced=0.99)}
    first, good, bad = good_and_bad(version("v9", results=measured(shifts=shifts)))
    assert first.startswith("Right on 90% of 30 test pictures")
    assert good == "Good at: photos turned by 15°."
    assert bad == "Bad at: dark photos (44%)."
    assert good_and_bad(version("v9")) == []
    assert "Never measured" in versions_html([version("v9")])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (((8, 0, 2), (0, 99, 1), (0, 1, 99)), "Bad at: “Worn incorrectly” of dark photos (80%)."),
        (((9, 0, 1), (0, 99, 1), (0, 1, 99)), "Nowhere measured under 90%."),
        (((4, 0, 1), (0, 99, 1), (0, 1, 99)), "Nowhere measured under 90%."),  # of five pictures
    ],
)
def test_a_class_is_named_that_a_mean_hides(rows, told):
    good = scores(((99, 1, 0), (0, 99, 1), (0, 1, 99)))
    results = measured(shifts={"unaugmented": good, "dark_35": scores(rows)})
    assert results.shift("dark_35").balanced_accuracy >= 0.9
    assert good_and_bad(version("v9", results=results))[-1] == told


def test_mean_maps_are_shown_right_beside_wrong(tiny):
    grid = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
    grid[12, 4] = 1.0
    mean = MeanMap(40, pack_map(grid))
    maps = {"grad_cam": {CLASSES[1]: ClassMaps(mean, mean), CLASSES[2]: ClassMaps(mean, None)}}
    found = explained("grad_cam", {"grad_cam": way_scores(90)})
    tiny.results = measured(explanations=replace(found, maps=maps))
    titles = [one.title for one in mean_maps(tiny)]
    assert titles == [
        *(f"Worn correctly: {kind} answers" for kind in ("right", "wrong")),
        "No mask: right answers",
    ]
    content = base64.b64decode(mean_maps(tiny)[0].url.partition(",")[2])
    picture = np.asarray(Image.open(BytesIO(content)).convert("L"), float)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert abs(row / 96 - 12.5 / 16) < 0.05 and abs(column / 96 - 4.5 / 16) < 0.05
    assert "the mean over 120 faces that it did not train on" in versions_html([tiny])
