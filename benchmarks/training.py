"""Training speed: our loop against the seed's own way, in one run:  make bench DATA=DIR

The seed's way is PIL transforms in a DataLoader (decoding every picture in every epoch) and plain
fp32. Both train v2's network by v2's recipe on the same pictures, each in a process of its own,
epoch by epoch in turn, and are scored on the same val split after every epoch. Our one-time
decoding counts as ours.
"""

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from tqdm import tqdm

from maskexplain.data.folder import Pixels, csv_beside, list_pictures, load_pixels, select
from maskexplain.errors import UserError
from maskexplain.masks.task import MASK
from maskexplain.memory import keep_memory
from maskexplain.models.network import build_network
from maskexplain.train.loop import Training, has_bf16, start, train_epoch, validate
from maskexplain.train.recipe import RECIPES, TRAIN_SIZE

RECIPE = RECIPES["v2"]


class SeedDataset(Dataset):
    """The seed's transforms on PIL pictures, one picture at a time."""

    incorrect = transforms.Compose(
        [
            transforms.ColorJitter(brightness=0.3, contrast=0.3),
            transforms.GaussianBlur(3, sigma=(0.1, 2.0)),
        ]
    )
    base = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.ColorJitter(saturation=0.2),
            transforms.RandomAffine(degrees=5, translate=(0.1, 0.1)),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )

    def __init__(self, pictures: list) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = self.pictures[index]
        image = Image.open(picture.file).convert("RGB")
        if MASK.names[picture.label] == "mask_weared_incorrect":
            image = self.incorrect(image)
        return self.base(image), picture.label


# What a worker process holds between epochs: its training, and how to run one epoch of it.
_worker: dict = {}


def prepare_seed(folder: Path) -> float:
    """The seed's network and optimiser in PyTorch's defaults; returns the seconds to get ready."""
    torch.manual_seed(RECIPE.seed)
    network = build_network(RECIPE.network, len(RECIPE.task))
    optimizer = torch.optim.Adam(
        network.parameters(), lr=RECIPE.learning_rate, weight_decay=RECIPE.weight_decay
    )
    pictures, val = _pictures(folder)
    loader = DataLoader(SeedDataset(pictures), RECIPE.batch_size, shuffle=True)
    _worker.update(training=Training(RECIPE, network, optimizer, scheduler=None), val=val)
    _worker["run"] = lambda epoch: _seed_epoch(network, optimizer, loader)
    return 0.0


def _seed_epoch(network: torch.nn.Module, optimizer: torch.optim.Optimizer, loader) -> None:
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor(RECIPE.class_weights))
    network.train()
    for inputs, labels in tqdm(loader, desc="the seed's way", leave=False):
        optimizer.zero_grad()
        criterion(network(inputs), labels).backward()
        optimizer.step()


def prepare_ours(folder: Path) -> float:
    """What train.py sets up; returns the seconds that decoding the pictures once takes."""
    keep_memory()
    training = start(RECIPE)
    pictures, val = _pictures(folder)
    began = time.perf_counter()
    pixels = load_pixels(pictures, TRAIN_SIZE)
    seconds = time.perf_counter() - began
    _worker.update(training=replace(training, scheduler=None), val=val)
    _worker["run"] = lambda epoch: _our_epoch(training, pixels, epoch)
    return seconds


def _our_epoch(training: Training, pixels: Pixels, epoch: int) -> None:
    steps = -(-len(pixels.labels) // RECIPE.batch_size)
    with tqdm(total=steps, desc="ours", leave=False) as bar:
        train_epoch(training, pixels, epoch, has_bf16(), on_step=lambda *step: bar.update())


def _pictures(folder: Path) -> tuple[list, Pixels]:
    pictures = list_pictures(folder, csv_beside(folder))
    return select(pictures, "train"), load_pixels(select(pictures, "val"), 64)


def run_epoch(epoch: int) -> tuple[float, float]:
    """Seconds of one epoch in this worker, and the balanced accuracy on val after it."""
    began = time.perf_counter()
    _worker["run"](epoch)
    seconds = time.perf_counter() - began
    line = validate(_worker["training"], _worker["val"], epoch + 1, 0.0)
    return seconds, line.val_balanced_accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/kaggle3"))
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    bf16 = "on" if has_bf16() else "off"
    print(f"v2's recipe, {torch.get_num_threads()} threads, bf16 {bf16}")
    print(f"{'':<26} {'seconds':>8} {'val balanced accuracy':>22}")
    ways = {"ours": prepare_ours, "the seed's way": prepare_seed}
    spawn = multiprocessing.get_context("spawn")
    workers = {name: ProcessPoolExecutor(1, mp_context=spawn) for name in ways}
    totals = {name: workers[name].submit(ways[name], args.data).result() for name in ways}
    print(f"{'decoding once, ours':<26} {totals['ours']:>8.1f}", flush=True)
    for epoch in range(args.epochs):
        for name in ways:
            seconds, accuracy = workers[name].submit(run_epoch, epoch).result()
            totals[name] += seconds
            print(f"epoch {epoch + 1}, {name:<17} {seconds:>8.1f} {accuracy:>22.4f}", flush=True)
    share = totals["ours"] / totals["the seed's way"]
    print(f"ours takes {share:.3f} of the seed's time")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.training: {error}")
