"""Things before a face that are no masks: a hand, a scarf, a cup, a microphone, food, a head.

A network that sees only masks before mouths learns "something before the mouth is a mask". These
are drawn from simple shapes in the picture's own light; they need not be admired, only be varied.
A mask that covers nose and mouth and leaves the chin bare is painted nowhere: guidelines call it
worn incorrectly, the data's labels do not agree on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from .head import Head, fit_head

FINE = 512  # pixels of the picture's long side that the shapes are drawn at
USUAL_SKIN = 165.0  # luma of a cheek in usual light, 0..255


@dataclass(frozen=True)
class Canvas:
    """A layer over the picture, drawn finer than it: `cover` (H x W, 0..1) and `colour`."""

    head: Head
    scale: float
    cover: np.ndarray
    colour: np.ndarray  # H x W x 3, 0..255

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Pixels of a point given in the head's units (see head.py), flat on the picture."""
        point = (self.head.origin + x * self.head.across + y * self.head.down) * self.scale
        return int(round(point[0])), int(round(point[1]))

    def length(self, units: float) -> int:
        """Pixels of a length in the head's units, at least one."""
        return max(1, int(round(units * self.head.unit * self.scale)))

    def polygon(self, points: Sequence[tuple[float, float]], colour: np.ndarray) -> None:
        """Fill a polygon given in the head's units."""
        corners = np.array([self.place(x, y) for x, y in points], np.int32)
        cv2.fillPoly(self.cover, [corners], 1.0, cv2.LINE_AA)
        cv2.fillPoly(self.colour, [corners], colour.tolist(), cv2.LINE_AA)

    def ellipse(
        self, x: float, y: float, radii: tuple[float, float], turn: float, colour: np.ndarray
    ) -> None:
        """Fill an ellipse given in the head's units, turned by degrees."""
        axes = self.length(radii[0]), self.length(radii[1])
        for layer, value in ((self.cover, (1.0,)), (self.colour, tuple(colour.tolist()))):
            cv2.ellipse(layer, self.place(x, y), axes, turn, 0, 360, value, -1, cv2.LINE_AA)

    def stroke(
        self, start: tuple[float, float], end: tuple[float, float], width: float, colour: np.ndarray
    ) -> None:
        """Draw a thick line with round ends, given in the head's units."""
        ends, thick = (self.place(*start), self.place(*end)), self.length(width)
        cv2.line(self.cover, *ends, 1.0, thick, cv2.LINE_AA)
        cv2.line(self.colour, *ends, colour.tolist(), thick, cv2.LINE_AA)


def _hand(canvas: Canvas, skin: np.ndarray, rng: np.random.Generator) -> None:
    """A palm and fingers in the face's own skin colour, over mouth, nose or chin."""
    tone = (skin * rng.uniform(0.8, 1.1) + rng.normal(0, 6, 3)).clip(10, 250)
    x, y = rng.uniform(-0.35, 0.35), rng.uniform(0.8, 1.5)
    turn = rng.uniform(0, 2 * np.pi)
    along, aside = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    palm = np.array([x, y]) - 0.45 * along
    size = rng.uniform(0.35, 0.6)
    canvas.ellipse(palm[0], palm[1], (size * 1.15, size), float(np.degrees(turn)), tone)
    for finger in range(int(rng.integers(2, 5))):
        base = palm + aside * (finger - 1.5) * size * 0.55 + along * size * 0.7
        tip = base + along * rng.uniform(0.5, 0.9) + aside * rng.normal(0, 0.06)
        canvas.stroke(tuple(base), tuple(tip), size * 0.5, tone * 0.72)
        canvas.stroke(tuple(base), tuple(tip), size * 0.42, tone * rng.uniform(0.94, 1.05))


def _scarf(canvas: Canvas, _skin: np.ndarray, rng: np.random.Generator) -> None:
    """A band of cloth around neck and chin, from under the lower lip at most."""
    top, base = rng.uniform(1.1, 1.5), _any_colour(rng)
    xs = np.linspace(-1.6, 1.6, 9)
    edge = [(x, top + rng.normal(0, 0.05) - 0.12 * x * x * rng.uniform(0.2, 1)) for x in xs]
    canvas.polygon([*edge, (1.6, 3.2), (-1.6, 3.2)], base)
    other, step = _any_colour(rng), rng.uniform(0.12, 0.3)
    for index in range(int(rng.integers(0, 7))):  # stripes, or folds where colours are alike
        low = top + 0.15 + index * step
        line = [(x, low + 0.08 * np.sin(3 * x + index)) for x in xs]
        for start, end in zip(line, line[1:], strict=False):
            canvas.stroke(start, end, step * 0.4, other)


def _cup(canvas: Canvas, _skin: np.ndarray, rng: np.random.Generator) -> None:
    """A cup or a glass before the mouth, its rim lighter."""
    colour, x, top = _any_colour(rng), rng.uniform(-0.2, 0.2), rng.uniform(0.75, 1.1)
    wide, high, lean = rng.uniform(0.3, 0.5), rng.uniform(0.6, 1.1), rng.normal(0, 0.12)
    low = top + high
    corners = [(x - wide, top), (x + wide, top), (x + wide * 0.8 + lean, low)]
    canvas.polygon([*corners, (x - wide * 0.8 + lean, low)], colour)
    canvas.ellipse(x, top, (wide, wide * 0.25), 0, (colour * 1.15 + 20).clip(0, 255))
    canvas.ellipse(x, top, (wide * 0.85, wide * 0.17), 0, colour * 0.55)


def _microphone(canvas: Canvas, _skin: np.ndarray, rng: np.random.Generator) -> None:
    """A round head with a grid, on a stick from below."""
    x, y, size = rng.uniform(-0.5, 0.5), rng.uniform(1.0, 1.5), rng.uniform(0.2, 0.36)
    dark = np.full(3, rng.uniform(15, 90)) + rng.normal(0, 8, 3)
    away = rng.uniform(-0.8, 0.8)
    canvas.stroke((x, y), (x + away, y + 2.0), size * 0.8, (dark * 0.7).clip(5, 255))
    canvas.ellipse(x, y, (size, size * rng.uniform(1, 1.35)), rng.uniform(0, 180), dark)
    for step in np.linspace(-size, size, 7):
        light = (dark * 1.5 + 12).clip(0, 255)
        half = 0.7 * np.sqrt(max(size**2 - step**2, 0))
        canvas.stroke((x + step, y - half), (x + step, y + half), 0.015, light)
        canvas.stroke((x - half, y + step), (x + half, y + step), 0.015, light)


def _food(canvas: Canvas, _skin: np.ndarray, rng: np.random.Generator) -> None:
    """A lump at the mouth: something to eat, to smoke or to blow."""
    x, y, size = rng.uniform(-0.25, 0.25), rng.uniform(0.95, 1.25), rng.uniform(0.18, 0.42)
    turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    radii = size * rng.uniform(0.7, 1.25, 10)
    points = [
        (x + r * np.cos(t) * 1.3, y + r * np.sin(t)) for r, t in zip(radii, turns, strict=True)
    ]
    canvas.polygon(points, _any_colour(rng))
    if rng.random() < 0.5:
        canvas.stroke(
            (x, y), (x + rng.uniform(-1, 1), y + rng.uniform(0.2, 1.2)), 0.1, _any_colour(rng)
        )


def _other_head(canvas: Canvas, _skin: np.ndarray, rng: np.random.Generator) -> None:
    """The hair of somebody in front, from a lower corner."""
    side = rng.choice((-1, 1))
    hair = np.array([40, 30, 25]) * rng.uniform(0.4, 3.5) + rng.normal(0, 5, 3)
    x, y, size = side * rng.uniform(0.5, 1.1), rng.uniform(1.5, 2.2), rng.uniform(0.7, 1.0)
    canvas.ellipse(x, y, (size, size * 1.1), rng.uniform(-30, 30), hair.clip(5, 240))
    for _ in range(40):
        at = np.array([x, y]) + rng.normal(0, size * 0.45, 2)
        line = hair * rng.uniform(0.6, 1.5)
        canvas.stroke(tuple(at), tuple(at + rng.normal(0, 0.2, 2)), 0.03, line.clip(0, 255))
    inside = np.zeros_like(canvas.cover)
    axes = canvas.length(size), canvas.length(size * 1.1)
    cv2.ellipse(inside, canvas.place(x, y), axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    np.minimum(canvas.cover, inside, out=canvas.cover)


SHAPES: dict[str, Callable[[Canvas, np.ndarray, np.random.Generator], None]] = {
    "hand": _hand,
    "scarf": _scarf,
    "cup": _cup,
    "microphone": _microphone,
    "food": _food,
    "head": _other_head,
}
OCCLUDERS = tuple(SHAPES)


def paint_occluder(
    image: Image.Image,
    landmarks: Sequence[Sequence[float]],
    kind: str,
    rng: np.random.Generator | int = 0,
) -> Image.Image:
    """Draw one of OCCLUDERS before the face with these landmarks (as in `paint_mask`).

    The picture itself is left as it is; the same seed draws the same. Raises ValueError for
    landmarks that form no face, and KeyError for an unknown kind.
    """
    rng = np.random.default_rng(rng)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    head = fit_head(np.asarray(landmarks, dtype=float), image.size)
    scale = max(1.0, FINE / max(image.size))
    fine = (round(image.height * scale), round(image.width * scale))
    skin = _skin(pixels, head)
    canvas = Canvas(head, scale, np.zeros(fine, np.float32), np.zeros((*fine, 3), np.float32))
    SHAPES[kind](canvas, skin, rng)
    return _laid_over(pixels, canvas, float(skin.mean()) if kind != "hand" else USUAL_SKIN, rng)


def _laid_over(
    pixels: np.ndarray, canvas: Canvas, light: float, rng: np.random.Generator
) -> Image.Image:
    """The layer on the picture, in its light, as soft and as grainy as pictures are."""
    height, width = pixels.shape[:2]
    cover = cv2.resize(canvas.cover, (width, height), interpolation=cv2.INTER_AREA)
    colour = cv2.resize(canvas.colour, (width, height), interpolation=cv2.INTER_AREA)
    blur = rng.uniform(0.3, 1.0) * max(height, width) / 128
    alpha = cv2.GaussianBlur(cover, (0, 0), blur)[..., None]
    colour = cv2.GaussianBlur(colour, (0, 0), 0.7 * blur) / np.maximum(alpha, 0.2)
    turn = rng.uniform(0, 2 * np.pi)
    down, right = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1 + rng.uniform(0.05, 0.35) * (np.cos(turn) * right + np.sin(turn) * down)
    lit = colour * shade[..., None] * np.clip(light / USUAL_SKIN, 0.25, 1.25)
    lit += rng.normal(0, rng.uniform(1, 5), lit.shape)
    shadow = 1 - 0.3 * cv2.GaussianBlur(cover, (0, 0), 4 * blur)[..., None]
    mixed = pixels * shadow * (1 - alpha) + lit.clip(0, 255) * alpha
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _skin(pixels: np.ndarray, head: Head) -> np.ndarray:
    """The median colour of the two cheeks, 0..255."""
    height, width = pixels.shape[:2]
    reach = max(1, round(0.12 * head.unit))
    parts = []
    for x in (-0.45, 0.45):
        column, row = (head.origin + x * head.across + 0.55 * head.down).round().astype(int)
        column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
        part = pixels[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ]
        parts.append(part.reshape(-1, 3))
    return np.median(np.concatenate(parts), axis=0)


def _any_colour(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(15, 245, 3) if rng.random() < 0.7 else np.full(3, rng.uniform(15, 245))
