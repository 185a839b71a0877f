"""How often each way to explain is right: counted on a network whose reason is known."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from conftest import CLASSES, noise
from PIL import Image

from maskexplain.data.folder import DataError, Picture
from maskexplain.data.samples import write_examples
from maskexplain.explain.question import BEST, ExplainError
from maskexplain.explain.verdicts import record_sentence, track_record
from maskexplain.explain.ways import Way, all_ways, default_way, find_ways
from maskexplain.models.results import Results, ResultsError, WayScores
from maskexplain.models.version import Model
from maskexplain.results import explanations as explanation_scores
from maskexplain.results.explanations import sample_faces, score_explanations
from maskexplain.results.statistics import wilson
from maskexplain.results.tables import EXPLANATION_COLUMNS, explanation_rows, explanations_markdown
from maskexplain.web.about import explanations_table


def pictures(counts: dict[int, int], augmented: bool = False) -> list[Picture]:
    return [
        Picture(f"{label}-{i}", label, "test", f"{label}-{i}", augmented)
        for label, count in counts.items()
        for i in range(count)
    ]


def test_the_sample_is_even_seeded_and_of_originals():
    every = pictures({0: 10, 1: 300, 2: 300}) + pictures({0: 50}, augmented=True)
    sample = sample_faces(every, 200, 3)
    assert [sum(p.label == label for p in sample) for label in range(3)] == [10, 95, 95]
    assert sample == sample_faces(every, 200, 3) and len(set(sample)) == 200
    assert not any(p.augmented for p in sample)
    assert len(sample_faces(every, 9999, 3)) == 610


@pytest.fixture
def faces(tmp_path) -> list[Picture]:
    """Three portraits without a mask and two pictures without a face."""
    files = [path for path, _ in write_examples(tmp_path / "faces")][:3]
    for seed in range(2):
        path = tmp_path / f"{seed}.png"
        noise(seed, (60, 60)).save(path)
        files.append(path)
    bare = CLASSES.index("without_mask")
    return [Picture(f, bare if i < 3 else 0, "test", f.stem, False) for i, f in enumerate(files)]


def test_every_way_is_scored(tiny, faces):
    scores = score_explanations(tiny, faces, faces=5, sanity_faces=2, painted_faces=2)
    content = json.loads(json.dumps(asdict(scores)))
    assert list(content["lights"]["as_taken"]) == list(all_ways())
    for key in all_ways():
        taken, dark = (scores.lights[light][key] for light in ("as_taken", "dark_35"))
        assert (taken.faces, dark.faces) == (5, 3)
        assert taken.interval[0] <= taken.share == taken.beats_random / 5 <= taken.interval[1]
        assert len(taken.cascade) == 3 and dark.cascade is None, "a linear layer, two convs"
        assert 0 <= taken.cascade[0] <= 1
        assert (taken.largest_gap is None) == (all_ways()[key].method != "integrated_gradients")
        assert taken.nose_mouth is None or taken.nose_mouth >= 0
        assert scores.painted["right"][key].faces == 2
        assert scores.painted["nose_out"][key].nose is not None or taken.empty
        for painted in scores.painted.values():
            assert painted[key].place is None or 0 <= painted[key].place <= 1
            assert 0 < painted[key].place_area < 0.5
    taken = scores.lights["as_taken"]
    most = max(taken.values(), key=lambda s: s.beats_random)
    assert taken[scores.default].share >= most.interval[0]


def test_a_way_that_finds_the_reason_beats_random_order(tiny, faces, monkeypatch):
    """Logits that grow with the light of the upper left corner: occlusion must find it."""
    with torch.no_grad():
        for parameter in tiny.network.parameters():
            parameter.zero_()
        tiny.network.network[0].weight[0, :, 1, 1] = 1.0
        tiny.network.network[2].weight[0, 0, 1, 1] = 1.0
        tiny.network.network[6].weight[1, 0] = 5.0
    way = all_ways()["occlusion"]
    monkeypatch.setattr(explanation_scores, "all_ways", lambda: {"occlusion": way})
    bright = []
    for picture in faces[:2]:
        pixels = np.zeros((64, 64, 3), dtype=np.uint8)
        pixels[:16, :16] = np.indices((16, 16)).sum(0)[..., None] % 2 * 255
        Image.fromarray(pixels).save(picture.file)
        bright.append(picture)
    scores = score_explanations(tiny, bright, faces=2, sanity_faces=0, painted_faces=0)
    found = scores.lights["as_taken"]["occlusion"]
    assert (found.beats_random, found.hottest_fifth, found.faces) == (2, 2, 2)
    assert found.deletion < 0 < found.insertion


def a_score(beats: int, milliseconds: float, deletion: float = -0.4) -> WayScores:
    return WayScores(
        faces=100,
        beats_random=beats,
        share=beats / 100,
        interval=wilson(beats, 100),
        hottest_fifth=beats,
        deletion=deletion,
        insertion=0.1,
        nose_mouth=None,
        cascade=(0.3, 0.02),
        empty=0,
        largest_gap=None,
        milliseconds=milliseconds,
    )


def test_the_default_is_a_fast_one_of_those_that_are_about_as_often_right_as_any():
    scores = {"sure": a_score(100, 900), "fast": a_score(97, 20), "faster": a_score(95, 10)}
    assert wilson(100, 100)[0] == pytest.approx(0.963, abs=1e-3)
    assert explanation_scores._best(scores) == "fast"
    scores["about as fast"] = a_score(98, 39)
    assert explanation_scores._best(scores) == "about as fast"


def stored(default: str, **changes: float | None) -> dict:
    """A version's JSON with explanations; `changes` to the heat on painted masks."""
    light = {key: asdict(a_score(90, 12.3, -0.25)) for key in all_ways()}
    heat = {"faces": 2, "mask": 1.5, "nose": None, "place": 0.6, **changes}
    painted = {key: dict(heat) for key in all_ways()}
    lights = {"as_taken": light, "dark_35": light}
    content = {"default": default, "lights": lights}
    content["painted"] = {"right": painted, "nose_out": painted}
    return json.loads(json.dumps({"explanations": content}))


def with_results(model: Model, content: dict) -> Model:
    model.results = Results.from_json(json.dumps(content))
    return model


@pytest.mark.parametrize("content", [[], "x", {"default": "occlusion"}, {"default": 1}])
def test_odd_measurements_get_a_sentence(content):
    with pytest.raises(ResultsError, match="holds no results"):
        Results.from_json(json.dumps({"explanations": content}))


def test_a_way_that_came_later_is_not_measured_yet_and_erases_nothing(tiny):
    content = stored("occlusion")
    for light in content["explanations"]["lights"].values():
        del light["layer_cam"]
    with_results(tiny, content)
    assert default_way(tiny) == Way("occlusion")
    assert track_record(tiny, Way("layer_cam")) is None
    assert "not measured yet" in record_sentence(tiny, Way("layer_cam"))
    rows = {row[1]: row[2] for row in explanation_rows(tiny)}
    assert rows["Layer-CAM"] == "not measured yet" and rows["Grad-CAM"].startswith("90/100")
    assert "tiny" in explanations_table([tiny]).partition("<tbody>")[2]


def test_a_default_that_is_gone_is_replaced(tiny):
    assert default_way(with_results(tiny, stored("lime"))) == Way("integrated_gradients")


@pytest.mark.parametrize("ways", [[], ["lime"], ["grad_cam", "integrated_gradients/pink"]])
def test_unknown_ways_get_a_sentence(tiny, ways):
    with pytest.raises(ExplainError, match="way to explain"):
        find_ways(tiny, ways)


def test_nothing_to_score_gets_a_sentence(tiny):
    with pytest.raises(DataError, match="no un-augmented pictures"):
        score_explanations(tiny, pictures({0: 5}, augmented=True))


def test_versions_know_their_default(tiny):
    assert default_way(tiny) == Way("integrated_gradients")
    with_results(tiny, stored("integrated_gradients/blurred"))
    assert default_way(tiny) == Way("integrated_gradients", "blurred")
    keys = [BEST, "grad_cam", "integrated_gradients/blurred"]
    assert [v.key for v in find_ways(tiny, keys)] == [keys[2], keys[1]]


def test_the_table_has_a_row_a_way_and_marks_the_default(tiny):
    with_results(tiny, stored("occlusion"))
    rows = explanation_rows(tiny)
    assert len(rows) == len(all_ways()) and all(len(r) == len(EXPLANATION_COLUMNS) for r in rows)
    [default] = [row for row in rows if row[1].startswith("**")]
    assert default[1] == "**Occlusion**" and default[2].startswith("90/100 (0.83–")
    assert (default[5], default[8], default[9]) == ("-0.250", "1.50", "–")
    assert default[10] == "0.60", "the mean of the painted positions"
    assert default[11] == "0.02", "all layers of the head random"
    assert explanations_markdown([tiny]).count("\n") == len(all_ways()) + 1


def test_a_version_measured_before_the_place_was_gets_a_dash(tiny):
    content = stored("occlusion")
    del content["explanations"]["painted"]["right"]["occlusion"]["place"]
    with_results(tiny, content)
    rows = {row[1]: row[10] for row in explanation_rows(tiny)}
    assert rows["**Occlusion**"] == "–" and rows["Grad-CAM"] == "0.60"
