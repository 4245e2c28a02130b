"""MCP servers as tools: what a server of the Model Context Protocol offers, an agent can call.

Source: the specification at modelcontextprotocol.io and its official Python SDK (`mcp` 2.3). Servers are reached over
stdio or streamable HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from ..errors import ToolError
from ..extras import optional
from .context import ToolContext
from .tool import AnyTool, Confirm, Duplicates

__all__ = ["MCPServer", "MCPTool"]

#: JSON-RPC: the server says that the request itself is wrong, so asking again does not help.
_THEIR_ANSWER: Final = frozenset({-32600, -32601, -32602, -32603})
_CLOSE_MS: Final = 5_000


class _Link:
    """A connection: the task that holds it, whether it is there, and what ends it."""

    __slots__ = ("keeper", "ready", "stop")

    def __init__(self, ready: asyncio.Future[None], stop: asyncio.Event) -> None:
        self.ready = ready
        self.stop = stop
        self.keeper: asyncio.Task[None] | None = None


class MCPServer:
    """The tools of an MCP server, for `Agent(..., tools=[MCPServer("https://mcp.example.com/mcp")])`.

    url: of a server that speaks streamable HTTP. command: a program that speaks MCP on its standard input and output,
        with its arguments; env: its environment, beside that of PATH and the like; cwd: its folder.
    headers: for HTTP, `{"Authorization": "Bearer ..."}`.
    prefix: in front of each tool's name, with `_` between; by default the host's or the program's name; "" for none.
    only: the names of the tools that are to be had, as the server calls them; all if left out.
    timeout_ms: how long a call of a tool may take. connect_ms: how long the connection may take.
    options: for tools by the server's name: `{"book": {"confirm": True, "say_after_ms": 1_000}}`, as `tool()` takes
        them. What is left out follows from the server's annotations: read-only tools have no side effects.

    One server is shared by all calls of a process: it is connected while any of them uses it, or as long as
    `async with server:` holds it. A connection that was lost is made anew when a tool is called.
    """

    def __init__(
        self,
        url: str = "",
        *,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
        prefix: str | None = None,
        only: Collection[str] | None = None,
        timeout_ms: int = 10_000,
        connect_ms: int = 10_000,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if bool(url) == bool(command) or isinstance(command, str):
            found = "both" if url and command else f"command={command!r}" if command else "neither"
            raise ToolError.of("tool.mcp-place", found=found)
        self.url = url
        self.command = tuple(command)
        self.timeout_ms = timeout_ms
        self.connect_ms = connect_ms
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._headers = dict(headers or {})
        self._only = only
        self._options = dict(options or {})
        place = urlsplit(url).hostname or "" if url else PurePath(command[0]).stem
        self.name = place
        self.prefix = _named(place) if prefix is None else _named(prefix)
        self._users = 0
        self._client: Any = None
        self._link: _Link | None = None
        self._tools: tuple[MCPTool, ...] = ()

    # -- who uses it

    async def __aenter__(self) -> Self:
        self._users += 1
        try:
            await self.connect()
        except BaseException:
            await self.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    def acquire(self) -> None:
        """Say that it is used from now on."""
        self._users += 1

    async def release(self) -> None:
        """Say that it is not used any more; the last one closes the connection."""
        self._users -= 1
        if self._users <= 0:
            await self._close(self._link)

    # -- what it offers

    async def tools(self) -> tuple[MCPTool, ...]:
        """The tools of the server. Raises `ToolError` (`tool.mcp`) if it cannot be reached."""
        await self.connect()
        return self._tools

    async def connect(self) -> None:
        """Be connected, if it is not. Raises `ToolError` (`tool.mcp`), or `MissingExtra`."""
        if self._client is not None:
            return
        link = self._link
        if link is None:
            mcp = optional("mcp", extra="mcp", what="MCPServer")
            link = self._link = _Link(asyncio.get_running_loop().create_future(), asyncio.Event())
            # The SDK's connections belong to the task that opens them. It works for all calls, so for none of them.
            link.keeper = asyncio.create_task(
                self._keep(mcp, link), name=f"mcp {self.name}", context=contextvars.Context()
            )
        try:
            async with asyncio.timeout(self.connect_ms / 1000):
                await asyncio.shield(link.ready)
        except Exception as error:
            await self._close(link)
            if isinstance(error, TimeoutError):
                raise self._error(f"no answer within {self.connect_ms} ms") from error
            raise self._error(_sentence(error)) from error

    async def _keep(self, mcp: Any, link: _Link) -> None:
        """Hold the connection until it is not wanted any more."""
        try:
            async with mcp.Client(self._place(mcp), read_timeout_seconds=self.timeout_ms / 1000) as client:
                self._tools = await self._list(client)
                if self._link is link:
                    self._client = client
                if not link.ready.done():
                    link.ready.set_result(None)
                await link.stop.wait()
        except Exception as error:
            if not link.ready.done():
                link.ready.set_exception(error)
                link.ready.exception()  # whoever has asked may be gone
        finally:
            link.ready.cancel()
            self._forget(link)

    def _forget(self, link: _Link) -> None:
        if self._link is link:
            self._link = self._client = None

    def _place(self, mcp: Any) -> Any:
        if self.command:
            stdio = optional("mcp.client.stdio", extra="mcp", what="MCPServer")
            program, *arguments = self.command
            parameters = stdio.StdioServerParameters(command=program, args=arguments, env=self._env, cwd=self._cwd)
            return stdio.stdio_client(parameters, errlog=sys.__stderr__)
        http = optional("mcp.client.streamable_http", extra="mcp", what="MCPServer")
        return _http(http, self.url, self._headers)

    async def _list(self, client: Any) -> tuple[MCPTool, ...]:
        found: list[MCPTool] = []
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            found += [
                MCPTool(self, spec, **self._options.get(spec.name, {}))
                for spec in page.tools
                if self._only is None or spec.name in self._only
            ]
            cursor = page.next_cursor
            if not cursor:
                return tuple(found)

    async def _close(self, link: _Link | None) -> None:
        if link is None or link.keeper is None:
            return
        self._forget(link)
        link.stop.set()
        if not link.ready.done():
            link.keeper.cancel()
        await asyncio.wait({link.keeper}, timeout=_CLOSE_MS / 1000)
        if not link.keeper.done():
            link.keeper.cancel()
            await asyncio.wait({link.keeper}, timeout=_CLOSE_MS / 1000)

    # -- calling

    async def call(self, name: str, arguments: Mapping[str, Any], *, repeatable: bool = False) -> Any:
        """Call a tool by the name that the server has for it.

        repeatable: it may be called again when the connection is lost in the middle. Raises `ToolError`:
        `tool.mcp-result` for what the server reports, `tool.mcp` where it cannot be reached, `tool.mcp-unsure` when the
        connection was lost and the tool may have run.
        """
        for last in (False, True):
            await self.connect()
            client, link = self._client, self._link
            try:
                result = await client.call_tool(name, dict(arguments))
            except (asyncio.CancelledError, TimeoutError):
                raise
            except Exception as error:
                forgotten = "session terminated" in str(error).lower()  # it knows nothing of us, and has done nothing
                if getattr(error, "code", None) in _THEIR_ANSWER and not forgotten:
                    raise ToolError.of("tool.mcp-result", tool=name, detail=_sentence(error)) from error
                await self._close(link)
                unsent = forgotten or _was_never_sent(error)
                if last or not (repeatable or unsent):
                    if unsent:
                        raise self._error(_sentence(error)) from error
                    raise ToolError.of("tool.mcp-unsure", server=self.name, tool=name) from error
                continue
            if result.is_error:
                raise ToolError.of(
                    "tool.mcp-result", tool=name, detail=_text(result.content).rstrip(".") or "no reason"
                )
            return _value(result)
        raise AssertionError("unreachable")

    def _error(self, detail: str) -> ToolError:
        return ToolError.of(
            "tool.mcp", server=_shown(self.url) or " ".join(self.command[:1]), detail=detail.rstrip(".")
        )

    def __repr__(self) -> str:
        return f"<MCP server {self.name}>"


class MCPTool(AnyTool):
    """A tool of an MCP server."""

    def __init__(
        self,
        server: MCPServer,
        spec: Any,
        *,
        timeout_ms: int | None = None,
        side_effects: bool | None = None,
        on_duplicate: Duplicates | None = None,
        confirm: Confirm = False,
        say_after_ms: int | None = None,
        say: str = "One moment, please.",
        secret: tuple[str, ...] = (),
        on_interrupt: Literal["finish", "cancel"] | None = None,
        ends_reply: bool = False,
    ) -> None:
        hints = spec.annotations
        reads = bool(hints is not None and hints.read_only_hint)
        self.server = server
        self.remote_name: str = spec.name
        self.name = _named(f"{server.prefix}_{spec.name}" if server.prefix else spec.name)
        self.description = spec.description or spec.title or spec.name
        self._schema: dict[str, Any] = dict(spec.input_schema)
        self.timeout_ms = server.timeout_ms if timeout_ms is None else timeout_ms
        self.side_effects = not reads if side_effects is None else side_effects
        self.on_duplicate = on_duplicate or ("reject" if self.side_effects else "allow")
        self.confirm = confirm
        self.say_after_ms = say_after_ms
        self.say = say
        self.secret = tuple(secret)
        self.on_interrupt = on_interrupt or ("finish" if self.side_effects else "cancel")
        self.ends_reply = ends_reply
        self._repeatable = not self.side_effects or bool(hints is not None and hints.idempotent_hint)

    def schema(self) -> dict[str, Any]:
        return self._schema

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As they are: the server checks them, and says what is wrong."""
        return dict(arguments)

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> Any:
        return await self.server.call(self.remote_name, bound, repeatable=self._repeatable)


@contextlib.asynccontextmanager
async def _http(http: Any, url: str, headers: dict[str, str]) -> Any:
    """A transport whose HTTP client has our headers, and is closed with it."""
    async with (
        http.create_mcp_http_client(headers=headers) as client,
        http.streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def _shown(url: str) -> str:
    """The URL without what may be a secret in it: name and password, and the query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl() if url else ""


def _named(text: str) -> str:
    """What every model takes as a name: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", text).strip("_")[:64]


def _value(result: Any) -> Any:
    """What the tool returned: its structured content, else its text."""
    found = result.structured_content
    if found is None:
        return _text(result.content)
    if isinstance(found, dict) and set(found) == {"result"}:  # how the SDK wraps what is no object
        return found["result"]
    return found


def _text(content: Sequence[Any]) -> str:
    parts = []
    for block in content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "resource_link":
            parts.append(str(block.uri))
        elif block.type == "resource" and hasattr(block.resource, "text"):
            parts.append(block.resource.text)
        else:
            parts.append(f"[{block.type}]")
    return "\n".join(parts)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _sentence(error: BaseException) -> str:
    leaf = _leaves(error)[0]
    return " ".join(str(leaf).split())[:200] or type(leaf).__name__


def _was_never_sent(error: BaseException) -> bool:
    """Whether the request cannot have reached the server."""
    return any(
        type(cause).__name__ in ("ConnectError", "ConnectTimeout", "FileNotFoundError") for cause in _chain(error)
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error, what it holds, and what it came from."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [*_leaves(one), one.__cause__, one.__context__]
    return found
