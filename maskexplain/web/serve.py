"""How the page and its HTTP API are served: one port, behind the door.

What the server tells on stderr is where something went wrong, and nothing of what was sent: the
messages of errors quote what they were about, a photo as text, a name, an address.
"""

import errno
import logging
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..api import MAX_BODY, make_router
from ..api.guard import DISK_FULL, address, proxies, without_mapping
from ..errors import UserError
from ..files import is_disk_full
from ..images.pool import POOL
from ..memory import release_memory
from ..models.version import Model
from .assets import STYLES, head
from .door import MCP, PAGE, Door, House, openings
from .gradio_inside import (
    attach_server,
    bound_queue,
    end_streams,
    has_logged_in,
    mount_page,
    open_tunnel,
    tell_errors_by,
    upload_folder,
    waiting_events,
)
from .page import page_theme
from .scratch import Scratch

VISITORS = 100  # whose state, and results not fetched, are kept at once
HEAD_SECONDS = 10.0  # for a request's head to come, from the connection or its first byte on
CONNECTIONS_EACH, CONNECTIONS = 128, 900  # of one address; of all (1024 files may be open)
NOT_UNDERSTOOD = "The request is not one that this address takes: load the page again."
FAILED = "Something went wrong in the server: load the page again, or tell who runs it."
NO_SPACE = "error: there is no room for temporary files"
GOODBYE_SECONDS = 5  # for answers under way when the server is ended


def launch(
    page: gr.Blocks,
    models: Sequence[Model],
    host: str,
    port: int,
    share: bool = False,
    auth: tuple[str, str] | None = None,
    block: bool = True,
    root_path: str = "",
    mcp: bool = False,
    origins: Sequence[str] = (),
    scratch: Scratch | None = None,
) -> None:
    """Serve the page and, on its port, the HTTP API of these versions (the newest last).

    `auth` (user, password) covers both; `block` False returns at once, and `page.close()` ends it.
    `root_path` ("/mask") is what a proxy puts before every path and takes away again. `mcp` offers
    the page's named endpoints as tools to assistants. Pages of `origins` may ask the HTTP API.
    `scratch` bounds what uploads take. Raises UserError where the port is taken, or MCP cannot be.

    Visitors cannot pass the queue, read files, see errors' insides or send bodies without bound.
    """
    if mcp:
        _check_mcp(auth)
    POOL.warm()
    host = host.removeprefix("[").removesuffix("]")
    listener = _listen(host, port)
    log_discreetly()
    tell_errors_by(print_where, sentence_of)
    if scratch:
        scratch.keep()
    server = Server(_door(page, models, auth, root_path, mcp, origins, scratch), page)
    here = _own_address(host, port)
    attach_server(page, server, here, port)
    server.start(listener)  # which closes it in the end
    release_memory()  # what building the page took
    print(f"The page: {here}", flush=True)
    # What the first explanation needs, once requests are answered.
    threading.Thread(target=import_module, args=("captum.attr",), daemon=True).start()
    if share:
        print(open_tunnel(page, _own_host(host), port), flush=True)
    if block:
        try:
            server.thread.join()
        finally:
            page.close(verbose=False)


def _door(
    page: gr.Blocks,
    models: Sequence[Model],
    auth: tuple[str, str] | None,
    root_path: str,
    mcp: bool,
    origins: Sequence[str],
    scratch: Scratch | None,
) -> Door:
    # Two at once: a second visitor waits for no first, and two cores are busy.
    page.queue(default_concurrency_limit=2, max_size=32, api_open=False)
    bound_queue(page, VISITORS)
    # Gradio's openapi.json would list its own routes. Its own leave for other sites gives way to
    # this one, which gives none; the door gives it for our API.
    app = FastAPI(
        openapi_url=None,
        exception_handlers={OSError: _disk_full, Exception: _failed},
        middleware=[Middleware(CORSMiddleware)],
    )
    router = make_router(models, auth, root_path=root_path)
    app.include_router(router)
    mount_page(
        app,
        page,
        auth=auth,
        root_path=root_path,
        mcp_server=mcp,
        # Each visitor's What if may hold a face of some megabytes; the oldest make room.
        visitors=VISITORS,
        max_file_size=MAX_BODY,
        theme=page_theme(),
        css_paths=STYLES,
        head=head(),
        footer_links=["gradio"],
        app_kwargs={
            "openapi_url": None,
            "exception_handlers": {
                # Gradio's routes raise these for what they were sent: a number of no event, say.
                **dict.fromkeys((LookupError, ValueError, TypeError, AttributeError), _odd),
                RequestValidationError: _odd,
                OSError: _disk_full,
                Exception: _failed,
            },
        },
    )
    house = House(
        knows=partial(has_logged_in, page),
        queued=lambda who: sum(address(scope) == who for scope in waiting_events(page)),
        uploads=upload_folder(page),
        scratch=scratch,
    )
    return Door(app, (*openings(router), *PAGE, *(MCP if mcp else ())), house, origins)


class Server(uvicorn.Server):
    """Serves in a thread of its own, until it is closed."""

    def __init__(self, app: Door, page: gr.Blocks) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            forwarded_allow_ips=proxies(),
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
        super().__init__(config)
        self._page = page
        self._sockets: list[socket.socket] = []
        work = partial(self.run, self._sockets)
        self.thread = threading.Thread(target=work, name="server", daemon=True)

    def start(self, listener: socket.socket) -> None:
        """Serve on a listening socket; returns once requests are answered."""
        self._sockets.append(listener)
        self.thread.start()
        while not self.started:
            if not self.thread.is_alive():
                raise UserError("The server could not start: see the messages above.")
            self.thread.join(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the answers that never end by themselves, then all."""
        end_streams(self._page)
        await super().shutdown(sockets)

    def close(self) -> None:
        """End it and wait for that."""
        self.should_exit = True
        self.thread.join(2 * GOODBYE_SECONDS)


class Connection(H11Protocol):
    """A connection that must soon say what it is for, and of which an address may have some.

    uvicorn alone waits for the head of a request for ever.
    """

    _head_due: Any = None

    def connection_made(self, transport: Any) -> None:
        # asyncio does so for sockets of its own making alone. Without it the second half of an
        # answer waits for the client's word on the first: some 40 ms a request.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        if self.client:
            self.client = (without_mapping(self.client[0]), self.client[1])
        peer = self.client[0] if self.client else ""
        same = sum(bool(other.client) and other.client[0] == peer for other in self.connections)
        known = bool(address({"client": self.client}))
        if len(self.connections) > CONNECTIONS or (known and same > CONNECTIONS_EACH):
            transport.abort()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()  # it has come
        elif self._head_due is None:
            self._head_due = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


async def _odd(_: Request, error: Exception) -> JSONResponse:
    """The answer where Gradio's would quote what was sent, or fill the log with each."""
    line = traceback.extract_tb(error.__traceback__)[-1]
    kind = type(error).__qualname__
    logging.getLogger(__name__).warning("%s at %s:%s", kind, line.filename, line.lineno)
    return JSONResponse({"detail": NOT_UNDERSTOOD}, 422)


async def _failed(_: Request, __: Exception) -> JSONResponse:
    """The answer where something went wrong that nobody has thought of."""
    return JSONResponse({"detail": FAILED}, 500)


async def _disk_full(_: Request, error: Exception) -> JSONResponse:
    """The answer where a file cannot be written; raises what has another reason."""
    if not is_disk_full(error):
        raise error
    return JSONResponse({"detail": DISK_FULL}, 507)


def sentence_of(error: BaseException | None) -> str:
    """What a visitor reads of an error of the page's that nobody has thought of."""
    return DISK_FULL if is_disk_full(error) else FAILED


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; "::" takes IPv4, too. Raises UserError."""
    try:
        family, *_, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(place[:2], family=family, backlog=256, dualstack_ipv6=both)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UserError(
                f"{host} is no address of this machine: give --host another."
            ) from error
        raise UserError(
            f"Port {port} on {host} cannot be opened: it is taken, or not yours; try --port."
        ) from error


def _own_host(host: str) -> str:
    """Where this machine itself finds a server of that host."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _own_address(host: str, port: int) -> str:
    host = _own_host(host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _check_mcp(auth: tuple[str, str] | None) -> None:
    if find_spec("mcp") is None:
        raise UserError("--mcp needs an extra package: pip install 'gradio[mcp]'.")
    if auth:
        raise UserError("--mcp cannot ask for credentials: leave out --auth, or --mcp.")


def where(error: BaseException) -> str:
    """The kinds of an error and of its causes, each with the places that it went through."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(f"  {type(cause).__module__}.{type(cause).__qualname__}")
        for frame in traceback.extract_tb(cause.__traceback__):
            lines.append(f"    {frame.filename}:{frame.lineno} in {frame.name}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


class Discreet(logging.Formatter):
    """Says which part reports, and where; the text only of those that never quote."""

    quoting_nothing = ("uvicorn", "maskexplain")

    def format(self, record: logging.LogRecord) -> str:
        """The record in words."""
        said = f"{record.levelname.lower()}: {record.name}"
        if record.name.startswith(self.quoting_nothing):
            said += f": {record.getMessage().partition(chr(10))[0]}"
        error = record.exc_info[1] if record.exc_info else None
        return f"{said}\n{where(error)}" if error else said


def log_discreetly() -> None:
    """Let logs, warnings and threads that fail say nothing of a payload."""
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet())
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(True)
    threading.excepthook = lambda failed: print_where(failed.exc_value)


def print_where(error: BaseException | None = None) -> None:
    """Print where an error, or the one being handled, came from, without its text."""
    error = error or sys.exception()
    if error is not None:
        told = NO_SPACE if is_disk_full(error) else f"error:\n{where(error)}"
        print(told, file=sys.stderr, flush=True)
