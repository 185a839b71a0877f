"""`predict --out answers.parquet`: all answers in one file, however often the run is ended."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CLASSES, noise

from maskexplain import cli
from maskexplain.cli import folders, table
from maskexplain.data.samples import write_examples

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).resolve().parents[1]
COUNT = 9  # pictures of the album


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    """Photos with a face, one turned, one without a face, tight crops, a text and a broken link."""
    folder = tmp_path_factory.mktemp("album") / "album"
    (folder / "deep").mkdir(parents=True)
    photo = write_examples(folder.parent, whole=True)[0][0]
    for name in ("b.png", "deep/a.PNG"):
        shutil.copy(photo, folder / name)
    for seed in range(4):
        noise(seed, (60, 50)).save(folder / f"crop{seed}.png")
    noise(9, (900, 500)).save(folder / "c.png")
    (folder / "a.jpg").write_text("no picture")
    (folder / "z.png").symlink_to("nowhere")
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(table, "PART", 2)
    monkeypatch.setattr(table, "ROW_GROUP", 3)


def predict(album: Path, version: str, out: Path, *more: str) -> int:
    return cli.main(["predict", str(album), "--model", version, "--out", str(out), *more])


def rows_of(out: Path) -> list[dict]:
    return pq.read_table(out).to_pylist()


@pytest.fixture
def undisturbed(album, version, tmp_path, capsys) -> list[dict]:
    """The rows of a run that nothing disturbs."""
    out = tmp_path / "undisturbed.parquet"
    assert predict(album, version, out) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{out}: {COUNT} rows of {COUNT} pictures.\n"
    assert captured.err == f"maskexplain: 3 of {COUNT} pictures failed.\n"
    assert [file.name for file in tmp_path.iterdir() if "parquet" in file.name] == [out.name]
    return rows_of(out)


def test_the_rows_are_what_predict_prints(album, version, undisturbed, capsys):
    cli.main(["predict", str(album), "--model", version, "--json"])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in undisturbed] == [line["file"] for line in printed]
    for row, line in zip(undisturbed, printed, strict=True):
        assert row["trouble"] == line.get("error")
        if "error" in line:
            assert {row[key] for key in row} == {row["file"], row["trouble"], None}
            continue
        [answer] = line["answers"]["tiny"]
        told = [row[f"p_{name}"] for name in CLASSES]
        assert told == pytest.approx(list(answer["probabilities"].values()), abs=1e-5)
        known = {key: row[key] for key in ("class", "unsure", "face", "version", "turn", "remark")}
        wanted = {"class": answer["label"], "unsure": answer["unsure"], "face": 1}
        assert known == {**wanted, "version": "tiny", "turn": line["turn"], "remark": None}
        assert [row["width"], row["height"]] == line["size"]
        boxes = [face["box"] for face in line["faces"]] or [[None] * 4]
        assert [row[key] for key in ("x0", "y0", "x1", "y1")] == pytest.approx(boxes[0], abs=0.01)


def test_the_columns_are_documented(undisturbed, tmp_path):
    schema = pq.read_schema(tmp_path / "undisturbed.parquet")
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for column in schema:
        name = "p_CLASS" if column.name.startswith("p_") else column.name
        cells = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("|")]
        assert [kind.strip() for names, kind in cells if f"`{name}`" in names] == [str(column.type)]


START = """
import sys
sys.path[:0] = ["tests", "."]
import conftest, os, signal
from pathlib import Path
from maskexplain import cli
from maskexplain.cli import table
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind
table.PART, renamed = 2, Path.replace
def replace(path, to):
    if to.name == sys.argv[1]:
        os.kill(os.getpid(), int(sys.argv[2]))
    renamed(path, to)
Path.replace = replace
sys.exit(cli.main(sys.argv[3:]))
"""
ENDS = [
    (signal.SIGKILL, "pictures.parquet", 0),
    (signal.SIGKILL, "000001.parquet", 1),
    (signal.SIGKILL, "answers.parquet", 5),
    (signal.SIGINT, "000001.parquet", 1),
]


@pytest.mark.parametrize("how, at, parts", ENDS)
def test_an_end_while_a_file_is_written_loses_that_file_alone(
    album, version, undisturbed, tmp_path, how, at, parts
):
    out = tmp_path / "answers.parquet"
    asked = ["predict", str(album), "--model", version, "--out", str(out)]
    command = [sys.executable, "-c", START, at, str(int(how)), *asked]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if how == signal.SIGINT:
        assert (done.returncode, done.stderr) == (130, f"maskexplain: {table.STOPPED}\n")
    else:
        assert (done.returncode, done.stderr) == (-9, "")
    assert len([*tmp_path.glob("*.parts/0*.parquet")]) == parts and not out.exists()
    assert cli.main(asked) == 1
    assert rows_of(out) == undisturbed
    assert [one.name for one in tmp_path.iterdir() if "answers" in one.name] == [out.name]


def test_what_is_done_is_not_done_again(album, version, undisturbed, tmp_path, monkeypatch):
    out, parts = tmp_path / "answers.parquet", tmp_path / "answers.parquet.parts"
    with monkeypatch.context() as patch:
        patch.setattr(table.Parts, "join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predict(album, version, out)
    (parts / "000000.parquet").unlink()
    (parts / "000002.parquet").write_bytes(b"")  # as a power cut leaves it
    lost = bytearray((parts / "000003.parquet").read_bytes())
    lost[10] ^= 255
    (parts / "000003.parquet").write_bytes(lost)
    kept = (parts / "000001.parquet").stat().st_mtime_ns
    assert predict(album, version, out) == 2, "a part is damaged inside"
    assert (parts / "000001.parquet").stat().st_mtime_ns == kept
    assert predict(album, version, out) == 1
    assert rows_of(out) == undisturbed and not parts.exists()


def test_a_folder_that_is_taken_off_is_no_trouble_of_its_pictures(
    album, version, tmp_path, capsys, monkeypatch
):
    out, place = tmp_path / "answers.parquet", tmp_path / "album"
    shutil.copytree(album, place, symlinks=True)
    written = table.write_file

    def write_file(path, write):
        written(path, write)
        if path.name == "000001.parquet":
            place.rename(tmp_path / "away")
            place.mkdir()  # as a disk leaves its place

    with monkeypatch.context() as patch:
        patch.setattr(table, "write_file", write_file)
        assert predict(place, version, out) == 2
    assert predict(place, version, out) == 2, "nor when the run goes on"
    sentence = f"maskexplain: {place} is no longer there: bring it back, then give the same command"
    assert [line.startswith(sentence) for line in capsys.readouterr().err.splitlines()] == [1, 1]
    place.rmdir()
    (tmp_path / "away").rename(place)
    assert predict(place, version, out) == 1
    assert [row["trouble"] for row in rows_of(out)].count(None) == COUNT - 3


def _full(monkeypatch, at: str) -> None:
    """From this file on no file can grow beyond a few bytes, as on a full disk."""
    written = table.write_file

    def write_file(path, write):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if path.name == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
        try:
            written(path, write)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(table, "write_file", write_file)


@pytest.mark.parametrize("at", ["pictures.parquet", "000002.parquet", "answers.parquet"])
def test_a_full_disk_is_one_sentence(
    album, version, undisturbed, tmp_path, capsys, monkeypatch, at
):
    out = tmp_path / "answers.parquet"
    with monkeypatch.context() as patch:
        _full(patch, at)
        assert predict(album, version, out) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{at} cannot be written (File too large): make room" in line
    assert predict(album, version, out) == 1
    assert rows_of(out) == undisturbed


def test_another_table_is_not_mixed_in(album, version, tmp_path, capsys, monkeypatch):
    out = tmp_path / "answers.parquet"
    with monkeypatch.context() as patch:
        _full(patch, out.name)
        assert predict(album, version, out) == 2
    other = shutil.copy(version, tmp_path / "other.safetensors")
    capsys.readouterr()
    assert predict(album / "deep", str(other), out, "--whole") == 2
    assert capsys.readouterr().err == (
        f"maskexplain: {out}.parts holds the beginning of another table (other versions, other "
        "pictures or folders and --whole changed): give that command again, name another --out, "
        "or --replace.\n"
    )
    assert predict(album / "deep", str(other), out, "--whole", "--replace") == 0
    [row] = rows_of(out)
    assert (row["version"], row["x0"]) == ("other", None)
    assert predict(album / "deep", version, out) == 2
    assert "is there already" in capsys.readouterr().err
    assert predict(album / "deep", version, out, "--replace") == 0
    assert rows_of(out)[0]["x0"] is not None


def test_no_picture_is_blamed_where_no_process_starts(
    album, version, undisturbed, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "answers.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "none"))
        assert predict(album, version, out) == 2
    assert "No process to open pictures in can be started" in capsys.readouterr().err
    assert predict(album, version, out) == 1
    assert rows_of(out) == undisturbed


def test_two_runs_do_not_write_one_table(album, version, tmp_path, capsys):
    out = tmp_path / "answers.parquet"
    with table.Parts(tmp_path / "answers.parquet.parts").held():
        assert predict(album, version, out) == 2
    assert "Another run writes in" in capsys.readouterr().err
    assert not (tmp_path / "answers.parquet.parts").exists()


def test_wrong_use_of_a_table(version, album, tmp_path, capsys):
    out, empty = tmp_path / "answers.parquet", tmp_path / "empty"
    empty.mkdir()
    assert predict(empty, version, out) == 2
    assert "There is no picture in the folder" in capsys.readouterr().err
    assert predict(album, version, out, "--json") == 2
    assert cli.main(["predict", str(album), "--model", version, "--replace"]) == 2
    assert "add --out answers.parquet" in capsys.readouterr().err
    assert not out.exists() and not out.with_name("answers.parquet.parts").exists()


def test_without_pyarrow_a_sentence_says_so(version, album, tmp_path, capsys, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("table", "workers"):
        monkeypatch.delitem(sys.modules, f"maskexplain.cli.{name}")
    assert predict(album, version, tmp_path / "answers.parquet") == 2
    expected = "maskexplain: A table needs pyarrow: pip install 'maskexplain[parquet]'.\n"
    assert capsys.readouterr().err == expected


def test_progress_is_told_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 40.0, 40.0, 40.0, 50.0])
    monkeypatch.setattr(folders, "monotonic", lambda: next(clock))
    with folders.Meter(9000, 1000) as meter:
        meter.add(1000)  # after 10 s: too early
        meter.add(1000)  # after 40 s
        meter.add(1000)
    assert capsys.readouterr().err == "3,000 of 9,000 pictures, 02:00 left\n"


# A worker that is lost counts as such after a second and a half, in place of half a minute.
HASTE = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
MORE = 50  # pictures
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture
def cluster(monkeypatch):
    """Two workers, each a core and a machine for Ray, and a way to kill the second one."""
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the workers' program
    from ray.cluster_utils import Cluster

    head = {**SMALL, "include_dashboard": False, "_system_config": HASTE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(**SMALL)
    yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
    cluster.shutdown()


def test_a_cluster_gives_the_same_rows_though_a_worker_is_killed(
    album, cluster, tmp_path, monkeypatch, capsys
):
    import ray

    address, kill = cluster
    shutil.copytree(album, tmp_path / "album", symlinks=True)
    for index in range(MORE):
        noise(index, (60, 50)).save(tmp_path / "album" / f"more{index}.png")
    monkeypatch.chdir(tmp_path)  # where the workers are not
    alone, out = Path("alone.parquet"), Path("answers.parquet")
    assert predict(Path("album"), "v3", alone) == 1
    written, names, killed = table.write_file, [], []

    def write_file(path, write):
        written(path, write)
        names.append(path.name)
        if len(names) > 2 and not killed and not ray.available_resources().get("CPU"):
            kill()  # while both are at work
            killed.append(len(names))

    monkeypatch.setattr(table, "write_file", write_file)
    assert predict(Path("album"), "v3", out, "--ray", address) == 1
    parts = [f"{number:06}.parquet" for number in range(-(-(COUNT + MORE) // 2))]
    assert sorted(names[1:-1]) == parts and killed[0] < len(parts) - 5
    for one, other in zip(rows_of(alone), rows_of(out), strict=True):
        near = {
            key: pytest.approx(v, abs=1e-5) for key, v in one.items() if key.startswith("p_") and v
        }
        assert other == {**one, **near}


def test_a_cluster_that_is_not_there_is_one_sentence(album, version, tmp_path, capsys):
    pytest.importorskip("ray", reason="needs the extra ray")
    out = tmp_path / "answers.parquet"
    for address in ("127.0.0.1:9", "nowhere"):
        assert predict(album, version, out, "--ray", address) == 2
        expected = f"There is no Ray cluster at {address}: give its HOST:PORT, auto or local."
        assert capsys.readouterr().err == f"maskexplain: {expected}\n"
    assert predict(album, version, out) == 1


def test_without_ray_a_sentence_says_so(album, version, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert predict(album, version, tmp_path / "answers.parquet", "--ray", "auto") == 2
    expected = "maskexplain: --ray needs the package ray: pip install 'maskexplain[ray]'.\n"
    assert capsys.readouterr().err == expected


def test_a_worker_that_cannot_begin_says_why(album, version, tmp_path):
    from maskexplain.cli import workers

    weights, gone = Path(version), tmp_path / "gone"
    base = {"base": str(tmp_path)}
    order = workers.Order((weights,), (album,), **base, there=(album,))
    blind = workers.Order((weights,), (gone,), **base, there=(gone,))
    sent = ((weights.name, weights.read_bytes()),)
    part = pa.table({"part": [7], "files": [[b"a.png"]]})

    def told(*brief) -> dict:
        [row] = workers._Worker(workers._Brief(*brief))(part).to_pylist()
        return row

    assert "install 9.9 there." in told("9.9", sent, order)["trouble"]
    assert f"does not see {gone}" in told(workers.__version__, sent, blind)["trouble"]
    torn = ((weights.name, b"torn"),)
    assert "no safetensors file" in told(workers.__version__, torn, order)["trouble"]
    row = told(workers.__version__, sent, order)
    assert (row["part"], row["count"], row["trouble"]) == (7, 1, "")
    [answer] = pq.read_table(pa.BufferReader(row["rows"])).to_pylist()
    assert answer["file"] == "a.png" and "no such file" in answer["trouble"]
