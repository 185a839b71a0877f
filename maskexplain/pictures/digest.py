"""What tells a picture from others and shows nothing of it."""

from hashlib import sha256

from PIL import Image

from .images import ImageError


def digest_of(image: Image.Image | ImageError | None) -> str:
    """A digest of an RGB picture's size and pixels; "" where there is no picture."""
    if image is None or isinstance(image, ImageError):
        return ""
    content = sha256(repr(image.size).encode())
    content.update(image.tobytes())
    return content.hexdigest()
