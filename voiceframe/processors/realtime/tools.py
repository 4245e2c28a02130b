"""The tools of a `Realtime`: run as those of an agent, and what comes of them told to the model.

wanted ──▶ running ──▶ its result is told ──▶ all of a response have returned: the model goes on, if its turn is current
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING

from ...llm import ToolCall
from ..agents.context import Called
from ..agents.toolbox import ToolBox
from .state import Response, Wish
from .stream import RealtimeStream

if TYPE_CHECKING:
    from .base import Realtime

__all__ = ["Tools"]

#: Beyond this the result of a tool is cut, in characters.
_MOST_CHARS = 8_000


class Tools:
    """Those of one call."""

    def __init__(self, owner: Realtime) -> None:
        self._owner = owner
        # Nothing can be asked: the caller's turns are answered by the model at once.
        self.box = ToolBox(owner, self, UTC, asks=False)
        self._wanted: dict[str, tuple[Response, ToolCall]] = {}  # those that have not returned
        self._waiting: set[asyncio.Task[None]] = set()

    def want(self, response: Response, call: ToolCall) -> None:
        """The model calls a tool."""
        called = self.box.called(call)
        self._wanted[called.id] = (response, call)
        self._owner.record.called(call.id, call.name, call.arguments)
        response.runs.append(self.box.start(called, call.error))

    def follow(self, response: Response) -> None:
        """No more tools are called in this response: when all have returned, the model says what came of it."""
        if response.runs and not response.followed:
            response.followed = True
            task = self._owner.spawn(self._returned(response), name=f"{self._owner.name} waits for tools", lasting=True)
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _returned(self, response: Response) -> None:
        await self.box.together(response.runs)
        if self._owner.call.engine.ending:
            return
        if any(run.tool.ends_reply and run.done.result().error is None for run in response.runs):
            return
        if response.wish.turn is self._owner.turn and not self._owner.speaking:
            self._owner.mouth.want(Wish(self._owner.mouth.tag(), response.wish.turn))

    def leave(self) -> None:
        """The caller has said something else: what changes nothing is cancelled, the rest is finished."""
        for task in self._waiting:
            task.cancel()
        for run in [run for run in self.box.open if not run.alone]:
            self.box.let_go(run)

    # -- what the box asks for

    def ids(self) -> set[str]:
        """Of calls that have not returned."""
        return set(self._wanted)

    def result(self, called: Called, text: str, *, failed: bool = False) -> None:
        """A tool has returned: the model is told in any case."""
        response, call = self._wanted.pop(called.id)
        if len(text) > _MOST_CHARS:
            text = f"{text[:_MOST_CHARS]} (cut: {len(text)} characters)"
        messages = self._owner.record.returned(call.id, text, failed=failed)

        async def tell(stream: RealtimeStream) -> None:
            if stream is response.stream:
                await stream.send_tool_result(call.id, text)
            else:  # it knows nothing of the call
                await stream.restore(messages)

        self._owner.link.tell(tell)
