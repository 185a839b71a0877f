"""What a visitor finds on arrival: a masked face, a light slider, and every version's answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup
from PIL import Image, ImageEnhance

from ...data.samples import example_picture
from ...explain.draw import data_url, enlarge
from ...masks.task import is_mask
from ...models.threads import at_once
from ...models.version import Model, Prediction
from ...words import listed
from ..answers import newest_first
from ..assets import macros, render
from .html import standing

LOW, HIGH, STEP = 10, 150, 5  # percent of the light; the slider's
START = 100
EXAMPLE = "striped"  # worn correctly; in dim light v1 and v2 change their answer
_MACROS = macros("answers")


@dataclass(frozen=True)
class _Row:
    name: str
    who: str


@cache
def _faces() -> dict[int, Image.Image]:
    """The example's face at every place of the slider."""
    edit = ImageEnhance.Brightness(example_picture(EXAMPLE))
    return {percent: edit.enhance(percent / 100) for percent in range(LOW, HIGH + 1, STEP)}


def arrival_html(models: Sequence[Model]) -> str:
    """The face, its slider, and the answers of the versions that know of masks (at least one)."""
    asked = [model for model in newest_first(models) if is_mask(model.task)]
    faces = _faces()
    found = at_once(lambda model: model.predict(list(faces.values())), asked)
    answers = dict(zip(asked, found, strict=True))
    said = {
        percent: {model.name: _said(model, answers[model][index]) for model in asked}
        for index, percent in enumerate(faces)
    }
    return render(
        "arrival",
        url=data_url(enlarge(faces[START]), "jpeg"),
        answers=json.dumps(said),
        rows=[_Row(model.name, standing(model, asked)) for model in asked],
        low=LOW,
        high=HIGH,
        step=STEP,
        start=START,
        moral=_moral(answers),
    )


def _said(model: Model, answer: Prediction) -> Markup:
    strip = _MACROS.strip(model.task, answer.probabilities)
    return _MACROS.pill(model.task, answer.label) + f" {answer.confidence:.0%}" + strip


def _moral(answers: dict[Model, list[Prediction]]) -> str:
    """Who changes the answer between dark and usual light, and who does not."""
    usual = (START - LOW) // STEP
    moved = [
        model.name
        for model, found in answers.items()
        if len({answer.label for answer in found[: usual + 1]}) > 1
    ]
    kept = [model.name for model in answers if model.name not in moved]
    if not moved:
        return "The same face, the same mask, less light: nobody here changes the answer."
    verb = "change" if len(moved) > 1 else "changes"
    end = f"; {listed(kept)} {'keep' if len(kept) > 1 else 'keeps'} it" if kept else ""
    return f"The same face, the same mask: yet {listed(moved)} {verb} the answer{end}."
