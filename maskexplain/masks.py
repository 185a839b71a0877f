"""Paint a face mask on a bare face, from the five landmarks of the face finder.

The mask is a patch on a rough model of a head (an elliptic cylinder with a tent over the nose),
turned as the landmarks say, so that it follows the face when that is turned or tilted. Lengths on
the head are in units of the distance from the eyes to the mouth: x to the viewer's right, y down,
z towards the viewer; the eyes lie at y = 0, the mouth at y = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

Position = Literal["right", "nose_out", "chin", "eyes"]
Kind = Literal["surgical", "cloth", "cup", "folded"]
Pattern = Literal["plain", "stripes", "dots", "checks", "leaves", "emblem"]
Straps = Literal["ears", "head", "none"]
Colour = tuple[int, int, int]

POSITIONS: tuple[Position, ...] = get_args(Position)
KINDS: tuple[Kind, ...] = get_args(Kind)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

HEAD = (1.06, 1.3)  # half width and depth of the head, from its middle
LANDMARK_DEPTH = 1.15  # of eyes and mouth; the nose tip stands NOSE_AHEAD before them
NOSE_AHEAD = 0.6
NOSE_HEIGHT = 0.58  # median of what YuNet found on 498 bare faces
EYE_DISTANCE = 0.95  # likewise
CHIN = 1.62  # a typical one: no landmark tells
SOFTNESS = {"surgical": 1.0, "cloth": 1.0, "cup": 0.15, "folded": 0.45}  # 1: crumples easily
GRID = (33, 17)  # mesh points across and down
DETAIL = 160  # supersampled pixels per unit to aim at


@dataclass(frozen=True)
class MaskStyle:
    """What the mask looks like; colours are sRGB 0..255 under neutral light.

    `second` is the colour of the pattern; `valve` puts a breathing valve on cup and folded masks;
    straps go round the ears, round the head, or are hidden.
    """

    kind: Kind = "surgical"
    colour: Colour = (150, 198, 226)
    pattern: Pattern = "plain"
    second: Colour = (255, 255, 255)
    straps: Straps = "ears"
    valve: bool = False


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
class _Head:
    """Where the head model lies in the picture: `origin` (between the eyes) in pixels."""

    origin: np.ndarray
    across: np.ndarray  # pixels per unit of x, as an (x, y) vector
    down: np.ndarray
    yaw: float  # radians, positive towards the viewer's right
    pitch: float  # radians, positive downwards
    nose: float  # height of the nose tip

    @property
    def unit(self) -> float:
        return float(np.hypot(*self.down))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) on the head -> pixels (..., 2), and their depth towards the viewer."""
        x, y, z = np.moveaxis(points, -1, 0)
        z = z - LANDMARK_DEPTH
        right = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        near = z * np.cos(self.yaw) - x * np.sin(self.yaw)
        low = y * np.cos(self.pitch) + near * np.sin(self.pitch)
        pixels = self.origin + right[..., None] * self.across + low[..., None] * self.down
        return pixels, near * np.cos(self.pitch) - y * np.sin(self.pitch)


@dataclass(frozen=True)
class _Cut:
    """The shape of a mask on the head: heights (y) of its edges, half widths, and its tent."""

    top: float
    top_side: float
    bottom: float
    bottom_side: float
    width_top: float = 0.88
    width_bottom: float = 0.7
    round: float = 0.1  # how far the sides bulge
    tent: float = 0.45  # how far the cloth stands off over the nose
    tent_width: float = 0.42
    tent_at: float = 0.6
    peak: float = 0.45  # width of the rise over the nose bridge, as a share of the half width
    tilt: float = 0.0  # how far the viewer's right side hangs down

    def surface(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Cloth coordinates (s: -1..1 across, t: 0..1 down) -> points (..., 3) on the head."""
        top = self.top + (self.top_side - self.top) * (1 - np.exp(-((s / self.peak) ** 2)))
        bottom = self.bottom + (self.bottom_side - self.bottom) * np.abs(s) ** 2.4
        y = top + (bottom - top) * t + self.tilt * s
        width = self.width_top + (self.width_bottom - self.width_top) * t
        x = s * (width + self.round * 4 * t * (1 - t))
        tent = np.exp(-((x / self.tent_width) ** 2) - ((y - self.tent_at) / 0.55) ** 2)
        return np.stack([x, y, _head_depth(x, y) + self.tent * tent], -1)


@dataclass(frozen=True)
class _Window:
    """A part of the picture, drawn on a finer grid: `scale` fine pixels for each pixel."""

    left: int
    top: int
    width: int
    height: int
    scale: int

    @property
    def fine(self) -> tuple[int, int]:
        return self.height * self.scale, self.width * self.scale

    @property
    def part(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def to_fine(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels - (self.left, self.top) + 0.5) * self.scale - 0.5

    def shrink(self, layer: np.ndarray) -> np.ndarray:
        size = (self.width, self.height)
        return cv2.resize(layer.astype(np.float32), size, interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class _Mesh:
    """The cloth's surface: its coordinates s and t (rows x columns), and where they are seen."""

    s: np.ndarray
    t: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class _Scene:
    """All that says where the mask goes and what it is."""

    head: _Head
    cut: _Cut
    mesh: _Mesh
    window: _Window
    style: MaskStyle

    @property
    def unit(self) -> float:
        """Fine pixels per unit."""
        return self.head.unit * self.window.scale


@dataclass(frozen=True)
class _Light:
    """The light on the face: `field` (relative, H x W), the colour of white cloth, saturation."""

    field: np.ndarray
    white: np.ndarray
    saturation: float
    sideways: float


# --- for callers ---------------------------------------------------------------------------------


def random_style(rng: np.random.Generator) -> MaskStyle:
    """A style as one meets it in the street: mostly surgical, often pale blue, white or black."""
    kind: Kind = str(rng.choice(KINDS, p=[0.5, 0.28, 0.11, 0.11]))
    if kind == "cloth":
        pattern = str(rng.choice(PATTERNS, p=[0.5, 0.12, 0.1, 0.08, 0.14, 0.06]))
        return MaskStyle(kind, _any_colour(rng), pattern, _any_colour(rng), _loops(rng))
    palette = SURGICAL if kind == "surgical" else RESPIRATOR
    colour = palette[rng.integers(len(palette))]
    dye = rng.normal(0, 9) + rng.normal(0, 3, 3)
    colour = tuple(int(v) for v in np.clip(np.array(colour) + dye, 0, 255))
    straps = "head" if kind == "cup" and rng.random() < 0.6 else _loops(rng)
    valve = kind != "surgical" and bool(rng.random() < 0.35)
    pattern = "emblem" if kind == "folded" and rng.random() < 0.25 else "plain"
    return MaskStyle(kind, colour, pattern, (90, 95, 105), straps, valve)


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
    "nose_out" mouth and chin, "chin" lies below the mouth, "eyes" above the nose tip. `style`:
    None draws one. `rng`: a generator or a seed; the same seed paints the same picture.

    Raises ValueError for landmarks that cannot belong to a face in this picture, and for an
    unknown position.
    """
    if position not in POSITIONS:
        raise ValueError(f"Unknown position {position!r}: choose from {', '.join(POSITIONS)}.")
    rng = np.random.default_rng(rng)
    style = style or random_style(rng)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    head = _head(np.asarray(landmarks, dtype=float), image.size)
    cut = _cut(style.kind, position, head.nose, rng)
    mesh = _mesh(head, cut)
    painted, region = pixels, np.zeros(pixels.shape[:2], dtype=bool)
    window = _window(head, mesh, image.size)
    if window is not None:
        painted, region = _paint(pixels, _Scene(head, cut, mesh, window, style), rng)
    result = Image.fromarray(np.round(painted.clip(0, 1) * 255).astype(np.uint8))
    return PaintedMask(result, region, _bare_nose(head, region))


# --- geometry ------------------------------------------------------------------------------------


def _head(points: np.ndarray, size: tuple[int, int]) -> _Head:
    _check(points, size)
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    down = mouth - eyes
    across = _direction(left_eye - right_eye) + _direction(left_mouth - right_mouth)
    across = _direction(across)
    aside, height = np.linalg.solve(np.stack([across, down], 1), nose - eyes)
    # the turn is told by `aside` over the width, and the turn shortens the width: settle both
    width = unit = float(np.hypot(*down))
    for _ in range(3):
        yaw = float(np.arcsin(np.clip(aside / width / NOSE_AHEAD, -0.72, 0.72)))
        frontal = np.hypot(*(left_eye - right_eye)) / np.cos(yaw) / EYE_DISTANCE
        width = float(np.clip(frontal, 0.85 * unit, 1.2 * unit))
    # half of the nose's height is taken for pitch, half for the length of this nose
    pitch = float(np.clip(0.5 * (height - NOSE_HEIGHT) / NOSE_AHEAD, -0.25, 0.25))
    down = down / np.cos(pitch)
    tip = float(np.clip(height - NOSE_AHEAD * np.tan(pitch), 0.45, 0.75))
    return _Head(eyes, across * width, down, yaw, pitch, tip)


def _check(points: np.ndarray, size: tuple[int, int]) -> None:
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError("The landmarks must be five (x, y) points.")
    margin = 0.1 * max(size)
    if (points < -margin).any() or (points > np.array(size) + margin).any():
        raise ValueError("The landmarks lie outside the picture.")
    right_eye, left_eye, _, right_mouth, left_mouth = points
    eye, mouth = left_eye - right_eye, left_mouth - right_mouth
    down = (right_mouth + left_mouth - right_eye - left_eye) / 2
    if np.hypot(*eye) < 4 or np.hypot(*down) < 4 or np.hypot(*mouth) < 2:
        raise ValueError("The landmarks are too close together for a face.")
    lean = np.cross(np.append(_direction(eye), 0), np.append(_direction(down), 0))[2]
    if lean < 0.6 or _direction(eye) @ _direction(mouth) < 0.6:
        raise ValueError(
            "The landmarks do not form a face: right eye, left eye, nose tip, right and left mouth "
            "corner are wanted, in this order."
        )


def _direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.hypot(*vector)


def _head_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of the bare head's front at (x, y); it recedes under the chin."""
    half, depth = HEAD
    front = depth * np.sqrt(np.maximum(1 - (x / half) ** 2, 0.0))
    return front - 0.8 * np.maximum(y - CHIN + 0.15, 0) ** 1.5


def _cut(kind: Kind, position: Position, nose: float, rng: np.random.Generator) -> _Cut:
    """The shape of this kind of mask at this position, with a little chance in it."""
    cut = _worn_right(kind, nose, rng)
    if position == "nose_out":
        top = nose + rng.uniform(0.12, 0.27)
        side = top + rng.uniform(-0.2, 0.06)
        bottom = CHIN + rng.uniform(0.08, 0.32)
        cut = _moved(cut, top, side, bottom, rng.uniform(1.25, 1.42), rng.normal(0, 0.05))
        return replace(cut, tent=0.5 * cut.tent, tent_at=1.1, peak=rng.uniform(0.6, 1.1))
    if position == "chin":
        top = rng.uniform(1.2, 1.36)
        side = top - rng.uniform(0.08, 0.32)
        bottom, lower = top + rng.uniform(0.45, 0.7), side + rng.uniform(0.35, 0.5)
        cut = _moved(cut, top, side, bottom, lower, rng.normal(0, 0.03))
        return replace(cut, tent=0.12, tent_at=1.5, peak=0.8, width_top=0.8, width_bottom=0.62)
    if position == "eyes":
        top, bottom = rng.uniform(-0.45, -0.3), nose - rng.uniform(0.2, 0.3)
        cut = _moved(cut, top, top, bottom, bottom - 0.05, rng.normal(0, 0.04))
        return replace(cut, tent=0.12, tent_at=0.1, width_top=0.86, width_bottom=0.9)
    return cut


def _moved(
    cut: _Cut, top: float, top_side: float, bottom: float, bottom_side: float, tilt: float
) -> _Cut:
    edges = {"top": top, "top_side": top_side, "bottom": bottom, "bottom_side": bottom_side}
    return replace(cut, **edges, tilt=tilt)


def _worn_right(kind: Kind, nose: float, rng: np.random.Generator) -> _Cut:
    top = nose - rng.uniform(0.22, 0.42)
    wide = rng.normal(0.01, 0.03)
    if kind == "cup":
        cut = _Cut(top, 0.6, CHIN + 0.06, 1.28, 0.64 + wide, 0.54, 0.2, 0.5, 0.55, 0.85, 0.55)
    elif kind == "folded":
        cut = _Cut(top, 0.55, CHIN + 0.12, 1.22, 0.84 + wide, 0.55, 0.14, 0.6, 0.32, 0.7)
    elif kind == "cloth":
        cut = _Cut(top, 0.55, CHIN + 0.12, 1.12, 0.95 + wide, 0.72, 0.04, 0.5, 0.38, 0.62)
    else:
        cut = _Cut(top, 0.5, CHIN + 0.1, 1.28, 0.88 + wide, 0.72)
    shift = rng.normal(0, 0.03, 2)
    lower = cut.bottom + rng.uniform(-0.06, 0.1)
    return replace(
        cut,
        top_side=cut.top_side + shift[0],
        bottom=lower,
        bottom_side=cut.bottom_side + shift[1],
        tilt=rng.normal(0, 0.02),
    )


def _mesh(head: _Head, cut: _Cut) -> _Mesh:
    s, t = np.meshgrid(np.linspace(-1, 1, GRID[0]), np.linspace(0, 1, GRID[1]))
    return _Mesh(s, t, head.project(cut.surface(s, t))[0])


def _window(head: _Head, mesh: _Mesh, size: tuple[int, int]) -> _Window | None:
    """The part of the picture that mask, straps and shadow can reach; None without any cloth."""
    _, seen = _faces(mesh.pixels)
    cloth = mesh.pixels[:-1, :-1][seen]
    if not ((cloth >= 0) & (cloth < size)).all(-1).any():
        return None
    ears = np.array([[side * HEAD[0], y, 0.0] for side in (-1, 1) for y in (-0.3, 0.9)])
    reach = np.concatenate([mesh.pixels.reshape(-1, 2), head.project(ears)[0]])
    margin = 0.25 * head.unit
    left, top = np.maximum(np.floor(reach.min(0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(reach.max(0) + margin), size).astype(int)
    scale = int(np.clip(np.ceil(DETAIL / head.unit), 1, 4))
    return _Window(int(left), int(top), int(right - left), int(bottom - top), scale)


def _bare_nose(head: _Head, mask: np.ndarray) -> np.ndarray:
    """The nose's outline, less the mask; nothing once the mask covers its tip."""
    tip = head.nose
    heights = [(0.13, 0.2), (0.26, 1.0), (0.2, 1.2), (0.0, 1.27)]
    outline = [[x * side, y * tip, 1.35] for x, y in heights for side in (-1, 1)]
    outline.append([0, tip, LANDMARK_DEPTH + NOSE_AHEAD])
    pixels = head.project(np.array(outline))[0]
    region = np.zeros(mask.shape, dtype=np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(pixels).astype(np.int32)), 1)
    x, y = np.round(pixels[-1]).astype(int).clip(0, np.array(mask.shape)[::-1] - 1)
    return np.zeros_like(mask) if mask[y, x] else region.astype(bool) & ~mask


# --- drawing -------------------------------------------------------------------------------------


def _paint(
    pixels: np.ndarray, scene: _Scene, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (float H x W x 3, 0..1) -> the painted one and the mask's region."""
    window, part = scene.window, pixels[scene.window.part]
    light = _light(pixels, scene)
    cover, straps = _coverage(scene), _straps(scene)
    blur = max(0.85 * _blur_of(part, scene.head.unit), 0.45) * window.scale
    cloth = _cloth(scene, cover, light, rng) * cover[..., None]
    alpha, cloth, band = (
        window.shrink(cv2.GaussianBlur(layer, (0, 0), blur)) for layer in (cover, cloth, straps)
    )
    lace = _lit(_strap_colour(scene.style), light) * light.field[..., None]
    photo = part * _shadow(window.shrink(np.maximum(cover, straps)), scene.head)
    photo = photo + (lace - photo) * band[..., None]
    photo = photo * (1 - alpha[..., None]) + cloth
    photo += (rng.normal(0, _noise_of(part), alpha.shape) * alpha)[..., None]
    painted, region = pixels.copy(), np.zeros(pixels.shape[:2], dtype=bool)
    painted[window.part] = photo
    region[window.part] = window.shrink(cover) > 0.5
    return painted, region


def _coverage(scene: _Scene) -> np.ndarray:
    """1 where the mask is seen on the fine grid, else 0: the mesh's faces that look our way."""
    corners, seen = _faces(scene.window.to_fine(scene.mesh.pixels))
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    for corner in np.round(corners[seen] * 16).astype(np.int32):
        cv2.fillConvexPoly(cover, corner, 1.0, cv2.LINE_8, 4)
    return cover


def _faces(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mesh points (rows, columns, 2) -> faces (rows - 1, columns - 1, 4, 2), and which are seen."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    e, f = c - a, d - b
    return np.stack([a, b, c, d], 2), e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0] > 0


def _unproject(scene: _Scene, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cloth coordinates of each covered fine pixel: polynomials in x, y fitted to the mesh."""
    mesh, pixels = scene.mesh, scene.window.to_fine(scene.mesh.pixels)
    seen = np.zeros(mesh.s.shape, dtype=bool)
    _, faces = _faces(pixels)
    seen[:-1, :-1] |= faces
    seen[1:, 1:] |= faces
    centre, spread = pixels.mean((0, 1)), pixels.std((0, 1))
    terms = _terms((pixels[seen] - centre) / spread)
    weights = np.linalg.lstsq(terms, np.stack([mesh.s[seen], mesh.t[seen]], 1), rcond=None)[0]
    y, x = np.nonzero(cover)
    found = _terms((np.stack([x, y], 1) - centre) / spread) @ weights
    return found[:, 0].clip(-1, 1), found[:, 1].clip(0, 1)


def _terms(points: np.ndarray, degree: int = 5) -> np.ndarray:
    """The monomials x^i y^j with i + j <= degree, one column each."""
    powers = [np.ones_like(points)]
    for _ in range(degree):
        powers.append(powers[-1] * points)
    pairs = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([powers[i][:, 0] * powers[j][:, 1] for i, j in pairs], 1)


def _cloth(scene: _Scene, cover: np.ndarray, light: _Light, rng: np.random.Generator) -> np.ndarray:
    """Colour of the cloth on the fine grid, float H x W x 3; zero where there is none."""
    style, inside = scene.style, cover > 0
    s, t = _unproject(scene, cover)
    height = np.full(cover.shape, np.nan)
    height[inside] = scene.head.project(scene.cut.surface(s, t))[1] + _folds(style.kind, s, t, rng)
    crumpled = SOFTNESS[style.kind] * rng.uniform(0.5, 1.6)
    height += crumpled * _crumple(cover.shape, scene.unit, rng)
    shade = _relief(height * scene.unit, light.sideways)[inside] * _seams(style, s, t)
    weight = _pattern(style.pattern, s, t, rng)[:, None]
    base = _lit(style.colour, light) * (1 - weight) + _lit(style.second, light) * weight
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


def _folds(kind: Kind, s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def _crumple(shape: tuple[int, ...], unit: float, rng: np.random.Generator) -> np.ndarray:
    """A random uneven height (H x W, in units) over the fine grid, coarse and fine together."""
    height = np.zeros(shape, dtype=np.float32)
    for cell, size in ((0.3, 0.011), (0.12, 0.004), (0.05, 0.0012)):
        knots = [max(4, int(side / (cell * unit)) + 2) for side in shape]
        noise = rng.normal(0, size, knots).astype(np.float32)
        height += cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return height


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


def _pattern(name: Pattern, s: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weight (0..1) of the pattern's colour at cloth coordinates."""
    x, y = 0.85 * s, 1.3 * t
    pitch, angle = rng.uniform(0.12, 0.26), rng.uniform(-0.4, 0.4) + rng.choice([0, np.pi / 2])
    u = (x * np.cos(angle) + y * np.sin(angle)) / pitch
    v = (y * np.cos(angle) - x * np.sin(angle)) / pitch
    if name == "stripes":
        return (np.sin(2 * np.pi * u) > rng.uniform(-0.2, 0.6)) * 1.0
    if name == "checks":
        return ((np.sin(2 * np.pi * u) > 0) + 1.0 * (np.sin(2 * np.pi * v) > 0)) / 2
    if name == "dots":
        row = np.round(v)
        near = (u + row % 2 / 2) % 1 - 0.5
        return (np.hypot(near, v - row) < rng.uniform(0.22, 0.32)) * 1.0
    if name == "leaves":
        waves = rng.normal(0, 1, (6, 2)) * 4
        field = sum(np.sin(a * u + b * v + 7 * a) for a, b in waves)
        return (field > rng.uniform(0.3, 1.2)) * 1.0
    if name == "emblem":
        lines = (np.abs(x - 0.1) < 0.3) & (np.abs(y - 0.7) < 0.13)
        return (lines & (np.sin(x * 70) + np.sin(x * 113) + np.sin(y * 48) > 0.2)) * 1.0
    return np.zeros_like(s)


def _straps(scene: _Scene) -> np.ndarray:
    """Coverage of the straps on the fine grid: from the mask's corners over the cheeks."""
    cover = np.zeros(scene.window.fine, dtype=np.float32)
    if scene.style.straps == "none":
        return cover
    ends = (-0.1, 0.62) if scene.style.straps == "ears" else (-0.25, 0.85)
    thick = max(1, round(0.032 * scene.unit))
    for side in (-1, 1):
        corners = scene.cut.surface(np.full(2, float(side)), np.array([0.03, 0.95]))
        for corner, end in zip(corners, ends, strict=True):
            line = scene.window.to_fine(_strap_line(corner, end, scene.head))
            points = np.round(line * 16).astype(np.int32)
            for step, (start, stop) in enumerate(zip(points[:-1], points[1:], strict=True)):
                fade = min(1.0, 2.0 - step / 8)  # into the hair or behind the ear
                cv2.line(cover, start, stop, fade, thick, cv2.LINE_8, 4)
    return cover


def _strap_line(corner: np.ndarray, end: float, head: _Head) -> np.ndarray:
    """Pixels of a strap from the mask's corner to the ear at height `end`, as far as it is seen."""
    x, y, _ = corner
    angle = np.linspace(np.arcsin(np.clip(abs(x) / HEAD[0], 0, 1)), np.pi / 2, 16)
    across, ahead = np.sign(x) * np.sin(angle), np.cos(angle)
    points = np.stack([HEAD[0] * across, np.linspace(y, end, 16), HEAD[1] * ahead], 1)
    facing = ahead / HEAD[1] * np.cos(head.yaw) - across / HEAD[0] * np.sin(head.yaw)
    return head.project(points[(facing > 0) | (angle == angle[0])])[0]


def _strap_colour(style: MaskStyle) -> Colour:
    return style.colour if style.kind == "cloth" else (238, 238, 236)


def _shadow(cover: np.ndarray, head: _Head) -> np.ndarray:
    """What is left of the light (H x W x 1) beside the cloth, which stands off the skin a bit."""
    near = cv2.GaussianBlur(cover, (0, 0), max(0.035 * head.unit, 0.6))
    return (1 - 0.45 * np.where(near > 0.02, near, 0))[..., None]


# --- the light and the grain of the picture ------------------------------------------------------


def _light(pixels: np.ndarray, scene: _Scene) -> _Light:
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
    return _Light(field.clip(0.5, 1.35).astype(np.float32), white, saturation, sideways)


def _skin(window: _Window, head: _Head, gray: np.ndarray) -> np.ndarray:
    """Where the face's skin tells of the light: an oval of the face, without its darkest parts."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = 0.72 * np.sin(turns), 0.75 - 0.65 * np.cos(turns)
    oval = head.project(np.stack([x, y, _head_depth(x, y)], 1))[0] - (window.left, window.top)
    region = np.zeros(gray.shape, dtype=np.uint8)
    cv2.fillPoly(region, [np.round(oval).astype(np.int32)], 1)
    if not region.any():
        region[:] = 1
    face = gray[region > 0]
    low, high = np.percentile(face, [25, 97])
    return (region > 0) & (gray >= low) & (gray <= high)


def _sideways(field: np.ndarray, head: _Head, window: _Window) -> float:
    """How far the light comes from the viewer's right (-.6..+.6), from the light on the cheeks."""
    cheeks = np.array([[side * 0.6, 0.7, _head_depth(0.6, 0.7)] for side in (-1, 1)])
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


def _lit(colour: Colour, light: _Light) -> np.ndarray:
    """A cloth's colour (0..255, neutral light) as this picture would show it, 0..1."""
    value = np.array(colour, dtype=np.float32) / 255
    value = value.mean() + (value - value.mean()) * light.saturation
    return (value * light.white + 0.02).astype(np.float32)


def _blur_of(part: np.ndarray, unit: float) -> float:
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


def _noise_of(part: np.ndarray) -> float:
    """Standard deviation (0..0.02) of the picture's grain, from its smoother places."""
    gray = part.mean(-1)
    rest = np.abs(gray - cv2.medianBlur(gray, 3))
    return float(min(2.0 * np.percentile(rest, 35), 0.02))


# --- colours -------------------------------------------------------------------------------------

SURGICAL: tuple[Colour, ...] = (
    *((150, 198, 226),) * 4,
    *((236, 238, 240),) * 4,
    *((120, 200, 180),) * 2,
    (205, 220, 235),
    (238, 190, 200),
    (40, 42, 46),
    (58, 72, 110),
)
RESPIRATOR: tuple[Colour, ...] = (
    *((238, 238, 234),) * 5,
    (205, 208, 210),
    (46, 46, 50),
    (190, 205, 220),
)


def _loops(rng: np.random.Generator) -> Straps:
    """Ear loops, or now and then none: hair hides them."""
    return "ears" if rng.random() < 0.75 else "none"


def _any_colour(rng: np.random.Generator) -> Colour:
    """Any colour; every third one is black, gray or white."""
    if rng.random() < 0.35:
        value = int(rng.choice([35, 50, 120, 200, 240]))
        return (value, value, value)
    hsv = np.uint8([[[rng.integers(180), rng.integers(70, 230), rng.integers(60, 245)]]])
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return (int(red), int(green), int(blue))
