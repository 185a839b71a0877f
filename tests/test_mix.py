"""Which pictures an epoch sees: pools of real and painted faces."""

import pytest
import torch
from toys import toy

from maskexplain.data import painted
from maskexplain.data.folder import Picture
from maskexplain.data.painted import find_middles, middle_of, paint_faces
from maskexplain.data.samples import LANDMARKS, example_pictures
from maskexplain.images.faces import Face
from maskexplain.masks import random_style
from maskexplain.train import mix
from maskexplain.train.mix import Pool, draw_epoch, load_mixed

INCORRECT, WITH, WITHOUT = range(3)


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


def test_middles_of_portraits(portraits):
    found = find_middles(portraits[:2])
    assert found.shape == (2, 1, 32, 32) and found.dtype == torch.uint8
    share = found.float().mean().item() / 255
    assert 0.05 < share < 0.3
    assert not middle_of(None, (64, 64)).any()


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
