"""Results as text: for the terminal, and as the tables that README and docs show."""

from collections.abc import Mapping
from statistics import mean

from ..explain.variants import VARIANTS
from ..models.network import CLASSES
from .evaluate import Cost, Evaluation
from .scenes import GOAL, GOAL_IOU, FoundAnswers, ScenesResult
from .statistics import Recall

SHIFT_TITLES = {
    "unaugmented": "As taken",
    "dark_35": "Dark (35%)",
    "gray": "Gray",
    "blurred": "Blurred (24 px)",
    "jpeg_20": "JPEG 20",
    "turned_15": "Turned 15°",
}

REFERENCE = "v2"  # the version that others' times are held against


def is_measured(results: dict) -> bool:
    """Whether a version's JSON holds an evaluation; one without may hold other things."""
    return {"shifts", "per_class", "confusion_matrix"} <= set(results)


def results_markdown(versions: Mapping[str, dict]) -> str:
    """The contents of some versions' JSON files, by name, as a Markdown table, a column a version.

    Recall with counts and Wilson's 95% interval; the rows of SHIFT_TITLES are balanced accuracies
    on the un-augmented pictures. A version's time is held against the reference's in the same run.
    """
    names, results = list(versions), list(versions.values())
    rows = [["Test split", *names], ["---", *("---" for _ in names)]]
    rows.append(["Balanced accuracy, all", *(f"{r['balanced_accuracy']:.3f}" for r in results)])
    for name in CLASSES:
        rows.append([f"Recall `{name}`", *(_recall(r["per_class"][name]) for r in results)])
    for key, title in SHIFT_TITLES.items():
        cells = (shifted(r, key) for r in results)
        rows.append([f"{title}, un-augmented faces", *cells])
    painted = (_part(r, "painted", "balanced_accuracy") for r in results)
    rows.append(["Masks painted on bare faces", *painted])
    rows.append(["Faces found on street photos", *map(found_on_street, results)])
    errors = (_part(r, "calibration", "error") for r in results)
    rows.append(["Expected calibration error", *errors])
    rows.append(["Dark faces called worn incorrectly", *(_called_incorrect(r) for r in results)])
    rows.append(["Checkpoint", *map(_size, results)])
    times = (_time_beside(result, name) for name, result in versions.items())
    rows.append([f"Time of a face's answer ({REFERENCE} = 1)", *times])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _part(result: dict, part: str, key: str) -> str:
    return f"{result[part][key]:.3f}" if part in result else "–"


def shifted(result: dict, shift: str) -> str:
    """The balanced accuracy under a shift; a dash for a version that was measured without it."""
    score = result["shifts"].get(shift)
    return f"{score['balanced_accuracy']:.3f}" if score else "–"


def found_on_street(result: dict) -> str:
    """The balanced accuracy on faces found on street photos; a dash where it was not measured."""
    return f"{result['street']['scores']['balanced_accuracy']:.3f}" if "street" in result else "–"


def _recall(recall: dict) -> str:
    low, high = recall["interval"]
    return f"{recall['recall']:.3f} ({recall['right']}/{recall['total']}, {low:.2f}–{high:.2f})"


def _size(result: dict) -> str:
    return _megabytes(result["cost"]["checkpoint_bytes"]) if "cost" in result else "–"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _time_beside(result: dict, name: str) -> str:
    """A version's time for that of the reference in the same run; a dash without either."""
    times = result.get("cost", {}).get("milliseconds", {})
    return f"{times[name] / times[REFERENCE]:.2f}" if {name, REFERENCE} <= set(times) else "–"


def _called_incorrect(results: dict) -> str:
    dark = results["shifts"]["dark_35"]
    return f"{sum(row[0] for row in dark['confusion_matrix'])} of {dark['pictures']}"


def _recall_lines(per_class: dict[str, Recall], digits: int) -> list[str]:
    return [
        f"  {label:<22} recall {r.recall:.{digits}f} ({r.right}/{r.total}, "
        f"95%: {r.interval[0]:.3f}-{r.interval[1]:.3f})"
        for label, r in per_class.items()
    ]


def evaluation_text(name: str, evaluation: Evaluation) -> str:
    """An evaluation as text: recalls with intervals, confusion matrix, shifts."""
    scores = evaluation.scores
    lines = [
        f"{name}: balanced accuracy {scores.balanced_accuracy:.4f}, {scores.pictures} pictures"
    ]
    lines += _recall_lines(scores.per_class, digits=4)
    lines.append(f"confusion matrix (rows true, columns answered: {', '.join(CLASSES)})")
    lines += ["  " + " ".join(f"{count:6d}" for count in row) for row in scores.confusion_matrix]
    lines.append("balanced accuracy on the un-augmented pictures, as they are and shifted")
    for shift, s in evaluation.shifts.items():
        recalls = ", ".join(f"{k} {r.right}/{r.total}" for k, r in s.per_class.items())
        lines.append(f"  {shift:<12} {s.balanced_accuracy:.4f} ({recalls})")
    return "\n".join([*lines, *_painted_lines(evaluation), *_confidence_lines(evaluation)])


def _painted_lines(evaluation: Evaluation) -> list[str]:
    painted = evaluation.painted
    recalls = ", ".join(f"{k} {r.right}/{r.total}" for k, r in painted.by_position.items())
    return [
        f"masks painted on {painted.faces} bare faces (those whose landmarks are found)",
        f"  {'painted':<12} {painted.scores.balanced_accuracy:.4f} ({recalls})",
    ]


def _confidence_lines(evaluation: Evaluation) -> list[str]:
    c, sure = evaluation.calibration, evaluation.sure
    return [
        f"expected calibration error {c.error:.4f}; {c.raw_error:.4f} before the temperature "
        f"({c.temperature:.3f})",
        f"answers of {sure.threshold:.3f} and more: {sure.answered}/{sure.pictures}, "
        f"{sure.accuracy:.4f} of them right",
    ]


def cost_text(name: str, cost: Cost) -> str:
    """A version's cost as a line: its size, its time, and those of the others in the same run."""
    times = dict(cost.milliseconds)
    own, others = times.pop(name), ", ".join(f"{other} {ms:.1f}" for other, ms in times.items())
    size = _megabytes(cost.checkpoint_bytes)
    return f"{size}; one face in {own:.1f} ms on one thread" + (f" ({others})" if others else "")


def found_answers_text(name: str, result: FoundAnswers) -> str:
    """A version's answers on scenes as text: recalls with intervals, and how many were found."""
    scores = result.scores
    return "\n".join(
        [
            f"{name}: balanced accuracy {scores.balanced_accuracy:.4f} on the {scores.pictures} "
            f"found of {result.boxed} boxed faces of {result.minimum_side} pixels and more in "
            f"{result.pictures} pictures",
            *_recall_lines(scores.per_class, digits=3),
        ]
    )


def scenes_text(result: ScenesResult) -> str:
    """What was found on scenes as text: recalls with intervals, precision, and the goals."""
    lines = [f"faces of {result.minimum_side} pixels and more in {result.pictures} pictures"]
    lines += _recall_lines(result.per_class, digits=3)
    low, high = result.precision_interval
    lines.append(
        f"  {'precision':<22}        {result.precision:.3f} "
        f"({result.right}/{result.found}, 95%: {low:.3f}-{high:.3f})"
    )
    lines.append(f"  {'mean IoU':<22}        {result.mean_iou:.3f}")
    lines.append(f"  {'finding, one picture':<22}        {result.milliseconds:.0f} ms")
    verdict = "reached" if result.reached else "NOT reached"
    lines.append(f"goals ({GOAL} each, mean IoU {GOAL_IOU}): {verdict}")
    return "\n".join(lines)


EXPLANATION_COLUMNS = (
    "Version",
    "Way to explain",
    "Beats random order",
    "the same, dark",
    "Hottest fifth",
    "Deletion",
    "Insertion",
    "Nose, mouth",
    "Painted mask",
    "Bare nose",
    "Edge, nose, mouth",
    "Random head",
    "ms",
)


def explanations_markdown(versions: Mapping[str, dict]) -> str:
    """The measured explanations of some versions as a Markdown table; each one's default is bold.

    `versions`: by name ExplanationScores as a dict. Columns: faces on
    which blurring by heat beats the mean random order (logit margin), as taken and darkened; faces
    on which the hottest fifth beats 18 of 19 random ones; areas of the deletion and insertion
    curves less the random orders'; heat for area on nose and mouth, on masks painted over the nose,
    and on the nose that a mask painted too low leaves bare; share of the heat on upper edge, nose
    and mouth of painted masks, the positions' mean; absolute rank correlation with the heatmap of
    random head weights; milliseconds for answer and heatmap.
    """
    rows = [list(EXPLANATION_COLUMNS), ["---"] * len(EXPLANATION_COLUMNS)]
    rows += [row for name, scores in versions.items() for row in explanation_rows(name, scores)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def explanation_rows(name: str, scores: dict) -> list[list[str]]:
    """The rows of one version in EXPLANATION_COLUMNS; its default way has ** around its title."""
    return [[name, *_explanation_cells(scores, key)] for key in scores["lights"]["as_taken"]]


def _explanation_cells(scores: dict, key: str) -> list[str]:
    taken, dark = (scores["lights"][light][key] for light in ("as_taken", "dark_35"))
    low, high = taken["interval"]
    title = VARIANTS[key].title
    return [
        f"**{title}**" if key == scores["default"] else title,
        f"{taken['beats_random']}/{taken['faces']} ({low:.2f}–{high:.2f})",
        f"{dark['beats_random']}/{dark['faces']}",
        f"{taken['hottest_fifth']}/{taken['faces']}",
        f"{taken['deletion']:+.3f}",
        f"{taken['insertion']:+.3f}",
        _number(taken["nose_mouth"]),
        _number(scores["painted"]["right"][key]["mask"]),
        _number(scores["painted"]["nose_out"][key]["nose"]),
        _number(_place(scores["painted"], key)),
        _number(taken["cascade"][-1] if taken["cascade"] else None),
        f"{taken['milliseconds']:.0f}",
    ]


def _place(painted: dict, key: str) -> float | None:
    """The mean over the positions; None where one was not measured."""
    shares = [by_way[key].get("place") for by_way in painted.values()]
    return None if None in shares else mean(shares)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
