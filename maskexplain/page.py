"""The page: its tabs, side by side."""

from collections.abc import Sequence

import gradio as gr

from .answer import MaskModel
from .assets import asset
from .tabs.about import add_about_tab
from .tabs.endpoints import add_endpoints
from .tabs.parts import Examples
from .tabs.photo import add_photo_tab

TITLE = "Mask explainer"


def build_page(models: Sequence[MaskModel], examples: Examples) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions."""
    uploads = (60, 300)  # seconds: how often to look for old ones, and how old is old
    with gr.Blocks(
        title=TITLE, delete_cache=uploads, analytics_enabled=False, fill_width=True
    ) as page:
        gr.HTML(asset("header.html"))
        with gr.Tabs():
            with gr.Tab("Photo", id="photo"):
                add_photo_tab(models, examples)
            with gr.Tab("About the models", id="about"):
                add_about_tab(models)
        add_endpoints(page, models)  # last: it hides the tabs' own events from clients
    return page
