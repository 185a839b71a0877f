"""The page: its tabs side by side, its endpoints for clients, and its look.

Calm greys, one accent, dense; the classes' colours are kept for the classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from ..api import explain_image, predict_image
from ..api.replies import PredictReply
from ..explain.explain import ExplainError
from ..explain.methods import BASELINES, METHODS
from ..images.crops import NoFaceError
from ..images.read import ImageError
from ..masks.task import BARE
from ..models.checkpoints import by_number
from ..models.version import Model, any_faces
from .about import add_about_tab
from .assets import render
from .clip import add_clip_tab
from .compare.split import SplitAnswers
from .compare.tab import add_compare_tab
from .gradio_inside import forget_visitor, hide_events
from .live import add_live_tab
from .parts import Examples, PhotoInput
from .photo.tab import add_photo_tab
from .what_if.tab import add_what_if_tab

TITLE = "Mask explainer"


def build_page(
    models: Sequence[Model], examples: Examples, split: SplitAnswers | None = None
) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions.

    `split`: the test pictures of a data folder, whose disagreements the page then shows.
    """
    examples = examples if any_faces(models) else ()  # they are portraits
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(render("header", question=_question(models)))
        with gr.Tabs() as tabs:
            with gr.Tab("Photo", id="photo"):
                photo = add_photo_tab(models, examples)
            if any_faces(models):  # Live follows faces
                with gr.Tab("Live", id="live"):
                    add_live_tab(models, photo, tabs)
            with gr.Tab("Clip", id="clip"):
                add_clip_tab(models, photo, tabs)
            with gr.Tab("Compare", id="compare") as compare:
                add_compare_tab(models, examples, compare, photo, split)
            with gr.Tab("What if", id="whatif") as whatif:
                add_what_if_tab(models, examples, whatif, photo)
            with gr.Tab("About", id="about"):
                add_about_tab(models)

        def forget(request: gr.Request) -> None:
            """What the tabs remember of a visitor's photos leaves the memory with the visitor."""
            forget_visitor(page, request)

        page.unload(forget)
        add_endpoints(page, models)  # last: it hides the tabs' own events from clients
    return page


def _question(models: Sequence[Model]) -> str:
    """What the page is about."""
    if any(model.task.faces and BARE in model.task for model in models):
        return "How does this face wear its mask"
    return "What does this face show" if any_faces(models) else "What does this picture show"


# System fonts: the page asks no other server for anything.
FONT = ["system-ui", "sans-serif"]
MONO = ["ui-monospace", "monospace"]


# Teal for what can be used, since no class has it; contrast AA in light (the first) and in dark.
COLOURS = {
    "body_background_fill": ("#f6f8fa", "#0d141d"),
    "body_text_color": ("#17212e", "#e6ecf3"),
    "body_text_color_subdued": ("#4b5a6b", "#a5b3c4"),
    "block_background_fill": ("#ffffff", "#151f2b"),
    "block_border_color": ("#d8e0e8", "#2b3948"),
    "block_label_text_color": ("#3b4a5b", "#c3cfdc"),
    "block_title_text_color": ("#17212e", "#e6ecf3"),
    "block_info_text_color": ("#4b5a6b", "#a5b3c4"),
    "border_color_primary": ("#d8e0e8", "#2b3948"),
    # 3:1 and more against what is behind: the edge of a control must be seen.
    "input_border_color": ("#7c8b9b", "#6f8093"),
    "checkbox_border_color": ("#7c8b9b", "#8294a8"),
    "checkbox_label_background_fill": ("#ffffff", "#1b2735"),
    "checkbox_label_background_fill_selected": ("#dff3ef", "#123c39"),
    "checkbox_label_text_color_selected": ("#0b4d46", "#c9f2ea"),
    "checkbox_label_border_color": ("#c3ced9", "#3a4a5c"),
    "checkbox_background_color_selected": ("#0f766e", "#2dd4bf"),
    "button_primary_background_fill": ("#0f766e", "#2dd4bf"),
    "button_primary_background_fill_hover": ("#115e59", "#5eead4"),
    "button_primary_text_color": ("#ffffff", "#062b28"),
    "button_secondary_background_fill": ("#e9eff4", "#243243"),
    "button_secondary_background_fill_hover": ("#dbe4ec", "#2f4055"),
    "button_secondary_text_color": ("#17212e", "#e6ecf3"),
    "link_text_color": ("#0f766e", "#5eead4"),
    "slider_color": ("#0f766e", "#2dd4bf"),
}


def page_theme() -> gr.themes.Base:
    """Gradio's plain theme, denser, in `COLOURS`."""
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        spacing_size="sm",
        radius_size="md",
        text_size="md",
        font=FONT,
        font_mono=MONO,
    )
    dark = {f"{name}_dark": colour for name, (_, colour) in COLOURS.items()}
    light = {name: colour for name, (colour, _) in COLOURS.items()}
    return theme.set(
        **light,
        **dark,
        block_title_text_weight="600",
        checkbox_label_border_width="1px",
        color_accent="#0f766e",
    )


# --- Gradio's own named endpoints, /predict and /explain: for gradio_client, and as MCP tools.
# The same answers as the HTTP API's routes. They stand in the page's queue, so its limits and its
# credentials hold for them; everything else of the page is hidden from clients.

PREDICT = "Answer every face of a picture, or, by versions that know no faces, all of it."
EXPLAIN = "Answer a picture so, and show why the largest face, or all of it, got its answer."


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
        return _told(predict_image, served[model or inputs.model.value], picture, whole)

    # The clients' names for the fields.
    def explain(picture, model, whole, method, target, against, baseline):
        chosen = (one or None for one in (method, target, against, baseline))
        named = served[model or inputs.model.value]  # a client may send null
        return _told(explain_image, named, picture, *chosen, whole)

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
