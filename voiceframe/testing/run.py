"""One processor, or a few, between a source and a sink that keep what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
    for frame in frames:
        if call.engine.finished:
            break
        if isinstance(frame, int):
            await asyncio.sleep(frame / 1000)
        elif isinstance(frame, Up):
            ends.output().push(frame.frame, upstream=True)
        else:
            ends.input().push(frame)
    call.engine.request_end("completed")
    result.reason = await call.wait_ended()
    return result
