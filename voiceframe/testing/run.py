"""One processor, or a few, between a source and a sink that keep what comes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from ..call import Call, CallSettings
from ..engine import EngineSettings
from ..events import LoggedEvent
from ..frames import ErrorFrame, Frame, TextFrame, TranscriptionFrame, UserTurnFrame
from ..pipeline import Parallel, Pipeline
from ..processor import Observer, Processor, observes
from ..transports.base import Transport

__all__ = ["Result", "Up", "run"]


@dataclass(frozen=True)
class Up:
    """In `run(frames=[...])`: push this frame upstream, from the sink."""

    frame: Frame


@dataclass
class Result:
    """What came of a `run()`."""

    down: list[Frame] = field(default_factory=list)  # frames that reached the sink
    up: list[Frame] = field(default_factory=list)  # frames that reached the source
    events: list[LoggedEvent] = field(default_factory=list)
    reason: str = ""  # why the call ended

    @property
    def errors(self) -> list[Exception]:
        """The errors of all `ErrorFrame`s that came out, each once."""
        found: list[Exception] = []
        for frame in (*self.down, *self.up):
            if isinstance(frame, ErrorFrame) and not any(frame.error is known for known in found):
                found.append(frame.error)
        return found

    @property
    def texts(self) -> list[str]:
        """The words that reached the sink: of transcriptions, turns and replies, in order."""
        return [f.text for f in self.down if isinstance(f, TranscriptionFrame | UserTurnFrame | TextFrame)]


class _Source(Processor):
    role = "source"

    def __init__(self, result: Result) -> None:
        self._result = result

    @observes(Frame, upstream=True)
    def on_frame(self, frame: Frame) -> None:
        self._result.up.append(frame)


class _Sink(Processor):
    role = "sink"

    def __init__(self, result: Result) -> None:
        self._result = result

    @observes(Frame)
    def on_frame(self, frame: Frame) -> None:
        self._result.down.append(frame)


class _Ends(Transport):
    def __init__(self, result: Result) -> None:
        self._source, self._sink = _Source(result), _Sink(result)

    def input(self) -> Processor:
        return self._source

    def output(self) -> Processor:
        return self._sink


class Rig:
    """A running call between two ends that keep what comes out. Made by `rig()`."""

    def __init__(self, call: Call, ends: _Ends, result: Result) -> None:
        self.call = call
        self.result = result
        self.source = ends.input()
        self.sink = ends.output()

    def push(self, *frames: Frame) -> None:
        """Push frames downstream from the source."""
        for frame in frames:
            self.source.push(frame)

    def up(self, *frames: Frame) -> None:
        """Push frames upstream from the sink."""
        for frame in frames:
            self.sink.push(frame, upstream=True)

    async def ends(self, reason: str = "completed") -> str:
        """End the call and wait until it is over. Returns the reason."""
        self.call.engine.request_end(reason)
        return await self.call.wait_ended()

    def events(self, *kinds: str) -> list[LoggedEvent]:
        """The events of these kinds so far, in order."""
        return [event for event in self.result.events if event.kind in kinds]


@contextlib.asynccontextmanager
async def rig(
    *processors: Processor | Parallel,
    observers: Iterable[Observer] = (),
    seed: int = 0,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> AsyncIterator[Rig]:
    """Run the processors in a call for as long as the block runs; what is left of the call then is cancelled."""
    result = Result()
    ends = _Ends(result)
    call = Call(
        ends,
        seed=seed,
        settings=settings or CallSettings(reprompt=""),
        engine_settings=engine_settings or EngineSettings(development=True),
    )
    call.log.subscribe(result.events.append)
    await call.start(Pipeline([ends.input(), *processors, ends.output()], observers=observers))
    await asyncio.sleep(0)
    try:
        yield Rig(call, ends, result)
    finally:
        call.cancel()
        result.reason = await call.wait_ended()


async def run(
    *processors: Processor | Parallel,
    frames: Iterable[Frame | Up | int] = (),
    observers: Iterable[Observer] = (),
    seed: int = 0,
    settings: CallSettings | None = None,
    engine_settings: EngineSettings | None = None,
) -> Result:
    """Push `frames` through the processors, end the call, and return what came out.

    A number among the frames waits for that many milliseconds. `Up(frame)` is pushed upstream from the sink. Frames of
    the life of the call (start, end) and urgent ones are not among the results; `events` tells of them.
    """
    async with rig(
        *processors, observers=observers, seed=seed, settings=settings, engine_settings=engine_settings
    ) as running:
        for frame in frames:
            if running.call.engine.finished:
                break
            if isinstance(frame, int):
                await asyncio.sleep(frame / 1000)
            elif isinstance(frame, Up):
                running.up(frame.frame)
            else:
                running.push(frame)
        await running.ends()
    return running.result
