"""What the API answers: the replies' fields, with the examples that /docs shows."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..explain.verdicts import TITLES
from ..masks.task import BARE, INCORRECT, WORN

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
