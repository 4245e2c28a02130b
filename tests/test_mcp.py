"""MCP servers as tools, against real servers of the official SDK: over standard input and output, and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voiceframe.call import Call
from voiceframe.errors import ToolError
from voiceframe.frames import UserTurnFrame
from voiceframe.processors.agents import Agent
from voiceframe.testing import ScriptedLLM, call_tool
from voiceframe.testing.run import rig
from voiceframe.tools import MCPServer, ToolContext
from voiceframe.transports.text import TextTransport

pytestmark = [pytest.mark.real_time]

SERVER = '''
import asyncio, os, sys
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("diary")

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def free(day: str) -> list[str]:
    """Say what is free."""
    return [f"{day} 10:00"]

@server.tool()
async def book(day: str, slow: bool = False) -> dict[str, str]:
    """Book an appointment."""
    if day == "never":
        raise ToolError("we are closed")
    if day == "crash":
        os._exit(3)
    if slow:
        await asyncio.sleep(30)
    return {"day": day, "token": os.environ.get("DIARY_TOKEN", "")}

if __name__ == "__main__":
    server.run("stdio")
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "diary.py"
    path.write_text(SERVER)
    return path


def context() -> ToolContext:
    return ToolContext(Call(TextTransport(), seed=1), "x")


async def test_a_program_offers_its_tools(script: Path) -> None:
    server = MCPServer(command=[sys.executable, str(script)], env={"DIARY_TOKEN": "t"}, prefix="my diary")
    async with server:
        free, book = await server.tools()
        assert (free.name, book.name) == ("my_diary_free", "my_diary_book")
        assert (free.side_effects, book.side_effects) == (False, True)
        assert (free.on_interrupt, book.on_interrupt) == ("cancel", "finish")
        assert book.description == "Book an appointment."
        assert book.schema()["properties"]["day"]["type"] == "string"
        assert await free.run(context(), {"day": "Monday"}) == ["Monday 10:00"]
        assert await book.run(context(), {"day": "Monday"}) == {"day": "Monday", "token": "t"}
        with pytest.raises(ToolError, match="we are closed") as caught:
            await book.run(context(), {"day": "never"})
        assert caught.value.code == "tool.mcp-result"
        with pytest.raises(ToolError) as caught:
            await book.run(context(), {"dya": "Monday"})
        assert caught.value.code == "tool.mcp-result"
        book.timeout_ms = 300
        with pytest.raises(ToolError, match=r"tool\.timeout"):
            await book.run(context(), {"day": "Monday", "slow": True})
        assert await free.run(context(), {"day": "Friday"}) == ["Friday 10:00"]


async def test_a_program_that_dies_is_started_again(script: Path) -> None:
    server = MCPServer(command=[sys.executable, str(script)], prefix="")
    async with server:
        _, book = await server.tools()
        with pytest.raises(ToolError, match=r"tool\.mcp-unsure"):
            await book.run(context(), {"day": "crash"})
        assert (await book.run(context(), {"day": "Monday"}))["day"] == "Monday"


async def test_only_some_tools_with_options(script: Path) -> None:
    options = {"book": {"confirm": True, "say_after_ms": 500, "secret": ("day",)}}
    server = MCPServer(command=[sys.executable, str(script)], only=["book"], options=options)
    async with server:
        (book,) = await server.tools()
    assert book.name.startswith("python")  # the name of the program
    assert (book.confirm, book.say_after_ms, book.secret) == (True, 500, ("day",))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [({}, "neither"), ({"url": "http://x", "command": ["x"]}, "both"), ({"command": "x y"}, "command='x y'")],
)
def test_a_server_is_at_one_place(arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(ToolError, match=found):
        MCPServer(**arguments)


async def test_a_program_that_is_not_there_is_an_error_that_names_it() -> None:
    server = MCPServer(command=["/nonexistent/diary"])
    with pytest.raises(ToolError, match=r"nonexistent/diary.*tool\.mcp"):
        async with server:
            pass


async def test_a_program_that_says_nothing_is_given_up() -> None:
    server = MCPServer(command=[sys.executable, "-c", "import sys; sys.stdin.read()"], connect_ms=300)
    with pytest.raises(ToolError, match="no answer within 300 ms"):
        await server.tools()


# -- HTTP


@contextlib.asynccontextmanager
async def served(script: Path, headers: list[str], port: int = 0) -> AsyncIterator[tuple[str, int]]:
    import uvicorn

    space: dict[str, Any] = {"__name__": "diary"}
    exec(compile(SERVER, str(script), "exec"), space)
    app = space["server"].streamable_http_app()

    async def spying(scope: Any, receive: Any, send: Any) -> None:
        headers.extend(value.decode() for name, value in scope.get("headers", []) if name == b"authorization")
        await app(scope, receive, send)

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        port = listener.getsockname()[1]
        http = uvicorn.Server(uvicorn.Config(spying, log_level="error", lifespan="on"))
        task = asyncio.create_task(http.serve(sockets=[listener]))
        while not http.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}/mcp", port
        finally:
            http.should_exit = True
            await task


async def test_a_server_at_a_url_offers_its_tools(script: Path) -> None:
    headers: list[str] = []
    async with served(script, headers) as (url, _):
        server = MCPServer(url, headers={"Authorization": "Bearer t"}, prefix="diary")
        async with server:
            free, book = await server.tools()
            assert (free.name, book.name) == ("diary_free", "diary_book")
            assert await free.run(context(), {"day": "Monday"}) == ["Monday 10:00"]
            with pytest.raises(ToolError, match="we are closed"):
                await book.run(context(), {"day": "never"})
    assert set(headers) == {"Bearer t"}


async def test_a_server_that_was_started_again_is_connected_again(script: Path) -> None:
    async with served(script, []) as (url, port):
        server = MCPServer(url, prefix="")
        server.acquire()
        free, book = await server.tools()
        await free.run(context(), {"day": "Monday"})
    with pytest.raises(ToolError, match=r"tool\.mcp[\]-]"):
        await book.run(context(), {"day": "Monday"})
    async with served(script, [], port):
        assert await free.run(context(), {"day": "Monday"}) == ["Monday 10:00"]
        assert (await book.run(context(), {"day": "Monday"}))["day"] == "Monday"
        await server.release()


async def test_a_session_that_the_server_has_forgotten_is_begun_anew(script: Path) -> None:
    async with served(script, []) as (url, port):
        server = MCPServer(url, prefix="")
        server.acquire()
        free, book = await server.tools()
    async with served(script, [], port):
        assert await free.run(context(), {"day": "Monday"}) == ["Monday 10:00"]
        assert (await book.run(context(), {"day": "Monday"}))["day"] == "Monday"
        await server.release()


async def test_a_server_that_cannot_be_reached_costs_the_tools_and_not_the_call(script: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = MCPServer(f"http://127.0.0.1:{port}/mcp", connect_ms=2_000)
    llm = ScriptedLLM(["I have no diary.", "Still none."])
    async with rig(Agent("desk", llm=llm, tools=[server])) as running:
        running.push(UserTurnFrame(1, "Hello"))
        await asyncio.sleep(0.5)
        assert "".join(running.result.texts).endswith("I have no diary.")
    assert llm.requests[0].tools == ()
    assert "tool.mcp" in str(running.result.errors[0])


async def test_an_agent_calls_a_tool_of_a_server(script: Path) -> None:
    server = MCPServer(command=[sys.executable, str(script)], prefix="diary")
    llm = ScriptedLLM([call_tool("diary_free", day="Monday"), "At ten."])
    async with rig(Agent("desk", llm=llm, tools=[server])) as running:
        async with asyncio.timeout(8):
            await server.tools()  # a turn waits two seconds for them, and a busy machine may take longer
            running.push(UserTurnFrame(1, "When?"))
            while "At ten." not in "".join(running.result.texts):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert [spec.name for spec in llm.requests[0].tools] == ["diary_free", "diary_book"]
    assert llm.requests[1].messages[-1].text == '["Monday 10:00"]'
    assert server._link is None  # the call was its only user
