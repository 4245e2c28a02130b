"""How long an interruption takes to reach everybody, however much is queued.

Wall time in milliseconds, since that is what a caller hears. Ten processors have a `def` handler of the interruption;
one of them is also busy in an `async def` handler of the bot's text, and further text waits in its mailbox. Two
backlogs are made: text that waits at the busy processor, and audio that waits to enter the pipeline.

Measured: from the decision to interrupt until the last of the ten handlers has run, and until the busy handler has
unwound. Not measured: finding out that the caller speaks, and silencing what a carrier has already been sent.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from voiceframe import Call, EngineSettings, Processor, handles, observes
from voiceframe.frames import InputAudioFrame, InterruptionFrame, TextFrame

from ._measure import Effort, Spread
from ._peer import AVAILABLE
from ._report import Row, below
from ._voiceframe import AUDIO, begin

__all__ = ["BACKLOGS", "IDLE", "Backlog", "Found", "Interruptions", "measure", "take"]

PROCESSORS = 10
#: Flat means that 5,000 queued frames may cost no more than this times what none cost.
FLAT = 3.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Frames that are queued when the interruption comes."""

    mailbox: int = 0  # behind the busy handler
    entrance: int = 0  # not yet in the pipeline

    def __str__(self) -> str:
        if self.entrance:
            return f"{self.entrance:,} waiting to enter"
        return f"{self.mailbox:,} in a mailbox" if self.mailbox else "none queued"


IDLE = Backlog()
BACKLOGS = (IDLE, Backlog(mailbox=500), Backlog(entrance=500), Backlog(mailbox=5_000), Backlog(entrance=5_000))


class Listener(Processor):
    """Notes when an interruption reaches it, and how much audio has."""

    def __init__(self) -> None:
        self.reached_s = 0.0
        self.heard = 0

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.reached_s = time.perf_counter()

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self.heard += 1


class Busy(Listener):
    """Never finishes its text."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = 0
        self.all_here = asyncio.Event()
        self.working = asyncio.Event()
        self.unwound = asyncio.Event()
        self.unwound_s = 0.0

    @observes(TextFrame)
    def on_arrival(self, frame: TextFrame) -> None:
        self.expected -= 1
        if not self.expected:
            self.all_here.set()

    @handles(TextFrame)
    async def on_text(self, frame: TextFrame) -> None:
        self.working.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.unwound_s = time.perf_counter()
            self.unwound.set()


class Interruptions:
    """A call that is interrupted again and again."""

    def __init__(self, call: Call, listeners: list[Listener], busy: Busy) -> None:
        self.call = call
        self._source = call.transport.input()
        self._listeners = listeners
        self._busy = busy

    @classmethod
    async def of(cls) -> Interruptions:
        busy = Busy()
        listeners = [Listener() for _ in range(PROCESSORS)]
        listeners[PROCESSORS // 2] = busy
        settings = EngineSettings(ready_frames=12_000, mailbox_frames=12_000)
        return cls(await begin(listeners, engine_settings=settings), listeners, busy)

    async def prepare(self, backlog: Backlog) -> None:
        """Make the one processor busy, and fill its mailbox."""
        source, busy = self._source, self._busy
        reply = source.begin_reply()
        busy.expected = backlog.mailbox + 1
        busy.all_here.clear()
        busy.working.clear()
        busy.unwound.clear()
        source.push(TextFrame("busy", reply))
        await busy.working.wait()
        for _ in range(backlog.mailbox):
            source.push(TextFrame("more", reply))
        await busy.all_here.wait()
        gc.collect()

    def queue_audio(self, count: int) -> None:
        """Push audio until `count` frames wait. What comes in one go is run at once only at first."""
        first = self._listeners[0]
        before, pushed = first.heard, 0
        while pushed - (first.heard - before) < count:
            self._source.push(InputAudioFrame(AUDIO))
            pushed += 1
            if pushed > 2 * count + 1_000:
                raise RuntimeError("audio does not queue")

    def interrupt(self) -> None:
        self.call.interrupt("benchmark")

    async def one(self, backlog: Backlog) -> tuple[float, float]:
        """Milliseconds until the last handler was reached, and until the busy handler had unwound."""
        await self.prepare(backlog)
        self.queue_audio(backlog.entrance)
        began = time.perf_counter()
        self.interrupt()
        reached = max(listener.reached_s for listener in self._listeners)
        if min(listener.reached_s for listener in self._listeners) < began:
            raise RuntimeError("a handler was not reached when interrupt() returned")
        await self._busy.unwound.wait()
        await asyncio.sleep(0.02)  # the dead frames are thrown away
        return (reached - began) * 1000, (self._busy.unwound_s - began) * 1000

    async def close(self) -> None:
        self.call.cancel("measured")
        await self.call.wait_ended()


@dataclass(frozen=True, slots=True)
class Found:
    """Milliseconds by backlog."""

    reached: dict[Backlog, Spread]
    unwound: dict[Backlog, Spread]
    their_reached: dict[Backlog, Spread]
    their_unwound: dict[Backlog, Spread]

    @property
    def worst(self) -> float:
        """How many times the dearest backlog costs what an idle call costs."""
        return max(spread.median for spread in self.reached.values()) / self.reached[IDLE].median


async def take(effort: Effort) -> Found:
    """Interrupt by turns, over each backlog and in each engine."""
    ours: dict[Backlog, list[tuple[float, float]]] = {backlog: [] for backlog in BACKLOGS}
    theirs: dict[Backlog, list[tuple[float, float]]] = {}
    async with AsyncExitStack() as stack:
        call = await Interruptions.of()
        stack.push_async_callback(call.close)
        peer = None
        if AVAILABLE:
            from ._pipecat_interruption import PeerInterruptions

            peer = await PeerInterruptions.of(PROCESSORS)
            stack.push_async_callback(peer.close)
        for turn in range(effort.interruptions + 2):  # two to warm up
            for backlog in BACKLOGS:
                ours[backlog].append(await call.one(backlog))
                # Pipecat needs most of a second for each, so it has fewer turns, and none with 5,000.
                if peer is not None and backlog.mailbox + backlog.entrance <= 500 and turn < effort.interruptions // 2:
                    theirs.setdefault(backlog, []).append(await peer.one(backlog.mailbox, backlog.entrance))
    return Found(
        {backlog: Spread.of([reached for reached, _ in values[2:]]) for backlog, values in ours.items()},
        {backlog: Spread.of([unwound for _, unwound in values[2:]]) for backlog, values in ours.items()},
        {backlog: Spread.of([reached for reached, _ in values[1:]]) for backlog, values in theirs.items()},
        {backlog: Spread.of([unwound for _, unwound in values[1:]]) for backlog, values in theirs.items()},
    )


async def measure(effort: Effort) -> list[Row]:
    found = await take(effort)
    rows = [
        below(f"interruption, all handlers, {backlog}", "ms", spread, 0.1, found.their_reached.get(backlog))
        for backlog, spread in found.reached.items()
    ]
    rows.append(
        Row(
            "interruption, the dearest of these by the first",
            "x",
            Spread.of([found.worst]),
            target=f"at most {FLAT:g}x",
            met=found.worst <= FLAT,
        )
    )
    rows += [
        Row(f"busy handler has unwound, {backlog}", "ms", spread, found.their_unwound.get(backlog))
        for backlog, spread in found.unwound.items()
    ]
    return rows
