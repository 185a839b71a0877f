"""The percent axis that all charts share, as SVG."""

from collections.abc import Callable


def percent_rows(left: float, right: float, y: Callable[[float], float]) -> str:
    """Lines from x `left` to `right` at 0, 50 and 100%, each with its text to the left of it.

    `y` gives the height at which a share (0..1) lies.
    """
    return "".join(
        f'<line x1="{left}" x2="{right}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 4}" y="{y(v) + 3:.1f}" text-anchor="end">{v:.0%}</text>'
        for v in (0, 0.5, 1)
    )
