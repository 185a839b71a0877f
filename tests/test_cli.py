"""The commands as a person types them: answers, files, and one line for bad input."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import frame, portraits, write_clip
from conftest import CLASSES, noise
from PIL import Image

from maskexplain import cli, crop_face, find_faces, open_model, read_image
from maskexplain.api.replies import predict_image
from maskexplain.cli import train
from maskexplain.data.samples import write_examples
from maskexplain.explain.explain import all_ways
from maskexplain.images.edit import turned

ROOT = Path(__file__).resolve().parents[1]
DOCS_PHOTOS = ("nose_out", "worn_right")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> str:
    return str(write_examples(tmp_path_factory.mktemp("examples"), whole=True)[0][0])


def test_predict_prints_a_line_a_face(version, portrait, capsys):
    assert cli.main(["predict", portrait, "--model", version]) == 0
    [line] = capsys.readouterr().out.splitlines()
    path, face, name, label, confidence = line.split("\t")
    assert (path, face, name) == (portrait, "face 1", "tiny")
    assert label in CLASSES and confidence.endswith("%")


def test_predict_marks_unsure_answers(version, portrait, capsys):
    results = {"unsure": {"threshold": 1.1}}
    Path(version).with_suffix(".json").write_text(json.dumps(results), encoding="utf-8")
    assert cli.main(["predict", portrait, "--model", version]) == 0
    assert capsys.readouterr().out.rstrip().endswith("%\tunsure")


def test_predict_json_and_whole(version, portrait, capsys):
    cli.main(["predict", portrait, portrait, "--model", version, "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second and len(first["faces"]) == 1
    [answer] = first["answers"]["tiny"]
    assert list(answer["probabilities"]) == list(CLASSES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    cli.main(["predict", portrait, "--model", version, "--json", "--whole"])
    assert json.loads(capsys.readouterr().out)["faces"] == []


def test_photo_on_its_side_gets_a_line_more(version, portrait, tmp_path, capsys):
    lying = str(tmp_path / "lying.png")
    turned(read_image(portrait), 180).save(lying)
    assert cli.main(["predict", lying, "--model", version]) == 0
    answer, remark = capsys.readouterr().out.splitlines()
    assert answer.startswith(f"{lying}\tface 1")
    assert remark.startswith(f"{lying}\tremark\tThe photo stands on its head")
    cli.main(["predict", portrait, lying, "--model", version, "--json"])
    upright, turn = map(json.loads, capsys.readouterr().out.splitlines())
    assert (upright["remark"], upright["turn"], turn["turn"]) == (None, 0, 180)


def test_explain_writes_figure_heatmaps_and_json(version, portrait, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["explain", portrait, "--out", str(out), "--model", version]
    assert cli.main([*arguments, "--target", "with_mask"]) == 0
    stem = Path(portrait).stem
    assert Image.open(out / f"{stem}.png").size[0] > 600
    facts = json.loads((out / f"{stem}.json").read_text())["tiny"]
    for explanation in facts["explanations"]:
        assert explanation["target"] == "with_mask"
        heatmap = np.load(out / explanation["heatmap"])
        assert heatmap.dtype == np.float32 and heatmap.ndim == 2
        assert explanation["verdict"]["title"] and explanation["regions"]


def test_explain_in_one_way_against_another_class(version, portrait, tmp_path):
    way = ["--method", "integrated_gradients/blurred", "--target", "with_mask"]
    arguments = ["explain", portrait, "--out", str(tmp_path), "--model", version, *way]
    asked = [*arguments, "--against", "mask_weared_incorrect", "--second-opinion"]
    assert cli.main(asked) == 0
    facts = json.loads((tmp_path / f"{Path(portrait).stem}.json").read_text())["tiny"]
    [told] = facts["explanations"]
    assert told["against"] == "mask_weared_incorrect" and told["baseline"] == "blurred"
    assert told["second_opinion"]["verdict"]["sentence"].startswith("Fill the brightest fifth")
    assert cli.main([*arguments, "--against", "with_mask"]) == 2


def test_explanations_are_scored_stored_and_printed(version, toy_folder, capsys):
    Path(version).with_suffix(".json").write_text('{"name": "tiny", "kept": 1}')
    data = ["evaluate", "--explanations", "--model", version, "--data", str(toy_folder)]
    assert cli.main([*data, "--faces", "3", "--random", "1", "--store"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| tiny |") > len(all_ways()), "and maps that know nothing"
    stored = json.loads(Path(version).with_suffix(".json").read_text())
    assert stored["kept"] == 1 and stored["explanations"]["default"] in all_ways()
    assert stored["explanations"]["maps"], "made on val"
    assert cli.main(["results", "--explanations", "--model", version]) == 0
    assert capsys.readouterr().out == printed


def test_the_docs_hold_the_explanations_table(capsys):
    assert cli.main(["results", "--explanations"]) == 0
    table = capsys.readouterr().out.strip()
    assert table in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_evaluate_prints_and_writes_the_figures(version, toy_folder, tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["evaluate", "--model", version, "--data", str(toy_folder)]
    assert cli.main([*arguments, "--split", "val", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert {"balanced_accuracy", "per_class", "confusion_matrix", "shifts"} <= set(figures)
    assert figures["pictures"] == 12
    printed = capsys.readouterr().out
    assert f"balanced accuracy {figures['balanced_accuracy']:.4f}" in printed
    cost = figures["cost"]
    assert cost["checkpoint_bytes"] == Path(version).stat().st_size
    assert set(cost["milliseconds"]) == {"tiny", "v2"}
    assert f"one picture in {cost['milliseconds']['tiny']:.1f} ms on one thread (v2 " in printed


def test_evaluate_without_csv_takes_all_pictures(version, toy_folder, tmp_path, capsys):
    toy_folder.with_suffix(".csv").unlink()
    cli.main(["evaluate", "--model", version, "--data", str(toy_folder)])
    assert "60 pictures" in capsys.readouterr().out


def test_evaluate_scenes_prints_the_figures_and_says_where_goals_are_missed(
    portrait, tmp_path, capsys
):
    (tmp_path / "scenes").mkdir()
    shutil.copy(portrait, tmp_path / "scenes" / "one.png")
    header = "file,class,xmin,ymin,xmax,ymax,split"
    scenes = tmp_path / "scenes.csv"
    for box, code in (("175,142,361,328", 0), ("5,5,60,60", 1)):
        scenes.write_text(f"{header}\none.png,without_mask,{box},test\n")
        assert cli.main(["evaluate", "--scenes", str(tmp_path)]) == code
        assert ("NOT reached" in capsys.readouterr().out) == bool(code)


def test_evaluate_answers_the_faces_found_on_scenes(version, portrait, tmp_path, capsys):
    (tmp_path / "scenes").mkdir()
    shutil.copy(portrait, tmp_path / "scenes" / "one.png")
    lines = [
        "file,class,xmin,ymin,xmax,ymax,split",
        "one.png,without_mask,175,142,361,328,test",
        "one.png,with_mask,5,5,60,60,test",  # no face there: not found, so not answered
        "seen.png,with_mask,5,5,60,60,train",  # no such file: a training picture is not opened
    ]
    (tmp_path / "scenes.csv").write_text("\n".join(lines))
    file = tmp_path / "out.json"
    arguments = ["--scenes", str(tmp_path), "--model", version]
    assert cli.main(["evaluate", *arguments, "--json", str(file), "--store"]) == 0
    figures = json.loads(file.read_text())
    assert (figures["pictures"], figures["boxed"], figures["scores"]["pictures"]) == (1, 2, 1)
    image = read_image(portrait)
    answer = open_model(version).predict([crop_face(image, find_faces(image)[0]).image])[0].label
    right = int(answer == "without_mask")
    assert figures["scores"]["per_class"]["without_mask"]["right"] == right
    assert f"({right}/1, " in capsys.readouterr().out
    stored = json.loads(Path(version).with_suffix(".json").read_text())["street"]
    assert stored == {name: figures[name] for name in stored}
    assert cli.main(["evaluate", *arguments, "--split", "val"]) == 2
    assert "split val" in capsys.readouterr().err


def test_the_docs_python_example_runs(portrait, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "photo.jpg").write_bytes(Path(portrait).read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["heat"].target == "with_mask" and names["heat"].completeness_gap < 0.01


def test_the_docs_show_what_the_shipped_version_answers(portrait, tmp_path, monkeypatch, capsys):
    files = {Path(portrait).with_name(f"{name}_portrait.png"): name for name in DOCS_PHOTOS}
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for file, name in files.items():
        Path("photos", f"{name}.png").write_bytes(file.read_bytes())
    Path("photos", "note.jpg").write_text("a note")
    assert cli.main(["predict", "photos/"]) == 1
    told, trouble = capsys.readouterr()
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    lines = [*told.splitlines(), trouble.splitlines()[-1]]
    assert [line for line in lines if f"    {line}\n" not in text] == []
    reply = predict_image(open_model("v3"), read_image(f"photos/{DOCS_PHOTOS[-1]}.png"))
    shown = f'{{"prediction":"{reply.prediction}","confidence":{reply.confidence:.1f}'
    assert shown in (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def test_results_prints_the_docs_table_and_the_readmes_rows(capsys):
    assert cli.main(["results"]) == 0
    table = capsys.readouterr().out.strip()
    assert table in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|") and ".9" in line]
    assert len(rows) == 6 and set(rows) <= set(table.splitlines())


def test_bad_input_is_one_line_and_exit_code_2(version, toy_folder, tmp_path, capsys):
    toy = ["--data", str(toy_folder)]
    text = tmp_path / "note.jpg"
    text.write_text("no picture")
    empty = tmp_path / "empty.png"
    noise(1, (900, 500)).save(empty)
    bare = tmp_path / "bare"
    bare.mkdir()
    for arguments, message in [
        (["predict", str(text), "--model", version, "--model", version], "Two versions have"),
        (["explain", str(text), str(text), "--out", "x", "--model", version], "Two pictures have"),
        (["evaluate", *toy, "--model", version, "--json", f"{text}/x.json"], "cannot be written"),
        (["predict", str(bare), "--model", version], "no picture in"),
        (["predict", str(empty), "--model", "v99"], "no checkpoint"),
        (["evaluate", "--data", str(tmp_path / "x"), "--model", version], "There is no folder"),
        (["evaluate", "--model", version], "evaluate needs --model NAME with --data DIR"),
        (["evaluate", "--scenes", str(tmp_path)], "scenes"),
        (
            ["evaluate", "--scenes", str(tmp_path), *toy],
            "evaluate needs --model NAME with --data DIR",
        ),
        (["evaluate", "--scenes", str(tmp_path), "--store"], "about a version"),
        (["evaluate", "--scenes", "x", "--model", version, "--explanations"], "needs face crops"),
        (
            ["evaluate", "--scenes", "x", "--model", version, "--split", "train", "--store"],
            "leave out --split",
        ),
        (["results", "--model", version], "tiny was never measured: "),
    ]:
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_without_a_command_the_help_is_printed(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"    {name}  " in printed for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_with_a_folder_of_classes_takes_other_names(name, capsys):
    """What a folder's errors advise must be there."""
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    told = capsys.readouterr().out
    assert ("--class-map" in told) == ("--data" in told or name == "data")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_its_help(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: maskexplain {name} ")


def test_a_stopped_training_says_how_to_go_on(monkeypatch, capsys):
    def stopped(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "main", stopped)
    assert cli.main(["train", "v1", "--data", "."]) == 130
    assert capsys.readouterr().err == f"maskexplain: {train.STOPPED}\n"


def test_a_stop_while_programs_load_is_no_traceback(monkeypatch, capsys):
    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", stopped)
    assert cli.main(["train", "v1"]) == cli.run_command("train", "train.py") == 130
    assert capsys.readouterr().err == "maskexplain: interrupted.\ntrain.py: interrupted.\n"


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["app.py", "--models", "v99"], "There is no checkpoint"),
        (["train.py", "v1", "--data", "nowhere"], "There is no folder nowhere"),
        (["-m", "maskexplain", "predict", "nowhere.png", "--model", "v99"], "no checkpoint"),
    ],
)
def test_programs_end_with_one_sentence(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--auth", "me"], "--auth needs USER:PASSWORD"),
        (["serve", "--port", "99999"], "--port must lie between"),
        (["serve", "--threads", "0"], "--threads must be 1 or more"),
        (["train", "v1", "--data", ".", "--epochs", "0"], "--epochs must be 1 or more"),
        (["train", "v1", "--data", ".", "--epochs", "nan"], "invalid int value"),
        (["predct", "x.png"], "invalid choice: 'predct'"),
        (["data", f"/{'x' * 300}"], "cannot be used (File name too long)"),
        (["export", "v2", "--format", "onnx", "--out", "."], ". is a folder: name a file in it"),
        (
            ["evaluate", "--model", "v2", "--data", ".", "--json", "/dev/null/x"],
            "cannot be written",
        ),
        (["report", "v2", "--data", ".", "--out", "."], ". is a folder"),
    ],
)
def test_options_that_cannot_be_get_one_sentence(arguments, message, capsys):
    try:
        code = cli.main(arguments)
    except SystemExit as end:  # by argparse
        code = end.code
    assert code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.fixture
def clip(tmp_path) -> str:
    faces = portraits()
    return str(
        write_clip(tmp_path / "clip.mov", [frame(faces["bare"], 60 + 5 * n) for n in range(8)])
    )


def test_predict_answers_a_clip_frame_by_frame(version, clip, tmp_path, capsys):
    out, table = tmp_path / "annotated.mp4", tmp_path / "answers.csv"
    chosen = ["--model", version, "--out", str(out), "--csv", str(table)]
    assert cli.main(["predict", clip, *chosen]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 8
    assert lines[3][:4] == [clip, "0.30 s", "face 1", "tiny"] and lines[3][4] in CLASSES
    assert len(table.read_text().splitlines()) == 9
    assert cli.main(["predict", str(out), "--model", version, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["file"] == str(out) and facts["size"] == [640, 480] and facts["remark"] is None
    assert len(facts["clip"]["tiny"]) == 8


def test_predict_says_what_is_wrong_with_a_clip(version, clip, portrait, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    assert cli.main(["predict", str(bad), portrait, "--model", version]) == 1
    assert "failed\tThe file is no video that is read here" in capsys.readouterr().out
    for wrong, sentence in (
        ([clip, portrait, "--out", "a.mp4"], "for one clip and one version"),
        ([portrait, "--csv", "a.csv"], "for one clip and one version"),
        ([clip, "--out", "a.webm"], "end its name with .mp4"),
        ([clip, "--csv", clip], "would be overwritten"),
    ):
        assert cli.main(["predict", *wrong, "--model", version]) == 2
        assert sentence in capsys.readouterr().err
