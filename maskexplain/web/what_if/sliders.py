"""The changes that come by degrees: each slider is one entry, with what it does and what it says.

A further slider is one `register(Slider(...))`; controls, curves, the search for a flip and their
words follow.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageEnhance

Edit = Callable[[Image.Image, int], Image.Image]  # an RGB crop and a value to a crop of its size
Place = Callable[[int], tuple[float, float]]  # a value to degrees clockwise and a share of the size


@dataclass(frozen=True)
class Slider:
    """A change by whole numbers, `low` to `high`; `neutral` changes nothing.

    `info` explains it; `moved` says what has happened where it went down, and where it went up, {}
    being the value with its `unit`. `edit` changes the cut face; several are made by their `order`,
    the lowest first. `place` turns and sizes the face before it is cut.
    """

    key: str
    title: str
    info: str
    low: int
    high: int
    neutral: int
    unit: str
    moved: tuple[str, str]
    edit: Edit | None = None
    place: Place | None = None
    order: int = 0

    def text(self, value: int) -> str:
        """A value with its unit."""
        return f"{value}{self.unit}".replace("-", "−")

    def held(self, value: float) -> int:
        """The whole number nearest to a value, within the bounds."""
        return min(max(round(value), self.low), self.high)

    def share(self, one: int, other: int) -> float:
        """How far two values lie apart as a share (0..1) of the slider's whole way."""
        return abs(one - other) / (self.high - self.low)


SLIDERS: dict[str, Slider] = {}


def register(slider: Slider) -> Slider:
    """Offer a slider, behind those that there are."""
    SLIDERS[slider.key] = slider
    return slider


def _light(crop: Image.Image, percent: int) -> Image.Image:
    return ImageEnhance.Brightness(crop).enhance(percent / 100)


def _fewer_pixels(crop: Image.Image, pixels: int) -> Image.Image:
    small = crop.resize((pixels, pixels), Image.Resampling.BILINEAR)
    return small.resize(crop.size, Image.Resampling.BILINEAR)


def _less_colour(crop: Image.Image, percent: int) -> Image.Image:
    return ImageEnhance.Color(crop).enhance(1 - percent / 100)


# Edits in the order of a camera: what it resolves, its colours, its exposure.
register(
    Slider(
        key="light",
        title="Light",
        info="Percent of the photo’s light",
        low=10,
        high=200,
        neutral=100,
        unit="%",
        moved=("the light falls to {}", "the light rises to {}"),
        edit=_light,
        order=3,
    )
)
register(
    Slider(
        key="blur",
        title="Detail",
        info="Pixels left across the face",
        low=8,
        high=128,
        neutral=128,
        unit=" pixels",
        moved=("only {} across the face are left", "there are {} across the face"),
        edit=_fewer_pixels,
        order=1,
    )
)
register(
    Slider(
        key="gray",
        title="Gray",
        info="Percent of the colour gone",
        low=0,
        high=100,
        neutral=0,
        unit="%",
        moved=("only {} of the colour is taken away", "{} of the colour is taken away"),
        edit=_less_colour,
        order=2,
    )
)
register(
    Slider(
        key="turn",
        title="Turn",
        info="Degrees, clockwise",
        low=-45,
        high=45,
        neutral=0,
        unit="°",
        moved=("the face is turned to {}", "the face is turned to {}"),
        place=lambda degrees: (degrees, 1.0),
    )
)
register(
    Slider(
        key="size",
        title="Size",
        info="Percent; less is further away",
        low=50,
        high=150,
        neutral=100,
        unit="%",
        moved=("the face shrinks to {}", "the face grows to {}"),
        place=lambda percent: (0.0, percent / 100),
    )
)
