"""What was measured of the versions, in sentences: known failures, and what there is to see."""

from collections.abc import Mapping, Sequence
from html import escape
from operator import itemgetter

from ..data.painted import PLACES
from ..masks.task import is_mask
from ..models.results import ExplanationScores, Recall, Results, Scores, WayScores
from ..models.version import Model, any_faces
from ..task import Task
from ..words import listed
from .explanations import kind_title
from .tables import SHIFT_TITLES

POSITION_WORDS = {name: place.words for name, place in PLACES.items()}
LOST = 0.05  # of balanced accuracy: a shift that costs as much is named


# What was measured, as people say it.
SHIFT_WORDS = {
    "unaugmented": "test photos as taken",
    "dark_35": "dark photos",
    "gray": "photos without colour",
    "blurred": "blurred photos",
    "jpeg_20": "strongly compressed photos",
    "turned_15": "photos turned by 15°",
}
GOOD, BAD = 0.95, 0.9  # shares that are right: from here on good, below bad
NAMED = 4  # of each, the best and the worst
FEW = 10  # pictures of a class: fewer say too little to be named alone


def good_and_bad(model: Model) -> list[str]:
    """A version in three lines for people; none for a version that was never measured."""
    # As taken where that was measured: the page says the same figure beside each answer.
    scores = model.results.shift("unaugmented") or model.results.scores
    if scores is None:
        return []
    situations = _situations(model.results)
    shares = {name: share for name, (share, _) in situations.items()}
    shares |= {f"masks {n}": found.recall for n, found in _positions(model.results).items()}
    best = sorted(shares.items(), key=itemgetter(1))[::-1]
    worst = sorted((shares | _hidden(model.task, situations)).items(), key=itemgetter(1))
    good = [name for name, share in best if share >= GOOD][:NAMED]
    bad = [f"{name} ({share:.0%})" for name, share in worst if share < BAD][:NAMED]
    return [
        f"Right on {scores.balanced_accuracy:.0%} of {scores.pictures} test pictures, each class "
        "counting alike.",
        f"Good at: {listed(good)}." if good else f"Nowhere right on {GOOD:.0%} and more.",
        f"Bad at: {listed(bad)}." if bad else f"Nowhere measured under {BAD:.0%}.",
    ]


# Of a class: the share that is right, and of how many pictures.
ByClass = dict[str, tuple[float, int]]


def _hidden(task: Task, situations: Mapping[str, tuple[float, ByClass]]) -> dict[str, float]:
    """The classes that are seldom right in a situation whose mean hides it."""
    return {
        f"“{task.title(label)}” of {name}": share
        for name, (mean, classes) in situations.items()
        for label, (share, count) in classes.items()
        if mean >= BAD > share and count >= FEW
    }


def _situations(results: Results) -> dict[str, tuple[float, ByClass]]:
    """Changes of the picture, the street and other folders: the share that is right, by class."""
    shifts = results.shifts or {}
    scores = {words: shifts[key] for key, words in SHIFT_WORDS.items() if key in shifts}
    if results.street:
        scores["faces on street photos"] = results.street.scores
    found: dict[str, tuple[float, ByClass]] = {
        name: (s.balanced_accuracy, {c: (r.recall, r.total) for c, r in s.per_class.items()})
        for name, s in scores.items()
    }
    for name, folder in (results.others or {}).items():
        if "/" not in name:
            photos = {c: (r.recall, r.photos) for c, r in folder.per_photo.items()}
            found[f"the folder “{name}”"] = folder.balanced_accuracy, photos
    return found


def known_failures(model: Model) -> list[str]:
    """Sentences about a version: the shifts that cost it most, its commonest mistake.

    Empty for a version that was never measured.
    """
    scores, taken = model.results.scores, model.results.shift("unaugmented")
    if scores is None or taken is None:
        return []
    shifts = (model.results.shifts or {}).items()
    costly = [
        (key, score)
        for key, score in shifts
        if taken.balanced_accuracy - score.balanced_accuracy >= LOST
    ]
    costly.sort(key=lambda item: item[1].balanced_accuracy)
    sentences = [_shift_sentence(model.task, *one, taken.balanced_accuracy) for one in costly]
    commonest = _commonest(model.task, scores.confusion_matrix)
    return [*sentences, *_painted(model), *_street(model), *commonest]


def _shift_sentence(task: Task, key: str, score: Scores, as_taken: float) -> str:
    counts = score.confusion_matrix
    wrong = _answered_wrongly(counts)
    most = wrong.index(max(wrong))
    others = score.pictures - sum(counts[most])
    return (
        f"{SHIFT_TITLES.get(key, key)}: balanced accuracy falls from {as_taken:.2f} to "
        f"{score.balanced_accuracy:.2f}; {wrong[most]} of {others} other pictures are called "
        f"“{task.classes[most].title}”."
    )


def _answered_wrongly(counts: Sequence[Sequence[int]]) -> list[int]:
    """How often each class is answered to pictures of another one."""
    size = range(len(counts))
    return [sum(counts[true][answer] for true in size if true != answer) for answer in size]


def _painted(model: Model) -> list[str]:
    """Masks painted on bare faces: the positions that are taken for another one."""
    return _missed("Masks painted on bare faces", _positions(model.results))


def _positions(results: Results) -> dict[str, Recall]:
    """What was measured of masks painted on bare faces, by the words for where they sit."""
    painted = results.painted.by_position if results.painted else {}
    return {POSITION_WORDS.get(key, key): found for key, found in painted.items()}


def _street(model: Model) -> list[str]:
    """Faces found on street photos: the classes that are taken for another one."""
    street = model.results.street
    recalls = street.scores.per_class if street else {}
    named = {f"“{model.task.title(n)}”": found for n, found in recalls.items() if found.total}
    return _missed("Faces found on street photos", named)


def _missed(faces: str, recalls: Mapping[str, Recall]) -> list[str]:
    """A sentence for each kind of these faces of which too many are taken for another one."""
    return [
        f"{faces}, {kind}: only {found.right} of {found.total} are recognised."
        for kind, found in recalls.items()
        if found.recall < 1 - LOST
    ]


def _commonest(task: Task, counts: Sequence[Sequence[int]]) -> list[str]:
    size = range(len(task))
    pairs = [(t, a) for t in size for a in size if t != a]
    true, answered = max(pairs, key=lambda pair: counts[pair[0]][pair[1]])
    if not counts[true][answered]:
        return []
    share = f"{counts[true][answered]} of {sum(counts[true])}"
    return [
        f"Its commonest mistake on test: “{task.classes[true].title}” called "
        f"“{task.classes[answered].title}”, {share} times."
    ]


MANY = 0.25  # of a class's pictures
LOSS = 0.1  # of balanced accuracy under a shift, from which on it is worth a sentence
# What under a measured shift makes networks go wrong, and what to do to see it.
LESSONS = {
    "dark_35": ("in dim light", "Pull the light down and watch"),
    "gray": ("without colour", "Push the gray up and watch"),
    "blurred": ("without fine detail", "Take detail away and watch"),
    "turned_15": ("turned by 15°", "Turn it and watch"),
}


def lessons(models: Sequence[Model]) -> str:
    """What there is to see, as HTML, from what was measured of each version."""
    found = [_lesson(models, shift) for shift in LESSONS]
    lines = "".join(f"<p>{line}</p>" for line in found if line)
    return lines or "<p>Move a slider and watch which version changes its answer.</p>"


def _lesson(models: Sequence[Model], shift: str) -> str:
    """A sentence for the versions that lose much under a shift, by the answer they fall for."""
    where, do = LESSONS[shift]
    fooled: dict[tuple[str, str, str], list[str]] = {}
    for model in models:
        scores, answered = model.results.shift(shift), _falls_for(model, shift)
        if scores is not None and answered is not None:
            title = model.task.classes[answered].title
            who = _who(model.task, scores.confusion_matrix, answered)
            fooled.setdefault((title, who, model.task.subject), []).append(escape(model.name))
    return " ".join(
        f"<b>{listed(names)}</b>: many {subject}s {where} are taken for “{escape(title)}”, {who}. "
        f"{do}."
        for (title, who, subject), names in fooled.items()
    )


def _who(task: Task, matrix: Sequence[Sequence[int]], answered: int) -> str:
    """Whom a shift makes be taken for a class: all others, or the one that loses most to it."""
    lost = {
        true: row[answered] / sum(row)
        for true, row in enumerate(matrix)
        if true != answered and sum(row)
    }
    if all(share >= MANY for share in lost.values()):
        return "whatever they wear" if is_mask(task) else "whatever they show"
    most = task.classes[max(lost, key=lost.__getitem__)]
    return f"most of all those that are “{escape(most.title)}”"


def _falls_for(model: Model, shift: str) -> int | None:
    """The class (its index) that wrong answers under a shift mostly are; None for a small loss."""
    scores, taken = model.results.shift(shift), model.results.shift("unaugmented")
    if scores is None or taken is None:
        return None
    if taken.balanced_accuracy - scores.balanced_accuracy < LOSS:
        return None
    wrong = _answered_wrongly(scores.confusion_matrix)
    return wrong.index(max(wrong))


def heatmap_honesty(models: Sequence[Model]) -> list[str]:
    """What the tests of the heatmaps found, for a sceptic; empty where nothing was measured."""
    measured = [(m, m.results.explanations) for m in models if m.results.explanations]
    taken = [(m, s, s.of(s.default)) for m, s in measured]
    tested = [(m, s, best) for m, s, best in taken if best and s.meaningless]
    if not tested:
        return []
    confirmed = listed([f"{best.confirmed} of {best.faces} for {m.name}" for m, _, best in tested])
    copies = listed([f"{best.beats_copies} of {best.faces} for {m.name}" for m, _, best in tested])
    return [
        "Hiding where the first heatmap is bright mostly matters more than the same shape "
        "elsewhere.",
        f"Of test {_subjects(models)} it did on {copies}.",
        "More than maps made without the photo it says on few. Only these are called confirmed: "
        f"{confirmed}.",
        _most_of_nothing([(m, s) for m, s, _ in tested]),
        *_beyond([(m, best) for m, _, best in tested if best.beats_usual is not None]),
    ]


def _subjects(models: Sequence[Model]) -> str:
    return "faces" if any_faces(models) else "pictures"


def _beyond(tested: Sequence[tuple[Model, WayScores]]) -> list[str]:
    """Whether the maps say more than the mean map of other faces; empty where not measured."""
    if not tested:
        return []
    beaten = [
        f"{m.name}’s did on {one.beats_usual} of {one.faces} "
        f"({'more' if one.says_more else 'less' if one.says_less else 'not clearly more'})"
        for m, one in tested
    ]
    return [
        f"Does a map say more than the mean map of other {_subjects([m for m, _ in tested])}? By "
        "chance it beats that on half.",
        f"{listed(beaten)}.",
    ]


def _most_of_nothing(tested: Sequence[tuple[Model, ExplanationScores]]) -> str:
    """How often maps that know nothing are confirmed at most."""
    rows = [
        (m, kind_title(kind, m.task), one) for m, s in tested for kind, one in s.meaningless.items()
    ]
    model, title, one = max(rows, key=lambda row: row[2].confirmed / row[2].faces)
    return (
        f"A map that knows nothing of the photo is confirmed on {one.confirmed} of {one.faces} at "
        f"most ({title[0].lower()}{title[1:]}, {model.name})."
    )
