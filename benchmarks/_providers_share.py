"""The framework's share: from a provider's message to the frame, and from a frame to the message to the provider.

The providers are asked by their SDKs over real sockets at the fakes, all on one event loop. Two moments are stamped.
One is the event loop's: a read of a socket to the fake that has brought bytes, before any protocol has seen them; or
the first write to it. The other is a probe's in the pipeline: the frame is pushed. Between the two lie the WebSocket
or HTTP library, the vendor's SDK, the provider, the engine, and the hops between tasks; not the kernel and not the
vendor. So the share is an upper bound: what `websockets`, `httpx` and the SDK take is in it.

The same stretch is also counted in CPU time of the thread. While it lasts the fake may run as well, if it has
something to do: it is paced so that it has not, and p50 says what is usual.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import selector_events
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from voiceframe import Agent
from voiceframe.audio import PCMU_8K, AudioStream
from voiceframe.frames import (
    InputAudioFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, observes
from voiceframe.processors import OpenAIRealtime
from voiceframe.provider import Place
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.providers.openai_realtime import FakeOpenAIRealtime, speech
from voiceframe.testing.providers.scripts import FakeLLM
from voiceframe.testing.providers.server import Asked, FakeProvider
from voiceframe.testing.run import Rig, rig

from ._measure import Spread
from ._providers_vendors import FAKE_LLM, FAKE_STT, FAKE_TTS, model, recognizer, voice

__all__ = ["Share", "alone", "shares"]

_PIECE: Final = 160  # bytes of µ-law in 20 ms
_STEP_S: Final = 0.002
_ANSWER: Final = "You are very welcome here, dear caller, as ever."


@dataclass
class Share:
    """Of one vendor and kind, the times of one direction in microseconds: that passed, and of the CPU."""

    what: str
    wall_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def wall(self) -> Spread:
        return Spread.of(self.wall_us)

    @property
    def cpu(self) -> Spread:
        return Spread.of(self.cpu_us)

    def add(self, since: tuple[int, int]) -> None:
        """From then to now."""
        now = _now()
        self.wall_us.append((now[0] - since[0]) / 1000)
        self.cpu_us.append((now[1] - since[1]) / 1000)


def _now() -> tuple[int, int]:
    return time.perf_counter_ns(), time.thread_time_ns()


class _Wire:
    """When bytes last came from a port, and went there first since it was asked to watch."""

    def __init__(self) -> None:
        self.port = 0
        self.read: tuple[int, int] | None = None
        self.sent: Callable[[], None] | None = None

    @contextlib.contextmanager
    def tapped(self) -> Iterator[None]:
        """Stamp what the event loop reads and writes, for as long as the block runs."""
        transport: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
        read, write, writelines = transport._read_ready, transport.write, transport.writelines

        def _read_ready(this: Any) -> None:
            if self._ours(this):
                self.read = _now()
            read(this)

        def _write(this: Any, data: Any) -> None:
            self._wrote(this)
            write(this, data)

        def _writelines(this: Any, data: Any) -> None:
            self._wrote(this)
            writelines(this, data)

        transport._read_ready, transport.write, transport.writelines = _read_ready, _write, _writelines
        try:
            yield
        finally:
            transport._read_ready, transport.write, transport.writelines = read, write, writelines

    def _ours(self, transport: Any) -> bool:
        peer = transport.get_extra_info("peername")
        return bool(peer) and peer[1] == self.port

    def _wrote(self, transport: Any) -> None:
        if self.sent is not None and self._ours(transport):
            told, self.sent = self.sent, None
            told()


class _Probe(Processor):
    """Tells when frames of the awaited type pass, one for each read."""

    def __init__(self, wire: _Wire, share: Share) -> None:
        self._wire, self._share = wire, share
        self.taking = False

    @observes(TranscriptionFrame, OutputAudioFrame, TextFrame)
    def on_frame(self, frame: TranscriptionFrame | OutputAudioFrame | TextFrame) -> None:
        empty = not frame.audio.data if isinstance(frame, OutputAudioFrame) else not frame.text
        since = self._wire.read
        if self.taking and since is not None and not empty:
            self._wire.read = None
            self._share.add(since)


async def shares(count: int) -> AsyncIterator[tuple[Share, Share]]:
    """Of each kind and vendor: from its message to the frame, and from the frame to the message. `count` of each."""
    wire = _Wire()
    with wire.tapped():
        for vendor in FAKE_STT:
            yield await _stt(wire, vendor, count)
        for vendor in FAKE_TTS:
            yield await _tts(wire, vendor, count)
        for vendor in FAKE_LLM:
            yield await _llm(wire, vendor, count)
        yield await _realtime(wire, count)


async def _sent(wire: _Wire, share: Share, push: Callable[[], None], *, taking: bool) -> None:
    """Push, and wait until the first bytes of it were written."""
    written = asyncio.Event()
    since = _now()

    def told() -> None:
        if taking:
            share.add(since)
        written.set()

    wire.sent = told
    push()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await written.wait()
    wire.sent = None


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)


def _port(fake: FakeProvider) -> int:
    return fake._port


async def _stt(wire: _Wire, vendor: str, count: int) -> tuple[Share, Share]:
    into, out = Share(f"STT {vendor}: message to TranscriptionFrame"), Share(f"STT {vendor}: audio to socket")
    async with FAKE_STT[vendor]() as fake:
        fake.part_words = 0
        fake.latency_ms = 10  # so that nothing else is under way when the result comes
        wire.port = _port(fake)
        probe = _Probe(wire, into)
        async with rig(recognizer(vendor, fake), probe) as call:
            stream = AudioStream(PCMU_8K)
            for number in range(count + 3):
                taking = number >= 3
                call.push(VADUserStartedSpeakingFrame(0.9))
                audio = sound("north")
                before = _count(call, TranscriptionFrame)
                for at in range(0, len(audio), _PIECE):
                    frame = InputAudioFrame(stream.add(audio[at : at + _PIECE]))
                    last = taking and at
                    await _sent(wire, out, lambda frame=frame: call.push(frame), taking=bool(last))  # type: ignore[misc]
                    await asyncio.sleep(0)
                await asyncio.sleep(_STEP_S)
                probe.taking = taking
                call.push(VADUserStoppedSpeakingFrame())
                await _until(lambda before=before: _count(call, TranscriptionFrame) > before)  # type: ignore[misc]
                probe.taking = False
    return into, out


def _count(call: Rig, type_: type[Any]) -> int:
    return sum(isinstance(frame, type_) for frame in call.result.down)


async def _tts(wire: _Wire, vendor: str, count: int) -> tuple[Share, Share]:
    into, out = Share(f"TTS {vendor}: message to OutputAudioFrame"), Share(f"TTS {vendor}: text to socket")
    async with FAKE_TTS[vendor]() as fake:
        fake.pause_ms = 4  # each message by itself
        wire.port = _port(fake)
        probe = _Probe(wire, into)
        async with rig(voice(vendor, fake), probe) as call:
            for number in range(-(-count // 4) + 3):
                probe.taking = taking = number >= 3
                reply = call.source.begin_reply()
                call.push(ReplyStartedFrame(reply))
                text = TextFrame("You are very welcome. ", reply)
                await _sent(wire, out, lambda text=text: call.push(text), taking=taking)  # type: ignore[misc]
                call.push(ReplyEndedFrame(reply))
                await _until(lambda number=number: _count(call, ReplyEndedFrame) > number)  # type: ignore[misc]
                await asyncio.sleep(_STEP_S)
    return into, out


def _paced(fake: FakeLLM) -> None:
    """Let it send one piece at a time."""
    answering: Any = fake.answering

    def slow(handler: Callable[[Asked], Awaitable[Any]], **more: Any) -> Any:
        async def handle(asked: Asked) -> Any:
            answer = await handler(asked)
            return _spread(answer) if hasattr(answer, "__aiter__") else answer

        return answering(handle, **more)

    fake.answering = slow  # type: ignore[method-assign]


async def _spread(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        await asyncio.sleep(0.003)
        yield piece


async def _llm(wire: _Wire, vendor: str, count: int) -> tuple[Share, Share]:
    into, out = Share(f"LLM {vendor}: piece to TextFrame"), Share(f"LLM {vendor}: turn to socket")
    fake = FAKE_LLM[vendor]()
    fake.answers = [_ANSWER]
    _paced(fake)
    async with fake:
        wire.port = _port(fake)
        probe = _Probe(wire, into)
        client = model(vendor, fake)
        async with rig(Agent("bot", "Answer.", client), probe) as call:
            for number in range(-(-count // 8) + 3):
                probe.taking = taking = number >= 3
                turn = UserTurnFrame(call.call.turns.new(), "How are you?")
                await _sent(wire, out, lambda turn=turn: call.push(turn), taking=taking)  # type: ignore[misc]
                await _until(lambda number=number: _count(call, ReplyEndedFrame) > number)  # type: ignore[misc]
                await asyncio.sleep(_STEP_S)
        await client.aclose()
    return into, out


async def alone(count: int) -> AsyncIterator[tuple[Share, Share]]:
    """The same of models asked by their SDK alone, without anything of ours: what of `shares()` is the SDK's."""
    wire = _Wire()
    with wire.tapped():
        for vendor in FAKE_LLM:
            into, out = Share(f"SDK of {vendor}: piece to text"), Share(f"SDK of {vendor}: question to socket")
            fake = FAKE_LLM[vendor]()
            fake.answers = [_ANSWER]
            _paced(fake)
            async with fake:
                wire.port = _port(fake)
                client: Any = model(vendor, fake)
                for number in range(-(-count // 8) + 3):
                    if number >= 3:
                        wire.sent = partial(out.add, _now())
                    async for _ in await _asked(vendor, client.client):
                        if wire.read is not None and number >= 3:
                            into.add(wire.read)
                        wire.read = None
                    await asyncio.sleep(_STEP_S)
                await client.aclose()
            yield into, out


async def _asked(vendor: str, sdk: Any) -> Any:
    """A streamed answer, as the SDK gives it."""
    said = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "How are you?"}]
    if vendor == "openai":
        return await sdk.chat.completions.create(model="gpt-4.1-mini", messages=said, stream=True)
    if vendor == "openai-responses":
        return await sdk.responses.create(model="gpt-4.1-mini", input=said, stream=True)
    if vendor == "anthropic":
        return await sdk.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=[{"role": "user", "content": [{"type": "text", "text": "How are you?"}]}],
            stream=True,
        )
    sdk = sdk[0] if isinstance(sdk, tuple) else sdk
    return await sdk.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="How are you?")


async def _realtime(wire: _Wire, count: int) -> tuple[Share, Share]:
    into, out = Share("Realtime openai: audio to OutputAudioFrame"), Share("Realtime openai: audio to socket")
    async with FakeOpenAIRealtime(["You are very welcome here, dear caller."]) as fake:
        wire.port = _port(fake)
        probe = _Probe(wire, into)
        made = OpenAIRealtime("Answer.", place=Place(f"{fake.url}/v1"), api_key=fake.key)
        async with rig(made, probe) as call:
            stream = AudioStream(PCMU_8K)
            at_ms = 0
            audio = speech((1, 2), PCMU_8K, silence_ms=600)
            number = 0
            while len(into.wall_us) < count and number < count:
                probe.taking = taking = number >= 2
                number += 1
                for at in range(0, len(audio), _PIECE):
                    at_ms += 20
                    frame = InputAudioFrame(stream.add(audio[at : at + _PIECE]), at_ms=at_ms)
                    await _sent(wire, out, lambda frame=frame: call.push(frame), taking=taking)  # type: ignore[misc]
                    await asyncio.sleep(0)
                await _until(lambda number=number: _count(call, ReplyEndedFrame) >= number)  # type: ignore[misc]
                await asyncio.sleep(_STEP_S)
    return into, out
