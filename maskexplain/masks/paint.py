"""Paint a mask on the picture of a bare face."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from .cloth import draw_cloth, draw_straps, strap_colour
from .cut import POSITIONS, Position, choose_shape
from .head import Head, bare_nose, fit_head
from .light import blur_of, light_of, lit, noise_of
from .style import MaskStyle, random_style
from .surface import Scene, coverage, find_window, make_mesh


@dataclass(frozen=True)
class PaintedMask:
    """The painted picture (RGB, the size of the bare one) and two regions of it, bool H x W.

    `mask`: where the cloth lies, without its straps; empty where it falls outside the picture.
    `nose`: the nose from bridge to nostrils as far as it is bare; empty when its tip is covered.
    """

    image: Image.Image
    mask: np.ndarray
    nose: np.ndarray


def paint_mask(
    image: Image.Image,
    landmarks: Sequence[Sequence[float]],
    position: Position = "right",
    style: MaskStyle | None = None,
    rng: np.random.Generator | int = 0,
) -> PaintedMask:
    """Paint a mask on the face with these landmarks; the picture itself is left as it is.

    `landmarks`: five (x, y) points in pixels, in YuNet's order: the person's right eye, left eye,
    nose tip, right and left corner of the mouth. `position`: "right" covers nose, mouth and chin,
    "nose_out" mouth and chin, "chin" lies below the mouth, "lip" just under the lower lip,
    "eyes" above the nose tip, "forehead" above the eyes, "ear" beside the face, from one ear down.
    `style`: None draws one. `rng`: a generator or a seed; the same seed paints the same picture.

    Raises ValueError for landmarks that cannot belong to a face in this picture, and for an
    unknown position.
    """
    if position not in POSITIONS:
        raise ValueError(f"Unknown position {position!r}: choose from {', '.join(POSITIONS)}.")
    rng = np.random.default_rng(rng)
    style = style or random_style(rng)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    head = fit_head(np.asarray(landmarks, dtype=float), image.size)
    cut = choose_shape(style.kind, position, head, rng)
    mesh = make_mesh(head, cut)
    painted, region = pixels, np.zeros(pixels.shape[:2], dtype=bool)
    window = find_window(head, mesh, image.size)
    if window is not None:
        painted, region = _paint(pixels, Scene(head, cut, mesh, window, style), rng)
    result = Image.fromarray(np.round(painted.clip(0, 1) * 255).astype(np.uint8))
    return PaintedMask(result, region, bare_nose(head, region))


def _paint(
    pixels: np.ndarray, scene: Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (float H x W x 3, 0..1) -> the painted one and the mask's region."""
    window, part = scene.window, pixels[scene.window.part]
    light = light_of(pixels, scene)
    cover, straps = coverage(scene), draw_straps(scene)
    blur = max(0.85 * blur_of(part, scene.head.unit), 0.45) * window.scale
    cloth = draw_cloth(scene, cover, light, rng) * cover[..., None]
    alpha, cloth, band = (
        window.shrink(cv2.GaussianBlur(layer, (0, 0), blur)) for layer in (cover, cloth, straps)
    )
    lace = lit(strap_colour(scene.style), light) * light.field[..., None]
    photo = part * _shadow(window.shrink(np.maximum(cover, straps)), scene.head)
    photo = photo + (lace - photo) * band[..., None]
    photo = photo * (1 - alpha[..., None]) + cloth
    photo += (rng.normal(0, noise_of(part), alpha.shape) * alpha)[..., None]
    painted, region = pixels.copy(), np.zeros(pixels.shape[:2], dtype=bool)
    painted[window.part] = photo
    region[window.part] = window.shrink(cover) > 0.5
    return painted, region


def _shadow(cover: np.ndarray, head: Head) -> np.ndarray:
    """What is left of the light (H x W x 1) beside the cloth, which stands off the skin a bit."""
    near = cv2.GaussianBlur(cover, (0, 0), max(0.035 * head.unit, 0.6))
    return (1 - 0.45 * np.where(near > 0.02, near, 0))[..., None]
