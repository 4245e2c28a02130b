"""Backpressure: producers that wait until there is room downstream of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .errors import ProcessorError

if TYPE_CHECKING:
    from .engine import Engine
    from .node import Node

__all__ = ["Producers"]


class Producers:
    """Those who wait in `Processor.drain()` in one call."""

    __slots__ = ("_engine", "waiting")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waiting: list[asyncio.Future[bool]] = []

    def congested(self, node: Node) -> bool:
        """Whether anything downstream of `node` is at least half full, or what it has pushed is not there yet."""
        settings = self._engine.settings
        if node.waiting or self._engine.dispatcher.backlog * 2 >= settings.ready_frames:
            return True
        behind = False
        for other in self._engine.nodes:
            if behind:
                if other.lane is not None and len(other.lane.items) * 2 >= settings.mailbox_frames:
                    return True
                if other.proc.fullness() >= 0.5:
                    return True
            elif other is node:
                behind = True
        return False

    async def drain(self, node: Node) -> None:
        """Wait until nothing downstream of `node` is congested, there was an interruption, or the call ends."""
        dispatcher = self._engine.dispatcher
        if dispatcher.state.running is not None:
            raise ProcessorError.of("processor.drain-sync", processor=node.name)
        go_on = False
        while not (go_on or dispatcher.closed) and self.congested(node):
            future = self._engine.loop.create_future()
            self.waiting.append(future)
            go_on = await future

    def wake(self, *, for_good: bool = False) -> None:
        """Something has emptied: let those who wait look again, or stop waiting `for_good`."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(for_good)
