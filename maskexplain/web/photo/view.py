"""The Photo tab's handlers: a photo in, HTML out. Plain functions, no Gradio."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as nnf

from ...explain.draw import report_files, zip_of
from ...explain.explain import (
    BEST,
    USUAL,
    ExplainError,
    Explanation,
    ForwardPass,
    Question,
    default_way,
    find_ways,
)
from ...explain.places import blur_places, heat_at
from ...explain.report import Known, Report, Subject, reports
from ...explain.verdicts import second_opinions
from ...images.crops import NoFaceError
from ...images.read import ImageError
from ...models.threads import all_at_once
from ...models.version import Model, Prediction
from ..assets import macros
from ..compare.disagree import Comparison, compare, why_it_matters
from ..faces import NO_FACE, FaceChoice, Scene, choose_face, look, subject_of
from ..parts import newest_first
from .html import (
    CELLS,
    Pictures,
    figures,
    heat_html,
    lead_html,
    more_html,
    others_html,
    second_test,
    spoken,
    tested_html,
)


@dataclass(frozen=True, eq=False)
class Kept:
    """What a visitor's tab remembers of the face that was asked about last.

    `asked`: the face's number, the class and the one it is held against. Its parts grow while the
    answer is made, so that nothing is computed or drawn twice.
    """

    scene: Scene
    asked: tuple[int, str | None, str | None]
    known: Known = field(default_factory=Known)
    pictures: Pictures = field(default_factory=Pictures)
    compared: list[Comparison] = field(default_factory=list)

    def comparison(self, models: Sequence[Model], subject: Subject) -> Comparison:
        """What the versions say to this face beside one another."""
        if not self.compared:
            self.compared.append(compare(models, subject))
        return self.compared[0]


@dataclass(frozen=True)
class PhotoView:
    """What the Photo tab shows (HTML): the faces with a notice, then of the chosen face the newest
    version's answer, its map, the map's tests, its other maps, and the other versions.
    """

    choice: FaceChoice = FaceChoice()
    spoken: str = ""
    lead: str = ""
    heat: str = ""
    tested: str = ""
    more: str = ""
    others: str = ""
    kept: Kept | None = None


def photo_views(
    models: Sequence[Model],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    question: Question = USUAL,
    signed: bool = False,
    kept: Kept | None = None,
) -> Iterator[PhotoView]:
    """Answer every face of a picture and explain the chosen one; a view whenever there is more.

    `kept` is what the last view held: what it knows of the same face is not computed again.
    """
    if image is None or isinstance(image, ImageError):
        yield PhotoView(FaceChoice(str(image or "")))
        return
    try:
        kept = keep(models, image, whole, chosen, question, kept)
        yield from _views(models, image, question, signed, kept)
    except NoFaceError:
        yield PhotoView(FaceChoice(NO_FACE))
    except ExplainError as error:
        yield PhotoView(FaceChoice(str(error)))


def keep(
    models: Sequence[Model],
    image: Image.Image,
    whole: bool,
    chosen: int,
    question: Question,
    kept: Kept | None,
) -> Kept:
    """What is remembered of the asked face: `kept`, where it is about that very one.

    Raises NoFaceError.
    """
    scene = look(models, image, whole, kept.scene if kept else None)
    chosen = max(0, min(chosen, len(scene.subjects.crops) - 1))
    asked = (chosen, question.target, question.against)
    if kept is not None and kept.scene is scene and kept.asked == asked:
        return kept
    return Kept(scene, asked)


def _views(
    models: Sequence[Model], image: Image.Image, question: Question, signed: bool, kept: Kept
) -> Iterator[PhotoView]:
    models = newest_first(models)
    choice = choose_face(models, image, kept.scene, kept.asked[0])
    subject = subject_of(image, kept.scene.subjects, choice.chosen)
    view, crop = PhotoView(choice, kept=kept), kept.scene.subjects.crops[choice.chosen]
    lines: list[str] = []
    shown: Report | None = None
    draw: tuple[Pictures, bool] = (kept.pictures, signed)
    before = bool(kept.known.maps)  # then a map is shown already
    for ready in reports(models, subject, question, kept.known):
        lead = ready[0]
        if before and not lead.ways:
            continue
        if lead is not shown:
            found, shown = figures(lead, *draw), lead
            view = replace(
                view,
                spoken=spoken(lead),
                lead=lead_html(lead, models, subject),
                heat=heat_html(lead, found, *draw),
                tested=tested_html(found),
                more=more_html(lead, found, kept.pictures, image, crop),
            )
        yield replace(view, others=others_html(ready, lines, *draw))
        if len(models) > 1 and lead.ways:  # nothing stands before the first map
            lines = why_it_matters(kept.comparison(models, subject))


def photo_zip(
    models: Sequence[Model],
    image: Image.Image | ImageError | None,
    whole: bool = False,
    chosen: int = 0,
    question: Question = USUAL,
    kept: Kept | None = None,
) -> bytes | None:
    """Figure, heatmaps and all figures of the chosen face as a zip; None without a face.

    What `kept` knows of this face is not computed again.
    """
    if image is None or isinstance(image, ImageError):
        return None
    try:
        kept = keep(models, image, whole, chosen, question, kept)
        subject = subject_of(image, kept.scene.subjects, kept.asked[0])
        *_, complete = reports(models, subject, question, kept.known)
    except (NoFaceError, ExplainError):
        return None
    return zip_of(report_files(complete, "face"))


def second_html(models: Sequence[Model], kept: Kept | None, ways: Sequence[str]) -> str:
    """A second test of the newest version's first map (of the ways' keys), which takes seconds.

    The places are filled from their edges in place of blur (ROAD; Rong et al. 2022).
    """
    if kept is None:
        return _BRUSH.sentence(GONE)
    lead = newest_first(models)[0]
    way = find_ways(lead, ways or [BEST])[0]
    first = kept.known.verdicts.get((lead.name, way.key))
    if first is None:
        return _BRUSH.sentence("Its first test is still on its way: ask again in a moment.")
    explanation = kept.known.maps[lead.name, way.key]
    [opinion] = second_opinions(kept.known.passes[lead.name], [explanation])
    return second_test(way, first, opinion)


# --- the brush: places of the face hidden by hand, and every version's answer to the rest

MUCH, LITTLE = 1.5, 0.67  # heat for its area: from here on a map foretells a lot, up to here little
GONE = "This face is no longer in memory: give the photo again."
_BRUSH = macros("brush")


@dataclass(frozen=True)
class Hidden:
    """What hiding places did to one version's answer.

    `area`: hidden share of the face (0..1); `heat`: share of the map's heat that lay there, None
    where there is no map yet, or no heat.
    """

    model: Model
    before: Prediction
    after: Prediction
    area: float
    heat: float | None

    @property
    def foretold(self) -> str:
        """What the map lets one expect, in words."""
        if self.heat is None:
            return "Its map foretells nothing yet."
        ratio = self.heat / self.area
        word = "little" if ratio <= LITTLE else "much" if ratio >= MUCH else "as much as anywhere"
        return f"{self.heat:.0%} of its heat lies there, so its map says: this matters {word}."

    @property
    def now(self) -> float:
        """What is left of the probability of the class that was answered before, 0..1."""
        return self.after.probabilities[self.before.label]


def places_of(strokes: str) -> torch.Tensor | None:
    """The brush's cells ("0" and "1", row by row) as bool 1 x 24 x 24; None for anything else."""
    if len(strokes) != CELLS * CELLS or not set(strokes) <= {"0", "1"}:
        return None
    cells = np.frombuffer(strokes.encode(), np.uint8).reshape(1, CELLS, CELLS) == ord("1")
    return torch.from_numpy(cells.copy())


def hide(models: Sequence[Model], kept: Kept, places: torch.Tensor) -> list[Hidden]:
    """Ask every version again with these places (bool 1 x h x w) of its picture blurred."""
    asked = [model for model in newest_first(models) if model.name in kept.known.passes]
    return all_at_once(lambda model: _hide(model, kept, places), asked)


def _hide(model: Model, kept: Kept, places: torch.Tensor) -> Hidden:
    forward: ForwardPass = kept.known.passes[model.name]
    size = forward.inputs.shape[-1]
    large = nnf.interpolate(places[None].float(), (size, size))[0] > 0  # 1 x S x S
    logits = model.logits_of(blur_places(forward.inputs, large))
    found = kept.known.maps.get((model.name, default_way(model).key))
    heat = None if found is None else _heat_there(found, large)
    area = large.float().mean().item()
    return Hidden(model, forward.predictions()[0], model.prediction(logits[0]), area, heat)


def _heat_there(explanation: Explanation, places: torch.Tensor) -> float | None:
    heat = heat_at([explanation.heatmap], places.shape[-1]).clamp(min=0)
    total = heat.sum().item()
    return heat[places].sum().item() / total if total else None


def hidden_html(models: Sequence[Model], kept: Kept | None, strokes: str) -> str:
    """A row a version: what its map foretold, and what came of it."""
    if kept is None:
        return _BRUSH.sentence(GONE)
    places = places_of(strokes)
    if places is None or not places.any():
        return _BRUSH.sentence("Hide a place: paint over the picture.")
    found = hide(models, kept, places)
    return _BRUSH.table(found, f"{places.float().mean():.0%}")
