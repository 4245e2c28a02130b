"""Setting up 20 calls of ten processors, and importing what users import."""

from __future__ import annotations

import asyncio

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from voiceframe import Call

from ._fresh import fresh
from ._rounds import rounds
from ._voiceframe import begin, ten

CALLS = 20

pytestmark = pytest.mark.benchmark(group="set-up")


def test_twenty_calls(benchmark: BenchmarkFixture, runner: asyncio.Runner) -> None:
    calls: list[Call] = []

    async def set_up() -> None:
        calls.extend([await begin(ten()) for _ in range(CALLS)])

    async def end() -> None:
        for call in calls:
            call.cancel("measured")
        for call in calls:
            await call.wait_ended()
        calls.clear()

    benchmark.extra_info["calls"] = CALLS
    rounds(benchmark, lambda: runner.run(set_up()), setup=lambda: runner.run(end()), count=30, warm_up=2)
    runner.run(end())


def test_import_in_a_fresh_process(benchmark: BenchmarkFixture) -> None:
    """The round is a whole process; `import_ms` is what the import takes of it."""
    found = rounds(benchmark, lambda: fresh("import", "names"), count=5)
    benchmark.extra_info["import_ms"] = found["ms"]
    benchmark.extra_info["import_kib"] = found["kib"]
