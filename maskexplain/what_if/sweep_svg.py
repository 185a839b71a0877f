"""A version's answers along a slider as a small inline SVG, in the classes' colours."""

from html import escape

from ..explaining.draw import CLASS_TITLES
from ..networks.model import CLASSES
from ..views.percent_rows import percent_rows
from .changes import SLIDERS, Changes, Slider
from .sweep import Sweep

WIDTH, HEIGHT = 260, 140
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 36
BAND = 6  # height of the strip that shows the answer


def sweep_svg(sweep: Sweep) -> str:
    """Three curves, a strip with the answer below them, and a line at the present value.

    Where that line stands is said by `present_style`, so that it moves without a new drawing.
    """
    slider = SLIDERS[sweep.slider]
    lines = "".join(_line(slider, sweep, index) for index in range(len(CLASSES)))
    return f"""
<svg class="sweep" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words(sweep))}">
  {_axes(slider)}{_strip(slider, sweep)}{lines}
  <line class="present" style="transform: translateX(var(--now-{slider.key}))" y1="{TOP - 6}"
    y2="{_y(0) + BAND + 3:.1f}"/>
</svg>"""


def present_style(changes: Changes, within: str) -> str:
    """A style element that puts the lines of the charts `within` a CSS selector in place."""
    places = "".join(
        f"--now-{key}: {_x(slider, getattr(changes, key)):.1f}px; "
        for key, slider in SLIDERS.items()
    )
    return f"<style>{within} {{ {places}}}</style>"


def words(sweep: Sweep) -> str:
    """The curves for who cannot see them."""
    slider = SLIDERS[sweep.slider]
    answers = (
        f"{CLASS_TITLES[label]} at {slider.text(first)}"
        + (f" to {slider.text(last)}" if last != first else "")
        for label, first, last in sweep.runs()
    )
    return f"Answers of {sweep.version} along {slider.title.lower()}: {', '.join(answers)}"


def _line(slider: Slider, sweep: Sweep, index: int) -> str:
    rows = zip(sweep.values, sweep.probabilities, strict=True)
    points = " ".join(f"{_x(slider, value):.1f},{_y(row[index]):.1f}" for value, row in rows)
    return f'<polyline class="{CLASSES[index]}" points="{points}"/>'


def _strip(slider: Slider, sweep: Sweep) -> str:
    """Which class is answered, from half-way to the value before to half-way to the next."""
    edges = [slider.low]
    edges += [(a + b) / 2 for a, b in zip(sweep.values, sweep.values[1:], strict=False)]
    edges.append(slider.high)
    return "".join(
        f'<rect class="{label}" x="{_x(slider, start):.1f}" y="{_y(0) + 2:.1f}" height="{BAND}" '
        f'width="{_x(slider, end) - _x(slider, start) + 0.3:.1f}"/>'
        for label, start, end in zip(sweep.labels, edges[:-1], edges[1:], strict=True)
    )


def _axes(slider: Slider) -> str:
    between = slider.neutral
    if between in (slider.low, slider.high):
        between = (slider.low + slider.high) // 2
    marks = ((slider.low, "start"), (between, "middle"), (slider.high, "end"))
    return percent_rows(LEFT, WIDTH - RIGHT, _y) + "".join(
        f'<text x="{_x(slider, value):.1f}" y="{_y(0) + 20:.1f}" text-anchor="{anchor}">'
        f"{slider.text(value)}</text>"
        for value, anchor in marks
    )


def _x(slider: Slider, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - slider.low) / (slider.high - slider.low)


def _y(probability: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - probability)
