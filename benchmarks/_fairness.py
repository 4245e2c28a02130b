"""Whether a flooded call makes its neighbours late.

200 calls on one event loop, each with ten processors and a frame of audio every 20 ms, evenly staggered. Beside them
one more call whose source pushes 256 frames in every turn of the loop, for ever, part of them into a mailbox.
Lateness is from the time at which a frame was due to the end of its tenth handler, on the loop's clock. What the
machine itself does to a process that wants a whole core is in the numbers: the quiet half of each turn shows how much.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from voiceframe import Call, Processor, handles
from voiceframe.frames import InputAudioFrame

from ._measure import Effort, Spread
from ._report import Row
from ._voiceframe import AUDIO, begin, returning

__all__ = ["Lateness", "measure", "neighbours"]

CALLS = 200
#: A quarter of a frame: a jitter that no listener and no carrier notices.
BOUND_MS = 5.0
_FRAME_S = 0.020
_BURST = 256


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of the neighbours' frames, in milliseconds."""

    quiet: Spread
    flooded: Spread
    flood: int  # frames of the flooded call that came through


class Punctual(Processor):
    """The tenth handler: notes how late the frame is."""

    def __init__(self, late_ms: list[float]) -> None:
        self.due_s = 0.0
        self._late_ms = late_ms

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self._late_ms.append((self.call.engine.loop.time() - self.due_s) * 1000)


class Slow(Processor):
    """A mailbox that the flood fills."""

    def __init__(self) -> None:
        self.seen = 0

    @handles(InputAudioFrame)
    async def on_audio(self, frame: InputAudioFrame) -> None:
        self.seen += 1


class Neighbour:
    """A call with a frame of audio every 20 ms, driven by a timer as by a socket."""

    def __init__(self, call: Call, punctual: Punctual, begins_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = call.transport.input()
        self._punctual = punctual
        self._due_s = begins_s
        self._timer = self._loop.call_at(begins_s, self._frame)

    def _frame(self) -> None:
        self._punctual.due_s = self._due_s
        self._source.push(InputAudioFrame(AUDIO))
        self._due_s += _FRAME_S
        self._timer = self._loop.call_at(self._due_s, self._frame)

    def stop(self) -> None:
        self._timer.cancel()


async def neighbours(seconds: float) -> Lateness:
    """Half of the time without the flood, half with it."""
    late_ms: list[float] = []
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        calls: list[tuple[Call, Punctual]] = []
        for _ in range(CALLS):
            punctual = Punctual(late_ms)
            call = await begin([*(returning() for _ in range(9)), punctual])
            stack.push_async_callback(call.wait_ended)
            stack.callback(call.cancel, "measured")
            calls.append((call, punctual))
        slow = Slow()
        flooded = await begin([*(returning() for _ in range(9)), slow])
        stack.push_async_callback(flooded.wait_ended)
        stack.callback(flooded.cancel, "measured")
        await asyncio.sleep(0.2)
        begins_s = loop.time() + 0.05
        for number, (call, punctual) in enumerate(calls):
            neighbour = Neighbour(call, punctual, begins_s + number * _FRAME_S / CALLS)
            stack.callback(neighbour.stop)
        await asyncio.sleep(0.3)
        late_ms.clear()
        await asyncio.sleep(seconds / 2)
        quiet = Spread.of(late_ms)
        flood = asyncio.create_task(_flood(flooded))
        try:
            await asyncio.sleep(0.1)
            late_ms.clear()
            await asyncio.sleep(seconds / 2)
        finally:
            flood.cancel()
        return Lateness(quiet, Spread.of(late_ms), slow.seen)


async def _flood(call: Call) -> None:
    source = call.transport.input()
    while True:
        for _ in range(_BURST):
            source.push(InputAudioFrame(AUDIO))
        await asyncio.sleep(0)


async def measure(effort: Effort) -> list[Row]:
    turns = [await neighbours(effort.seconds) for _ in range(max(2, effort.turns // 3))]
    rows = []
    for name, percent in (("median", 50), ("p99", 99), ("worst", 100)):
        quiet = Spread.of([turn.quiet.percentile(percent) for turn in turns])
        flooded = Spread.of([turn.flooded.percentile(percent) for turn in turns])
        rows.append(Row(f"{CALLS} calls, {name} lateness of a frame", "ms", quiet))
        target, met = ("", None) if percent != 99 else (f"under {BOUND_MS:g} ms", flooded.median < BOUND_MS)
        rows.append(Row(f"{CALLS} calls beside a flood, {name} lateness", "ms", flooded, target=target, met=met))
    return rows
