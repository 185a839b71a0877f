"""The work behind the routes, without HTTP: a picture file in, a reply out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from ..explain.draw import base64_of, overlay, relative_heat
from ..explain.explain import Explanation, explain
from ..explain.faithfulness import blur_test
from ..explain.variants import Variant, default_variant
from ..explain.verdicts import verdict_of
from ..images.crops import Subjects, find_subjects
from ..images.read import read_image
from ..models.version import MaskModel, Prediction
from .schemas import ExplainReply, ExplanationReply, ModelInfo, ModelsReply, PredictReply


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the network: (width, height), crops, inputs N x 3 x S x S."""

    size: tuple[int, int]
    subjects: Subjects
    inputs: torch.Tensor


def predict_picture(model: MaskModel, file: BinaryIO, whole: bool = False) -> PredictReply:
    """Answer every face of a picture file; `whole` takes the picture itself as the face.

    Raises ImageError and NoFaceError.
    """
    return predict_image(model, read_image(file), whole)


def predict_image(model: MaskModel, image: Image.Image, whole: bool = False) -> PredictReply:
    """The same for an RGB picture. Raises NoFaceError."""
    prepared = _prepared(model, image, whole)
    return to_reply(model, prepared, model.logits_of(prepared.inputs))


def prepare_picture(model: MaskModel, file: BinaryIO, whole: bool = False) -> Prepared:
    """All of `predict_picture` that comes before the network. Raises ImageError and NoFaceError."""
    return _prepared(model, read_image(file), whole)


def _prepared(model: MaskModel, image: Image.Image, whole: bool) -> Prepared:
    subjects = find_subjects(image, whole, landmarks=False)
    return Prepared(image.size, subjects, model.inputs(subjects.images))


def to_reply(model: MaskModel, prepared: Prepared, logits: torch.Tensor) -> PredictReply:
    """The answer that the network's logits N x 3 give."""
    predictions = [model.prediction(row) for row in logits]
    return PredictReply(**_answers(model, prepared.subjects, predictions), size=prepared.size)


def explain_picture(
    model: MaskModel,
    file: BinaryIO,
    method: str | None = None,
    target: str | None = None,
    against: str | None = None,
    baseline: str | None = None,
    whole: bool = False,
) -> ExplainReply:
    """Answer as `predict_picture` does and explain the largest face's `target`.

    None is the predicted class, and as method the version's best. Raises ImageError, NoFaceError
    and ExplainError.
    """
    asked = (method, target, against, baseline, whole)
    return explain_image(model, read_image(file), *asked)


def explain_image(
    model: MaskModel,
    image: Image.Image,
    method: str | None = None,
    target: str | None = None,
    against: str | None = None,
    baseline: str | None = None,
    whole: bool = False,
) -> ExplainReply:
    """The same for an RGB picture. Raises NoFaceError and ExplainError."""
    subjects = find_subjects(image, whole)
    predictions = model.predict(subjects.images)
    crop = subjects.images[0]
    # Only integrated gradients have a baseline: who names one asks for them.
    method = method or ("integrated_gradients" if baseline else None)
    way = Variant(method) if method else default_variant(model)
    way = replace(way, baseline=baseline or way.baseline)
    explanation = explain(model, crop, way.method, target, against, way.baseline)
    [test] = blur_test(model, crop, [explanation])
    return ExplainReply(
        **_answers(model, subjects, predictions),
        size=image.size,
        explanation=ExplanationReply(
            **explanation.facts(),
            heatmap_png=base64_of(gray_heat(explanation)),
            overlay_png=base64_of(overlay(crop, explanation)),
            blur_test=asdict(test),
            verdict=verdict_of(explanation, test).to_dict(),
        ),
    )


def gray_heat(explanation: Explanation) -> Image.Image:
    """The positive heat as a gray picture of the crop's size, 255 at its peak."""
    scaled = 255 * relative_heat(explanation.heatmap)
    return Image.fromarray(scaled.round().astype(np.uint8))


def list_models(models: Sequence[MaskModel]) -> ModelsReply:
    """The versions, the newest last, with the results that were measured for them."""
    infos = [
        ModelInfo(
            name=model.name,
            unsure_below=100 * model.unsure_below,
            balanced_accuracy=model.results.get("balanced_accuracy"),
            dark_35=model.results.get("shifts", {}).get("dark_35", {}).get("balanced_accuracy"),
        )
        for model in models
    ]
    return ModelsReply(newest=models[-1].name, models=infos)


def _answers(model: MaskModel, subjects: Subjects, predictions: Sequence[Prediction]) -> dict:
    # Where the whole picture is the face there is one prediction and no face.
    faces = [
        {"box": [round(side, 2) for side in face.box], "score": face.score, **_answer(prediction)}
        for face, prediction in zip(subjects.faces, predictions, strict=False)
    ]
    return {"model": model.name, **_answer(predictions[0]), "faces": faces}


def _answer(prediction: Prediction) -> dict:
    return {
        "prediction": prediction.label,
        "confidence": round(100 * prediction.confidence, 4),
        "probabilities": prediction.probabilities,
        "unsure": prediction.unsure,
    }
