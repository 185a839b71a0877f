"""The page: its tabs, side by side."""

from collections.abc import Sequence

import gradio as gr

from .answer import MaskModel
from .assets import asset
from .tabs.about import add_about_tab
from .tabs.live import add_live_tab
from .tabs.parts import Examples
from .tabs.photo import add_photo_tab

TITLE = "Mask explainer"


def build_page(models: Sequence[MaskModel], examples: Examples) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions."""
    with gr.Blocks(title=TITLE, delete_cache=(60, 300), analytics_enabled=False) as page:
        gr.HTML(asset("header.html"))
        with gr.Tabs() as tabs:
            with gr.Tab("Photo", id="photo"):
                photo = add_photo_tab(models, examples)
            with gr.Tab("Live", id="live"):
                add_live_tab(models, photo, tabs)
            with gr.Tab("About the models", id="about"):
                add_about_tab(models)
    return page
