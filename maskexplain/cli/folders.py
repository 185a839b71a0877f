"""What the commands that read data folders share: their options, and what is said of a folder."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tqdm import tqdm

from ..data.folder import Progress
from ..data.survey import some
from ..words import listed

MAP_HELP = "a folder's or CSV's name for a class: no_mask=without_mask; may be repeated"
SKIP_HELP = "go on without pictures that cannot be read, or that lie in two splits or classes"


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--class-map", type=_pair, action="append", default=[], metavar="OLD=NEW", help=MAP_HELP
    )
    parser.add_argument("--skip", action="store_true", help=SKIP_HELP)


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (sign and old.strip() and new.strip()):
        raise argparse.ArgumentTypeError(f"{text} is no OLD=NEW: no_mask=without_mask")
    return old.strip(), new.strip()


@dataclass
class Remarks:
    """Says what is left out of the data, on stderr: the first names each. All are kept."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, sentence: str, names: Sequence[object] = ()) -> None:
        self.lines.append(": ".join(filter(None, (sentence, listed([*map(str, names)])))) + ".")
        print(": ".join(filter(None, (sentence, some(names)))) + ".", file=sys.stderr)


def bar(what: str, unit: str = "picture") -> Progress:
    """A progress bar on stderr where that is a terminal, gone when it ends."""
    return partial(tqdm, desc=what, unit=unit, leave=False, disable=None)
