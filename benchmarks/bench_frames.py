"""A flood of 1,000 audio frames through ten handlers, 50 at a time: so many ms here are as many µs for each frame.

Wall time of this machine, now. For a comparison that stands noise use `python -m benchmarks.compare`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from voiceframe import Processor

from . import _voiceframe as ours
from ._peer import ABSENT, AVAILABLE
from ._rounds import rounds

FRAMES = 1_000
AT_ONCE = 50
INNER = 9

pytestmark = pytest.mark.benchmark(group="frames")


def drive(benchmark: BenchmarkFixture, runner: asyncio.Runner, flow: ours.Flow) -> None:
    benchmark.extra_info["frames"] = FRAMES
    rounds(
        benchmark,
        lambda frames: runner.run(flow.flood(frames, AT_ONCE)),
        setup=lambda: ours.frames(FRAMES, AT_ONCE),
        count=30,
        warm_up=3,
    )
    runner.run(flow.close())


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        pytest.param(ours.returning, ours.End, id="returning"),
        pytest.param(ours.pushing, ours.PushingEnd, id="pushing"),
        pytest.param(ours.renewing, ours.End, id="pushing-new-frames"),
        pytest.param(ours.ignoring, ours.UnconcernedEnd, id="not-handling"),
    ],
)
def test_ten_handlers(
    benchmark: BenchmarkFixture,
    runner: asyncio.Runner,
    kind: Callable[[], Processor],
    end: Callable[[], ours.End | ours.UnconcernedEnd],
) -> None:
    drive(benchmark, runner, runner.run(ours.Flow.of(kind, INNER, end())))


def test_ten_handlers_and_an_observer(benchmark: BenchmarkFixture, runner: asyncio.Runner) -> None:
    drive(benchmark, runner, runner.run(ours.Flow.of(ours.returning, INNER, ours.End(), [ours.Looks()])))


@pytest.mark.skipif(not AVAILABLE, reason=ABSENT)
@pytest.mark.filterwarnings("default")  # of Pipecat and what it is made of
def test_pipecat_stripped_of_its_defaults(benchmark: BenchmarkFixture, runner: asyncio.Runner) -> None:
    from . import _pipecat as theirs

    flow = runner.run(theirs.Flow.of(INNER))
    benchmark.extra_info["frames"] = FRAMES
    rounds(
        benchmark,
        lambda frames: runner.run(flow.flood(frames, AT_ONCE)),
        setup=lambda: theirs.frames(FRAMES, AT_ONCE),
        count=5,
    )
    runner.run(flow.close())
