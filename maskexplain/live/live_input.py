"""The page's live camera: Gradio's streaming image, its frames as the bytes that were sent."""

import base64
import binascii

from ..photo_input import NoAddresses
from ..pictures.images import ImageError

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
