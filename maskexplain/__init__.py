"""Answers whether a face wears its mask, shows why, and says how far the why can be believed.

What is named here is imported when it is first asked for: PyTorch takes seconds.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explain.explain import Explanation, explain
    from .images.crops import Subjects, crop_face, find_subjects
    from .images.faces import Face, find_faces
    from .images.read import ImageError, read_image, remark_of
    from .models.version import Model, Prediction, open_model
    from .video.answers import ClipAnswers, answer_clip
    from .video.frames import ClipError

__version__ = "0.4.0"

_HOMES = {
    "ClipAnswers": ".video.answers",
    "ClipError": ".video.frames",
    "Explanation": ".explain.explain",
    "Face": ".images.faces",
    "ImageError": ".images.read",
    "Model": ".models.version",
    "Prediction": ".models.version",
    "Subjects": ".images.crops",
    "answer_clip": ".video.answers",
    "crop_face": ".images.crops",
    "explain": ".explain.explain",
    "find_faces": ".images.faces",
    "find_subjects": ".images.crops",
    "open_model": ".models.version",
    "read_image": ".images.read",
    "remark_of": ".images.read",
}

__all__ = [
    "ClipAnswers",
    "ClipError",
    "Explanation",
    "Face",
    "ImageError",
    "Model",
    "Prediction",
    "Subjects",
    "answer_clip",
    "crop_face",
    "explain",
    "find_faces",
    "find_subjects",
    "open_model",
    "read_image",
    "remark_of",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


class _Package(ModuleType):
    """`maskexplain.explain` stays the function: Python would put the package of that name there."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
