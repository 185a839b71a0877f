"""Pictures of explanations: heatmap overlays, and a report to keep with its figure and files.

The figure has each version's answer, heatmaps, curves and verdicts on one page (PNG). The files
are that, the heatmaps as .npy, all figures as JSON, and all of it as zip. matplotlib's Figure is
used without pyplot: pyplot keeps state between callers.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipFile

import matplotlib
import numpy as np
from PIL import Image

from ..files import write_file
from ..images.crops import Crop, paste_back
from ..models.version import Prediction
from ..task import Task
from .explain import Explanation
from .faithfulness import Curves
from .report import Report
from .verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

# A sign that the font lacks, such as an emoji in a class's name, is drawn as a box.
warnings.filterwarnings("ignore", message="Glyph .* missing from")
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


WIDTH, HEIGHT = 3.2, 3.4  # of a panel, in inches
LINE = 46  # characters of a verdict's line


def explanation_figure(reports: Sequence[Report]) -> bytes:
    """A PNG with a row a version: the crop, its bars, its overlays with colour bar and verdict.

    Under each overlay its deletion and insertion curves, where the report has them. Drawn by Agg
    without pyplot, which keeps state between callers.
    """
    from matplotlib.figure import Figure  # a fifth of a second, which serving can do without

    columns = 2 + max(len(report.ways) for report in reports)
    rows = [2 if report.trust else 1 for report in reports]
    size = (WIDTH * columns, sum(HEIGHT + 0.7 + 2.4 * (row - 1) for row in rows))
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(len(reports), 1, squeeze=False, height_ratios=rows)[:, 0]
    for part, report in zip(parts, reports, strict=True):
        _draw_report(part, report, columns)
    buffer = BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    return buffer.getvalue()


def _draw_report(part: SubFigure, report: Report, columns: int) -> None:
    from matplotlib.cm import ScalarMappable

    rows, ratios = (2, (1.5, 1)) if report.trust else (1, (1,))
    grid = part.subplots(rows, columns, squeeze=False, height_ratios=ratios)
    for axes in grid.flat:
        axes.set_axis_off()
    model, answer = report.model, report.answer.prediction
    grid[0, 0].imshow(report.crop)
    title = f"{model.name}: {model.task.title(answer.label)}{' (unsure)' if answer.unsure else ''}"
    grid[0, 0].set_title(title, weight="bold", fontsize=10, loc="left")
    _draw_bars(grid[0, 1], model.task, answer)
    explained = zip(report.answer.explanations, report.verdicts, strict=True)
    for column, (explanation, verdict) in enumerate(explained, start=2):
        _draw_heat(grid[0, column], report, explanation, verdict)
    for column, trust in enumerate(report.trust, start=2):
        _draw_curves(grid[1, column], trust.curves)
    if report.trust:
        grid[1, 1].legend(*grid[1, 2].get_legend_handles_labels(), loc="center", fontsize=8)
    scale = ScalarMappable(cmap=HEAT)
    bar = part.colorbar(scale, ax=grid[0, -1], ticks=[0, 1], fraction=0.05)
    bar.set_ticklabels(["nothing", "most"])
    bar.set_label("speaks for the class")


def _draw_heat(axes: Axes, report: Report, explanation: Explanation, verdict: Verdict) -> None:
    axes.imshow(overlay(report.crop, explanation))
    question = question_of(report.model.task, explanation)
    axes.set_title(f"{explanation.way.title}\n{question}", fontsize=9)
    text = f"{verdict.title}\n{fill(verdict.sentence, LINE)}"
    axes.text(0, -0.04, text, transform=axes.transAxes, va="top", fontsize=7)


def question_of(task: Task, explanation: Explanation) -> str:
    """What a heatmap answers, for people: why this class, and why not that one."""
    against = f", not “{task.title(explanation.against)}”" if explanation.against else ""
    return f"Why “{task.title(explanation.target)}”{against}?"


def _draw_bars(axes: Axes, task: Task, prediction: Prediction) -> None:
    values = [prediction.probabilities[name] for name in task.names]
    axes.set_axis_on()
    places = range(len(task))
    bars = axes.barh(places, values, color=[one.colour for one in task.classes])
    axes.set_yticks(places, [fill(one.title, LABEL) for one in task.classes])
    axes.bar_label(bars, [f"{v:.1%}" for v in values], padding=3)
    axes.set_xlim(0, 1.3)
    axes.invert_yaxis()
    axes.set_box_aspect(0.8)
    axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(axes: Axes, curves: Curves) -> None:
    """Insertion is drawn over what is still blurred, so that one band serves both curves."""
    axes.set_axis_on()
    low, high = curves.band()
    levels, kept = curves.levels, [1 - level for level in curves.levels]
    axes.fill_between(levels, low, high, color="#999999", alpha=0.35, label="random orders")
    axes.plot(levels, curves.deletion.probability, color="#b5400a", label="hottest blurred first")
    axes.plot(
        kept, curves.insertion.probability, "--", color="#1f659b", label="coldest blurred first"
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="blurred share of the picture")
    axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.spines[["top", "right"]].set_visible(False)


# --- as files


def report_files(reports: Sequence[Report], stem: str) -> dict[str, bytes]:
    """File names and contents: STEM.png, STEM.json, STEM.crop.png and a .npy for each heatmap.

    A .npy holds float32 H x W at the crop's size, signed.
    """
    crop = next((r.crop for r in reports if r.model.task.faces), reports[0].crop)
    files = {f"{stem}.png": explanation_figure(reports), f"{stem}.crop.png": file_bytes(crop)}
    facts = {}
    for report in reports:
        facts[report.model.name] = content = report.to_dict()
        for way, explanation, written in zip(
            report.ways, report.answer.explanations, content["explanations"], strict=True
        ):
            name = f"{stem}.{report.model.name}.{way.key.replace('/', '-')}.npy"
            files[name] = _npy(explanation.heatmap)
            written["heatmap"] = name
    files[f"{stem}.json"] = (json.dumps(facts, indent=1) + "\n").encode()
    return files


def write_report(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a folder. Raises UserError where that is not possible."""
    for name, content in files.items():
        write_file(folder / name, lambda beside, content=content: beside.write_bytes(content))


def zip_of(files: dict[str, bytes]) -> bytes:
    """The files as one zip archive."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy(heatmap: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, heatmap)
    return buffer.getvalue()
