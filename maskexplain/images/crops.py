"""Crops cut out of photos as the training crops were, and heatmaps drawn back at their place.

Photos that lie on their side, or stand on their head, are seen and turned. YuNet finds few faces in
a sideways photo, and in one that stands on its head it puts the eyes where the mouth is. But a face
that is looked at closely scores best upright, most of all where it is seen small. Of 853 upright
street photos one is called turned; of those that are turned, their faces often of 20 pixels, three
in four are seen to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import cv2
import numpy as np
from PIL import Image

from ..errors import UserError
from .edit import between_centres, cut_patch, mapped, placement, turned
from .faces import (
    MIN_TILT,
    SCORE,
    Face,
    Landmarks,
    Point,
    area,
    find_faces,
    look_closer,
)
from .read import remark_of

MAX_CROP_SIDE, MAX_CROP_RATIO = 256, 1.5
MIN_CROP_COVER = 0.4

TILTS = (0, 90, 180, 270)  # degrees by which a face's eyes may be turned clockwise
# The sizes that a face is seen at, in pixels: the second one only where the first is undecided.
SIDES = (60, 100)
# An upright face seen at the first size reaches it every other time, one in 50 turned ones does.
SURE = 0.88
LEAD = 0.1  # of the best tilt's score over each other one's, for a face
ASKED = 3  # of the largest faces: one may be a mistake, or lie down


@dataclass(frozen=True)
class Crop:
    """A part of a picture: its pixels (RGB) and where they come from.

    `transform` ((a, b, c), (d, e, f)) maps a point (x, y) of the crop to the point
    (a x + b y + c, d x + e y + f) of the picture.
    """

    image: Image.Image
    transform: tuple[tuple[float, float, float], tuple[float, float, float]]

    def on_crop(self, landmarks: Landmarks) -> Landmarks:
        """Landmarks of the picture in the crop's pixels."""
        back = cv2.invertAffineTransform(np.array(self.transform))
        points = mapped(back, np.array(landmarks)).tolist()
        return tuple((x, y) for x, y in points)

    def to_dict(self) -> dict:
        return {"size": list(self.image.size), "transform": [list(row) for row in self.transform]}


def looks_like_crop(image: Image.Image, faces: Sequence[Face] = ()) -> bool:
    """Whether a picture is most likely a tight face crop already, to be taken whole.

    `faces` are the ones found on it. A crop is small and near-square, and shows one face that
    fills the frame, or none that the finder knows. On a larger picture the face's box serves.
    """
    short, long = sorted(image.size)
    if long > MAX_CROP_SIDE or long > MAX_CROP_RATIO * short:
        return False
    covered = [area(face.box) / (image.width * image.height) for face in faces]
    return not covered or (len(covered) == 1 and covered[0] >= MIN_CROP_COVER)


def crop_face(image: Image.Image, face: Face) -> Crop:
    """Cut a face out of its RGB picture, as the training crops were cut.

    Without tilt that is the box, clipped to the picture. A head whose eyes' line is turned by
    more than 10 degrees is cut upright; where that reaches beyond the picture, the border's
    pixels are repeated.
    """
    if abs(face.tilt) > MIN_TILT:
        return _upright_crop(image, face)
    x0, y0 = (min(round(face.box[i]), image.size[i] - 1) for i in (0, 1))
    x1, y1 = (max(round(face.box[i]), low + 1) for i, low in ((2, x0), (3, y0)))
    return Crop(image.crop((x0, y0, x1, y1)), ((1.0, 0.0, float(x0)), (0.0, 1.0, float(y0))))


def whole_crop(image: Image.Image, turn: int = 0) -> Crop:
    """The whole picture as its own crop, turned clockwise by 0, 90, 180 or 270 degrees."""
    w, h = (float(side) for side in image.size)
    transforms = {
        0: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        90: ((0.0, 1.0, 0.0), (-1.0, 0.0, h)),
        180: ((-1.0, 0.0, w), (0.0, -1.0, h)),
        270: ((0.0, -1.0, w), (1.0, 0.0, 0.0)),
    }
    return Crop(turned(image, turn), transforms[turn])


def _upright_crop(image: Image.Image, face: Face) -> Crop:
    x0, y0, x1, y1 = face.box
    size = max(1, round(x1 - x0)), max(1, round(y1 - y0))
    matrix = placement(((x0 + x1) / 2, (y0 + y1) / 2), size, face.tilt)
    pixels = cut_patch(np.asarray(image), matrix, size)
    (a, b, c), (d, e, f) = matrix.tolist()
    return Crop(Image.fromarray(pixels), ((a, b, c), (d, e, f)))


def paste_back(heatmap: np.ndarray, crop: Crop, picture_size: tuple[int, int]) -> np.ndarray:
    """Draw a crop's heatmap at its true place on the picture.

    `heatmap` is float32 H x W of any size and stands for the whole crop; `picture_size` is
    (width, height) as Pillow gives it. Returns float32 height x width, 0 outside the crop.
    """
    fitted = _resized(np.asarray(heatmap, np.float32), crop.image.size)
    matrix = np.array(crop.transform)
    x0, y0, x1, y1 = _extent(crop, picture_size)
    picture = np.zeros(picture_size[::-1], np.float32)
    if x0 < x1 and y0 < y1:
        matrix[:, 2] -= (x0, y0)
        picture[y0:y1, x0:x1] = _warped(fitted, matrix, (x1 - x0, y1 - y0))
    return picture


def _resized(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] < heatmap.shape[1] and size[1] < heatmap.shape[0]
    return cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _extent(crop: Crop, picture_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The upright rectangle of the picture that holds the crop, in whole pixels."""
    w, h = crop.image.size
    corners = mapped(np.array(crop.transform), np.array([[0, 0], [w, 0], [0, h], [w, h]]))
    low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)), picture_size).astype(int)
    return *low.tolist(), *high.tolist()


def _warped(heatmap: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The heatmap under an affine map, 0 at the pixels whose centre lies outside of it."""
    # Repeated beyond its border, the heatmap keeps its full value up to there.
    placed = cv2.warpAffine(heatmap, between_centres(matrix), size, borderMode=cv2.BORDER_REPLICATE)
    centres = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5), axis=-1)
    back = mapped(cv2.invertAffineTransform(matrix), centres)
    inside = (back >= 0) & (back < heatmap.shape[::-1])
    return placed * inside.all(axis=-1)


class NoFaceError(UserError):
    """No face was found in the picture."""


TURNS = {
    90: "The photo lies on its side: turn it by 90 degrees to the right.",
    180: "The photo stands on its head: turn it upside down.",
    270: "The photo lies on its side: turn it by 90 degrees to the left.",
}


@dataclass(frozen=True)
class Subjects:
    """What is answered: a crop for each of `faces` (largest first), or the whole picture.

    `faces` is empty where the whole picture is the crop; `tight` says that this was decided here,
    because the picture is a face crop already. `landmarks`: the five of `faces.Face` for each
    crop, in its own pixels; None where they were not found. `turn` is 0 for an upright photo, else
    the degrees (90, 180, 270) to turn it clockwise; the crops are upright even so.
    """

    crops: tuple[Crop, ...]
    landmarks: tuple[Landmarks | None, ...]
    faces: tuple[Face, ...] = ()
    tight: bool = False
    turn: int = 0

    @property
    def images(self) -> list[Image.Image]:
        """The crops' pictures, RGB."""
        return [crop.image for crop in self.crops]

    @property
    def remark(self) -> str:
        """How to turn a photo that does not lie upright; "" for one that does."""
        return TURNS.get(self.turn, "")


def remarks(image: Image.Image, subjects: Subjects) -> str:
    """All there is to say of a picture beside its answers, in whole sentences; "" for nothing."""
    return " ".join(filter(None, (remark_of(image), subjects.remark)))


def find_subjects(image: Image.Image, whole: bool = False, landmarks: bool = True) -> Subjects:
    """The faces of an RGB picture, or the picture itself where `whole` is asked for.

    A photo that lies on its side or stands on its head is seen and turned for the answer, but not
    where `whole` is asked for. Without `landmarks` nothing is looked for in a picture that is asked
    for whole: faster. Raises NoFaceError where there is no face and the picture is no tight crop
    either.
    """
    if whole:
        return _whole(image, find_faces(image) if landmarks else ())
    faces, turn = find_turned(image)
    if looks_like_crop(image, faces):
        return replace(_whole(image, faces, turn), tight=True)
    if not faces:
        raise NoFaceError(
            "No face was found in the picture: try one with a larger face in view, "
            "or ask for the whole picture as the face."
        )
    crops = tuple(crop_face(image, face) for face in faces)
    points = tuple(c.on_crop(f.landmarks) for c, f in zip(crops, faces, strict=True))
    return Subjects(crops, points, tuple(faces), turn=turn)


def _whole(image: Image.Image, faces: Sequence[Face], turn: int = 0) -> Subjects:
    crop = whole_crop(image, turn)
    # Of several faces none is the picture's own.
    own = crop.on_crop(faces[0].landmarks) if len(faces) == 1 else None
    return Subjects((crop,), (own,), turn=turn)


# --- photos that lie on their side or stand on their head


def find_turned(image: Image.Image) -> tuple[list[Face], int]:
    """The faces of an RGB picture, largest first, and the degrees to turn it clockwise.

    The turn is 0 for an upright picture, else 90, 180 or 270; then the faces are those of the
    turned picture, at their place in this one. Where no face is found the three turned pictures
    are looked at, which takes four times as long. Raises FaceError.
    """
    faces = find_faces(image)
    if faces:
        turn = _turn_of(image, faces)
        found = _faces_of(image, turn) if turn else []
        return (found, turn) if _total(found) > _total(faces) else (faces, 0)
    for turn in TILTS[1:]:
        found = _faces_of(image, turn)
        if found and _turn_of(image, found) == turn:
            return found, turn
    return [], 0


def _total(faces: Sequence[Face]) -> float:
    return sum(face.score for face in faces)


def _faces_of(image: Image.Image, turn: int) -> list[Face]:
    """The faces of the turned picture, at their place in this one."""
    return [_turned_back(face, image.size, turn) for face in find_faces(turned(image, turn))]


def _turned_back(face: Face, size: tuple[int, int], turn: int) -> Face:
    """A face of the turned picture in this one, whose size (width, height) is given."""
    x0, y0, x1, y1 = face.box
    x, y = _point_back(((x0 + x1) / 2, (y0 + y1) / 2), size, turn)
    w, h = (x1 - x0) / 2, (y1 - y0) / 2
    landmarks = tuple(_point_back(point, size, turn) for point in face.landmarks)
    # A head that is cut level there is cut by a whole turn here: the answers are then the same.
    own = face.tilt if abs(face.tilt) > MIN_TILT else 0.0
    tilt = (own - turn + 180) % 360 - 180
    return Face((x - w, y - h, x + w, y + h), face.score, landmarks, tilt)


def _point_back(point: Point, size: tuple[int, int], turn: int) -> Point:
    (x, y), (w, h) = point, size
    return {90: (y, h - x), 180: (w - x, h - y), 270: (w - y, x)}[turn]


def _turn_of(image: Image.Image, faces: Sequence[Face]) -> int:
    """The turn that sets the largest faces upright, 0 where it is undecided."""
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    if _score(pixels, faces[0], SIDES[0], 0) >= SURE:
        return 0
    asked = faces[:ASKED]
    scores = np.zeros(len(TILTS))
    for side in SIDES:
        scores += [sum(_score(pixels, face, side, tilt) for face in asked) for tilt in TILTS]
        second, best = np.sort(scores)[-2:]
        if best - second > LEAD * len(asked):
            return (-TILTS[scores.argmax()]) % 360
    return 0


def _score(pixels: np.ndarray, face: Face, side: int, tilt: int) -> float:
    """What YuNet gives the face, seen at a size and turned level by a tilt; 0 for no face."""
    x0, y0, x1, y1 = face.box
    centre = (x0 + x1) / 2, (y0 + y1) / 2
    row, _ = look_closer(pixels, centre, sqrt(area(face.box)), side, tilt)
    return 0.0 if row is None else float(row[SCORE])
