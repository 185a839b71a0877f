"""What is answered: the classes of a version, in the order of its outputs, and what they look like.

A task is data. It lies in the version's weights file and is read from there by page, HTTP, plots,
training and evaluation; no other module names a class. `masks.task` defines the task of the shipped
versions, others come with the file that brings them.
"""

import colorsys
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from .errors import UserError

Meaning = Literal["good", "bad", "absent", "other"]
MIN_CLASSES, MAX_CLASSES = 2, 20
TEXT_CONTRAST = 4.5  # of white text on a class's colour (WCAG 2, AA)
GOLDEN_ANGLE = 0.381966  # of a turn: neighbouring classes get hues far apart
# Lines of the classes' curves, so that colour is not all that tells them apart (SVG dashes).
DASHES = ("none", "7 3", "2 2.5", "10 3 2 3", "4 2", "1 4")


class TaskError(UserError):
    """A list of classes that is no task, or a class that a task does not have."""


@dataclass(frozen=True)
class TaskClass:
    """One answer: its `name` in folders, files and JSON, its `title` for people, its `colour`
    (#rrggbb), and what it stands for.
    """

    name: str
    title: str
    colour: str
    stands_for: Meaning = "other"

    @property
    def deep(self) -> str:
        """The colour, darkened until white text on it can be read."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        share = 0.79
        while _contrast_with_white(red * share, green * share, blue * share) < TEXT_CONTRAST:
            share *= 0.95
        return f"#{int(red * share):02x}{int(green * share):02x}{int(blue * share):02x}"


@dataclass(frozen=True)
class Task:
    """Two to twenty classes in the order of a network's outputs.

    `faces`: whether a picture's faces are found and answered one by one; else the whole picture
    is. Raises TaskError for fewer, more or doubled classes, and for names
    that are no lines of text.

    >>> task_of_names(["cat", "dog"]).title("dog")
    'Dog'
    """

    name: str
    classes: tuple[TaskClass, ...]
    faces: bool = True
    _index: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        if not MIN_CLASSES <= len(self.classes) <= MAX_CLASSES:
            raise TaskError(
                f"A version needs {MIN_CLASSES} to {MAX_CLASSES} classes, not {len(self.classes)}."
            )
        for name in (one.name for one in self.classes):
            if not name.strip() or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", name):
                raise TaskError(f"The class name {ascii(name)} is no line of text: give another.")
        index = {one.name: position for position, one in enumerate(self.classes)}
        if len(index) < len(self.classes):
            raise TaskError("Two classes have the same name: name each once.")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    @property
    def subject(self) -> str:
        """What is answered, as a word for people."""
        return "face" if self.faces else "picture"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, in the order of the outputs."""
        return tuple(self._index)

    def index(self, name: str) -> int:
        """The place of a class among the outputs, from 0. Raises TaskError."""
        if name not in self._index:
            raise TaskError(f"There is no class {name!r}: use {', '.join(self.names)}.")
        return self._index[name]

    def title(self, name: str) -> str:
        """A class for people. Raises TaskError."""
        return self.classes[self.index(name)].title

    def colour(self, name: str) -> str:
        """A class's colour, #rrggbb. Raises TaskError."""
        return self.classes[self.index(name)].colour

    def style(self, name: str) -> str:
        """A class's look as CSS custom properties, for an element's `style`. Raises TaskError.

        A class that several known tasks have looks alike in all.
        """
        one = self.classes[self.index(name)]
        homes = (task.classes for task in (*KNOWN.values(), self) if one in task.classes)
        dash = DASHES[next(homes).index(one) % len(DASHES)]
        return f"--class:{one.colour};--deep:{one.deep};--dash:{dash}"

    def to_json(self) -> str:
        """What a weights file's header holds."""
        classes = [asdict(one) for one in self.classes]
        return json.dumps({"name": self.name, "faces": self.faces, "classes": classes})


KNOWN: dict[tuple[str, ...], Task] = {}


def register(task: Task) -> Task:
    """Make a task known by its classes, so that files which hold only their names find it."""
    KNOWN[task.names] = task
    return task


def task_from_json(text: str) -> Task:
    """The task that `Task.to_json` wrote. Raises TaskError."""
    try:
        content = json.loads(text)
        classes = tuple(TaskClass(**one) for one in content["classes"])
        for one in classes:
            int(one.colour.removeprefix("#"), 16)
        task = Task(str(content["name"]), classes, bool(content["faces"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TaskError(
            "The file's list of classes is damaged: export the version again."
        ) from error
    # A known task's titles and colours are the program's own, however old the file is.
    known = KNOWN.get(task.names)
    if known is None or known.name != task.name:
        return task
    return known if known.faces == task.faces else replace(known, faces=task.faces)


def task_of_names(names: Sequence[str], faces: bool = True) -> Task:
    """The known task with these classes in this order, or a plain one. Raises TaskError."""
    known = KNOWN.get(tuple(names))
    if known is not None:
        return known if faces else replace(known, faces=False)
    classes = (TaskClass(n, plain_title(n), palette_colour(i)) for i, n in enumerate(names))
    return Task("-".join(names)[:60], tuple(classes), faces)


def task_of_classes(names: Sequence[str]) -> Task:
    """The known task with these classes in any order, or a plain one in this order.

    Raises TaskError.
    """
    known = (task for task in KNOWN.values() if sorted(task.names) == sorted(names))
    return next(known, None) or task_of_names(names)


def plain_title(name: str) -> str:
    """A class's name as people write: "no_mask" is “No mask”."""
    words = name.replace("_", " ").replace("-", " ").split()
    title = " ".join(words) or name
    return title[:1].upper() + title[1:]


def palette_colour(index: int) -> str:
    """A colour for class number `index`: hues far apart, 3:1 and more against white and black."""
    hue = (0.56 + index * GOLDEN_ANGLE) % 1.0
    lightness = 0.7
    while True:
        rgb = tuple(255 * part for part in colorsys.hls_to_rgb(hue, lightness, 0.6))
        if _contrast_with_white(*rgb) >= 3.6:
            return "#" + "".join(f"{round(part):02x}" for part in rgb)
        lightness -= 0.02


def _contrast_with_white(red: float, green: float, blue: float) -> float:
    """The contrast ratio of WCAG 2 for a colour of 0..255 a channel."""
    linear = [
        v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4
        for v in (part / 255 for part in (red, green, blue))
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)
