"""Deletion and insertion curves as a small inline SVG, in the page's own colours."""

from collections.abc import Sequence

from ..explaining.faithfulness import Curves
from .percent_rows import percent_rows

WIDTH, HEIGHT = 220, 110
LEFT, BOTTOM, TOP = 34, 26, 6


def curves_svg(curves: Curves, name: str) -> str:
    """The curves of one heatmap; `name` (safe for HTML) begins the text for screen readers.

    Insertion is drawn over what is still blurred, so that one band serves both curves.
    """
    low, high = curves.band()
    levels, kept = curves.levels, [1 - level for level in curves.levels]
    band = _points([*levels, *reversed(levels)], [*high, *reversed(low)])
    label = (
        f"{name}: mean probability {curves.deletion.area:.0%} when blurred from the hottest place "
        f"on, {curves.insertion.area:.0%} from the coldest, {curves.random_area:.0%} in random "
        "orders"
    )
    return f"""<div>
<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">
  {_axes()}
  <polygon class="random" points="{band}"/>
  <polyline class="deletion" points="{_points(levels, curves.deletion.probability)}"/>
  <polyline class="insertion" points="{_points(kept, curves.insertion.probability)}"/>
</svg>
<p class="key"><span class="deletion">hottest blurred first</span>
<span class="insertion">coldest blurred first</span>
<span class="random">random orders</span></p></div>"""


def _axes() -> str:
    marks = "".join(
        f'<text x="{_x(v):.1f}" y="{HEIGHT - 14}" text-anchor="{anchor}">{v:.0%}</text>'
        for v, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    title = f'<text x="{_x(0.5):.1f}" y="{HEIGHT - 2}" text-anchor="middle">blurred</text>'
    return percent_rows(LEFT, WIDTH, _y) + marks + title


def _points(levels: Sequence[float], values: Sequence[float]) -> str:
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(levels, values, strict=True))


def _x(level: float) -> float:
    return LEFT + (WIDTH - LEFT) * level


def _y(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value)
