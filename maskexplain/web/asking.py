"""What Photo and Compare share: questions about a photo, of which the newest is answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from PIL import Image

from ..images.read import ImageError
from .faces import FaceControls, Scene, face_clicked, turn_photo
from .parts import Newest, changes_of, status, while_newest, zip_link

NO_ZIP = "There is nothing to download yet: give a photo with a face first."
# The questions' order is the browser's: a large photo is read for longer than the click that takes
# it away again.
MOMENT = "(_, ...given) => [performance.now(), ...given]"


@dataclass(frozen=True)
class PhotoParts:
    """A tab's components for questions about one photo.

    `asked`: what else an answer depends on, of which controls ask anew; `outputs`: what an answer
    changes; `shown`: where work is shown; `kept`: what the last answer knew, as `Remembered`.
    """

    photo: gr.Image
    faces: FaceControls
    kept: gr.State
    asked: Sequence[gr.components.Component]
    outputs: Sequence[gr.components.Component]
    shown: gr.components.Component
    save: gr.Button
    zipped: gr.HTML


class Remembered(Protocol):
    """What a tab remembers of a photo, whatever more."""

    @property
    def scene(self) -> Scene: ...


Photo = Image.Image | ImageError | None


class PhotoQuestions:
    """The events of a photo's questions, laid on a tab's components.

    `answer` (photo, whole, face, kept, *asked) gives the outputs' values whenever there is more of
    them; `zip_of`, given the same, everything as a zip of that `name`, None without a face; `whole`
    (photo, *asked) tells whether another photo is taken whole.
    """

    def __init__(
        self,
        parts: PhotoParts,
        answer: Callable[..., Iterator[dict]],
        zip_of: Callable[..., bytes | None],
        name: str,
        whole: Callable[..., bool] = lambda *_: False,
    ) -> None:
        self.parts, self.answer, self.whole = parts, answer, whole
        self.zip_of, self.name = zip_of, name
        self.moment = gr.Number(visible=False)
        self.newest = Newest()
        # One id: the limit on concurrent work then counts all of them together.
        self.progress: dict[str, Any] = {
            "show_progress": "minimal",
            "show_progress_on": parts.shown,
            "concurrency_id": "answers",
            # Each question starts at once, and the newest one silences those before it.
            "trigger_mode": "multiple",
            "js": MOMENT,
        }

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `show` is given."""
        parts, faces = self.parts, self.parts.faces
        return [self.moment, parts.photo, faces.whole, faces.face, parts.kept, *parts.asked]

    def wire(self) -> None:
        """Every control to its handler."""
        parts, faces = self.parts, self.parts.faces
        first = [self.moment, parts.photo, parts.kept, *parts.asked]
        parts.photo.change(self.first, first, [faces.whole, *parts.outputs], **self.progress)
        controls = [part for part in parts.asked if not isinstance(part, gr.State)]
        asking = [
            control.input(self.show, self.inputs, parts.outputs, **self.progress)
            for control in (faces.whole, faces.face, *controls)
        ]
        # Nobody waits for them any more.
        parts.photo.clear(None, cancels=asking)
        faces.stage.click(self.click, self.inputs, parts.outputs, **self.progress)
        faces.turn.click(self.turn, [parts.photo, parts.kept], parts.photo)
        saving = {**self.progress, "show_progress_on": parts.save, "trigger_mode": "once"}
        js = f"() => document.querySelector('#{parts.zipped.elem_id} a')?.click()"
        parts.save.click(self.save, self.inputs, parts.zipped, **saving).then(None, js=js)

    def show(
        self, request: gr.Request, moment: float | None, image: Photo, whole, chosen, kept, *asked
    ) -> Iterator[dict]:
        """The answer to what is asked now, whenever there is more of it."""
        is_newest = self.newest.begin(request.session_hash, moment)
        updates = changes_of(self.answer(image, whole, chosen or 0, kept, *asked))
        yield from while_newest(updates, is_newest, self.parts.outputs)

    def first(self, request: gr.Request, moment, image: Photo, kept, *asked) -> Iterator[dict]:
        """Another photo."""
        whole = self.whole(image, *asked)
        for updates in self.show(request, moment, image, whole, 0, kept, *asked):
            yield {self.parts.faces.whole: whole, **updates}

    def click(
        self, request: gr.Request, event: gr.EventData, moment, image: Photo, whole, chosen, *more
    ) -> Iterator[dict]:
        """A face in the photo is clicked."""
        yield from self.show(request, moment, image, whole, face_clicked(event, chosen), *more)

    def turn(self, image: Photo, kept: Remembered | None):
        """The photo is turned upright, which then is another photo."""
        return turn_photo(image, kept.scene if kept else None)

    def save(self, _moment, image: Photo, whole, chosen, kept, *asked) -> str:
        """Everything as a zip, which the browser then saves."""
        content = self.zip_of(image, whole, chosen or 0, kept, *asked)
        return zip_link(content, self.name) if content else status(NO_ZIP)
