"""The same interruption in Pipecat: ten processors, one of them busy with text and more text behind it.

Here what waits to enter is text as well. Audio would be the harder case: to Pipecat it is as urgent as an interruption.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ._pipecat import Passes, Run

from pipecat.frames.frames import (  # isort: skip  (behind _pipecat, which silences its import)
    Frame,
    InterruptionFrame,
    StartFrame,
    TextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor  # isort: skip

__all__ = ["PeerInterruptions"]

_PATIENCE_S = 30


class Listener(FrameProcessor):
    """Notes when an interruption reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached_s = 0.0
        self.reached = asyncio.Event()
        self.started = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame) and direction == FrameDirection.DOWNSTREAM:
            self.reached_s = time.perf_counter()
            self.reached.set()
        elif isinstance(frame, StartFrame):
            self.started.set()
        await self.push_frame(frame, direction)


class Busy(Listener):
    """Never finishes its text."""

    def __init__(self) -> None:
        super().__init__()
        self.working = asyncio.Event()
        self.unwound = asyncio.Event()
        self.unwound_s = 0.0
        self.occupied = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame):
            self.working.set()
            self.occupied = True
            try:
                await asyncio.Event().wait()
            finally:
                self.occupied = False
                self.unwound_s = time.perf_counter()
                self.unwound.set()
        else:
            await super().process_frame(frame, direction)


class PeerInterruptions:
    """A pipeline that is interrupted again and again."""

    def __init__(self, run: Run, source: Any, listeners: list[Listener], busy: Busy) -> None:
        self._run = run
        self._source = source
        self._listeners = listeners
        self._busy = busy

    @classmethod
    async def of(cls, processors: int) -> PeerInterruptions:
        source, busy = Passes(), Busy()
        listeners = [Listener() for _ in range(processors)]
        listeners[processors // 2] = busy
        run = Run([source, *listeners])
        await run.start()
        await listeners[-1].started.wait()
        await asyncio.sleep(0.05)
        return cls(run, source, listeners, busy)

    async def one(self, mailbox: int, entrance: int) -> tuple[float, float]:
        """Milliseconds until the last processor was reached, and until the busy one had unwound."""
        busy = self._busy
        for listener in self._listeners:
            listener.reached.clear()
        busy.working.clear()
        busy.unwound.clear()
        await self._source.push_frame(TextFrame("busy"))
        await busy.working.wait()
        for _ in range(mailbox):
            await self._source.push_frame(TextFrame("more"))
        await asyncio.sleep(0.2)  # they have all come as far as they can
        for _ in range(entrance):
            await self._source.push_frame(TextFrame("more"))
        began = time.perf_counter()
        await self._source.broadcast_interruption()
        async with asyncio.timeout(_PATIENCE_S):
            for listener in self._listeners:
                await listener.reached.wait()
            await busy.unwound.wait()
        reached = max(listener.reached_s for listener in self._listeners)
        unwound = busy.unwound_s
        await self._settle()
        return (reached - began) * 1000, (unwound - began) * 1000

    async def _settle(self) -> None:
        """Interrupt until no text is left: an interruption overtakes what is on its way, which then arrives."""
        await asyncio.sleep(0.2)
        while self._busy.occupied:
            await self._source.broadcast_interruption()
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._run.close()
