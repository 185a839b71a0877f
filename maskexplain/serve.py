"""How the page is served: theme, limits, and what a stranger may not do."""

import gradio as gr

from .errors import UserError
from .page import ASSETS

# System fonts: the page asks no other server for anything.
THEME = gr.themes.Soft(
    primary_hue="blue",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
MAX_FILE = "20mb"


def launch(
    page: gr.Blocks,
    host: str,
    port: int,
    share: bool = False,
    auth: tuple[str, str] | None = None,
    block: bool = True,
) -> None:
    """Serve the page; `block` False returns at once. Raises UserError where the port is taken.

    Visitors cannot list the API, read files, see errors' insides or fill the disk.
    """
    # Two at once: a second visitor waits for no first, and two cores are busy.
    page.queue(default_concurrency_limit=2, max_size=32, api_open=False)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=auth,
            theme=THEME,
            css_paths=[ASSETS / "style.css"],
            max_file_size=MAX_FILE,
            footer_links=["gradio"],
            run_history=False,
            enable_monitoring=False,
            show_error=False,
            strict_cors=True,
            ssr_mode=False,
            prevent_thread_lock=not block,
        )
    except OSError as error:
        raise UserError(
            f"Port {port} on {host} cannot be opened: it is taken, or not yours; try --port."
        ) from error
