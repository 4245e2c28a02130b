"""What it costs to have a call: its set-up, its memory while idle, and the import of the package.

Set-up is CPU time for `Call(...)`, ten processors, their `Pipeline` and `await call.start(...)`. A row of its own goes
on until all have had the StartFrame and a first audio frame, for which the routes are built then; beside it stands
Pipecat until its StartFrame is through, so ours has done more.

Memory and imports are taken in fresh processes (`benchmarks._fresh`). An idle call has had its first audio frame; two
of its ten processors have a mailbox. An import is measured with its byte code at hand, as after the first time; the
rows of "the names" are what users write: `from voiceframe import Call, Pipeline, Processor, handles`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from voiceframe import Call
from voiceframe.frames import InputAudioFrame

from ._fresh import IDLE, IMPORTS, fresh
from ._measure import Effort, Spread, by_turns, cpu_us
from ._peer import AVAILABLE
from ._report import Row, below
from ._voiceframe import AUDIO, begin, ten

__all__ = ["measure", "measure_imports", "measure_memory", "measure_set_up", "take_set_up"]


async def measure(effort: Effort) -> list[Row]:
    return [*await measure_set_up(effort), *measure_memory(effort), *measure_imports(effort)]


async def measure_set_up(effort: Effort) -> list[Row]:
    found = await take_set_up(effort)
    return [
        below("call of ten processors, set up", "ms", found["start"], 0.2),
        Row("call of ten processors, first frame through", "ms", found["first frame"], found.get("Pipecat")),
    ]


async def take_set_up(effort: Effort) -> dict[str, Spread]:
    """Milliseconds by the name of the run."""
    async with AsyncExitStack() as stack:
        standing = await begin(ten())  # what the first call of a process loads, and the watchdog's thread
        stack.push_async_callback(_end, [standing])
        runs: dict[str, Callable[[], Awaitable[float]]] = {
            "start": lambda: _ours(effort.calls, first_frame=False),
            "first frame": lambda: _ours(effort.calls, first_frame=True),
        }
        if AVAILABLE:
            runs["Pipecat"] = lambda: _theirs(max(2, effort.calls // 10))
        return await by_turns(runs, effort.turns)


async def _ours(count: int, *, first_frame: bool) -> float:
    calls: list[Call] = []

    async def set_up() -> None:
        calls.extend([await begin(ten()) for _ in range(count)])
        if first_frame:
            await asyncio.sleep(0)
            for call in calls:
                call.transport.input().push(InputAudioFrame(AUDIO))

    try:
        return await cpu_us(set_up, count) / 1000
    finally:
        await _end(calls)


async def _end(calls: list[Call]) -> None:
    for call in calls:
        call.cancel("measured")
    for call in calls:
        await call.wait_ended()


async def _theirs(count: int) -> float:
    from . import _pipecat as theirs

    flows: list[theirs.Run] = []

    async def set_up() -> None:
        for _ in range(count):
            end = theirs.End()
            run = theirs.Run([*(theirs.Passes() for _ in range(9)), end])
            flows.append(run)
            await run.start()
            await end.started.wait()

    try:
        return await cpu_us(set_up, count) / 1000
    finally:
        for run in flows:
            await run.close()


def measure_memory(effort: Effort) -> list[Row]:
    found = {name: [fresh("idle", name, str(effort.idle_calls)) for _ in range(2)] for name in IDLE}
    theirs = [fresh("idle", "pipecat", "50") for _ in range(2)] if AVAILABLE else None
    peer = Spread.of([one["kib"] for one in theirs]) if theirs else None
    rss, traced = (Spread.of([one["kib"] for one in found[name]]) for name in ("rss", "traced"))
    return [
        below("idle call of ten processors, resident", "KiB", rss, 50, peer),
        below("idle call of ten processors, traced", "KiB", traced, 50),
    ]


def measure_imports(effort: Effort) -> list[Row]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in IMPORTS if AVAILABLE or name != "pipecat"}
    for _ in range(effort.fresh):
        for name, values in found.items():
            values.append(fresh("import", name))
    ms = {name: Spread.of([one["ms"] for one in values]) for name, values in found.items()}
    mib = {name: Spread.of([one["kib"] / 1024 for one in values]) for name, values in found.items()}
    return [
        below("import voiceframe", "ms", ms["package"], 150),
        below("import voiceframe", "MiB", mib["package"], 25),
        below("import of the names", "ms", ms["names"], 150, ms.get("pipecat")),
        below("import of the names", "MiB", mib["names"], 25, mib.get("pipecat")),
        Row("import asyncio, for comparison", "ms", ms["asyncio"]),
    ]
