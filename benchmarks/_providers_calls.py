"""One call on the fakes of its vendors, in which all of them fail at random, and what must hold of it.

The caller says three words a turn, and sometimes over the bot; the recognizer, the model and the voice are asked by
their SDKs over real sockets. Which vendors, and which faults on which of their connections, follows from the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from voiceframe import Agent, Call, CallSettings, EngineSettings, Pipeline
from voiceframe.audio import PCMU_8K
from voiceframe.errors import TestKitError
from voiceframe.frames import OutputAudioFrame, TextFrame
from voiceframe.llm import LLM
from voiceframe.processor import Observer, observes
from voiceframe.processors import EnergyVAD, Turns, TurnSettings, VADSettings
from voiceframe.processors.stt import STTSettings
from voiceframe.providers import LLMSettings
from voiceframe.testing import dial
from voiceframe.testing.audio_caller import AudioCaller
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.hearing import FakeRecognizer
from voiceframe.testing.providers.scripts import FakeLLM
from voiceframe.testing.providers.server import FakeProvider
from voiceframe.testing.providers.voices_tts import FakeVoice

from ._providers_vendors import (
    FAKE_LLM,
    FAKE_STT,
    FAKE_TTS,
    TELLS_WORDS,
    caller_voice,
    model,
    recognizer,
    voice,
)

__all__ = ["Found", "Models", "one_call", "warm_up"]

#: How long the caller waits for the bot to say anything: then the call is silent.
SILENT_MS: Final = 8_000
#: How a call ends: the caller leaves when the last answer was heard.
HUNG_UP: Final = "hangup"
#: What a caller says; few words, so that each of them is loud.
WORDS: Final = ("north", "south", "east", "west", "up", "down", "left", "right")
_CHAR_MS: Final = 12
_GREETING: Final = "Welcome dear caller."
_REPROMPT: Final = "Pardon me?"
#: Deadlines are shorter than a product would have them, so that a call with faults takes seconds.
_CALL: Final = CallSettings(reply_deadline_ms=3_000, reprompt=_REPROMPT)
_VAD: Final = VADSettings(threshold_dbfs=-56.0, gate_dbfs=-60.0, start_ms=60, stop_ms=120)
_TURNS: Final = TurnSettings(
    endpointing="fixed", silence_ms=250, transcript_wait_ms=1_200, stability_ms=100, resume_after_ms=1_200
)
_STT: Final = STTSettings(connect_ms=800, warm_ms=400, silent_ms=500, ping_ms=500, result_ms=1_500, lead_ms=200)
_LLM: Final = LLMSettings(first_ms=2_000, silence_ms=800)
_TTS: Final = {"stall_ms": 600, "silence_ms": 4_000, "connect_ms": 1_000}
#: How much a voice that does not tell its words may say more for each disturbance: a long word, and some.
_INEXACT_MS: Final = _CHAR_MS * 12 * 4
_REPROMPTED: Final = ("deadline", "empty", "error", "interrupted")


@dataclass
class Found:
    """What a call came to. `wrong`: what must not be, in words."""

    seed: int
    vendors: tuple[str, str, str]
    faults: Counter[str] = field(default_factory=Counter)  # those that a connection or request was given
    turns: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    said: int = 0  # words of the caller
    understood: int = 0
    replies: int = 0
    whole: int = 0  # replies that were heard to their end
    lost: Counter[str] = field(default_factory=Counter)  # codes of `provider.lost`
    slowest_ms: int = 0  # from the end of what the caller said to the next sound of the bot
    lasted_ms: int = 0
    wrong: list[str] = field(default_factory=list)


class _Looks(Observer):
    """What the agent has written, and what the voice has made of it, reply by reply."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.words: dict[int, str] = {}
        self.audio: dict[int, bytes] = {}
        self.format = PCMU_8K

    @observes(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        self.texts[frame.reply] = self.texts.get(frame.reply, "") + frame.text

    @observes(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        self.words[frame.reply] = self.words.get(frame.reply, "") + "".join(word.text for word in frame.words)
        self.format = frame.audio.format
        self.audio[frame.reply] = self.audio.get(frame.reply, b"") + frame.audio.data


def _word(number: int) -> str:
    """A word of six letters, each number another one."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    base = len(syllables)
    return syllables[number % base] + syllables[number // base % base] + syllables[(7 * number + 3) % base]


def _answer(number: int) -> str:
    one, two, three, four, five = (_word(5 * number + index).capitalize() for index in range(5))
    return f"{one} {two.lower()} {three.lower()}. {four} {five.lower()}."


def _fault(rng: random.Random, kind: str, what: str) -> Fault:
    after = rng.randint(0, {"stt": 90, "llm": 9, "tts": 20}[kind])
    if what == "cut":
        return Fault(cut_after=after)
    if what == "half-open":
        return Fault(hang_after=after)
    if what == "429":
        return Fault(status=429, retry_after_ms=rng.choice([None, 50, 200, 600]))
    if what == "5xx":
        return Fault(status=rng.choice([500, 502, 503, 504, 529]))
    if what == "garbled":
        return Fault(garble_after=after)
    if what == "closed":
        return Fault(close_after=after, close_code=rng.choice([1000, 1001, 1011, 1012, 1013]))
    assert what == "delay"
    return Fault(delay_ms=rng.randint(10, 120))


_KINDS: Final = ("cut", "half-open", "429", "5xx", "garbled", "closed", "delay")


def _script(fake: FakeProvider, kind: str, rng: random.Random) -> dict[int, str]:
    """What goes wrong with a provider in this call, by the identity of the fault: of three calls one is spared."""
    told: dict[int, str] = {}
    nonsense = False
    if rng.random() < 0.33:
        return told
    for _ in range(rng.randint(1, 4)):
        # A socket serves a whole call as long as nothing happens to it, a request one answer.
        fake.faults.extend([Fault()] * rng.choice([0, 0, 1, 1, 2] if kind == "llm" else [0, 0, 0, 1]))
        what = rng.choice(_KINDS)
        if what == "closed" and kind == "llm":
            what = "cut"
        if what == "garbled" and kind == "tts":
            # A voice that talks nonsense twice in one reply is given up for it: see docs/providers.md.
            what, nonsense = ("cut" if nonsense else what), True
        fault = _fault(rng, kind, what)
        told[id(fault)] = f"{kind} {what}"
        fake.faults.append(fault)
    return told


async def _deaf(stt: FakeRecognizer, rng: random.Random) -> None:
    """The recognizer hears and says nothing for a while; then it is another one, which knows nothing of that."""
    await asyncio.sleep(rng.uniform(0.2, 3.0))
    stt.mute = True
    await asyncio.sleep(rng.uniform(0.2, 1.5))
    for socket in stt.sockets:
        transport = socket._connection.transport
        if transport is not None:
            transport.abort()
    stt.mute = False


@contextlib.asynccontextmanager
async def _vendors(
    found: Found, rng: random.Random, llm: FakeLLM, well: bool
) -> AsyncIterator[tuple[FakeRecognizer, FakeVoice]]:
    """The fakes of a call, with their scripts. All their connections must be closed by its end."""
    stt, tts = FAKE_STT[found.vendors[0]](), FAKE_TTS[found.vendors[2]]()
    llm.answers = [_answer(number) for number in range(40)]
    tts.char_ms = _CHAR_MS
    stt.latency_ms = rng.choice([0, 20, 80])
    fakes: list[tuple[str, FakeProvider]] = [("stt", stt), ("llm", llm), ("tts", tts)]
    scripts = [{} if well else _script(fake, kind, rng) for kind, fake in fakes]
    deaf = None
    if not well and rng.random() < 0.15:
        found.faults["stt silent"] += 1
        deaf = asyncio.ensure_future(_deaf(stt, rng))
    try:
        async with stt, tts:
            yield stt, tts
            await _until(lambda: not any(fake.connections for _, fake in fakes), 2_000)
            for kind, fake in fakes:
                if fake.connections:
                    found.wrong.append(f"{fake.connections} connections to the {kind} were left open")
    finally:
        for (_, fake), told in zip(fakes, scripts, strict=True):
            for fault in fake.faults:
                told.pop(id(fault), None)  # no connection has come for it
            found.faults.update(told.values())
        if deaf is not None:
            deaf.cancel()
            await asyncio.gather(deaf, return_exceptions=True)


async def _until(condition: Any, limit_ms: int) -> None:
    for _ in range(limit_ms // 20):
        if condition():
            return
        await asyncio.sleep(0.02)


class Models:
    """Models with their fakes, which calls borrow one after the other: a program makes a model once, not for each call.

    async with Models(each=20) as models:   # twenty of each vendor
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._fakes: list[FakeLLM] = []
        self._models: list[LLM] = []
        self._free: dict[str, list[tuple[FakeLLM, LLM]]] = {vendor: [] for vendor in FAKE_LLM}

    async def __aenter__(self) -> Models:
        for vendor in FAKE_LLM:
            for _ in range(self._each):
                await self._make(vendor)
        return self

    async def _make(self, vendor: str) -> None:
        fake = await FAKE_LLM[vendor]().__aenter__()
        self._fakes.append(fake)
        made = model(vendor, fake, _LLM)
        self._models.append(made)
        self._free[vendor].append((fake, made))

    async def __aexit__(self, *exception: object) -> None:
        for made in self._models:
            await made.aclose()
        for fake in self._fakes:
            await fake.__aexit__(None, None, None)

    @contextlib.asynccontextmanager
    async def borrowed(self, vendor: str) -> AsyncIterator[tuple[FakeLLM, LLM]]:
        """A model that no other call has, and its fake as new."""
        if not self._free[vendor]:
            await self._make(vendor)
        fake, made = self._free[vendor].pop()
        fake.bodies.clear()
        fake.asked.clear()
        fake._made.clear()
        try:
            yield fake, made
        finally:
            fake.faults.clear()
            self._free[vendor].append((fake, made))


async def warm_up(models: Models) -> None:
    """Import every SDK, which takes seconds, and fill caches: a call with each vendor, in which nothing goes wrong."""
    every = zip(FAKE_STT, FAKE_LLM, FAKE_TTS, strict=True)
    await asyncio.gather(*(one_call(number, models, each) for number, each in enumerate(every)))


async def one_call(seed: int, models: Models, vendors: tuple[str, str, str] | None = None) -> Found:
    """A call of two to four turns on this seed.

    vendors: of the recognizer, the model and the voice; if they are given, nothing goes wrong.
    """
    rng = random.Random(seed)
    well = vendors is not None
    vendors = vendors or (rng.choice(list(FAKE_STT)), rng.choice(list(FAKE_LLM)), rng.choice(list(FAKE_TTS)))
    found = Found(seed, vendors)
    looks = _Looks()
    async with (
        models.borrowed(vendors[1]) as (llm, client),
        _vendors(found, rng, llm, well) as (stt, tts),
    ):
        caller, said = await _held(seed, rng, (stt, tts), client, looks, found)
    if caller is not None:
        _judge(found, caller, said, looks, tts)
    return found


async def _held(
    seed: int,
    rng: random.Random,
    fakes: tuple[FakeRecognizer, FakeVoice],
    client: LLM,
    looks: _Looks,
    found: Found,
) -> tuple[AudioCaller | None, list[str]]:
    def bot(call: Call) -> Pipeline:
        return Pipeline(
            [
                call.transport.input(),
                EnergyVAD(_VAD),
                recognizer(found.vendors[0], fakes[0], _STT),
                Turns(_TURNS),
                Agent("bot", "Answer.", client, greeting=_GREETING),
                voice(found.vendors[2], fakes[1], **_TTS),
                call.transport.output(),
            ],
            observers=[looks],
        )

    said: list[str] = []
    caller = None
    engine = EngineSettings(development=False)
    try:
        async with dial(
            bot, via="audio", voice=caller_voice, seed=seed, settings=_CALL, engine_settings=engine
        ) as caller:
            for _ in range(rng.randint(2, 4)):
                if rng.random() < 0.15:
                    await caller.waits(rng.randint(100, 900))
                else:
                    await _answered(caller)
                words = rng.sample(WORDS, 3)
                said += words
                await caller.plays(caller_voice(" ".join(words)))
            await _answered(caller)
    except TestKitError as error:
        found.wrong.append(f"it ended early: {error}")
    except Exception as error:
        found.wrong.append(f"it failed: {error!r}")
    return caller, said


async def _answered(caller: AudioCaller) -> None:
    """The bot has said something since the caller spoke, and all that it has to say by now."""
    spoke = caller.spoke
    since = spoke[-1][1] if spoke else 0.0
    loop = asyncio.get_running_loop()
    limit = loop.time() + SILENT_MS / 1000
    while loop.time() < limit:
        await caller.listens(pause_ms=350)
        call = caller.call
        if caller._sound_ms > since and call.turns.pending is None and not call.replies.open:
            return
        await asyncio.sleep(0.02)


# -- what must hold


def _judge(found: Found, caller: AudioCaller, said: list[str], looks: _Looks, tts: FakeVoice) -> None:
    record = caller.record
    wrong = found.wrong
    ends = record.of("call.ended")
    if len(ends) != 1:
        wrong.append(f"call.ended was written {len(ends)} times")
    elif record.reason != HUNG_UP:
        wrong.append(f"it ended by {record.reason!r}")
    if ends:
        found.lasted_ms = int(ends[0].data["duration_ms"])
    for event in record.of("provider.lost"):
        found.lost[f"{event.data['service']} {event.data['code']}"] += 1
    _outcomes(found, caller)
    _silences(found, caller)
    _hearing(found, record.turns, said)
    _speech(found, caller, looks, tts)


def _outcomes(found: Found, caller: AudioCaller) -> None:
    record = caller.record
    settled = record.of("turn.answered", "turn.unanswered", "turn.skipped")
    counts = Counter(event.turn for event in settled)
    committed = record.of("turn.committed")
    found.turns = len(committed)
    for event in committed:
        if counts[event.turn] != 1:
            found.wrong.append(f"turn {event.turn} has {counts[event.turn]} outcomes")
    for index, event in enumerate(record.events):
        if event.kind not in ("turn.answered", "turn.unanswered", "turn.skipped"):
            continue
        reason = event.data.get("reason")
        found.outcomes[event.kind + (f" ({reason})" if reason else "")] += 1
        if event.kind == "turn.unanswered" and reason in _REPROMPTED:
            rest = record.events[index:]
            if not any(later.kind in ("reply.speaking", "turn.committed") for later in rest):
                found.wrong.append(f"turn {event.turn} was not answered ({reason}), and nothing was said of it")
    replies = Counter(event.data["turn"] for event in record.of("reply.started") if event.data.get("turn"))
    for turn, count in replies.items():
        if count > 1:
            found.wrong.append(f"turn {turn} was answered {count} times")


def _silences(found: Found, caller: AudioCaller) -> None:
    """After each thing that the caller said, but for those that they went on from, the bot is heard."""
    spoke, bot = caller.spoke, caller.bot_spoke
    if not bot or bot[0][0] - caller.phone.began_ms > SILENT_MS:
        found.wrong.append("the greeting was not heard")
    merged: list[list[float]] = []
    for start, end in spoke:
        if merged and start - merged[-1][1] < 1_000:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    for index, (_, end) in enumerate(merged):
        until = merged[index + 1][0] if index + 1 < len(merged) else float("inf")
        first = next((max(a, end) for a, b in bot if b > end + 20), None)
        if first is None or first > until:
            # A caller who speaks again at once has not let the bot begin.
            if until - end > 3_000:
                found.wrong.append(f"nothing was heard for {min(until, found.lasted_ms) - end:.0f} ms")
        else:
            found.slowest_ms = max(found.slowest_ms, round(first - end))


def _hearing(found: Found, turns: list[str], said: list[str]) -> None:
    heard = Counter(word for turn in turns for word in turn.split())
    spoken = Counter(said)
    found.said = len(said)
    found.understood = sum(min(heard[word], count) for word, count in spoken.items())
    twice = heard - spoken
    if twice:
        found.wrong.append(f"of the caller was understood what they had not said: {dict(twice)} in {turns}")


def _speech(found: Found, caller: AudioCaller, looks: _Looks, tts: FakeVoice) -> None:
    own = Counter(_plain(word) for text in caller.record.heard for word in text.split())
    known = {_plain(word) for text in (_GREETING, _REPROMPT) for word in text.split()}
    twice = {word: count for word, count in own.items() if count > 1 and word not in known}
    if twice:
        found.wrong.append(f"said twice: {twice}")
    disturbed = sum(1 for event in caller.record.of("provider.lost") if event.data["service"] == "tts")
    for event in caller.record.of("reply.heard"):
        found.replies += 1
        found.whole += bool(event.data["complete"])
    for reply, text in looks.texts.items():
        words, audio = looks.words.get(reply, ""), looks.audio.get(reply, b"")
        if not text.startswith(words):
            found.wrong.append(f"reply {reply} is {text!r}, and {words!r} was spoken")
        expected = tts.sound(text, looks.format)
        if found.vendors[2] in TELLS_WORDS:
            if not expected.startswith(audio):
                found.wrong.append(f"reply {reply}: {len(audio)} bytes of sound that are not those of {text!r}")
        elif len(audio) * 1000 > (
            len(expected) * 1000 + (_INEXACT_MS * disturbed + 20) * looks.format.bytes_per_second
        ):
            found.wrong.append(f"reply {reply}: {len(audio)} bytes of sound, and not {len(expected)}, for {text!r}")


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
