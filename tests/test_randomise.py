"""Random weights: other layers, the same version untouched, heatmaps compared by rank."""

import gc

import pytest
import torch

from maskexplain.data.samples import example_pictures
from maskexplain.explain.explain import Way, explain_pass, forward_pass
from maskexplain.explain.faithfulness import (
    cascade,
    mean_ranks,
    randomised,
    similarity,
    spearman,
    weighted,
)
from maskexplain.explain.methods import METHODS
from maskexplain.images.crops import find_subjects
from maskexplain.models.checkpoints import list_versions
from maskexplain.models.version import Model, open_model


def test_layers_are_randomised_and_the_version_stays(seed_model):
    layers = weighted(seed_model.network.head)
    assert [layer.out_features for layer in layers] == [1024, 512, 3]
    before = {k: v.clone() for k, v in seed_model.network.state_dict().items()}
    other = randomised(seed_model, layers[1:], seed=0).network.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, other[k])}
    assert changed == {f"network.{n}.{kind}" for n in (22, 24) for kind in ("weight", "bias")}
    after = seed_model.network.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert other["network.19.weight"].data_ptr() == before_pointer(seed_model), "shared"
    drawn, trained = other["network.22.weight"], before["network.22.weight"]
    assert drawn.std() == pytest.approx(trained.std().item(), rel=0.05)


def before_pointer(model: Model) -> int:
    return model.network.state_dict()["network.19.weight"].data_ptr()


def test_every_draw_is_another_and_seeded(tiny, crop):
    forward = forward_pass(tiny, [crop])
    explanations = explain_pass(forward, [Way(method) for method in METHODS])[0]
    found = similarity(forward, explanations, draws=3)
    assert all(len(one.draws) == len(set(one.draws)) == 3 for one in found)
    assert all(0 <= one.least < one.mean < one.most < 0.999 for one in found)
    assert found == similarity(forward, explanations, draws=3)
    assert found != similarity(forward, explanations, draws=3, seed=1)


def test_the_cascade_ends_with_the_whole_network(tiny, crop):
    forward = forward_pass(tiny, [crop])
    explanations = explain_pass(forward, [Way("grad_cam"), Way("occlusion")])[0]
    stages = cascade(forward, explanations)
    assert [len(one) for one in stages] == [3, 3], "a linear layer and two convs"
    whole = randomised(tiny, weighted(tiny.network), seed=0).network.state_dict()
    kept = [k for k, v in tiny.network.state_dict().items() if torch.equal(v, whole[k])]
    assert kept == [] and all(torch.isfinite(v).all() for v in whole.values())


@pytest.mark.parametrize("name", ["v1", "v3"])
def test_signals_live_in_a_wholly_random_network(name):
    """Else every heatmap would change, whatever it shows."""
    if name not in list_versions():
        pytest.skip(f"checkpoints/ lacks {name}")
    model = open_model(name)
    crop = find_subjects(example_pictures()[0].image).images[0]
    other = randomised(model, weighted(model.network), seed=0)
    activations = forward_pass(other, [crop]).activations.detach()
    assert (activations.flatten(2).std(2) > 1e-3 * activations.std()).float().mean() > 0.05


def test_a_random_version_is_not_kept(tiny, crop):
    """Baselines are kept with the version, and a drawn head of v1 takes 70 MB."""
    forward = forward_pass(tiny, [crop])
    explanations = explain_pass(forward, [Way("integrated_gradients")])[0]
    before = versions_in_memory()
    similarity(forward, explanations, draws=2)
    assert versions_in_memory() <= before


def versions_in_memory() -> set[int]:
    """Other tests may have left some."""
    gc.collect()
    return {id(one) for one in gc.get_objects() if type(one) is Model}


def test_spearman_compares_ranks():
    a = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert spearman(a, a**3) == pytest.approx(1.0)
    assert spearman(a, -a) == pytest.approx(-1.0)
    assert spearman(a, torch.ones(2, 2)) == 0.0


def test_equal_values_share_their_rank():
    a = torch.tensor([1.0, 1.0, 2.0, 0.0, 1.0])
    assert mean_ranks(a).tolist() == [3, 3, 5, 1, 3]
    half = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert spearman(half, torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx(0.8**0.5)
    assert spearman(half, half.flip(0)) == pytest.approx(-1.0)
