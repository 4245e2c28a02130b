"""What one 20 ms audio frame costs on its way through ten handlers.

CPU time of the process per frame. Measured: from `push()` at the source until the tenth handler is through, and what of
the event loop that takes. Not measured: making the frame (0.1 to 0.2 µs here, 1.3 µs there), sockets, codecs, models.
Frames come 50 at a time; each flood begins when the last has come through. Ours are stamped by the engine, which is
what `push(InputAudioFrame(audio))` does; the row "stamped" has frames that carry their media time already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from . import _voiceframe as ours
from ._measure import Effort, Spread, by_turns, cpu_us
from ._peer import AVAILABLE
from ._report import Row, at_least

__all__ = ["HANDLERS", "measure", "take"]

HANDLERS = 10
#: A processor that does not handle the frame may cost no more than this: a hundredth of what the frame costs in all.
SLOPE_NS = 10
_FLOOD = 50

Runs = dict[str, Callable[[], Awaitable[float]]]


async def measure(effort: Effort) -> list[Row]:
    return _rows(await take(effort))


async def take(effort: Effort) -> dict[str, Spread]:
    """What was found, in microseconds, by the name of the run."""
    async with AsyncExitStack() as stack:
        runs: Runs = {"ten plain calls": lambda: _plain_calls(effort.frames)}
        await _add_ours(runs, stack, effort)
        if AVAILABLE:
            await _add_theirs(runs, stack, effort)
        return await by_turns(runs, effort.turns)


async def _plain_calls(count: int) -> float:
    """The yardstick: the same ten handlers called in a loop, with nothing of an engine around them."""
    handlers = [ours.audio_handler(ours.returning()) for _ in range(HANDLERS)]
    frames = ours.frames(count, _FLOOD)

    async def run() -> None:
        for frame in frames:
            for handle in handlers:
                handle(frame)

    return await cpu_us(run, count)


async def _add_ours(runs: Runs, stack: AsyncExitStack, effort: Effort) -> None:
    def flooded(flow: ours.Flow, at_ms: int = -1) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            frames = ours.frames(effort.frames, _FLOOD, at_ms)
            return await cpu_us(lambda: flow.flood(frames, _FLOOD), len(frames))

        return run

    def paced(flow: ours.Flow) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            frames = ours.frames(effort.frames // 4, 1)
            return await cpu_us(lambda: flow.paced(frames), len(frames))

        return run

    inner = HANDLERS - 1
    returns = await ours.Flow.of(ours.returning, inner, ours.End())
    pushes = await ours.Flow.of(ours.pushing, inner, ours.PushingEnd())
    renews = await ours.Flow.of(ours.renewing, inner, ours.End())
    looks = ours.Looks()
    observed = await ours.Flow.of(ours.returning, inner, ours.End(), [looks])
    ignored = [await ours.Flow.of(ours.ignoring, count, ours.UnconcernedEnd()) for count in (0, 10, 20)]
    for flow in (returns, pushes, renews, observed, *ignored):
        stack.push_async_callback(flow.close)
    runs["returns"] = flooded(returns)
    runs["stamped"] = flooded(returns, at_ms=0)
    runs["pushes"] = flooded(pushes)
    runs["renews"] = flooded(renews)
    runs["observed"] = flooded(observed)
    for count, flow in zip((0, 10, 20), ignored, strict=True):
        runs[f"ignored by {count}"] = flooded(flow)
    runs["paced"] = paced(returns)
    await observed.flood(ours.frames(_FLOOD, _FLOOD), _FLOOD)
    if looks.seen != _FLOOD:
        raise RuntimeError(f"the observer saw {looks.seen} of {_FLOOD} frames")


async def _add_theirs(runs: Runs, stack: AsyncExitStack, effort: Effort) -> None:
    from . import _pipecat as theirs

    def flooded(flow: theirs.Flow) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            frames = theirs.frames(effort.peer_frames, _FLOOD)
            return await cpu_us(lambda: flow.flood(frames, _FLOOD), len(frames))

        return run

    stripped = await theirs.Flow.of(HANDLERS - 1)
    observed = await theirs.Flow.of(HANDLERS - 1, [theirs.Looks()])
    shipped = await theirs.Flow.of(HANDLERS - 1, stripped=False)
    for flow in (stripped, observed, shipped):
        stack.push_async_callback(flow.close)

    async def paced() -> float:
        frames = theirs.frames(effort.peer_frames, 1)
        return await cpu_us(lambda: stripped.paced(frames), len(frames))

    runs["Pipecat"] = flooded(stripped)
    runs["Pipecat observed"] = flooded(observed)
    runs["Pipecat as shipped"] = flooded(shipped)
    runs["Pipecat paced"] = paced


def _rows(found: dict[str, Spread]) -> list[Row]:
    peer = found.get("Pipecat")
    none, ten, twenty = (found[f"ignored by {count}"] for count in (0, 10, 20))
    slope = Spread.of([(b - a) * 1000 / 20 for a, b in zip(none.values, twenty.values, strict=True)])
    return [
        at_least("frame, 10 handlers return it", "µs", found["returns"], peer, 100),
        at_least("frame, 10 handlers push it", "µs", found["pushes"], peer, 25),
        at_least("frame, 10 return it, one observer (Pipecat none)", "µs", found["observed"], peer, 60),
        Row("the same beside Pipecat with one observer", "µs", found["observed"], found.get("Pipecat observed")),
        Row("frame, 10 return it, beside Pipecat as shipped", "µs", found["returns"], found.get("Pipecat as shipped")),
        Row("frame, 10 return it, stamped by its transport", "µs", found["stamped"], peer),
        Row("frame, 10 push one of their own making", "µs", found["renews"], peer),
        Row("frame, 10 return it, one in flight", "µs", found["paced"], found.get("Pipecat paced")),
        Row("ten plain calls without an engine", "µs", found["ten plain calls"]),
        Row("frame nobody handles, no processors", "µs", none),
        Row("frame nobody handles, 10 processors", "µs", ten),
        Row("frame nobody handles, 20 processors", "µs", twenty),
        Row(
            "each processor that does not handle it",
            "ns",
            slope,
            target=f"within {SLOPE_NS} ns of 0",
            met=abs(slope.median) < SLOPE_NS,
        ),
    ]
