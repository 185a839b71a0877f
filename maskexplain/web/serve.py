"""How the page and its HTTP API are served: limits, and what a stranger may not do."""

from collections.abc import Sequence
from importlib.util import find_spec

import gradio as gr
from starlette.middleware import Middleware

from ..api import MAX_BODY, BoundedRequests, make_router
from ..errors import UserError
from ..models.version import Model
from .assets import STYLES, head
from .page import page_theme

VISITORS = 200  # whose state is kept at once


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
) -> None:
    """Serve the page and, on its port, the HTTP API of these versions (the newest last).

    `auth` (user, password) covers both; `block` False returns at once. `root_path` ("/mask") is
    what a proxy puts before every path and takes away again. `mcp` offers the page's named
    endpoints as tools to assistants. Raises UserError where the port is taken, or MCP cannot be.

    Visitors cannot pass the queue, read files, see errors' insides or send bodies without bound.
    """
    if mcp:
        _check_mcp(auth)
    # Two at once: a second visitor waits for no first, and two cores are busy.
    page.queue(default_concurrency_limit=2, max_size=32, api_open=False)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=auth,
            theme=page_theme(),
            css_paths=STYLES,
            head=head(),
            max_file_size=MAX_BODY,
            footer_links=["gradio"],
            run_history=False,
            # Each visitor's What if may hold a face of some megabytes; the oldest make room.
            state_session_capacity=VISITORS,
            enable_monitoring=False,
            show_error=False,
            strict_cors=True,
            ssr_mode=False,
            prevent_thread_lock=not block,
            root_path=root_path,
            mcp_server=mcp,
            # Gradio's openapi.json would list its own routes, and to everyone.
            app_kwargs={
                "routes": list(make_router(models, auth, root_path=root_path).routes),
                "openapi_url": None,
                "middleware": [Middleware(BoundedRequests)],
            },
        )
    except OSError as error:
        raise UserError(
            f"Port {port} on {host} cannot be opened: it is taken, or not yours; try --port."
        ) from error


def _check_mcp(auth: tuple[str, str] | None) -> None:
    if find_spec("mcp") is None:
        raise UserError("--mcp needs an extra package: pip install 'gradio[mcp]'.")
    if auth:
        raise UserError("--mcp cannot ask for credentials: leave out --auth, or --mcp.")
