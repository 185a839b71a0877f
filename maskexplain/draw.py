"""Pictures of results: heatmap overlays, training curves, confusion matrices, the figure to keep.

matplotlib's Figure is used without pyplot: pyplot keeps state between callers.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from .answer import Prediction
from .crops import Crop, paste_back
from .explain import Answer, Explanation
from .faces import Face
from .model import CLASSES

# Told apart by colour-blind people (after Okabe and Ito), 3:1 and more against white and black.
CLASS_COLOURS = {
    "mask_weared_incorrect": "#c46a00",
    "with_mask": "#2a7fc0",
    "without_mask": "#a8589a",
}
CLASS_TITLES = {
    "mask_weared_incorrect": "Mask worn incorrectly",
    "with_mask": "Mask worn",
    "without_mask": "No mask",
}
METHOD_TITLES = {"grad_cam": "Grad-CAM", "integrated_gradients": "Integrated gradients"}
HEAT = matplotlib.colormaps["inferno"]  # perceptually uniform
SIDE = 320  # of a drawn crop, in pixels


def enlarge(crop: Image.Image, side: int = SIDE) -> Image.Image:
    """A crop scaled so that its longer side has `side` pixels."""
    scale = side / max(crop.size)
    size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    return crop.resize(size, Image.Resampling.BICUBIC)


def overlay(crop: Image.Image, explanation: Explanation, side: int = SIDE) -> Image.Image:
    """The crop with the positive heat over it: what speaks for the target.

    Scaled to the map's peak. Opacity grows with the heat, so that cold places show the face;
    without positive heat the face stays as it is.
    """
    large = enlarge(crop, side)
    heat = Image.fromarray(relative_heat(explanation.heatmap))
    return _blend(large, np.asarray(heat.resize(large.size, Image.Resampling.BILINEAR)))


def overlay_on_photo(
    photo: Image.Image, crop: Crop, explanation: Explanation, side: int = 2 * SIDE
) -> Image.Image:
    """The photo, at most `side` pixels long, with the heat at its true place on the face."""
    heat = paste_back(relative_heat(explanation.heatmap), crop, photo.size)
    small = photo.copy()
    small.thumbnail((side, side))
    heat = Image.fromarray(heat).resize(small.size, Image.Resampling.BILINEAR)
    return _blend(small, np.asarray(heat))


def relative_heat(heatmap: np.ndarray) -> np.ndarray:
    """The positive heat as a share of the map's peak, float32 0..1; all 0 where none is."""
    heat = np.clip(heatmap, 0, None)
    peak = heat.max()
    return heat / peak if peak > 0 else heat


def _blend(image: Image.Image, heat: np.ndarray) -> Image.Image:
    colours = HEAT(heat)[..., :3] * 255  # H x W x 3
    alpha = 0.85 * np.sqrt(heat)[..., None]
    mixed = (1 - alpha) * np.asarray(image, dtype=np.float32) + alpha * colours
    return Image.fromarray(mixed.round().astype(np.uint8))


def number_faces(image: Image.Image, faces: Sequence[Face], chosen: int) -> Image.Image:
    """The picture with a numbered box on each face (from 1); the chosen one's (from 0) is thick."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    line = max(1, round(max(image.size) / 400))
    for index, face in enumerate(faces):
        colour, width = ("#ffd54a", 2 * line) if index == chosen else ("white", line)
        pen.rectangle(face.box, outline="black", width=width + 2)
        pen.rectangle(face.box, outline=colour, width=width)
        _number(pen, face, str(index + 1), largest=max(12, max(image.size) // 24))
    return drawn


def _number(pen: ImageDraw.ImageDraw, face: Face, number: str, largest: int) -> None:
    # A number that covered its face would hide what it names.
    size = min(largest, max(9, round((face.box[3] - face.box[1]) / 3)))
    font = ImageFont.load_default(size=size)
    frame = pen.textbbox(face.box[:2], number, font=font)
    pen.rectangle((face.box[0], face.box[1], frame[2] + 2, frame[3] + 2), "black")
    pen.text(face.box[:2], number, fill="white", font=font)


def base64_of(image: Image.Image, kind: str = "png") -> str:
    """A picture's file (png or jpeg) in base64."""
    buffer = BytesIO()
    image.save(buffer, kind, quality=88)
    return base64.b64encode(buffer.getvalue()).decode()


def data_url(image: Image.Image, kind: str = "png") -> str:
    """A picture as a `data:` URL (png or jpeg): shown and saved without a file on disk."""
    return f"data:image/{kind};base64,{base64_of(image, kind)}"


def explanation_figure(crop: Image.Image, answers: dict[str, Answer], path: Path) -> None:
    """Write a PNG with a row a version: the crop, its overlays with a colour bar, its bars."""
    columns = 2 + max(len(a.explanations) for a in answers.values())
    figure = Figure(figsize=(3.1 * columns, 3.1 * len(answers)), layout="constrained")
    grid = figure.subplots(len(answers), columns, squeeze=False)
    for row, (name, answer) in zip(grid, answers.items(), strict=True):
        row[0].imshow(crop)
        row[0].set_title(name)
        for axes, explanation in zip(row[1:], answer.explanations, strict=False):
            axes.imshow(overlay(crop, explanation))
            axes.set_title(f"{METHOD_TITLES[explanation.method]}\nfor {explanation.target}")
        for axes in row[:-1]:
            axes.set_axis_off()
        scale = matplotlib.cm.ScalarMappable(cmap=HEAT)
        bar = figure.colorbar(scale, ax=row[-2], ticks=[0, 1], fraction=0.05)
        bar.set_ticklabels(["none", "most"])
        bar.set_label("speaks for the class")
        _draw_bars(row[-1], answer.prediction)
    figure.savefig(path, dpi=110, format="png")


def _draw_bars(axes, prediction: Prediction) -> None:
    values = [prediction.probabilities[name] for name in CLASSES]
    titles = [CLASS_TITLES[name] for name in CLASSES]
    bars = axes.barh(titles, values, color=[CLASS_COLOURS[name] for name in CLASSES])
    axes.bar_label(bars, [f"{v:.1%}" for v in values], padding=3)
    axes.set_xlim(0, 1.25)
    axes.invert_yaxis()
    axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.spines[["top", "right"]].set_visible(False)


def history_figure(history: list[dict], path: Path) -> None:
    """Write the training curves as PNG: losses left, balanced accuracy and recalls right."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [line["epoch"] for line in history]
    left.plot(epochs, [line["train_loss"] for line in history], label="train")
    left.plot(epochs, [line["val_loss"] for line in history], label="val")
    left.set(xlabel="epoch", ylabel="loss")
    for name in CLASSES:
        recalls = [line["val_recall"][name] for line in history]
        right.plot(epochs, recalls, color=CLASS_COLOURS[name], label=f"recall, {name}")
    balanced = [line["val_balanced_accuracy"] for line in history]
    right.plot(epochs, balanced, color="black", linewidth=2, label="balanced accuracy")
    right.set(xlabel="epoch", ylabel="on val", ylim=(0, 1.02))
    for axes in (left, right):
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, format="png")


def confusion_figure(matrix: list[list[int]], title: str, path: Path) -> None:
    """Write a confusion matrix (counts; rows true, columns answered) as PNG."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [CLASS_TITLES[name].replace(" worn ", "\nworn ") for name in CLASSES]
    axes.set_xticks(range(len(CLASSES)), names)
    axes.set_yticks(range(len(CLASSES)), names)
    axes.set(xlabel="answered", ylabel="true", title=title)
    figure.savefig(path, dpi=110, format="png")
