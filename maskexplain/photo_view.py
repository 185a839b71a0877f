"""The Photo tab's handlers: a picture in, what to show out. Plain functions, without Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from .answer import MaskModel
from .cards import cards
from .draw import CLASS_TITLES, number_faces
from .explain import ExplainError
from .export import report_files, zip_of
from .images import ImageError
from .photo import NoFaceError, Subjects, find_subjects
from .report import USUAL, Asked, reports

MIN_FACE = 32  # pixels; face finding is measured from here on
WHOLE = "Use the whole picture as the face"


@dataclass(frozen=True)
class PhotoView:
    """What the Photo tab shows: a notice, the photo with its numbered faces (None where the whole
    picture is the face), a line of answers a face where there are several, the chosen one (from 0)
    and the cards (HTML).
    """

    notice: str = ""
    numbered: Image.Image | None = None
    lines: tuple[str, ...] = ()
    chosen: int = 0
    cards: str = ""


def photo_views(
    models: Sequence[MaskModel],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    asked: Asked = USUAL,
    signed: bool = False,
) -> Iterator[PhotoView]:
    """Answer every face of a picture and explain the chosen one; a view whenever there is more.

    Nothing is kept between calls: the faces are found anew, in some 30 ms.
    """
    if image is None or isinstance(image, ImageError):
        yield PhotoView(str(image or ""))
        return
    try:
        subjects = find_subjects(image, whole)
        chosen = min(chosen, len(subjects.crops) - 1)
        view = _without_cards(models, image, subjects, chosen)
        crop = subjects.crops[chosen]
        for ready in reports(models, crop.image, subjects.landmarks[chosen], asked):
            yield replace(view, cards=cards(ready, image, crop, signed))
    except NoFaceError as error:
        yield PhotoView(f"{error} The box “{WHOLE}” does that.")
    except ExplainError as error:
        yield PhotoView(str(error))


def _without_cards(
    models: Sequence[MaskModel], image: Image.Image, subjects: Subjects, chosen: int
) -> PhotoView:
    return PhotoView(
        notice=_notice(subjects) + _too_small(subjects.images[chosen]),
        numbered=number_faces(image, subjects.faces, chosen) if subjects.faces else None,
        lines=_lines(models, subjects) if len(subjects.faces) > 1 else (),
        chosen=chosen,
    )


def photo_zip(
    models: Sequence[MaskModel],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    asked: Asked = USUAL,
) -> bytes | None:
    """Figure, heatmaps and all figures of the chosen face as a zip; None without a face."""
    if image is None or isinstance(image, ImageError):
        return None
    try:
        subjects = find_subjects(image, whole)
        chosen = min(chosen, len(subjects.crops) - 1)
        crop = subjects.crops[chosen].image
        *_, complete = reports(models, crop, subjects.landmarks[chosen], asked)
    except (NoFaceError, ExplainError):
        return None
    return zip_of(report_files(crop, complete, "face"))


def _lines(models: Sequence[MaskModel], subjects: Subjects) -> tuple[str, ...]:
    answers = {model.name: model.predict(subjects.images) for model in models}
    return tuple(
        f"{index + 1} · "
        + ", ".join(f"{name}: {CLASS_TITLES[ps[index].label]}" for name, ps in answers.items())
        for index in range(len(subjects.crops))
    )


def _notice(subjects: Subjects) -> str:
    count = len(subjects.faces)
    if subjects.tight:
        return "The picture looks like a face crop already: it is taken whole."
    if not count:
        return "The whole picture is taken as the face."
    if count == 1:
        return "One face found."
    return f"{count} faces found, the largest first: click one in the photo, or pick its number."


def _too_small(crop: Image.Image) -> str:
    if min(crop.size) >= MIN_FACE:
        return ""
    size = f"{crop.width} x {crop.height}"
    return f" The chosen face has only {size} pixels: too few to believe the answer."


def face_at(subjects: Subjects, x: float, y: float) -> int | None:
    """The number (from 0) of the smallest face whose box holds a point of the picture."""
    hits = [
        index
        for index, face in enumerate(subjects.faces)
        if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]
    ]
    return hits[-1] if hits else None  # faces come largest first
