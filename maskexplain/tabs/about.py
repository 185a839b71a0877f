"""The tab About the models: what was measured, what the data is, the API by example."""

from collections.abc import Sequence

import gradio as gr

from ..assets import asset
from ..networks.answer import MaskModel
from ..views.details_html import version_details
from ..views.results_html import explanations_table, results_table


def add_about_tab(models: Sequence[MaskModel]) -> None:
    """Build the tab's contents."""
    gr.HTML(asset("about.html"))
    gr.HTML(results_table(models))
    gr.HTML(version_details(models), padding=False)
    gr.HTML(asset("explanations.html"))
    gr.HTML(explanations_table(models))
    gr.HTML(asset("data.html"))
    gr.HTML(asset("api.html"))
