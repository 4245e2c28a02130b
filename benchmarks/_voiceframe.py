"""Calls of ours to measure: a source that feeds, processors of the smallest kind, a sink that takes nothing.

The ten handlers are of ten classes, as in a real pipeline: the interpreter makes calls of one and the same function
cheaper than it should be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from voiceframe import Call, CallSettings, EngineSettings, Observer, Pipeline, Processor, handles, observes
from voiceframe.audio import PCM_16K, Audio
from voiceframe.frames import InputAudioFrame, TextFrame, TranscriptionFrame
from voiceframe.transports.base import Transport

__all__ = [
    "AUDIO",
    "End",
    "Flow",
    "Looks",
    "PushingEnd",
    "UnconcernedEnd",
    "audio_handler",
    "begin",
    "frames",
    "ignoring",
    "pushing",
    "renewing",
    "returning",
    "ten",
]

#: 20 ms.
AUDIO = Audio(bytes(640), PCM_16K)


class LastFrame(InputAudioFrame):
    """The last audio frame of a flood: the only one that the end of a pipeline is asked to report."""

    __slots__ = ()


class Source(Processor):
    role = "source"


class Sink(Processor):
    role = "sink"


class Wire(Transport):
    """A transport of nothing."""

    def __init__(self) -> None:
        self._source = Source()
        self._sink = Sink()

    def input(self) -> Processor:
        return self._source

    def output(self) -> Processor:
        return self._sink


class End(Processor):
    """The last handler. It returns audio like the others, and completes `passed` on the last frame of a flood."""

    passed: asyncio.Future[None]

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> InputAudioFrame:
        return frame

    @handles(LastFrame)
    def on_last(self, frame: LastFrame) -> LastFrame:
        self.passed.set_result(None)
        return frame


class PushingEnd(End):
    """The same, pushing."""

    def on_audio(self, frame: InputAudioFrame) -> None:  # type: ignore[override]
        self.push(frame)

    def on_last(self, frame: LastFrame) -> None:  # type: ignore[override]
        self.passed.set_result(None)
        self.push(frame)


class UnconcernedEnd(Processor):
    """Takes nothing but the last frame of a flood."""

    passed: asyncio.Future[None]

    @handles(LastFrame)
    def on_last(self, frame: LastFrame) -> None:
        self.passed.set_result(None)


def returning() -> Processor:
    class Returns(Processor):
        @handles(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> InputAudioFrame:
            return frame

    return Returns()


def pushing() -> Processor:
    class Pushes(Processor):
        @handles(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> None:
            self.push(frame)

    return Pushes()


def renewing() -> Processor:
    """Pushes a frame of its own making for each that comes, but for the last, which must stay what it is."""

    class Renews(Processor):
        @handles(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> None:
            self.push(InputAudioFrame(frame.audio))

        @handles(LastFrame)
        def on_last(self, frame: LastFrame) -> None:
            self.push(frame)

    return Renews()


def ignoring() -> Processor:
    class Ignores(Processor):
        @handles(TranscriptionFrame)
        def on_transcription(self, frame: TranscriptionFrame) -> TranscriptionFrame:
            return frame

    return Ignores()


class Speaks(Processor):
    """Has a mailbox, as whatever talks to a provider has."""

    @handles(TextFrame)
    async def on_text(self, frame: TextFrame) -> TextFrame:
        return frame


class Transcribes(Processor):
    """The same, and takes audio beside it."""

    @handles(InputAudioFrame, concurrent=True)
    def on_audio(self, frame: InputAudioFrame) -> InputAudioFrame:
        return frame

    @handles(TranscriptionFrame)
    async def on_transcription(self, frame: TranscriptionFrame) -> TranscriptionFrame:
        return frame


def audio_handler(processor: Processor) -> Callable[[InputAudioFrame], object]:
    """The method of a processor that takes audio."""
    handler = processor.table.find(InputAudioFrame, upstream=False, observes=False)
    if handler is None:
        raise ValueError(f"{processor} takes no audio")
    method: Callable[[InputAudioFrame], object] = getattr(processor, handler.name)
    return method


@cache
def _kinds() -> tuple[type[Processor], ...]:
    return (*(type(returning()) for _ in range(8)), Transcribes, Speaks)


def ten() -> list[Processor]:
    """Ten processors as a call has them: `def` handlers of audio, two mailboxes."""
    return [kind() for kind in _kinds()]


class Looks(Observer):
    """Sees every audio frame of the pipeline and counts it."""

    def __init__(self) -> None:
        self.seen = 0

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self.seen += 1


async def begin(
    inner: Iterable[Processor],
    observers: Iterable[Observer] = (),
    engine_settings: EngineSettings | None = None,
) -> Call:
    """Start a call with these processors between its source and its sink, on defaults whatever the environment says."""
    wire = Wire()
    call = Call(wire, settings=CallSettings(), engine_settings=engine_settings or EngineSettings())
    await call.start(Pipeline([wire.input(), *inner, wire.output()], observers=observers))
    return call


def frames(count: int, last_of: int, at_ms: int = -1) -> list[InputAudioFrame]:
    """Audio frames, every `last_of`-th of which ends a flood. With `at_ms` left at -1 the engine stamps them."""
    return [
        LastFrame(AUDIO, at_ms=at_ms) if number % last_of == 0 else InputAudioFrame(AUDIO, at_ms=at_ms)
        for number in range(1, count + 1)
    ]


class Flow:
    """A call through which audio is driven."""

    def __init__(self, call: Call, end: End | UnconcernedEnd) -> None:
        self.call = call
        self._source = call.transport.input()
        self._end = end

    @classmethod
    async def of(
        cls,
        kind: Callable[[], Processor],
        count: int,
        end: End | UnconcernedEnd,
        observers: Sequence[Observer] = (),
    ) -> Flow:
        """`count` processors of a kind, and behind them `end`."""
        call = await begin([*(kind() for _ in range(count)), end], observers)
        await asyncio.sleep(0.01)  # everybody has had the StartFrame
        return cls(call, end)

    async def flood(self, frames: Sequence[InputAudioFrame], at_once: int) -> None:
        """Push `at_once` frames, wait until the last of them has come through, and so on."""
        loop = asyncio.get_running_loop()
        push, end = self._source.push, self._end
        for start in range(0, len(frames), at_once):
            passed = end.passed = loop.create_future()
            for frame in frames[start : start + at_once]:
                push(frame)
            await passed

    async def paced(self, frames: Sequence[InputAudioFrame]) -> None:
        """One frame in flight, each in a turn of the event loop of its own. All are `LastFrame`s."""
        loop = asyncio.get_running_loop()
        push, end = self._source.push, self._end
        for frame in frames:
            await asyncio.sleep(0)
            passed = end.passed = loop.create_future()
            push(frame)
            await passed

    async def close(self) -> None:
        self.call.cancel("measured")
        await self.call.wait_ended()
