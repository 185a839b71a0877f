"""Training transforms on whole batches: every picture draws its own parameters.

torchvision draws one set of parameters a call, so a batch costs as many calls as it has pictures;
these are its transforms of the same names for float pixels N x 3 x H x W in 0..255, with one
factor a picture. The tests compare them with torchvision's, picture by picture.
"""

import cv2
import torch
from torch.nn import functional as nnf

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
