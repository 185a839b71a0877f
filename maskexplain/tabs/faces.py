"""Which face of a photo is meant: the numbered photo, its numbers, and the whole picture."""

from dataclasses import dataclass

import gradio as gr

from ..views.face_choice import WHOLE, FaceChoice


@dataclass(frozen=True)
class FaceControls:
    """The box for the whole picture, the photo with numbered faces, and the numbers to pick."""

    whole: gr.Checkbox
    numbered: gr.Image
    face: gr.Radio


def face_controls(prefix: str) -> FaceControls:
    """Build them here; `prefix` begins their ids."""
    whole = gr.Checkbox(label=WHOLE, elem_id=f"{prefix}-whole")
    numbered = gr.Image(
        label="Faces found",
        alt_text="The photo with a numbered box around every face",
        interactive=False,
        visible=False,
        height=220,
        buttons=["fullscreen"],
        elem_id=f"{prefix}-numbered",
    )
    face = gr.Radio([], label="Which face?", visible=False, elem_id=f"{prefix}-face")
    return FaceControls(whole, numbered, face)


def face_updates(controls: FaceControls, choice: FaceChoice) -> dict:
    """What a choice changes in them: the photo with its faces, and numbers where it has several."""
    numbers = [(line, index) for index, line in enumerate(choice.lines)]
    several, found = bool(numbers), choice.numbered is not None
    return {
        controls.numbered: gr.Image(choice.numbered, visible=found),
        controls.face: gr.Radio(numbers, value=choice.chosen if several else None, visible=several),
    }
