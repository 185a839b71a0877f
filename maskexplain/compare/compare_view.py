"""The Compare tab's handlers: a picture in, what to show out. Plain functions, without Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from ..explaining.explain import ExplainError
from ..explaining.report import Asked, reports
from ..explaining.variants import BEST
from ..finding.photo import NoFaceError, find_subjects
from ..networks.answer import MaskModel
from ..pictures.digest import digest_of
from ..pictures.images import ImageError, read_image
from ..views.face_choice import WHOLE, FaceChoice, choose_face
from .compare_html import compared, said
from .disagree import compare

USUAL = Asked(ways=(BEST,))
EXAMPLE = "An example to start with: a striped mask worn right, in dim light. Now give your own."
FROM_PHOTO = "The picture of the tab Photo."


@dataclass(frozen=True)
class CompareView:
    """What the Compare tab shows: the faces, where the versions disagree and the table (HTML)."""

    choice: FaceChoice = FaceChoice()
    said: str = ""
    table: str = ""


@dataclass(frozen=True)
class Given:
    """A picture that the page itself gave: by its digest, so that none is kept.

    `caption` says where it comes from; `whole`: it is a face crop, to be taken whole.
    """

    digest: str
    caption: str
    whole: bool = False


@dataclass(frozen=True)
class Visit:
    """What one visitor's tab remembers: what it was given, and the digest of the Photo tab's
    picture that it took last (None before it was first opened).
    """

    given: Given | None = None
    taken: str | None = None


def on_opening(
    image: Image.Image | ImageError | None, visit: Visit, example: Path | None
) -> tuple[Image.Image, Visit] | None:
    """The picture that the tab takes when it is opened, and what it then remembers.

    `image` is the Photo tab's picture, taken unless it was already; without one the first opening
    shows the example (its file). None where the tab stays as it is.
    """
    if isinstance(image, Image.Image):
        digest = digest_of(image)
        if digest == visit.taken:
            return None
        return image, Visit(Given(digest, FROM_PHOTO), digest)
    if visit.taken is not None or example is None:
        return None
    shown = read_image(example)
    return shown, Visit(Given(digest_of(shown), EXAMPLE), "")


def given_of(given: Given | None, image: Image.Image | ImageError | None) -> Given | None:
    """`given`, where it is about this very picture."""
    known = given is not None and isinstance(image, Image.Image)
    return given if known and digest_of(image) == given.digest else None


def compare_views(
    models: Sequence[MaskModel],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    asked: Asked = USUAL,
    caption: str = "",
) -> Iterator[CompareView]:
    """Every version's answer to one face, then their heatmaps; a view whenever there is more.

    Nothing is kept between calls. `asked.ways` holds one way to explain.
    """
    if image is None or isinstance(image, ImageError):
        yield CompareView(FaceChoice(str(image or "")))
        return
    try:
        subjects = find_subjects(image, whole)
        choice = choose_face(models, image, subjects, chosen)
        crop = subjects.crops[choice.chosen].image
        comparison = compare(models, crop)
        view = CompareView(choice, said(comparison, caption))
        # The answers, then each version's heatmap; the slow tests are the Photo tab's.
        for ready in islice(reports(models, crop, None, asked), 1 + len(models)):
            yield replace(view, table=compared(crop, comparison, ready))
    except NoFaceError as error:
        yield CompareView(FaceChoice(f"{error} The box “{WHOLE}” does that."))
    except ExplainError as error:
        yield CompareView(FaceChoice(str(error)))
