"""Answers whether a face wears its mask, shows why, and says how far the why can be believed.

What is named here is imported when it is first asked for: PyTorch takes seconds.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explain.explain import Explanation as Explanation
    from .explain.explain import explain as explain
    from .images.crops import Subjects as Subjects
    from .images.crops import crop_face as crop_face
    from .images.crops import find_subjects as find_subjects
    from .images.faces import Face as Face
    from .images.faces import find_faces as find_faces
    from .images.read import ImageError as ImageError
    from .images.read import read_image as read_image
    from .images.read import remark_of as remark_of
    from .models.version import Model as Model
    from .models.version import Prediction as Prediction
    from .models.version import open_model as open_model
    from .video.answers import ClipAnswers as ClipAnswers
    from .video.answers import answer_clip as answer_clip
    from .video.frames import ClipError as ClipError

__version__ = "0.4.0"

_MODULES = {
    ".explain.explain": ("Explanation", "explain"),
    ".images.crops": ("Subjects", "crop_face", "find_subjects"),
    ".images.faces": ("Face", "find_faces"),
    ".images.read": ("ImageError", "read_image", "remark_of"),
    ".models.version": ("Model", "Prediction", "open_model"),
    ".video.answers": ("ClipAnswers", "answer_clip"),
    ".video.frames": ("ClipError",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOMES]


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
