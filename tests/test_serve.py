"""The program as a server among strangers: nothing stays behind, and nothing is told."""

import base64
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import servers
import uvicorn
from conftest import TinyCNN, noise
from filelock import FileLock
from servers import CROP, files_in, free_port, program
from test_mcp import call

from maskexplain.api.guard import DISK_FULL, proxies
from maskexplain.cli.serve import (
    PROXIES,
    check_shared_memory,
    checked_origins,
    leave_out_variables,
    use_proxies,
)
from maskexplain.data.samples import write_examples
from maskexplain.errors import UserError
from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights
from maskexplain.web import scratch as scratches
from maskexplain.web.scratch import LOCK, PREFIX, Scratch, remove_stale, scratch
from maskexplain.web.serve import Connection, _listen, _own_host
from tools.served import ROOT

MARK = "visitors-own-words"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gewichte-für-ü") / "tiny.safetensors"
    write_weights(path, TinyCNN(), "tiny", MASK, half=True)
    return path


def leave_files(url: str) -> None:
    """Uploads whole, broken off and malformed, a picture of an assistant's, and an odd event."""
    with httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/gradio_api/upload", files={"files": ("me.png", CROP)}).json()
        form = {"content-type": "multipart/form-data; boundary=b"}
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        malformed = head + CROP + b"\r\n--b-no"
        client.post("/gradio_api/upload", content=malformed, headers=form)
        told = call(client, "predict", picture=f"data:image/png;base64,{encoded()}")
        assert "prediction" in told.content[0].text
        few = {"data": [MARK, {"x": MARK}], "session_hash": MARK}
        for fn_index in range(12):
            client.post("/gradio_api/queue/join", json={**few, "fn_index": fn_index})
        with client.stream("GET", f"/gradio_api/queue/data?session_hash={MARK}") as stream:
            done = sum('"process_completed"' in line for line in stream.iter_lines())
        assert done
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as link:
        lead = "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
        link.sendall(f"{lead}Content-Type: {form['content-type']}\r\n\r\n".encode() + head + CROP)
        time.sleep(0.5)


def encoded(content: bytes = CROP) -> str:
    return base64.b64encode(content).decode()


def freeze(client: httpx.Client, picture: bytes) -> dict:
    """What Live's button that gives a frame to the Photo tab is told in the end."""
    config = client.get("/config").json()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    [number] = [
        event["id"]
        for event in config["dependencies"]
        if [names[part] for part in event["inputs"]] == ["camera"]
    ]
    frame = {"url": f"data:image/bmp;base64,{encoded(picture)}", "path": None}
    asked = {"data": [frame], "fn_index": number, "session_hash": "s"}
    client.post("/gradio_api/queue/join", json=asked).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data?session_hash=s") as stream:
        told = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    [end] = [message for message in told if message["msg"] == "process_completed"]
    return end


def fill_the_disk(url: str, process: subprocess.Popen, folder: Path) -> None:
    """A limit on the size of files stands for the disk's end while the program runs."""
    size = 100_000
    picture, large = (servers.encoded(noise(7, (side, side)), "BMP") for side in (200, 700))
    assert size < len(picture) and len(large) > 2**20, "those of a megabyte are spooled to disk"
    upload = {"files": ("a.png", picture)}
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    with httpx.Client(base_url=url, timeout=60) as client:
        for path, form in (
            ("/gradio_api/upload", upload),
            ("/predict", {"file": ("a.png", large)}),
            ("/explain", {"file": ("a.png", large)}),
        ):
            reply = client.post(path, files=form)
            assert (reply.status_code, reply.json()) == (507, {"detail": DISK_FULL}), path
        assert freeze(client, picture)["output"]["error"] == DISK_FULL
        sent = f"data:image/bmp;base64,{encoded(picture)}"
        told = [call(client, "predict", picture=sent, whole=True)]
        assert [one for one in files_in(folder) if one.stat().st_size == size] == []
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        told.append(call(client, "predict", picture=sent, whole=True))
        assert not told[0].isError and told[0].content == told[1].content
        assert freeze(client, picture)["success"]
        [path] = client.post("/gradio_api/upload", files=upload).json()
        assert Path(path).read_bytes() == picture


def test_nothing_stays_and_nothing_is_told(tmp_path, weights):
    # Proxies that are dead, or of a kind that is not supported: nobody asks them.
    odd = {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    temporary, port, picture = tmp_path / "tmp", free_port(), {"file": ("a.png", CROP)}
    with (tmp_path / "stderr").open("wb") as stderr:
        one = program(weights, temporary, port, "--mcp", stderr=stderr, **odd)
        with one as (url, process):
            leave_files(url)
            first = httpx.post(f"{url}/predict", files=picture, timeout=60).json()
            [folder] = temporary.iterdir()
            fill_the_disk(url, process, folder)
            # Torchvision brings torch._dynamo: a fifth of the start and 130 MB, for nothing here.
            assert "torchvision" not in Path(f"/proc/{process.pid}/maps").read_text()
            left = files_in(temporary)
            assert folder.name.startswith(PREFIX) and len(left) >= 3
            assert all(path.is_relative_to(folder) for path in left)
            process.kill()
            process.wait()
    told = (tmp_path / "stderr").read_text()
    assert "ValueError" in told, "what went wrong is told, and where"
    assert told.count("no room for temporary files") == 1 and "OSError" not in told
    assert MARK not in told and encoded()[:40] not in told and "me.png" not in told
    # A container's environment: no locale, IPv6, a prefix; and a home that cannot be written to.
    # What else Gradio would read is not heeded: one stops its import, one opens all files.
    bare = {"GRADIO_DEFAULT_CONCURRENCY_LIMIT": "many", "GRADIO_ALLOWED_PATHS": "/"}
    bare |= {
        "LC_ALL": "C",
        "GRADIO_SERVER_NAME": "::",
        "HOME": "/proc",
        "GRADIO_ROOT_PATH": "mask/",
    }
    with program(weights, temporary, port, **bare) as (url, process):
        assert not folder.exists(), "what the killed one left is gone"
        six = url.replace("127.0.0.1", "[::1]")
        told = [httpx.get(f"{one}/openapi.json").json()["servers"] for one in (url, six)]
        assert told == [[{"url": "/mask"}]] * 2
        assert httpx.post(f"{url}/predict", files=picture, timeout=60).json() == first
        httpx.post(f"{url}/gradio_api/upload", files={"files": ("me.png", CROP)})
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 0
    assert list(temporary.iterdir()) == []


MEMORY = """
from pathlib import Path
from maskexplain.memory import bound_memory, release_memory
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
assert bound_memory()
blocks = [bytes(b"x" * 100_000) for _ in range(3000)]
blocks = blocks[::20]  # what is kept stands between what is freed
before = resident()
release_memory()
print(before, resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_goes_back_to_the_system():
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    before, after = map(float, done.stdout.split())
    assert before > 250 and after < 100


# --- the folder of a run


@pytest.fixture
def folder(tmp_path) -> Scratch:
    return Scratch(tmp_path, quota=1000)


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(scratches.time, "monotonic", lambda: now[0])
    return now


def put(folder: Scratch, name: str, size: int = 100) -> Path:
    path = folder.uploads / name / "a.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_files_go_by_their_age_and_the_pages_own_stay(folder, clock):
    own = put(folder, "own")
    folder.keep()
    old = put(folder, "old")
    os.utime(old, (0, 0))  # what the file says of its age does not count
    folder.sweep()
    clock[0] += 299
    young = put(folder, "young")
    folder.sweep()
    assert old.exists()
    clock[0] += 2
    folder.sweep()
    assert not old.exists() and young.exists() and own.exists()
    young.write_bytes(bytes(7))  # still in use
    clock[0] += 299
    folder.sweep()
    clock[0] += 2
    folder.sweep()
    assert young.exists() and own.exists() and not old.parent.exists()


def test_the_quota_makes_room_and_refuses(folder, clock):
    assert folder.take(600) and not folder.take(600)
    folder.give(600)
    first = put(folder, "first", 800)
    assert not folder.take(600), "a minute is everybody's"
    clock[0] += 61
    assert folder.take(600) and not first.exists()


def test_what_killed_runs_left_goes_and_what_runs_stays(tmp_path):
    for name in ("killed", "running", "not-locked-yet"):
        (tmp_path / f"{PREFIX}{name}").mkdir()
    for name in ("killed", "running"):
        (tmp_path / f"{PREFIX}{name}" / LOCK).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    with FileLock(tmp_path / f"{PREFIX}running" / LOCK):
        remove_stale(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{PREFIX}{name}" for name in ("running", "not-locked-yet", "link")} | {
        "elsewhere"
    }


def test_tidying_up_that_was_broken_off_is_gone_on_with(tmp_path):
    names = ("long-ago", "just-now", "another-s")
    for name in names:
        (tmp_path / f"{PREFIX}{name}").mkdir()
    for name in names[:2]:
        (tmp_path / f"{PREFIX}{name}" / "uploads").mkdir()
    for name in ("long-ago", "another-s"):
        os.utime(tmp_path / f"{PREFIX}{name}", (0, 0))
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{PREFIX}{n}" for n in names[1:]}


def test_the_lock_goes_last(tmp_path, monkeypatch):
    monkeypatch.setattr(scratches.tempfile, "gettempdir", lambda: str(tmp_path))
    removed = []
    monkeypatch.setattr(scratches.shutil, "rmtree", lambda path, **_: removed.append(path))
    with scratch() as folder:
        lock = folder.path / LOCK
        assert lock.is_file()
    assert {path.name for path in removed[:-1]} == {"uploads", "nameless"}
    assert removed[-1] == folder.path


TWICE = """
import os, signal, sys
from maskexplain.cli import serve
from maskexplain.web.scratch import scratch
first, second = map(int, sys.argv[1:])
for number in serve.ENDING:
    signal.signal(number, serve._end)
try:
    with scratch():
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, serve.ENDING)
            os.kill(os.getpid(), first)
            os.kill(os.getpid(), second)  # both have come before the first one is heeded
            signal.pthread_sigmask(signal.SIG_UNBLOCK, serve.ENDING)
        finally:
            os.kill(os.getpid(), second)
except (KeyboardInterrupt, SystemExit) as end:
    print(type(end).__name__)
"""


@pytest.mark.parametrize("signals", [("INT", "TERM"), ("TERM", "INT"), ("INT", "INT")])
def test_a_second_signal_does_not_break_off_the_tidying_up(tmp_path, signals):
    numbers = [str(int(signal.Signals[f"SIG{name}"])) for name in signals]
    command = [sys.executable, "-c", TWICE, *numbers]
    place = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=place)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout in ("KeyboardInterrupt\n", "_Ended\n") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "::2"])
def test_a_host_that_is_not_here_is_one_sentence(host):
    with pytest.raises(UserError, match="no address of this machine"):
        _listen(host, 0)


@pytest.mark.parametrize("host", ["::1", "::", "127.0.0.1", "localhost", ""])
def test_hosts_to_listen_on(host):
    with _listen(host, 0) as listener:
        place = (_own_host(host), listener.getsockname()[1])
        with socket.create_connection(place, 5), pytest.raises(UserError, match="is taken"):
            _listen(host, place[1])


def test_an_answer_does_not_wait_for_the_clients_word_on_its_head():
    """Connections send at once what they are given (TCP_NODELAY)."""
    config = uvicorn.Config(lambda: None, http=Connection, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    with _listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with socket.create_connection(listener.getsockname(), 5):
                while not (open_now := set(server.server_state.connections)):
                    assert thread.is_alive()
                [connection] = open_now
                sent_by = connection.transport.get_extra_info("socket")
                assert sent_by.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            server.should_exit = True
            thread.join()


def test_a_socket_for_both_kinds_knows_its_clients_of_ipv4():
    """Else a proxy's word on them would not be taken, and all of them would be one client."""
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["client"][0])
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", forwarded_allow_ips=proxies()
    )
    server = uvicorn.Server(config)
    with _listen("::", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            for headers in ({}, {"X-Forwarded-For": "192.0.2.7"}):
                httpx.get(url, headers=headers, timeout=10)
        finally:
            server.should_exit = True
            thread.join()
    assert asked == ["127.0.0.1", "192.0.2.7"]


def test_proxies_are_left_to_share(monkeypatch):
    for name in list(os.environ):
        if name.lower() in PROXIES:
            monkeypatch.delenv(name)
    for share, kept in ((True, {"https_proxy"}), (False, set())):
        monkeypatch.setenv("https_proxy", "http://proxy:1")
        monkeypatch.setenv("ALL_PROXY", "socks5h://proxy:2")
        monkeypatch.setenv("no_proxy", "elsewhere")
        use_proxies(share)
        assert {name for name in os.environ if name.lower() in PROXIES} == kept
        assert "127.0.0.1" in os.environ["NO_PROXY"]


@pytest.mark.parametrize(
    ("proxy", "kept"),
    [
        ("http://proxy:3128", True),
        ("http://user:word@[fd00::1]:3128/", True),
        ("proxy:3128", True),
        ("proxy", True),
        ("socks5://proxy:1", False),
        ("foo://proxy", False),
        ("http://[::1", False),
        ("http://proxy:port", False),
    ],
)
def test_share_asks_by_proxies_of_the_web_alone(monkeypatch, proxy, kept):
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("no_proxy", "")
    use_proxies(share=True)
    assert ("HTTPS_PROXY" in os.environ) is kept
    if kept:
        httpx.Client().close()  # whose import-time brother stops Gradio's


def test_gradios_variables_do_not_change_what_is_served(monkeypatch):
    names = ("GRADIO_ALLOWED_PATHS", "GRADIO_SERVER_PORT", "GRADIO_SHARE_SERVER_ADDRESS", "HOME")
    monkeypatch.setattr(os, "environ", dict.fromkeys(names, "/"))
    leave_out_variables()
    assert [*os.environ] == ["GRADIO_SHARE_SERVER_ADDRESS", "HOME"]


def test_sites_are_named_as_browsers_do():
    given = ["https://Example.org/", "http://localhost:3000", "http://[::1]:8000"]
    told = ["https://example.org", "http://localhost:3000", "http://[::1]:8000"]
    assert checked_origins(given) == told
    for wrong in ("*", "example.org", "https://*.example.org", "https://a.org/page", "null", ""):
        with pytest.raises(UserError, match="--cors takes sites"):
            checked_origins([wrong])


def test_no_folder_to_write_to_is_one_sentence(monkeypatch):
    def nowhere():
        raise FileNotFoundError("No usable temporary directory")

    monkeypatch.setattr(scratches.tempfile, "gettempdir", nowhere)
    with pytest.raises(UserError, match="set TMPDIR"), scratch():
        pass


def test_a_disk_that_is_full_at_the_start_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(scratches.tempfile, "gettempdir", lambda: str(tmp_path))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, usual[1]))
    try:
        with pytest.raises(UserError, match="set TMPDIR"), scratch() as folder:
            write_examples(folder.path / "examples", whole=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert list(tmp_path.iterdir()) == []


def test_no_shared_memory_is_one_sentence(monkeypatch):
    def refused():
        raise OSError(30, "Read-only file system")

    check_shared_memory()
    monkeypatch.setattr("multiprocessing.Lock", refused)
    with pytest.raises(UserError, match="/dev/shm"):
        check_shared_memory()


def test_gradio_is_imported_after_its_folder_is_set():
    """Parts of Gradio read where files go when they are imported."""
    code = (
        "import sys; from maskexplain.cli import main; "
        "main(['serve', '--port', '0']); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, cwd=ROOT
    )
    assert "between 1 and 65535" in done.stderr
    assert not {"gradio", "torch"} & set(json.loads(done.stdout))
