"""Where the versions disagree on one face, and what their measurements say about why."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from PIL import Image

from ...explain.report import Subject
from ...images.edit import DARK, FAINTEST, brightness, in_other_light, is_dark, is_gray
from ...models.results import Scores
from ...models.threads import all_at_once
from ...models.version import Model, Prediction
from ...words import listed, number
from ..parts import says

FALL = 0.1  # of balanced accuracy, from which on a shift counts as a weakness
RISE = 0.2  # of one class's share of the answers, from which on it counts as what was learned


@dataclass(frozen=True)
class Comparison:
    """Every version's answer to one face, as it is and in another light.

    `brightness`: mean luma, 0..255; `dark`: whether the other light is brighter (else it is the
    measured dim light); `gray`: whether the face has no colour.
    """

    models: tuple[Model, ...]
    answers: tuple[Prediction, ...]
    in_other_light: tuple[Prediction, ...]
    brightness: float
    dark: bool
    gray: bool

    @property
    def agree(self) -> bool:
        """Whether all versions answer the same class, whatever else they may answer."""
        return len({answer.label for answer in self.answers}) == 1

    @property
    def strangers(self) -> bool:
        """Whether some two versions have no class in common."""
        return any(
            {*one.task.names}.isdisjoint(other.task.names)
            for one, other in combinations(self.models, 2)
        )

    @property
    def changed(self) -> list[int]:
        """The versions (from 0) that answer otherwise in the other light."""
        pairs = zip(self.answers, self.in_other_light, strict=True)
        return [i for i, (here, there) in enumerate(pairs) if here.label != there.label]


def compare(models: Sequence[Model], subject: Subject) -> Comparison:
    """Ask every version twice about a picture: as it is, and in another light."""
    crop = subject.crop
    pairs = all_at_once(lambda model: _asked_twice(model, subject.seen_by(model)), models)
    return Comparison(
        tuple(models),
        tuple(here for here, _ in pairs),
        tuple(there for _, there in pairs),
        brightness(crop),
        is_dark(crop),
        is_gray(crop),
    )


def _asked_twice(model: Model, picture: Image.Image) -> list[Prediction]:
    return model.predict([picture, in_other_light(picture)])


def headline(comparison: Comparison) -> str:
    """Who says what: “v1 and v2 say “No mask”, v3 says “Worn correctly”.”"""
    models = comparison.models
    labels = [answer.label for answer in comparison.answers]
    if len(models) == 1:
        return f"{says(models, labels)}. With a second version there would be something to compare."
    titles = {model.task.title(label) for model, label in zip(models, labels, strict=True)}
    if comparison.agree and len(titles) > 1:
        return f"They agree, each in its own words: {says(models, labels)}."
    if comparison.agree:
        every = "Both versions" if len(models) == 2 else f"All {number(len(models))} versions"
        return f"{every} say “{models[0].task.title(labels[0])}”."
    if comparison.strangers:
        return f"They answer different questions: {says(models, labels)}."
    return f"They disagree: {says(models, labels)}{_unknown(comparison)}."


def _unknown(c: Comparison) -> str:
    """The answers that other versions do not know; empty where all know all."""
    told = dict.fromkeys(
        f"{other.name} has no class “{model.task.title(answer.label)}”"
        for model, answer in zip(c.models, c.answers, strict=True)
        for other in c.models
        if answer.label not in other.task
    )
    return f"; {listed([*told])}" if told else ""


def why_it_matters(comparison: Comparison) -> list[str]:
    """What is known about it, in sentences: only what was measured, here or on the test faces."""
    many = len(comparison.models) > 1
    return [
        *_condition(comparison),
        *_other_light(comparison),
        *(_painted(comparison) if many and not _light_decides(comparison) else []),
        *_unsure(comparison),
        *([_agreement(comparison)] if many and comparison.agree else []),
    ]


def _condition(c: Comparison) -> list[str]:
    """What is unusual about the picture, and what that does to the versions that answer so."""
    told = []
    if c.dark:
        told.append(
            f"The face is dark: its mean brightness is {c.brightness:.0f} of 255. Of 100 faces of "
            f"the public data, as they were taken, only 2 lie under {DARK:.0f}."
        )
        told += _lessons(c, "dark_35", "dark", "in dim light")
    if c.gray:
        told.append("The picture has no colour.")
        told += _lessons(c, "gray", "without colour", "without colour")
    return told


def _lessons(c: Comparison, shift: str, look: str, where: str) -> list[str]:
    """The versions whose answer here is the one that this shift drives them to."""
    answered = zip(c.models, c.answers, strict=True)
    return _lesson_sentences([(m, a.label) for m, a in answered], shift, look, where)


def _lesson_sentences(
    answered: Sequence[tuple[Model, str]], shift: str, look: str, where: str
) -> list[str]:
    sentences = []
    for label in dict.fromkeys(name for m, _ in answered for name in m.task.names):
        fallen = [m for m, said in answered if said == label and drawn_to(m, shift) == label]
        if fallen:
            names = listed([m.name for m in fallen])
            title = fallen[0].task.title(label)
            falls = " ".join(_fall(m, shift, label, where) for m in fallen)
            sentences.append(f"{names} learned that {look} means “{title}”. {falls}")
    return sentences


def drawn_to(model: Model, shift: str) -> str | None:
    """The class that a shift drives a version to, by its measurements; None where it does not.

    The shift must take .1 and more of the balanced accuracy, and raise one class's share of the
    answers by .2 and more.
    """
    taken, moved = model.results.shift("unaugmented"), model.results.shift(shift)
    if taken is None or moved is None:
        return None
    rises = [b - a for a, b in zip(_shares(taken), _shares(moved), strict=True)]
    weak = taken.balanced_accuracy - moved.balanced_accuracy >= FALL
    return model.task.names[rises.index(max(rises))] if weak and max(rises) >= RISE else None


def _shares(scores: Scores) -> list[float]:
    """Each class's share of the answers."""
    return [count / max(1, sum(scores.answers)) for count in scores.answers]


def _fall(model: Model, shift: str, label: str, where: str) -> str:
    taken, moved = model.results.shift("unaugmented"), model.results.shift(shift)
    if taken is None or moved is None:
        return f"{model.name} was not measured."
    said = moved.answers[model.task.index(label)]
    return (
        f"{where[0].upper()}{where[1:]} {model.name} is right on {moved.balanced_accuracy:.0%} of "
        f"the test faces, as taken on {taken.balanced_accuracy:.0%}. It says so of {said} of "
        f"{moved.pictures}."
    )


def _other_light(c: Comparison) -> list[str]:
    changed = [(c.models[i], c.in_other_light[i].label) for i in c.changed]
    turned = "With the light turned up" if c.dark else "With the light turned down to 35%"
    if not changed:
        stay = _who(c, range(len(c.models)), "stays with its", "stay with their")
        return [f"{turned}, {stay} answer. What if tries every other light."]
    moved = says([m for m, _ in changed], [label for _, label in changed])
    rest = [i for i in range(len(c.models)) if i not in c.changed]
    stay = f"; {_who(c, rest, 'stays with its answer', 'stay with their answers')}" if rest else ""
    sentences = [f"{turned}, {moved}{stay}."]
    if c.dark and c.brightness >= FAINTEST:
        names = listed([m.name for m, _ in changed])
        verb = "answers" if len(changed) == 1 else "answer"
        sentences.append(f"So it is the light that decides what {names} {verb} here, not the mask.")
    elif not c.dark:
        sentences += _lesson_sentences(changed, "dark_35", "dark", "in dim light")
    return sentences


def _who(c: Comparison, which: Sequence[int], one: str, several: str) -> str:
    names = [c.models[i].name for i in which]
    return f"{listed(names)} {one if len(names) == 1 else several}"


def _light_decides(c: Comparison) -> bool:
    return c.agree or (c.dark and bool(c.changed))


def _painted(c: Comparison) -> list[str]:
    """How well each version tells how a mask is worn, where at least two were measured."""
    known = [(m.name, m.results.painted) for m in c.models if m.results.painted is not None]
    if len(known) < 2:
        return []
    right = [
        f"{name} is right on {sum(row[i] for i, row in enumerate(p.confusion_matrix))} of "
        f"{p.pictures}"
        for name, p in known
    ]
    return [
        "How well they tell the way a mask is worn was measured with masks painted on bare test "
        f"faces, right, nose out and under the chin: {listed(right)}."
    ]


def _unsure(c: Comparison) -> list[str]:
    return [
        f"{m.name} counts itself as unsure here: it gives its answer {a.confidence:.1%}, and "
        f"under {m.unsure_below:.1%} its answers are often wrong."
        for m, a in zip(c.models, c.answers, strict=True)
        if a.unsure
    ]


def _agreement(c: Comparison) -> str:
    if not c.changed:
        return (
            "Agreement is a good sign and no proof: versions that learned from the same pictures "
            "can be wrong together."
        )
    names = listed([c.models[i].name for i in c.changed])
    return f"So the agreement is worth little: {names} would not keep to it in another light."
