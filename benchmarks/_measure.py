"""How everything here is measured: what is compared runs by turns in one process, and medians of the turns count.

Machines are shared and their clocks are not steady, so an absolute number says little on its own. A ratio of two things
that took turns within the same seconds says much more, and it is taken per turn, so that a slow spell hits both sides.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "SMOKE", "Effort", "Spread", "by_turns", "cpu_us", "ratio"]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. More turns narrow the spread; none of it changes what is measured."""

    turns: int
    frames: int  # per turn of ours
    peer_frames: int  # per turn of Pipecat, which takes some fifty times as long for each
    interruptions: int
    fresh: int  # processes started for imports and memory
    calls: int  # set up per turn
    idle_calls: int
    seconds: float  # of 200 calls


FULL = Effort(
    turns=15, frames=20_000, peer_frames=1_000, interruptions=40, fresh=7, calls=100, idle_calls=1_000, seconds=4.0
)
QUICK = Effort(
    turns=5, frames=10_000, peer_frames=500, interruptions=15, fresh=3, calls=50, idle_calls=1_000, seconds=1.5
)
SMOKE = Effort(turns=4, frames=5_000, peer_frames=250, interruptions=8, fresh=3, calls=30, idle_calls=200, seconds=1.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """Measured values in the order of their turns."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def percentile(self, percent: int) -> float:
        """The value that `percent` of a hundred do not exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def ratio(theirs: Spread, ours: Spread) -> Spread:
    """How many times as much theirs is: turn by turn where the turns match, else between the medians."""
    if len(theirs.values) == len(ours.values):
        return Spread.of([t / o for t, o in zip(theirs.values, ours.values, strict=True)])
    return Spread.of([theirs.median / ours.median])


async def by_turns(runs: Mapping[str, Callable[[], Awaitable[float]]], turns: int) -> dict[str, Spread]:
    """Run all by turns and collect what each returns. One turn more comes first, to warm up, and is not counted."""
    values: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            gc.collect()
            value = await run()
            if turn:
                values[name].append(value)
    return {name: Spread.of(found) for name, found in values.items()}


async def cpu_us(run: Callable[[], Awaitable[None]], count: int) -> float:
    """Process CPU time in microseconds for each of the `count` things that `run` does."""
    began = time.process_time()
    await run()
    return (time.process_time() - began) * 1e6 / count
