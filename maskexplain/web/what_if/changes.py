"""One face, changed as its photo might have been: light, detail, colour, turn, size, a mask.

What comes by degrees is a slider: one `register(Slider(...))`, from which controls, curves, the
search for a flip and their words follow. A mask, a turn and a size change the photo around the face
before it is cut, so that corners show what really lies there; the rest changes the cut.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import hypot

import numpy as np
from PIL import Image, ImageEnhance

from ...data.samples import PALE_BLUE, STRIPED
from ...errors import UserError
from ...images.crops import Crop
from ...images.edit import cut_patch, mapped, placement
from ...images.faces import Landmarks
from ...masks import MaskStyle, Position, paint_mask
from ...masks.head import fit_head

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
        info="Pixels left across the picture",
        low=8,
        high=128,
        neutral=128,
        unit=" pixels",
        moved=("only {} across the picture are left", "there are {} across the picture"),
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
        moved=("the picture is turned to {}", "the picture is turned to {}"),
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
        moved=("the picture shrinks to {}", "the picture grows to {}"),
        place=lambda percent: (0.0, percent / 100),
    )
)


# --- a face and its changes

MAX_SIDE = 256  # pixels of a crop; the networks look at 64 and 161
KEPT_PAINTINGS = 4  # of one face

MASKS: dict[str, Position | None] = {
    "none": None,
    "right": "right",
    "nose_out": "nose_out",
    "chin": "chin",
}
COLOURS: dict[str, MaskStyle] = {
    "blue": PALE_BLUE,
    "white": MaskStyle("surgical", (236, 238, 240)),
    "black": MaskStyle("surgical", (40, 42, 46)),
    "red": MaskStyle("cloth", (165, 45, 50)),
    "striped": STRIPED,
}


class ChangeError(UserError):
    """A change was asked for that does not exist, or that this face does not allow."""


@dataclass(frozen=True)
class Changes:
    """What is changed; the defaults change nothing.

    `values`: of the sliders by their keys, held within their bounds; those that are missing stand
    where they change nothing. `mask`: one of MASKS; `colour`: one of COLOURS. Raises ChangeError
    for other names.

    >>> Changes.of(light=35, mask="right")["light"]
    35
    """

    values: dict[str, int] = field(default_factory=dict)
    mask: str = "none"
    colour: str = "blue"

    def __post_init__(self) -> None:
        if not set(self.values) <= set(SLIDERS):
            raise ChangeError(f"There is no such slider: use {', '.join(SLIDERS)}.")
        held = {k: s.held(self.values.get(k, s.neutral)) for k, s in SLIDERS.items()}
        object.__setattr__(self, "values", held)
        if self.mask not in MASKS:
            raise ChangeError(f"There is no such mask: use {', '.join(MASKS)}.")
        if self.colour not in COLOURS:
            raise ChangeError(f"There is no such colour: use {', '.join(COLOURS)}.")

    @classmethod
    def of(cls, mask: str = "none", colour: str = "blue", **values: int) -> "Changes":
        """Changes by the sliders' names. Raises ChangeError."""
        return cls(values, mask, colour)

    def __getitem__(self, slider: str) -> int:
        return self.values[slider]

    def at(self, slider: str, value: int) -> "Changes":
        """The same with one slider somewhere else."""
        return replace(self, values={**self.values, slider: value})

    @property
    def moved(self) -> dict[str, int]:
        """The sliders that change something, and where they stand."""
        return {k: value for k, value in self.values.items() if value != SLIDERS[k].neutral}


UNCHANGED = Changes()


@dataclass(frozen=True)
class Sitter:
    """A face with what lies around it, ready to be changed.

    `photo`: the part of the picture that turn and size can reach, RGB, shrunk so that the cut face
    is at most 256 pixels long. `crop`: the unchanged cut, its transform leading to `photo`.
    `landmarks`: of the face, in `photo`'s pixels; None where no mask can be painted.
    """

    photo: Image.Image
    crop: Crop
    landmarks: Landmarks | None = None
    _painted: dict[tuple[str, str], Image.Image] = field(default_factory=dict, repr=False)

    def wearing(self, mask: str, colour: str) -> Image.Image:
        """The photo with one of MASKS in one of COLOURS; the last few are kept.

        Raises ChangeError where the face has no landmarks to paint by.
        """
        position = MASKS[mask]
        if position is None:
            return self.photo
        if self.landmarks is None:
            raise ChangeError(
                "No mask can be painted here: eyes, nose and mouth of this face were not found."
            )
        painted = self._painted.get((mask, colour))  # several threads may ask
        if painted is None:
            painting = paint_mask(self.photo, self.landmarks, position, COLOURS[colour], rng=0)
            painted = painting.image
            while len(self._painted) >= KEPT_PAINTINGS:
                self._painted.pop(next(iter(self._painted), None), None)
            self._painted[mask, colour] = painted
        return painted


def seat(image: Image.Image, crop: Crop, landmarks: Landmarks | None) -> Sitter:
    """Take one face out of its RGB picture, with as much around it as the sliders can reach.

    `crop` was cut from the picture; `landmarks` are in its pixels, as in photo.Subjects.
    """
    there = np.array(crop.transform)
    box = _reach(there, crop.image.size, image.size)
    scale = min(1.0, MAX_SIDE / max(crop.image.size))
    part = image.crop(box)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in part.size]
        part = part.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=2.0)
    shrink = np.array(part.size) / (box[2] - box[0], box[3] - box[1])
    # From the new crop's pixels to the old one's, to the picture's, to those of its part.
    cut = tuple(max(1, round(side * scale)) for side in crop.image.size)
    grow = np.array(crop.image.size) / cut
    matrix = np.column_stack([there[:, :2] * grow, there[:, 2] - box[:2]]) * shrink[:, None]
    unchanged = Image.fromarray(cut_patch(np.asarray(part), matrix, cut))
    points = None
    if landmarks is not None:
        points = (mapped(there, np.array(landmarks)) - box[:2]) * shrink
    (a, b, c), (d, e, f) = matrix.tolist()
    return Sitter(part, Crop(unchanged, ((a, b, c), (d, e, f))), _paintable(points, part.size))


def _reach(
    there: np.ndarray, size: tuple[int, int], picture: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The box of the picture that the cut can show, however it is turned and sized."""
    middle = mapped(there, np.array(size) / 2)
    radius = hypot(*(there[:, :2] @ np.array([size[0], 0])))
    radius = hypot(radius, *(there[:, :2] @ np.array([0, size[1]]))) / 2
    radius *= 100 / SLIDERS["size"].low
    low = np.maximum(np.floor(middle - radius), 0).astype(int)
    high = np.minimum(np.ceil(middle + radius), picture).astype(int)
    return *low.tolist(), *np.maximum(high, low + 1).tolist()


def _paintable(points: np.ndarray | None, size: tuple[int, int]) -> Landmarks | None:
    """The landmarks, where a mask can be painted by them."""
    if points is None:
        return None
    try:
        fit_head(points, size)
    except ValueError:
        return None
    return tuple((x, y) for x, y in points.tolist())


def apply(sitter: Sitter, changes: Changes) -> Image.Image:
    """The face as the networks would be given it: an RGB crop of the unchanged one's size.

    Unchanged, it is `sitter.crop.image` to the last bit. Beyond the picture its border is
    repeated. Raises ChangeError for a mask on a face without landmarks.
    """
    crop = _cut(sitter, changes)
    moved = [(SLIDERS[key], value) for key, value in changes.moved.items()]
    for slider, value in sorted(moved, key=lambda pair: pair[0].order):
        crop = slider.edit(crop, value) if slider.edit else crop
    return crop


def _cut(sitter: Sitter, changes: Changes) -> Image.Image:
    photo, size = sitter.wearing(changes.mask, changes.colour), sitter.crop.image.size
    turn, scale = 0.0, 1.0
    for key, value in changes.moved.items():
        degrees, share = place(value) if (place := SLIDERS[key].place) else (0.0, 1.0)
        turn, scale = turn + degrees, scale * share
    # A patch laid on the photo turned against the clock shows the photo turned with it.
    middle = np.array(size) / 2
    turned = placement(middle, size, -turn, 1 / scale)
    there = np.array(sitter.crop.transform)
    matrix = np.column_stack([there[:, :2] @ turned[:, :2], mapped(there, turned[:, 2])])
    return Image.fromarray(cut_patch(np.asarray(photo), matrix, size))
