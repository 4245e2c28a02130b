"""An interruption of ten processors, from the decision until the last of them knows, over several backlogs."""

from __future__ import annotations

import asyncio

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ._interruption import BACKLOGS, Backlog, Interruptions
from ._rounds import rounds

pytestmark = pytest.mark.benchmark(group="interruption")


@pytest.mark.parametrize("backlog", BACKLOGS, ids=str)
def test_interruption(benchmark: BenchmarkFixture, runner: asyncio.Runner, backlog: Backlog) -> None:
    call = runner.run(Interruptions.of())

    def queue() -> None:
        runner.run(asyncio.sleep(0.02))  # the dead frames of the last round are thrown away
        runner.run(call.prepare(backlog))
        call.queue_audio(backlog.entrance)

    rounds(benchmark, call.interrupt, setup=queue, count=20, warm_up=2)
    runner.run(call.close())
