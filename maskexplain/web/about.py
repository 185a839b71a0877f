"""The tab About the models: what was measured, what the data is, the API by example."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from markupsafe import Markup, escape

from ..explain.explain import default_way
from ..masks.task import is_mask
from ..models.version import Model
from ..results.sentences import good_and_bad, heatmap_honesty, known_failures
from ..results.tables import (
    EXPLANATION_COLUMNS,
    SHIFT_TITLES,
    explanation_rows,
    found_on_street,
    on_other,
    other_folders,
    shifted,
)
from ..task import Task
from .assets import asset, macros
from .charts import MeanPicture, mean_maps, reliability_svg
from .parts import newest_first
from .photo.html import standing

_MACROS = macros("about")


def measured_of(models: Sequence[Model]) -> list[Model]:
    """The versions that were measured."""
    return [model for model in models if model.results.measured]


def results_tables(models: Sequence[Model]) -> Markup:
    """What was measured of each version, as an HTML table a task."""
    measured = measured_of(models)
    tasks = dict.fromkeys(model.task for model in measured)
    tables = (_results_table([m for m in measured if m.task == task], task) for task in tasks)
    return Markup("").join(tables)


def _results_table(models: Sequence[Model], task: Task) -> Markup:
    named = {"shifted": shifted, "found_on_street": found_on_street, "on_other": on_other}
    return _MACROS.results(task, SHIFT_TITLES, other_folders(models), models, named)


def explanations_table(models: Sequence[Model]) -> Markup:
    """What the tests of the heatmaps found, in words and as a table; best ways are bold."""
    rows = [row for model in models for row in explanation_rows(model)]
    return _MACROS.explanations(heatmap_honesty(models), EXPLANATION_COLUMNS, rows)


def version_details(models: Sequence[Model]) -> Markup:
    """A column a measured version: known failures, confusion matrices, reliability."""
    cards = [(model, known_failures(model), _reliability(model)) for model in measured_of(models)]
    return _MACROS.details(cards)


def _reliability(model: Model) -> Markup:
    calibration, name = model.results.calibration, str(escape(model.name))
    return Markup(reliability_svg(calibration, name, len(model.task)) if calibration else "")


# --- for people


@dataclass(frozen=True)
class _Card:
    name: str
    standing: str
    lines: list[str]
    way: str
    faces: int
    maps: list[MeanPicture]


def versions_html(models: Sequence[Model]) -> str:
    """A card a version, the newest first: three lines, and where it looks on the whole."""
    cards = []
    for model in newest_first(models):
        way, maps = default_way(model), mean_maps(model)
        faces = sum(one.faces for one in maps)
        lines = good_and_bad(model)
        cards.append(_Card(model.name, standing(model, models), lines, way.title, faces, maps))
    return _MACROS.versions(cards)


def add_about_tab(models: Sequence[Model]) -> None:
    """Build the tab's contents: for people first, tables folded behind."""
    gr.HTML(versions_html(models), padding=False)
    shipped = any(is_mask(model.task) for model in models)
    if shipped:
        gr.HTML(asset("shipped.html"))
    gr.HTML(asset("about.html"))
    with gr.Accordion("All measured results", open=False, elem_id="all-results"):
        gr.HTML(results_tables(models))
        gr.HTML(version_details(models), padding=False)
    with gr.Accordion("How the heatmaps were tested", open=False, elem_id="all-heatmaps"):
        gr.HTML(asset("explanations.html"))
        gr.HTML(explanations_table(models))
    if shipped:
        with gr.Accordion("What the data is", open=False, elem_id="the-data"):
            gr.HTML(asset("data.html"))
    with gr.Accordion("The same answers for programs", open=False, elem_id="for-programs"):
        gr.HTML(asset("api.html"))
