"""A hostile client at the door: what is not on the list, what comes too large, slow or often."""

import asyncio
import json
import re
import socket
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from browser import needs_browser, upload
from fastapi import HTTPException
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from playwright.sync_api import expect
from servers import CROP, build_page, page_server, trap, version, write_examples
from starlette.requests import Request
from starlette.routing import Mount

from maskexplain.api import guard
from maskexplain.web import door, serve
from maskexplain.web.door import MCP, PAGE, House, Opening, fits

AUTH = ("ada", "secret")
SITE = "https://elsewhere.example"
# What Gradio has beside the list, and nobody is let in to.
SHUT = """
GET /config/
POST /login/  GET /logout  GET /manifest.json
GET /monitoring  GET /monitoring/summary  GET /monitoring/{key}  GET /pwa_icon  GET /pwa_icon/{size}
GET /gradio_api/app_id/  GET /gradio_api/call/v2/{api_name}/{event_id}
GET /gradio_api/custom_component/{id}/{environment}/{type}/{file_name}
GET /gradio_api/deep_link  GET /gradio_api/dev/reload  GET /gradio_api/file/{path:path}
GET /gradio_api/info/  GET /gradio_api/login_check  GET /gradio_api/login_check/
GET /gradio_api/openapi.json  GET /gradio_api/proxy={url_path:path}
HEAD /gradio_api/proxy={url_path:path}  GET /gradio_api/queue/status  GET /gradio_api/runs
GET /gradio_api/runs/  GET /gradio_api/startup-events
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}
GET /gradio_api/theme.css  GET /gradio_api/token  GET /gradio_api/token/  GET /gradio_api/user
GET /gradio_api/user/  GET /gradio_api/vibe-code  GET /gradio_api/vibe-code/
POST /gradio_api/api/{api_name}  POST /gradio_api/api/{api_name}/
POST /gradio_api/call/v2/{api_name}  POST /gradio_api/call/v2/{api_name}/
POST /gradio_api/call/{api_name}/  POST /gradio_api/component_server
POST /gradio_api/component_server/  POST /gradio_api/process_recording  POST /gradio_api/reset/
POST /gradio_api/run/{api_name}/  POST /gradio_api/undo-vibe-edit  POST /gradio_api/undo-vibe-edit/
POST /gradio_api/vibe-code  POST /gradio_api/vibe-code/  POST /gradio_api/vibe-edit
POST /gradio_api/vibe-edit/  POST /gradio_api/vibe-starter-queries
POST /gradio_api/vibe-starter-queries/
GET /gradio_api/mcp/schema  GET /gradio_api/mcp/sse  HEAD /gradio_api/mcp/schema
HEAD /gradio_api/mcp/sse  * /gradio_api/mcp/messages
"""
LISTED = re.findall(r"(\S+) (/\S*)", SHUT)


@pytest.fixture(scope="module")
def models():
    return [version("v1", 0), version("v2", 1)]


@pytest.fixture(scope="module")
def server(models, tmp_path_factory) -> Iterator[httpx.Client]:
    with page_server(models, tmp_path_factory.mktemp("open"), mcp=True) as client:
        yield client


@pytest.fixture(scope="module")
def locked(models, tmp_path_factory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("locked")
    with page_server(models, folder, auth=AUTH, origins=[SITE]) as client:
        yield client


# --- the list


def walk(routes, prefix="") -> Iterator[tuple[str, str]]:
    for route in routes:
        if hasattr(route, "original_router"):  # FastAPI's own, of include_router
            yield from walk(route.original_router.routes, prefix)
        elif isinstance(route, Mount):
            if not route.routes:
                yield "*", prefix + route.path
            yield from walk(route.routes or (), prefix + route.path)
        else:
            yield from ((method, prefix + route.path) for method in route.methods)


def sample(path: str) -> str:
    """A path as a visitor might ask for it."""
    return re.sub(r"\{[^}]*\}", "x1", path)


def is_open(method: str, path: str) -> bool:
    fitting = (route for route in (*PAGE, *MCP) if route.fits(path))
    return any(method in (*route.methods, "*") for route in fitting)


def test_every_route_of_gradio_is_known(models, tmp_path):
    page = build_page(models, write_examples(tmp_path, whole=True)[:1])
    serve._door(page, models, None, "", True, (), None)
    found = set(walk(page.app.routes))
    assert len(found) > 80
    shut = {route for route in found if not is_open(route[0], sample(route[1]))}
    # What an open one of Gradio's names with a parameter is open for the names on the list alone.
    named = {("POST", f"/gradio_api/{kind}/{{api_name}}") for kind in ("call", "run")}
    named.add(("GET", "/gradio_api/call/{api_name}/{event_id}"))
    assert shut - named == set(LISTED) & found
    assert not set(LISTED) - found, "Gradio has these no more: take them off"


@pytest.mark.parametrize(("method", "path"), LISTED)
def test_what_is_not_on_the_list_is_not_there(server, method, path):
    body = {"json": {}} if method == "POST" else {}
    reply = server.request("POST" if method == "*" else method, sample(path), **body)
    slash = path.endswith("/") and path.rstrip("/") in ("/config", "/login", "/gradio_api/info")
    slash = slash or path in ("/gradio_api/app_id/", "/gradio_api/reset/")
    assert reply.status_code in ((200, 422) if slash else (404, 405)), reply.text
    if not slash and method != "HEAD":
        assert reply.json()["detail"] in (door.NOTHING, door.NOT_SO)


@pytest.mark.parametrize(
    "path",
    [
        "//config",
        "/gradio_api//queue/join",
        "/gradio_api/queue/join/../../../logout",
        "/%2e%2e/logout",
        "/gradio_api/call/other",
        "/gradio_api/run/explain",
        "/assets",
        "/predict/more",
        f"/assets/{300 * 'a'}",
        f"/gradio_api/heartbeat/{300 * 'a'}",
        "/gradio_api/file=",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../../../etc/passwd",
        "/gradio_api/file=http://127.0.0.1:9/",
        "/gradio_api/file=http://example.com/a.png",
        "/gradio_api/file=//example.com/a.png",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ways_around_the_list(server, method, path):
    # By hand: httpx tidies paths up.
    with connection(server) as link:
        link.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert link.recv(4096).startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))


def test_patterns():
    for path, pattern, fitting in (
        ("/a/b", "/a/*", True),
        ("/a/", "/a/*", False),
        ("/a/b/c", "/a/*", True),
        ("/a/b/c", "/a/*/c", True),
        ("/a/b/d/c", "/a/*/c", False),
        ("/a//c", "/a/*/c", False),
        ("/file=/x/y", "/file=*", True),
        ("/file=", "/file=*", False),
        ("/", "/", True),
    ):
        assert fits(path.split("/"), pattern.split("/")) is fitting, (path, pattern)


def test_a_body_of_two_lengths_ends_the_connection(server):
    lengths = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connection(server) as link:
        link.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + lengths + hidden)
        told = b"".join(iter(lambda: link.recv(4096), b""))
    assert told.startswith(b"HTTP/1.1 400 ") and told.count(b"HTTP/1.1 ") == 1


# --- credentials


@contextmanager
def connection(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port), 10) as link:
        yield link


def several(client: httpx.Client, count: int) -> list[socket.socket]:
    place = (client.base_url.host, client.base_url.port)
    return [socket.create_connection(place, 10) for _ in range(count)]


@pytest.mark.parametrize("opening", [one for one in PAGE if not one.public])
def test_credentials_come_before_the_body(locked, opening: Opening):
    path = opening.path.replace("*", "x")
    if "file=" in path:
        path = path.replace("x", f"{get_upload_folder()}/a.png")
    with connection(locked) as link:
        head = f"{opening.methods[0]} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
        link.sendall(head.encode())
        assert link.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_who_has_logged_in_gets_all(locked, tmp_path):
    (tmp_path / "a.png").write_bytes(CROP)
    client = Client(str(locked.base_url), verbose=False, auth=AUTH)
    told = client.predict(handle_file(str(tmp_path / "a.png")), api_name="/predict")
    assert told["model"] == "v2"


def test_wrong_passwords_are_held_back_and_the_right_one_is_not(locked, monkeypatch):
    monkeypatch.setattr(door, "WRONG_SECONDS", 1.0)
    away, near = ({"X-Forwarded-For": name} for name in ("9.9.9.7", "9.9.9.8"))
    url = f"{locked.base_url}/models"

    def guess(number: int) -> int:
        wrong = ("ada", f"wrong{number}")
        return httpx.get(url, auth=wrong, headers=away, timeout=30).status_code

    with ThreadPoolExecutor(12) as pool:
        began = time.monotonic()
        guesses = pool.map(guess, range(12))
        assert httpx.get(url, auth=AUTH, headers=near).status_code == 200
        told = sorted(guesses)
        taken = time.monotonic() - began
    assert told.count(401) <= door.GUESSING_EACH * (1 + taken) and 429 in told
    assert taken >= 1
    wrong = {"username": "ada", "password": "wrong"}
    began = time.monotonic()
    assert locked.post("/login", data=wrong).status_code == 400
    assert time.monotonic() - began >= 1


# --- what a body may hold

KIND = {"_type": "gradio.FileData"}
JSON = [f"/gradio_api/{path}" for path in ("queue/join", "call/predict", "stream/x", "cancel")]


@pytest.mark.parametrize("path", [*JSON, "/gradio_api/mcp/"])
def test_addresses_and_files_are_refused_wherever_they_stand(server, path):
    with trap() as (url, asked):
        for file in (
            {"path": url, "meta": KIND},
            {"path": None, "url": url, "meta": KIND},
            {"url": url},
            {"path": "/etc/passwd", "meta": KIND},
            {"path": "C:\\secret.txt", "meta": KIND},
            {"path": "file:///etc/passwd", "meta": KIND},
            {"path": "a\0b", "meta": KIND},
        ):
            for place in (file, [file], {"value": {"deep": [file]}}):
                for where in ("data", "event_data"):
                    body = {"data": ["", place], "session_hash": "s", "fn_index": 1}
                    reply = server.post(path, json={**body, where: [place]})
                    assert (reply.status_code, reply.json()["detail"]) == (422, door.ADDRESS)
        assert asked == []


def test_an_upload_of_ones_own_may_be_named(server):
    [path] = server.post("/gradio_api/upload", files={"files": ("a.png", CROP)}).json()
    for model in ("v2", None):  # None: the newest
        body = {"data": [{"path": path, "meta": KIND}, model, False]}
        event = server.post("/gradio_api/call/predict", json=body).json()["event_id"]
        told = server.get(f"/gradio_api/call/predict/{event}").text
        assert "prediction" in told and '"model": "v2"' in told
    assert server.get(f"/gradio_api/file={path}").content == CROP


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"NaN", 400),
        (b"\xff", 400),
        (b"[" * 40_000, 400),
        (b"[" * 100_000, 413),
        (b"[" * 100 + b"]" * 100, 413),
        (json.dumps([0] * 200_000).encode(), 413),
        (json.dumps([{} for _ in range(100_000)]).encode(), 413),
    ],
)
def test_json_that_would_take_long(server, body, status):
    kind = {"content-type": "application/json"}
    for path in ("/gradio_api/queue/join", "/gradio_api/call/predict"):
        began = time.monotonic()
        assert server.post(path, content=body, headers=kind).status_code == status
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("part", [b"[],", b"{},", b"1.5,", b'"",'])
def test_json_is_counted_before_it_is_parsed(part, tmp_path):
    content = b"[" + part * 10**6 + b"0]"
    tracemalloc.start()
    with pytest.raises(HTTPException, match="413"):
        door.check_json(content, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_names_that_the_queue_remembers_are_short(server):
    long = "x" * 5000
    for path in ("queue/join", "call/predict", "cancel", "reset"):
        for name in ("session_hash", "event_id"):
            reply = server.post(f"/gradio_api/{path}", json={"data": [], name: long})
            assert (reply.status_code, reply.json()["detail"]) == (422, door.LONG_NAME)
    for path in (
        f"heartbeat/{long}",
        f"queue/data?session_hash={long}",
        f"upload_progress?upload_id={long}",
    ):
        reply = server.get(f"/gradio_api/{path}")
        assert (reply.status_code, reply.json()["detail"]) == (414, door.LONG_ADDRESS)


def test_a_session_that_is_not_known_is_told_in_order(server, caplog):
    told = server.get("/gradio_api/queue/data?session_hash=nobody")
    assert '"session_not_found":true' in told.text
    assert caplog.records == []


JOIN = "/gradio_api/queue/join"
ODD = {
    "no field": ("/login", {"data": {}}),
    "data that is no list": (JOIN, {"json": {"data": "a photo"}}),
    "no such event": (JOIN, {"json": {"data": [], "fn_index": -1, "session_hash": "s"}}),
    "no name": (JOIN, {"json": {"data": [], "fn_index": 1, "session_hash": ""}}),
    "a field, and a name to ask after it": (
        "/gradio_api/upload?upload_id=a",
        {"files": {"x": (None, b"a photo")}},
    ),
    "a long boundary": (
        "/gradio_api/upload",
        {
            "content": b"a photo",
            "headers": {"content-type": f"multipart/form-data; boundary={300 * 'b'}"},
        },
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_gradios_routes_refuse_in_a_sentence_and_a_line(server, caplog, name):
    path, sent = ODD[name]
    reply = server.post(path, **sent)
    assert (reply.status_code, reply.json()["detail"]) == (422, serve.NOT_UNDERSTOOD)
    [told] = [serve.Discreet().format(record) for record in caplog.records]
    assert "\n" not in told and "a photo" not in told


@pytest.mark.parametrize("ranges", ["bytes=0-0,1-1", "bytes=--5", "bytes=0-" + "9" * 5000])
def test_odd_ranges_of_a_file(server, ranges):
    [path] = server.post("/gradio_api/upload", files={"files": ("a.png", CROP)}).json()
    reply = server.get(f"/gradio_api/file={path}", headers={"range": ranges})
    assert reply.status_code in (400, 416, 422)


@pytest.mark.parametrize("opening", [one for one in (*PAGE, *MCP) if "POST" in one.methods])
def test_every_body_has_its_limit(server, opening: Opening):
    head = f"POST {opening.path.replace('*', 'x')} HTTP/1.1\r\nHost: x\r\n"
    with connection(server) as link:
        link.sendall(f"{head}Content-Length: {opening.limit + 1}\r\n\r\n".encode())
        assert link.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert 0 < opening.limit <= 30 * 2**20


def test_a_body_that_does_not_tell_its_size_is_counted(server):
    parts = (b"x" * 2**10 for _ in range(20))
    assert server.post("/gradio_api/cancel", content=parts).status_code == 413


# --- what comes slowly, often, or from elsewhere


def test_a_connection_that_says_nothing_is_closed(server, monkeypatch):
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.3)
    for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: ", b"\r\n"):
        with connection(server) as link:
            link.sendall(said)
            link.settimeout(5)
            with pytest.raises(ConnectionResetError):
                link.recv(100)
                raise ConnectionResetError  # closed in order
    with connection(server) as link:  # and one that has asked already may not linger with half
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in link.recv(4096)
        link.sendall(b"GET /hea")
        with pytest.raises(ConnectionResetError):
            link.recv(100)
            raise ConnectionResetError


def test_a_trickle_is_ended_and_blocks_nobody(server, monkeypatch):
    monkeypatch.setattr(guard, "FIRST_SECONDS", 0.5)
    links = [
        socket.create_connection((server.base_url.host, server.base_url.port)) for _ in "a" * 80
    ]
    try:
        for link in links:
            link.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
        reply = server.post("/predict", files={"file": ("a.png", CROP)})
        assert reply.status_code == 200, "slow senders take no place"
        assert b" 408 " in links[0].recv(4096)
    finally:
        for link in links:
            link.close()


def test_a_client_that_leaves_is_no_news(tmp_path):
    """Else strangers fill the log, sixty lines for each upload that they break off."""
    sent = []

    async def read_all(scope, receive, send):
        await Request(scope, receive).body()
        sent.append("read")

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    house = House(knows=lambda _: True, queued=lambda _: 0, uploads=tmp_path)
    routes = [Opening(("POST",), "/", 100, public=True)]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": None}
    with ThreadPoolExecutor(1) as apart:  # a browser's loop may be running in this thread
        apart.submit(asyncio.run, door.Door(read_all, routes, house)(scope, gone, send)).result()
    assert sent == []


def test_an_address_has_so_many_bodies_on_their_way(server):
    lead = "POST /predict HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.3\r\n"
    head = f"{lead}Content-Length: 999\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    links = several(server, door.ARRIVING_EACH + 1)
    try:
        for link in links:
            link.sendall(head.encode())
            time.sleep(0.02)
        assert b" 429 " in links[-1].recv(4096)
        other = {"X-Forwarded-For": "9.9.9.4"}
        reply = server.post("/predict", files={"file": ("a.png", CROP)}, headers=other)
        assert reply.status_code == 200
    finally:
        for link in links:
            link.close()


@pytest.mark.parametrize(
    ("host", "proxies", "known"),
    [
        *((host, None, "") for host in ("127.0.0.1", "::1", "172.17.0.1", "fd00::7", "unknown")),
        ("fe80::1%eth0", None, ""),
        ("9.9.9.9", None, "9.9.9.9"),
        ("9.9.9.9", "*", "9.9.9.9"),
        ("2600:0:1:2:3:4:5:6", None, "2600:0:1:2::/64"),
        # Where proxies are named, other private addresses are clients.
        ("192.168.1.9", "192.168.1.1", "192.168.1.9"),
        ("192.168.1.1", "192.168.1.1, a-name", ""),
        ("10.0.0.7", "10.0.0.0/30", "10.0.0.7"),
        ("192.168.1.9", "*", ""),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_who_asks(host, proxies, known, monkeypatch):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if proxies is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
    assert door.address({"client": (host, 1)}) == known
    assert door.address({"client": None}) == ""


def test_private_addresses_take_turns_of_their_own():
    asking = [{"client": (f"192.168.1.{number}", 1)} for number in (7, 8)]
    assert [guard.turn(scope) for scope in asking] == ["192.168.1.7", "192.168.1.8"]


PUBLIC = {"Host": "faces.example", "Origin": SITE}


def allowed(reply: httpx.Response) -> list[str]:
    return sorted(name for name in reply.headers if name.startswith("access-control-"))


def test_no_other_site_is_given_leave_by_default(server):
    for path in ("/", "/config", "/healthz", "/models"):
        assert allowed(server.get(path, headers=PUBLIC)) == []
        asked = {**PUBLIC, "Access-Control-Request-Method": "POST"}
        assert allowed(server.options(path, headers=asked)) == []
    files = {"file": ("a.png", CROP)}
    cross = {**PUBLIC, "Sec-Fetch-Site": "cross-site"}
    assert server.post("/predict", files=files, headers=cross).status_code == 403
    assert server.post("/gradio_api/upload", files=files, headers=cross).status_code == 403
    own = {"Sec-Fetch-Site": "same-origin"}
    assert server.post("/predict", files=files, headers=own).status_code == 200


def test_sites_that_are_named_may_ask_the_api_alone_and_without_credentials(locked):
    asked = {**PUBLIC, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization"
    preflight = locked.options("/predict", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == SITE
    assert "access-control-allow-credentials" not in preflight.headers
    cross = {**PUBLIC, "Sec-Fetch-Site": "cross-site"}
    reply = locked.post("/predict", files={"file": ("a.png", CROP)}, headers=cross, auth=AUTH)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == SITE
    assert "access-control-allow-credentials" not in reply.headers
    other = {**cross, "Origin": "https://third.example"}
    assert locked.post("/predict", headers=other, auth=AUTH).status_code == 403
    assert allowed(locked.get("/", headers=PUBLIC)) == []


def test_a_slash_too_much_is_no_redirect(server):
    reply = server.post("/predict/", files={"file": ("a.png", CROP)})
    assert reply.status_code == 200 and reply.json()["prediction"]
    assert server.get("/healthz/").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/models", "/docs", "/openapi.json", "/config", "/theme.css"]
)
def test_who_asks_for_the_head_alone_gets_it(server, path):
    told, whole = server.head(path), server.get(path)
    assert (told.status_code, told.content) == (200, b"") and whole.status_code == 200
    assert told.headers["content-type"] == whole.headers["content-type"]


def test_what_never_ends_has_no_head(server):
    for path in ("/gradio_api/heartbeat/x", "/gradio_api/queue/data?session_hash=x", "/predict"):
        assert server.head(path).status_code == 405


@needs_browser[0]
def test_logging_in_by_the_page(browser, locked, tmp_path):
    page = browser.new_page()
    refused = []
    page.on("response", lambda r: r.status in (404, 405, 413) and refused.append(r.url))
    page.goto(str(locked.base_url))
    for password in ("wrong", AUTH[1]):
        page.get_by_label("username").fill(AUTH[0])
        page.get_by_label("password").fill(password)
        page.get_by_role("button", name="Login").click()
        if password == "wrong":
            expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    (tmp_path / "a.png").write_bytes(CROP)
    upload(page, tmp_path / "a.png")
    expect(page.get_by_role("region", name="Version v2")).to_be_visible()
    page.close()
    assert not refused
