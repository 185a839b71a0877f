"""What torchrun starts in the tests: recipes of tiny networks, or the command with these at hand.

torchrun --nproc-per-node 2 tests/together.py recipes DIR [DEVICE] | train ...
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import conftest  # noqa: F401  (registers the tiny network)
import torch
from toys import Mean, toy

from maskexplain import cli
from maskexplain.data.folder import Pixels
from maskexplain.models.network import EvaluationTransform, network
from maskexplain.train.augment import AUGMENTS
from maskexplain.train.loop import CPU, Training, fit, resume, start
from maskexplain.train.processes import agree, is_first, number, together, wait
from maskexplain.train.recipe import V2, V3, Recipe

AUGMENTS["none"] = lambda pixels, labels: pixels


class WithRelu(torch.nn.BatchNorm2d):
    """As libraries have them, with more in them than the norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu_()


@network("normed")
class Normed(Mean):
    """With batch norms behind maps and behind vectors, whose statistics say much."""

    transform = EvaluationTransform(size=16)

    def __init__(self, classes: int = 3) -> None:
        super().__init__(classes)
        # A norm takes a bias away; what moves it is rounding alone.
        self.features[0] = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.features.insert(1, WithRelu(8))
        self.head.insert(2, torch.nn.BatchNorm1d(8))
        self.unused = torch.nn.Linear(2, 2)


def small(like: Recipe, **changes: object) -> Recipe:
    """A recipe without anything that is drawn for each picture."""
    common = {"name": "small", "augment": "none", "start": None, "epochs": 3, "hide": 0.0}
    return replace(like, **{**common, **changes})


MIX = {"real/with_mask": 12, "real/without_mask": 12, "painted/nose_out": 13}
TEACHER = small(V2, name="elder", network="normed", batch_size=10)
RECIPES = {
    # Labels with class weights; the last batch is of one picture, and one process has none of it.
    "labels": small(V2, network="tiny", batch_size=7, label_smoothing=0.1),
    "norms": small(V2, network="normed", batch_size=8),
    "focus": small(V3, network="normed", mix=MIX, focus=0.3, average=0.8, batch_size=10),
    "taught": small(V2, network="tiny", batch_size=8, teachers=(TEACHER,)),
}


def train_all(folder: Path, device: torch.device = CPU) -> Iterator[tuple[str, Training]]:
    """Each recipe trained, and one of them stopped within an epoch and gone on with."""
    data = toy()
    for name, recipe in RECIPES.items():
        training = start(recipe, device=device)
        if recipe.teachers:
            training.teachers = [start(TEACHER, device=device).network.eval()]
        yield name, fit(training, data, data, _own(folder / name))
    yield "resumed", _resumed(RECIPES["focus"], data, folder / "resumed", device)


def _resumed(recipe: Recipe, data: Pixels, folder: Path, device: torch.device) -> Training:
    steps = []

    def stop(*step: object) -> None:
        steps.append(step)
        if len(steps) == 6:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        fit(start(recipe, device=device), data, data, _own(folder), on_step=stop, every=0)
    wait()
    training = resume(recipe, folder / "0/last.pt", device=device)
    return fit(training, data, data, _own(folder))


def _own(folder: Path) -> Path:
    """A folder of this process's own: it tells who writes."""
    return folder / str(number())


def main(arguments: list[str]) -> int:
    if arguments[0] != "recipes":
        return cli.main(arguments)
    folder, *named = arguments[1:]
    with together():
        print(agree("one text"), agree(f"the text of process {number()}"))
        for name, training in train_all(Path(folder), torch.device(*named or ["cpu"])):
            print(name)
            if is_first():
                torch.save(outcome(training), Path(folder, f"{name}.pt"))
    return 0


def outcome(training: Training) -> dict[str, torch.Tensor]:
    """Weights, statistics and losses."""
    losses = [[line.train_loss, line.val_loss] for line in training.history]
    return {**training.answering.state_dict(), "losses": torch.tensor(losses)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
