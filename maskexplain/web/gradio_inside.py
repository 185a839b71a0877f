"""Everything of Gradio that is touched here and is not its public interface.

Gradio is pinned to its minor version because of this file; `tests/test_gradio_inside.py` fails when
one of these touches no longer fits. Nothing else in the project reaches inside.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import queueing, route_utils, routes
from gradio.data_classes import FileData
from gradio.networking import setup_tunnel
from gradio.processing_utils import hash_bytes
from gradio.route_utils import GradioMultiPartParser
from gradio.state_holder import SessionState
from gradio.utils import LRUCache, error_payload
from gradio_client.exceptions import AppError
from gradio_client.utils import is_http_url_like
from PIL import Image
from starlette.routing import Mount
from starlette.types import Scope

from ..explain.draw import file_bytes
from ..files import write_file

UNFETCHED = 10_000  # names of sessions and uploads that are remembered although nobody asks
MADE_FOR = "6.31"  # the minor version whose insides these are
NO_ADDRESS = "Addresses are not fetched: upload the file."


class _FetchesNothing:
    """A component that takes uploads and `data:` URLs, and fetches no address for a stranger."""

    is_template = True

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None):
        """Gradio would fetch what an address names, before any handler sees it."""
        if url_or_file_path and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class NoAddresses(_FetchesNothing, gr.Image):
    """gr.Image that fetches no address, and leaves no half of a picture on a full disk."""

    def get_block_name(self) -> str:
        """The browser side is gr.Image's own, however many classes lie between."""
        return gr.Image.__name__.lower()

    def postprocess(self, value):
        """A picture is written as an upload would be."""
        if isinstance(value, Image.Image):
            value = as_upload(file_bytes(value, self.format), f"image.{self.format}", self)
        return super().postprocess(value)


class PlainVideo(_FetchesNothing, gr.Video):
    """gr.Video that fetches no address, and starts no FFmpeg program for any file."""

    def get_block_name(self) -> str:
        """The browser side is gr.Video's own."""
        return gr.Video.__name__.lower()

    def postprocess(self, value: str | None) -> FileData | None:
        """A file of the upload cache is shown as it is."""
        return None if value is None else FileData(path=value, orig_name=Path(value).name)


def upload_folder(block: gr.blocks.Block) -> Path:
    """Where Gradio puts what is uploaded to a component or a page."""
    return Path(block.GRADIO_CACHE).resolve()


def is_upload(path: str | None, block: gr.blocks.Block) -> bool:
    """Whether a path lies there; a stranger's event may name any other."""
    return bool(path) and Path(path or "").resolve().is_relative_to(upload_folder(block))


def event_number(event: gr.EventData, name: str) -> int | None:
    """A number from 0 on that the page sent with an event; None for what else a stranger sends."""
    number = event._data.get(name) if isinstance(event._data, dict) else None
    return number if isinstance(number, int) and number >= 0 else None


def as_upload(content: bytes, name: str, component: gr.components.Component) -> str:
    """The path of a file as an upload to the component would be; Gradio deletes both alike.

    Raises UserError where it cannot be written; no half of it stays.
    """
    path = upload_folder(component) / hash_bytes(content) / name
    write_file(path, lambda beside: beside.write_bytes(content))
    return str(path)


def forget_visitor(page: gr.Blocks, request: gr.Request) -> None:
    """Drop what the page remembers of a visitor: states, and the last value of every component."""
    page.state_holder.delete_state(request.session_hash)
    page.state_holder.session_data.pop(request.session_hash, None)
    page.state_holder.time_last_used.pop(request.session_hash, None)


class _Signals(LRUCache):
    """An asyncio.Event for every name that is asked for, as a defaultdict would give."""

    def __getitem__(self, name: str) -> asyncio.Event:
        if name not in self:
            self[name] = asyncio.Event()
        return super().__getitem__(name)


def bound_queue(page: gr.Blocks, visitors: int) -> None:
    """Bound what a page's queue remembers, behind `page.queue`.

    `visitors`: for how many results wait that nobody fetches. Gradio also tallies its last 10,000
    events anew after each one, for a route that is not open here.
    """
    page._queue.pending_messages_per_session.max_size = visitors
    # The same of events and uploads; the page itself always fetches.
    page._queue.pending_event_ids_session = LRUCache(UNFETCHED)
    routes.file_upload_statuses._statuses = LRUCache(UNFETCHED)
    routes.file_upload_statuses._signals = _Signals(UNFETCHED)
    page.upload_file_set = SimpleNamespace(update=lambda _: None)  # which nothing reads
    page._queue.ANALYTICS_MAX_EVENTS = 1
    page._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize


def tell_errors_by(
    printing: Callable[[], None], sentence: Callable[[BaseException | None], str]
) -> None:
    """Let Gradio print the error that it handles by `printing`, and not with all that it quotes.

    The visitor reads the `sentence` of an error that has none for people; Gradio tells nothing.
    """

    def told(error: BaseException | None, show_error: bool) -> dict[str, Any]:
        known = isinstance(error, AppError)
        return error_payload(error if known else gr.Error(sentence(error)), show_error)

    for module in (queueing, route_utils, routes):
        module.traceback = SimpleNamespace(print_exc=printing)
    queueing.error_payload = gr.utils.error_payload = told


class _TidyParser(GradioMultiPartParser):
    """Reads an upload; of one that is broken off, or that the disk has no room for, nothing stays.

    Gradio leaves what has come in the folder of uploads.
    """

    async def parse(self):
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                with suppress(OSError):  # what a full disk did not take cannot be flushed
                    file.close()
                Path(file.name).unlink(missing_ok=True)
            raise


def _as_sent(arguments: dict[str, Any], places: Sequence[Sequence[str | int]]) -> dict[str, Any]:
    """A tool's arguments with its pictures as they came: Gradio saves them, and uploads them anew.

    `places` are the names of the pictures. Raises ValueError for what is no `data:` URL.
    """
    sent = dict(arguments)
    for [name] in places:
        if isinstance(url := sent.get(name), str):
            if not url.startswith("data:"):
                raise ValueError(NO_ADDRESS)
            sent[name] = {"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}
    return sent


def mount_page(app: FastAPI, page: gr.Blocks, visitors: int, **look: Any) -> None:
    """Put a page under "/" of an app, as `launch` would serve it; `look` is `mount_gradio_app`'s.

    `visitors`: whose state is kept at once.
    """
    page.state_session_capacity = visitors
    page.has_launched = True  # else Gradio opens any file that an event names
    # It would keep what each visitor sent last, photos too, for links that are not offered here.
    SessionState._update_value_in_config = lambda *_: None
    route_utils.GradioMultiPartParser = _TidyParser
    gr.mount_gradio_app(
        app,
        page,
        "/",
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        **look,
    )
    [page.app] = [route.app for route in app.routes if isinstance(route, Mount)]
    if page.mcp_server_obj:
        page.mcp_server_obj.convert_strings_to_filedata = _as_sent


def attach_server(page: gr.Blocks, server: Any, address: str, port: int) -> None:
    """Tell a page which server serves it, so that its `close` ends that."""
    page.server, page.local_url, page.server_port = server, address, port
    if page.mcp_server_obj:
        page.mcp_server_obj._local_url = address


def end_streams(page: gr.Blocks) -> None:
    """End the answers that never end by themselves. To be called in the server's loop."""
    page._queue.close()
    page.app.stop_event.set()


def open_tunnel(page: gr.Blocks, host: str, port: int) -> str:
    """Ask Gradio for a public address; gives a sentence with it, or why there is none."""
    try:
        address = setup_tunnel(host, port, page.share_token, None, None)
    except Exception as error:  # whatever a stranger's program and server may do
        return f"There is no public link ({type(error).__name__}): the page is served here alone."
    return f"The public link, for a week at most: https://{address.partition('://')[2]}"


def has_logged_in(page: gr.Blocks, cookies: Mapping[str, str]) -> bool:
    """Whether cookies are those of somebody who has logged in, where that is asked for."""
    app = page.app
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(cookies.get(name) in app.tokens for name in names)


def waiting_events(page: gr.Blocks) -> Iterator[Scope]:
    """The requests whose events wait in a page's queue."""
    for queue in page._queue.event_queue_per_concurrency_id.values():
        for event in queue.queue:
            yield event.request.scope


def hide_events(page: gr.Blocks) -> None:
    """Hide the page's events so far from clients: only named endpoints are for them."""
    for event in page.fns.values():
        event.api_visibility = "private"
