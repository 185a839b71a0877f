"""The Photo tab's handlers: a picture in, what to show out. Plain functions, without Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from ..explaining.explain import ExplainError
from ..explaining.export import report_files, zip_of
from ..explaining.report import USUAL, Asked, reports
from ..finding.photo import NoFaceError, find_subjects
from ..networks.answer import MaskModel
from ..pictures.images import ImageError
from .cards import cards
from .face_choice import WHOLE, FaceChoice, choose_face


@dataclass(frozen=True)
class PhotoView:
    """What the Photo tab shows: the faces with a notice, and the chosen one's cards (HTML)."""

    choice: FaceChoice = FaceChoice()
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
        yield PhotoView(FaceChoice(str(image or "")))
        return
    try:
        subjects = find_subjects(image, whole)
        view = PhotoView(choose_face(models, image, subjects, chosen))
        chosen = view.choice.chosen
        crop = subjects.crops[chosen]
        for ready in reports(models, crop.image, subjects.landmarks[chosen], asked):
            yield replace(view, cards=cards(ready, image, crop, signed))
    except NoFaceError as error:
        yield PhotoView(FaceChoice(f"{error} The box “{WHOLE}” does that."))
    except ExplainError as error:
        yield PhotoView(FaceChoice(str(error)))


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
