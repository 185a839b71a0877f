"""Gradio's own named endpoints, /predict and /explain: for gradio_client, and as MCP tools.

The same answers as the HTTP API's routes. They stand in the page's queue, so its limits and its
credentials hold for them; everything else of the page is hidden from clients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from ..api import explain_image, predict_image
from ..api.schemas import PredictReply
from ..explain.methods import BASELINES, METHODS
from ..explain.question import ExplainError
from ..images.crops import NoFaceError
from ..images.read import ImageError
from ..models.checkpoints import by_number
from ..models.version import Model
from .gradio_inside import hide_events
from .inputs import PhotoInput

PREDICT = "Answer every face of a picture: mask worn, worn incorrectly, or missing."
EXPLAIN = "Answer every face of a picture, and show why the largest one got its answer."


def add_endpoints(page: gr.Blocks, models: Sequence[Model]) -> None:
    """Add the two endpoints to a page that is being built, and hide its other events.

    To be called when all else is built. Where no version is named, the newest answers.
    """
    names = sorted((model.name for model in models), key=by_number)
    hide_events(page)
    with gr.Row(visible=False):
        inputs = _Inputs(names, models)
        reply = gr.JSON(label="Reply")
        ask, why = gr.Button(), gr.Button()
    _wire({model.name: model for model in models}, inputs, reply, ask, why)


class _Inputs:
    """What the endpoints take; never shown."""

    def __init__(self, names: list[str], models: Sequence[Model]) -> None:
        def choice(label: str, choices: Sequence[str]) -> gr.Dropdown:
            # gradio_client asks for every field whose default is None.
            return gr.Dropdown(["", *choices], value="", label=label)

        classes = list(dict.fromkeys(name for model in models for name in model.task.names))
        self.photo = PhotoInput(label="Picture", type="pil", image_mode=None)
        self.model = gr.Dropdown(names, value=names[-1], label="Version")
        self.whole = gr.Checkbox(label="Take the whole picture as the face")
        self.method = choice("Method (by default the version's best)", tuple(METHODS))
        self.target = choice("Class to explain (by default the predicted one)", classes)
        self.against = choice("Class to hold it against", classes)
        self.baseline = choice("Where integrated gradients start", BASELINES)

    @property
    def asked(self) -> list[gr.components.Component]:
        return [self.photo, self.model, self.whole]

    @property
    def explained(self) -> list[gr.components.Component]:
        return [*self.asked, self.method, self.target, self.against, self.baseline]


def _wire(
    served: dict[str, Model], inputs: _Inputs, reply: gr.JSON, ask: gr.Button, why: gr.Button
) -> None:
    def predict(picture, model, whole):
        return _told(predict_image, served[model], picture, whole)

    # The clients' names for the fields.
    def explain(picture, model, whole, method, target, against, baseline):
        chosen = (one or None for one in (method, target, against, baseline))
        return _told(explain_image, served[model], picture, *chosen, whole)

    shared = {"outputs": reply, "concurrency_id": "answers"}
    ask.click(predict, inputs.asked, api_name="predict", api_description=PREDICT, **shared)
    why.click(explain, inputs.explained, api_name="explain", api_description=EXPLAIN, **shared)


def _told(
    answer: Callable[..., PredictReply],
    model: Model,
    picture: Image.Image | ImageError | None,
    *asked: Any,
) -> dict:
    """The reply as JSON; what is wrong with the picture or the question as one sentence."""
    try:
        if isinstance(picture, ImageError):
            raise picture
        if picture is None:
            raise ImageError("No picture was given: send one.")
        return answer(model, picture, *asked).model_dump(mode="json")
    except (ImageError, NoFaceError, ExplainError) as error:
        raise gr.Error(str(error), print_exception=False) from error
