"""Reports: what is ready in which order, and what is taken away."""

import json
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from maskexplain.errors import UserError
from maskexplain.explain.draw import report_files, write_report, zip_of
from maskexplain.explain.explain import Question, all_ways, explain, explain_pass, forward_pass
from maskexplain.explain.report import Subject, reports

LANDMARKS = ((15.0, 20.0), (33.0, 20.0), (24.0, 30.0), (18.0, 38.0), (30.0, 38.0))
ASKED = Question("with_mask", "without_mask", ("best", "grad_cam", "integrated_gradients/blurred"))


@pytest.fixture
def complete(tiny, seed_model, crop):
    *_, last = reports([tiny, seed_model], Subject(crop, LANDMARKS), ASKED)
    return last


def test_answers_come_first_then_heatmaps_then_the_slow_tests(tiny, seed_model, crop):
    stages = list(reports([tiny, seed_model], Subject(crop), ASKED))
    known = [[(len(r.ways), len(r.verdicts), len(r.trust)) for r in stage] for stage in stages]
    none, seen, one, some, all_ = (0, 0, 0), (1, 0, 0), (1, 1, 0), (3, 3, 0), (3, 3, 3)
    assert known[:2] == [[none, none], [seen, none]], "the first heatmap comes early"
    assert known[2:4] == [[one, none], [one, one]]
    assert known[4:] == [[some, one], [some, some], [all_, some], [all_, all_]]
    single = list(reports([tiny], Subject(crop), Question(ways=("grad_cam",))))
    assert [len(r.verdicts) for [r] in single] == [0, 0, 1, 1], "one way needs no second step"
    assert [r.answer.prediction for r in stages[0]] == [r.answer.prediction for r in stages[-1]]


def test_ways_keep_their_order_and_baselines(tiny, crop):
    ways = [all_ways()[key] for key in ("integrated_gradients/blurred", "occlusion", "grad_cam")]
    [found] = explain_pass(forward_pass(tiny, [crop]), ways, Question("with_mask"))
    assert [e.method for e in found] == [way.method for way in ways]
    expected = explain(tiny, crop, "integrated_gradients", "with_mask", baseline="blurred")
    assert np.array_equal(found[0].heatmap, expected.heatmap)


def test_files_hold_the_figure_the_heatmaps_and_all_figures(complete, crop, tmp_path):
    files = report_files(complete, "photo")
    write_report(tmp_path, files)
    figure = Image.open(tmp_path / "photo.png")
    assert figure.format == "PNG" and figure.width > 1000
    assert Image.open(tmp_path / "photo.crop.png").size == crop.size
    facts = json.loads((tmp_path / "photo.json").read_text())
    assert list(facts) == ["tiny", "random"]
    for report in complete:
        told = facts[report.model.name]
        assert told["label"] == report.answer.prediction.label
        pairs = zip(told["explanations"], report.answer.explanations, strict=True)
        for content, explanation in pairs:
            heatmap = np.load(tmp_path / content["heatmap"], allow_pickle=False)
            assert np.array_equal(heatmap, explanation.heatmap)
            assert (content["target"], content["against"]) == ("with_mask", "without_mask")
            assert content["verdict"]["sentence"]
            assert content["curves"]["deletion_area"] >= 0
            assert set(content["regions"]) >= {"nose", "mouth"}
            assert 0 <= content["curves"]["usual_area"] <= 1


def test_the_zip_holds_the_files(complete, crop):
    files = report_files(complete, "face")
    with ZipFile(BytesIO(zip_of(files))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_a_folder_that_cannot_be_written_gets_a_sentence(complete, crop, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(tmp_path / "file", report_files(complete, "photo"))
