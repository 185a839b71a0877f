"""The pictures of a data split on which two versions disagree; answered once for all visitors.

These are the data's pictures and no visitor's. Only answers are held, no pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from ..dataset.data import Picture, read_crop
from ..explaining.draw import CLASS_TITLES
from ..networks.answer import MaskModel
from ..networks.model import CLASSES

BATCH = 16


class SplitAnswers:
    """Every version's answers to some pictures, found when they are first asked for.

    Several visitors may ask at once: each one's asking carries the same work on.
    """

    def __init__(self, models: Sequence[MaskModel], pictures: Sequence[Picture]) -> None:
        self.models = tuple(models)
        self.pictures = tuple(pictures)
        self._answers: dict[str, list[int]] = {model.name: [] for model in models}
        self._done = 0
        self._lock = Lock()

    def advance(self) -> Iterator[int]:
        """Answer what is not answered yet; yields how many are. Raises DataError."""
        while self._done < len(self.pictures):
            with self._lock:
                self._answer_batch()
            yield self._done

    def _answer_batch(self) -> None:
        batch = self.pictures[self._done : self._done + BATCH]
        crops = [read_crop(picture.file) for picture in batch]
        answers = {model.name: model.predict(crops) for model in self.models}
        for name, predictions in answers.items():
            self._answers[name] += [CLASSES.index(p.label) for p in predictions]
        self._done += len(batch)

    @property
    def complete(self) -> bool:
        """Whether every picture has been answered."""
        return self._done == len(self.pictures)

    def disagreed(self, number: int) -> bool:
        """Whether this is a picture's number on which any two versions disagree."""
        known = self.complete and 0 <= number < len(self.pictures)
        return known and len({answers[number] for answers in self._answers.values()}) > 1

    def answers_to(self, number: int) -> dict[str, str]:
        """Every version's answer (a class) to a picture that has been answered."""
        return {name: CLASSES[answers[number]] for name, answers in self._answers.items()}

    def between(self, first: str, second: str, unaugmented: bool = False) -> list["Disagreement"]:
        """The pictures on which two versions (names) disagree, in the data's order."""
        pairs = zip(self.pictures, self._answers[first], self._answers[second], strict=True)
        return [
            Disagreement(number, picture.label, one, other)
            for number, (picture, one, other) in enumerate(pairs)
            if one != other and not (unaugmented and picture.augmented)
        ]


@dataclass(frozen=True)
class Disagreement:
    """A picture (its number in the split), its true class and two versions' answers (indices)."""

    number: int
    truth: int
    first: int
    second: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """True class, what the first says, what the second says."""
        return self.truth, self.first, self.second


def kind_key(kind: tuple[int, int, int]) -> str:
    """A kind as text, for a control's value."""
    return "-".join(map(str, kind))


def kinds(found: Sequence[Disagreement], first: str, second: str) -> list[tuple[str, str]]:
    """The kinds of disagreement with their counts, most frequent first: (in words, its key)."""
    counted = Counter(one.kind for one in found).most_common()
    return [
        (
            f"{CLASS_TITLES[CLASSES[truth]]} in truth; {first}: {CLASS_TITLES[CLASSES[one]]}, "
            f"{second}: {CLASS_TITLES[CLASSES[other]]} ({count})",
            kind_key((truth, one, other)),
        )
        for (truth, one, other), count in counted
    ]


@dataclass(frozen=True)
class Tally:
    """Of some disagreements, how many the first and the second version got right, and neither."""

    total: int
    first: int
    second: int

    @property
    def neither(self) -> int:
        return self.total - self.first - self.second


def tally(found: Sequence[Disagreement], truth: int | None = None) -> Tally:
    """The count, of all or of those of one true class (its index)."""
    some = [one for one in found if truth in (None, one.truth)]
    first, second = (sum(getattr(d, w) == d.truth for d in some) for w in ("first", "second"))
    return Tally(len(some), first, second)


def tally_sentences(found: Sequence[Disagreement], first: str, second: str) -> list[str]:
    """The counts in words: all, then class by class."""
    lines = [("Of all", tally(found))]
    lines += [(f"{CLASS_TITLES[n]} in truth", tally(found, i)) for i, n in enumerate(CLASSES)]
    return [
        f"{what} {t.total}: {first} right {t.first}, {second} right {t.second}, "
        f"neither {t.neither}."
        for what, t in lines
        if t.total
    ]
