"""How often each way to explain is right: counted on a network whose reason is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES, TinyCNN, noise
from measured import way_scores
from PIL import Image

from maskexplain.data.folder import DataError, Picture, read_crop
from maskexplain.data.samples import write_examples
from maskexplain.explain.explain import (
    BEST,
    ExplainError,
    Way,
    all_ways,
    default_way,
    find_ways,
    is_best,
    prompt_way,
)
from maskexplain.explain.verdicts import (
    Verdict,
    beyond_sentence,
    random_sentence,
    record_sentence,
    track_record,
)
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions
from maskexplain.models.results import (
    ExplanationScores,
    Firmness,
    PaintedHeat,
    Results,
    ResultsError,
)
from maskexplain.models.version import Model, open_model
from maskexplain.results import explanations as explanation_scores
from maskexplain.results.explanations import (
    CHANGES,
    KINDS,
    firmness,
    sample_faces,
    score_explanations,
)
from maskexplain.results.scores import wilson
from maskexplain.results.sentences import heatmap_honesty
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
    return some_faces(tmp_path)


def some_faces(folder: Path) -> list[Picture]:
    """Three portraits without a mask and two pictures without a face."""
    files = [path for path, _ in write_examples(folder / "faces")][:3]
    for seed in range(2):
        path = folder / f"{seed}.png"
        noise(seed, (60, 60)).save(path)
        files.append(path)
    bare = CLASSES.index("without_mask")
    return [Picture(f, bare if i < 3 else 0, "test", f.stem, False) for i, f in enumerate(files)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> tuple[Model, list[Picture], ExplanationScores]:
    """A tiny version, faces and its scores: measured once for all who read them."""
    torch.manual_seed(0)
    model, faces = Model("tiny", TinyCNN(), MASK), some_faces(tmp_path_factory.mktemp("faces"))
    return (
        model,
        faces,
        score_explanations(
            model, faces, faces=4, sanity_faces=2, painted_faces=1, for_mean=faces[1:]
        ),
    )


def test_every_way_is_scored(scored):
    tiny, _, scored = scored
    content = json.loads(Results(explanations=scored).to_json())["explanations"]
    assert list(content["lights"]["as_taken"]) == list(all_ways())
    for key in all_ways():
        taken, dark = (scored.lights[light][key] for light in ("as_taken", "dark_35"))
        assert (
            (taken.faces, dark.faces)
            == (4, 2)
            == tuple(sum(one.verdicts.values()) for one in (taken, dark))
        )
        assert taken.usual_interval == wilson(taken.beats_usual, 4)
        assert len(taken.cascade) == 3 and dark.cascade is None, "a linear layer, two convs"
        assert 0 <= taken.random_head.least <= taken.random_head.mean <= taken.random_head.most <= 1
        assert taken.random_head.draws == 10
        assert (taken.largest_gap is None) == (all_ways()[key].method != "integrated_gradients")
        assert taken.nose_mouth is None or taken.nose_mouth >= 0
        assert scored.painted["right"][key].faces == 1
        assert scored.painted["nose_out"][key].nose is not None or taken.empty
        for painted in scored.painted.values():
            assert painted[key].place is None or 0 <= painted[key].place <= 1
            assert 0 < painted[key].place_area < 0.5
    assert tiny.results == Results(), "the caller keeps the scores, or not"


def test_the_mean_maps_know_right_from_wrong_and_are_read_back(scored):
    tiny, faces, scored = scored
    maps = scored.maps["occlusion"]
    assert sum(one.faces for one in maps.values()) == 4
    read = Results.from_json(Results(explanations=scored).to_json()).explanations
    assert read == scored
    for label, found in maps.items():
        assert 0 < len(found.others) <= found.faces and np.abs(found.mean).max() <= 1
        shown = [p for p in faces[1:] if tiny.predict([read_crop(p.file)])[0].label == label]
        right = sum(MASK.names[p.label] == label for p in shown)
        assert (found.right.faces if found.right else 0) == right
        parts = [part for part in (found.right, found.wrong) if part]
        mean = sum(part.faces * part.array for part in parts) / found.faces
        assert np.allclose(found.mean, mean, atol=1e-6)


def test_maps_without_meaning_go_through_the_same_tests(scored):
    *_, scored = scored
    assert set(scored.meaningless) <= set(KINDS) and {"blob", "smooth", "nose"} <= set(
        scored.meaningless
    )
    assert scored.meaningless["mean"].confirmed == 0, "it cannot take more than itself"
    assert scored.meaningless["mean"].like_mean == pytest.approx(1, abs=0.01)
    assert all(one.faces == 4 and one.milliseconds is None for one in scored.meaningless.values())
    assert set(scored.firmness) == set(CHANGES)
    assert all(f.surely <= f.changed <= f.faces == 4 for f in scored.firmness.values())


def test_verdicts_that_differ_are_counted():
    firm, close = Verdict("holds", ""), Verdict("doubtful", "", close=True)
    found = firmness([(firm, firm), (firm, close), (firm, Verdict("small", ""))])
    assert found == Firmness(faces=3, changed=2, surely=1)


def test_a_way_that_finds_the_reason_is_confirmed(tiny, faces, monkeypatch):
    """Logits that grow with the light of the upper edge, in the middle: occlusion must find it."""
    with torch.no_grad():
        for parameter in tiny.network.parameters():
            parameter.zero_()
        tiny.network.network[0].weight[0, :, 1, 1] = 1.0
        tiny.network.network[2].weight[0, 0, 1, 1] = 1.0
        tiny.network.network[6].weight[1, [1, 2]] = 500.0
    only = {"occlusion": all_ways()["occlusion"]}
    monkeypatch.setattr(explanation_scores, "all_ways", lambda: only)
    bright = []
    for picture in faces[:2]:
        pixels = np.zeros((64, 64, 3), dtype=np.uint8)
        pixels[:16, 24:40] = np.indices((16, 16)).sum(0)[..., None] % 2 * 255
        Image.fromarray(pixels).save(picture.file)
        bright.append(picture)
    scores = score_explanations(tiny, bright, faces=2, sanity_faces=0, painted_faces=0)
    found = scores.lights["as_taken"]["occlusion"]
    assert (found.beats_random, found.beats_copies, found.confirmed, found.faces) == (2, 2, 2, 2)
    assert found.deletion < 0 < found.insertion


def test_the_default_is_a_fast_one_of_those_that_are_about_as_often_right_as_any():
    scores = {
        "sure": way_scores(100, milliseconds=900),
        "fast": way_scores(97, milliseconds=20),
        "faster": way_scores(95, milliseconds=10),
    }
    assert wilson(100, 100)[0] == pytest.approx(0.963, abs=1e-3)
    assert explanation_scores._best(scores) == "fast"
    scores["about as fast"] = way_scores(98, milliseconds=39)
    assert explanation_scores._best(scores) == "about as fast"


def test_a_best_way_must_beat_maps_without_meaning():
    ways, nothing = way_scores(30), [way_scores(4), way_scores(9)]
    assert explanation_scores._earned(ways, nothing)
    assert not explanation_scores._earned(ways, [*nothing, way_scores(20)]), "intervals overlap"
    assert not explanation_scores._earned(way_scores(2, 24), [way_scores(0, 24)])


def stored(default: str, **changes: float | None) -> dict:
    """A version's JSON with explanations; `changes` to the heat on painted masks."""
    light = {key: way_scores(90, milliseconds=12.3) for key in all_ways()}
    heat = PaintedHeat(**{"faces": 2, "mask": 1.5, "nose": None, "place": 0.6, **changes})
    painted = dict.fromkeys(("right", "nose_out"), dict.fromkeys(all_ways(), heat))
    lights = {"as_taken": light, "dark_35": light}
    nothing = {"blob": way_scores(5)}
    firm = dict.fromkeys(CHANGES, Firmness(100, 2, 1))
    scores = ExplanationScores(default, lights, painted, meaningless=nothing, firmness=firm)
    return json.loads(Results(explanations=scores).to_json())


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


def test_a_slider_waits_for_no_slow_way(tiny):
    assert prompt_way(tiny) == default_way(tiny), "never measured"
    content = stored("occlusion")
    taken = content["explanations"]["lights"]["as_taken"]
    taken["integrated_gradients/blurred"]["beats_copies"] = 95
    assert prompt_way(with_results(tiny, content)) == Way("integrated_gradients", "blurred")
    content["explanations"]["default"] = "layer_cam"
    assert prompt_way(with_results(tiny, content)) == Way("layer_cam")


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
    assert len(rows) == len(all_ways()) + 1 and {len(r) for r in rows} == {len(EXPLANATION_COLUMNS)}
    cells = {row[1]: dict(zip(EXPLANATION_COLUMNS, row, strict=True)) for row in rows}
    [default] = [title for title in cells if title.startswith("**")]
    assert default == "**Occlusion**" and cells[default]["Confirmed"].startswith("90/100 (0.83–")
    assert cells[default]["Deletion"] == "-0.200"
    assert cells[default]["Edge, nose, mouth"] == "0.60", "the mean of the painted positions"
    assert cells[default]["Random head"] == "0.40 (0.20–0.60)"
    assert cells[default]["Random network"] == "0.20", "all layers random"
    assert cells["*A blob at a random place*"]["Confirmed"].startswith("5/100")
    text = explanations_markdown([tiny])
    assert "| tiny, Occlusion | 2/100 (1) |" in text and text.count("\n") == len(all_ways()) + 6


def test_a_best_way_that_is_no_better_than_chance_is_not_called_best(tiny):
    content = stored("occlusion")
    content["explanations"]["earned"] = False
    with_results(tiny, content)
    assert not any("**" in row[1] for row in explanation_rows(tiny))
    assert not is_best(tiny, default_way(tiny)) and default_way(tiny) == Way("occlusion")


def test_what_the_maps_say_beyond_the_mean_map_is_said(tiny):
    content = stored("occlusion")
    with_results(tiny, content)
    assert "say more than the mean map" in beyond_sentence(tiny, Way("occlusion"))
    taken = content["explanations"]["lights"]["as_taken"]["occlusion"]
    taken |= {"beats_usual": 52, "usual_interval": wilson(52, 100)}
    with_results(tiny, content)
    assert beyond_sentence(tiny, Way("occlusion")) == (
        "Its maps do not clearly say more than the mean map of other faces: they beat it on 52 of "
        "100 (chance: half)."
    )
    assert "52 of 100" in record_sentence(tiny, Way("occlusion"))
    taken |= {"beats_usual": 30, "usual_interval": wilson(30, 100)}
    with_results(tiny, content)
    assert "Its maps say less than the mean map" in beyond_sentence(tiny, Way("occlusion"))
    taken |= {"beats_usual": 52, "usual_interval": wilson(52, 100)}
    with_results(tiny, content)
    told = random_sentence(tiny, Way("occlusion"))
    assert "0.40 alike (10 draws: 0.20 to 0.60" in told and "one layer" in told
    assert beyond_sentence(tiny, Way("lime")) == "" == random_sentence(tiny, Way("lime"))


def test_files_of_older_programs_are_read_as_not_measured(tiny):
    old = {"faces": 9, "beats_random": 8, "share": 0.9, "interval": [0.5, 1], "hottest_fifth": 7}
    old |= {"deletion": -0.1, "insertion": 0.1, "nose_mouth": 1.0, "cascade": None, "empty": 0}
    light = {"occlusion": {**old, "largest_gap": None, "milliseconds": 9.0}}
    lights = {"as_taken": light, "dark_35": light}
    with_results(tiny, {"explanations": {"default": "occlusion", "lights": lights, "painted": {}}})
    assert track_record(tiny, Way("occlusion")) is None and default_way(tiny) == Way("occlusion")
    assert all(row[2] == "not measured yet" for row in explanation_rows(tiny))


def test_a_version_measured_before_the_place_was_gets_a_dash(tiny):
    content = stored("occlusion")
    del content["explanations"]["painted"]["right"]["occlusion"]["place"]
    with_results(tiny, content)
    place = EXPLANATION_COLUMNS.index("Edge, nose, mouth")
    rows = {row[1]: row[place] for row in explanation_rows(tiny)}
    assert rows["**Occlusion**"] == "–" and rows["Grad-CAM"] == "0.60"


def test_the_honest_sentences_come_from_what_was_measured(tiny):
    assert heatmap_honesty([tiny]) == []
    content = stored("occlusion")
    content["explanations"]["meaningless"]["mean"] = {
        **content["explanations"]["meaningless"]["blob"],
        "verdicts": {"holds": 7, "doubtful": 93},
    }
    told = heatmap_honesty([with_results(tiny, content)])
    assert told[1].endswith("on 90 of 100 for tiny.") and "confirmed: 90 of 100" in told[2]
    assert "confirmed on 7 of 100 at most (the mean map of other faces, tiny)" in told[3]
    assert told[5].startswith("tiny’s did on ") and told[5].endswith("(more).")


def test_the_readme_holds_the_honest_sentences():
    models = [model for model in map(open_model, list_versions()) if model.results.explanations]
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    words = " ".join(readme.split())
    told = heatmap_honesty([model for model in models if model.name in ("v1", "v2", "v3")])
    assert told and all(sentence in words for sentence in told)
