"""Assistants as clients: a real MCP session with the served page's tools."""

import ast
import asyncio
import base64
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from servers import CROP, page_server, send, trap, version

DATA_URL = "data:image/png;base64," + base64.b64encode(CROP).decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    models = [version("v1", 0), version("v2", 1)]
    with page_server(models, tmp_path_factory.mktemp("mcp"), mcp=True) as client:
        yield client


def session(served, work: Callable[[ClientSession], Awaitable]):
    """What `work` gives in a session with the server."""

    async def run():
        address = f"{served.base_url}/gradio_api/mcp/"
        async with (
            streamable_http_client(address) as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            return await work(client)

    # The browser tests' event loop may still run in this thread.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()


def call(served, tool: str, **arguments) -> CallToolResult:
    async def work(client: ClientSession) -> CallToolResult:
        [name] = [t.name for t in (await client.list_tools()).tools if t.name.endswith(tool)]
        return await client.call_tool(name, arguments)

    return session(served, work)


def test_the_tools_are_listed_with_what_they_do(served):
    async def work(client: ClientSession):
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in session(served, work)}
    assert len(tools) == 2
    for kind in ("predict", "explain"):
        [name] = [name for name in tools if name.endswith(kind)]
        assert tools[name].description and "picture" in tools[name].inputSchema["properties"]


def test_a_tool_answers_as_http_does(served):
    result = call(served, "predict", picture=DATA_URL, model="v2")
    assert not result.isError
    told = ast.literal_eval(result.content[0].text)  # Gradio sends the text of a Python dict
    assert told["prediction"] == send(served, "/predict", model="v2").json()["prediction"]


def test_addresses_and_paths_are_not_opened(served, tmp_path):
    file = tmp_path / "face.png"
    file.write_bytes(CROP)
    with trap() as (address, asked):
        for picture in (address, str(file), file.as_uri()):
            result = call(served, "predict", picture=picture)
            text = " ".join(item.text for item in result.content)
            assert result.isError, picture
            assert "prediction" not in text and "Traceback" not in text
    assert asked == []
