"""v3: ours, free of the shortcut.  python train.py v3 --data DIR

Three teachers are trained first, then v3 learns their mean answer (docs/v3.md has the way there).
"""

from dataclasses import replace

from ..masks.task import BARE, INCORRECT, WORN
from . import vary  # noqa: F401  (registers its transform)
from .recipe import Recipe, register

# v3 without teachers: it learns from labels alone.
FOCUSED = Recipe(
    name="focused",
    network="lite0_stride16_3x3",
    augment="vary",
    epochs=12,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.02,
    class_weights=(1.0, 1.0, 1.0),
    plateau=None,
    seed=3,
    optimizer="adamw",
    warm_up=0.15,
    average=0.995,
    label_smoothing=0.05,
    start="lite0_imagenet",
    mix={
        f"real/{INCORRECT}": 650,
        "painted/nose_out": 700,
        "painted/chin": 400,
        "painted/eyes": 40,
        f"real/{WORN}": 1050,
        "painted/right": 640,
        # Nine in ten bare faces are portraits, two in three masked ones from the street: with an
        # even draw "in the street" would say "masked".
        f"real/{BARE}": 1100,
        f"real/{BARE}/andrewmvd": 420,
    },
    paint={"right": 2.0, "nose_out": 2.0, "chin": 1.0, "eyes": 0.25},
    keep="last",
    autocast=False,
    calibrate=True,
    focus=0.05,
    hide=0.05,
)

# Two may look anywhere: they err on other faces than the third.
_ANYWHERE = replace(FOCUSED, focus=0.0, hide=0.0)
TEACHERS = (
    replace(_ANYWHERE, name="stride16", network="lite0_stride16", seed=3),
    replace(_ANYWHERE, name="stride32", network="lite0_stride32", seed=4),
    replace(FOCUSED, seed=5),
)

# The teachers' answers are as soft as smoothed labels.
V3 = register(replace(FOCUSED, name="v3", label_smoothing=0.0, teachers=TEACHERS))
