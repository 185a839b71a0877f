"""The page's inputs: Gradio's image component, read through our own door, and the live camera."""

import base64
import binascii
from pathlib import Path

from PIL import Image

from ..images.pool import read_apart
from ..images.read import ImageError
from ..video.frames import ClipError
from .gradio_inside import NoAddresses, PlainVideo, is_upload


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
