"""What several tabs share: their inputs, choices, sentences, answers, and the newest question."""

import base64
import binascii
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from threading import Lock

import gradio as gr
from markupsafe import Markup
from PIL import Image

from ..explain.explain import BEST, all_ways
from ..images.pool import read_apart
from ..images.read import ImageError
from ..models.checkpoints import by_number
from ..models.version import Model, Prediction
from ..task import Task
from ..video.frames import ClipError
from ..words import listed
from .assets import asset, macros, render
from .gradio_inside import NoAddresses, PlainVideo, is_upload

Examples = Sequence[tuple[Path, str]]  # a picture's file and its caption

Choice = tuple[str, str]  # what a person reads, and the value


def target_choices(models: Sequence[Model], none: str) -> list[Choice]:
    """The classes of the versions to choose from, behind `none`, which chooses no class."""
    titles = {name: model.task.title(name) for model in models for name in model.task.names}
    return [(none, ""), *((title, name) for name, title in titles.items())]


def way_choices() -> list[Choice]:
    """The ways to explain to choose from, each version's best first."""
    return [("Each version’s best", BEST), *((way.title, k) for k, way in all_ways().items())]


# --- inputs, read through our own door


class PhotoInput(NoAddresses):
    """gr.Image that reads through `read_apart`: Gradio's own reading has no words for a bad file.

    A handler gets an upright RGB picture, None, or the ImageError that says what is wrong. It is
    returned and not raised, since a raised one is a toast that goes away unread.
    """

    def preprocess(self, payload) -> Image.Image | ImageError | None:
        """The payload is a file of the upload cache, or a data URL."""
        if payload is None:
            return None
        try:
            return read_apart(self._source(payload))
        except ImageError as error:
            return error

    def _source(self, payload) -> str:
        # A stranger's request may name any path or address as its payload.
        if payload.path is None and (payload.url or "").startswith("data:"):
            return payload.url
        if is_upload(payload.path, self):
            return payload.path
        raise ImageError("That is no uploaded picture: upload the picture's file.")


class ClipInput(PlainVideo):
    """gr.Video whose handlers get the path of the uploaded file, None, or the ClipError that says
    what is wrong. Nothing is decoded here.
    """

    def preprocess(self, payload) -> Path | ClipError | None:
        """The payload is a file of the upload cache; a stranger's may be anything."""
        if payload is None:
            return None
        if not is_upload(payload.path, self):
            return ClipError("That is no uploaded clip: upload the video's file.")
        path = Path(payload.path).resolve()
        return path if path.is_file() else ClipError(GONE)


GONE = "The clip is no longer here: give it again."
MAX_URL = 4 * 2**20  # characters; a frame of 640 x 480 has some 100,000


class LiveInput(NoAddresses):
    """gr.Image whose handlers get a frame's file as bytes, None, or the ImageError that says what
    is wrong. Nothing is decoded here and nothing is written to disk.
    """

    def preprocess(self, payload) -> bytes | ImageError | None:
        """The payload is a `data:` URL of base64; a stranger's may be anything."""
        if payload is None:
            return None
        head, _, body = (payload.url or "").partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            return ImageError("That is no camera picture: start the camera again.")
        if len(body) > MAX_URL:
            return ImageError("The camera's picture is too large: start the camera again.")
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error:
            return ImageError("That is no camera picture: start the camera again.")


def camera_trouble(elem_id: str, instead: str) -> gr.HTML:
    """Where the page says why an input's camera does not start, and what to do instead."""
    return gr.HTML(render("camera_trouble", camera=elem_id, instead=instead), padding=False)


def photo_input(elem_id: str, examples: Examples) -> PhotoInput:
    """A photo by upload, paste or snapshot, and below it the examples to click."""
    photo = PhotoInput(
        label="Photo",
        alt_text="Your photo",
        type="pil",
        image_mode=None,
        height=320,
        sources=["upload", "webcam", "clipboard"],
        # Unmirrored: the network gets the picture as it is.
        webcam_options=gr.WebcamOptions(mirror=False),
        # A picture that another tab gives arrives as it is: Gradio's usual WebP alters pixels.
        format="png",
        elem_id=elem_id,
    )
    camera_trouble(elem_id, "Or upload a photo.")
    if examples:
        gr.Examples(
            examples=[[str(path)] for path, _ in examples],
            example_labels=[caption for _, caption in examples],
            inputs=photo,
            label="Examples: masks painted over a public-domain portrait",
        )
    gr.HTML(asset("privacy.html"), elem_classes="privacy")
    return photo


FORGET_AFTER = 1800  # seconds after a face was given, its traces leave the memory
TIGHT = "The picture looks like a face crop already: it is taken whole."


def status(text: str, spoken: str = "") -> str:
    """A sentence for people, read aloud by screen readers when it changes.

    `spoken` is for screen readers alone: what stands elsewhere on the page for eyes.
    """
    more = f' <span class="spoken">{escape(spoken)}</span>' if spoken else ""
    return f'<p role="status">{escape(text)}{more}</p>'


def changes_of(updates: Iterable[dict]) -> Iterator[dict]:
    """The updates without what was sent before: nothing goes to the browser twice."""
    sent: dict = {}
    for update in updates:
        fresh = {k: value for k, value in update.items() if k not in sent or sent[k] != value}
        sent |= fresh
        yield fresh


def while_newest(
    updates: Iterable[dict],
    is_newest: Callable[[], bool],
    outputs: Sequence[gr.components.Component],
) -> Iterator[dict]:
    """The updates of a question as long as it is the newest; at its end else, one without change.

    Gradio would send the handler's last yield again, after the newer question's answer.
    """
    coming = iter(updates)
    while is_newest():  # before the work on the next one, and after it
        update = next(coming, None)
        if update is None:
            return
        if is_newest():
            yield update
    yield {output: gr.skip() for output in outputs}


def zip_link(content: bytes, name: str) -> str:
    """A link to a zip as a `data:` URL, so that it is not written to disk."""
    url = f"data:application/zip;base64,{base64.b64encode(content).decode()}"
    return f'<a download="{escape(name)}" href="{url}">Save {escape(name)} again</a>'


VISITORS = 1000  # remembered; counters only


class Newest:
    """Counts each visitor's questions.

    An answer that takes its time asks before every part of it whether its question still is the
    visitor's newest.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._count = 0

    def still(self, visitor: str) -> Callable[[], bool]:
        """Tells whether the visitor's newest question is the one of now; begins none."""
        mine = self._last.get(visitor)
        return lambda: self._last.get(visitor) == mine

    def begin(self, visitor: str, moment: float | None = None) -> Callable[[], bool]:
        """A question of a visitor; the result tells whether it is, and still is, their newest.

        `moment`: when it was asked, on the visitor's clock; None: after all that have begun here.
        """
        with self._lock:
            latest = self._last.get(visitor, (-math.inf, 0))[0]
            moment = latest if moment is None else moment
            if moment < latest:
                return lambda: False
            self._count += 1
            mine = self._last[visitor] = moment, self._count
            self._last.move_to_end(visitor)
            while len(self._last) > VISITORS:
                self._last.popitem(last=False)
        return lambda: self._last.get(visitor) == mine


_MACROS = macros("answers")


def bars(task: Task, prediction: Prediction) -> Markup:
    """The probabilities as bars, in class order and in the classes' colours."""
    return _MACROS.bars(task, prediction)


def newest_first(models: Sequence[Model]) -> list[Model]:
    """The versions in the order in which the page tells of them."""
    return sorted(models, key=lambda model: by_number(model.name), reverse=True)


def says(models: Sequence[Model], labels: Sequence[str]) -> str:
    """Who says what, those who say the same together: “v1 and v2 say “No mask”, v3 says ...”."""
    groups: dict[str, list[str]] = {}
    for model, label in zip(models, labels, strict=True):
        groups.setdefault(model.task.title(label), []).append(model.name)
    return ", ".join(
        f"{listed(group)} {'say' if len(group) > 1 else 'says'} “{title}”"
        for title, group in groups.items()
    )
