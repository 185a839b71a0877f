"""The command line: python -m maskexplain predict | explain | evaluate | results.

Bad input is one line on stderr and exit code 2.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from .answer import MaskModel, open_model
from .checkpoints import add_results, list_versions
from .data import Picture, Progress, csv_beside, list_pictures, select
from .errors import UserError
from .evaluate import evaluate
from .explanation_scores import score_explanations
from .export import report_files, write_report
from .files import write_json
from .images import ImageError, read_image
from .model import CLASSES
from .photo import NoFaceError, Subjects, find_subjects
from .report import FIRST_WAYS, Asked, reports
from .scenes import evaluate_scenes
from .tables import evaluation_text, explanations_markdown, results_markdown, scenes_text
from .variants import BEST, VARIANTS, measured_explanations

METHOD_HELP = f"may be repeated; default: {', '.join(FIRST_WAYS)}"
SPLIT_HELP = "default: test with a CSV, all without"


def predict_command(args: argparse.Namespace) -> None:
    """Answer every face of every picture by every version, largest face first."""
    models = _open_models(args.model)
    for path in args.images:
        size, subjects = _subjects(path, args.whole)
        answers = {m.name: m.predict(subjects.images) for m in models}
        if args.json:
            line = {"file": str(path), "size": size, **_as_dict(subjects, answers)}
            print(json.dumps(line), flush=True)
            continue
        for name, predictions in answers.items():
            for number, p in enumerate(predictions, start=1):
                print(f"{path}\tface {number}\t{name}\t{p.label}\t{p.confidence:.1%}", flush=True)


def _as_dict(subjects: Subjects, answers: dict) -> dict:
    return {
        "faces": [face.to_dict() for face in subjects.faces],
        "answers": {name: [p.to_dict() for p in ps] for name, ps in answers.items()},
    }


def explain_command(args: argparse.Namespace) -> None:
    """Explain the largest face: a figure as PNG, the heatmaps as .npy, all figures as JSON."""
    models = _open_models(args.model)
    if len({path.stem for path in args.images}) < len(args.images):
        raise UserError("Two pictures have the same name: explain them into different folders.")
    asked = Asked(args.target, args.against, tuple(args.method or FIRST_WAYS))
    for path in args.images:
        subjects = _subjects(path, args.whole)[1]
        crop = subjects.images[0]
        *_, complete = reports(models, crop, subjects.landmarks[0], asked)
        write_report(args.out, report_files(crop, complete, path.stem))
        print(f"{path}: {args.out / path.stem}.png, .json and the heatmaps as .npy", flush=True)


def evaluate_command(args: argparse.Namespace) -> int:
    """Score one version on an image folder of crops, or face finding on scenes."""
    if args.scenes:
        return _evaluate_scenes(args)
    if not args.model or not args.data:
        raise UserError("evaluate needs --model NAME with --data DIR, or --scenes DIR.")
    model = open_model(args.model)
    csv_file = args.csv or csv_beside(args.data)
    # Without a CSV the pictures are somebody's own test set: all of them count.
    split = args.split or ("test" if csv_file else "all")
    pictures = select(list_pictures(args.data, csv_file), split)
    bar = partial(tqdm, desc="pictures", unit="picture", leave=False, disable=None)
    if args.explanations:
        return _evaluate_explanations(args, model, pictures, bar)
    evaluation = evaluate(model.network, pictures, bar, model.temperature, model.unsure_below)
    if args.json:
        write_json(args.json, {"model": model.name, **evaluation.to_dict()})
    if args.store:
        add_results(args.model, {"split": split, **evaluation.to_dict()})
    print(evaluation_text(model.name, evaluation))
    return 0


def _evaluate_explanations(
    args: argparse.Namespace, model: MaskModel, pictures: Sequence[Picture], bar: Progress
) -> int:
    scores = score_explanations(model, pictures, args.faces, progress=bar).to_dict()
    if args.json:
        write_json(args.json, {"model": model.name, **scores})
    if args.store:
        add_results(args.model, {"explanations": scores})
    print(explanations_markdown([{"name": model.name, "explanations": scores}]))
    return 0


def _evaluate_scenes(args: argparse.Namespace) -> int:
    bar = partial(tqdm, desc="scenes", unit="picture", leave=False, disable=None)
    result = evaluate_scenes(args.scenes, split=args.split or "all", progress=bar)
    if args.json:
        write_json(args.json, result.to_dict())
    print(scenes_text(result))
    return 0 if result.reached else 1


def results_command(args: argparse.Namespace) -> None:
    """Print the stored results of versions as a Markdown table."""
    results = {model.name: model.results for model in _open_models(args.model or list_versions())}
    unmeasured = [name for name, content in results.items() if not content]
    if unmeasured:
        raise UserError(f"There are no results beside {', '.join(unmeasured)}: train it again.")
    if not args.explanations:
        print(results_markdown(list(results.values())))
        return
    unmeasured = [name for name, r in results.items() if not measured_explanations(r)]
    if unmeasured:
        raise UserError(
            f"The explanations of {', '.join(unmeasured)} are not measured: "
            "python -m maskexplain evaluate --explanations --store does it."
        )
    print(explanations_markdown(list(results.values())))


def _open_models(names: Sequence[str] | None) -> list[MaskModel]:
    models = [open_model(name) for name in names or list_versions()[-1:] or ["v1"]]
    if len({model.name for model in models}) < len(models):
        raise UserError("Two versions have the same name: give each once.")
    return models


def _subjects(path: Path, whole: bool) -> tuple[tuple[int, int], Subjects]:
    """The size that a picture is read at, and its faces; what is wrong names the file."""
    try:
        image = read_image(path)
        return image.size, find_subjects(image, whole)
    except NoFaceError as error:
        raise UserError(f"{path}: {error} (--whole)") from error
    except ImageError as error:
        raise UserError(f"{path}: {error}") from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of faces: give 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m maskexplain")
    commands = parser.add_subparsers(required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    shared.add_argument("--model", action="append", help="default: the newest; may be repeated")
    shared.add_argument("--whole", action="store_true", help="the picture is a face crop already")

    predict = commands.add_parser("predict", parents=[shared], help="answer pictures")
    predict.add_argument("--json", action="store_true", help="one JSON line a picture")
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
    score.add_argument("--scenes", type=Path, help="folder with scenes/ and scenes.csv")
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
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except UserError as error:
        print(f"maskexplain: {error}", file=sys.stderr)
        return 2
