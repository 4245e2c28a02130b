"""The MCP servers of an agent: connected while the telephone rings, and tried again when they could not be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ...errors import ToolError
from .toolbox import ToolBox

if TYPE_CHECKING:
    from ...tools.mcp import MCPServer
    from .agent import Agent

__all__ = ["Servers"]

#: How long a request waits for the tools of a server that is being connected.
_WAIT_MS: Final = 2_000


class Servers:
    """They serve other calls as well: this one says when it begins and ends to use them."""

    def __init__(self, agent: Agent, tools: ToolBox, servers: Sequence[MCPServer]) -> None:
        self._agent = agent
        self._tools = tools
        self._servers = servers
        self._acquired = False
        self._connecting: dict[MCPServer, asyncio.Task[None]] = {}
        self._connected: set[MCPServer] = set()

    def begin(self) -> None:
        """Connect to all of them, in the background."""
        self._acquired = True
        for server in self._servers:
            server.acquire()
            self._connect(server)

    async def end(self) -> None:
        """They are not used any more."""
        if self._acquired:
            self._acquired = False
            for server in self._servers:
                await server.release()

    def _connect(self, server: MCPServer) -> None:
        async def connect() -> None:
            try:
                self._tools.add(await server.tools())
                self._connected.add(server)
            except ToolError as error:  # the call goes on without these tools; the next turn tries again
                self._agent.fail(error)
                if error.code == "tool.twice":  # which does not help here
                    self._connected.add(server)

        name = f"{self._agent.name} asks {server}"
        self._connecting[server] = self._agent.spawn(connect(), name=name, lasting=True)

    async def ready(self) -> None:
        """Wait a moment for servers that are being connected, and try again those that could not be reached."""
        waiting = [task for task in self._connecting.values() if not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=_WAIT_MS / 1000)
        for server, task in list(self._connecting.items()):
            if task.done() and server not in self._connected:
                self._connect(server)
