"""A version's report and a sheet of suspects: each an HTML page that is one file.

Beyond its scores a report holds a version's worst errors, and doubts about the data's labels.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape
from PIL import Image

from ..data.folder import Picture, Progress, load_pixels, quietly, read_crop
from ..data.names import DataError
from ..explain.draw import data_url, enlarge, overlay
from ..explain.explain import Explanation, default_way, explain_pass, forward_pass
from ..explain.verdicts import Verdict, blur_verdicts
from ..models.results import Epoch, Results
from ..models.version import Model, Prediction
from ..results.labels import Suspect, find_suspects, penultimate
from ..results.scores import logits_of
from ..results.sentences import POSITION_WORDS, good_and_bad, known_failures
from ..results.tables import SHIFT_TITLES
from ..task import DASHES, Task
from ..words import printable
from .assets import render
from .charts import Frame, reliability_svg

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


# --- as HTML

IN_REPORT, ON_SHEET = 24, 200  # suspects that are shown
THUMB, PICTURE = 128, 200  # pixels a side
CURVES = Frame(width=340, height=190, left=38, right=10, top=10, bottom=32)


def report_html(report: VersionReport) -> str:
    """The page of a version whose results are there (`Results.scores`)."""
    model, task = report.model, report.model.task
    return render(
        "report",
        name=model.name,
        subtitle=_subtitle(report),
        summary=[*good_and_bad(model), *known_failures(model)],
        split=report.split,
        errors=report.errors,
        asked=report.asked,
        way=default_way(model).title,
        wrong=report.wrong,
        task=task,
        **_PICTURES,
        **_training(model.results, task),
        **_scores(model.results, task),
        **_confidence(report),
        **_labels(report),
    )


def sheet_html(suspects: Sequence[Suspect], task: Task, **words: object) -> str:
    """A sheet of suspects. `words`: `data`, `csv`, `features` and how many were `checked`."""
    return render(
        "sheet",
        count=len(suspects),
        counted=_counted(suspects, task),
        shown=suspects[:ON_SHEET],
        task=task,
        **_PICTURES,
        **words,
    )


def _subtitle(report: VersionReport) -> str:
    results = report.model.results
    recipe = results.recipe or {}
    parts = [
        f"network {recipe['network']}" if "network" in recipe else "",
        f"{results.epochs} epochs" if results.epochs else "",
        f"trained on {results.data.name}" if results.data else "",
        f"measured on {report.data}, {report.split}",
        results.date or "",
    ]
    return "; ".join(filter(None, parts))


# --- training


@dataclass(frozen=True)
class _Line:
    """One curve of a chart; `end`: where it ends, in pixels."""

    name: str
    colour: str
    dash: str
    points: str
    end: tuple[float, float]


@dataclass(frozen=True)
class _Mark:
    """A text at an axis, in pixels from the left or from the top."""

    text: str
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class _Chart:
    """Curves by epoch; `chosen`: where the epoch lies that became the version."""

    title: str
    summary: str
    frame: Frame
    rows: list[_Mark]
    columns: list[_Mark]
    lines: list[_Line]
    chosen: float | None


def _training(results: Results, task: Task) -> dict[str, object]:
    history = results.history or []
    if not history:
        return {"charts": [], "epochs": [], "best_epoch": None}
    titles = [f"recall, {one.title}" for one in task.classes]
    head = ["epoch", "train loss", "val loss", "balanced", *titles, "learning rate"]
    return {
        "charts": [_losses(history, results), _val_scores(history, results, task)],
        "epochs": [head, *(_row(line, task) for line in history)],
        "best_epoch": results.best_epoch,
    }


def _row(line: Epoch, task: Task) -> list[str]:
    shares = [line.train_loss, line.val_loss, line.val_balanced_accuracy]
    shares += [line.val_recall.get(name, 0.0) for name in task.names]
    return [str(line.epoch), *(f"{share:.3f}" for share in shares), f"{line.learning_rate:.1e}"]


def _losses(history: Sequence[Epoch], results: Results) -> _Chart:
    curves = [
        ("train", "var(--orange)", "none", [line.train_loss for line in history]),
        ("val", "var(--blue)", DASHES[1], [line.val_loss for line in history]),
    ]
    top = max(max(values) for *_, values in curves) or 1.0
    return _chart("Loss", history, results, curves, top, lambda value: f"{value:.2f}")


def _val_scores(history: Sequence[Epoch], results: Results, task: Task) -> _Chart:
    balanced = [line.val_balanced_accuracy for line in history]
    curves = [
        (
            f"recall, {one.title}",
            one.colour,
            DASHES[1 + index % (len(DASHES) - 1)],
            [line.val_recall.get(one.name, 0.0) for line in history],
        )
        for index, one in enumerate(task.classes)
    ]
    curves.append(("balanced accuracy", "currentColor", "none", balanced))
    return _chart("Scores on val", history, results, curves, 1.0, lambda value: f"{value:.0%}")


def _chart(
    title: str,
    history: Sequence[Epoch],
    results: Results,
    curves: Sequence[tuple[str, str, str, list[float]]],
    top: float,
    text: Callable[[float], str],
) -> _Chart:
    """Curves (name, colour, dash, values) by epoch, from 0 to `top`."""
    epochs = [line.epoch for line in history]
    frame = replace(CURVES, first=epochs[0], last=max(epochs[-1], epochs[0] + 1))
    lines = [
        _Line(
            name,
            colour,
            dash,
            frame.points(epochs, [value / top for value in values]),
            (round(frame.x(epochs[-1]), 1), round(frame.y(values[-1] / top), 1)),
        )
        for name, colour, dash, values in curves
    ]
    first, last = ([text(values[i]) for *_, values in curves] for i in (0, -1))
    pairs = zip(curves, first, last, strict=True)
    ends = "; ".join(f"{curve[0]} from {a} to {b}" for curve, a, b in pairs)
    middle = epochs[len(epochs) // 2]
    best = results.best_epoch
    return _Chart(
        title,
        f"{title} over {len(epochs)} epochs: {ends}",
        frame,
        [_Mark(text(share * top), y=round(frame.y(share), 1)) for share in (0, 0.5, 1)],
        [_Mark(str(e), x=round(frame.x(e), 1)) for e in sorted({epochs[0], middle, epochs[-1]})],
        lines,
        round(frame.x(best), 1) if best in epochs else None,
    )


# --- scores


def _scores(results: Results, task: Task) -> dict[str, object]:
    scores = results.scores
    assert scores is not None  # see report_html
    painted = results.painted.by_position if results.painted else {}
    return {
        "balanced": f"{scores.balanced_accuracy:.3f}",
        "pictures": scores.pictures,
        "titles": [one.title for one in task.classes],
        "per_class": [(task.title(name), found) for name, found in scores.per_class.items()],
        "confusion": scores.confusion_matrix,
        "others": results.others or {},
        "shifts": [(SHIFT_TITLES.get(k, k), found) for k, found in (results.shifts or {}).items()],
        "painted": [(POSITION_WORDS.get(k, k), found) for k, found in painted.items()],
    }


def _confidence(report: VersionReport) -> dict[str, object]:
    model, found, sure = report.model, report.model.results.calibration, report.model.results.sure
    if found is None:
        return {"reliability": "", "error": "", "sure": ""}
    name = str(escape(model.name))
    sentence = ""
    if sure and model.unsure_below:
        sentence = (
            f"Below {sure.threshold:.1%} an answer counts as unsure. {sure.answered} of "
            f"{sure.pictures} answers lie above, and {sure.accuracy:.1%} of those are right; of "
            f"the others {sure.accuracy_below:.1%}."
        )
    svg = Markup(reliability_svg(found, name, len(model.task)))  # it escapes what it is given
    return {"reliability": svg, "error": f"{found.error:.3f}", "sure": sentence}


# --- pictures


def _counted(suspects: Sequence[Suspect], task: Task) -> list[tuple[int, str, str]]:
    """How many suspects there are of each label and answer (titles), the commonest first."""
    pairs = Counter((one.picture.label, one.answer) for one in suspects)
    title = [one.title for one in task.classes]
    return [(n, title[label], title[answer]) for (label, answer), n in pairs.most_common()]


def _labels(report: VersionReport) -> dict[str, object]:
    suspicion, task = report.suspicion, report.model.task
    return {
        "hindrance": suspicion.hindrance,
        "checked": suspicion.checked,
        "suspected": len(suspicion.suspects),
        "counted": _counted(suspicion.suspects, task),
        "suspects": suspicion.suspects[:IN_REPORT],
    }


def _name(picture: Picture) -> str:
    """A picture's file with the folder that it lies in, and the one above that."""
    return printable("/".join(picture.file.parts[-3:]))


def _error_url(one: WrongAnswer) -> str:
    return data_url(enlarge(one.crop, PICTURE), "webp")


def _heat_url(one: WrongAnswer) -> str:
    return data_url(overlay(one.crop, one.explanation, PICTURE), "webp")


def _suspect_url(one: Suspect) -> str:
    return data_url(enlarge(read_crop(one.picture.file), THUMB), "webp")


# What the templates draw a picture with.
_PICTURES = {
    "name_of": _name,
    "error_url": _error_url,
    "heat_url": _heat_url,
    "suspect_url": _suspect_url,
}
