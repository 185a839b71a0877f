"""The tab About the models: what was measured of each version, and what the data is."""

from collections.abc import Sequence

import gradio as gr

from ..answer import MaskModel
from ..assets import asset
from ..results_html import explanations_table, results_table


def add_about_tab(models: Sequence[MaskModel]) -> None:
    """Build the tab's contents."""
    gr.HTML(asset("about.html"))
    gr.HTML(results_table(models))
    gr.HTML(asset("explanations.html"))
    gr.HTML(explanations_table(models))
