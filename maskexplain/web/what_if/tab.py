"""The What if tab: one face, changed by sliders and painted masks, and every version's answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gradio as gr

from ...images.read import ImageError, digest_of, read_image
from ...masks.task import is_mask
from ...models.version import Model
from ...results.sentences import lessons
from ..parts import FORGET_AFTER, Examples, Newest, photo_input, status, while_newest
from .changes import COLOURS, MASKS, SLIDERS, UNCHANGED, ChangeError, Changes
from .curves import FlipSearch, find_flips, setting_of
from .view import (
    CHARTS,
    COLOUR_TITLES,
    FORGOTTEN,
    MASK_TITLES,
    Charted,
    Taken,
    chart,
    charts_html,
    curves_key,
    flip_lines,
    flips_html,
    show,
    take,
)

NOTHING = "Give a picture further down, or in the tab Photo."
FIND = "Find the flip: the smallest change that changes an answer"
QUIET = {"show_progress": "hidden", "concurrency_id": "what-if", "concurrency_limit": 2}


def add_what_if_tab(
    models: Sequence[Model], examples: Examples, opened: gr.Tab, photo: gr.Image
) -> None:
    """Build and wire the tab's contents.

    `opened`: the tab itself; `photo`: the Photo tab's input, whose picture is taken over then. The
    first of `examples` is the bare face to begin with.
    """
    gr.HTML(lessons(models), elem_id="whatif-lessons")
    tab = _layout(examples, any(is_mask(model.task) for model in models))
    _Wiring(models, examples, photo, tab).wire(opened)


@dataclass(frozen=True)
class _WhatIfTab:
    notice: gr.HTML
    sitter: gr.HTML
    sliders: dict[str, gr.Slider]
    mask: gr.Radio
    colour: gr.Radio
    reset: gr.Button
    which: gr.Radio
    photo: gr.Image
    cards: gr.HTML
    charts: gr.HTML
    find: gr.Button
    found: gr.HTML
    flips: gr.Radio
    taken: gr.State
    seen: gr.State
    moved: gr.State
    wanted: gr.State
    charted: gr.State
    search: gr.State

    @property
    def setting(self) -> list[gr.components.Component]:
        """The controls of a `Changes`: the sliders, the mask and its colour."""
        return [*self.sliders.values(), self.mask, self.colour]


def _layout(examples: Examples, masks: bool) -> _WhatIfTab:
    with gr.Row():
        with gr.Column(scale=2, min_width=300, elem_id="whatif-controls"):
            notice = gr.HTML(status(""), elem_id="whatif-notice")
            sitter = gr.HTML(elem_id="whatif-sitter")
            sliders, mask, colour, reset = _controls(masks)
            with gr.Accordion("Another photo", open=False, elem_id="whatif-own"):
                photo = photo_input("whatif-photo", examples)
                which = gr.Radio([], label="Which face?", visible=False, elem_id="whatif-face")
        with gr.Column(scale=5, min_width=320):
            cards = gr.HTML(elem_id="whatif-cards")
            charts = gr.HTML(elem_id=CHARTS)
            find = gr.Button(FIND, variant="primary", elem_id="whatif-find")
            found = gr.HTML(elem_id="whatif-found")
            flips = gr.Radio(
                [],
                label="Found: pick one to see it",
                visible=False,
                type="index",
                elem_id="whatif-flips",
            )
    return _WhatIfTab(
        notice, sitter, sliders, mask, colour, reset, which, photo, cards, charts, find, found,
        flips, gr.State(time_to_live=FORGET_AFTER), gr.State(""), gr.State("light"), gr.State(""),
        gr.State(time_to_live=FORGET_AFTER), gr.State(),
    )  # fmt: skip


def _controls(painted: bool) -> tuple[dict[str, gr.Slider], gr.Radio, gr.Radio, gr.Button]:
    sliders = {
        key: gr.Slider(
            slider.low,
            slider.high,
            slider.neutral,
            step=1,
            precision=0,
            label=slider.title,
            info=slider.info,
            buttons=[],
            elem_id=f"whatif-{key}",
        )
        for key, slider in SLIDERS.items()
    }
    masks = [(MASK_TITLES[key], key) for key in MASKS]
    colours = [(COLOUR_TITLES[key], key) for key in COLOURS]
    # Only versions that know of masks have something to say to a painted one.
    mask = gr.Radio(
        masks, value="none", label="Paint a mask", visible=painted, elem_id="whatif-mask"
    )
    colour = gr.Radio(
        colours, value="blue", label="Its colour", visible=painted, elem_id="whatif-colour"
    )
    reset = gr.Button("Reset", size="sm", elem_id="whatif-reset")
    return sliders, mask, colour, reset


class _Wiring:
    """The tab's events: plain handlers' results laid on its components.

    `wanted` names the curves that belong below the cards: they are drawn anew when it changes, so
    not while one slider is dragged.
    """

    def __init__(
        self, models: Sequence[Model], examples: Examples, photo: gr.Image, tab: _WhatIfTab
    ) -> None:
        self.models, self.tab, self.photo = models, tab, photo
        self.example = examples[0][0] if examples else None
        self.newest_chart, self.newest_search = Newest(), Newest()

    def wire(self, opened: gr.Tab) -> None:
        """Every control to its handler."""
        tab = self.tab
        state = [tab.wanted, tab.moved, *tab.setting]
        pictures = [tab.photo, self.photo, *state]
        taking = [
            tab.taken, tab.notice, tab.which, tab.mask, tab.sitter, tab.cards, tab.wanted,
            tab.found, tab.flips,
        ]  # fmt: skip
        opened.select(self.open, [tab.taken, tab.seen, *pictures], [*taking, tab.seen], **QUIET)
        tab.photo.change(self.take, pictures, taking, **QUIET)
        tab.which.input(self.pick, [tab.which, *pictures], taking, **QUIET)
        self._wire_setting([tab.taken, *state])
        tab.wanted.change(
            self.chart,
            [tab.charted, tab.taken, tab.moved, *tab.setting],
            [tab.charts, tab.charted],
            **{**QUIET, "concurrency_id": "what-if-charts", "trigger_mode": "always_last"},
        )
        tab.find.click(
            self.find,
            [tab.taken, *tab.setting],
            [tab.found, tab.flips, tab.search],
            **{**QUIET, "concurrency_id": "what-if-flips"},
        )

    def _wire_setting(self, given: list[gr.components.Component]) -> None:
        tab = self.tab
        showing = [tab.sitter, tab.cards, tab.wanted, tab.moved]
        # While a slider is dragged, only where it has got to is answered.
        last = {**QUIET, "trigger_mode": "always_last"}
        for key, slider in tab.sliders.items():
            slider.input(self.mover(key), given, showing, **last)
        for control in (tab.mask, tab.colour):
            control.input(self.show, given, showing, **last)
        everything = [*showing, *tab.setting]
        tab.reset.click(self.reset, given, everything, **QUIET)
        tab.flips.input(self.set_flip, [tab.search, tab.flips, *given], everything, **QUIET)

    def open(self, request: gr.Request, taken, seen, own, given, *state):
        """The tab is opened: a picture that the Photo tab has got meanwhile is taken over."""
        digest = digest_of(given)
        fresh = bool(digest) and digest != seen
        if taken is not None and not fresh:
            return {self.tab.seen: seen}
        updates = self.take(request, None if fresh else own, given, *state)
        return {**updates, self.tab.seen: digest or seen}

    def take(self, request: gr.Request, own, given, wanted, moved, *setting, chosen: int = 0):
        """A face of the tab's own photo, else of the Photo tab's, else the example's."""
        tab = self.tab
        sources = (("own", own), ("photo", given))
        known = ((name, image) for name, image in sources if image is not None)
        origin, image = next(known, ("example", None))
        if image is None:
            image = read_image(self.example) if self.example else ImageError(NOTHING)
        taken, changes = take(self.models, image, origin, chosen), _changes(*setting)
        if not taken.paintable:
            changes = replace(changes, mask="none")
        several = taken.faces > 1
        numbers = [(str(index + 1), index) for index in range(taken.faces)]
        return {
            tab.taken: taken,
            tab.notice: status(taken.notice),
            tab.which: gr.Radio(numbers, value=taken.chosen if several else None, visible=several),
            tab.mask: gr.Radio(value=changes.mask, interactive=taken.paintable),
            tab.found: "",
            tab.flips: gr.Radio([], value=None, visible=False),
            **self._shown(request, taken, changes, moved, wanted),
        }

    def pick(self, request: gr.Request, chosen, own, given, *state):
        """Another face of the same picture."""
        return self.take(request, own, given, *state, chosen=chosen or 0)

    def mover(self, key: str):
        """What a slider does."""

        def move(request: gr.Request, taken, wanted, moved, *setting):
            shown = self._shown(request, taken, _changes(*setting), key, wanted)
            return {**shown, self.tab.moved: key}

        return move

    def show(self, request: gr.Request, taken, wanted, moved, *setting):
        """What the mask and its colour do."""
        return self._shown(request, taken, _changes(*setting), moved, wanted)

    def reset(self, request: gr.Request, taken, wanted, moved, *setting):
        shown = self._shown(request, taken, UNCHANGED, moved, wanted)
        return {**shown, **self._controls_at(UNCHANGED)}

    def set_flip(
        self, request: gr.Request, search: FlipSearch | None, index, taken, wanted, moved, *setting
    ):
        """A found flip is picked: the controls are set to where it happens."""
        if search is None or index is None or not index < len(search.flips):
            return {self.tab.moved: moved}
        changes, key = setting_of(search, index), search.flips[index].slider
        shown = self._shown(request, taken, changes, key, wanted)
        return {**shown, **self._controls_at(changes), self.tab.moved: key}

    def _controls_at(self, changes: Changes) -> dict:
        values = (*changes.values.values(), changes.mask, changes.colour)
        return dict(zip(self.tab.setting, values, strict=True))

    def _shown(
        self, request: gr.Request, taken: Taken | None, changes: Changes, key: str, wanted: str
    ) -> dict:
        curves = curves_key(taken, changes, key)
        if curves != wanted:
            # Those that are still on their way stop.
            self.newest_chart.begin(request.session_hash)
        shown = show(self.models, taken, changes)
        return {
            self.tab.sitter: shown.face,
            self.tab.cards: shown.cards,
            self.tab.wanted: curves,
        }

    def chart(self, request: gr.Request, known: Charted | None, taken, moved, *setting):
        """The curves along the slider moved last, one version after another."""
        is_newest = self.newest_chart.begin(request.session_hash)
        outputs = [self.tab.charts, self.tab.charted]
        updates = (
            {self.tab.charts: charts_html(c.sweeps, moved, len(self.models)), self.tab.charted: c}
            for c in chart(self.models, taken, _changes(*setting), moved, known)
        )
        yield from while_newest(updates, is_newest, outputs)

    def find(self, request: gr.Request, taken: Taken | None, *setting):
        """The smallest changes that flip an answer, with the search's progress."""
        is_newest = self.newest_search.begin(request.session_hash)
        if taken is None or taken.sitter is None:
            yield {self.tab.found: status(taken.notice if taken else FORGOTTEN)}
            return
        try:
            searches = find_flips(self.models, taken.sitter, _changes(*setting))
            outputs = [self.tab.found, self.tab.flips, self.tab.search]
            yield from while_newest(map(self._found, searches), is_newest, outputs)
        except ChangeError as error:
            yield {self.tab.found: status(str(error))}

    def _found(self, search: FlipSearch) -> dict:
        lines = [] if search.waiting else flip_lines(search)
        return {
            self.tab.found: flips_html(search),
            self.tab.flips: gr.Radio(lines, value=None, visible=bool(lines)),
            self.tab.search: search,
        }


def _changes(*setting) -> Changes:
    """What the controls say; a control without a value stands where it changes nothing."""
    *values, mask, colour = setting
    pairs = zip(SLIDERS, values, strict=True)
    given = {key: value for key, value in pairs if value is not None}
    return Changes(given, mask or UNCHANGED.mask, colour or UNCHANGED.colour)
