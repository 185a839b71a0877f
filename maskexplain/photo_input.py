"""The page's photo input: Gradio's image component, read through our own door."""

import gradio as gr
from PIL import Image

from .images import ImageError, read_image


class PhotoInput(gr.Image):
    """gr.Image that reads through `read_image`, so that a bad file gets a sentence."""

    is_template = True  # the browser side is gr.Image's own

    def preprocess(self, payload) -> Image.Image | None:
        """The payload (a file of the upload cache, or a data URL) as an upright RGB picture."""
        if payload is None:
            return None
        try:
            return read_image(payload.path or payload.url or b"")
        except ImageError as error:
            raise gr.Error(str(error), title="Not a usable picture") from error
