"""The HTTP API over real connections: the page's own server, and uvicorn alone."""

import asyncio
import base64
import errno
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from io import BytesIO

import httpx
import numpy as np
import pytest
import torch
from conftest import CLASSES, TinyCNN, noise
from fastapi import HTTPException
from measured import measured, scores
from PIL import Image
from servers import CROP, encoded, page_server, plain_server, send, version

from maskexplain.api import (
    MAX_BODY,
    explain_image,
    guard,
    list_models,
    make_router,
    predict_image,
    replies,
    routes,
)
from maskexplain.api.guard import WORKERS
from maskexplain.data.samples import example_pictures
from maskexplain.explain.blur_test import blur_test
from maskexplain.explain.explain import ExplainError, explain, forward_pass
from maskexplain.explain.methods import BASELINES, METHODS
from maskexplain.explain.verdicts import verdict_of
from maskexplain.images import pool
from maskexplain.images.crops import find_subjects
from maskexplain.images.edit import turned
from maskexplain.images.read import read_image
from maskexplain.masks.task import MASK
from maskexplain.models.results import ExplanationScores, Results, Unsure
from maskexplain.models.version import Model
from maskexplain.web import door

AUTH = ("ada", "löwe:1")


class HeldModel(Model):
    """Answers as soon as `released` is set; `asked` counts crops, a `begun` comes for each call."""

    def __init__(self) -> None:
        super().__init__("held", TinyCNN(), MASK)
        self.asked = 0
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()

    def logits_of(self, inputs):
        self.asked += len(inputs)
        self.begun.release()
        assert self.released.wait(20)
        return super().logits_of(inputs)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [version("older", 0), version("newer", 1)]


@pytest.fixture(scope="module")
def client(models, tmp_path_factory) -> Iterator[httpx.Client]:
    with page_server(models, tmp_path_factory.mktemp("examples")) as client:
        yield client


@pytest.fixture(scope="module")
def pair() -> bytes:
    """Two faces; the smaller one stands left."""
    portrait = example_pictures(whole=True)[0].image
    both = Image.new("RGB", (900, 600))
    both.paste(portrait.resize((340, 400)), (0, 100))
    both.paste(portrait, (380, 0))
    return encoded(both)


# --- answers


def test_a_client_of_the_original_gets_its_answer(client, models):
    reply = client.post("/predict", files={"file": BytesIO(CROP)})
    assert reply.status_code == 200
    expected = models[-1].predict([read_image(CROP)])[0]
    assert reply.json()["prediction"] == expected.label
    assert reply.json()["confidence"] == pytest.approx(100 * expected.confidence)
    assert reply.json()["confidence"] > 33, "the most likely of three, in percent"


def test_faces_come_largest_first_and_the_first_one_stands_at_the_top(client, models, pair):
    reply = send(client, "/predict", pair, model="older").json()
    subjects = find_subjects(read_image(pair))
    expected = models[0].predict(subjects.images)
    first, second = reply["faces"]
    assert first["box"][0] > 380 > second["box"][0]
    for face, found, prediction in zip(reply["faces"], subjects.faces, expected, strict=True):
        assert face["box"] == pytest.approx(found.box, abs=0.01) and face["score"] == found.score
        assert face["probabilities"] == pytest.approx(prediction.probabilities)
        assert list(face["probabilities"]) == list(CLASSES)
    assert {key: first[key] for key in ("prediction", "confidence", "probabilities")} == {
        key: reply[key] for key in ("prediction", "confidence", "probabilities")
    }
    assert reply["model"] == "older"


def test_unsure_answers_are_marked(client, models, pair, monkeypatch):
    assert send(client, "/predict", pair).json()["unsure"] is False
    monkeypatch.setattr(models[-1], "results", Results(unsure=Unsure(1.0)))
    reply = send(client, "/predict", pair).json()
    assert reply["unsure"] and all(face["unsure"] for face in reply["faces"])
    assert client.get("/models").json()["models"][-1]["unsure_below"] == 100


def test_the_whole_picture_is_answered_where_asked_for_or_tight(client, models, pair):
    whole = send(client, "/predict", pair, whole="true").json()
    expected = models[-1].predict([read_image(pair)])[0]
    assert whole["faces"] == [] and whole["probabilities"] == pytest.approx(expected.probabilities)
    assert send(client, "/predict", CROP).json()["faces"] == []


def test_photo_on_its_side_says_how_to_turn_it(client, models, pair):
    upright = send(client, "/predict", pair).json()
    assert (upright["remark"], upright["turn"]) == (None, 0)
    lying = encoded(turned(read_image(pair), 90))
    for path in ("/predict", "/explain"):
        reply = send(client, path, lying).json()
        assert reply["turn"] == 270 and "to the left" in reply["remark"]
        assert reply["size"] == upright["size"][::-1]
        assert reply["probabilities"] == pytest.approx(upright["probabilities"], abs=0.02)


def test_explain_adds_the_heat_of_the_largest_face(client, models, pair):
    fields = {"method": "integrated_gradients", "target": "without_mask"}
    reply = send(client, "/explain", pair, **fields).json()
    explanation = reply.pop("explanation")
    plain = send(client, "/predict", pair).json()
    probabilities = reply.pop("probabilities"), plain.pop("probabilities")
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-6)
    assert [face["box"] for face in reply.pop("faces")] == [f["box"] for f in plain.pop("faces")]
    assert reply == plain
    crop = find_subjects(read_image(pair)).images[0]
    expected = explain(models[-1], crop, **fields)
    assert {key: explanation[key] for key in fields} == fields
    assert explanation["completeness_gap"] == pytest.approx(expected.completeness_gap, abs=1e-5)
    gray = Image.open(BytesIO(base64.b64decode(explanation["heatmap_png"])))
    heat = np.clip(expected.heatmap, 0, None)
    assert gray.mode == "L" and gray.size == crop.size
    assert np.abs(np.asarray(gray) - 255 * heat / heat.max()).max() <= 1
    drawn = Image.open(BytesIO(base64.b64decode(explanation["overlay_png"])))
    assert drawn.mode == "RGB" and max(drawn.size) == 320


def test_explain_takes_the_predicted_class_and_the_versions_best_way_by_default(
    client, models, monkeypatch
):
    with monkeypatch.context() as measured:
        scores = ExplanationScores("integrated_gradients/blurred", {}, {})
        measured.setattr(models[-1], "results", Results(explanations=scores))
        reply = send(client, "/explain").json()
        black = send(client, "/explain", baseline="black").json()["explanation"]
    assert (black["method"], black["baseline"]) == ("integrated_gradients", "black")
    explanation = reply["explanation"]
    assert explanation["target"] == reply["prediction"]
    assert (explanation["method"], explanation["baseline"]) == ("integrated_gradients", "blurred")
    assert send(client, "/explain").json()["explanation"]["baseline"] == "gray"


def test_explain_says_how_far_to_believe_it(client, models):
    fields = {"method": "occlusion", "target": "with_mask", "against": "without_mask"}
    told = send(client, "/explain", CROP, **fields).json()["explanation"]
    crop = read_image(CROP)
    explanation = explain(models[-1], crop, **fields)
    [test] = blur_test(forward_pass(models[-1], [crop]), [explanation])
    assert told["blur_test"] == pytest.approx(asdict(test), abs=1e-5)
    assert told["verdict"]["key"] == verdict_of(explanation, test).key
    assert told["against"] == "without_mask" and told["completeness_gap"] is None
    assert told["record"] and told["second_opinion"] is None
    asked = {"method": "grad_cam", "second_opinion": "true"}
    second = send(client, "/explain", CROP, **asked).json()["explanation"]["second_opinion"]
    assert second["filling"] == "ROAD" and len(second["random_head"]["draws"]) == 10
    problem = send(client, "/explain", CROP, target="with_mask", against="with_mask")
    assert problem.status_code == 422 and "against itself" in problem.json()["detail"]


def test_an_empty_heat_is_black(tiny):
    with torch.no_grad():
        tiny.network.head[-1].weight.zero_()
    reply = explain_image(tiny, BytesIO(CROP))
    gray = Image.open(BytesIO(base64.b64decode(reply.explanation.heatmap_png)))
    assert gray.size == (90, 100) and gray.getextrema() == (0, 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows counts no core's time")
def test_picture_that_takes_too_long_is_refused_and_the_next_one_answered(client, monkeypatch):
    hurried = pool.Pool(1, pool.Bounds(seconds=0.03))
    monkeypatch.setattr(pool, "POOL", hurried)
    large = encoded(Image.new("RGB", (5000, 4000), "white"))
    reply = send(client, "/predict", large)
    assert (reply.status_code, reply.json()["detail"]) == (400, pool.TOO_LONG)
    assert send(client, "/predict").status_code == 200
    hurried.close()


def test_file_that_is_cut_off_is_answered_with_a_remark(client, pair):
    reply = send(client, "/predict", pair[:-12]).json()
    assert "all of the picture is there" in reply["remark"] and len(reply["faces"]) == 2
    assert reply["turn"] == 0


def test_unknown_names_are_errors_without_http_too(tiny):
    with pytest.raises(ExplainError, match="There is no method"):
        explain_image(tiny, BytesIO(CROP), method="tea_leaves")


def test_models_and_health(client):
    unmeasured = {"unsure_below": 0, "balanced_accuracy": None, "dark_35": None}
    unmeasured["classes"] = list(CLASSES)
    versions = [{"name": "older", **unmeasured}, {"name": "newer", **unmeasured}]
    assert client.get("/models").json() == {"newest": "newer", "models": versions}
    assert client.get("/healthz").json() == {"status": "ok"}


def test_models_tell_what_was_measured():
    results = measured(shifts={"dark_35": scores(balanced=0.6)})
    reply = list_models([version("older", 0), version("newer", 1, results)])
    assert [(m.balanced_accuracy, m.dark_35) for m in reply.models] == [(None, None), (0.9, 0.6)]


def test_the_page_and_its_queue_work_beside(client):
    assert "Mask explainer" in client.get("/").text
    config = client.get("/config").json()
    parts = {part["id"]: part["props"] for part in config["components"]}
    photo = next(key for key, props in parts.items() if props.get("elem_id") == "photo")
    change = next(d for d in config["dependencies"] if [photo, "change"] in d["targets"])
    values = [parts[key].get("value") for key in change["inputs"]]
    event = {"data": values, "fn_index": change["id"], "session_hash": "s"}
    assert client.post("/gradio_api/queue/join", json=event).status_code == 200
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "s"}) as stream:
        messages = [json.loads(line[5:]) for line in stream.iter_lines() if line]
    done = next(m for m in messages if m["msg"] == "process_completed")
    assert done["success"]


def test_concurrent_requests_each_get_their_own_answer(client, models):
    pictures = [encoded(noise(seed, (60, 64))) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda picture: send(client, "/predict", picture), pictures))
    for picture, reply in zip(pictures, replies, strict=True):
        expected = predict_image(models[-1], read_image(BytesIO(picture)))
        assert reply.json()["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert len({reply.json()["confidence"] for reply in replies}) == 24


# --- the description


def test_the_description_is_typed_and_has_examples(client):
    description = client.get("/openapi.json").json()
    assert list(description["paths"]) == ["/predict", "/explain", "/models", "/healthz"]
    explain_route = description["paths"]["/explain"]["post"]
    assert set(explain_route["responses"]) == {"200", *map(str, routes.PROBLEMS)}
    schemas = description["components"]["schemas"]
    fields = schemas["Body_post_explain_explain_post"]["properties"]
    assert fields["model"]["enum"] == ["older", "newer"] and fields["model"]["default"] == "newer"
    assert fields["method"]["enum"] == list(METHODS)
    assert fields["baseline"]["enum"] == list(BASELINES)
    for name in ("PredictReply", "ExplainReply", "ModelsReply", "Problem"):
        model = getattr(replies, name)
        assert model.model_validate(schemas[name]["examples"][0])
    assert all("description" in field for field in schemas["FaceAnswer"]["properties"].values())


def test_docs_ask_no_other_server(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for text in ("POST /predict", "GET /healthz", "curl -F file=@photo.jpg", "older, newer"):
        assert text in page.text
    assert "<script" not in page.text and "src=" not in page.text and "https:" not in page.text


# --- refusals

NO_FACE = encoded(noise(3, (640, 480)))
HUGE = encoded(Image.new("1", (8000, 6000)))


@pytest.mark.parametrize(
    ("picture", "fields", "status", "piece"),
    [
        (b"no picture", {}, 400, "text, not a picture"),
        (b"", {}, 400, "empty"),
        (CROP[:300], {}, 400, "damaged"),
        (HUGE, {}, 413, "megapixels"),
        (NO_FACE, {}, 422, "No face was found"),
        (CROP, {"model": "../newer"}, 422, "The field model is wrong"),
        (CROP, {"model": "checkpoints/v1.safetensors"}, 422, "'older' or 'newer'"),
        (CROP, {"method": "tea_leaves"}, 422, "The field method is wrong"),
        (CROP, {"target": "hat"}, 422, "The field target is wrong"),
        (CROP, {"whole": "perhaps"}, 422, "The field whole is wrong"),
    ],
)
def test_bad_requests_get_one_sentence(client, picture, fields, status, piece):
    reply = send(client, "/explain", picture, **fields)
    assert reply.status_code == status
    assert list(reply.json()) == ["detail"]
    sentence = reply.json()["detail"]
    assert piece in sentence and sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    "body", [{}, {"data": {"file": "text"}}, {"json": {"file": "x"}}, {"files": {"photo": CROP}}]
)
def test_a_missing_file_is_said(client, body):
    reply = client.post("/predict", **body)
    assert reply.status_code == 422 and reply.json()["detail"] == guard.NO_FILE


def head(client: httpx.Client, more: str, path: str = "/predict") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {client.base_url.host}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\n{more}\r\n\r\n"
    ).encode()


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


@contextmanager
def connection(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port), 10) as link:
        yield link


def test_a_large_body_is_refused_before_it_is_sent(client):
    with connection(client) as link:
        link.sendall(head(client, f"Content-Length: {10**11}"))
        assert link.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_addresses_that_wait_take_turns():
    told: list[str] = []

    async def ask(workers: guard.Workers, who: str) -> None:
        async with workers.place(who):
            told.append(who)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        workers = guard.Workers(1)
        asked = [asyncio.create_task(ask(workers, who)) for who in "aaaaabc"]
        await asyncio.sleep(0)
        asked[2].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        async with asyncio.timeout(1), workers.place("d"):
            told.append("d")

    with ThreadPoolExecutor(1) as apart:  # a browser's loop may be running in this thread
        apart.submit(asyncio.run, all_of_them()).result()
    assert told == [*"aabcaa", "d"]


def test_one_address_does_not_fill_the_house():
    one, other = ({"client": (host, 1)} for host in ("9.9.9.9", "9.9.9.8"))
    door = guard.Guard(None, guard.LIMIT)
    with ExitStack() as inside:
        for _ in range(guard.LIMIT_EACH):
            inside.enter_context(door._place(guard.address(one)))
        with pytest.raises(HTTPException, match="429"):
            inside.enter_context(door._place(guard.address(one)))
        inside.enter_context(door._place(guard.address(other)))
    assert not door._inside, "nobody is remembered"


def test_a_form_of_another_kind_is_refused_before_it_is_sent(client):
    kind = "Content-Type: application/x-www-form-urlencoded"
    with connection(client) as link:
        link.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{kind}\r\n".encode())
        link.sendall(b"Content-Length: 9000000\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 422 ")


def test_a_large_body_of_unknown_length_is_refused_before_its_end(client):
    chunk = b"%x\r\n%s\r\n" % (2**20, bytes(2**20))
    with connection(client) as link:
        link.sendall(head(client, "Transfer-Encoding: chunked"))
        link.sendall(b"%x\r\n%s\r\n" % (len(PART), PART))
        for _ in range(MAX_BODY // 2**20 + 1):
            link.sendall(chunk)
        assert link.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_the_413_reaches_a_client_that_sends_on(client):
    reply = send(client, "/predict", bytes(MAX_BODY + 1))
    assert (reply.status_code, reply.json()["detail"]) == (413, guard.too_large(MAX_BODY))


def test_a_slow_upload_ends(models, monkeypatch):
    monkeypatch.setattr(guard, "UPLOAD_SECONDS", 0.3)
    with plain_server(make_router(models)) as client, connection(client) as link:
        link.sendall(head(client, "Content-Length: 1000") + PART)
        assert link.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_full_disk_is_no_bad_picture(models, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with plain_server(make_router(models)) as client:
        reply = send(client, "/predict", bytes(3 * 2**20))  # such an upload is spooled to disk
    assert (reply.status_code, reply.json()["detail"]) == (507, guard.DISK_FULL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_upload_stays_open(client):
    def nameless() -> list[str]:
        opened = []
        for number in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # closed since it was listed
                opened.append(os.readlink(f"/proc/self/fd/{number}"))
        return sorted(name for name in opened if name.endswith("(deleted)"))

    before = nameless()  # pytest's own
    large = encoded(noise(5, (1500, 1500)), "BMP")
    assert len(large) > 2**20, "such an upload is spooled to disk"
    for picture, status in ((large, 200), (large[: len(large) // 2], 400), (bytes(MAX_BODY), 413)):
        assert send(client, "/predict", picture, whole="true").status_code == status
    with connection(client) as link:
        link.sendall(head(client, f"Content-Length: {MAX_BODY}") + PART + large)
        assert soon(lambda: len(nameless()) == len(before) + 1), "half an upload is open"
    assert soon(lambda: nameless() == before)


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether it is so within ten seconds."""
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()


# --- load


@pytest.fixture
def held() -> Iterator[HeldModel]:
    model = HeldModel()
    yield model
    model.released.set()


def fill(
    client: httpx.Client, pool: ThreadPoolExecutor, held: HeldModel, count: int
) -> list[Future]:
    """Requests that the model holds, one after another: those that wait would share a batch."""
    inside = []
    for _ in range(count):
        inside.append(pool.submit(send, client, "/predict"))
        assert held.begun.acquire(timeout=60)
    return inside


def test_a_full_house_says_503_and_recovers(held):
    with plain_server(make_router([held], limit=2)) as client, ThreadPoolExecutor(2) as pool:
        inside = fill(client, pool, held, 2)
        refused = send(client, "/predict")
        assert refused.status_code == 503 and refused.json()["detail"] == guard.FULL
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200, "the event loop is free"
        held.released.set()
        assert [future.result().status_code for future in inside] == [200, 200]
        assert send(client, "/predict").status_code == 200


def test_a_client_that_leaves_while_it_waits_costs_nothing(held):
    with plain_server(make_router([held])) as client, ThreadPoolExecutor(WORKERS) as pool:
        inside = fill(client, pool, held, WORKERS)
        body = PART + CROP + b"\r\n--b--\r\n"
        with connection(client) as link:
            link.sendall(head(client, f"Content-Length: {len(body)}") + body)
            time.sleep(0.3)
        time.sleep(1)  # until a crowded machine has seen that it left
        held.released.set()
        assert [future.result().status_code for future in inside] == [200] * WORKERS
        for _ in range(5):  # they stand behind the one that left, so its turn has passed
            assert send(client, "/predict").status_code == 200
        assert held.asked == WORKERS + 5


# --- credentials


@pytest.fixture(scope="module")
def locked(models, tmp_path_factory) -> Iterator[httpx.Client]:
    with page_server(models, tmp_path_factory.mktemp("locked"), AUTH) as client:
        yield client


PROTECTED = (
    ("POST", "/predict"),
    ("POST", "/explain"),
    ("GET", "/models"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
)


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_auth_covers_every_route(locked, monkeypatch, method, path):
    monkeypatch.setattr(door, "WRONG_SECONDS", 0.0)  # five wrong ones in a row
    request = {"files": {"file": CROP}} if method == "POST" else {}
    wrong = ["Basic", "Basic !", "Basic ä".encode(), "Bearer " + "x" * 9, "Basic YWRhOmzDtndl"]
    for header in wrong:
        reply = locked.request(method, path, headers={"Authorization": header}, **request)
        assert reply.status_code == 401, header
    reply = locked.request(method, path, **request)
    assert (reply.status_code, reply.json()["detail"]) == (401, guard.CREDENTIALS)
    assert reply.headers["www-authenticate"].startswith("Basic ")
    assert locked.request(method, path, auth=AUTH, **request).status_code == 200


def test_health_needs_no_credentials_and_the_page_asks_for_them(locked):
    assert locked.get("/healthz").status_code == 200
    assert locked.get("/config").status_code == 401
    assert locked.post("/login", data=dict(zip(("username", "password"), AUTH, strict=True))).json()


def test_credentials_are_asked_for_before_the_body(locked):
    with connection(locked) as link:
        link.sendall(head(locked, "Content-Length: 1000"))
        assert link.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_the_description_shows_that_credentials_are_needed(locked, client):
    shown = locked.get("/openapi.json", auth=AUTH).json()
    assert shown["paths"]["/predict"]["post"]["security"] == [{"HTTPBasic": []}]
    assert "security" not in client.get("/openapi.json").json()["paths"]["/predict"]["post"]


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_fields_that_would_be_left_out_are_refused_and_not_ignored(client, path):
    for fields, said in (
        ({"modle": "v2"}, "known are file, model"),
        ({"Model": "v2"}, "known are file, model"),
        ({"model": ["v2", "v2"]}, "twice"),
        ({"whole": ["true", "false"]}, "twice"),
    ):
        reply = client.post(path, files={"file": ("a.png", CROP)}, data=fields)
        assert reply.status_code == 422 and said in reply.json()["detail"]


def test_options_in_the_address_are_refused_and_not_ignored(client):
    for path in ("/predict?model=older", "/explain?method=occlusion"):
        reply = send(client, path)
        assert reply.status_code == 422 and "fields of the form" in reply.json()["detail"]


def test_two_files_are_refused_and_not_half_answered(client):
    files = [("file", ("one.png", CROP)), ("file", ("two.png", CROP))]
    reply = client.post("/predict", files=files)
    assert reply.status_code == 422 and "one picture a request" in reply.json()["detail"]


def test_monitors_may_ask_for_the_head_alone(client):
    reply = client.head("/healthz")
    assert reply.status_code == 200 and reply.content == b""


@pytest.mark.parametrize("wrong", ["boundary", "part", "fields"])
def test_a_form_that_cannot_be_read_is_one_sentence(client, wrong):
    part = 'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nx\r\n'
    field = "--b\r\n" + part.replace('; filename="a.png"', "")
    bodies = {
        "boundary": "--another\r\n" + part,
        "part": "--b\r\nX: y\r\n\r\nx\r\n--b--\r\n",
        "fields": 1200 * field + "--b--\r\n",
    }
    kind = {"content-type": "multipart/form-data; boundary=b"}
    reply = client.post("/predict", content=bodies[wrong], headers=kind)
    assert (reply.status_code, reply.json()["detail"]) == (400, guard.BAD_FORM)
