"""What a version's report holds beyond its scores: its worst errors, and doubts about labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ..data.folder import Picture, Progress, load_pixels, quietly, read_crop
from ..data.names import DataError
from ..explain.explain import Explanation, explain_pass, forward_pass
from ..explain.question import default_way
from ..explain.verdicts import Verdict, blur_verdicts
from ..models.version import Model, Prediction
from .evaluate import logits_of
from .labels import Suspect, find_suspects, penultimate

ERRORS = 12  # that are shown


@dataclass(frozen=True)
class WrongAnswer:
    """A wrong answer to a picture, with the version's usual heatmap and the test of that."""

    picture: Picture
    crop: Image.Image
    prediction: Prediction
    explanation: Explanation
    verdict: Verdict


@dataclass(frozen=True)
class Suspicion:
    """The suspects among the labels of `checked` pictures; `hindrance`: why there is no check."""

    checked: int
    suspects: tuple[Suspect, ...] = ()
    hindrance: str = ""


@dataclass(frozen=True)
class VersionReport:
    """What a version's page holds: the `model`'s results, on the `split` of what is called `data`.

    `wrong`: the surest of `errors` wrong answers to `asked` pictures.
    """

    model: Model
    data: str
    split: str
    asked: int
    errors: int
    wrong: tuple[WrongAnswer, ...]
    suspicion: Suspicion


def measure_report(
    model: Model,
    data: str,
    split: str,
    tested: Sequence[Picture],
    labelled: Sequence[Picture],
    progress: Progress = quietly,
) -> VersionReport:
    """Find the worst errors on `tested`, and suspects among the labels of `labelled`.

    The model's results are those on these data. Raises DataError.
    """
    wrong = _wrong(model, tested, progress)
    worst = _one_a_group([picture for _, picture in wrong])[:ERRORS]
    shown = tuple(_explained(model, picture) for picture in progress(worst))
    doubts = _suspicion(model, labelled, progress)
    return VersionReport(model, data, split, len(tested), len(wrong), shown, doubts)


def _wrong(
    model: Model, pictures: Sequence[Picture], progress: Progress
) -> list[tuple[float, Picture]]:
    """Each wrong answer's confidence and picture, the surest first."""
    pixels = load_pixels(pictures, model.network.transform.size, progress)
    confidence, answers = logits_of(model.network, pixels.pixels).softmax(1).max(1)
    rows = (answers != pixels.labels).nonzero()[:, 0].tolist()
    found = [(float(confidence[row]), pictures[row]) for row in rows]
    return sorted(found, key=lambda pair: -pair[0])


def _one_a_group(pictures: Sequence[Picture]) -> list[Picture]:
    """The first picture of each group: forty copies of one face are one error to look at."""
    return list({picture.group: picture for picture in reversed(pictures)}.values())[::-1]


def _explained(model: Model, picture: Picture) -> WrongAnswer:
    crop = read_crop(picture.file)
    forward = forward_pass(model, [crop])
    [explanation] = explain_pass(forward, [default_way(model)])[0]
    [verdict] = blur_verdicts(forward, [explanation])
    return WrongAnswer(picture, crop, forward.predictions()[0], explanation, verdict)


def _suspicion(model: Model, pictures: Sequence[Picture], progress: Progress) -> Suspicion:
    checked = sum(not picture.augmented for picture in pictures)
    features, size = penultimate(model.network), model.network.transform.size
    try:
        found = find_suspects(pictures, features, size, model.task, progress)
    except DataError as error:
        return Suspicion(checked, hindrance=str(error))
    return Suspicion(checked, tuple(found))
