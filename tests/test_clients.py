"""Other programs as clients: the original's, curl, gradio_client, a proxy, and ones that leave."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import httpx
import pytest
import requests
from conftest import TinyCNN, noise
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from servers import CROP, encoded, page_server, plain_server, send, trap, version

from maskexplain.api import make_router, predict_image
from maskexplain.data.samples import example_pictures
from maskexplain.errors import UserError
from maskexplain.explain.methods import METHODS
from maskexplain.images.read import read_image
from maskexplain.models.version import Model
from maskexplain.web.serve import launch

AUTH = ("ada", "secret")


@pytest.fixture(scope="module")
def models():
    return [version("v1", 0), version("v2", 1)]


@pytest.fixture(scope="module")
def server(models, tmp_path_factory) -> Iterator[httpx.Client]:
    with page_server(models, tmp_path_factory.mktemp("examples")) as client:
        yield client


@pytest.fixture(scope="module")
def locked(models, tmp_path_factory) -> Iterator[httpx.Client]:
    with page_server(models, tmp_path_factory.mktemp("locked"), auth=AUTH) as client:
        yield client


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    example_pictures(whole=True)[0].image.save(path)
    return str(path)


# --- clients of the original


def test_requests_as_the_originals_clients_use_it(server, models, portrait):
    with open(portrait, "rb") as file:
        reply = requests.post(f"{server.base_url}/predict", files={"file": file}, timeout=60)
    answer = reply.json()
    expected = predict_image(models[-1], read_image(portrait))
    assert reply.ok and answer["prediction"] == expected.prediction
    assert 33 < answer["confidence"] == pytest.approx(expected.confidence, abs=1e-3)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_readmes_curl_line(server, portrait):
    url = f"{server.base_url}/predict"
    done = subprocess.run(
        ["curl", "-sS", "-F", f"file=@{portrait}", url], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "" and json.loads(done.stdout)["prediction"]


# --- Gradio's own endpoints


def test_only_the_named_endpoints_are_offered_and_described(server):
    offered = Client(str(server.base_url), verbose=False).view_api(return_format="dict")
    assert set(offered["named_endpoints"]) == {"/predict", "/explain"}
    assert not offered["unnamed_endpoints"]
    explain = offered["named_endpoints"]["/explain"]
    assert "show why" in explain["description"]
    kinds = {one["parameter_name"]: one["python_type"]["type"] for one in explain["parameters"]}
    assert list(kinds) == ["picture", "model", "whole", "method", "target", "against", "baseline"]
    assert kinds["whole"] == "bool" and "'v1'" in kinds["model"]
    required = [
        one["parameter_name"] for one in explain["parameters"] if not one["parameter_has_default"]
    ]
    assert required == ["picture"]
    assert all(f"'{name}'" in kinds["method"] for name in METHODS)


def test_gradio_client_gets_the_routes_answers(server, portrait):
    client = Client(str(server.base_url), verbose=False)
    with open(portrait, "rb") as file:
        picture = file.read()
    told = client.predict(handle_file(portrait), api_name="/predict")
    assert told == send(server, "/predict", picture).json()
    fields = {"model": "v1", "method": "integrated_gradients", "target": "with_mask"}
    told = client.predict(handle_file(portrait), api_name="/explain", **fields)
    assert told == send(server, "/explain", picture, **fields).json()
    same = {"target": "with_mask", "against": "with_mask"}
    with pytest.raises(AppError, match="against itself"):
        client.predict(handle_file(portrait), api_name="/explain", **same)


def test_a_bad_picture_is_a_sentence_for_gradio_client_too(server, tmp_path):
    client = Client(str(server.base_url), verbose=False)
    (tmp_path / "note.png").write_text("no picture")
    with pytest.raises(AppError, match="text, not a picture"):
        client.predict(handle_file(str(tmp_path / "note.png")), api_name="/predict")
    noise(3, (640, 480)).save(tmp_path / "empty.png")
    with pytest.raises(AppError, match="No face was found"):
        client.predict(handle_file(str(tmp_path / "empty.png")), api_name="/predict")


def call(server: httpx.Client, picture: dict) -> str:
    """What Gradio's endpoint answers to a picture as a stranger may describe it."""
    data = {"data": [picture, "v2", False]}
    event = server.post("/gradio_api/call/predict", json=data)
    if event.status_code != 200:
        return event.text
    return server.get(f"/gradio_api/call/predict/{event.json()['event_id']}").text


def test_paths_and_addresses_are_neither_read_nor_fetched(server, portrait):
    with trap() as (address, asked):
        kind = {"_type": "gradio.FileData"}
        for picture in (
            {"path": portrait, "meta": kind},
            {"path": "/etc/passwd", "meta": kind},
            {"path": "../../../../etc/passwd", "meta": kind},
            {"path": address, "meta": kind},
            {"path": address, "url": address, "meta": kind},
            {"path": None, "url": address, "meta": kind},
            {"path": "http://example.com/a.png", "meta": kind},
            {"path": f"file://{portrait}", "meta": kind},
        ):
            told = call(server, picture)
            assert "prediction" not in told and "root:" not in told and "Traceback" not in told
        for name in ("file", "picture"):
            reply = server.post("/predict", data={name: address})
            assert reply.status_code == 422
    assert asked == []


def test_a_data_url_works_and_one_without_bound_does_not(server):
    import base64

    url = "data:image/png;base64," + base64.b64encode(CROP).decode()
    kind = {"_type": "gradio.FileData"}
    assert "prediction" in call(server, {"path": None, "url": url, "meta": kind})
    huge = server.post(
        "/gradio_api/call/predict",
        json={"data": [{"path": None, "url": url + "A" * 32 * 2**20, "meta": kind}, "v2", False]},
    )
    assert huge.status_code == 413


def test_credentials_cover_the_named_endpoints(locked, portrait):
    address = str(locked.base_url)
    with pytest.raises((AppError, ValueError, httpx.HTTPError)):
        Client(address, verbose=False, auth=("ada", "wrong"))
    assert locked.post("/gradio_api/call/predict", json={"data": []}).status_code == 401
    assert locked.post("/gradio_api/upload", files={"files": CROP}).status_code == 401
    client = Client(address, verbose=False, auth=AUTH)
    assert client.predict(handle_file(portrait), api_name="/predict")["model"] == "v2"


def test_mcp_says_what_it_needs(models, monkeypatch):
    monkeypatch.setattr("maskexplain.web.serve.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'gradio\[mcp\]'"):
        launch(None, models, "127.0.0.1", 1, mcp=True)
    monkeypatch.setattr("maskexplain.web.serve.find_spec", lambda name: object())
    with pytest.raises(UserError, match="leave out --auth"):
        launch(None, models, "127.0.0.1", 1, auth=AUTH, mcp=True)


# --- behind a proxy that takes a prefix away


def proxy(target: httpx.Client, prefix: str) -> type[BaseHTTPRequestHandler]:
    """What nginx does with `location /mask/ { proxy_pass http://host:port/; }`."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.forward()

        def do_POST(self):
            self.forward()

        def forward(self):
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = f"{target.base_url}{self.path.removeprefix(prefix)}"
            with httpx.stream(
                self.command, url, content=body, headers=list(self.headers.items()), timeout=60
            ) as reply:
                self.send_response(reply.status_code)
                self.send_header("Content-Type", reply.headers.get("content-type", ""))
                self.end_headers()
                for part in reply.iter_bytes():
                    self.wfile.write(part)

        def log_message(self, *_):
            """Nothing to say."""

    return Proxy


def test_behind_a_prefix(models, tmp_path, portrait):
    with (
        page_server(models, tmp_path, root_path="/mask") as inner,
        ThreadingHTTPServer(("127.0.0.1", 0), proxy(inner, "/mask")) as outer,
    ):
        threading.Thread(target=outer.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{outer.server_port}/mask"
        assert httpx.get(f"{address}/config").json()["root"] == address
        page = httpx.get(f"{address}/").text
        assert "Mask explainer" in page
        assert httpx.get(f"{address}/openapi.json").json()["servers"] == [{"url": "/mask"}]
        reply = httpx.post(f"{address}/predict", files={"file": ("a.png", CROP)}, timeout=60)
        assert reply.json()["prediction"]
        client = Client(address, verbose=False)
        assert client.predict(handle_file(portrait), api_name="/predict")["faces"]
        outer.shutdown()


# --- batches, and clients that leave


class CountingModel(Model):
    """Counts what its network is asked for, in all (`crops`) and at once (`batches`)."""

    def __init__(self, model: Model) -> None:
        super().__init__("slow", TinyCNN(), model.task)
        self.network.load_state_dict(model.network.state_dict())
        self.network.register_forward_pre_hook(self._count)
        self.crops = 0
        self.batches: list[int] = []
        self.seconds = 0.0  # that each batch takes longer

    def _count(self, _, inputs) -> None:
        time.sleep(self.seconds)
        self.crops += len(inputs[0])
        self.batches.append(len(inputs[0]))


def test_what_waits_is_answered_together_and_each_gets_its_own(models):
    model = CountingModel(models[0])
    model.seconds = 0.2
    pictures = [encoded(noise(seed, (60, 64))) for seed in range(12)]
    expected = [predict_image(models[0], read_image(BytesIO(picture))) for picture in pictures]
    with plain_server(make_router([model])) as client:
        replies: dict[int, httpx.Response] = {}

        def ask(index: int) -> None:
            replies[index] = send(client, "/predict", pictures[index], whole="true")

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert model.crops == 12 and max(model.batches) > 1 and len(model.batches) < 12
    for index, one in enumerate(expected):
        told = replies[index].json()["probabilities"]
        assert told == pytest.approx(one.probabilities, abs=1e-5)


def test_a_network_that_fails_is_an_error_for_its_batch_alone(models):
    model = CountingModel(models[0])
    model.network.forward = None  # cannot be called
    with plain_server(make_router([model, models[1]])) as client:
        client.headers["connection"] = "close"  # uvicorn closes it after a 500
        for name, status in (("slow", 500), ("v2", 200), ("slow", 500)):
            assert send(client, "/predict", model=name).status_code == status


def test_a_client_that_leaves_ends_its_explanation(models):
    model = CountingModel(models[0])
    with plain_server(make_router([model])) as client:
        fields = {"method": "occlusion", "whole": "true"}
        send(client, "/explain", **fields)
        asked = model.crops
        assert asked > 10, "occlusion and the blur test ask for many"
        model.crops, model.seconds = 0, 1.0
        request = httpx.Request(
            "POST", f"{client.base_url}/explain", files={"file": CROP}, data=fields
        )
        body = request.read()
        head = f"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {request.headers['content-type']}\r\n\r\n"
        with socket.create_connection((client.base_url.host, client.base_url.port), 10) as link:
            link.sendall(head.encode() + body)
            deadline = time.monotonic() + 20
            while not model.crops and time.monotonic() < deadline:
                time.sleep(0.05)
        time.sleep(3)  # it takes a second over each call of the network
        seen = model.crops
        time.sleep(2.5)
        assert 0 < model.crops == seen < asked, "the rest of the explanation was not computed"
