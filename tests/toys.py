"""Training data that a tiny network learns in a second."""

import torch

from maskexplain.data.folder import Pixels
from maskexplain.data.painted import PaintedFaces
from maskexplain.models.network import EvaluationTransform
from maskexplain.train import mix
from maskexplain.train.mix import join

INCORRECT, WITH, WITHOUT = range(3)


def toy() -> mix.Mixed:
    """16 x 16 pictures that differ by colour: eight of each of two classes, six painted.

    The last two are from the street.
    """
    torch.manual_seed(0)
    labels = torch.tensor([WITH] * 8 + [WITHOUT] * 8)
    real = Pixels(coloured(labels), labels)
    worn = torch.full((6,), INCORRECT)
    groups = ("g0",) * 5 + ("g1",)
    faces = PaintedFaces(coloured(worn), worn, ("nose_out",) * 6, groups, middles(6))
    places = [(f"g{n // 2}", "street" if n > 13 else "") for n in range(16)]
    return join(real, middles(16), places, faces)


def middles(count: int) -> torch.Tensor:
    """The right half of every picture."""
    middles = torch.zeros(count, 1, 32, 32, dtype=torch.uint8)
    middles[..., 16:] = 255
    return middles


def coloured(labels: torch.Tensor) -> torch.Tensor:
    base = torch.tensor([[40, 30, 30], [60, 120, 210], [230, 190, 160]])[labels]
    noisy = base[:, :, None, None] + torch.randint(-20, 20, (len(labels), 3, 16, 16))
    return noisy.clamp(0, 255).to(torch.uint8)


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
