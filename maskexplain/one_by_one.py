"""Many pictures on the command line: results as they come, and failures that stop nothing."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from .explaining.explain import ExplainError
from .finding.photo import NoFaceError
from .pictures.images import ImageError
from .pictures.picture_files import PictureFile

# What is wrong with one picture; every other error concerns all of them and ends the run.
FAILURES = (ImageError, NoFaceError, ExplainError)


@dataclass(frozen=True)
class Told:
    """What is said of one picture: lines to read, and the same as facts for --json."""

    lines: Sequence[str]
    facts: dict


def one_by_one(
    files: Sequence[PictureFile], work: Callable[[PictureFile], Told], as_json: bool = False
) -> int:
    """Do the work for each file and print what it tells, at once; returns how many failed.

    A failing picture gets the line `PATH, failed, sentence` (tabs between), or, as JSON,
    `{"file", "error"}`. The progress bar is drawn on stderr, and only where that is a terminal.
    """
    failed = 0
    with tqdm(files, unit="picture", disable=None if len(files) > 1 else True) as bar:
        for file in bar:
            try:
                told = work(file)
            except FAILURES as error:
                failed += 1
                told = Told([f"{file.path}\tfailed\t{error}"], {"error": str(error)})
            facts = {"file": str(file.path), **told.facts}
            for line in [json.dumps(facts)] if as_json else told.lines:
                bar.write(line, file=sys.stdout)
            sys.stdout.flush()
    return failed
