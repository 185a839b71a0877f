"""The program as a server among strangers: nothing stays behind, nothing is without bound."""

import os
import socket
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from conftest import noise

from maskexplain.checkpoints import write_weights

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def server(tmp_path, tiny):
    """app.py with a tiny version; its temporary files lie in tmp_path/tmp."""
    weights = tmp_path / "tiny.safetensors"
    write_weights(weights, tiny.network, "tiny", half=True)
    (tmp_path / "tmp").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The tiny network is registered by conftest, so the program is started behind it.
    start = (
        f"import sys; sys.path[:0] = ['tests', '.']; import conftest, app; "
        f"app.main(app.parse(['--models', {str(weights)!r}, '--port', '{port}']))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url, process)
            yield url, process, tmp_path / "tmp"
        finally:
            process.terminate()


def _wait(url: str, process: subprocess.Popen) -> None:
    for _ in range(240):
        try:
            httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            assert process.poll() is None, "app.py has ended"
            time.sleep(0.5)
    pytest.fail("app.py did not answer within two minutes")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_uploads_go_when_the_program_is_ended(server):
    url, process, temporary = server
    picture = BytesIO()
    noise(0, (64, 64)).save(picture, "PNG")
    reply = httpx.post(f"{url}/gradio_api/upload", files={"files": ("me.png", picture.getvalue())})
    [path] = reply.json()
    assert Path(path) in files_in(temporary)
    process.terminate()
    assert process.wait(timeout=60) == 0
    assert not files_in(temporary)


def test_a_body_without_bound_is_refused(server):
    url, _, _ = server
    body = b'{"data": ["' + b"a" * (32 * 2**20) + b'"], "fn_index": 0, "session_hash": "x"}'
    headers = {"content-type": "application/json"}
    reply = httpx.post(f"{url}/gradio_api/queue/join", content=body, headers=headers, timeout=60)
    assert reply.status_code == 413
