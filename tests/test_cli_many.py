"""Many pictures and folders on the command line: results as they come, failures on their line."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import noise

from maskexplain import cli
from maskexplain.data.samples import write_examples
from maskexplain.errors import UserError
from maskexplain.images.folder import PictureFiles

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four pictures in two folders, two of them bad, beside what is no picture."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    portrait = write_examples(tmp_path / "examples", whole=True)[0][0]
    for name in ("b.png", "deep/a.PNG", ".hidden/a.png", ".thumb.png"):
        shutil.copy(portrait, folder / name)
    (folder / "a.jpg").write_text("no picture")
    noise(1, (900, 500)).save(folder / "c.png")
    (folder / "notes.txt").write_text("not asked for")
    return folder


def test_a_folder_stands_for_its_pictures_by_name(folder):
    (folder / "link.png").symlink_to("nowhere")
    files = PictureFiles([folder, folder / "notes.txt"])
    found = list(files)
    names = ["a.jpg", "b.png", "c.png", "deep/a.PNG", "link.png", "notes.txt"]
    assert [file.path for file in found] == [folder / name for name in names]
    assert [str(file.place) for file in found] == ["a", "b", "c", "deep/a", "link", "notes"]
    assert list(files) == found and len(files) == len(found)


def test_a_folder_without_pictures_is_wrong_use(tmp_path):
    with pytest.raises(UserError, match="There is no picture in the folder"):
        PictureFiles([tmp_path])


def test_a_closed_folder_is_a_failing_picture(version, folder, capsys, monkeypatch):
    opened = os.scandir

    def scandir(path):  # as for one who is not root
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert cli.main(["predict", str(folder), "--model", version]) == 1
    sentence = "The folder cannot be opened: check its permissions."
    assert f"{folder / 'deep'}\tfailed\t{sentence}\n" in capsys.readouterr().out


def test_a_failing_picture_has_its_line_and_the_others_go_on(version, folder, capsys):
    missing = str(folder / "none.png")
    assert cli.main(["predict", str(folder), missing, "--model", version]) == 1
    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert [Path(row[0]).name for row in rows] == ["a.jpg", "b.png", "c.png", "a.PNG", "none.png"]
    assert [row[1] for row in rows] == ["failed", "face 1", "failed", "face 1", "failed"]
    assert "text, not a picture" in rows[0][2] and "(--whole)" in rows[2][2]
    assert captured.err == "maskexplain: 3 of 5 pictures failed.\n"


def test_json_gives_one_line_a_picture_failing_or_not(version, folder, capsys):
    assert cli.main(["predict", str(folder), "--model", version, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["a.jpg", "b.png", "c.png", "a.PNG"]
    assert [("error" in line, "answers" in line) for line in lines] == [
        (True, False),
        (False, True),
    ] * 2


def test_explain_keeps_the_folders_shape_and_goes_on(version, folder, tmp_path, capsys):
    out = tmp_path / "out"
    way = ["--method", "grad_cam", "--model", version, "--json"]
    assert cli.main(["explain", str(folder), "--out", str(out), *way]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in line for line in lines] == [True, False, True, False]
    assert Path(lines[3]["figure"]) == out / "deep" / "a.png" and (out / "deep" / "a.png").is_file()
    assert json.loads(Path(lines[1]["report"]).read_text())["tiny"]


def _start(version: str, folder: Path) -> str:
    """Python code that runs `predict` on the folder; conftest registers the tiny network."""
    arguments = ["predict", str(folder), "--model", version]
    return (
        f"import sys; sys.path[:0] = ['tests', '.']; import conftest; "
        f"from maskexplain import cli; sys.exit(cli.main({arguments!r}))"
    )


def test_the_bar_is_drawn_on_a_terminal_only(version, folder):
    command = [sys.executable, "-c", _start(version, folder)]
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert piped.returncode == 1 and piped.stderr == "maskexplain: 2 of 4 pictures failed.\n"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, timeout=120)
    os.close(theirs)
    drawn = os.read(ours, 2**16).decode()
    os.close(ours)
    assert "4/4" in drawn and "picture" in drawn
    assert shown.stdout.decode() == piped.stdout, "results never mix with the bar"


def test_a_reader_that_leaves_ends_the_run_quietly(version, folder):
    environment = {**os.environ, "CODE": _start(version, folder)}
    command = f'{sys.executable} -c "$CODE" | head -n 0'
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("name", ["a\tb.png", "a\nb.png", "a\rb.png", "\x1b]0;me\x07.png"])
def test_a_name_stays_on_its_line_and_steers_no_terminal(version, tmp_path, capsys, name):
    noise(1, (60, 50)).save(tmp_path / name)
    (tmp_path / f"bad{name}").write_text("no picture")
    assert cli.main(["predict", str(tmp_path), "--whole", "--model", version]) == 1
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert sorted(line.split("\t")[1] for line in lines) == ["face 1", "failed"]
    assert not any(set(line) & set("\r\x1b\x07") for line in lines)
    assert all("\\" in line.split("\t")[0] for line in lines)


TERMINALS = {
    "plain": ("ascii", os.fsdecode(b"caf\xe9.png"), b"caf\\udce9.png"),
    "Windows": ("cp1252", "\u732b.png", b"\\u732b.png"),
}


@pytest.mark.parametrize("case", TERMINALS)
@pytest.mark.parametrize("command", ["predict", "explain", "evaluate"])
def test_names_that_the_terminal_cannot_print_are_escaped(
    version, toy_folder, tmp_path, monkeypatch, command, case
):
    encoding, name, escaped = TERMINALS[case]
    place = toy_folder / "with_mask"
    for file in sorted(place.iterdir())[1:]:
        file.unlink()
    (place / "00.png").rename(place / name)
    (place / f"bad {name}").write_text("no picture")
    csv = toy_folder.with_suffix(".csv")
    csv.unlink()
    options = {
        "predict": [str(place), "--whole"],
        "explain": [str(place), "--whole", "--out", str(tmp_path / "out")],
        "evaluate": ["--data", str(toy_folder), "--skip"],
    }
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in "12")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = cli.main([command, *options[command], "--model", version])
    printed = out.buffer.getvalue() + err.buffer.getvalue()
    assert code == (0 if command == "evaluate" else 1), printed
    assert b"bad " + escaped in printed and b"Traceback" not in printed
