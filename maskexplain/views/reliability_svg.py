"""How often answers of each confidence are right, as a small inline SVG in the page's colours."""

from ..measuring.statistics import wilson
from .percent_rows import percent_rows

WIDTH, HEIGHT = 220, 170
LEFT, RIGHT, TOP, BOTTOM = 34, 14, 8, 30
LOWEST = 1 / 3  # of three classes the answered one has at least a third


def reliability_svg(calibration: dict, name: str) -> str:
    """A dot a bin with answers, its 95% interval (Wilson), and the diagonal where all should lie.

    `calibration`: the "calibration" of a version's JSON; `name` (safe for HTML) begins the text
    for screen readers. Guo et al. 2017, arXiv:1706.04599.
    """
    bins = [b for b in calibration["bins"] if b["answers"]]
    label = f"{name}: " + "; ".join(
        f"sure to {b['confidence']:.0%}, right {b['accuracy']:.0%} of {b['answers']}" for b in bins
    )
    return f"""
<svg class="reliability" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">
  {_axes()}
  {"".join(map(_dot, bins))}
</svg>"""


def _axes() -> str:
    diagonal = (
        f'<line class="ideal" x1="{_x(LOWEST):.1f}" y1="{_y(LOWEST):.1f}" x2="{_x(1):.1f}" '
        f'y2="{_y(1):.1f}"/>'
    )
    marks = "".join(
        f'<text x="{_x(v):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{v:.0%}</text>'
        for v in (0.4, 0.6, 0.8, 1)
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    title = f'<text x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">how sure it was</text>'
    return percent_rows(LEFT, WIDTH - RIGHT, _y) + diagonal + marks + title


def _dot(found: dict) -> str:
    answers = found["answers"]
    low, high = wilson(round(found["accuracy"] * answers), answers)
    x, radius = _x(found["confidence"]), min(6.0, 1.5 + answers**0.5 / 6)
    return (
        f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(low):.1f}" y2="{_y(high):.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{_y(found["accuracy"]):.1f}" r="{radius:.1f}"/>'
    )


def _x(confidence: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (confidence - LOWEST) / (1 - LOWEST)


def _y(accuracy: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - accuracy)
