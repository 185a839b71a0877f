"""What the API answers: the replies' fields, and a picture file made a reply, without HTTP.

The fields carry the examples that /docs shows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from ..explain.blur_test import blur_test
from ..explain.draw import base64_of, overlay, relative_heat
from ..explain.explain import (
    Explanation,
    Question,
    Way,
    check_ways,
    default_way,
    explain_pass,
    forward_pass,
)
from ..explain.report import subjects_for
from ..explain.verdicts import (
    TITLES,
    random_sentence,
    record_sentence,
    second_opinions,
    verdict_of,
)
from ..images.crops import Subjects, remarks
from ..images.pool import read_apart
from ..masks.task import BARE, INCORRECT, WORN
from ..models.version import Model, Prediction

EXAMPLE_ANSWER = {
    "prediction": WORN,
    "confidence": 97.31,
    "probabilities": {INCORRECT: 0.0211, WORN: 0.9731, BARE: 0.0058},
    "unsure": False,
}
EXAMPLE = {
    "model": "v2",
    **EXAMPLE_ANSWER,
    "size": [640, 480],
    "remark": None,
    "turn": 0,
    "faces": [{"box": [158.2, 117.9, 371.4, 350.6], "score": 0.9402, **EXAMPLE_ANSWER}],
}
EXAMPLE_EXPLANATION = {
    "method": "integrated_gradients",
    "target": WORN,
    "heatmap_png": "iVBORw0KGgo...",
    "overlay_png": "iVBORw0KGgo...",
    "against": None,
    "baseline": "gray",
    "steps": 50,
    "completeness_gap": 0.0004,
    "blur_test": {
        **{"before": 0.97, "hottest": 0.12, "random": 0.91, "beaten": 40, "fifths": 40},
        **{"usual": 0.55, "lead": 0.3, "pictures": 2},
    },
    "verdict": {
        "key": "holds",
        "title": TITLES["holds"],
        "sentence": "Blur the brightest fifth: 97% → 12%. Blur the same shape elsewhere: ...",
        "close": False,
        "too_small": False,
    },
    "record": "On test faces, hiding where Integrated gradients is bright matters more than ...",
    "second_opinion": None,
}


def _example(value: dict) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class AnswerReply(BaseModel):
    prediction: str = Field(description="The most likely class.")
    confidence: float = Field(description="Its probability in percent, 0 to 100.")
    probabilities: dict[str, float] = Field(description="Every class's probability, 0 to 1.")
    unsure: bool = Field(
        description="Whether the confidence lies under the version's `unsure_below`."
    )


class FaceAnswer(AnswerReply):
    box: tuple[float, float, float, float] = Field(
        description="x0, y0, x1, y1 in pixels of the upright picture of `size`."
    )
    score: float = Field(description="How sure the face finder is, 0 to 1.")


class PredictReply(AnswerReply):
    model_config = _example(EXAMPLE)
    model: str = Field(description="The version that answered.")
    size: tuple[int, int] = Field(
        description="Width and height of the upright picture as it was read: a long side over "
        "1600 pixels is shrunk to that."
    )
    remark: str | None = Field(
        None,
        description="What to know of the picture: its file is cut off, or it lies on its side. "
        "Null where there is nothing.",
    )
    turn: Literal[0, 90, 180, 270] = Field(
        0,
        description="Degrees to turn the picture clockwise so that its faces stand upright. The "
        "answers are those of the turned picture, the boxes lie on this one.",
    )
    faces: list[FaceAnswer] = Field(
        description="Largest first; the first one's answer stands at the top too. Empty where the "
        "whole picture was taken as the face."
    )


class BlurTestReply(BaseModel):
    pictures: int = Field(
        description="How many pictures the figures are means over: the crop and its mirror image; "
        "where these leave it open, both moved a little to either side, too."
    )
    before: float = Field(description="The class's probability, 0 to 1.")
    hottest: float = Field(description="The same with the hottest fifth of the crop blurred.")
    random: float = Field(
        description="The same with copies of the hottest fifth blurred, mirrored, turned and "
        "shifted: their mean."
    )
    beaten: int = Field(
        description="How many of the copies take less from the class's lead (logit margin) than "
        "the hottest fifth."
    )
    fifths: int = Field(description="How many copies there were, on all pictures.")
    usual: float = Field(
        description="The same with the fifth blurred that is hottest on a map made without this "
        "picture, the one that takes most: the mean map of other faces, a blob on the nose, or "
        "another face's map."
    )
    lead: float = Field(
        description="What the hottest fifth takes from the class's lead less what maps made "
        "without this picture take, as a part of the first, -1 to 1."
    )


class VerdictReply(BaseModel):
    key: Literal[tuple(TITLES)] = Field(description="What the tests say of the heatmap.")
    title: str = Field(description="The same in words.")
    sentence: str = Field(description="The figures behind it.")
    close: bool = Field(description="Whether a bound is so near that it is a close call.")
    too_small: bool = Field(
        description="Whether nothing that was blurred changed the answer enough to judge the map."
    )


class RandomHeadReply(BaseModel):
    mean: float = Field(description="Of the draws, 0 to 1.")
    least: float
    most: float
    draws: tuple[float, ...] = Field(
        description="How alike the heatmap is to that of the same network with random weights in "
        "its head, drawn anew each time: absolute rank correlation."
    )


class SecondOpinionReply(BaseModel):
    filling: Literal["ROAD"] = Field(description="What takes the place of blur.")
    verdict: VerdictReply
    random_head: RandomHeadReply


class ExplanationReply(BaseModel):
    method: str = Field(description="How it was explained.")
    target: str = Field(description="The class that is explained.")
    against: str | None = Field(
        None, description="The class it is held against, where one was given."
    )
    baseline: str | None = Field(
        None, description="Integrated gradients: where they start. Null for the other methods."
    )
    steps: int | None = Field(
        None, description="Integrated gradients: steps of the integral. Null for the other methods."
    )
    heatmap_png: str = Field(
        description="Base64 of a gray 8-bit PNG of the crop's size: what speaks for the class, "
        "scaled to its peak; black where nothing does."
    )
    overlay_png: str = Field(
        description="Base64 of an RGB PNG, 320 pixels on the long side: the heat over the face."
    )
    completeness_gap: float | None = Field(
        description="Integrated gradients: how far the attributions miss the logit's difference "
        "from the baseline, as a part of it; 0 at best. Null for the other methods."
    )
    blur_test: BlurTestReply = Field(description="Whether the answer comes from the heat.")
    verdict: VerdictReply
    record: str = Field(description="What was measured of this method on test faces.")
    second_opinion: SecondOpinionReply | None = Field(
        None, description="Where it was asked for: the same test with another filling."
    )


class ExplainReply(PredictReply):
    model_config = _example({**EXAMPLE, "explanation": EXAMPLE_EXPLANATION})
    explanation: ExplanationReply = Field(description="Of the answer at the top.")


class ModelInfo(BaseModel):
    name: str
    classes: list[str] = Field(description="What it answers, in the order of its outputs.")
    unsure_below: float = Field(
        description="The confidence in percent under which its answers count as unsure; 0 for none."
    )
    balanced_accuracy: float | None = Field(description="On the test split, 0 to 1.")
    dark_35: float | None = Field(
        description="The same on un-augmented faces with 35% of their light, 0 to 1."
    )


class ModelsReply(BaseModel):
    model_config = _example(
        {
            "newest": "v2",
            "models": [
                {
                    "name": "v2",
                    "classes": [INCORRECT, WORN, BARE],
                    "unsure_below": 0.0,
                    "balanced_accuracy": 0.9616,
                    "dark_35": 0.5907,
                }
            ],
        }
    )
    newest: str = Field(description="The version that answers where none is asked for.")
    models: list[ModelInfo] = Field(description="The versions served, with measured results.")


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Problem(BaseModel):
    model_config = _example({"detail": "The picture's file is empty: choose or send it again."})
    detail: str = Field(description="One sentence: what is wrong, and what to do.")


# --- a picture file in, a reply out


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the network: RGB, with its crops and their inputs N x 3 x S x S."""

    image: Image.Image
    subjects: Subjects
    inputs: torch.Tensor


def predict_image(model: Model, image: Image.Image, whole: bool = False) -> PredictReply:
    """Answer every face of an RGB picture; `whole` takes the picture itself as the face.

    Raises NoFaceError.
    """
    prepared = _prepared(model, image, whole)
    return to_reply(model, prepared, model.logits_of(prepared.inputs))


def prepare_picture(model: Model, file: BinaryIO, whole: bool = False) -> Prepared:
    """A picture file, up to where the network begins. Raises ImageError and NoFaceError."""
    return _prepared(model, read_apart(file), whole)


def _prepared(model: Model, image: Image.Image, whole: bool) -> Prepared:
    subjects = subjects_for([model], image, whole, landmarks=False)
    return Prepared(image, subjects, model.inputs(subjects.images))


def to_reply(model: Model, prepared: Prepared, logits: torch.Tensor) -> PredictReply:
    """The answer that the network's logits N x classes give."""
    predictions = [model.prediction(row) for row in logits]
    return PredictReply(**_answers(model, prepared.image, prepared.subjects, predictions))


def explain_image(
    model: Model,
    image: Image.Image | BinaryIO,
    method: str | None = None,
    target: str | None = None,
    against: str | None = None,
    baseline: str | None = None,
    whole: bool = False,
    second: bool = False,
) -> ExplainReply:
    """Answer as `predict_image` does and explain the largest face's `target`.

    `image`: an RGB picture, or a picture file. `target` None is the predicted class, and `method`
    None the version's best; `second`: with a second opinion. Raises ImageError, NoFaceError and
    ExplainError.
    """
    if not isinstance(image, Image.Image):
        image = read_apart(image)
    subjects = subjects_for([model], image, whole)
    # Only some methods have a baseline: who names one asks for integrated gradients.
    method = method or ("integrated_gradients" if baseline else None)
    way = Way(method) if method else default_way(model)
    way = replace(way, baseline=baseline or way.baseline)
    question = Question(target, against)
    check_ways([way])
    question.check(model.task)
    main = forward_pass(model, subjects.images[:1])
    predictions = main.predictions() + model.predict(subjects.images[1:])
    [[explanation]] = explain_pass(main, [way], question)
    [test] = blur_test(main, [explanation])
    return ExplainReply(
        **_answers(model, image, subjects, predictions),
        explanation=ExplanationReply(
            **explanation.facts(),
            heatmap_png=base64_of(gray_heat(explanation)),
            overlay_png=base64_of(overlay(subjects.images[0], explanation)),
            blur_test=asdict(test),
            verdict=verdict_of(explanation, test).to_dict(),
            record=f"{record_sentence(model, way)} {random_sentence(model, way)}".strip(),
            second_opinion=second_opinions(main, [explanation])[0].to_dict() if second else None,
        ),
    )


def gray_heat(explanation: Explanation) -> Image.Image:
    """The positive heat as a gray picture of the crop's size, 255 at its peak."""
    scaled = 255 * relative_heat(explanation.heatmap)
    return Image.fromarray(scaled.round().astype(np.uint8))


def list_models(models: Sequence[Model]) -> ModelsReply:
    """The versions, the newest last, with the results that were measured for them."""
    return ModelsReply(newest=models[-1].name, models=[_info(model) for model in models])


def _info(model: Model) -> ModelInfo:
    dark = model.results.shift("dark_35")
    return ModelInfo(
        name=model.name,
        classes=list(model.task.names),
        unsure_below=100 * model.unsure_below,
        balanced_accuracy=model.results.balanced_accuracy,
        dark_35=dark and dark.balanced_accuracy,
    )


def _answers(
    model: Model, image: Image.Image, subjects: Subjects, predictions: Sequence[Prediction]
) -> dict:
    # Where the whole picture is the face there is one prediction and no face.
    faces = [
        {"box": [round(side, 2) for side in face.box], "score": face.score, **_answer(prediction)}
        for face, prediction in zip(subjects.faces, predictions, strict=False)
    ]
    return {
        "model": model.name,
        **_answer(predictions[0]),
        "size": image.size,
        "remark": remarks(image, subjects) or None,
        "turn": subjects.turn,
        "faces": faces,
    }


def _answer(prediction: Prediction) -> dict:
    return {
        "prediction": prediction.label,
        "confidence": round(100 * prediction.confidence, 4),
        "probabilities": prediction.probabilities,
        "unsure": prediction.unsure,
    }
