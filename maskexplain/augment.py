"""Training transforms on whole batches: every picture draws its own parameters.

torchvision draws one set of parameters a call, so a batch costs as many calls as it has pictures;
these are its transforms of the same names for float pixels N x 3 x H x W in 0..255, with one
factor a picture. The tests compare them with torchvision's, picture by picture.
"""

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


def uniform(count: int, low: float, high: float) -> torch.Tensor:
    """`count` numbers between low and high, from torch's global generator."""
    return torch.empty(count).uniform_(low, high)


def _luma(pixels: torch.Tensor) -> torch.Tensor:
    weights = pixels.new_tensor(LUMA).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)


def _each(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)
