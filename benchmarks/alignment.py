"""Whether mean heatmaps are sharper over aligned faces:  python -m benchmarks.alignment --data DIR

Every face of val is laid on the mean face by a similarity transform of its landmarks (eyes and
corners of the mouth), its heatmap with it. A mean is sharp where the single maps agree with it. So
it prints how a face's map correlates with the mean map of the other faces of the same answer, as
the crops are cut and as they are aligned: over the whole crop, and over its middle, which all
aligned crops cover. It also prints where the landmarks lie on a crop.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from maskexplain.data.folder import csv_beside, list_pictures, read_crop, select
from maskexplain.explain.explain import default_way, explain_pass, forward_pass
from maskexplain.models.checkpoints import list_versions
from maskexplain.models.version import Model, open_model
from maskexplain.results.explanations import find_landmarks, sample_faces

SIDE = 64  # pixels of a map's side
MIDDLE = slice(SIDE // 6, SIDE - SIDE // 6)
STABLE = [0, 1, 3, 4]  # eyes and corners of the mouth: the nose moves as the head turns
FEWEST = 8  # maps of one answer that make a mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--faces", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = [p for folder in args.data for p in list_pictures(folder, csv_beside(folder))]
    model, *others = (open_model(name) for name in list_versions())
    sample = sample_faces(select(pictures, "val"), args.faces, len(model.task))
    crops = [read_crop(picture.file) for picture in sample]
    found = [find_landmarks(crop) for crop in crops]
    pairs = zip(crops, found, strict=True)
    known = [(crop, np.array(points) / crop.size) for crop, points in pairs if points]
    places = np.array([points for _, points in known])  # N x 5 x 2, parts of the side
    print(f"landmarks on {len(known)} of {len(crops)} faces, parts of width and height:")
    for name, point in zip(("eye", "eye", "nose", "mouth", "mouth"), range(5), strict=True):
        there = places[:, point]
        print(f"  {name:5} {there.mean(0).round(2)} spread {there.std(0).round(2)}")
    for one in (model, *others):
        for line in compared(one, [crop for crop, _ in known], places):
            print(f"{one.name} {default_way(one).title}, {line}")


def compared(model: Model, crops: Sequence, places: np.ndarray) -> list[str]:
    """A line an answer: the maps' agreement as cut, and aligned."""
    rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for crop, points in zip(crops, places, strict=True):
        [[explanation]] = explain_pass(forward_pass(model, [crop]), [default_way(model)])
        heat = cv2.resize(explanation.heatmap.astype(np.float32), (SIDE, SIDE))
        heat /= max(np.abs(heat).max(), 1e-12)
        laid = similarity(points[STABLE] * SIDE, places.mean(0)[STABLE] * SIDE)
        outside = {"flags": cv2.INTER_LINEAR, "borderValue": float("nan")}
        aligned = cv2.warpAffine(heat, laid, (SIDE, SIDE), **outside)
        rows.setdefault(explanation.target, []).append((heat, aligned))
    return [
        f"{model.task.title(label)}, {len(maps)} faces: "
        + "; ".join(
            f"{where} {agreement(cut, part):.2f} as cut, {agreement(aligned, part):.2f} aligned"
            for where, part in (("all of it", slice(None)), ("its middle", MIDDLE))
        )
        for label, maps in rows.items()
        if len(maps) >= FEWEST
        for cut, aligned in [map(np.array, zip(*maps, strict=True))]
    ]


def similarity(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The 2 x 3 matrix of turn, scale and shift that lays points (K x 2) nearest on others."""
    (x, y), one, zero = points.T, np.ones(len(points)), np.zeros(len(points))
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, across, down = np.linalg.lstsq(rows, there.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, across], [b, a, down]])


def agreement(maps: np.ndarray, part: slice) -> float:
    """Mean correlation of each of the maps (N x S x S, NaN outside) with the mean of the others."""
    maps = maps[:, part, part].reshape(len(maps), -1)
    there = ~np.isnan(maps)
    total, count = np.where(there, maps, 0).sum(0), there.sum(0)
    found = []
    for one, seen in zip(maps, there, strict=True):
        usable = seen & (count > 1)
        others = (total[usable] - one[usable]) / (count[usable] - 1)
        if one[usable].std() and others.std():
            found.append(np.corrcoef(one[usable], others)[0, 1])
    return float(np.mean(found))


if __name__ == "__main__":
    main()
