"""Who is let in, and how many: credentials, size, time and places; refusals as one sentence."""

import asyncio
import base64
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..explain.question import ExplainError
from ..images.crops import NoFaceError
from ..images.read import ImageError
from ..models.threads import Abandoned, unless

MAX_BODY = 20 * 2**20  # bytes, the whole request; the page takes files of the same size
UPLOAD_SECONDS = 30.0
WORKERS = 2  # requests worked on at once, as in the page's queue
LIMIT = 64  # requests in the house: the last one waits a second or two
RETRY_SECONDS = 2
LOOK_SECONDS = 0.2  # how often to see whether the client of some longer work is still there

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

CREDENTIALS = "This server asks for a user and a password: send them as HTTP basic authentication."
TOO_LARGE = f"The request is over {MAX_BODY // 2**20} MB: send a smaller picture."
TOO_SLOW = f"The upload took over {UPLOAD_SECONDS:.0f} seconds: send a smaller picture."
FULL = "The server is busy: try again in a few seconds."
IN_ADDRESS = "Options stand in the address: send them as fields of the form, such as -F model=v2."
GONE = "The client is gone."
NO_FILE = "The field file is missing: send the picture as a file in multipart/form-data."


class Guard:
    """Stands before the routes: credentials, size, places; and errors as one sentence.

    Lives on one event loop, so its counter needs no lock. `workers` are the places of those whose
    work is being done.
    """

    def __init__(self, auth: tuple[str, str] | None, limit: int) -> None:
        self._expected = ":".join(auth).encode() if auth else None
        self._limit = limit
        self._inside = 0
        self.workers = asyncio.Semaphore(WORKERS)

    def route_class(self) -> type[APIRoute]:
        """A route whose requests pass this guard before FastAPI reads their body."""
        guard = self

        class GuardedRoute(APIRoute):
            def get_route_handler(self) -> Handler:
                return partial(guard.handle, super().get_route_handler())

        return GuardedRoute

    async def handle(self, handler: Handler, request: Request) -> Response:
        """Let a request through to its handler, or raise HTTPException."""
        if self._expected and not _has(self._expected, request.headers.get("authorization")):
            realm = 'Basic realm="maskexplain", charset="UTF-8"'
            raise HTTPException(401, CREDENTIALS, {"WWW-Authenticate": realm})
        if request.method != "POST":
            return await handler(request)
        if request.query_params:
            raise HTTPException(422, IN_ADDRESS)
        _check_length(request.headers.get("content-length", ""))
        with self._place():
            try:
                return await handler(Request(request.scope, BoundedBody(request.receive)))
            except (ImageError, NoFaceError, ExplainError, RequestValidationError) as error:
                raise http_error(error) from error

    async def work(self, request: Request, function: Callable, *args: Any) -> Any:
        """Run a function in a thread, WORKERS at once; not at all for a client that has left.

        One that leaves meanwhile ends the work at its next `wanted.check`.
        """
        async with self.workers:
            if await request.is_disconnected():
                raise HTTPException(400, GONE)
            left = threading.Event()
            with unless(left.is_set):
                working = asyncio.create_task(self.in_thread(function, *args))
            while not (await asyncio.wait({working}, timeout=LOOK_SECONDS))[0]:
                if not left.is_set() and await request.is_disconnected():
                    left.set()
            try:
                return await working
            except Abandoned as error:
                raise HTTPException(400, GONE) from error

    async def in_thread(self, function: Callable, *args: Any) -> Any:
        """Run a function in a thread; the caller holds one of `workers`."""
        return await run_in_threadpool(function, *args)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._inside >= self._limit:
            raise HTTPException(503, FULL, {"Retry-After": str(RETRY_SECONDS)})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


class BoundedBody:
    """An ASGI `receive` that ends an upload with HTTPException once it is too large or slow."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = MAX_BODY
        self._deadline = asyncio.get_running_loop().time() + UPLOAD_SECONDS
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:  # from here on it only tells that the client has left
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, TOO_SLOW) from error
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(413, TOO_LARGE)
        return message


class BoundedRequests:
    """ASGI middleware: no request of the page's either may send more than a file as a data URL."""

    limit = MAX_BODY * 3 // 2  # base64 adds a third

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted while it arrives."""
        left = self.limit

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)


def http_error(
    error: ImageError | NoFaceError | ExplainError | RequestValidationError,
) -> HTTPException:
    """The status and the sentence for what is wrong with a request."""
    if isinstance(error, RequestValidationError):
        return HTTPException(422, _sentence(error.errors()[0]))
    if isinstance(error, ImageError):
        return HTTPException(413 if error.too_large else 400, str(error))
    return HTTPException(422, str(error))


def _sentence(error: dict) -> str:
    field, message = error["loc"][1], error["msg"]  # "body", the field, and maybe a part of it
    if field == "file":
        return NO_FILE
    return f"The field {field} is wrong: {message[0].lower()}{message[1:]}."


def _has(expected: bytes, header: str | None) -> bool:
    scheme, _, encoded = (header or "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    return scheme.lower() == "basic" and secrets.compare_digest(given, expected)


def _check_length(declared: str) -> None:
    if declared.isdecimal() and int(declared[:15]) > MAX_BODY:
        raise HTTPException(413, TOO_LARGE)
