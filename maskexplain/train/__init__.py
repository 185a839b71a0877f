"""How a version is made: recipes, the loop, and what a finished training leaves behind."""

from . import v1, v2, v3

__all__ = ["v1", "v2", "v3"]
