"""The packages to install; everything else about them is in pyproject.toml.

The shipped versions lie in checkpoints/ of the source tree, and inside the installed package.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["maskexplain", "maskexplain.*"]), "maskexplain.checkpoints"],
    package_dir={"maskexplain.checkpoints": "checkpoints"},
)
