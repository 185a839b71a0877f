"""From a photo to the crops that the networks answer."""

from dataclasses import dataclass

from PIL import Image

from .errors import UserError
from .faces import Face, crop_face, find_faces, looks_like_crop


class NoFaceError(UserError):
    """No face was found in the picture."""


@dataclass(frozen=True)
class Subjects:
    """What is answered: a crop for each of `faces` (largest first), or the whole picture.

    `faces` is empty where the whole picture is the crop; `tight` says that this was decided here,
    because the picture looks like a face crop already.
    """

    crops: tuple[Image.Image, ...]
    faces: tuple[Face, ...] = ()
    tight: bool = False


def find_subjects(image: Image.Image, whole: bool = False) -> Subjects:
    """The faces of an RGB picture, or the picture itself where `whole` is asked for.

    Raises NoFaceError where there is no face and the picture is no tight crop either.
    """
    if whole:
        return Subjects((image,))
    faces = tuple(find_faces(image))
    if faces:
        return Subjects(tuple(crop_face(image, face).image for face in faces), faces)
    if looks_like_crop(image):
        return Subjects((image,), tight=True)
    raise NoFaceError(
        "No face was found in the picture: try one where a face is larger and in view, "
        "or ask for the whole picture as the face."
    )
