"""The page's photo input: Gradio's image component, read through our own door."""

import gradio as gr
from PIL import Image

from .images import ImageError, read_image


class PhotoInput(gr.Image):
    """gr.Image that reads through `read_image`: Gradio's own reading has no words for a bad file.

    A handler gets an upright RGB picture, None, or the ImageError that says what is wrong. It is
    returned and not raised, since a raised one is a toast that goes away unread.
    """

    is_template = True  # the browser side is gr.Image's own

    def preprocess(self, payload) -> Image.Image | ImageError | None:
        """The payload is a file of the upload cache, or a data URL."""
        if payload is None:
            return None
        try:
            return read_image(payload.path or payload.url or b"")
        except ImageError as error:
            return error
