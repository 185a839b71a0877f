"""Randomised heads: other weights, the same version untouched, heatmaps compared by rank."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from maskexplain.data.samples import example_pictures
from maskexplain.explain.explain import explain_pass, forward_pass
from maskexplain.explain.methods import METHODS
from maskexplain.explain.randomise import cascade, head_layers, randomised, similarity, spearman
from maskexplain.explain.ways import Way
from maskexplain.images.crops import find_subjects
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import list_versions
from maskexplain.models.network import build_network
from maskexplain.models.version import Model, open_model


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
    forward = forward_pass(tiny, [crop])
    explanations = explain_pass(forward, [Way(method) for method in METHODS])[0]
    assert similarity(forward, explanations, layers=0) == pytest.approx([1.0] * len(METHODS))
    random = similarity(forward, explanations)
    assert all(0 <= value < 0.999 for value in random)
    assert random == similarity(forward, explanations), "seeded"


def test_heads_built_at_once_are_the_seeded_ones():
    """Layers draw from torch's global generator: two threads must not draw in turns."""

    def build(name: str) -> Model:
        torch.manual_seed(len(name))
        return Model(name, build_network("tiny", 3), MASK)

    models = [build("a" * n) for n in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda m: randomised(m, 1), models))
    heads = [other.network.network[6].weight for other in together]
    assert all(torch.equal(head, heads[0]) for head in heads)
    assert together[0].network.network[0].weight is models[0].network.network[0].weight


@pytest.mark.skipif("v2" not in list_versions(), reason="checkpoints/ lacks v2")
@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "integrated_gradients"])
def test_heatmaps_of_a_trained_version_change_with_its_weights(method):
    model, found = open_model("v2"), []
    for example in example_pictures()[:3]:
        crop = find_subjects(example.image).images[0]
        forward = forward_pass(model, [crop])
        explanations = explain_pass(forward, [Way(method)])[0]
        [stages] = cascade(forward, explanations)
        assert len(stages) == 3
        found.append(stages[-1])
    assert sum(found) / 3 < 0.7


def test_spearman_compares_ranks():
    a = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert spearman(a, a**3) == pytest.approx(1.0)
    assert spearman(a, -a) == pytest.approx(-1.0)
    assert spearman(a, torch.ones(2, 2)) == 0.0
