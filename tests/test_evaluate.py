"""Scores: figures by hand, shifts, and the stored results of the shipped versions."""

from time import sleep

import pytest
import torch
from conftest import CLASSES, noise
from measured import measured
from PIL import Image, ImageChops
from servers import version

from maskexplain.data.folder import Picture, csv_beside, list_pictures, load_pixels, select
from maskexplain.data.samples import example_pictures
from maskexplain.images.edit import SHIFTS, dark_35
from maskexplain.masks import POSITIONS
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import FOLDER, list_versions, write_weights
from maskexplain.models.results import Cost, DataUsed, Results, Scores
from maskexplain.models.version import Model, open_model
from maskexplain.results.scores import evaluate, logits_of, measure_cost, score, wilson
from maskexplain.results.tables import cost_text, evaluation_text, results_markdown


def test_wilson_interval_equals_published_values():
    # Newcombe (1998), table I: 81 of 263, and 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_scores_by_hand():
    scores = score(torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([0, 2, 1, 1, 1, 0]), MASK)
    assert scores.confusion_matrix == [[1, 0, 1], [1, 3, 0], [0, 0, 0]]
    assert scores.balanced_accuracy == pytest.approx((0.5 + 0.75) / 2)
    assert scores.per_class["with_mask"].right == 3


def test_shifts_change_the_picture_as_they_say(crop):
    assert all(shift(crop).size == crop.size for shift in SHIFTS.values())
    assert dark_35(Image.new("RGB", (4, 4), (200, 100, 0))).getpixel((0, 0)) == (70, 35, 0)
    red, green, blue = SHIFTS["gray"](crop).split()
    assert not ImageChops.difference(red, green).getbbox()
    assert not ImageChops.difference(red, blue).getbbox()
    for name in ("blurred", "jpeg_20", "turned_15"):
        assert SHIFTS[name](crop) != crop
    assert SHIFTS["turned_15"](crop).getpixel((0, 0)) == (0, 0, 0)


def test_logits_restore_the_mode_and_do_not_depend_on_the_batch(seed_model):
    crops = [noise(seed, (64, 64)) for seed in range(3)]
    size = seed_model.network.transform.size
    from maskexplain.models.network import to_pixels

    pixels = torch.stack([to_pixels(c, size) for c in crops])
    seed_model.network.train()
    together = logits_of(seed_model.network, pixels)
    assert seed_model.network.training
    seed_model.network.eval()
    alone = torch.cat([logits_of(seed_model.network, p[None]) for p in pixels])
    assert torch.allclose(together, alone, atol=1e-5)


def test_painted_masks_are_scored_by_position(tiny, tmp_path):
    portrait = example_pictures(whole=True)[0].image.crop((145, 110, 395, 360))
    portrait.save(tmp_path / "bare.png")
    kinds = [(CLASSES.index("without_mask"), False), (CLASSES.index("with_mask"), False)]
    pictures = [Picture(tmp_path / "bare.png", label, "test", "g", a) for label, a in kinds]
    found = evaluate(tiny.network, MASK, pictures, threshold=0.5)
    assert found.painted.faces == 1
    positions = found.painted.by_position
    assert set(positions) == set(POSITIONS)
    totals = {name: int(name in ("right", "nose_out", "chin")) for name in POSITIONS}
    assert {name: r.total for name, r in positions.items()} == totals, "the others every fourth"
    text = evaluation_text("tiny", MASK, found)
    assert "masks painted on 1 bare faces" in text
    assert "expected calibration error" in text and "of them right" in text
    plain = evaluation_text("tiny", MASK, evaluate(tiny.network, MASK, pictures))
    assert "no answer counts as unsure" in plain and "of them right" not in plain


def test_the_cost_of_an_answer_is_timed_on_one_thread(tmp_path, tiny):
    class Slow(Model):
        def predict(self, crops):
            threads.append(torch.get_num_threads())
            sleep(0.02)
            return super().predict(crops)

    threads, before = [], torch.get_num_threads()
    slow = Slow("slow", tiny.network, MASK)
    write_weights(tmp_path / "tiny.safetensors", tiny.network, "tiny", MASK, half=False)
    file = tmp_path / "tiny.safetensors"
    cost = measure_cost(file, [tiny, slow], [noise(n, (40, 40)) for n in range(5)])
    assert cost.checkpoint_bytes == file.stat().st_size
    assert cost.milliseconds["slow"] > 20 and set(cost.milliseconds) == {"tiny", "slow"}
    assert set(threads) == {1} and torch.get_num_threads() == before


def test_the_table_holds_times_against_the_references_in_the_same_run():
    cost = Cost(1_460_000, {"mine": 6.0, "v2": 8.0})
    models = [version(name, results=measured(cost=cost)) for name in ("mine", "other")]
    table = results_markdown([*models, version("bare", results=measured())])
    assert "| Checkpoint | 1.5 MB | 1.5 MB | – |" in table
    assert "| Time of a face's answer (v2 = 1) | 0.75 | – | – |" in table
    assert cost_text("mine", cost) == ("1.5 MB; one picture in 6.0 ms on one thread (v2 8.0)")
    assert cost_text("v2", Cost(37_000_000, {"v2": 8.0})).endswith("8.0 ms on one thread")


def test_shipped_versions_are_v1_and_v2():
    assert {"v1", "v2"} <= set(list_versions())
    for name in ("v1", "v2"):
        size = (FOLDER / f"{name}.safetensors").stat().st_size
        assert 36e6 < size < 38e6, "half precision"
        results = open_model(name).results
        half = results.half_precision
        assert half.same_answers == half.pictures == results.pictures


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_stored_answers_are_found_again(name, kaggle3):
    model = open_model(name)
    test = load_pixels(select(list_pictures(kaggle3, csv_beside(kaggle3)), "test"), 64)
    answers = logits_of(model.network, test.pixels).argmax(1)
    check_scores(model.results.scores, score(test.labels, answers, MASK))


@pytest.mark.parametrize("name", ["sand and snow", "sand, snow"])
def test_a_folders_name_is_one_name(name):
    used = DataUsed((name, "more"), {"train": 1})
    results = Results.from_json(Results(data=used).to_json())
    assert results.data == used and results.data.folders[0] == name


def test_folders_named_in_one_text_are_read():
    text = '{"data": {"name": "a, split at random and b, split at random", "pictures": {}}}'
    assert Results.from_json(text).data == DataUsed(("a", "b"), {}, at_random=True)


def check_scores(stored: Scores, fresh: Scores) -> None:
    """Another processor may round a borderline picture the other way: one a hundred, no more."""
    assert fresh.pictures == stored.pictures
    for label, recall in fresh.per_class.items():
        old = stored.per_class[label]
        assert recall.total == old.total
        assert abs(recall.right - old.right) <= recall.total / 100
    assert fresh.balanced_accuracy == pytest.approx(stored.balanced_accuracy, abs=0.01)


def test_stored_results_are_what_evaluate_finds(kaggle3):
    model = open_model("v3")
    pictures = select(list_pictures(kaggle3, csv_beside(kaggle3)), "test")
    found = evaluate(model.network, model.task, pictures)
    check_scores(model.results.scores, found.scores)
    for key, shifted in found.shifts.items():
        check_scores(model.results.shift(key), shifted)
    assert set(found.shifts) == {"unaugmented", *SHIFTS}
    stored = model.results.painted.by_position  # may lack positions that came later
    assert set(stored) <= set(found.painted.by_position)
    for position, old in stored.items():
        recall = found.painted.by_position[position]
        assert abs(recall.right - old.right) <= recall.total / 100 + 1
    assert found.calibration.error == pytest.approx(model.results.calibration.error, abs=0.01)
