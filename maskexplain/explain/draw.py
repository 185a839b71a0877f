"""Pictures of results: heatmap overlays, training curves, confusion matrices.

matplotlib's Figure is used without pyplot: pyplot keeps state between callers.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
from PIL import Image

from ..images.crops import Crop, paste_back
from ..models.results import Epoch
from ..task import Task
from .explain import Explanation

HEAT = matplotlib.colormaps["inferno"]  # perceptually uniform
FOR_AND_AGAINST = matplotlib.colormaps["PuOr_r"]  # even on both sides, told apart by all eyes
SIDE = 320  # of a drawn crop, in pixels
LABEL = 12  # characters of a class's title in one line of a figure


def enlarge(crop: Image.Image, side: int = SIDE) -> Image.Image:
    """A crop scaled so that its longer side has `side` pixels."""
    scale = side / max(crop.size)
    size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    return crop.resize(size, Image.Resampling.BICUBIC)


def overlay(
    crop: Image.Image, explanation: Explanation, side: int = SIDE, signed: bool = False
) -> Image.Image:
    """The crop with the heat over it: what speaks for the target; `signed`: and against it.

    Scaled to the map's peak. Opacity grows with the heat, so that cold places show the face;
    without positive heat the face stays as it is. Signed, orange speaks for, purple against.
    """
    large = enlarge(crop, side)
    scale = relative_signed if signed else relative_heat
    small = Image.fromarray(scale(explanation.heatmap))
    heat = np.asarray(small.resize(large.size, Image.Resampling.BILINEAR))
    return _blend(large, heat, HEAT(heat) if not signed else FOR_AND_AGAINST((heat + 1) / 2))


def overlay_on_photo(
    photo: Image.Image, crop: Crop, explanation: Explanation, side: int = 2 * SIDE
) -> Image.Image:
    """The photo, at most `side` pixels long, with the heat at its true place on the face."""
    heat = paste_back(relative_heat(explanation.heatmap), crop, photo.size)
    small = photo.copy()
    small.thumbnail((side, side))
    resized = np.asarray(Image.fromarray(heat).resize(small.size, Image.Resampling.BILINEAR))
    return _blend(small, resized, HEAT(resized))


def relative_heat(heatmap: np.ndarray) -> np.ndarray:
    """The positive heat as a share of the map's peak, float32 0..1; all 0 where none is."""
    heat = np.clip(heatmap, 0, None)
    peak = heat.max()
    return heat / peak if peak > 0 else heat


def relative_signed(heatmap: np.ndarray) -> np.ndarray:
    """The heat as a share of its largest absolute value, float32 -1..1; all 0 where none is."""
    peak = np.abs(heatmap).max()
    return heatmap / peak if peak > 0 else heatmap


def _blend(image: Image.Image, heat: np.ndarray, colours: np.ndarray) -> Image.Image:
    alpha = 0.85 * np.sqrt(np.abs(heat))[..., None]
    rgb = colours[..., :3] * 255  # H x W x 3
    mixed = (1 - alpha) * np.asarray(image, dtype=np.float32) + alpha * rgb
    return Image.fromarray(mixed.round().astype(np.uint8))


def file_bytes(image: Image.Image, kind: str = "png") -> bytes:
    """The contents of a picture's file (png, jpeg or webp)."""
    buffer = BytesIO()
    image.save(buffer, kind, quality=88)
    return buffer.getvalue()


def base64_of(image: Image.Image, kind: str = "png") -> str:
    """A picture's file (png, jpeg or webp) in base64."""
    return base64.b64encode(file_bytes(image, kind)).decode()


def data_url(image: Image.Image, kind: str = "png") -> str:
    """A picture as a `data:` URL (png, jpeg or webp): shown and saved without a file on disk."""
    return f"data:image/{kind};base64,{base64_of(image, kind)}"


def history_figure(history: Sequence[Epoch], task: Task, path: Path) -> None:
    """Write the training curves as PNG: losses left, balanced accuracy and recalls right."""
    from matplotlib.figure import Figure  # a fifth of a second, which serving can do without

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [line.epoch for line in history]
    left.plot(epochs, [line.train_loss for line in history], label="train")
    left.plot(epochs, [line.val_loss for line in history], label="val")
    left.set(xlabel="epoch", ylabel="loss")
    for one in task.classes:
        recalls = [line.val_recall[one.name] for line in history]
        right.plot(epochs, recalls, color=one.colour, label=f"recall, {one.name}")
    balanced = [line.val_balanced_accuracy for line in history]
    right.plot(epochs, balanced, color="black", linewidth=2, label="balanced accuracy")
    right.set(xlabel="epoch", ylabel="on val", ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, format="png")


def confusion_figure(matrix: list[list[int]], task: Task, title: str, path: Path) -> None:
    """Write a confusion matrix (counts; rows true, columns answered) as PNG."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [fill(one.title, LABEL) for one in task.classes]
    axes.set_xticks(range(len(task)), names)
    axes.set_yticks(range(len(task)), names)
    axes.set(xlabel="answered", ylabel="true", title=title)
    figure.savefig(path, dpi=110, format="png")
