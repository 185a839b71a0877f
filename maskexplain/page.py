"""The page: its tabs, side by side."""

from collections.abc import Sequence

import gradio as gr

from .assets import asset
from .compare.disagreements import SplitAnswers
from .networks.answer import MaskModel
from .tabs.about import add_about_tab
from .tabs.compare import add_compare_tab
from .tabs.endpoints import add_endpoints
from .tabs.live import add_live_tab
from .tabs.parts import Examples
from .tabs.photo import add_photo_tab
from .tabs.what_if import add_what_if_tab

TITLE = "Mask explainer"


def build_page(
    models: Sequence[MaskModel], examples: Examples, split: SplitAnswers | None = None
) -> gr.Blocks:
    """The page for these versions; `examples` are pictures with their captions.

    `split`: the test pictures of a data folder, whose disagreements the page then shows.
    """
    uploads = (60, 300)  # seconds: how often to look for old ones, and how old is old
    with gr.Blocks(
        title=TITLE, delete_cache=uploads, analytics_enabled=False, fill_width=True
    ) as page:
        gr.HTML(asset("header.html"))
        with gr.Tabs() as tabs:
            with gr.Tab("Photo", id="photo"):
                photo = add_photo_tab(models, examples)
            with gr.Tab("Live", id="live"):
                add_live_tab(models, photo, tabs)
            with gr.Tab("Compare", id="compare") as compare:
                add_compare_tab(models, examples, compare, photo, split)
            with gr.Tab("What if", id="whatif") as whatif:
                add_what_if_tab(models, examples, whatif, photo)
            with gr.Tab("About", id="about"):
                add_about_tab(models)

        def forget(request: gr.Request) -> None:
            """What the tabs remember of a visitor's photos leaves the memory with the visitor."""
            page.state_holder.delete_state(request.session_hash)

        page.unload(forget)
        add_endpoints(page, models)  # last: it hides the tabs' own events from clients
    return page
