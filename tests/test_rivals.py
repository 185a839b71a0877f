"""What a heatmap must beat: its own copies elsewhere, and maps that know nothing of the picture."""

import numpy as np
import pytest
import torch
from conftest import noise

from maskexplain.explain.blur_test import blur_test, carried
from maskexplain.explain.explain import Explanation, forward_pass
from maskexplain.explain.places import NOSE, OVERLAP, blob, copies, hottest, strangers
from maskexplain.explain.verdicts import verdict_of
from maskexplain.models.results import (
    MAP_SIDE,
    ClassMaps,
    ExplanationScores,
    MeanMap,
    Results,
    ResultsError,
    pack_map,
)


def test_copies_have_the_same_shape_in_other_places():
    places = torch.zeros(20, 20, dtype=torch.bool)
    places[2:8, 1:5] = True
    found = copies(places, 12)
    assert found.shape == (12, 20, 20) and (found.sum((1, 2)) == 24).all()
    assert ((found & places).sum((1, 2)) <= OVERLAP * 24).all()
    assert len({tuple(one.flatten().tolist()) for one in found}) == 12
    assert torch.equal(copies(places, 7, first=5), found[5:]), "one sequence"
    assert not torch.equal(copies(places, 12, seed=1), found)
    assert copies(places, 0).shape == (0, 20, 20)


def test_a_shape_without_another_place_has_copies_all_the_same():
    everywhere = torch.ones(6, 6, dtype=torch.bool)
    assert copies(everywhere, 4).all()


def test_the_hottest_places_of_a_moved_map_are_the_moved_hottest_places():
    heat = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3))
    places = hottest(heat, 0.2)[0]
    moved = torch.roll(torch.rot90(heat[0]).flip(1), (3, 7), (0, 1))
    again = torch.roll(torch.rot90(places).flip(1), (3, 7), (0, 1))
    assert torch.equal(hottest(moved[None], 0.2)[0], again)


def mean_map(rows: slice, faces: int = 3) -> MeanMap:
    values = np.zeros((MAP_SIDE, MAP_SIDE), dtype=np.float32)
    values[rows] = 1
    return MeanMap(faces, pack_map(values))


def with_maps(model, maps: ClassMaps):
    scores = ExplanationScores("grad_cam", {}, {}, maps={"grad_cam": {"with_mask": maps}})
    model.results = Results(explanations=scores)
    return model


def test_stored_maps_become_strangers(tiny):
    lone = strangers(tiny, "grad_cam", "with_mask")
    assert lone.fixed.shape == (1, 16, 16) and not len(lone.others)
    peak = int(lone.fixed[0].argmax())
    assert ((peak % 16 + 0.5) / 16, (peak // 16 + 0.5) / 16) == pytest.approx(NOSE, abs=0.04)
    one = np.zeros((MAP_SIDE, MAP_SIDE), dtype=np.float32)
    one[:, 0] = -1
    maps = ClassMaps(mean_map(slice(0, 4)), mean_map(slice(8, 16), faces=1), (pack_map(one),))
    known = strangers(with_maps(tiny, maps), "grad_cam", "with_mask")
    assert known.fixed.shape == (2, 16, 16) and known.others.shape == (2, 16, 16)
    assert known.fixed[0, :4].mean() == pytest.approx(0.75, abs=0.1)
    assert known.fixed[0, 9:].mean() == pytest.approx(0.25, abs=0.1)
    assert torch.equal(known.others[0], known.others[1].flip(1)), "and its mirror image"
    assert torch.equal(strangers(tiny, "occlusion", "with_mask").fixed, known.fixed), (
        "the default's"
    )
    assert not len(strangers(tiny, "grad_cam", "without_mask").others)


def test_broken_maps_get_a_sentence(tiny):
    for values in ("no base64!", "AAAA"):
        with pytest.raises(ResultsError, match="stored map is broken"):
            MeanMap(1, values)


@pytest.mark.parametrize("kind", ["nose", "mean"])
def test_a_map_without_knowledge_of_the_picture_is_never_confirmed(tiny, kind):
    """It cannot take more than itself."""
    with_maps(tiny, ClassMaps(mean_map(slice(0, 3)), None))
    heat = {"nose": blob(16, NOSE), "mean": strangers(tiny, "grad_cam", "with_mask").fixed[0]}[kind]
    for seed in range(5):
        forward = forward_pass(tiny, [noise(seed, (16, 16))])
        explanation = Explanation(heat.numpy(), "with_mask", "grad_cam")
        [test] = blur_test(forward, [explanation], anew=carried)
        assert test.lead <= 1e-6 and not verdict_of(explanation, test).confirmed
