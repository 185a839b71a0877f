"""Everything about one crop, version by version, in the order in which it is ready."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from ..images.faces import Landmarks
from ..models.threads import at_once
from ..models.version import MaskModel
from .explain import Answer, Explanation, Question, answer_and_explain
from .variants import BEST, Variant, find_variants
from .verdicts import Trust, Verdict, blur_verdicts, measure_trust

FIRST_WAYS = (BEST, "grad_cam", "integrated_gradients")


@dataclass(frozen=True)
class Asked:
    """What a person asks: which class, against which other one, explained in which ways.

    `target`, `against`: as in Question; `ways`: keys of VARIANTS, or BEST for the one that each
    version's measurements chose.
    """

    target: str | None = None
    against: str | None = None
    ways: tuple[str, ...] = FIRST_WAYS


USUAL = Asked()


@dataclass(frozen=True)
class Report:
    """One version's answer to one crop, with as much as is ready.

    `ways`, `verdicts` and `trust` belong to the answer's explanations, one by one; verdicts and
    trust are empty until they are measured.
    """

    model: MaskModel
    answer: Answer
    ways: tuple[Variant, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    trust: tuple[Trust, ...] = ()

    def to_dict(self) -> dict:
        """All but the heatmaps' values."""
        explanations: list[dict] = [e.facts() for e in self.answer.explanations]
        for facts, verdict in zip(explanations, self.verdicts, strict=False):
            facts["verdict"] = verdict.to_dict()
        for facts, trust in zip(explanations, self.trust, strict=False):
            facts.update(trust.to_dict())
        return {**self.answer.prediction.to_dict(), "explanations": explanations}


def reports(
    models: Sequence[MaskModel],
    crop: Image.Image,
    landmarks: Landmarks | None,
    asked: Asked = USUAL,
) -> Iterator[list[Report]]:
    """A report a version, yielded anew whenever one of them knows more.

    First the answers, then version by version the heatmaps with their verdicts, then the slower
    measurements. `landmarks` are in the crop's pixels. Raises ExplainError for unknown classes.
    """
    answers = at_once(lambda model: Answer(model.predict([crop])[0], ()), models)
    ready = [Report(model, answer) for model, answer in zip(models, answers, strict=True)]
    yield ready
    explained = at_once(lambda report: _explained(report, crop, asked), ready)
    for index, report in enumerate(explained):
        ready = _with(ready, index, report)
        yield ready
    for index, report in enumerate(ready):
        trust = measure_trust(report.model, crop, report.answer.explanations, landmarks)
        ready = _with(ready, index, replace(report, trust=tuple(trust)))
        yield ready


def _with(ready: list[Report], index: int, report: Report) -> list[Report]:
    return [*ready[:index], report, *ready[index + 1 :]]


def _explained(report: Report, crop: Image.Image, asked: Asked) -> Report:
    ways = find_variants(report.model, asked.ways)
    explanations = explain_ways(report.model, crop, ways, asked.target, asked.against)
    verdicts = blur_verdicts(report.model, crop, explanations)
    answer = replace(report.answer, explanations=tuple(explanations))
    return replace(report, answer=answer, ways=tuple(ways), verdicts=tuple(verdicts))


def explain_ways(
    model: MaskModel,
    crop: Image.Image,
    ways: Sequence[Variant],
    target: str | None = None,
    against: str | None = None,
) -> list[Explanation]:
    """Explain one crop in several ways; those with the same baseline share a forward pass."""
    found: dict[Variant, Explanation] = {}
    for baseline in dict.fromkeys(way.baseline for way in ways):
        same = [way for way in ways if way.baseline == baseline]
        question = Question(target, against, baseline)
        answer = answer_and_explain(model, crop, [way.method for way in same], question)
        found.update(zip(same, answer.explanations, strict=True))
    return [found[way] for way in ways]
