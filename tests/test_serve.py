"""The program as a server among strangers: nothing stays behind, nothing is without bound."""

from io import BytesIO
from pathlib import Path

import httpx
import pytest
from conftest import noise
from servers import CROP, files_in, free_port, program

from maskexplain.masks.task import MASK
from maskexplain.models.checkpoints import write_weights


@pytest.fixture
def weights(tmp_path, tiny) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_weights(path, tiny.network, "tiny", MASK, half=True)
    return path


@pytest.fixture
def server(tmp_path, weights):
    """app.py with a tiny version; its temporary files lie in tmp_path/tmp."""
    with program(weights, tmp_path / "tmp", free_port()) as (url, process):
        yield url, process, tmp_path / "tmp"


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


def test_a_killed_program_serves_again_at_once(tmp_path, weights):
    picture, port = {"file": ("a.png", CROP)}, free_port()
    with program(weights, tmp_path / "tmp", port) as (url, process):
        first = httpx.post(f"{url}/predict", files=picture, timeout=60).json()
        process.kill()
        process.wait()
    with program(weights, tmp_path / "tmp", port) as (url, _):
        assert httpx.post(f"{url}/predict", files=picture, timeout=60).json() == first
