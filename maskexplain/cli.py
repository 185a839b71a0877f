"""The command line: python -m maskexplain predict | explain | evaluate | results | import | export.

Wrong use is one line on stderr and exit code 2. A picture that fails is told of on its own line
among the results; the others go on, and the exit code is 1.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from .data.folder import Picture, Progress, csv_beside, list_pictures, read_crop, select
from .data.samples import evenly, painted_faces
from .errors import UserError
from .exchange.exporting import FORMATS, export_version
from .exchange.importing import import_version
from .explain.explain import ExplainError
from .explain.figure import report_files, write_report
from .explain.report import FIRST_WAYS, Asked, reports
from .explain.variants import BEST, VARIANTS, measured_explanations
from .files import write_json
from .images.crops import NoFaceError, Subjects, find_subjects
from .images.folder import PictureFile, picture_files
from .images.read import ImageError, read_image
from .models.checkpoints import FOLDER, add_results, find_version, list_versions
from .models.network import CLASSES
from .models.version import MaskModel, open_model, open_models
from .results.evaluate import COST_FACES as COST_FACES
from .results.evaluate import evaluate, measure_cost
from .results.explanations import score_explanations
from .results.scenes import HELD_OUT, answer_scenes, evaluate_scenes
from .results.tables import (
    REFERENCE,
    cost_text,
    evaluation_text,
    explanations_markdown,
    found_answers_text,
    is_measured,
    results_markdown,
    scenes_text,
)
from .words import listed

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


METHOD_HELP = f"may be repeated; default: {', '.join(FIRST_WAYS)}"
FACES = 200  # to compare an exported network on, and to try an imported one with
SPLIT_HELP = "default: test with a CSV, all without; for answers on scenes val and test"
SCENES_HELP = "folder with scenes/ and scenes.csv; with --model: its answers to the faces found"


def predict_command(args: argparse.Namespace) -> int:
    """Answer every face of every picture by every version, largest face first."""
    models = _open_models(args.model)

    def answered(file: PictureFile) -> Told:
        size, subjects = _subjects(file.path, args.whole, landmarks=False)
        answers = {m.name: m.predict(subjects.images) for m in models}
        lines = [
            f"{file.path}\tface {number}\t{name}\t{p.label}\t{p.confidence:.1%}"
            + ("\tunsure" if p.unsure else "")
            for name, predictions in answers.items()
            for number, p in enumerate(predictions, start=1)
        ]
        return Told(lines, {"size": size, **_as_dict(subjects, answers)})

    return _all_of(args, picture_files(args.images), answered)


def _as_dict(subjects: Subjects, answers: dict) -> dict:
    return {
        "faces": [face.to_dict() for face in subjects.faces],
        "answers": {name: [p.to_dict() for p in ps] for name, ps in answers.items()},
    }


def explain_command(args: argparse.Namespace) -> int:
    """Explain the largest face: a figure as PNG, the heatmaps as .npy, all figures as JSON."""
    models = _open_models(args.model)
    files = picture_files(args.images)
    if len({file.place for file in files}) < len(files):
        raise UserError("Two pictures have the same name: explain them into different folders.")
    if args.target and args.target == args.against:
        raise UserError("A class cannot be held against itself: name another after --against.")
    asked = Asked(args.target, args.against, tuple(args.method or FIRST_WAYS))
    if len(models) > 1:
        torch.set_num_threads(1)  # they work at once, a thread each

    def explained(file: PictureFile) -> Told:
        subjects = _subjects(file.path, args.whole)[1]
        crop = subjects.images[0]
        *_, complete = reports(models, crop, subjects.landmarks[0], asked)
        base = args.out / file.place
        write_report(base.parent, report_files(crop, complete, base.name))
        line = f"{file.path}: {base}.png, .json and the heatmaps as .npy"
        return Told([line], {"figure": f"{base}.png", "report": f"{base}.json"})

    return _all_of(args, files, explained)


def _all_of(
    args: argparse.Namespace, files: Sequence[PictureFile], work: Callable[[PictureFile], Told]
) -> int:
    failed = one_by_one(files, work, args.json)
    if failed:
        print(f"maskexplain: {failed} of {len(files)} pictures failed.", file=sys.stderr)
    return int(failed > 0)


def evaluate_command(args: argparse.Namespace) -> int:
    """Score one version on face crops or on scenes, or face finding on scenes."""
    if bool(args.scenes) == bool(args.data) or (args.data and not args.model):
        raise UserError("evaluate needs --model NAME with --data DIR, or --scenes DIR.")
    if args.scenes:
        return _answer_scenes(args) if args.model else _evaluate_scenes(args)
    model = open_model(args.model)
    csv_file = args.csv or csv_beside(args.data)
    # Without a CSV the pictures are somebody's own test set: all of them count.
    split = args.split or ("test" if csv_file else "all")
    pictures = select(list_pictures(args.data, csv_file), split)
    bar = _bar("pictures")
    if args.explanations:
        return _evaluate_explanations(args, model, pictures, bar)
    timed = [model, *(open_model(n) for n in {REFERENCE} & set(list_versions()) - {model.name})]
    evaluation = evaluate(model.network, pictures, bar, model.temperature, model.unsure_below)
    crops = [read_crop(p.file) for p in evenly(pictures, COST_FACES)]
    cost = measure_cost(find_version(args.model), timed, crops)
    figures = {**evaluation.to_dict(), "cost": cost.to_dict()}
    _keep(args, model, figures, {"split": split, **figures})
    print(evaluation_text(model.name, evaluation), cost_text(model.name, cost), sep="\n")
    return 0


def _evaluate_explanations(
    args: argparse.Namespace, model: MaskModel, pictures: Sequence[Picture], bar: Progress
) -> int:
    torch.set_num_threads(1)  # as the page is served: the times are compared
    scores = score_explanations(model, pictures, args.faces, progress=bar).to_dict()
    _keep(args, model, scores, {"explanations": scores})
    print(explanations_markdown({model.name: scores}))
    return 0


def _bar(what: str) -> Progress:
    return partial(tqdm, desc=what, unit="picture", leave=False, disable=None)


def _keep(args: argparse.Namespace, model: MaskModel, figures: dict, part: dict) -> None:
    """Write the figures to --json, and with --store `part` into the version's JSON."""
    if args.json:
        write_json(args.json, {"model": model.name, **figures})
    if args.store:
        add_results(args.model, part)


def _answer_scenes(args: argparse.Namespace) -> int:
    if args.explanations:
        raise UserError("--explanations needs face crops: give --data in place of --scenes.")
    if args.store and args.split:
        raise UserError("--store keeps the answers to val and test: leave out --split, or --store.")
    model = open_model(args.model)
    bar = _bar("scenes")
    splits = (args.split,) if args.split else HELD_OUT
    result = answer_scenes(model, args.scenes, splits, bar)
    _keep(args, model, result.to_dict(), {"street": result.to_dict()})
    print(found_answers_text(model.name, result))
    return 0


def _evaluate_scenes(args: argparse.Namespace) -> int:
    bar = _bar("scenes")
    if args.store or args.explanations:
        raise UserError("--store and --explanations are about a version: name one with --model.")
    result = evaluate_scenes(args.scenes, split=args.split or "all", progress=bar)
    if args.json:
        write_json(args.json, result.to_dict())
    print(scenes_text(result))
    return 0 if result.reached else 1


def results_command(args: argparse.Namespace) -> None:
    """Print the stored results of versions as a Markdown table; of all that have any by default."""
    results = {model.name: model.results for model in _open_models(args.model or list_versions())}
    measured = measured_explanations if args.explanations else is_measured
    if not args.model:  # an imported version may have none
        results = {name: content for name, content in results.items() if measured(content)}
    unmeasured = [name for name, content in results.items() if not measured(content)]
    if unmeasured or not results:
        raise UserError(
            f"{listed(unmeasured) or 'No version'} was never measured: python -m maskexplain "
            f"evaluate{' --explanations' if args.explanations else ''} --store does it."
        )
    if args.explanations:
        print(explanations_markdown({n: measured_explanations(r) for n, r in results.items()}))
    else:
        print(results_markdown(results))


def import_command(args: argparse.Namespace) -> None:
    """Make a version of somebody else's file, and say what could be checked."""
    labelled = _labelled(args.data, FACES) if args.data else []
    done = import_version(args.file, args.name, args.classes, args.replace, labelled, args.folder)
    print(f"{done.path}: network {done.network}, classes {', '.join(done.classes)}")
    if done.fit:
        print(f"{done.fit.balanced_accuracy:.1%} balanced accuracy on {len(labelled)} faces")
    elif not done.told:
        print(
            "The file does not say the order of its classes; the alphabetical one is assumed. "
            "--data DIR finds out with labelled faces, --classes A B C gives another."
        )


def _labelled(folder: Path, count: int) -> list[Picture]:
    """Labelled faces of a data folder, evenly from its test split (without a CSV: from all)."""
    csv_file = csv_beside(folder)
    return evenly(select(list_pictures(folder, csv_file), "test" if csv_file else "all"), count)


def export_command(args: argparse.Namespace) -> None:
    """Write a version as TorchScript or ONNX, compared with the version on 200 faces."""
    if args.data:
        crops, what = [read_crop(p.file) for p in _labelled(args.data, FACES)], "real faces"
    else:
        crops, what = painted_faces(FACES), "painted faces (--data DIR takes real ones)"
    done = export_version(args.name, args.format, args.out, crops)
    print(f"{done.path}: largest logit difference {done.difference:.2g} on {done.faces} {what}")


def _open_models(names: Sequence[str] | None) -> list[MaskModel]:
    return open_models(names or list_versions()[-1:] or ["v1"])


def _subjects(path: Path, whole: bool, landmarks: bool = True) -> tuple[tuple[int, int], Subjects]:
    """The size that a picture is read at, and its faces. Raises ImageError and NoFaceError."""
    try:
        image = read_image(path)
        return image.size, find_subjects(image, whole, landmarks)
    except NoFaceError as error:
        raise NoFaceError(f"{error} (--whole)") from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of faces: give 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m maskexplain")
    commands = parser.add_subparsers(required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="file or folder")
    shared.add_argument("--model", action="append", help="default: the newest; may be repeated")
    shared.add_argument("--whole", action="store_true", help="the picture is a face crop already")
    shared.add_argument("--json", action="store_true", help="one JSON line a picture")

    predict = commands.add_parser("predict", parents=[shared], help="answer pictures")
    predict.set_defaults(run=predict_command)

    explain = commands.add_parser("explain", parents=[shared], help="figures and heatmaps")
    explain.add_argument("--out", type=Path, required=True, help="folder for the results")
    explain.add_argument("--method", action="append", choices=(BEST, *VARIANTS), help=METHOD_HELP)
    explain.add_argument("--target", choices=CLASSES, help="default: the predicted class")
    explain.add_argument("--against", choices=CLASSES, help="why not this class instead?")
    explain.set_defaults(run=explain_command)

    score = commands.add_parser("evaluate", help="score a version, or face finding")
    score.add_argument("--model")
    score.add_argument("--data", type=Path, help="image folder of face crops; no face finding")
    score.add_argument("--scenes", type=Path, help=SCENES_HELP)
    score.add_argument("--explanations", action="store_true", help="score the heatmaps instead")
    score.add_argument(
        "--faces", type=_positive, default=200, help="how many of them (default: 200)"
    )
    score.add_argument("--store", action="store_true", help="keep them in the version's JSON, too")
    score.add_argument("--csv", type=Path, help="default: DIR.csv beside DIR, if it is there")
    score.add_argument("--split", choices=("train", "val", "test", "all"), help=SPLIT_HELP)
    score.add_argument("--json", type=Path, help="write the figures there, too")
    score.set_defaults(run=evaluate_command)

    results = commands.add_parser("results", help="stored results as a Markdown table")
    results.add_argument("--model", action="append", help="default: all; may be repeated")
    results.add_argument("--explanations", action="store_true", help="of the heatmaps instead")
    results.set_defaults(run=results_command)
    _add_exchange(commands)
    return parser


def _add_exchange(commands: argparse._SubParsersAction) -> None:
    into = commands.add_parser("import", help="somebody else's weights as a version")
    into.add_argument("file", type=Path, help="TorchScript, state dict or safetensors")
    into.add_argument("--as", dest="name", required=True, metavar="NAME")
    into.add_argument("--classes", nargs=3, metavar="CLASS", help="the order of its outputs")
    into.add_argument(
        "--data", type=Path, help="image folder that tells whether the order is right"
    )
    into.add_argument("--replace", action="store_true", help="in place of a version of that name")
    into.add_argument("--folder", type=Path, default=FOLDER, help="default: checkpoints/")
    into.set_defaults(run=import_command)

    out = commands.add_parser("export", help="a version as TorchScript or ONNX")
    out.add_argument("name", metavar="NAME")
    out.add_argument("--format", required=True, choices=FORMATS)
    out.add_argument("--out", type=Path, required=True, metavar="FILE")
    out.add_argument("--data", type=Path, help="image folder to compare on; default: painted faces")
    out.set_defaults(run=export_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except UserError as error:
        print(f"maskexplain: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskexplain: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the results has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
