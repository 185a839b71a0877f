"""Who is let in, and how many: credentials, size, time and places; refusals as one sentence.

Of those let in, requests that wait for the same version are answered together.
"""

import asyncio
import base64
import ipaddress
import os
import secrets
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as ParsingError
from starlette.types import Message, Receive, Scope

from ..explain.explain import ExplainError
from ..files import is_disk_full
from ..images.crops import NoFaceError
from ..images.read import ImageError
from ..models.threads import Abandoned, unless
from ..models.version import Model

MAX_BODY = 20 * 2**20  # bytes, the whole request; the page takes files of the same size
UPLOAD_SECONDS = 60.0
FIRST_SECONDS = 10.0  # what comes slower than SLOWEST may do so for this long
SLOWEST = 64 * 2**10  # bytes a second: a slow telephone line
WORKERS = 2  # requests worked on at once, as in the page's queue
LIMIT = 64  # requests in the house: the last one waits a second or two
LIMIT_EACH = 16  # of one address: four of them do not fill the house
RETRY_SECONDS = 2
LOOK_SECONDS = 0.2  # how often to see whether the client of some longer work is still there

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

CREDENTIALS = "This server asks for a user and a password: send them as HTTP basic authentication."
TOO_SLOW = "The upload comes too slowly: send a smaller picture."
DISK_FULL = "The server's disk is full: tell who runs it, or send a smaller picture."
FULL = "The server is busy: try again in a few seconds."
TOO_MANY = "Too many requests come from one address: wait for the answers."
IN_ADDRESS = "Options stand in the address: send them as fields of the form, such as -F model=v2."
GONE = "The client is gone."
BAD_FORM = "The form cannot be read: send the picture as a file in multipart/form-data."
NO_FILE = "The field file is missing: send the picture as a file in multipart/form-data."


class Guard:
    """Stands before the routes: credentials, size, places; and errors as one sentence.

    Lives on one event loop, so its counter needs no lock. `workers` are the places of those whose
    work is being done.
    """

    def __init__(self, auth: tuple[str, str] | None, limit: int) -> None:
        self._expected = ":".join(auth).encode() if auth else None
        self._limit = limit
        self._inside: Counter[str] = Counter()
        self.workers = Workers(WORKERS)

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
        # A form of another kind holds no file, and takes its time: 20 MB of it are seconds.
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise HTTPException(422, NO_FILE)
        _check_length(request.headers.get("content-length", ""))
        with ExitStack() as place:
            # One that only arrives takes no place: slow senders must not fill the house.
            arrived = partial(place.enter_context, self._place(address(request.scope)))
            body = BoundedBody(request.receive, arrived=arrived)
            try:
                return await handler(Request(request.scope, body))
            except (ImageError, NoFaceError, ExplainError, RequestValidationError) as error:
                raise http_error(error) from error
            except ParsingError as error:
                # FastAPI calls whatever stops its reading of a form a parsing error.
                if is_disk_full(error):
                    raise HTTPException(507, DISK_FULL) from error
                if type(error) is ParsingError:  # Starlette's own words on a form
                    raise HTTPException(400, BAD_FORM) from error
                raise

    async def work(self, request: Request, function: Callable, *args: Any) -> Any:
        """Run a function in a thread, WORKERS at once; not at all for a client that has left.

        One that leaves meanwhile ends the work at its next `wanted.check`.
        """
        async with self.workers.place(turn(request.scope)):
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
    def _place(self, who: str) -> Iterator[None]:
        retry = {"Retry-After": str(RETRY_SECONDS)}
        if self._inside.total() >= self._limit:
            raise HTTPException(503, FULL, retry)
        if who and self._inside[who] >= LIMIT_EACH:
            raise HTTPException(429, TOO_MANY, retry)
        self._inside[who] += 1
        try:
            yield
        finally:
            self._inside[who] -= 1
            self._inside += Counter()  # forgets whoever has none


class Workers:
    """So many places to work at. The addresses that wait take turns, each with its oldest request.

    Else one client with slow questions would go before everybody who comes later.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[str, deque[asyncio.Future]] = {}  # whose turn it is stands first

    @asynccontextmanager
    async def place(self, who: str) -> AsyncIterator[None]:
        """A place for somebody of an address, as soon as it is their turn."""
        if self._free:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(who, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it had been given already
                    self._leave()
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        while self._waiting:
            who = next(iter(self._waiting))
            turns = self._waiting.pop(who)
            turn = turns.popleft()
            if turns:
                self._waiting[who] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


# Whose word on whom they ask for is taken: proxies beside us, and gateways of containers.
PROXIES = (
    "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,fc00::/7,fe80::/10"
)


def proxies() -> str:
    """The addresses and networks of proxies: those of FORWARDED_ALLOW_IPS, or all private ones."""
    return os.environ.get("FORWARDED_ALLOW_IPS", PROXIES)


def address(scope: Scope) -> str:
    """Who asks, where limits may hold for them: an IPv4 address, an IPv6 network, or nothing.

    Proxies and gateways that do not say for whom they ask may stand for everybody.
    """
    who = turn(scope)
    return "" if who and _is_proxy(who, proxies()) else who


def turn(scope: Scope) -> str:
    """Who asks, to take turns: the same, and proxies' own addresses, too."""
    host = (scope.get("client") or ("",))[0].partition("%")[0]  # behind it a network's card
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return ""
    # One household has 2**64 addresses of IPv6.
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def without_mapping(host: str) -> str:
    """An address of IPv4 as such: a socket for both kinds gives it as ::ffff:192.0.2.1.

    >>> without_mapping("::ffff:192.0.2.1"), without_mapping("2001:db8::1")
    ('192.0.2.1', '2001:db8::1')
    """
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(ip, "ipv4_mapped", None) or host)


@lru_cache(1024)
def _is_proxy(who: str, known: str) -> bool:
    network = ipaddress.ip_network(who)
    named = _networks(PROXIES if known.strip() == "*" else known)
    return any(one.version == network.version and network.overlaps(one) for one in named)


def _networks(known: str) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for one in known.split(","):
        with suppress(ValueError):  # a name, such as a socket's
            yield ipaddress.ip_network(one.strip(), strict=False)


class BoundedBody:
    """An ASGI `receive` that ends an upload with HTTPException once it is too large or slow.

    `arrived` is called once, when the last part is there.
    """

    def __init__(
        self, receive: Receive, limit: int = MAX_BODY, arrived: Callable[[], object] | None = None
    ) -> None:
        self._receive = receive
        self._limit = limit
        self._arrived = arrived
        self._begun = asyncio.get_running_loop().time()
        self._size = 0
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:  # from here on it only tells that the client has left
            return await self._receive()
        allowed = min(UPLOAD_SECONDS, FIRST_SECONDS + self._size / SLOWEST)
        try:
            async with asyncio.timeout_at(self._begun + allowed):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, TOO_SLOW) from error
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise HTTPException(413, too_large(self._limit))
        if not message.get("more_body", False):
            self._complete = True
            if self._arrived:
                self._arrived()
        return message


def too_large(limit: int) -> str:
    """The sentence for a body of more than `limit` bytes."""
    size = f"{limit // 2**20} MB" if limit >= 2**20 else f"{limit // 2**10} kB"
    return f"The request is over {size}: send a smaller picture."


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
        raise HTTPException(413, too_large(MAX_BODY))


MAX_CROPS = 16  # of one batch; beyond that a face hardly gets cheaper


@dataclass(frozen=True)
class _Waiting:
    request: Request
    inputs: torch.Tensor
    logits: asyncio.Future


class Batches:
    """Runs one version's network on what waits for it.

    Nobody waits for others to come: the network begins as soon as one of the guard's workers is
    free, with whatever has gathered until then. Lives on one event loop.
    """

    def __init__(self, model: Model, guard: Guard) -> None:
        self._model = model
        self._guard = guard
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task] = set()
        self._asked_for_worker = False

    async def logits(self, request: Request, inputs: torch.Tensor) -> torch.Tensor:
        """Logits N x classes of inputs N x 3 x S x S. HTTPException where the client left."""
        mine = _Waiting(request, inputs, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._begin()
        return await mine.logits

    def _begin(self) -> None:
        if self._waiting and not self._asked_for_worker:
            self._asked_for_worker = True
            task = asyncio.create_task(self._run())
            self._running.add(task)  # or it would be collected before its end
            task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        # By turns with the addresses: what waits here is of several.
        async with self._guard.workers.place(f"batches of {self._model.name}"):
            self._asked_for_worker = False
            batch = [one for one in self._take() if not await _gone(one)]
            self._begin()  # what did not fit
            if batch:
                await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        taken, crops = [], 0
        while self._waiting and (not taken or crops + len(self._waiting[0].inputs) <= MAX_CROPS):
            taken.append(self._waiting.popleft())
            crops += len(taken[-1].inputs)
        return taken

    async def _answer(self, batch: list[_Waiting]) -> None:
        inputs = [one.inputs for one in batch]
        try:
            logits = await self._guard.in_thread(self._logits, inputs)
        except Exception as error:
            if len(batch) > 1:  # one of them alone may be the reason
                for one in batch:
                    await self._answer([one])
            elif not batch[0].logits.done():
                batch[0].logits.set_exception(error)
            return
        for one, rows in zip(batch, logits, strict=True):
            if not one.logits.done():  # cancelled, where the server is ending
                one.logits.set_result(rows)

    def _logits(self, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        together = torch.cat(inputs).contiguous(memory_format=torch.channels_last)
        return self._model.logits_of(together).split([len(part) for part in inputs])


async def _gone(one: _Waiting) -> bool:
    if not await one.request.is_disconnected():
        return False
    if not one.logits.done():
        one.logits.set_exception(HTTPException(400, GONE))
    return True
