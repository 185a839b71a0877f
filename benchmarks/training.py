"""Training speed: our loop against the seed's own way, in one run:  make bench ARGS="--data DIR"

The seed's way is PIL transforms in a DataLoader (decoding every picture in every epoch) and plain
fp32. Both train v2's network by v2's recipe from the same seed on the same pictures, in turn, and
are scored on the same val split after every epoch. Ours pays its one-time decoding in the figure.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from tqdm import tqdm

from maskexplain.data import Pixels, csv_beside, list_pictures, load_pixels, select
from maskexplain.model import CLASSES, build_network
from maskexplain.recipes import RECIPES, TRAIN_SIZE
from maskexplain.training import Training, has_bf16, start, train_epoch, validate

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
        if CLASSES[picture.label] == "mask_weared_incorrect":
            image = self.incorrect(image)
        return self.base(image), picture.label


def seed_training() -> Training:
    """The seed's network and optimiser, in PyTorch's default memory layout."""
    torch.manual_seed(RECIPE.seed)
    network = build_network(RECIPE.network)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=RECIPE.learning_rate, weight_decay=RECIPE.weight_decay
    )
    return Training(RECIPE, network, optimizer, scheduler=None)


def seed_epoch(training: Training, loader: DataLoader) -> None:
    """One epoch as the seed runs it."""
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor(RECIPE.class_weights))
    training.network.train()
    for inputs, labels in tqdm(loader, desc="seed's way", leave=False):
        training.optimizer.zero_grad()
        criterion(training.network(inputs), labels).backward()
        training.optimizer.step()


def our_epoch(training: Training, data: Pixels, epoch: int, bf16: bool) -> None:
    """One epoch as train.py runs it."""
    steps = -(-len(data.labels) // RECIPE.batch_size)
    with tqdm(total=steps, desc="ours", leave=False) as bar:
        train_epoch(training, data, epoch, bf16, on_step=lambda *step: bar.update())


def row(name: str, seconds: float, pictures: int, training: Training, val: Pixels) -> None:
    accuracy = validate(replace(training, scheduler=None), val)["val_balanced_accuracy"]
    print(f"{name:<34} {seconds:>8.1f} {pictures / seconds:>11.1f} {accuracy:>22.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/kaggle3"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="the DataLoader's; the seed had 0")
    args = parser.parse_args()

    pictures = list_pictures(args.data, csv_beside(args.data))
    train, val = select(pictures, "train"), select(pictures, "val")
    bf16 = has_bf16()
    val_pixels = load_pixels(val, 64)
    began = time.perf_counter()
    pixels = load_pixels(train, TRAIN_SIZE)
    decoding = time.perf_counter() - began

    torch.manual_seed(RECIPE.seed)
    loader = DataLoader(SeedDataset(train), RECIPE.batch_size, True, num_workers=args.workers)
    ours, seeds = start(RECIPE), seed_training()
    print(
        f"{len(train)} pictures, {torch.get_num_threads()} threads, bf16 {'on' if bf16 else 'off'}"
    )
    print(f"{'':<34} {'seconds':>8} {'pictures/s':>11} {'val balanced accuracy':>22}")
    totals = {"ours": decoding, "seed": 0.0}
    for epoch in range(args.epochs):
        began = time.perf_counter()
        our_epoch(ours, pixels, epoch, bf16)
        seconds = time.perf_counter() - began
        totals["ours"] += seconds
        row(f"epoch {epoch + 1}, ours", seconds, len(train), ours, val_pixels)
        began = time.perf_counter()
        seed_epoch(seeds, loader)
        seconds = time.perf_counter() - began
        totals["seed"] += seconds
        row(f"epoch {epoch + 1}, the seed's way", seconds, len(train), seeds, val_pixels)
    print(f"decoding once: {decoding:.1f} s, counted as ours")
    print(f"ours takes {totals['ours'] / totals['seed']:.3f} of the seed's time")


if __name__ == "__main__":
    main()
