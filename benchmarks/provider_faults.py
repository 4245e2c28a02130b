"""Calls whose providers fail at random: `uv run python -m benchmarks.provider_faults --calls 1000 --seed 0 --jobs 2`.

Each call is of two to four turns, over a line in memory, with a recognizer, a model and a voice of random vendors,
asked by their SDKs over real sockets at the fakes of `voiceframe.testing.providers`. On two of three calls each of
them fails up to four times, on connections and at places that follow from the seed of the call: cut, half-open,
refused with 429 (with and without Retry-After) and 5xx, garbled, closed by the vendor, slow, deaf for a while.
Deadlines are shorter than a product has them, so that calls take seconds.

What must hold of each call: it ends once, because the caller hangs up; the greeting is heard; each committed turn has
one outcome, and one that was not answered is told so to the caller; after each thing that the caller says the bot is
heard; no turn is answered twice, no word is said twice or understood twice, and sound is that of the words (to the
sample for vendors that tell where their words are). Of all calls together: no task, connection or file is left, and
memory does not grow.

It exits with 1 if anything is wrong, and names the seeds. One of them again: `--calls 1 --seed N`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from voiceframe.call import Call
from voiceframe.testing.leaks import leftovers

from ._providers_calls import Found, Models, one_call, warm_up

__all__ = ["Tally", "report", "run"]

#: A call that takes longer is stuck.
_LONGEST_S: Final = 120
#: Calls begin so far apart: a burst of beginnings is another benchmark's business.
_APART_S: Final = 0.25
#: Calls between two looks at what is left.
_WAVE: Final = 100
#: Calls that are over and still known. A few are, however many there were: a connection that a model keeps knows the
#: call that opened it.
_KNOWN: Final = 40
#: What may be left for each call: objects of Python, after the first wave. The known calls are part of it, thousands of
#: objects each, now more of them and now fewer.
_GROWTH: Final = 60.0


@dataclass
class Tally:
    """What all calls of a process came to, and then of all processes."""

    calls: int = 0
    turns: int = 0
    said: int = 0
    understood: int = 0
    replies: int = 0
    whole: int = 0
    call_ms: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    slowest_ms: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)  # objects for each call after the first wave
    known: list[int] = field(default_factory=list)  # calls that are over and not forgotten, after each wave
    held_ms: list[float] = field(default_factory=list)  # for how long the loop was held up, each time over 100 ms
    resident_mib: list[list[float]] = field(default_factory=list)  # of each process, after each wave

    def add(self, found: Found) -> None:
        """One more call."""
        self.calls += 1
        for name in ("turns", "said", "understood", "replies", "whole"):
            setattr(self, name, getattr(self, name) + getattr(found, name))
        self.call_ms += found.lasted_ms
        self.slowest_ms.append(found.slowest_ms)
        for mine, more in ((self.outcomes, found.outcomes), (self.faults, found.faults), (self.lost, found.lost)):
            mine.update(more)
        self.wrong += [f"seed {found.seed} ({', '.join(found.vendors)}): {wrong}" for wrong in found.wrong]

    def join(self, other: Tally) -> None:
        """What another process has found."""
        for name in ("calls", "turns", "said", "understood", "replies", "whole", "call_ms"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("slowest_ms", "wrong", "left", "growth", "known", "held_ms", "resident_mib"):
            getattr(self, name).extend(getattr(other, name))
        for mine, more in ((self.outcomes, other.outcomes), (self.faults, other.faults), (self.lost, other.lost)):
            mine.update(more)

    @property
    def passed(self) -> bool:
        return bool(self.calls) and not self.wrong and not self.left


async def hold(seeds: Sequence[int], at_once: int) -> Tally:
    """Make these calls on the loop that runs, `at_once` of them at most."""
    loop = asyncio.get_running_loop()
    before = frozenset(asyncio.all_tasks(loop))
    files = _files()
    tally = Tally()
    objects: list[int] = []  # after each wave
    resident: list[float] = []
    async with Models(-(-at_once // 4)) as models:
        await warm_up(models)
        watch = asyncio.ensure_future(_held_up(tally))
        for start in range(0, len(seeds), _WAVE):
            await _wave(seeds[start : start + _WAVE], at_once, models, tally)
            gc.collect()
            found = gc.get_objects()
            objects.append(len(found))
            tally.known.append(sum(type(one) is Call for one in found))
            del found
            resident.append(_resident_mib())
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        tally.resident_mib.append(resident)
        if len(objects) > 1:
            tally.growth.append((objects[-1] - objects[0]) / (len(seeds) - _WAVE))
            if tally.growth[0] > _GROWTH:
                tally.left.append(f"{tally.growth[0]:.0f} objects for each call")
        if max(tally.known, default=0) > _KNOWN:
            tally.left.append(f"{max(tally.known)} calls that are over")
    left: list[str] = []
    for _ in range(100):
        if not (left := leftovers(loop, before)) and _files() <= files:
            break
        await asyncio.sleep(0.02)
    tally.left += left
    if _files() > files:
        tally.left.append(f"{_files() - files} open files")
    return tally


async def _wave(seeds: Sequence[int], at_once: int, models: Models, tally: Tally) -> None:
    room = asyncio.Semaphore(at_once)

    async def held(seed: int) -> None:
        try:
            async with asyncio.timeout(_LONGEST_S):
                found = await one_call(seed, models)
        except Exception as error:
            found = Found(seed, ("", "", ""), wrong=[f"it did not come to its end: {error!r}"])
        finally:
            room.release()
        tally.add(found)

    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            await room.acquire()
            group.create_task(held(seed))
            await asyncio.sleep(_APART_S)


async def _held_up(tally: Tally) -> None:
    """Note when the event loop gets no time, whoever has taken it: deadlines pass meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.05
        await asyncio.sleep(0.05)
        late_ms = (loop.time() - due) * 1000
        if late_ms > 100:
            tally.held_ms.append(late_ms)


def _files() -> int:
    """How many files and sockets are open; 0 where that cannot be known."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


def _resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _part(seeds: Sequence[int], at_once: int) -> Tally:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what fails is told by the events
    try:
        return asyncio.run(hold(seeds, at_once))
    finally:
        logging.disable(before)


def run(calls: int, seed: int = 0, jobs: int = 1, at_once: int = 16) -> Tally:
    """Make `calls` calls, from this seed on, in so many processes."""
    parts = [range(seed + job, seed + calls, jobs) for job in range(jobs)]
    if jobs == 1:
        return _part(parts[0], at_once)
    whole = Tally()
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for tally in pool.map(_part, parts, [at_once] * jobs):
            whole.join(tally)
    return whole


def report(tally: Tally, took_s: float) -> str:
    """What was found, as text."""
    times = sorted(tally.slowest_ms) or [0]
    lines = [
        f"{tally.calls} calls, {tally.turns} turns, {tally.call_ms / 3_600_000:.1f} hours of calls in {took_s:.0f} s",
        f"faults       {sum(tally.faults.values())}: {_listed(tally.faults)}",
        f"told         {sum(tally.lost.values())} provider.lost: {_listed(tally.lost)}",
        f"outcomes     {_listed(tally.outcomes)}",
        f"caller       {tally.understood} of {tally.said} words understood",
        f"bot          {tally.replies} replies, {tally.whole} heard to their end",
        "slowest      answer of a call, from the end of speech to sound: "
        f"median {statistics.median(times):.0f} ms, p99 {times[len(times) * 99 // 100]} ms, longest {times[-1]} ms",
    ]
    if tally.growth:
        lines.append(f"objects      {statistics.mean(tally.growth):+.2f} for each call after the first {_WAVE}")
        lines.append(f"known        calls that are over, after each {_WAVE}: {', '.join(map(str, tally.known))}")
        lines += [
            f"resident     MiB after each {_WAVE} calls: {', '.join(f'{mib:.1f}' for mib in each)}"
            for each in tally.resident_mib
        ]
    if tally.held_ms:
        held = f"{len(tally.held_ms)} times for more than 100 ms, at most for {max(tally.held_ms):.0f} ms"
        lines.append(f"machine      the event loops were held up {held}")
    lines += [f"left         {left}" for left in tally.left] or ["left         no task, no socket, no file"]
    lines += [f"WRONG        {wrong}" for wrong in tally.wrong] or ["wrong        nothing"]
    return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description="Calls whose providers fail at random.")
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first call; the next ones count up")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--at-once", type=int, default=16, help="calls at a time in each process")
    asked = parser.parse_args()
    began = time.perf_counter()
    tally = run(asked.calls, asked.seed, asked.jobs, asked.at_once)
    print(report(tally, time.perf_counter() - began))
    if not tally.passed:
        sys.exit(1)


if __name__ == "__main__":
    main()
