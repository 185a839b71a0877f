"""Answers whether a face wears its mask, shows why, and says how far the why can be believed."""

from .explaining.explain import Explanation, explain
from .finding.crops import crop_face
from .finding.faces import Face, find_faces
from .networks import lite0 as lite0  # registers its network
from .networks.answer import MaskModel, Prediction, open_model
from .pictures.images import ImageError, read_image

__all__ = [
    "Explanation",
    "Face",
    "ImageError",
    "MaskModel",
    "Prediction",
    "crop_face",
    "explain",
    "find_faces",
    "open_model",
    "read_image",
]
