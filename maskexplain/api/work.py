"""The work behind the routes, without HTTP: a picture file in, a reply out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from ..explain.blur_test import blur_test
from ..explain.draw import base64_of, overlay, relative_heat
from ..explain.explain import (
    Explanation,
    ForwardPass,
    check_ways,
    explain_pass,
    forward_pass,
)
from ..explain.question import Question, Way, default_way
from ..explain.report import subjects_for
from ..explain.verdicts import (
    random_sentence,
    record_sentence,
    second_opinions,
    verdict_of,
)
from ..images.crops import Subjects, remarks
from ..images.pool import read_apart
from ..models.version import Model, Prediction
from .schemas import ExplainReply, ExplanationReply, ModelInfo, ModelsReply, PredictReply


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


def explain_picture(
    model: Model,
    file: BinaryIO,
    method: str | None = None,
    target: str | None = None,
    against: str | None = None,
    baseline: str | None = None,
    whole: bool = False,
    second: bool = False,
) -> ExplainReply:
    """Answer as `predict_image` does and explain the largest face's `target`.

    None is the predicted class, and as method the version's best; `second`: with a second opinion.
    Raises ImageError, NoFaceError and ExplainError.
    """
    asked = (method, target, against, baseline, whole, second)
    return explain_image(model, read_apart(file), *asked)


def explain_image(
    model: Model,
    image: Image.Image,
    method: str | None = None,
    target: str | None = None,
    against: str | None = None,
    baseline: str | None = None,
    whole: bool = False,
    second: bool = False,
) -> ExplainReply:
    """The same for an RGB picture. Raises NoFaceError and ExplainError."""
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
            second_opinion=_second(main, explanation) if second else None,
        ),
    )


def _second(main: ForwardPass, explanation: Explanation) -> dict:
    return second_opinions(main, [explanation])[0].to_dict()


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
