"""Answers whether a face wears its mask, shows why, and says how far the why can be believed."""

from .explain.explain import Explanation, explain
from .images.crops import crop_face
from .images.faces import Face, find_faces
from .images.read import ImageError, read_image
from .models import lite0 as lite0
from .models.version import MaskModel, Prediction, open_model

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
