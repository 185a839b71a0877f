"""Training transforms on whole batches, found by name: every picture draws its own parameters.

First what they are made of. torchvision draws one set of parameters a call, so a batch costs as
many calls as it has pictures; these are its transforms of the same names for float pixels
N x 3 x H x W in 0..255, with one factor a picture. The tests compare them with torchvision's,
picture by picture.
"""

from collections.abc import Callable, Collection
from math import log, pi

import cv2
import torch
from torch.nn import functional as nnf
from torchvision.transforms.v2 import functional as F

from ..masks.task import BARE, INCORRECT, MASK

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision rounds it


def adjust_brightness(pixels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Light times factor."""
    return (pixels * _each(factors)).clamp(0, 255)


def adjust_contrast(pixels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend with the picture's mean luma: factor 0 is flat gray, 1 the picture."""
    mean = _luma(pixels).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, pixels, _each(factors)).clamp(0, 255)


def adjust_saturation(pixels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend with the picture in gray: factor 0 is gray, 1 the picture."""
    return torch.lerp(_luma(pixels), pixels, _each(factors)).clamp(0, 255)


def blur_3x3(pixels: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Gaussian blur with a 3 x 3 kernel; the border is mirrored."""
    side = torch.exp(-0.5 / sigmas**2)
    centre, side = _each(1 / (1 + 2 * side)), _each(side / (1 + 2 * side))
    padded = nnf.pad(pixels, (1, 1, 1, 1), mode="reflect")
    rows = centre * padded[:, :, 1:-1] + side * (padded[:, :, :-2] + padded[:, :, 2:])
    return centre * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])


def rotate_and_shift(
    pixels: torch.Tensor, degrees: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """Turn clockwise about the centre (N), then shift (N x 2: right, down, in pixels).

    Nearest pixels, black beyond the border: RandomAffine's defaults. Square pictures only.
    """
    size = pixels.shape[-1]
    turn = torch.deg2rad(degrees)
    cos, sin = turn.cos(), turn.sin()
    # grid_sample wants the way back, from the new picture's points to the old one's, in -1..1.
    back = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)  # N x 2 x 2
    moved = -back @ (shifts * 2 / size).unsqueeze(2)  # N x 2 x 1
    theta = torch.cat([back, moved], dim=2)
    grid = nnf.affine_grid(theta, list(pixels.shape), align_corners=False)
    return nnf.grid_sample(pixels, grid, mode="nearest", align_corners=False)


def adjust_gamma(pixels: torch.Tensor, gammas: torch.Tensor) -> torch.Tensor:
    """Light to the power gamma: over 1 darkens the middle tones, under 1 lightens them."""
    return 255 * (pixels / 255).clamp(0, 1) ** _each(gammas)


def adjust_colour(pixels: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Each channel times its gain (N x 3): the cast of another lamp or camera."""
    return (pixels * gains.view(-1, 3, 1, 1)).clamp(0, 255)


def light_from_a_side(
    pixels: torch.Tensor, directions: torch.Tensor, depths: torch.Tensor
) -> torch.Tensor:
    """Light that falls off across the picture.

    `directions` (N): radians, 0 is right; `depths` (N): share of the light that is missing at the
    far end, 0..1.
    """
    places = _places(pixels.shape[-2:])  # 2 x H x W, -1..1
    ways = torch.stack([directions.cos(), directions.sin()], 1)  # N x 2
    along = torch.einsum("nd,dhw->nhw", ways, places) / 2**0.5  # -1..1
    return pixels * (1 - _each(depths) * (along[:, None] + 1) / 2)


def add_noise(pixels: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Gaussian grain of these standard deviations (N, in 0..255)."""
    return (pixels + torch.randn_like(pixels) * _each(sigmas)).clamp(0, 255)


REACH = 6  # pixels at which a blur is cut off


def blur(pixels: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Gaussian blur, sigmas (N) in pixels; the border is mirrored."""
    count, channels, height, width = pixels.shape
    away = torch.arange(-REACH, REACH + 1)
    kernels = torch.exp(-0.5 * (away / sigmas[:, None]) ** 2)  # N x (2 REACH + 1)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    padded = nnf.pad(pixels, (REACH,) * 4, mode="reflect").flatten(0, 1)[None]
    rows = nnf.conv2d(padded, kernels[:, None, :, None], groups=count * channels)
    both = nnf.conv2d(rows, kernels[:, None, None, :], groups=count * channels)
    return both.view(count, channels, height, width)


def coarsen(pixels: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Down to sizes (N, whole pixels a side) and back up: the detail of a small face."""
    result = pixels.clone()
    for size in sizes.unique().cpu().tolist():
        chosen = sizes == size
        small = nnf.interpolate(pixels[chosen], size=(size, size), mode="bilinear", antialias=True)
        large = nnf.interpolate(small, size=pixels.shape[-2:], mode="bilinear")
        result[chosen] = large
    return result


def compress(pixels: torch.Tensor, qualities: torch.Tensor) -> torch.Tensor:
    """JPEG there and back of uint8 pixels, qualities (N) 1..100; over 100 leaves a picture."""
    result = pixels.clone()
    chosen = (qualities <= 100).nonzero()[:, 0]
    if len(chosen):
        pairs = zip(pixels[chosen].cpu(), qualities[chosen].cpu().tolist(), strict=True)
        result[chosen] = torch.stack([_jpeg(*pair) for pair in pairs]).to(pixels.device)
    return result


def _jpeg(picture: torch.Tensor, quality: int) -> torch.Tensor:
    # OpenCV wants H x W x 3, blue first; torchvision's coder is deprecated.
    coded = cv2.imencode(
        ".jpg", picture.flip(0).permute(1, 2, 0).numpy(), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    return torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_COLOR)).permute(2, 0, 1).flip(0)


def warp(pixels: torch.Tensor, back: torch.Tensor, size: int, fill: str = "zeros") -> torch.Tensor:
    """Look at the pictures through affine maps, onto size x size pixels.

    `back` (N x 2 x 3) maps a point of the new picture to one of the old, both in -1..1. `fill`
    is what lies beyond the border: "zeros", "border" or "reflection".
    """
    shape = [len(pixels), pixels.shape[1], size, size]
    grid = nnf.affine_grid(back, shape, align_corners=False)
    return nnf.grid_sample(pixels, grid, "bilinear", padding_mode=fill, align_corners=False)


def move_patches(
    pixels: torch.Tensor, centres: torch.Tensor, radii: torch.Tensor, moves: torch.Tensor
) -> torch.Tensor:
    """Cover an ellipse of each picture by another place of the same picture.

    `centres`, `radii` and `moves` are N x 2 (right, down) in shares of the side; the patch shows
    what lies `moves` away from it, wrapped around at the border. Its edge is soft.
    """
    height, width = pixels.shape[-2:]
    places = (_places((height, width)) + 1) / 2  # 2 x H x W, 0..1
    away = (places - centres[:, :, None, None]) / radii[:, :, None, None].clamp(min=1e-6)
    inside = ((1 - away.pow(2).sum(1, keepdim=True)) * 8).clamp(0, 1)  # N x 1 x H x W
    steps = (moves.cpu() * torch.tensor([width, height], device="cpu")).long().tolist()
    pairs = zip(pixels, steps, strict=True)
    moved = torch.stack([p.roll((-down, -right), (1, 2)) for p, (right, down) in pairs])
    return torch.lerp(pixels, moved, inside)


def _places(shape: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Coordinates of the pixels' centres: 2 x H x W (right, down), -1..1."""
    down, right = (torch.linspace(1 / n - 1, 1 - 1 / n, n) for n in shape)
    return torch.stack(torch.meshgrid(right, down, indexing="xy"))


def uniform(count: int, low: float, high: float) -> torch.Tensor:
    """`count` numbers between low and high, from torch's global generator."""
    return torch.empty(count).uniform_(low, high)


def _luma(pixels: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)


def _each(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


# --- the recipes' transforms

# Maps stored training pictures (uint8, N x 3 x S x S) and their class indices (N) to the network's
# pixels (uint8, N x 3 x size x size), anew in each epoch.
Augment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
AUGMENTS: dict[str, Augment] = {}


def augment(run: Augment) -> Augment:
    """Register a training transform by its function's name."""
    AUGMENTS[run.__name__] = run
    return run


@augment
def plain(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Resized to 64 x 64, no augmentation."""
    return F.resize(pixels, [64, 64])


@augment
def seed_augment(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """v2: light and blur for badly worn masks, then saturation and small moves for all."""
    # In the seed this ran for one class alone, and so taught the network a shortcut. It is kept.
    incorrect = labels == MASK.index(INCORRECT)
    pixels = pixels.float()
    pixels[incorrect] = _light_and_blur(pixels[incorrect])
    pixels = F.resize(pixels, [64, 64])
    count = len(pixels)
    pixels = adjust_saturation(pixels, uniform(count, 0.8, 1.2))
    shifts = uniform(count * 2, -6.4, 6.4).round().view(count, 2)  # a tenth of 64
    moved = rotate_and_shift(pixels, uniform(count, -5, 5), shifts)
    return moved.round().to(torch.uint8)


def _light_and_blur(pixels: torch.Tensor) -> torch.Tensor:
    count = len(pixels)
    changes = [adjust_brightness, adjust_contrast]
    for index in torch.randperm(2, device="cpu").tolist():  # ColorJitter's order is random
        pixels = changes[index](pixels, uniform(count, 0.7, 1.3))
    return blur_3x3(pixels, uniform(count, 0.1, 2.0))


# --- v3's: every picture of every class is varied by the same rules

# What a class alone is changed by, a network learns as that class's mark. Here light, colour,
# detail, place and edges say nothing about the class, so the mask's place on the face is left.


SIZE = 129  # pixels of a face while it is varied: little more than the training pictures have
LARGER = 161  # of what v3 sees: the published filters tell more of a larger face
FILLS = ("zeros", "border", "reflection")
SIDES = torch.tensor([18, 21, 24, 28, 34, 42, 54, 72])  # pixels; many street faces have 20
Change = Callable[[torch.Tensor], torch.Tensor]
UNTOUCHED = 101  # a JPEG quality that means: none


@augment
def vary(
    pixels: torch.Tensor, labels: torch.Tensor, without: Collection[str] = (), size: int = LARGER
) -> torch.Tensor:
    """uint8 N x 3 x S x S and class indices to uint8 N x 3 x size x size, varied at random.

    Channels behind the third tell of places on the picture: they move with it, and nothing else
    is done to them. `without` names steps to leave out: cover, place, detail, light, noise,
    compression.
    """
    steps: dict[str, Change] = {
        "cover": _on_colours(lambda p: _cover(p, labels)),
        "place": _place,
        "detail": _on_colours(_soften),
        "light": _on_colours(_light),
        "noise": _on_colours(lambda p: _some(0.35, p, _grain)),
    }
    pixels = _flip(pixels.float())
    for name, step in steps.items():
        if name not in without:
            pixels = step(pixels)
    pixels = F.resize(pixels.clamp(0, 255), [SIZE, SIZE]).round().to(torch.uint8)
    if "compression" not in without:
        pixels = _on_colours(_compress)(pixels)
    return F.resize(pixels, [size, size])


def _on_colours(change: Change) -> Change:
    """The change, made to the first three channels only."""
    return lambda p: torch.cat([change(p[:, :3]), p[:, 3:]], 1)


def _some(share: float, pixels: torch.Tensor, change: Change) -> torch.Tensor:
    """Change a random share of the pictures."""
    return _where(torch.rand(len(pixels)) < share, pixels, change)


def _where(chosen: torch.Tensor, pixels: torch.Tensor, change: Change) -> torch.Tensor:
    """Change the chosen pictures (N, bool)."""
    if chosen.any():
        pixels = pixels.clone()
        pixels[chosen] = change(pixels[chosen])
    return pixels


def _flip(pixels: torch.Tensor) -> torch.Tensor:
    return _some(0.5, pixels, lambda p: p.flip(-1))


def _cover(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Lay a piece of the picture over another: a hand or hair before the face is no mask."""
    count = len(pixels)
    centres = torch.stack([uniform(count, 0, 1), uniform(count, 0.1, 1)], 1)
    # Over nose or mouth of a masked face a patch could change the true answer: keep to the rim.
    masked = labels != MASK.index(BARE)
    centres[masked, 0] = (centres[masked, 0] - 0.5).sign() * uniform(int(masked.sum()), 0.4, 0.5)
    centres[masked, 0] += 0.5
    radii = uniform(count * 2, 0.07, 0.28).view(count, 2)
    radii[torch.rand(count) > 0.3] = 0
    radii[masked] = radii[masked].clamp(max=0.2)
    moves = uniform(count * 2, -0.5, 0.5).view(count, 2)
    return move_patches(pixels, centres, radii, moves)


def _place(pixels: torch.Tensor) -> torch.Tensor:
    """Turn, shear, stretch and shift, as other face finders would cut the face; fill the edges."""
    count = len(pixels)
    back = _maps(count)
    fills = torch.randint(len(FILLS), (count,))
    result = pixels.new_empty(count, pixels.shape[1], SIZE, SIZE)
    for index, fill in enumerate(FILLS):
        chosen = fills == index
        if chosen.any():
            result[chosen] = warp(pixels[chosen], back[chosen], SIZE, fill)
    return result


def _maps(count: int) -> torch.Tensor:
    """Random affine maps N x 2 x 3, from the new picture's points to the old one's."""
    turn = torch.deg2rad(torch.randn(count).clamp(-2.2, 2.2) * 11)
    shear = uniform(count, -0.15, 0.15)
    scale = uniform(count, log(0.8), log(1.3)).exp()  # over 1: a looser crop
    stretch = uniform(count, log(0.9), log(1.1)).exp()
    cos, sin = turn.cos(), turn.sin()
    rows = [cos * stretch, -sin + shear, sin, cos / stretch]
    linear = torch.stack(rows, 1).view(count, 2, 2) * scale.view(-1, 1, 1)
    shifts = uniform(count * 2, -0.22, 0.22).view(count, 2, 1)  # 1 is half a side
    return torch.cat([linear, shifts], 2)


def _soften(pixels: torch.Tensor) -> torch.Tensor:
    """Take detail away from some: small faces, moved cameras. Not both, or no nose is left."""
    fate = torch.rand(len(pixels))
    pixels = _where(fate < 0.15, pixels, lambda p: blur(p, uniform(len(p), 0.5, 2.5)))
    return _where(fate > 0.65, pixels, lambda p: coarsen(p, _draw(SIDES, len(p))))


def _light(pixels: torch.Tensor) -> torch.Tensor:
    pixels = _some(0.3, pixels, _side_light)
    pixels = _some(0.4, pixels, lambda p: adjust_gamma(p, _around(len(p), 1.6)))
    pixels = _some(0.5, pixels, lambda p: adjust_contrast(p, uniform(len(p), 0.5, 1.5)))
    pixels = _some(0.6, pixels, lambda p: adjust_brightness(p, _gains(len(p))))
    pixels = _some(0.4, pixels, _cast)
    pixels = _some(0.5, pixels, lambda p: adjust_saturation(p, uniform(len(p), 0, 1.7)))
    return _some(0.3, pixels, lambda p: adjust_saturation(p, torch.zeros(len(p))))


def _side_light(pixels: torch.Tensor) -> torch.Tensor:
    count = len(pixels)
    return light_from_a_side(pixels, uniform(count, 0, 2 * pi), uniform(count, 0, 0.6))


def _cast(pixels: torch.Tensor) -> torch.Tensor:
    return adjust_colour(pixels, uniform(len(pixels) * 3, 0.75, 1.25).view(-1, 3))


def _grain(pixels: torch.Tensor) -> torch.Tensor:
    return add_noise(pixels, uniform(len(pixels), 0, 14))


def _gains(count: int) -> torch.Tensor:
    return uniform(count, log(0.28), log(1.5)).exp()


def _around(count: int, factor: float) -> torch.Tensor:
    """Factors between 1 / factor and factor, as often below 1 as above."""
    return uniform(count, -log(factor), log(factor)).exp()


def _compress(pixels: torch.Tensor) -> torch.Tensor:
    qualities = torch.randint(8, 85, (len(pixels),))
    qualities[torch.rand(len(pixels)) > 0.4] = UNTOUCHED
    return compress(pixels, qualities)


def _draw(values: torch.Tensor, count: int) -> torch.Tensor:
    chosen = torch.randint(len(values), (count,))
    return values.to(chosen.device)[chosen]
