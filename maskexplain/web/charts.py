"""What was measured as pictures: small inline SVGs in the page's own colours, and mean heatmaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..explain.draw import HEAT, data_url, relative_heat
from ..explain.explain import default_way
from ..explain.faithfulness import Curves
from ..models.results import Bin, Calibration, MeanMap
from ..models.version import Model
from ..results.scores import wilson
from ..task import Task


@dataclass(frozen=True)
class Frame:
    """Where a chart's values lie: its size and margins, and the value at its left and right end.

    Heights are shares, 0 at the bottom to 1 at the top.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    first: float = 0.0
    last: float = 1.0

    def x(self, value: float) -> float:
        """Pixels from the left of a value between `first` and `last`."""
        share = (value - self.first) / (self.last - self.first)
        return self.left + (self.width - self.left - self.right) * share

    def y(self, share: float) -> float:
        """Pixels from the top of a share, 0..1."""
        return self.top + (self.height - self.top - self.bottom) * (1 - share)

    def points(self, values: Sequence[float], shares: Sequence[float]) -> str:
        """A line's `points`."""
        pairs = zip(values, shares, strict=True)
        return " ".join(f"{self.x(value):.1f},{self.y(share):.1f}" for value, share in pairs)

    def rows(self) -> str:
        """Lines at 0, 50 and 100%, each with its text to the left of it."""
        right = self.width - self.right
        return "".join(
            f'<line x1="{self.left}" x2="{right}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}"/>'
            f'<text x="{self.left - 4}" y="{self.y(v) + 3:.1f}" text-anchor="end">{v:.0%}</text>'
            for v in (0, 0.5, 1)
        )

    def title(self, text: str, below: float) -> str:
        """The text under the chart's middle, `below` pixels over its lower edge."""
        middle = (self.left + self.width - self.right) / 2
        return f'<text x="{middle}" y="{self.height - below}" text-anchor="middle">{text}</text>'


# --- deletion and insertion

CURVES = Frame(width=220, height=110, left=34, right=0, top=6, bottom=26)


def curves_svg(curves: Curves, name: str) -> str:
    """The curves of one heatmap; `name` (safe for HTML) begins the text for screen readers.

    Insertion is drawn over what is still blurred, so that one band serves both curves.
    """
    low, high = curves.band()
    levels, kept = curves.levels, [1 - level for level in curves.levels]
    band = CURVES.points([*levels, *reversed(levels)], [*high, *reversed(low)])
    label = (
        f"{name}: mean probability {curves.deletion.area:.0%} when blurred from the hottest place "
        f"on, {curves.insertion.area:.0%} from the coldest, {curves.random_area:.0%} in random "
        "orders"
    )
    return f"""<div>
<svg class="curves" viewBox="0 0 {CURVES.width} {CURVES.height}" role="img" aria-label="{label}">
  {_curves_axes()}
  <polygon class="random" points="{band}"/>
  <polyline class="deletion" points="{CURVES.points(levels, curves.deletion.probability)}"/>
  <polyline class="insertion" points="{CURVES.points(kept, curves.insertion.probability)}"/>
</svg>
<p class="key"><span class="deletion">hottest blurred first</span>
<span class="insertion">coldest blurred first</span>
<span class="random">random orders</span></p></div>"""


def _curves_axes() -> str:
    marks = "".join(
        f'<text x="{CURVES.x(v):.1f}" y="{CURVES.height - 14}" text-anchor="{anchor}">'
        f"{v:.0%}</text>"
        for v, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return CURVES.rows() + marks + CURVES.title("blurred", 2)


# --- reliability


def reliability_svg(calibration: Calibration, name: str, classes: int) -> str:
    """A dot a bin with answers, its 95% interval (Wilson), and the diagonal where all should lie.

    `name` (safe for HTML) begins the text for screen readers; of `classes` classes the answered one
    has at least an even share. Guo et al. 2017, arXiv:1706.04599.
    """
    bins = [b for b in calibration.bins if b.answers]
    label = f"{name}: " + "; ".join(
        f"sure to {b.confidence:.0%}, right {b.accuracy:.0%} of {b.answers}" for b in bins
    )
    frame = replace(RELIABILITY, first=1 / classes)
    return f"""
<svg class="reliability" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{label}">
  {_reliability_axes(frame)}
  {"".join(_dot(frame, b) for b in bins)}
</svg>"""


RELIABILITY = Frame(width=220, height=170, left=34, right=14, top=8, bottom=30)


def _reliability_axes(frame: Frame) -> str:
    low = frame.first
    diagonal = (
        f'<line class="ideal" x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" '
        f'x2="{frame.x(1):.1f}" y2="{frame.y(1):.1f}"/>'
    )
    marks = "".join(
        f'<text x="{frame.x(v):.1f}" y="{frame.height - 16}" text-anchor="middle">{v:.0%}</text>'
        for v in (0.2, 0.4, 0.6, 0.8, 1)
        if v > low
    )
    return frame.rows() + diagonal + marks + frame.title("how sure it was", 3)


def _dot(frame: Frame, found: Bin) -> str:
    low, high = wilson(round(found.accuracy * found.answers), found.answers)
    x, radius = frame.x(found.confidence), min(6.0, 1.5 + found.answers**0.5 / 6)
    return (
        f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(low):.1f}" '
        f'y2="{frame.y(high):.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{frame.y(found.accuracy):.1f}" r="{radius:.1f}"/>'
    )


# --- where a version looks on the whole

MIN_FACES = 3  # of a mean map worth a look
MAP_PIXELS = 96  # of a mean map that is shown


@dataclass(frozen=True)
class MeanPicture:
    """One class's mean map as a picture."""

    url: str
    alt: str
    title: str
    style: str
    faces: int


def mean_maps(model: Model, label: str | None = None) -> list[MeanPicture]:
    """The mean maps of a version's best way: of each class (or of one alone), right answers beside
    wrong ones.
    """
    scores, way, task = model.results.explanations, default_way(model), model.task
    names = task.names if label is None else (label,)
    known = {name: scores.maps_of(way.key, name) for name in names} if scores else {}
    return [
        _mean_map(task, name, kind, mean)
        for name, found in known.items()
        if found is not None
        for kind, mean in (("right", found.right), ("wrong", found.wrong))
        if mean is not None and mean.faces >= MIN_FACES
    ]


def _mean_map(task: Task, name: str, kind: str, mean: MeanMap) -> MeanPicture:
    heat = relative_heat(mean.array)
    colours = (HEAT(heat)[..., :3] * 255).astype(np.uint8)
    size = (MAP_PIXELS, MAP_PIXELS)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    title = f"{task.title(name)}: {kind} answers"
    alt = f"Mean heatmap of {mean.faces} {kind} answers “{task.title(name)}”"
    return MeanPicture(data_url(picture, "webp"), alt, title, task.style(name), mean.faces)
