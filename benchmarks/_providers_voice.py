"""Voice to voice: from the caller's last sound to the bot's first one, on fakes whose delays are fixed.

A whole call over a line: VAD, recognizer, turn taking, agent, model and voice, each provider asked by its SDK over a
real socket, in real time. The clock runs from the moment at which the last 20 ms with the caller's voice came in to
the one at which the first 20 ms with the bot's went out. What must pass is known beforehand:

    the later of `silence_ms` (endpointing is fixed) and 200 ms + `stt_ms` (the VAD's verdict, then the recognizer's)
    + `first_ms`, and `pace_ms` for each further word of the first sentence
    + `sound_ms`, from the sentence to its first sound

What it takes beyond that is ours, the SDKs', the loopback's and the machine's. Part of it are the beats of 20 ms in
which a line takes and gives sound, and one `pace_ms`: a sentence is over when the next word shows that it is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from voiceframe import Agent, Call, CallSettings, EngineSettings, Pipeline
from voiceframe.audio import Audio
from voiceframe.processors import EnergyVAD, LatencyObserver, Turns, TurnSettings, VADSettings
from voiceframe.processors.observers.latency import PARTS
from voiceframe.providers import OpenAI
from voiceframe.testing import dial
from voiceframe.testing.audio_caller import AudioCaller
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.server import Asked

from ._measure import Spread
from ._providers_vendors import caller_voice, model, recognizer, voice

__all__ = ["CASES", "Case", "Found", "measure"]

_WORDS: Final = ("north", "south", "east", "west", "up", "down", "left", "right")
_ANSWER: Final = "Certainly my dear. The rest of it comes."
#: Words of the first sentence behind its first one.
_FURTHER: Final = 2
_STOP_MS: Final = 200
_LOUD: Final = 300
_LONGEST_S: Final = 8


@dataclass(frozen=True)
class Case:
    """The delays of the fakes, and the endpointing."""

    name: str
    silence_ms: int
    stt_ms: int
    first_ms: int = 250
    pace_ms: int = 20
    sound_ms: int = 120

    @property
    def known_ms(self) -> int:
        """What must pass."""
        return max(self.silence_ms, _STOP_MS + self.stt_ms) + self.first_ms + _FURTHER * self.pace_ms + self.sound_ms


CASES: Final = (
    Case("the turn waits for silence", silence_ms=500, stt_ms=150),
    Case("the turn waits for the recognizer", silence_ms=300, stt_ms=250),
)


@dataclass
class Found:
    """Of each turn how long it took, and where the time went as the bot's own log has it."""

    case: Case
    took_ms: list[float] = field(default_factory=list)
    parts: list[dict[str, int]] = field(default_factory=list)

    @property
    def ours_ms(self) -> Spread:
        """What was beyond the known sum."""
        return Spread.of([took - self.case.known_ms for took in self.took_ms])

    def part_ms(self, name: str) -> Spread:
        """Of one of `PARTS`."""
        return Spread.of([parts[name] for parts in self.parts])


class _Slow(FakeOpenAI):
    """A model with a fixed time to its first word, and between words."""

    case: Case

    async def _chat(self, asked: Asked) -> AsyncIterator[bytes]:
        pieces = await super()._chat(asked)

        async def paced() -> AsyncIterator[bytes]:
            number = 0
            loop = asyncio.get_running_loop()
            due = loop.time() + self.case.first_ms / 1000
            async for piece in pieces:
                if number:  # the first one says only who speaks
                    await asyncio.sleep(due - loop.time())
                    due += self.case.pace_ms / 1000
                number += 1
                yield piece

        return paced()


class _Late(FakeCartesiaTTS):
    """A voice with a fixed time to the first sound of each text."""

    case: Case

    def __init__(self) -> None:
        super().__init__(char_ms=30)
        self._told = 0

    async def pause(self) -> None:
        if self._told != len(self.texts):
            self._told = len(self.texts)
            await asyncio.sleep(self.case.sound_ms / 1000)


class _Watch:
    """Notes when the caller's voice last came in, and when the bot's first went out after it."""

    def __init__(self, caller: AudioCaller) -> None:
        far = caller.phone.far
        self._loop = asyncio.get_running_loop()
        self._format, self._silence = far.format, far.silence
        self._source, self._on_audio = far.source, far.on_audio
        far.source, far.on_audio = self._next, self._came
        self.spoke_s = self.began_s = 0.0
        self.news = asyncio.Event()

    def _next(self) -> bytes:
        data = self._source()
        if data != self._silence and self._loud(data):
            self.spoke_s, self.began_s = self._loop.time(), 0.0
            self.news.clear()
        return data

    def _came(self, data: bytes) -> None:
        if self.spoke_s and not self.began_s and data != self._silence and self._loud(data):
            self.began_s = self._loop.time()
            self.news.set()
        if self._on_audio is not None:
            self._on_audio(data)

    def _loud(self, data: bytes) -> bool:
        pcm = memoryview(Audio(data, self._format).pcm(self._format.rate)).cast("h")
        return max(pcm) > _LOUD or min(pcm) < -_LOUD


async def measure(case: Case, turns: int, via: Literal["audio", "twilio"] = "audio", calls: int = 2) -> Found:
    """So many turns, in a few calls side by side."""
    found = Found(case)
    await asyncio.gather(*(_call(case, found, number, -(-turns // calls), via) for number in range(calls)))
    return found


async def _call(case: Case, found: Found, seed: int, turns: int, via: Any) -> None:
    llm, tts, stt = _Slow([_ANSWER]), _Late(), FakeDeepgramSTT(part_words=0)
    llm.case = tts.case = case
    stt.latency_ms = case.stt_ms
    async with stt, llm, tts:
        client = model("openai", llm)
        assert isinstance(client, OpenAI)

        def bot(call: Call) -> Pipeline:
            return Pipeline(
                [
                    call.transport.input(),
                    EnergyVAD(VADSettings(threshold_dbfs=-56.0, gate_dbfs=-60.0, stop_ms=_STOP_MS)),
                    recognizer("deepgram", stt),
                    Turns(TurnSettings(endpointing="fixed", silence_ms=case.silence_ms, stability_ms=0, idle_ms=0)),
                    Agent("bot", "Answer.", client),
                    voice("cartesia", tts),
                    call.transport.output(),
                ],
                observers=[LatencyObserver()],
            )

        async with dial(
            bot,
            via=via,
            voice=caller_voice,
            seed=seed,
            settings=CallSettings(),
            engine_settings=EngineSettings(development=False),
        ) as caller:
            watch = _Watch(caller)
            await asyncio.sleep(0.5)
            words = itertools.cycle(_WORDS)
            for turn in range(turns + 1):
                said = " ".join(itertools.islice(words, 3))
                await caller.plays(caller_voice(said))
                async with asyncio.timeout(_LONGEST_S):
                    await watch.news.wait()
                if turn:  # the first one makes connections and fills caches
                    found.took_ms.append((watch.began_s - watch.spoke_s) * 1000)
                await caller.listens(pause_ms=500)
        latencies = [event.data for event in caller.record.of("turn.latency")][1:]
        found.parts += [{name: int(data["parts"].get(name, 0)) for name in PARTS} for data in latencies]
        await client.aclose()
