"""evaluate, report, results: versions, face finding and heatmaps measured, and what shows it."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ..data.folder import (
    Picture,
    Progress,
    csv_beside,
    decoded_once,
    default_split,
    list_pictures,
    read_crop,
    select,
)
from ..data.samples import evenly
from ..data.survey import readable, tell_of_two_splits
from ..errors import UserError
from ..files import check_writable, write_json, write_text
from ..models import checkpoints
from ..models.checkpoints import find_version, list_versions
from ..models.results import Results
from ..models.version import Model, open_model, open_models
from ..results.compare import compare_on, comparison_markdown, store_comparison
from ..results.explanations import score_explanations
from ..results.scenes import HELD_OUT, answer_scenes, evaluate_scenes
from ..results.scores import COST_FACES, evaluate, evaluate_folders, measure_cost
from ..results.tables import (
    REFERENCE,
    cost_text,
    evaluation_text,
    explanations_markdown,
    found_answers_text,
    results_markdown,
    scenes_text,
)
from ..task import task_of_classes
from ..web.report import measure_report, report_html
from ..words import counted, listed, printable
from . import add_class_map, add_device
from .folders import Remarks, add_folder_options, bar, listed_pictures, own_classes

DATA_HELP = (
    "image folder of face crops, or of whole pictures; may be repeated: the first one is scored in "
    "full, the others in short"
)
SPLIT_HELP = "default: test where the data have splits, else all"
CSV_HELP = "default: DIR.csv beside DIR, if it is there"
SPLITS = ("train", "val", "test", "all")
KNOWN = "the test pictures of the groups are partly known to it, and the scores inflated"
SCENES_HELP = "folder with scenes/ and scenes.csv; with --model: its answers to the faces found"


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a version, or its weights file")
    parser.add_argument("--data", type=Path, action="append", help=DATA_HELP)
    parser.add_argument("--scenes", type=Path, help=SCENES_HELP)
    parser.add_argument("--explanations", action="store_true", help="score the heatmaps instead")
    parser.add_argument(
        "--faces", type=_positive, default=200, help="how many of them (default: 200)"
    )
    parser.add_argument(
        "--random",
        type=_positive,
        default=24,
        help="on how many of them weights are drawn at random (default: 24)",
    )
    parser.add_argument("--store", action="store_true", help="keep them in the version's JSON, too")
    parser.add_argument("--csv", type=Path, action="append", help=CSV_HELP)
    add_folder_options(parser)
    scenes = f"{SPLIT_HELP}; of scenes val and test"
    parser.add_argument("--split", choices=SPLITS, help=scenes)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    add_device(parser)
    parser.set_defaults(run=evaluate_command)


def add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="image folder")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME", help="two or more")
    parser.add_argument("--faces", type=_positive, default=200, help="how many (default: 200)")
    add_class_map(parser)
    parser.add_argument("--store", action="store_true", help="keep them for the page, too")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    add_device(parser)
    parser.set_defaults(run=compare_command)


@decoded_once()
def compare_command(args: argparse.Namespace) -> None:
    """Answer the test pictures of a folder by several versions, and print who is right."""
    if len(args.models) < 2:
        raise UserError("--models needs two or more versions.")
    _check_out(args.json)
    models, class_map = open_models(args.models, args.device), dict(args.class_map)
    task = task_of_classes(own_classes(args.data, class_map))
    strangers = [model.name for model in models if not {*model.task.names} & {*task.names}]
    if strangers:
        raise UserError(
            f"{listed(strangers)} cannot answer any class of {args.data}, {', '.join(task.names)}: "
            "compare versions of these classes, or give --class-map OLD=NEW."
        )
    remarks = Remarks()
    pictures = list_pictures(args.data, csv_beside(args.data), task, class_map, remarks)
    split = _split(models, args.data, pictures, remarks)
    chosen = evenly(select(pictures, split), args.faces)
    found = compare_on(models, chosen, task.names, bar("pictures"))
    print(comparison_markdown(found))
    if args.store:
        name = printable(args.data.resolve().name)
        store_comparison(found, name, split, args.models, checkpoints.FOLDER)
    if args.json:
        write_json(args.json, asdict(found))


def _split(
    models: Sequence[Model],
    folder: Path,
    pictures: Sequence[Picture],
    remarks: Remarks,
    asked: str | None = None,
) -> str:
    """What to score: what was asked for; else what no version was fitted on, as far as they say."""
    name = printable(folder.resolve().name)
    used = {model.name: model.results.data for model in models if model.results.data}
    trained = {version: data for version, data in used.items() if name in data.folders}
    at_random = [version for version, data in trained.items() if data.at_random]
    if at_random:
        remarks(f"{listed(at_random)} learned from a random split of {name}: {KNOWN}")
    if asked:
        return asked
    fitted = {unsure.folder for m in models if (unsure := m.results.unsure)}
    return "test" if trained or name in fitted else default_split(folder, pictures)


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", action="append", help="default: all; may be repeated")
    parser.add_argument("--explanations", action="store_true", help="of the heatmaps instead")
    parser.set_defaults(run=results_command)


def _check_out(file: Path | None) -> None:
    """Raise UserError, before the work, where its results could not be written."""
    if file:
        check_writable(file)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of pictures: give 1 or more")
    return int(text)


@decoded_once()
def evaluate_command(args: argparse.Namespace) -> int:
    """Score one version on face crops or on scenes, or face finding on scenes."""
    if bool(args.scenes) == bool(args.data) or (args.data and not args.model):
        raise UserError("evaluate needs --model NAME with --data DIR, or --scenes DIR.")
    if args.store and args.device != "cpu":
        raise UserError(
            "--store keeps what a CPU gives, times too: leave out --device, or --store."
        )
    _check_out(args.json)
    if args.scenes:
        return _answer_scenes(args) if args.model else _evaluate_scenes(args)
    model = open_model(args.model, args.device)
    remarks, show = Remarks(), bar("pictures")
    folders = listed_pictures(args, model.task, remarks)
    split = _split([model], args.data[0], folders[0], remarks, args.split)
    tell_of_two_splits([picture for part in folders for picture in part], remarks)
    chosen = [select(pictures, split) for pictures in folders]
    pictures, *others = (readable(part, args.skip, remarks, bar("check")) for part in chosen)
    if args.explanations:
        for_mean = [p for listed in folders for p in listed if p.split == "val" != split]
        return _evaluate_explanations(args, model, pictures, for_mean, show)
    others_there = {REFERENCE} & set(list_versions()) - {model.name}
    timed = [model, *(open_model(name, args.device) for name in others_there)]
    evaluation = _scored(model, pictures, dict(zip(_names(args)[1:], others, strict=True)), show)
    crops = [read_crop(p.file) for p in evenly(pictures, COST_FACES)]
    cost = measure_cost(find_version(args.model), timed, crops)
    evaluation = evaluation.including(Results(cost=cost))
    figures = evaluation.model_dump(mode="json", exclude_unset=True)
    _keep(args, model, figures, evaluation.including(Results(split=split)))
    print(evaluation_text(model.name, model.task, evaluation.including(Results(split=split))))
    print(cost_text(model.name, cost))
    return 0


def _names(args: argparse.Namespace) -> list[str]:
    """What the folders of --data are called."""
    return [printable(path.resolve().name) for path in args.data]


def _scored(
    model: Model, pictures: Sequence[Picture], more: dict[str, list[Picture]], show: Progress
) -> Results:
    """A version's scores on pictures in full, and on those of more folders in short."""
    calibrated = (model.temperature, model.unsure_below)
    evaluation = evaluate(model.network, model.task, pictures, show, *calibrated)
    short = evaluate_folders(model.network, model.task, more, show, *calibrated)
    return evaluation.including(Results(others=short)) if short else evaluation


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a version, or its weights file")
    parser.add_argument("--data", type=Path, action="append", required=True, help=DATA_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME_report.html here")
    parser.add_argument("--csv", type=Path, action="append", help=CSV_HELP)
    add_folder_options(parser)
    parser.add_argument("--split", choices=SPLITS, help=SPLIT_HELP)
    parser.add_argument("--faces", type=_positive, help="of each folder; default: all")
    add_device(parser)
    parser.set_defaults(run=report_command)


@decoded_once()
def report_command(args: argparse.Namespace) -> None:
    """Measure a version on face crops, and write all of it as one HTML page."""
    model = open_model(args.name, args.device)
    out = args.out or Path(f"{model.name}_report.html")
    check_writable(out)
    remarks, check, show = Remarks(), bar("check"), bar("pictures")
    folders = listed_pictures(args, model.task, remarks)
    split = _split([model], args.data[0], folders[0], remarks, args.split)
    most = args.faces or max(map(len, folders))
    chosen = [evenly(select(part, split), most) for part in folders]
    plain = [evenly([p for p in part if not p.augmented], most) for part in folders]
    first, *others = (readable(part, args.skip, remarks, check) for part in chosen)
    labelled = [p for part in plain for p in readable(part, args.skip, remarks, check)]
    scored = _scored(model, first, dict(zip(_names(args)[1:], others, strict=True)), show)
    # What was stored of other pictures has no place on this page.
    gone = Results(others=None, painted=None, street=None)
    model.results = model.results.including(gone).including(scored)
    tested = [picture for part in (first, *others) for picture in part]
    report = measure_report(model, listed(_names(args)), split, tested, labelled, show)
    write_text(out, report_html(report))
    wrong = counted(report.errors, "wrong answer", "wrong answers")
    print(f"{out}: {len(tested)} pictures, {wrong}")


def _evaluate_explanations(
    args: argparse.Namespace,
    model: Model,
    pictures: Sequence[Picture],
    for_mean: Sequence[Picture],
    show: Progress,
) -> int:
    torch.set_num_threads(1)  # as the page is served: the times are compared
    scores = score_explanations(
        model, pictures, args.faces, args.random, progress=show, for_mean=for_mean
    )
    _keep(args, model, asdict(scores), Results(explanations=scores))
    model.results = model.results.including(Results(explanations=scores))
    print(explanations_markdown([model]))
    return 0


def _keep(args: argparse.Namespace, model: Model, figures: dict, part: Results) -> None:
    """Write the figures to --json, and with --store `part` into the version's JSON."""
    if args.json:
        write_json(args.json, {"model": model.name, **figures})
    if args.store:
        checkpoints.add_results(args.model, part)


def _answer_scenes(args: argparse.Namespace) -> int:
    if args.explanations:
        raise UserError("--explanations needs face crops: give --data in place of --scenes.")
    if args.store and args.split:
        raise UserError("--store keeps the answers to val and test: leave out --split, or --store.")
    model = open_model(args.model, args.device)
    show = bar("scenes")
    splits = (args.split,) if args.split else HELD_OUT
    result = answer_scenes(model, args.scenes, splits, show)
    _keep(args, model, asdict(result), Results(street=result))
    print(found_answers_text(model.name, result))
    return 0


def _evaluate_scenes(args: argparse.Namespace) -> int:
    show = bar("scenes")
    if args.store or args.explanations:
        raise UserError("--store and --explanations are about a version: name one with --model.")
    result = evaluate_scenes(args.scenes, split=args.split or "all", progress=show)
    if args.json:
        write_json(args.json, result.to_dict())
    print(scenes_text(result))
    return 0 if result.reached else 1


def results_command(args: argparse.Namespace) -> None:
    """Print the stored results of versions as a Markdown table; of all that have any by default."""
    models = open_models(args.model or list_versions())

    def measured(model: Model) -> bool:
        results = model.results
        return results.explanations is not None if args.explanations else results.measured

    if not args.model:  # an imported version may have none
        models = [model for model in models if measured(model)]
    unmeasured = [model.name for model in models if not measured(model)]
    if unmeasured or not models:
        raise UserError(
            f"{listed(unmeasured) or 'No version'} was never measured: python -m maskexplain "
            f"evaluate{' --explanations' if args.explanations else ''} --store does it."
        )
    print(explanations_markdown(models) if args.explanations else results_markdown(models))
