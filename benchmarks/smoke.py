"""Fails when something has become grossly dearer: `uv run --group bench python -m benchmarks.smoke`.

The checks take less than two minutes. No absolute time is judged: each is a ratio of two things measured in this run,
against a bound several times as wide as what is usual, so that a busy machine does not fail it and a lost order of
magnitude does. Without Pipecat the checks that need it are left out, and it says so. The targets themselves are the
business of `benchmarks.compare`.

Where Pipecat is, the tests follow that need it and that a plain `pytest` therefore skips.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from voiceframe import EngineSettings
from voiceframe.transports.loopback import TICK_MS

from . import _fairness, _frames, _interruption, _setup, hearing, hostile, provider_faults, streams
from ._fresh import fresh
from ._measure import SMOKE, Spread, ratio
from ._peer import ABSENT, AVAILABLE


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ratio and its bound."""

    what: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.what}: {self.value:.3g}, {side} {self.bound:g}"


async def verdicts() -> list[Verdict]:
    frames = await _frames.take(SMOKE)
    return [
        *_of_frames(frames),
        *_of_interruptions(await _interruption.take(SMOKE), frames["ten plain calls"]),
        *_of_set_up(await _setup.take_set_up(SMOKE), frames["ten plain calls"]),
        *_of_fresh_processes(),
        await _of_fairness(),
    ]


def _of_frames(found: dict[str, Spread]) -> Iterator[Verdict]:
    plain = found["ten plain calls"]
    yield Verdict("ten handlers that return a frame, by ten plain calls", ratio(found["returns"], plain).median, 12)
    yield Verdict("ten handlers that push it, by ten plain calls", ratio(found["pushes"], plain).median, 45)
    yield Verdict("the same frame with an observer, by without", ratio(found["observed"], found["returns"]).median, 2.5)
    unhandled = ratio(found["ignored by 20"], found["ignored by 0"]).median
    yield Verdict("a frame past 20 processors that do not handle it, by past none", unhandled, 1.5)
    if AVAILABLE:
        peer = found["Pipecat"]
        yield Verdict("Pipecat, by ours returning", ratio(peer, found["returns"]).median, 25, at_least=True)
        yield Verdict("Pipecat, by ours pushing", ratio(peer, found["pushes"]).median, 7, at_least=True)


def _of_interruptions(found: _interruption.Found, plain: Spread) -> Iterator[Verdict]:
    idle = found.reached[_interruption.IDLE]
    yield Verdict("an interruption of ten processors, by ten plain calls", idle.median * 1000 / plain.median, 1_500)
    yield Verdict("an interruption over 5,000 frames, by over none", found.worst, 8)
    if AVAILABLE:
        peer = found.their_reached[_interruption.IDLE]
        yield Verdict("Pipecat's interruption, by ours", peer.median / idle.median, 2, at_least=True)


def _of_set_up(found: dict[str, Spread], plain: Spread) -> Iterator[Verdict]:
    start = found["start"].median
    yield Verdict("the set-up of a call, by ten plain calls", start * 1000 / plain.median, 1_500)
    if AVAILABLE:
        yield Verdict("Pipecat's set-up, by ours", found["Pipecat"].median / start, 2, at_least=True)


def _of_fresh_processes() -> Iterator[Verdict]:
    calls = str(SMOKE.idle_calls)
    memory = fresh("idle", "traced", calls)["kib"] / fresh("idle", "naive", calls)["kib"]
    yield Verdict("memory of an idle call, by ten tasks with a queue each", memory, 3)
    times = {
        name: Spread.of([fresh("import", name)["ms"] for _ in range(SMOKE.fresh)]) for name in ("names", "asyncio")
    }
    yield Verdict("the import, by that of asyncio", times["names"].low / times["asyncio"].low, 8)


async def _of_fairness() -> Verdict:
    """The best of three turns: another process that takes the core makes a turn worse, never better."""
    turns = [await _fairness.neighbours(SMOKE.seconds) for _ in range(3)]
    late_ms = min(turn.flooded.percentile(99) for turn in turns)
    tick_ms = EngineSettings().tick_us / 1000
    return Verdict("p99 lateness of 200 calls beside a flood, by a call's time in one turn", late_ms / tick_ms, 30)


def _of_hearing() -> Iterator[Verdict]:
    """On virtual time, or by arithmetic: the same on every machine."""
    yield Verdict(
        "a click behind the resampler to 16 kHz, by the 2 ms it may be late", hearing.resampled(8_000, 16_000) / 2, 1
    )
    yield Verdict("an echo over the line, by a tick", hearing.echoes(count=1)[0] / TICK_MS, 2)
    yield Verdict("the longest wait of sound in the output, by a tick", hearing.output_waits(50)[-1] / TICK_MS, 2)


def _of_hostile() -> Verdict:
    """Over real sockets, a few calls beside attackers. How late they are is no business of a busy machine."""
    result = hostile.run(calls=5, seconds=1, turns=1, rate=1_000)
    for wrong in result.wrong:
        print(wrong)
    return Verdict("what is wrong with calls and gateway beside attackers", len(result.wrong), 0)


def _of_streams() -> Verdict:
    """What a call's stream costs, side by side."""
    found = streams.run(calls=4, seconds=1, turns=1)
    return Verdict(
        "cost of a stream by picows, by that of websockets", found["picows"].median / found["websockets"].median, 1
    )


def _of_providers() -> Verdict:
    """Calls whose providers fail at random, over real sockets: none may be lost or silent."""
    tally = provider_faults.run(calls=8, at_once=8)
    for wrong in (*tally.wrong, *tally.left):
        print(wrong)
    return Verdict("what is wrong with calls whose providers fail", len(tally.wrong) + len(tally.left), 0)


def _tests_beside_pipecat() -> bool:
    """Whether the programs of docs/from-pipecat.md do on either side what the page says."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_from_pipecat.py"]
    return subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, check=False).returncode == 0


def main() -> None:
    began = perf_counter()
    found = [*asyncio.run(verdicts()), *_of_hearing(), _of_hostile(), _of_streams(), _of_providers()]
    for verdict in found:
        print(verdict)
    if not AVAILABLE:
        print(f"left out  {ABSENT}")
    failed = sum(not verdict.passed for verdict in found)
    print(f"{len(found) - failed} of {len(found)} checks passed in {perf_counter() - began:.0f} s", flush=True)
    if AVAILABLE and not _tests_beside_pipecat():
        failed += 1
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
