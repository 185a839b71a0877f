"""How well copies are found by their looks alone:  python -m benchmarks.copies --data kaggle3

Needs the CSV beside the folder, with a column `origin` that tells which face a picture shows. Of
the pairs of pictures of a class, it prints the share joined that show one face, and the share
joined that show two. One thread.
"""

import argparse
import time
from pathlib import Path

import torch

from maskexplain.data.folder import COLUMNS, csv_beside, list_pictures, load_pixels
from maskexplain.data.names import DataError, read_rows
from maskexplain.data.survey import SIDE, group_copies
from maskexplain.masks.task import MASK
from maskexplain.train.recipe import imagenet_features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    torch.set_num_threads(1)
    file = csv_beside(folder)
    rows = read_rows(file, (*COLUMNS, "origin"), "check it", "picture", DataError)
    numbers = {origin: n for n, origin in enumerate(dict.fromkeys(r["origin"] for r in rows))}
    faces = torch.tensor([numbers[row["origin"]] for row in rows])
    began, busy = time.perf_counter(), time.process_time()
    pixels = load_pixels(list_pictures(folder, file), SIDE)
    groups = group_copies(pixels.pixels, pixels.labels, imagenet_features())
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(f"{len(faces)} pictures in {seconds:.0f} s ({busy:.0f} s of one processor)")
    for label, name in enumerate(MASK.names):
        own = pixels.labels == label
        print(f"{name}: {compared(groups[own], faces[own])}")


def compared(groups: torch.Tensor, faces: torch.Tensor) -> str:
    """Shares of pairs that are joined, by whether they show one face or two."""
    both = pairs(faces * (groups.max() + 1) + groups)
    one, joined, every = pairs(faces), pairs(groups), len(faces) * (len(faces) - 1) / 2
    return (
        f"{both / max(one, 1):.3f} of {one:.0f} pairs of one face joined, "
        f"{(joined - both) / (every - one):.5f} of the others; "
        f"{len(groups.unique())} groups of {len(faces.unique())} faces"
    )


def pairs(numbers: torch.Tensor) -> float:
    """How many pairs have the same number."""
    counts = numbers.unique(return_counts=True)[1].double()
    return (counts * (counts - 1) / 2).sum().item()


if __name__ == "__main__":
    main()
