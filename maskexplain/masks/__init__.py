"""Paint a face mask on a bare face, from the five landmarks of the face finder.

The mask is a patch on a rough model of a head (an elliptic cylinder with a tent over the nose),
turned as the landmarks say, so that it follows the face when that is turned or tilted.
"""

from .occluders import OCCLUDERS, paint_occluder
from .paint import PaintedMask, paint_mask
from .style import KINDS, PATTERNS, POSITIONS, MaskStyle, Position, random_style

__all__ = [
    "KINDS",
    "OCCLUDERS",
    "PATTERNS",
    "POSITIONS",
    "MaskStyle",
    "PaintedMask",
    "Position",
    "paint_mask",
    "paint_occluder",
    "random_style",
]
