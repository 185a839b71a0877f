"""How a version is made: recipes, the loop, and what a finished training leaves behind."""

from . import seed, v3

__all__ = ["seed", "v3"]
