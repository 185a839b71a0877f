"""From a photo to the crops that the networks answer."""

from dataclasses import dataclass

from PIL import Image

from ..errors import UserError
from .crops import Crop, crop_face, looks_like_crop, whole_crop
from .faces import Face, Landmarks, find_faces


class NoFaceError(UserError):
    """No face was found in the picture."""


@dataclass(frozen=True)
class Subjects:
    """What is answered: a crop for each of `faces` (largest first), or the whole picture.

    `faces` is empty where the whole picture is the crop; `tight` says that this was decided here,
    because the picture is a face crop already. `landmarks`: the five of `faces.Face` for each
    crop, in its own pixels; None where they were not found.
    """

    crops: tuple[Crop, ...]
    landmarks: tuple[Landmarks | None, ...]
    faces: tuple[Face, ...] = ()
    tight: bool = False

    @property
    def images(self) -> list[Image.Image]:
        """The crops' pictures, RGB."""
        return [crop.image for crop in self.crops]


def find_subjects(image: Image.Image, whole: bool = False, landmarks: bool = True) -> Subjects:
    """The faces of an RGB picture, or the picture itself where `whole` is asked for.

    Without `landmarks` nothing is looked for in a picture that is asked for whole: faster.
    Raises NoFaceError where there is no face and the picture is no tight crop either.
    """
    if whole and not landmarks:
        return Subjects((whole_crop(image),), (None,))
    faces = tuple(find_faces(image))
    tight = not whole and looks_like_crop(image, faces)
    if whole or tight:
        # Of several faces none is the picture's own.
        own = faces[0].landmarks if len(faces) == 1 else None
        return Subjects((whole_crop(image),), (own,), tight=tight)
    if not faces:
        raise NoFaceError(
            "No face was found in the picture: try one where a face is larger and in view, "
            "or ask for the whole picture as the face."
        )
    crops = tuple(crop_face(image, face) for face in faces)
    points = tuple(c.on_crop(f.landmarks) for c, f in zip(crops, faces, strict=True))
    return Subjects(crops, points, faces)
