"""Results as text: for the terminal, and as the tables that README and docs show."""

from collections.abc import Sequence
from statistics import mean

from ..explain.explain import all_ways
from ..masks.task import INCORRECT, is_mask
from ..models.results import (
    Cost,
    ExplanationScores,
    FoundAnswers,
    Recall,
    Results,
    WayScores,
)
from ..models.version import Model
from ..task import Task
from ..words import markdown_table
from .explanations import CHANGES, KINDS, kind_title
from .scenes import GOAL, GOAL_IOU, ScenesResult
from .scores import wilson

SHIFT_TITLES = {
    "unaugmented": "As taken",
    "dark_35": "Dark (35%)",
    "gray": "Gray",
    "blurred": "Blurred (24 px)",
    "jpeg_20": "JPEG 20",
    "turned_15": "Turned 15°",
}

REFERENCE = "v2"  # the version that others' times are held against


def results_markdown(models: Sequence[Model]) -> str:
    """The measured results of some versions as a Markdown table, a column a version.

    Recall with counts and Wilson's 95% interval; the rows of SHIFT_TITLES are balanced accuracies
    on the un-augmented pictures. A version's time is held against the reference's in the same run.
    """
    results = [model.results for model in models]
    rows = [["Balanced accuracy, all", *(_share(r.balanced_accuracy) for r in results)]]
    for name in dict.fromkeys(name for model in models for name in model.task.names):
        rows.append([f"Recall `{name}`", *(_recall(r, name) for r in results)])
    for key, title in SHIFT_TITLES.items():
        rows.append([f"{title}, un-augmented faces", *(shifted(r, key) for r in results)])
    painted = (_share(r.painted and r.painted.balanced_accuracy) for r in results)
    rows.append(["Masks painted on bare faces", *painted])
    rows.append(["Faces found on street photos", *map(found_on_street, results)])
    for name in other_folders(models):
        rows.append([f"Folder `{name}`, each photo once", *(on_other(r, name) for r in results)])
    errors = (_share(r.calibration and r.calibration.error) for r in results)
    rows.append(["Expected calibration error", *errors])
    rows.append(["Dark faces called worn incorrectly", *map(_called_incorrect, models)])
    rows.append(["Checkpoint", *map(_size, results)])
    times = (_time_beside(model.results, model.name) for model in models)
    rows.append([f"Time of a face's answer ({REFERENCE} = 1)", *times])
    return markdown_table(["Test split", *(m.name for m in models)], rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def shifted(results: Results, shift: str) -> str:
    """The balanced accuracy under a shift; a dash for a version that was measured without it."""
    scores = results.shift(shift)
    return _share(scores and scores.balanced_accuracy)


def found_on_street(results: Results) -> str:
    """The balanced accuracy on faces found on street photos; a dash where it was not measured."""
    return _share(results.street and results.street.scores.balanced_accuracy)


def other_folders(models: Sequence[Model]) -> list[str]:
    """The further data folders that some version was scored on, without their single sources."""
    names = dict.fromkeys(name for model in models for name in model.results.others or {})
    return [name for name in names if "/" not in name]


def on_other(results: Results, name: str) -> str:
    """The balanced accuracy on a further folder; a dash where it was not measured."""
    found = (results.others or {}).get(name)
    return _share(found and found.balanced_accuracy)


def _recall(results: Results, name: str) -> str:
    found = (results.per_class or {}).get(name)
    if found is None:
        return "–"
    low, high = found.interval
    return f"{found.recall:.3f} ({found.right}/{found.total}, {low:.2f}–{high:.2f})"


def _size(results: Results) -> str:
    return _megabytes(results.cost.checkpoint_bytes) if results.cost else "–"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _time_beside(results: Results, name: str) -> str:
    """A version's time for that of the reference in the same run; a dash without either."""
    times = results.cost.milliseconds if results.cost else {}
    return f"{times[name] / times[REFERENCE]:.2f}" if {name, REFERENCE} <= set(times) else "–"


def _called_incorrect(model: Model) -> str:
    dark = model.results.shift("dark_35")
    if dark is None or not is_mask(model.task):
        return "–"
    return f"{dark.answers[model.task.index(INCORRECT)]} of {dark.pictures}"


def _recall_lines(per_class: dict[str, Recall], digits: int) -> list[str]:
    return [
        f"  {label:<22} recall {r.recall:.{digits}f} ({r.right}/{r.total}, "
        f"95%: {r.interval[0]:.3f}-{r.interval[1]:.3f})"
        for label, r in per_class.items()
    ]


def evaluation_text(name: str, task: Task, results: Results) -> str:
    """An evaluation as text: recalls with intervals, confusion matrix, shifts."""
    scores = results.scores
    if scores is None:
        return f"{name} was never measured."
    split = {"": "", "all": ", all that are there"}.get(results.split or "", f" of {results.split}")
    lines = [
        f"{name}: balanced accuracy {scores.balanced_accuracy:.4f}, {scores.pictures} pictures"
        f"{split}"
    ]
    lines += _recall_lines(scores.per_class, digits=4)
    lines.append(f"confusion matrix (rows true, columns answered: {', '.join(task.names)})")
    lines += ["  " + " ".join(f"{count:6d}" for count in row) for row in scores.confusion_matrix]
    lines.append("balanced accuracy on the un-augmented pictures, as they are and shifted")
    for shift, s in (results.shifts or {}).items():
        recalls = ", ".join(f"{k} {r.right}/{r.total}" for k, r in s.per_class.items())
        lines.append(f"  {shift:<12} {s.balanced_accuracy:.4f} ({recalls})")
    ends = (_painted_lines(results), _confidence_lines(results), _other_lines(results))
    return "\n".join([*lines, *(line for end in ends for line in end)])


def _painted_lines(results: Results) -> list[str]:
    painted = results.painted
    if painted is None:
        return []
    recalls = ", ".join(f"{k} {r.right}/{r.total}" for k, r in painted.by_position.items())
    return [
        f"masks painted on {painted.faces} bare faces (those whose landmarks are found)",
        f"  {'painted':<12} {painted.balanced_accuracy:.4f} ({recalls})",
    ]


def _other_lines(results: Results) -> list[str]:
    """Further folders, each photo counted once."""
    lines = []
    for name, found in (results.others or {}).items():
        recalls = ", ".join(
            f"{label} {r.recall:.3f} of {r.photos} ({r.interval[0]:.3f}-{r.interval[1]:.3f})"
            for label, r in found.per_photo.items()
            if r.photos
        )
        lines += [
            f"{name}, each photo counted once: {found.balanced_accuracy:.4f} ({recalls})",
            f"  {found.scores.pictures} faces; calibration error {found.calibration_error:.4f}; "
            f"sure of {found.sure.coverage:.0%}, {found.sure.accuracy:.1%} of them right",
        ]
    return lines


def _confidence_lines(results: Results) -> list[str]:
    c, sure = results.calibration, results.sure
    if c is None or sure is None:
        return []
    if sure.threshold == 0:  # somebody else's network
        return [f"expected calibration error {c.error:.4f}; no answer counts as unsure"]
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
    return f"{size}; one picture in {own:.1f} ms on one thread" + (f" ({others})" if others else "")


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
    "Confirmed",
    "Too small",
    "Beats its copies",
    "the same, dark",
    "Beats the mean map",
    "Beats random order",
    "Deletion",
    "Insertion",
    "Nose, mouth",
    "Edge, nose, mouth",
    "Like the mean map",
    "Random head",
    "Random network",
    "ms",
)


def explanations_markdown(models: Sequence[Model]) -> str:
    """The measured explanations of some versions as Markdown: a table of the ways, and one of how
    often verdicts change; each version's default is bold where it earned that.

    Columns: faces on which the heatmap was confirmed (with Wilson's 95% interval), or changed too
    little; on which its hottest fifth beats 95% of its copies, as taken and darkened; on which its
    deletion curve beats the mean map's, and random orders'; areas of the deletion and insertion
    curves less the random orders'; heat for area on nose and mouth; share of the heat on upper
    edge, nose and mouth of painted masks, the positions' mean; absolute rank correlation with the
    mean map, with heatmaps of random heads (mean, least and most of the draws), with that of a
    wholly random network; milliseconds for answer and heatmap.
    """
    ways = [row for model in models for row in explanation_rows(model)]
    changes = ["Verdicts that change", *CHANGES, "Close calls"]
    tables = (EXPLANATION_COLUMNS, ways), (changes, _firmness_rows(models))
    return "\n\n".join(markdown_table(*table) for table in tables)


def explanation_rows(model: Model) -> list[list[str]]:
    """The rows of one version in EXPLANATION_COLUMNS: its ways, then maps that know nothing.

    Its default way has ** around its title where it earned that. A way that is offered and not
    measured yet says so; none where nothing was measured.
    """
    scores = model.results.explanations
    if scores is None:
        return []
    ways = [[model.name, *_way_cells(scores, key)] for key in all_ways()]
    nothing = [
        [model.name, *_cells(f"*{kind_title(kind, model.task)}*", known, None, None)]
        for kind, known in scores.meaningless.items()
        if kind in KINDS
    ]
    return [*ways, *nothing]


def _way_cells(scores: ExplanationScores, key: str) -> list[str]:
    taken, dark = scores.of(key), scores.of(key, "dark_35")
    title = all_ways()[key].title
    if taken is None or taken.beats_copies is None:
        return [title, "not measured yet", *["–"] * (len(EXPLANATION_COLUMNS) - 3)]
    best = key == scores.default and scores.earned
    return _cells(f"**{title}**" if best else title, taken, dark, _place(scores, key))


def _cells(title: str, taken: WayScores, dark: WayScores | None, place: float | None) -> list[str]:
    low, high = wilson(taken.confirmed, taken.faces)
    head = taken.random_head
    return [
        title,
        f"{taken.confirmed}/{taken.faces} ({low:.2f}–{high:.2f})",
        str(taken.verdicts.get("small", 0)),
        f"{taken.beats_copies}/{taken.faces}",
        f"{dark.beats_copies}/{dark.faces}" if dark else "–",
        _counted(taken.beats_usual, taken.faces),
        f"{taken.beats_random}/{taken.faces}",
        f"{taken.deletion:+.3f}",
        f"{taken.insertion:+.3f}",
        _number(taken.nose_mouth),
        _number(place),
        _number(taken.like_mean),
        f"{head.mean:.2f} ({head.least:.2f}–{head.most:.2f})" if head else "–",
        _number(taken.cascade[-1] if taken.cascade else None),
        "–" if taken.milliseconds is None else f"{taken.milliseconds:.0f}",
    ]


def _counted(count: int | None, total: int) -> str:
    if count is None:
        return "–"
    low, high = wilson(count, total)
    return f"{count}/{total} ({low:.2f}–{high:.2f})"


def _firmness_rows(models: Sequence[Model]) -> list[list[str]]:
    """How many of the default's verdicts change, by what: all, and those without close call."""
    rows = []
    for model in models:
        scores = model.results.explanations
        if scores is None or not scores.firmness:
            continue
        found = [scores.firmness.get(name) for name in CHANGES]
        cells = [f"{f.changed}/{f.faces} ({f.surely})" if f else "–" for f in found]
        taken = scores.of(scores.default)
        close = f"{taken.close}/{taken.faces}" if taken else "–"
        rows.append([f"{model.name}, {all_ways()[scores.default].title}", *cells, close])
    return rows


def _place(scores: ExplanationScores, key: str) -> float | None:
    """The mean over the positions; None where one was not measured."""
    heats = [scores.heat_on_painted(position, key) for position in scores.painted]
    shares = [heat.place if heat else None for heat in heats]
    known = [share for share in shares if share is not None]
    return mean(known) if known and len(known) == len(shares) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
