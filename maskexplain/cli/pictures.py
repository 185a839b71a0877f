"""predict and explain: the same work for each of many pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from ..errors import UserError
from ..explain.draw import report_files, write_report
from ..explain.explain import BEST, FIRST_WAYS, ExplainError, Question, all_ways
from ..explain.methods import METHODS
from ..explain.report import (
    Subject,
    check_classes,
    pictures_for,
    reports,
    subjects_for,
    with_second_opinions,
)
from ..files import on_one_line, write_file
from ..images.crops import NoFaceError, Subjects, remarks
from ..images.folder import PictureFile, PictureFiles
from ..images.pool import read_apart
from ..images.read import ImageError
from ..models.checkpoints import find_version, list_versions
from ..models.version import Model, open_models
from ..video.answers import ClipAnswers, answer_clip
from ..video.frames import SUFFIXES, ClipError
from . import add_device

TABLE = ".parquet"
OUT_HELP = "write all answers as a table, answers.parquet, or a clip's annotated MP4"
RAY_HELP = "the table by a Ray cluster: its address, auto for this machine's, local for a new one"
METHOD_HELP = f"may be repeated; default: {', '.join(FIRST_WAYS)}. "
# What is wrong with one picture; every other error concerns all of them and ends the run.
FAILURES = (ImageError, ClipError, NoFaceError, ExplainError)


@dataclass(frozen=True)
class Outcome:
    """What one picture gave: lines to read, and the same as facts for --json."""

    lines: Sequence[str]
    facts: dict


def one_by_one(
    files: PictureFiles, work: Callable[[PictureFile], Outcome], as_json: bool = False
) -> int:
    """Do the work for each file and print its outcome at once; returns how many failed.

    A failing picture gets the line `PATH, failed, sentence` (tabs between), or, as JSON,
    `{"file", "error"}`. The progress bar is drawn on stderr, and only where that is a terminal.
    """
    failed = 0
    with tqdm(files, unit="picture", disable=None if len(files) > 1 else True) as bar:
        for file in bar:
            try:
                outcome = work(file)
            except FAILURES as error:
                failed += 1
                told = f"{on_one_line(file.path)}\tfailed\t{error}"
                outcome = Outcome([told], {"error": str(error)})
            facts = {"file": str(file.path), **outcome.facts}
            for line in [json.dumps(facts)] if as_json else outcome.lines:
                bar.write(line, file=sys.stdout)
            sys.stdout.flush()
    return failed


def add_predict(parser: argparse.ArgumentParser) -> None:
    _add_shared(parser, "file (a clip, too) or folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a clip's answers as CSV")
    parser.add_argument("--ray", metavar="ADDRESS", help=RAY_HELP)
    parser.add_argument("--replace", action="store_true", help="a table that is there already")
    parser.set_defaults(run=predict_command)


def add_explain(parser: argparse.ArgumentParser) -> None:
    _add_shared(parser, "file or folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    ways, words = (BEST, *all_ways()), METHOD_HELP
    words += " ".join(f"{key}: {method.sentence}" for key, method in METHODS.items())
    parser.add_argument("--method", action="append", choices=ways, help=words)
    parser.add_argument("--target", metavar="CLASS", help="default: the predicted class")
    parser.add_argument("--against", metavar="CLASS", help="why not this class instead?")
    second = "test each heatmap in a second way, too: places filled from their edges (ROAD)"
    parser.add_argument("--second-opinion", action="store_true", help=second)
    parser.set_defaults(run=explain_command)


def _add_shared(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help=what)
    parser.add_argument("--model", action="append", help="default: the newest; may be repeated")
    parser.add_argument(
        "--whole", action="store_true", help="the picture is one face, cut out already"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a picture")
    add_device(parser)


def predict_command(args: argparse.Namespace) -> int:
    """Answer every face of every picture by every version, largest face first."""
    if args.out and args.out.suffix.lower() == TABLE:
        return _table_command(args)
    if args.ray or args.replace:
        raise UserError("--ray and --replace are for a table: add --out answers.parquet.")
    models = _open_models(args)
    files = PictureFiles(args.images)
    if args.out or args.csv:
        _check_clip(args, files, models)

    def answered(file: PictureFile) -> Outcome:
        if _is_clip(file.path):
            return _clip_outcome(models, file.path, args.out, args.csv)
        image, subjects = _subjects(models, file.path, args.whole, landmarks=False)
        answers = {m.name: m.predict(pictures_for(m, image, subjects)) for m in models}
        lines = [
            f"{on_one_line(file.path)}\t{f'face {number}' if m.task.faces else 'picture'}\t{m.name}"
            f"\t{p.label}\t{p.confidence:.1%}" + ("\tunsure" if p.unsure else "")
            for m in models
            for number, p in enumerate(answers[m.name], start=1)
        ]
        facts = {"size": image.size, **_as_dict(subjects, answers)}
        return _outcome(file, lines, facts, image, subjects)

    return _all_of(args, files, answered)


def _table_command(args: argparse.Namespace) -> int:
    """The same as one Parquet file, for any number of pictures."""
    if args.json or args.csv or any(_is_clip(path) for path in args.images if path.is_file()):
        raise UserError("A table is of pictures and takes no --json, --csv or clip: leave it out.")
    try:
        from .table import STOPPED, write_table
        from .workers import Order, here, on_ray
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise UserError("A table needs pyarrow: pip install 'maskexplain[parquet]'.") from error
    names = _names(args.model)
    weights = tuple(find_version(name) for name in names)
    order = Order(weights, tuple(args.images), args.whole, args.device)
    # A cluster's workers open the versions anew, on devices of theirs.
    models = open_models(names, "cpu" if args.ray else args.device)
    work = partial(on_ray, args.ray) if args.ray else partial(here, models)
    try:
        table = write_table(args.out, order, models, work, args.replace)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(STOPPED) from stop
    print(f"{table.path}: {table.rows:,} rows of {table.pictures:,} pictures.")
    return _told(table.failed, table.pictures)


def _check_clip(args: argparse.Namespace, files: PictureFiles, models: Sequence[Model]) -> None:
    """Refuse what --out and --csv cannot be for, before the work."""
    first = next(iter(files)).path
    if len(files) > 1 or len(models) > 1 or not _is_clip(first):
        raise UserError(
            "--out writes a table of pictures where it ends with .parquet. Else it is for one clip "
            "and one version, as --csv is: name just these."
        )
    if first.resolve() in {path.resolve() for path in (args.out, args.csv) if path}:
        raise UserError("The clip itself would be overwritten: name another file.")
    if args.out and args.out.suffix.lower() != ".mp4":
        raise UserError("--out writes an MP4: end its name with .mp4.")


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _clip_outcome(
    models: Sequence[Model], path: Path, out: Path | None, table: Path | None
) -> Outcome:
    """A clip's answers: a line for every face of every frame, and a remark if there is any."""
    with tqdm(desc=path.name, unit="s", leave=False, disable=None) as bar:

        def progress(done: float, seconds: float) -> None:
            bar.total = round(seconds, 1) or None
            bar.update(round(done, 1) - bar.n)

        clips = {model.name: answer_clip(model, path, out, progress=progress) for model in models}
    lines = [line for clip in clips.values() for line in _clip_lines(path, clip)]
    first = next(iter(clips.values()))
    if table:
        write_file(table, lambda beside: beside.write_text(first.to_csv(), encoding="utf-8"))
    remark = [f"{on_one_line(path)}\tremark\t{first.remark}"] if first.remark else []
    facts = {"size": list(first.size), "remark": first.remark or None}
    frames = {name: clip.to_dict()["frames"] for name, clip in clips.items()}
    return Outcome([*lines, *remark], {**facts, "clip": frames})


def _clip_lines(path: Path, clip: ClipAnswers) -> Iterator[str]:
    for frame in clip.frames:
        for face in frame.faces:
            which = f"face {face.number}" if clip.task.faces else "picture"
            told = [f"{frame.time:.2f} s", which, clip.version, face.shown.label]
            said = ["unsure"] * face.shown.unsure + ["lost"] * face.lost
            yield "\t".join([on_one_line(path), *told, f"{face.shown.confidence:.1%}", *said])


def _outcome(
    file: PictureFile, lines: Sequence[str], facts: dict, image: Image.Image, subjects: Subjects
) -> Outcome:
    """With what there is to know of the picture: a line more, if anything."""
    remark = remarks(image, subjects)
    told = [f"{on_one_line(file.path)}\tremark\t{remark}"] if remark else []
    known = {"remark": remark or None, "turn": subjects.turn}
    return Outcome([*lines, *told], {**facts, **known})


def _as_dict(subjects: Subjects, answers: dict) -> dict:
    return {
        "faces": [face.to_dict() for face in subjects.faces],
        "answers": {name: [p.to_dict() for p in ps] for name, ps in answers.items()},
    }


def explain_command(args: argparse.Namespace) -> int:
    """Explain the largest face: a figure as PNG, the heatmaps as .npy, all figures as JSON."""
    models = _open_models(args)
    files = PictureFiles(args.images)
    if len({file.place for file in files}) < len(files):
        raise UserError("Two pictures have the same name: explain them into different folders.")
    if args.target and args.target == args.against:
        raise UserError("A class cannot be held against itself: name another after --against.")
    question = Question(args.target, args.against, tuple(args.method or FIRST_WAYS))
    check_classes(models, question)
    if len(models) > 1:
        torch.set_num_threads(1)  # they work at once, a thread each

    def explained(file: PictureFile) -> Outcome:
        image, subjects = _subjects(models, file.path, args.whole)
        subject = Subject(subjects.images[0], subjects.landmarks[0], image)
        *_, complete = reports(models, subject, question)
        if args.second_opinion:
            complete = [with_second_opinions(report) for report in complete]
        base = args.out / file.place
        write_report(base.parent, report_files(complete, base.name))
        line = f"{on_one_line(file.path)}: {on_one_line(base)}.png, .json and the heatmaps as .npy"
        facts = {"figure": f"{base}.png", "report": f"{base}.json"}
        return _outcome(file, [line], facts, image, subjects)

    return _all_of(args, files, explained)


def _all_of(
    args: argparse.Namespace, files: PictureFiles, work: Callable[[PictureFile], Outcome]
) -> int:
    return _told(one_by_one(files, work, args.json), len(files))


def _told(failed: int, count: int) -> int:
    if failed:
        print(f"maskexplain: {failed} of {count} pictures failed.", file=sys.stderr)
    return int(failed > 0)


def _names(asked: Sequence[str] | None) -> Sequence[str]:
    return asked or list_versions()[-1:] or ["v1"]


def _open_models(args: argparse.Namespace) -> list[Model]:
    return open_models(_names(args.model), args.device)


def _subjects(
    models: Sequence[Model], path: Path, whole: bool, landmarks: bool = True
) -> tuple[Image.Image, Subjects]:
    """A picture and what is answered of it. Raises ImageError and NoFaceError."""
    try:
        image = read_apart(path)
        return image, subjects_for(models, image, whole, landmarks)
    except NoFaceError as error:
        raise NoFaceError(f"{error} (--whole)") from error
