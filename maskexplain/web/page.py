"""The page: its tabs side by side, and its look.

Calm greys, one accent, dense; the classes' colours are kept for the classes.
"""

from collections.abc import Sequence

import gradio as gr

from ..masks.task import BARE
from ..models.version import Model, any_faces
from .about import add_about_tab
from .assets import render
from .clip.tab import add_clip_tab
from .compare.split import SplitAnswers
from .compare.tab import add_compare_tab
from .endpoints import add_endpoints
from .gradio_inside import forget_visitor
from .live.tab import add_live_tab
from .parts import Examples
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


def page_theme() -> gr.themes.Base:
    """Teal for what can be used, since no class has it; contrast AA in light and in dark."""
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        spacing_size="sm",
        radius_size="md",
        text_size="md",
        font=FONT,
        font_mono=MONO,
    )
    return theme.set(
        body_background_fill="#f6f8fa",
        body_background_fill_dark="#0d141d",
        body_text_color="#17212e",
        body_text_color_dark="#e6ecf3",
        body_text_color_subdued="#4b5a6b",
        body_text_color_subdued_dark="#a5b3c4",
        block_background_fill="#ffffff",
        block_background_fill_dark="#151f2b",
        block_border_color="#d8e0e8",
        block_border_color_dark="#2b3948",
        block_label_text_color="#3b4a5b",
        block_label_text_color_dark="#c3cfdc",
        block_title_text_color="#17212e",
        block_title_text_color_dark="#e6ecf3",
        block_title_text_weight="600",
        block_info_text_color="#4b5a6b",
        block_info_text_color_dark="#a5b3c4",
        border_color_primary="#d8e0e8",
        border_color_primary_dark="#2b3948",
        # 3:1 and more against what is behind: the edge of a control must be seen.
        input_border_color="#7c8b9b",
        input_border_color_dark="#6f8093",
        checkbox_border_color="#7c8b9b",
        checkbox_border_color_dark="#8294a8",
        checkbox_label_background_fill="#ffffff",
        checkbox_label_background_fill_dark="#1b2735",
        checkbox_label_background_fill_selected="#dff3ef",
        checkbox_label_background_fill_selected_dark="#123c39",
        checkbox_label_text_color_selected="#0b4d46",
        checkbox_label_text_color_selected_dark="#c9f2ea",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="#c3ced9",
        checkbox_label_border_color_dark="#3a4a5c",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#2dd4bf",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_text_color="#ffffff",
        button_primary_background_fill_dark="#2dd4bf",
        button_primary_background_fill_hover_dark="#5eead4",
        button_primary_text_color_dark="#062b28",
        button_secondary_background_fill="#e9eff4",
        button_secondary_background_fill_hover="#dbe4ec",
        button_secondary_text_color="#17212e",
        button_secondary_background_fill_dark="#243243",
        button_secondary_background_fill_hover_dark="#2f4055",
        button_secondary_text_color_dark="#e6ecf3",
        color_accent="#0f766e",
        link_text_color="#0f766e",
        link_text_color_dark="#5eead4",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
    )
