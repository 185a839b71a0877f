"""The touches inside Gradio still fit the Gradio that is installed."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio import routes
from PIL import Image

from maskexplain.web import gradio_inside
from maskexplain.web.gradio_inside import (
    MADE_FOR,
    NO_ADDRESS,
    NoAddresses,
    PlainVideo,
    as_upload,
    bound_queue,
    forget_visitor,
    hide_events,
    mount_page,
    upload_folder,
)

ROOT = Path(__file__).resolve().parents[1]


def test_gradio_is_pinned_to_the_minor_version_that_this_was_made_for():
    assert gr.__version__.startswith(f"{MADE_FOR}.")
    assert f"gradio~={MADE_FOR}.0" in (ROOT / "requirements.txt").read_text()


def run(coroutine):
    """Its result, from a thread of its own: an open browser keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_addresses_are_refused_where_gradio_would_fetch_them():
    assert "async_move_resource_to_block_cache" in vars(gr.components.base.Block) or hasattr(
        gr.Image, "async_move_resource_to_block_cache"
    )
    photo = NoAddresses()
    assert photo.get_block_name() == gr.Image().get_block_name() == "image"
    with pytest.raises(gr.Error, match=NO_ADDRESS):
        run(photo.async_move_resource_to_block_cache("http://127.0.0.1:9/face.png"))
    assert run(photo.async_move_resource_to_block_cache(None)) is None


def test_a_clip_is_shown_as_it_is_and_no_program_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    clip = PlainVideo()
    assert clip.get_block_name() == gr.Video().get_block_name() == "video"
    with pytest.raises(gr.Error, match=NO_ADDRESS):
        run(clip.async_move_resource_to_block_cache("http://127.0.0.1:9/clip.mp4"))
    path = as_upload(b"any bytes", "clip.mp4", clip)
    assert clip.postprocess(path).path == path and clip.postprocess(None) is None


def test_a_given_file_lies_where_uploads_lie(tmp_path):
    photo = NoAddresses()
    Image.new("RGB", (20, 20)).save(tmp_path / "x.jpg")
    path = Path(as_upload((tmp_path / "x.jpg").read_bytes(), "frozen.jpg", photo))
    assert path.is_relative_to(upload_folder(photo)) and path.name == "frozen.jpg"


def test_events_are_hidden_and_visitors_forgotten():
    with gr.Blocks() as page:
        box, state = gr.Textbox(), gr.State(1)
        box.change(lambda text, _: text, [box, state], box)
    hide_events(page)
    assert {event.api_visibility for event in page.fns.values()} == {"private"}
    held = page.state_holder["visitor"]
    held[state._id] = "a photo"
    request = type("Request", (), {"session_hash": "visitor"})()
    forget_visitor(page, request)
    assert "visitor" not in page.state_holder, "nor what the components showed last"
    assert page.state_holder["visitor"][state._id] == 1


def test_a_queue_remembers_little():
    with gr.Blocks() as page:
        gr.Textbox()
    page.queue()
    bound_queue(page, 2)
    for name in "abc":
        page._queue.pending_messages_per_session[name] = []
    assert list(page._queue.pending_messages_per_session) == ["b", "c"]
    page._queue.events_recorded = 9
    assert page._queue.compute_analytics_summary([{}]) == {"functions": {}}, "nothing is tallied"


def test_what_nobody_fetches_is_forgotten_some_day(monkeypatch):
    monkeypatch.setattr(gradio_inside, "UNFETCHED", 2)
    uploads = routes.file_upload_statuses
    for held in ("_statuses", "_signals"):
        monkeypatch.setattr(uploads, held, {})  # to be as they were behind this test
    with gr.Blocks() as page:
        gr.Textbox()
    page.queue()
    bound_queue(page, 2)
    for name in "abc":
        page._queue.pending_event_ids_session[name] = set()
        uploads.append(name, "a.png", b"bytes")
        assert uploads._signals[name] is uploads._signals[name]
        page.upload_file_set.update([name])
    assert list(page._queue.pending_event_ids_session) == ["b", "c"]
    assert list(uploads._statuses) == list(uploads._signals) == ["b", "c"]
    assert run(uploads.is_tracked("c")) and uploads.pop("c").chunk_size == 5


def test_what_a_visitor_sent_last_is_not_kept():
    with gr.Blocks() as page:
        box = gr.Textbox()
    mount_page(FastAPI(), page, visitors=2)
    page.state_holder["visitor"]._update_value_in_config(box._id, "a photo")
    assert "a photo" not in repr(page.state_holder["visitor"].config_values)


def test_nothing_else_reaches_inside():
    inside = re.compile(
        r"GRADIO_CACHE|state_holder|\.fns\b|processing_utils|from gradio_client|from gradio\."
        r"|\._queue\b|stop_event|has_launched|\.tokens\b|cookie_id"
    )
    package = Path(gradio_inside.__file__).parents[1]
    touching = [f.name for f in package.rglob("*.py") if inside.search(f.read_text())]
    assert touching == ["gradio_inside.py"]
