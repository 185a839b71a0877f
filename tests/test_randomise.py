"""Randomised heads: other weights, the same version untouched, heatmaps compared by rank."""

import pytest
import torch

from maskexplain.explain import answer_and_explain
from maskexplain.methods import METHODS
from maskexplain.randomise import head_layers, randomised, similarity, spearman


def test_layers_are_randomised_from_the_last_one_back(seed_model):
    layers = head_layers(seed_model.network)
    assert [layer.out_features for layer in layers] == [1024, 512, 3]
    before = {k: v.clone() for k, v in seed_model.network.state_dict().items()}
    other = randomised(seed_model, 2).network.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, other[k])}
    assert changed == {f"network.{n}.{kind}" for n in (22, 24) for kind in ("weight", "bias")}
    after = seed_model.network.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_the_same_network_gives_the_same_heatmap(tiny, crop):
    explanations = answer_and_explain(tiny, crop, list(METHODS)).explanations
    assert similarity(tiny, crop, explanations, layers=0) == pytest.approx([1.0] * len(METHODS))
    random = similarity(tiny, crop, explanations)
    assert all(-1 <= value < 0.999 for value in random)
    assert random == similarity(tiny, crop, explanations), "seeded"


def test_spearman_compares_ranks():
    a = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert spearman(a, a**3) == pytest.approx(1.0)
    assert spearman(a, -a) == pytest.approx(-1.0)
    assert spearman(a, torch.ones(2, 2)) == 0.0
