"""Everything about one crop, version by version, in the order in which it is ready."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from PIL import Image

from ..images.crops import Subjects, find_subjects
from ..images.faces import Landmarks
from ..models.threads import all_at_once, at_once
from ..models.version import Model, any_faces
from .explain import (
    USUAL,
    Answer,
    Explanation,
    ForwardPass,
    Question,
    Way,
    explain_pass,
    find_ways,
    forward_pass,
    known_to,
)
from .verdicts import (
    SecondOpinion,
    Trust,
    Verdict,
    blur_verdicts,
    measure_trust,
    second_opinions,
)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Subject:
    """What is asked about: a crop, and the whole photo for versions that answer no faces.

    `landmarks` are in the crop's pixels, None where none are known; `photo` None: the crop is all.
    """

    crop: Image.Image
    landmarks: Landmarks | None = None
    photo: Image.Image | None = None

    def seen_by(self, model: Model) -> Image.Image:
        """The picture that a version answers."""
        return self.crop if model.task.faces or self.photo is None else self.photo


def subjects_for(
    models: Sequence[Model], image: Image.Image, whole: bool = False, landmarks: bool = True
) -> Subjects:
    """What these versions answer of a picture: its faces, or all of it where none answers faces.

    Raises NoFaceError.
    """
    faces = any_faces(models)
    return find_subjects(image, whole or not faces, landmarks and faces)


def pictures_for(model: Model, image: Image.Image, subjects: Subjects) -> list[Image.Image]:
    """What one of several versions answers: the faces, or the picture itself."""
    return subjects.images if model.task.faces else [image]


@dataclass(frozen=True)
class Report:
    """One version's answer to one crop, with as much as is ready.

    `ways`, `verdicts`, `trust` and `second` belong to the answer's explanations, one by one;
    verdicts and trust are empty until they are measured, `second` where nobody asked for that.
    """

    forward: ForwardPass
    answer: Answer
    ways: tuple[Way, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    trust: tuple[Trust, ...] = ()
    second: tuple[SecondOpinion, ...] = ()

    @property
    def model(self) -> Model:
        return self.forward.model

    @property
    def crop(self) -> Image.Image:
        """The picture that was answered."""
        return self.forward.crops[0]

    def to_dict(self) -> dict:
        """All but the heatmaps' values."""
        explanations: list[dict] = [e.facts() for e in self.answer.explanations]
        for facts, verdict in zip(explanations, self.verdicts, strict=False):
            facts["verdict"] = verdict.to_dict()
        for facts, trust in zip(explanations, self.trust, strict=False):
            facts.update(trust.to_dict())
        for facts, second in zip(explanations, self.second, strict=False):
            facts["second_opinion"] = second.to_dict()
        return {**self.answer.prediction.to_dict(), "explanations": explanations}


@dataclass
class Known:
    """What is known of one subject and the classes asked about, so that nothing is computed twice.

    Filled by `reports`. By a version's name its forward pass; by that and a way's key the rest.
    """

    passes: dict[str, ForwardPass] = field(default_factory=dict)
    maps: dict[tuple[str, str], Explanation] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    trust: dict[tuple[str, str], Trust] = field(default_factory=dict)


def reports(
    models: Sequence[Model],
    subject: Subject,
    question: Question = USUAL,
    known: Known | None = None,
) -> Iterator[list[Report]]:
    """A report a version, yielded anew whenever one of them knows more.

    First the answers, then the first version's first heatmap, then version by version that map with
    its verdict, then the other heatmaps with theirs where more were asked for, then the slower
    measurements. `known`: of this very subject, target and against; it grows. Raises ExplainError
    for unknown ways, or classes that no version has.
    """
    known = Known() if known is None else known
    check_classes(models, question)
    ready = all_at_once(lambda model: _answered(model, subject, known), models)
    yield list(ready)
    ready[0] = _mapped(ready[0], question, known, 1)
    yield list(ready)
    yield from _each(ready, lambda report: _explained(report, question, known, 1))
    if any(len(find_ways(model, question.ways)) > 1 for model in models):
        yield from _each(ready, lambda report: _explained(report, question, known))
    yield from _each(ready, lambda report: _tested(report, subject, known))


def _each(ready: list[Report], work: Callable[[Report], Report]) -> Iterator[list[Report]]:
    """Work on every report, versions at once; `ready` anew whenever one of them is done."""
    for index, report in enumerate(at_once(work, list(ready))):
        ready[index] = report
        yield list(ready)


def with_second_opinions(report: Report) -> Report:
    """The report with another test of each of its heatmaps; takes seconds."""
    found = second_opinions(report.forward, report.answer.explanations)
    return replace(report, second=tuple(found))


def check_classes(models: Sequence[Model], question: Question) -> None:
    """Raise ExplainError for a class that none of the versions has."""
    fitting = [m for m in models if known_to(m.task, question) == question] or models[-1:]
    question.check(fitting[0].task)


def _answered(model: Model, subject: Subject, known: Known) -> Report:
    if model.name not in known.passes:
        known.passes[model.name] = forward_pass(model, [subject.seen_by(model)])
    forward = known.passes[model.name]
    return Report(forward, Answer(forward.predictions()[0], ()))


def _mapped(report: Report, question: Question, known: Known, count: int | None = None) -> Report:
    """The report with its heatmaps, of the first `count` ways or of all; verdicts if known."""
    model, forward = report.model, report.forward
    ways = {(model.name, way.key): way for way in find_ways(model, question.ways)[:count]}
    fresh = {key: way for key, way in ways.items() if key not in known.maps}
    if fresh:
        found = explain_pass(forward, list(fresh.values()), known_to(model.task, question))[0]
        known.maps.update(zip(fresh, found, strict=True))
    answer = replace(report.answer, explanations=tuple(known.maps[key] for key in ways))
    tested = ways.keys() <= known.verdicts.keys()
    verdicts = tuple(known.verdicts[key] for key in ways) if tested else ()
    return replace(report, answer=answer, ways=tuple(ways.values()), verdicts=verdicts)


def _explained(
    report: Report, question: Question, known: Known, count: int | None = None
) -> Report:
    """The same with the maps' verdicts."""
    report = _mapped(report, question, known, count)
    found = _of_each(report, known.verdicts, partial(blur_verdicts, report.forward))
    return replace(report, verdicts=found)


def _tested(report: Report, subject: Subject, known: Known) -> Report:
    test = partial(measure_trust, report.forward, landmarks=subject.landmarks)
    return replace(report, trust=_of_each(report, known.trust, test))


def _of_each(
    report: Report,
    known: dict[tuple[str, str], Found],
    find: Callable[[list[Explanation]], list[Found]],
) -> tuple[Found, ...]:
    """What is known of each of the report's explanations; `find` finds what is not."""
    keys = [(report.model.name, way.key) for way in report.ways]
    pairs = zip(keys, report.answer.explanations, strict=True)
    fresh = {key: explanation for key, explanation in pairs if key not in known}
    if fresh:
        known.update(zip(fresh, find(list(fresh.values())), strict=True))
    return tuple(known[key] for key in keys)
