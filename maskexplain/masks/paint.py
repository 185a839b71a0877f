"""Paint a mask on the picture of a bare face: its cloth and straps, in the picture's own light.

The cloth has its pattern, folds and seams. The light is told from the skin around it. The cloth
gets the picture's blur and noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from .head import (
    HEAD,
    Head,
    Mesh,
    Window,
    bare_nose,
    find_window,
    fit_head,
    head_depth,
    make_mesh,
    mesh_faces,
)
from .style import (
    POSITIONS,
    Colour,
    Kind,
    MaskStyle,
    Position,
    Shape,
    choose_shape,
    pattern_weight,
    random_style,
)


@dataclass(frozen=True)
class PaintedMask:
    """The painted picture (RGB, the size of the bare one) and two regions of it, bool H x W.

    `mask`: where the cloth lies, without its straps; empty where it falls outside the picture.
    `nose`: the nose from bridge to nostrils as far as it is bare; empty when its tip is covered.
    """

    image: Image.Image
    mask: np.ndarray
    nose: np.ndarray


@dataclass(frozen=True)
class Scene:
    """All that says where the mask goes and what it is."""

    head: Head
    cut: Shape
    mesh: Mesh
    window: Window
    style: MaskStyle

    @property
    def unit(self) -> float:
        """Fine pixels per unit."""
        return self.head.unit * self.window.scale


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
    mesh = make_mesh(head, cut.surface)
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


def coverage(scene: Scene) -> np.ndarray:
    """1 where the mask is seen on the fine grid, else 0: the mesh's faces that look our way."""
    corners, seen = mesh_faces(scene.window.to_fine(scene.mesh.pixels))
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    for corner in np.round(corners[seen] * 16).astype(np.int32):
        cv2.fillConvexPoly(cover, corner, 1.0, cv2.LINE_8, 4)
    return cover


def unproject(scene: Scene, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cloth coordinates of each covered fine pixel: polynomials in x, y fitted to the mesh."""
    mesh, pixels = scene.mesh, scene.window.to_fine(scene.mesh.pixels)
    seen = np.zeros(mesh.s.shape, dtype=bool)
    _, faces = mesh_faces(pixels)
    seen[:-1, :-1] |= faces
    seen[1:, 1:] |= faces
    centre, spread = pixels.mean((0, 1)), pixels.std((0, 1))
    terms = _terms((pixels[seen] - centre) / spread)
    weights = np.linalg.lstsq(terms, np.stack([mesh.s[seen], mesh.t[seen]], 1), rcond=None)[0]
    y, x = np.nonzero(cover)
    found = _terms((np.stack([x, y], 1) - centre) / spread) @ weights
    return found[:, 0].clip(-1, 1), found[:, 1].clip(0, 1)


DEGREE = 5  # of the polynomials


def _terms(points: np.ndarray) -> np.ndarray:
    """The monomials x^i y^j with i + j <= DEGREE, one column each."""
    powers = [np.ones_like(points)]
    for _ in range(DEGREE):
        powers.append(powers[-1] * points)
    pairs = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    return np.stack([powers[i][:, 0] * powers[j][:, 1] for i, j in pairs], 1)


@dataclass(frozen=True)
class Light:
    """The light on the face: `field` (relative, H x W), the colour of white cloth, saturation."""

    field: np.ndarray
    white: np.ndarray
    saturation: float
    sideways: float


def light_of(pixels: np.ndarray, scene: Scene) -> Light:
    """The light on the face around the mask, as the bare picture tells it."""
    part, head, window = pixels[scene.window.part], scene.head, scene.window
    gray = part.mean(-1)
    skin = _skin(window, head, gray)
    level = float(np.median(gray[skin]))
    sigma = max(0.4 * head.unit, 1)
    weight = skin.astype(np.float32)
    smooth = cv2.GaussianBlur(gray * weight, (0, 0), sigma) + 0.05 * level
    field = smooth / (cv2.GaussianBlur(weight, (0, 0), sigma) + 0.05) / max(level, 0.02)
    white, saturation = _white(pixels, part[skin], level)
    sideways = _sideways(field, head, window)
    return Light(field.clip(0.5, 1.35).astype(np.float32), white, saturation, sideways)


def _skin(window: Window, head: Head, gray: np.ndarray) -> np.ndarray:
    """Where the face's skin tells of the light: an oval of the face, without its darkest parts."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = 0.72 * np.sin(turns), 0.75 - 0.65 * np.cos(turns)
    oval = head.project(np.stack([x, y, head_depth(x, y)], 1))[0] - (window.left, window.top)
    region = np.zeros(gray.shape, dtype=np.uint8)
    cv2.fillPoly(region, [np.round(oval).astype(np.int32)], 1)
    if not region.any():
        region[:] = 1
    face = gray[region > 0]
    low, high = np.percentile(face, [25, 97])
    return (region > 0) & (gray >= low) & (gray <= high)


def _sideways(field: np.ndarray, head: Head, window: Window) -> float:
    """How far the light comes from the viewer's right (-.6..+.6), from the light on the cheeks."""
    cheeks = np.array([[side * 0.6, 0.7, head_depth(0.6, 0.7)] for side in (-1, 1)])
    at = np.round(head.project(cheeks)[0] - (window.left, window.top)).astype(int)
    at = at.clip(0, np.array(field.shape)[::-1] - 1)
    left, right = field[at[0, 1], at[0, 0]], field[at[1, 1], at[1, 0]]
    return float(np.clip(right - left, -0.6, 0.6))


def _white(pixels: np.ndarray, skin: np.ndarray, level: float) -> tuple[np.ndarray, float]:
    """Colour that white cloth would have here, and the picture's saturation (0 gray .. 1).

    Skin and light cannot be told apart for certain: the brightest parts of the picture help.
    """
    red, green, blue = np.median(skin, axis=0) + 0.02
    saturation = float(np.clip((skin.max(-1) - skin.min(-1)).mean() / (level + 0.02) / 0.25, 0, 1))
    bright = float(np.percentile(pixels.mean(-1), 97))
    value = np.clip(0.55 * bright + 0.85 * level, 1.15 * level, 2.6 * level)
    # typical skin under neutral light has these ratios
    tint = np.array([red / green / 1.3, 1, blue / green / 0.82]) ** 0.45
    tint = (1 + saturation * (tint - 1)).clip(0.8, 1.2)
    return min(value, 0.98) * tint / tint.mean(), saturation


def lit(colour: Colour, light: Light) -> np.ndarray:
    """A cloth's colour (0..255, neutral light) as this picture would show it, 0..1."""
    value = np.array(colour, dtype=np.float32) / 255
    value = value.mean() + (value - value.mean()) * light.saturation
    return (value * light.white + 0.02).astype(np.float32)


def blur_of(part: np.ndarray, unit: float) -> float:
    """The picture's blur (sigma in pixels), from its sharpest edges.

    An edge of contrast c that is blurred by sigma has the slope c / (sigma sqrt(2 pi)).
    """
    gray = cv2.GaussianBlur(part.mean(-1), (0, 0), 0.5)
    side = 2 * max(3, int(0.12 * unit)) + 1
    kernel = np.ones((side, side), np.uint8)
    contrast = cv2.dilate(gray, kernel) - cv2.erode(gray, kernel)
    dy, dx = np.gradient(gray)
    slope = np.hypot(dx, dy)
    strong = contrast > max(0.08, float(np.percentile(contrast, 60)))
    if not strong.any():
        return 0.02 * unit
    steep = float(np.percentile(slope[strong] / contrast[strong], 97))
    measured = 1 / (max(steep, 1e-3) * 2.5066)
    # 0.6: what the grid and the smoothing above add, found by blurring pictures by known amounts
    return float(np.clip(np.sqrt(max(measured**2 - 0.6, 0)), 0.4, 0.12 * unit))


def noise_of(part: np.ndarray) -> float:
    """Standard deviation (0..0.02) of the picture's grain, from its smoother places."""
    gray = part.mean(-1)
    rest = np.abs(gray - cv2.medianBlur(gray, 3))
    return float(min(2.0 * np.percentile(rest, 35), 0.02))


def draw_cloth(
    scene: Scene, cover: np.ndarray, light: Light, rng: np.random.Generator
) -> np.ndarray:
    """Colour of the cloth on the fine grid, float H x W x 3; zero where there is none."""
    style, inside = scene.style, cover > 0
    s, t = unproject(scene, cover)
    height = np.full(cover.shape, np.nan)
    height[inside] = scene.head.project(scene.cut.surface(s, t))[1] + folds(style.kind, s, t, rng)
    crumpled = SOFTNESS[style.kind] * rng.uniform(0.5, 1.6)
    height += crumpled * crumple(cover.shape, scene.unit, rng)
    shade = _relief(height * scene.unit, light.sideways)[inside] * _seams(style, s, t)
    weight = pattern_weight(style.pattern, s, t, rng)[:, None]
    base = lit(style.colour, light) * (1 - weight) + lit(style.second, light) * weight
    field = cv2.resize(light.field, cover.shape[::-1], interpolation=cv2.INTER_LINEAR)
    colour = np.zeros((*cover.shape, 3), dtype=np.float32)
    colour[inside] = (base * (shade * field[inside])[:, None]).clip(0, 1)
    return colour


def _relief(height: np.ndarray, sideways: float) -> np.ndarray:
    """Brightness, 1 for flat cloth, of a height field lit from above and from one side."""
    inside = ~np.isnan(height)
    flat = np.where(inside, height, 0).astype(np.float32)
    dy, dx = np.gradient(flat)
    length = np.sqrt(1 + dx**2 + dy**2)
    facing = (1 - sideways * dx + 0.5 * dy) / length
    shade = 0.35 + 0.65 * facing
    # at the rim the slope is that of the hole around the cloth: take it from further in
    core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not core.any():
        return np.ones_like(flat)
    shade = np.where(core, shade, np.nan) / np.percentile(shade[core], 70)
    return _fill(shade.clip(0.4, 1.08))


def _fill(values: np.ndarray) -> np.ndarray:
    """Replace nan by the mean of the neighbours that are known, or by 1."""
    known = ~np.isnan(values)
    total = cv2.blur(np.nan_to_num(values).astype(np.float32), (5, 5))
    count = cv2.blur(known.astype(np.float32), (5, 5))
    mean = np.where(count > 0.01, total / np.maximum(count, 0.01), 1.0)
    return np.where(known, values, mean)


def _seams(style: MaskStyle, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Brightness of hems, side seams and the valve, 1 for plain cloth."""
    rim = np.minimum(t, 1 - t)
    shade = 1 - 0.14 * np.exp(-(((rim - 0.06) / 0.012) ** 2))
    if style.kind == "surgical":
        shade *= 1 - 0.16 * np.exp(-(((np.abs(s) - 0.93) / 0.015) ** 2))
    if style.kind == "folded":
        shade *= 1 - 0.2 * np.exp(-((s / 0.015) ** 2))
    if style.valve:
        away = np.hypot(s * 0.8 - 0.3, t - 0.55) / 0.14
        shade *= 1 - 0.3 * np.exp(-(((away - 1) / 0.15) ** 2)) + 0.05 * (away < 0.9)
    return shade


SOFTNESS = {"surgical": 1.0, "cloth": 1.0, "cup": 0.15, "folded": 0.45}  # 1: crumples easily


def folds(kind: Kind, s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Height of pleats and creases over the smooth cloth, in units."""
    height = np.zeros_like(s)
    if kind == "surgical":
        for at in np.array([0.28, 0.47, 0.66]) + rng.normal(0, 0.015):
            below = (t - at - 0.02 * np.sin(2 * s + at * 20)) / 0.05
            overhang = np.exp(np.minimum(below, 0)) / (1 + np.exp(below.clip(-9, 9) * 8))
            height += 0.045 * (1 - 0.5 * s**2) * overhang
    if kind == "folded" or (kind == "cloth" and rng.random() < 0.5):
        height -= 0.03 * np.abs(s) ** 0.7
    for _ in range(7):
        height += 0.014 * SOFTNESS[kind] * rng.normal() * _ridge(s, t, rng)
    return height


def _ridge(s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One crease of height 1, somewhere, in any direction."""
    angle, (s0, t0) = rng.uniform(0, np.pi), rng.uniform((-0.8, 0.1), (0.8, 0.9))
    x, y = s - s0, (t - t0) * 2
    along = x * np.cos(angle) + y * np.sin(angle)
    off = y * np.cos(angle) - x * np.sin(angle)
    return np.exp(-((off / rng.uniform(0.05, 0.15)) ** 2) - (along / 0.5) ** 2)


def crumple(shape: tuple[int, ...], unit: float, rng: np.random.Generator) -> np.ndarray:
    """A random uneven height (H x W, in units) over the fine grid, coarse and fine together."""
    height = np.zeros(shape, dtype=np.float32)
    for cell, size in ((0.3, 0.011), (0.12, 0.004), (0.05, 0.0012)):
        knots = [max(4, int(side / (cell * unit)) + 2) for side in shape]
        noise = rng.normal(0, size, knots).astype(np.float32)
        height += cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return height


def draw_straps(scene: Scene) -> np.ndarray:
    """Coverage of the straps on the fine grid: from the mask's corners over the cheeks."""
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    if scene.style.straps == "none":
        return cover
    thick = max(1, round(0.032 * scene.unit))
    for s, t, end in scene.cut.laces(scene.style.straps):
        corner = scene.cut.surface(np.array(s), np.array(t))
        line = scene.window.to_fine(_strap_line(corner, end, scene.head))
        points = np.round(line * 16).astype(np.int32)
        for step, (start, stop) in enumerate(zip(points[:-1], points[1:], strict=True)):
            fade = min(1.0, 2.0 - step / 8)  # into the hair or behind the ear
            cv2.line(cover, start, stop, fade, thick, cv2.LINE_8, 4)
    return cover


def _strap_line(corner: np.ndarray, end: float, head: Head) -> np.ndarray:
    """Pixels of a strap from the mask's corner to the ear at height `end`, as far as it is seen."""
    x, y, _ = corner
    angle = np.linspace(np.arcsin(np.clip(abs(x) / HEAD[0], 0, 1)), np.pi / 2, 16)
    across, ahead = np.sign(x) * np.sin(angle), np.cos(angle)
    points = np.stack([HEAD[0] * across, np.linspace(y, end, 16), HEAD[1] * ahead], 1)
    facing = ahead / HEAD[1] * np.cos(head.yaw) - across / HEAD[0] * np.sin(head.yaw)
    return head.project(points[(facing > 0) | (angle == angle[0])])[0]


def strap_colour(style: MaskStyle) -> Colour:
    """Straps of cloth masks are of the cloth's colour, all others off-white."""
    return style.colour if style.kind == "cloth" else (238, 238, 236)
