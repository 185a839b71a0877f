"""The tests tell a heatmap that matters from one that does not."""

import json
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import torch
from conftest import CLASSES, TinyCNN, noise
from PIL import Image, ImageOps
from test_rivals import mean_map, with_maps

from maskexplain.explain.blur_test import (
    COPIES,
    BlurTest,
    Side,
    blur_test,
    carried,
    first_sides,
    more_sides,
)
from maskexplain.explain.explain import (
    Explanation,
    ForwardPass,
    Question,
    Way,
    explain,
    explain_pass,
    forward_pass,
)
from maskexplain.explain.faithfulness import LEVELS, RANDOM_ORDERS, curves, margin
from maskexplain.explain.places import (
    blur_inputs,
    blur_places,
    heat_at,
    hottest,
    impute_places,
    random_heat,
)
from maskexplain.explain.verdicts import TITLES, measure_trust, second_opinions, verdict_of
from maskexplain.masks.task import MASK
from maskexplain.models.network import EvaluationTransform
from maskexplain.models.results import MAP_SIDE, ClassMaps, pack_map
from maskexplain.models.version import Model


def test_blur_and_transform_are_torchvisions():
    """They are written out, since serving would import torchvision for these two alone."""
    from torchvision.transforms.v2 import functional as F

    inputs = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    sigma = 65 / 12
    side = 2 * round(2.5 * sigma) + 1
    blurred = F.gaussian_blur(inputs, kernel_size=[side, side], sigma=[sigma, sigma])
    assert torch.allclose(blur_inputs(inputs), blurred, atol=1e-6)
    crop = noise(1, (65, 65))
    transform = EvaluationTransform(65, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    pixels = F.normalize(F.pil_to_tensor(crop).float() / 255, transform.mean, transform.std)
    assert torch.equal(transform(crop), pixels)


@pytest.fixture
def upper_model() -> Model:
    """A version that sees only bright dots in the middle above, as with_mask."""
    network = TinyCNN()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.network[0].weight[0, :, 1, 1] = 1.0  # brightness
        network.network[2].weight[0, 0, 1, 1] = 1.0
        network.network[6].weight[1, [1, 2, 5, 6]] = 1.0  # channel 0, of 4 x 4 places
    return Model("upper", network, MASK)


def explanation_at(rows: slice, columns: slice, size=(64, 64)) -> Explanation:
    heatmap = np.full(size, -1.0, dtype=np.float32)
    heatmap[rows, columns] = 1.0
    return Explanation(heatmap, "with_mask", "grad_cam", None)


def passed(model: Model, crop: Image.Image) -> ForwardPass:
    return forward_pass(model, [crop])


def test_heat_on_what_is_used_beats_heat_on_what_is_not(upper_model):
    used = explanation_at(slice(0, 29), slice(18, 46))
    unused = explanation_at(slice(35, 64), slice(18, 46))
    good, bad = blur_test(passed(upper_model, dots()), [used, unused], anew=carried)
    assert good.matters and good.beyond and not bad.matters and bad.lead <= 0
    assert good.hottest < good.before and bad.hottest == pytest.approx(bad.before, abs=0.02)
    assert {good.fifths, bad.fifths} <= {2 * COPIES, 10 * COPIES}


def test_a_picture_and_its_mirror_image_get_the_same_test(tiny):
    """So the word cannot change. Both are tested with the same copies, and moved alike."""
    for seed in range(4):
        crop = noise(seed, (64, 64))
        one, other = (passed(tiny, picture) for picture in (crop, ImageOps.mirror(crop)))
        [heat] = explain_pass(one, [Way("grad_cam")], Question("with_mask"))[0]
        [mirrored] = explain_pass(other, [Way("grad_cam")], Question("with_mask"))[0]
        [first], [second] = blur_test(one, [heat]), blur_test(other, [mirrored])
        assert asdict(second) == pytest.approx(asdict(first), abs=1e-5)


def test_what_is_open_is_tested_on_more_pictures(upper_model):
    """Clear: a fifth that holds the dots. Open: a mirrored one beside it says something else."""
    clear, lone = (
        explanation_at(slice(0, 29), slice(18, 46)),
        explanation_at(slice(0, 64), slice(0, 13)),
    )
    heats = {"grad_cam": clear, "layer_cam": replace(lone, method="layer_cam")}

    def told(side, forward, explanations):
        """The lone one's map misses the dots, and hits them on each picture beside it."""
        return [replace(e, heatmap=clear.heatmap) for e in explanations]

    asked = list(heats.values())
    sure, unsure = blur_test(passed(upper_model, dots()), asked, anew=told)
    assert (sure.pictures, sure.fifths) == (2, 2 * COPIES)
    assert (unsure.pictures, unsure.fifths) == (10, 10 * COPIES)
    assert sure.hottest < unsure.hottest < unsure.before, "the means of all"


def test_a_picture_that_is_no_face_is_not_mirrored(upper_model):
    task = replace(MASK, faces=False)
    model = Model("digits", upper_model.network, task)
    [test] = blur_test(passed(model, dots()), [explanation_at(slice(0, 29), slice(18, 46))])
    assert test.pictures in (1, 5)
    assert {side.mirrored for side in (*first_sides(False), *more_sides(False))} == {False}
    assert len(first_sides(True) + more_sides(True)) == 10


def test_a_side_is_a_mirror_image_or_a_step_with_its_edge_repeated():
    row = np.arange(128)
    assert (Side().of(row) == row).all() and (Side(True).of(row) == row[::-1]).all()
    assert Side(False, 1).of(row)[:5].tolist() == [0, 0, 0, 1, 2]
    assert Side(False, -1).of(row)[-4:].tolist() == [126, 127, 127, 127]
    assert (Side(True, 1).of(row) == Side(False, 1).of(row[::-1])).all(), "of the mirror image"
    pixels = torch.rand(1, 3, 16, 16)
    assert torch.equal(
        Side(True, -2).of(pixels), torch.from_numpy(Side(True, -2).of(pixels.numpy()))
    )


def test_blur_test_is_seeded(upper_model):
    crop, heat = noise(1, (40, 50)), explanation_at(slice(0, 9), slice(0, 9), (50, 40))
    one, again = (blur_test(passed(upper_model, crop), [heat]) for _ in range(2))
    assert one == again


def dots() -> Image.Image:
    crop = Image.new("RGB", (64, 64))
    for x, y in product(range(0, 64, 8), repeat=2):
        crop.paste("white", (x, y, x + 4, y + 4))
    return crop


def test_curves_fall_and_rise_early_where_the_heat_is_used(upper_model):
    slope = -np.add.outer(np.arange(64), np.zeros(64)).astype(np.float32)  # down
    used = Explanation(slope, "with_mask", "grad_cam")
    unused = replace(used, heatmap=-slope)
    good, bad = curves(passed(upper_model, dots()), [used, unused])
    assert good.beats_random and good.beats_usual and len(good.random) == RANDOM_ORDERS
    assert good.deletion.area < good.random_area < good.insertion.area
    assert not bad.beats_random and not bad.beats_usual
    assert bad.insertion.area < bad.random_area < bad.deletion.area
    assert bad.random == good.random


def test_curves_equal_their_definition(tiny, crop):
    """Each level is one picture: so much of it blurred, from the hottest place on."""
    explanation = explain(tiny, crop, "integrated_gradients")
    [found] = curves(passed(tiny, crop), [explanation])
    assert found.levels == (0.0, *LEVELS, 1.0)
    inputs = tiny.inputs([crop])
    blurred = blur_inputs(inputs)
    heat = heat_at([explanation.heatmap], inputs.shape[-1])
    target = CLASSES.index(explanation.target)

    def probability(picture: torch.Tensor) -> float:
        with torch.no_grad():
            return tiny.network(picture).softmax(1)[0, target].item()

    for index, level in enumerate(found.levels):
        hot = hottest(heat, level)[:, None]
        deleted = probability(torch.where(hot, blurred, inputs))
        inserted = probability(torch.where(hot, inputs, blurred))
        assert found.deletion.probability[index] == pytest.approx(deleted, abs=1e-5)
        assert found.insertion.probability[index] == pytest.approx(inserted, abs=1e-5)
    assert found.deletion.area == pytest.approx(
        np.trapezoid(found.deletion.probability, found.levels), abs=1e-5
    )


def test_random_insertion_is_random_deletion_read_backwards(tiny, crop):
    """What is left when the first places of an order are blurred are the reverse order's last."""
    inputs = tiny.inputs([crop])
    order = random_heat(1, inputs.shape[-1], seed=3)
    removed, kept = hottest(order, 0.25), ~hottest(-order, 0.75)
    assert torch.equal(blur_places(inputs, removed), blur_places(inputs, kept))


def test_curves_are_seeded_and_told_as_json(upper_model):
    crop, heat = noise(1, (40, 50)), explanation_at(slice(0, 9), slice(0, 9), (50, 40))
    [one], [again] = (curves(passed(upper_model, crop), [heat]) for _ in range(2))
    assert one == again and one != curves(passed(upper_model, crop), [heat], seed=1)[0]
    content = json.loads(json.dumps(one.to_dict()))
    assert content["beats_usual"] == one.beats_usual
    assert len(content["random_deletion"]) == RANDOM_ORDERS


def test_trust_in_words(upper_model):
    used = explanation_at(slice(0, 29), slice(18, 46))
    [trust] = measure_trust(passed(upper_model, dots()), [used], None)
    words = " ".join(trust.sentences())
    assert "its lead falls faster than there" in words
    assert "No eyes, nose and mouth were found" in words and "everything blurred" not in words
    assert trust.to_dict()["regions"] is None


def test_a_class_that_needs_no_place_is_said_to_need_none(upper_model):
    with torch.no_grad():
        upper_model.network.network[6].bias[1] = 9.0
    heat = explanation_at(slice(0, 9), slice(0, 9))
    [trust] = measure_trust(passed(upper_model, dots()), [heat], None)
    assert "With everything blurred the class still has 100%" in trust.sentences()[0]


def test_the_map_without_the_photo_that_takes_most_is_the_one_that_is_told(upper_model):
    """Here another face's map; by the mean map's figure this map would seem to say far more."""
    below = mean_map(slice(8, 16))
    above = np.zeros((MAP_SIDE, MAP_SIDE), dtype=np.float32)
    above[: MAP_SIDE // 2, 4:12] = 1
    with_maps(upper_model, ClassMaps(below, None, (pack_map(above),)))
    used = explanation_at(slice(0, 29), slice(18, 46))
    [test] = blur_test(passed(upper_model, dots()), [used], anew=carried)
    assert test.before - test.hottest > 0.3 and not test.beyond
    assert test.usual == pytest.approx(test.hottest, abs=0.1)


def test_hottest_takes_the_share_also_among_ties():
    assert hottest(torch.zeros(1, 10, 10), 0.2).sum() == 20
    region = hottest(torch.arange(100.0).view(1, 10, 10), 0.2)[0]
    assert region[8:].all() and not region[:8].any()
    assert not hottest(torch.zeros(1, 4, 4), 0).any() and hottest(torch.zeros(1, 4, 4), 1).all()


def test_margin_is_against_the_best_other_class_or_the_given_one():
    logits = torch.tensor([[1.0, 4.0, 2.0], [5.0, 1.0, 0.0]])
    worn, bare = CLASSES.index("with_mask"), CLASSES.index("without_mask")
    assert margin(logits, worn).tolist() == [2.0, -4.0]
    assert margin(logits, worn, bare).tolist() == [2.0, 1.0]


SURE = BlurTest(0.9, 0.2, 0.88, beaten=40, fifths=40, usual=0.7, lead=0.6, pictures=2)


@pytest.mark.parametrize(
    ("changes", "key", "close"),
    [
        ({}, "holds", False),
        ({"hottest": 0.85}, "leads", False),
        ({"hottest": 0.79}, "holds", True),
        ({"lead": 0.01}, "doubtful", False),
        ({"lead": 0.04}, "doubtful", True),
        ({"lead": 0.04, "beaten": 12}, "doubtful", False),
        ({"lead": 0.12}, "holds", True),
        ({"beaten": 12}, "doubtful", False),
        ({"beaten": 187, "fifths": 200, "pictures": 10}, "doubtful", True),
        ({"beaten": 194, "fifths": 200, "pictures": 10}, "holds", True),
        ({"hottest": 0.89}, "small", False),
        ({"before": 0.003, "hottest": 0.0, "random": 0.002}, "small", False),
        ({"before": 0.84, "hottest": 0.89, "random": 0.84, "beaten": 3}, "small", False),
        ({"hottest": 0.89, "random": 0.5, "beaten": 3}, "doubtful", False),
        ({"hottest": 0.877}, "leads", True),
    ],
)
def test_verdicts(changes, key, close):
    heat = explanation_at(slice(0, 32), slice(0, 64))
    found = verdict_of(heat, replace(SURE, **changes))
    assert (found.key, found.close, found.too_small) == (key, close, key == "small")
    assert found.title.startswith(TITLES[key]) and found.title.endswith("close call)") == close
    assert f"Blur the brightest fifth: {found.test.before:.0%} → {found.test.hottest:.0%}." in (
        found.sentence
    )
    assert set(found.to_dict()) == {"key", "title", "sentence", "close", "too_small"}


def test_without_heat_nothing_supports_the_answer():
    nothing = verdict_of(explanation_at(slice(0, 0), slice(0, 0)), SURE)
    assert nothing.key == "empty" and not nothing.close and not nothing.confirmed


def test_places_are_filled_from_their_edges():
    """Where the edges lie on a plane, so does what fills the hole, but for a little noise."""
    plane = torch.linspace(-1, 1, 64)[None, None, None].expand(1, 3, 64, 64) + 0.5
    holes = torch.zeros(2, 64, 64, dtype=torch.bool)
    holes[0, 20:44, 20:44] = True
    hidden = plane.clone()
    hidden[..., 21:43, 21:43] = 9.0  # what was there leaves no trace
    filled = impute_places(hidden, holes)
    inside = (slice(None), slice(20, 44), slice(20, 44))
    assert (filled[0][inside] - plane[0][inside]).abs().max() < 0.06
    assert torch.equal(filled[1], hidden[0]) and torch.equal(filled[0][:, :20], hidden[0][:, :20])
    assert torch.equal(filled, impute_places(hidden, holes)), "seeded"


def test_a_second_opinion_fills_in_another_way(upper_model):
    used = explanation_at(slice(0, 29), slice(18, 46))
    unused = explanation_at(slice(35, 64), slice(18, 46))
    good, bad = second_opinions(passed(upper_model, dots()), [used, unused], carried)
    assert good.verdict.test.matters and not bad.verdict.test.matters
    assert good.verdict.sentence.startswith("Fill the brightest fifth:")
    told = json.loads(json.dumps(good.to_dict()))
    assert told["filling"] == "ROAD" and len(told["random_head"]["draws"]) == 10
