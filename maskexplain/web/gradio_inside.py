"""Everything of Gradio that is touched here and is not its public interface.

Gradio is pinned to its minor version because of this file; `tests/test_gradio_inside.py` fails when
one of these touches no longer fits. Nothing else in the project reaches inside.
"""

from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio_client.utils import is_http_url_like

MADE_FOR = "6.31"  # the minor version whose insides these are
NO_ADDRESS = "Addresses are not fetched: upload the picture's file."


class NoAddresses(gr.Image):
    """gr.Image that takes uploads and `data:` URLs, and fetches no address for a stranger."""

    is_template = True

    def get_block_name(self) -> str:
        """The browser side is gr.Image's own, however many classes lie between."""
        return gr.Image.__name__.lower()

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None):
        """Gradio would fetch what an address names, before any handler sees it."""
        if url_or_file_path and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(NO_ADDRESS, print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)


def upload_folder(component: gr.Image) -> Path:
    """Where Gradio puts what is uploaded to a component."""
    return Path(component.GRADIO_CACHE).resolve()


def as_upload(content: bytes, name: str, component: gr.Image) -> str:
    """The path of a file as an upload to the component would be; Gradio deletes both alike."""
    return save_bytes_to_cache(content, name, cache_dir=component.GRADIO_CACHE)


def forget_visitor(page: gr.Blocks, request: gr.Request) -> None:
    """Drop what the page's states remember of a visitor."""
    page.state_holder.delete_state(request.session_hash)


def hide_events(page: gr.Blocks) -> None:
    """Hide the page's events so far from clients: only named endpoints are for them."""
    for event in page.fns.values():
        event.api_visibility = "private"
