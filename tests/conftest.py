"""Shared pieces: a tiny seeded network, made pictures, the real data where it is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights
from maskexplain.models.network import EvaluationTransform, network
from maskexplain.models.version import Model

pytest_plugins = ["browser"]  # its fixtures

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLASSES = MASK.names
COLOURS = ((40, 30, 30), (60, 120, 210), (230, 190, 160))  # one a class, easy to tell apart


@network("tiny")
class TinyCNN(nn.Module):
    """Two convs at 16 x 16: trains in a second, and has `features` and `head` as all have."""

    transform = EvaluationTransform(size=16)

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Flatten(),
            nn.Linear(128, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    @property
    def features(self) -> nn.Sequential:
        return self.network[:4]

    @property
    def head(self) -> nn.Sequential:
        return self.network[4:]


@pytest.fixture
def tiny() -> Model:
    """A tiny version with seeded random weights."""
    torch.manual_seed(0)
    return Model("tiny", TinyCNN(), MASK)


@pytest.fixture
def version(tmp_path, tiny) -> str:
    """The tiny version's file, as a person names it."""
    path = tmp_path / "tiny.safetensors"
    write_weights(path, tiny.network, "tiny", MASK, half=False)
    return str(path)


@pytest.fixture(scope="session")
def seed_model() -> Model:
    """The seed's network with seeded random weights."""
    from maskexplain.models.network import build_network

    torch.manual_seed(0)
    return Model("random", build_network("seed_cnn", 3), MASK)


@pytest.fixture(scope="session")
def portrait() -> Image.Image:
    """A bare face with what is around it, RGB 512 x 600."""
    from maskexplain.data.samples import example_pictures

    return example_pictures(whole=True)[0].image


@pytest.fixture
def crop() -> Image.Image:
    """A made picture with structure, 48 x 56."""
    return noise(0, (48, 56))


def noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """A smooth coloured picture of its own for every seed."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def toy_folder(tmp_path: Path) -> Path:
    """An image folder whose classes differ by colour: 20 pictures a class, and its CSV beside."""
    folder = tmp_path / "toy"
    rng = np.random.default_rng(0)
    rows = ["file,class,split,group,augmented"]
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.array(colour) + rng.integers(-20, 20, (20, 20, 3))
            file = f"{name}/{index:02d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / file)
            split = "train" if index < 12 else "val" if index < 16 else "test"
            rows.append(f"{file},{name},{split},{name}{index},{index % 4 == 3:d}")
    (tmp_path / "toy.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def recipe(monkeypatch):
    """v3's recipe for a tiny network on `toys.toy`."""
    from maskexplain.train.augment import AUGMENTS
    from maskexplain.train.recipe import V3

    monkeypatch.setitem(AUGMENTS, "none", lambda pixels, labels: pixels)
    mixed = {"real/with_mask": 12, "real/without_mask": 12, "painted/nose_out": 12}
    changes = {"network": "tiny", "augment": "none", "start": None, "mix": mixed, "epochs": 4}
    more = {
        "name": "toy3",
        "seed": 3,
        "learning_rate": 0.03,
        "average": 0.8,
        "batch_size": 8,
        "focus": 0.0,
        "trainings": 1,
    }
    return replace(V3, **changes, **more)


@pytest.fixture(scope="session")
def kaggle3() -> Path:
    """The real faces; skips where they are not there."""
    if not (SHARED / "kaggle3.csv").is_file():
        pytest.skip(f"needs the real faces in {SHARED.name}/kaggle3 beside the project")
    return SHARED / "kaggle3"
