"""The same of Pipecat: a processor that feeds, ten that pass everything on, the last of which reports.

Stripped of its defaults as in no deployment: without RTVI, turn tracking, idle observer and log output. What Pipecat
does for a frame beyond passing it on (metrics, events for hooks, a priority for system frames) is part of the price.

Importing this fails with an `ImportError` where Pipecat is not installed: ask `AVAILABLE` of `benchmarks._peer` first.
On Python 3.11 the import replaces `asyncio.wait_for` for the whole process; our hot path does not use it.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its dependencies, at import
    import_module("loguru").logger.remove()
    from pipecat.frames.frames import Frame, InputAudioRawFrame, StartFrame
    from pipecat.observers.base_observer import BaseObserver
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.workers.runner import WorkerRunner

__all__ = ["Flow", "Looks", "Passes", "Run", "frames"]


class LastFrame(InputAudioRawFrame):
    """The last audio frame of a flood."""


class Passes(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class End(FrameProcessor):
    """The last one. It tells when the pipeline has started, and when a flood has come through."""

    passed: asyncio.Future[None]

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LastFrame):
            self.passed.set_result(None)
        elif isinstance(frame, StartFrame):
            self.started.set()
        await self.push_frame(frame, direction)


class Looks(BaseObserver):
    """Sees every push and counts the audio."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    async def on_push_frame(self, data: Any) -> None:
        if isinstance(data.frame, InputAudioRawFrame):
            self.seen += 1


class Run:
    """A running pipeline, stripped of its defaults unless told otherwise."""

    def __init__(self, processors: Sequence[Any], observers: Sequence[Any] = (), *, stripped: bool = True) -> None:
        if stripped:
            options: dict[str, Any] = {
                "enable_rtvi": False,
                "enable_turn_tracking": False,
                "idle_timeout_secs": None,
            }
        else:
            options = {}
        self.worker = PipelineWorker(Pipeline(list(processors)), observers=list(observers), **options)
        self._runner = WorkerRunner(handle_sigint=False)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._runner.add_workers(self.worker)
        self._task = asyncio.create_task(self._runner.run())

    async def close(self) -> None:
        await self.worker.cancel()
        if self._task is not None:
            await self._task


def frames(count: int, last_of: int) -> list[Any]:
    """Audio frames of 20 ms, every `last_of`-th of which ends a flood."""
    return [
        (LastFrame if number % last_of == 0 else InputAudioRawFrame)(
            audio=bytes(640), sample_rate=16_000, num_channels=1
        )
        for number in range(1, count + 1)
    ]


class Flow:
    """A pipeline through which audio is driven."""

    def __init__(self, run: Run, source: Any, end: End) -> None:
        self._run = run
        self._source = source
        self._end = end

    @classmethod
    async def of(cls, count: int, observers: Sequence[Any] = (), *, stripped: bool = True) -> Flow:
        """`count` processors between the one that feeds and the one that reports."""
        source, end = Passes(), End()
        run = Run([source, *(Passes() for _ in range(count)), end], observers, stripped=stripped)
        await run.start()
        await end.started.wait()
        await asyncio.sleep(0.05)
        return cls(run, source, end)

    async def flood(self, frames: Sequence[Any], at_once: int) -> None:
        loop = asyncio.get_running_loop()
        push, end = self._source.push_frame, self._end
        for start in range(0, len(frames), at_once):
            passed = end.passed = loop.create_future()
            for frame in frames[start : start + at_once]:
                await push(frame)
            await passed

    async def paced(self, frames: Sequence[Any]) -> None:
        loop = asyncio.get_running_loop()
        push, end = self._source.push_frame, self._end
        for frame in frames:
            await asyncio.sleep(0)
            passed = end.passed = loop.create_future()
            await push(frame)
            await passed

    async def close(self) -> None:
        await self._run.close()
