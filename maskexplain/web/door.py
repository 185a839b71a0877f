"""The server's door: which routes there are, and what of a request is let through to them.

Whatever is not on the list is answered with 404, whoever asks. Credentials come before the body;
the body is bounded in size and time; JSON is looked through before Gradio reads it.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..api.guard import (
    FULL,
    GONE,
    MAX_BODY,
    RETRY_SECONDS,
    TOO_MANY,
    BoundedBody,
    address,
    too_large,
)
from .scratch import Scratch

KB, MB = 2**10, 2**20
FORM = MAX_BODY + 64 * KB  # a file and the form around it
DATA_URL = MAX_BODY * 3 // 2  # a file in base64, which adds a third
FRAME = 6 * MB  # Live's largest frame as a data URL
SMALL = 8 * KB

NOTHING = "There is nothing at this address."
NOT_SO = "This address cannot be asked in this way."
LOG_IN = "Log in first."
FOREIGN = "A page of another site asks here: the server must allow it by --cors."
TWO_LENGTHS = "The body's length is told in two ways: send Content-Length alone."
NO_JSON = "The body is no JSON that this server reads."
TOO_DEEP = "The JSON holds too much: send less."
LONG_NAME = "A name in the JSON is too long: send a session's or an event's own."
LONG_ADDRESS = "The address is too long: send what is long as the body."
ADDRESS = "Addresses and files of the server are not opened: upload the picture's file."
GUESSES = "Too many wrong passwords come from one address: wait some seconds."
NO_ROOM = "The room for uploads is full: try again in a minute."
RETRY = {"Retry-After": str(RETRY_SECONDS)}

# Of one address (one person, or one household), and of all.
OPEN_EACH = 100  # requests, a page's two endless ones among them
ARRIVING_EACH, ARRIVING = 16, 128  # bodies on their way
QUEUED_EACH = 8  # of the page's queue
GUESSING_EACH = 4  # wrong passwords whose refusal is held back
WRONG_SECONDS = 2.0  # how long it is held back

MAX_NODES, MAX_DEPTH = 50_000, 40  # of a JSON body
# Characters of a session's or an event's name, which the queue remembers; Gradio's own have 32.
MAX_NAME = 128
MAX_ADDRESS = 4096  # bytes of path and query: an upload's path has some 400
MAX_PART = 255  # bytes of a part of a path: no file's name is longer


@dataclass(frozen=True)
class Opening:
    """A route: what stands behind `*` is the visitor's.

    `limit`: of its body in bytes. `public`: it needs no credentials. `own`: it is of our own API,
    whose guard asks for them. `json`: its body is JSON. `queues`: it puts an event into the page's
    queue. `keeps`: it puts a file into the folder of uploads.
    """

    methods: tuple[str, ...]
    path: str
    limit: int = 0
    public: bool = False
    own: bool = False
    json: bool = False
    queues: bool = False
    keeps: bool = False

    def fits(self, path: str) -> bool:
        """Whether a decoded path is one of this route's."""
        return fits(path.split("/"), self.path.split("/"))


def fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path are those of a pattern; a last `*` takes all further ones."""
    for place, part in enumerate(pattern):
        if place >= len(path):
            return False
        head, star, _ = part.partition("*")
        if star and place == len(pattern) - 1:
            return path[place].startswith(head) and "/".join(path[place:]) != head
        if path[place] != part and not (part == "*" and path[place]):
            return False
    return len(path) == len(pattern)


GET = ("GET", "HEAD")
ENDLESS = ("GET",)  # an answer that ends when the visitor leaves
API = "/gradio_api"
# What the page and Gradio's own clients need, and no more.
PAGE = (
    Opening(GET, "/", public=True),  # or the form to log in
    Opening(GET, "/assets/*", public=True),
    Opening(GET, "/static/*", public=True),
    Opening(GET, "/svelte/*", public=True),
    Opening(GET, "/theme.css", public=True),
    Opening(GET, "/favicon.ico", public=True),
    Opening(GET, "/robots.txt", public=True),
    Opening(("POST",), "/login", SMALL, public=True),
    Opening(GET, "/config"),
    Opening(GET, f"{API}/info"),
    Opening(GET, f"{API}/app_id"),
    Opening(ENDLESS, f"{API}/heartbeat/*"),
    Opening(GET, f"{API}/file=*"),
    Opening(ENDLESS, f"{API}/upload_progress"),
    Opening(("POST",), f"{API}/upload", FORM, keeps=True),
    Opening(ENDLESS, f"{API}/queue/data"),
    Opening(("POST",), f"{API}/queue/join", FRAME, json=True, queues=True),
    # Of events beside the queue, which are the examples' alone.
    Opening(("POST",), f"{API}/run/predict", SMALL, json=True),
    Opening(("POST",), f"{API}/stream/*/close", SMALL, json=True),
    Opening(("POST",), f"{API}/stream/*", FRAME, json=True),
    Opening(("POST",), f"{API}/cancel", SMALL, json=True),
    Opening(("POST",), f"{API}/reset", SMALL, json=True),
    Opening(("POST",), f"{API}/call/predict", DATA_URL, json=True, queues=True),
    Opening(("POST",), f"{API}/call/explain", DATA_URL, json=True, queues=True),
    Opening(ENDLESS, f"{API}/call/predict/*"),
    Opening(ENDLESS, f"{API}/call/explain/*"),
)
# --mcp: its streamable HTTP. The older transport and the schema for other servers stay shut.
MESSAGE = 4 * MB  # what MCP's own package takes
MCP = tuple(
    Opening(("GET", "POST", "DELETE"), path, MESSAGE, json=True)
    for path in (f"{API}/mcp", f"{API}/mcp/")
)


def openings(router: APIRouter) -> tuple[Opening, ...]:
    """The routes of our own API. They ask for credentials themselves, before the body, too."""
    found = ((r.path, r.methods or set()) for r in router.routes if isinstance(r, Route))
    # The guard's limit is the lower one, and its sentence the better.
    return tuple(
        Opening(GET if "GET" in methods else tuple(methods), path, DATA_URL, own=True)
        for path, methods in found
    )


@dataclass(frozen=True)
class House:
    """What the door asks of the house behind it.

    `knows` says whether a request's cookies are those of somebody who has logged in; `queued` how
    many events of an address wait; `uploads` is the folder with the visitors' files, and `scratch`
    keeps its quota.
    """

    knows: Callable[[dict[str, str]], bool]
    queued: Callable[[str], int]
    uploads: Path
    scratch: Scratch | None = None


class Door:
    """ASGI middleware that lets through what is on the list, and bounds it.

    `origins`: the sites whose pages may ask our own API; never with a visitor's credentials.
    """

    def __init__(
        self, app: ASGIApp, routes: Iterable[Opening], house: House, origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._routes = tuple(routes)
        self._house = house
        self._origins = tuple(origins)
        rules: dict[str, Any] = {"allow_methods": ("GET", "POST"), "allow_headers": ("*",)}
        self._shared = CORSMiddleware(app, allow_origins=self._origins, **rules)
        self._open: Counter[str] = Counter()
        self._arriving: Counter[str] = Counter()
        self._guessing: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with one sentence."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            raise RuntimeError("The server takes no web sockets.")
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._let_in(scope, receive, sent)
        except ClientDisconnect:
            return  # nobody is there to be told, and it is no news for the log
        except RuntimeError as error:
            # An event stream has said that there is no such session: no news, either.
            if not (begun and isinstance(error.__cause__, HTTPException)):
                raise
            await send({"type": "http.response.body"})
        except HTTPException as error:
            if begun:
                raise
            refusal = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await refusal(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._find(scope)
        app = self._shared if route.own and self._origins else self._app
        if scope["method"] == "OPTIONS":  # a browser asks what a page of another site may do
            return await app(scope, receive, send)
        request = HTTPConnection(scope)
        if {"content-length", "transfer-encoding"} <= set(request.headers.keys()):
            # A proxy before us may take another end of it than we do, and what follows for another.
            raise HTTPException(400, TWO_LENGTHS, {"Connection": "close"})
        self._check_site(request.headers, scope["method"])
        if not (route.public or route.own or self._house.knows(request.cookies)):
            raise HTTPException(401, LOG_IN)
        who = address(scope)
        if _brings_password(route, request.headers):
            _check_count(self._guessing, who, GUESSING_EACH, GUESSES)
            send = self._slowed(who, send)
        with _counted(self._open, who, OPEN_EACH):
            if scope["method"] in GET:
                # FastAPI knows no HEAD; uvicorn leaves the body out.
                return await app({**scope, "method": "GET"}, receive, send)
            await self._bounded(app, route, who, scope, receive, send)

    def _find(self, scope: Scope) -> Opening:
        """The route of a request. A slash too much at the end is taken away."""
        path = scope["path"]
        if len(path) + len(scope.get("query_string", b"")) > MAX_ADDRESS:
            raise HTTPException(414, LONG_ADDRESS)
        if max(len(part.encode()) for part in path.split("/")) > MAX_PART:
            raise HTTPException(404, NOTHING)
        fitting = [route for route in self._routes if route.fits(path)]
        if not fitting and path.endswith("/") and path != "/":
            path = path.rstrip("/")
            fitting = [route for route in self._routes if route.fits(path)]
            scope["path"], scope["raw_path"] = path, path.encode()
        if not fitting or not self._visible(path):
            raise HTTPException(404, NOTHING)
        for route in fitting:
            asked = self._origins and route.own and scope["method"] == "OPTIONS"
            if asked or scope["method"] in route.methods:
                return route
        allowed = sorted({method for route in fitting for method in route.methods})
        raise HTTPException(405, NOT_SO, {"Allow": ", ".join(allowed)})

    def _visible(self, path: str) -> bool:
        """Whether a file that is asked for is a visitor's; true for all else."""
        _, is_file, name = path.partition(f"{API}/file=")
        return not is_file or _inside(name, self._house.uploads)

    def _check_site(self, headers: Headers, method: str) -> None:
        """A browser says itself when another site's page is the one that asks."""
        foreign = method not in GET and headers.get("sec-fetch-site") == "cross-site"
        if foreign and headers.get("origin") not in self._origins:
            raise HTTPException(403, FOREIGN)

    def _slowed(self, who: str, send: Send) -> Send:
        """A `send` that holds back the refusal of a wrong password."""

        async def later(message: Message) -> None:
            # Gradio's form to log in answers a wrong password with 400.
            if message.get("status") in (400, 401):
                # It has been let in: from here on it only counts.
                with _counted(self._guessing, who, sys.maxsize):
                    await asyncio.sleep(WRONG_SECONDS)
            await send(message)

        return later

    async def _bounded(
        self, app: ASGIApp, route: Opening, who: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared[:15]) if declared.isdecimal() else route.limit
        if size > route.limit and declared:
            raise HTTPException(413, too_large(route.limit))
        if route.queues and who and self._house.queued(who) >= QUEUED_EACH:
            raise HTTPException(503, TOO_MANY, RETRY)
        if self._arriving.total() >= ARRIVING:
            raise HTTPException(503, FULL, RETRY)
        with ExitStack() as arriving:
            arriving.enter_context(_counted(self._arriving, who, ARRIVING_EACH))
            body: Receive = BoundedBody(receive, route.limit, arrived=arriving.close)
            if route.json:
                content = await _whole(body)
                await run_in_threadpool(check_json, content, self._house.uploads)
                body = _again(content, receive)
            if route.keeps and self._house.scratch:
                await _take(self._house.scratch, size, arriving)
            await app(scope, body, send)


def check_json(content: bytes, uploads: Path) -> None:
    """Raise HTTPException where JSON names an address or a file that nobody has uploaded.

    Gradio fetches what a file's description names in any field, before a handler sees it.
    """
    # Before it is parsed: 30 MB of empty lists are a gigabyte of objects.
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_NODES:
        raise HTTPException(413, TOO_DEEP)
    try:
        nodes = [(orjson.loads(content), 0)] if content else []
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, NO_JSON) from error
    _check_names(nodes[0][0] if nodes else None)
    for node, depth in nodes:  # grows while it is gone through
        if isinstance(node, dict):
            _check_file(node, uploads)
            node = list(node.values())
        elif not isinstance(node, list):
            continue
        if depth > MAX_DEPTH or len(nodes) + len(node) > MAX_NODES:
            raise HTTPException(413, TOO_DEEP)
        nodes += [(inner, depth + 1) for inner in node]


def _check_names(body: Any) -> None:
    named = body.values() if isinstance(body, dict) else ()
    if any(isinstance(value, str) and len(value) > MAX_NAME for value in named):
        raise HTTPException(422, LONG_NAME)


def _check_file(node: dict[str, Any], uploads: Path) -> None:
    path, url = node.get("path"), node.get("url")
    named = isinstance(path, str) and path
    fetched = not named and isinstance(url, str) and not url.startswith("data:")
    if fetched or (named and not _inside(path, uploads)):
        raise HTTPException(422, ADDRESS)


def _inside(path: str, folder: Path) -> bool:
    try:
        return Path(os.path.realpath(path)).is_relative_to(folder)
    except ValueError:  # a zero byte
        return False


def _brings_password(route: Opening, headers: Headers) -> bool:
    return route.path == "/login" or (route.own and "authorization" in headers)


def _check_count(counter: Counter[str], who: str, limit: int, sentence: str) -> None:
    if who and counter[who] >= limit:
        raise HTTPException(429, sentence, RETRY)


@contextmanager
def _counted(counter: Counter[str], who: str, limit: int) -> Iterator[None]:
    _check_count(counter, who, limit, TOO_MANY)
    counter[who] += 1
    try:
        yield
    finally:
        counter[who] -= 1
        if not counter[who]:
            del counter[who]


async def _take(scratch: Scratch, size: int, arriving: ExitStack) -> None:
    """Take room for an upload for as long as it arrives."""
    if not await run_in_threadpool(scratch.take, size):
        raise HTTPException(503, NO_ROOM, RETRY)
    arriving.callback(scratch.give, size)


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, GONE)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that has been read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return again
