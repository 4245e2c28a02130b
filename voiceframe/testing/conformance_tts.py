"""What every voice of a provider must do, whatever happens to its connection.

    @pytest.mark.real_time
    class TestAcme(TTSConformance):
        def fake(self) -> FakeVoice:
            return FakeAcme()

        def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
            return AcmeTTS(AcmeSettings(**settings), place=Place(fake.url), api_key=fake.key)

A reply of several sentences is spoken undisturbed, and then with the connection cut, closed, half-open and garbled at
every boundary of its messages, refused at first, and interrupted at every word: what is said must always be the same,
nothing twice and nothing left out, to the sample. No socket may be left; with `voiceframe.testing.plugin` no task
either.
"""

from __future__ import annotations

import abc
import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from ..errors import ProviderError
from ..frames import Frame, OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame, UpdateSettingsFrame
from ..processors.tts import TTS, PromptCache, PromptCacheSettings
from .providers import Fault
from .providers.voices_tts import FakeVoice
from .run import Result, Rig, rig
from .slowness import slowness

__all__ = ["TTSConformance", "spoken"]

#: As a model writes: in pieces that end anywhere.
_PIECES = ("Good mor", "ning. Your visit", " is at half past two. Please", " bring your card!")
_TEXT = "".join(_PIECES)
_NEXT = "All right then."
_STEP_S = 0.005
_LONG_S = 10.0
#: Settings that are longer on a machine that is slow.
_BOUNDS = frozenset({"connect_ms", "stall_ms", "silence_ms"})


class TTSConformance(abc.ABC):
    """The suite. A subclass in a test file says which voice, and which fake; pytest runs the rest."""

    #: By how many bytes the sound may differ for each disturbance: 0 for a vendor that tells where the words are.
    inexact: ClassVar[int] = 0
    #: Whether a message that is none can be told from sound.
    garbles: ClassVar[bool] = True
    #: How many random schedules of faults are tried.
    schedules: ClassVar[int] = 8
    #: After so many messages a connection is there, and no sound has come of it.
    quiet_after: ClassVar[int] = 2
    #: A setting that changes how the voice sounds, and its value, which is then in what the vendor is asked.
    change: ClassVar[tuple[str, str]] = ("voice", "other")

    @abc.abstractmethod
    def fake(self) -> FakeVoice:
        """The vendor, on this machine."""

    @abc.abstractmethod
    def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
        """The voice, at that vendor, with these settings of `TTSSettings`; its key is `fake.key`."""

    # -- what is run

    @asynccontextmanager
    async def _call(self, fake: FakeVoice, **settings: Any) -> AsyncIterator[tuple[Rig, TTS]]:
        bounds = {"connect_ms": 4_000, "stall_ms": 2_000, "silence_ms": 5_000} | settings
        by = slowness()
        tts = self.voice(fake, {n: round(value * by) if n in _BOUNDS else value for n, value in bounds.items()})
        tts._prompt_cache = PromptCache(PromptCacheSettings(memory_mb=0))
        async with rig(tts) as call:
            yield call, tts
        await _until(lambda: not fake.connections)
        assert not fake.connections, "a connection was left open"

    async def _speak(self, *faults: Fault, pause_ms: int = 0, **settings: Any) -> tuple[Result, FakeVoice, TTS]:
        """One reply, at a vendor of its own."""
        async with self.fake() as fake:
            fake.pause_ms = pause_ms
            fake.faults.extend(faults)
            async with self._call(fake, **settings) as (call, tts):
                number = call.source.begin_reply()
                call.push(*_reply(number, *_PIECES))
                await _ended(call, number)
            return call.result, fake, tts

    async def _speaks_all(self, *faults: Fault, **settings: Any) -> Result:
        result, fake, tts = await self._speak(*faults, **settings)
        _said(result, fake, tts, 1, _TEXT, str(faults), self.inexact * sum(fault != Fault() for fault in faults))
        assert not result.errors, f"{faults}: {result.errors}"
        return result

    async def _boundaries(self) -> list[tuple[int, int]]:
        """Every boundary of the undisturbed reply: which connection or request, and after how many messages."""
        _, fake, _ = await self._speak()
        return [(index, after) for index, count in enumerate(fake.messages) for after in range(count)]

    async def _everywhere(self, fault: str, step: int = 1, **settings: Any) -> None:
        boundaries = (await self._boundaries())[::step]
        assert boundaries
        for some in _batches(boundaries, 8):
            faults: list[list[Fault]] = []
            for index, after in some:
                what: dict[str, Any] = {fault: after}
                faults.append([*[Fault()] * index, Fault(**what)])
            await asyncio.gather(*(self._speaks_all(*each, **settings) for each in faults))

    # -- undisturbed

    async def test_a_reply_is_spoken_as_it_is_and_accounted_for(self) -> None:
        result = await self._speaks_all()
        kinds = [event.kind for event in result.events if event.kind.startswith("provider.")]
        assert kinds.count("provider.connected") == 1
        assert kinds.count("provider.ttfb") == 1
        assert "provider.lost" not in kinds
        usage = [event.data for event in result.events if event.kind == "provider.usage"]
        assert sum(each["characters"] for each in usage) >= len(_TEXT.replace(" ", ""))

    async def test_replies_that_overlap_are_each_whole(self) -> None:
        async with self.fake() as fake, self._call(fake) as (call, tts):
            first, second = call.source.begin_reply(), call.source.begin_reply()
            call.push(ReplyStartedFrame(first), TextFrame("Let me see. One", first), *_reply(second, _NEXT))
            await _ended(call, second)
            call.push(TextFrame(" moment.", first), ReplyEndedFrame(first))
            await _ended(call, first)
            _said(call.result, fake, tts, first, "Let me see. One moment.")
            _said(call.result, fake, tts, second, _NEXT)

    async def test_settings_hold_from_the_next_reply_on(self) -> None:
        name, value = self.change
        async with self.fake() as fake, self._call(fake) as (call, tts):
            fake.pause_ms = 10
            first = call.source.begin_reply()
            call.push(ReplyStartedFrame(first), TextFrame("Good morning. How", first))
            await _until(lambda: bool(_sounds(call.result, first)))
            assert value not in _all_that_was_asked(fake)
            call.push(UpdateSettingsFrame(tts.name, {name: value}))
            call.push(TextFrame(" are you?", first), ReplyEndedFrame(first))
            await _ended(call, first)
            second = call.source.begin_reply()
            call.push(*_reply(second, _NEXT))
            await _ended(call, second)
            _said(call.result, fake, tts, first, "Good morning. How are you?")
            _said(call.result, fake, tts, second, _NEXT)
            assert value in _all_that_was_asked(fake)
            assert not call.result.errors

    # -- disturbed

    async def test_cut_at_every_boundary(self) -> None:
        await self._everywhere("cut_after")

    async def test_closed_at_every_other_boundary(self) -> None:
        await self._everywhere("close_after", 2)

    async def test_half_open_at_every_fourth_boundary(self) -> None:
        await self._everywhere("hang_after", 4, stall_ms=150)

    async def test_garbled_at_every_other_boundary(self) -> None:
        if self.garbles:
            await self._everywhere("garble_after", 2)

    async def test_refused_at_first(self) -> None:
        for status in (429, 503):
            result = await self._speaks_all(Fault(status=status, retry_after_ms=20))
            (lost,) = [event.data for event in result.events if event.kind == "provider.lost"]
            assert (lost["status"], lost["retry_ms"]) == (status, 20)

    async def test_cut_and_then_refused(self) -> None:
        await self._speaks_all(Fault(cut_after=4), Fault(status=503, retry_after_ms=10), Fault(status=429))

    async def test_several_things_go_wrong_in_a_row(self) -> None:
        for first in range(0, self.schedules, 8):
            schedules = [self._schedule(seed) for seed in range(first, first + 8)]
            await asyncio.gather(*(self._speaks_all(*faults, stall_ms=150) for faults in schedules))

    def _schedule(self, seed: int) -> list[Fault]:
        """Up to four faults, of which one at most is garbled: what cannot be understood is forgiven once."""
        rng = random.Random(seed)
        kinds = ["cut_after", "close_after", "hang_after", "status"]
        faults: list[Fault] = []
        for _ in range(rng.randint(1, 4)):
            kind = rng.choice([*kinds, "garble_after"] if self.garbles else kinds)
            if kind == "garble_after":
                faults.append(Fault(garble_after=rng.randint(2, 12)))
                break
            if kind == "status":
                faults.append(Fault(status=rng.choice([429, 500, 503]), retry_after_ms=rng.choice([None, 20])))
            else:
                what: dict[str, Any] = {kind: rng.randint(0, 12)}
                faults.append(Fault(**what))
        return faults

    async def test_a_provider_that_stays_away_ends_the_reply_and_not_the_call(self) -> None:
        async with self.fake() as fake, self._call(fake, silence_ms=300) as (call, tts):
            fake.faults.extend([Fault(cut_after=3), *[Fault(status=503)] * 50])
            first = call.source.begin_reply()
            call.push(*_reply(first, *_PIECES))
            await _ended(call, first)
            (error,) = call.result.errors
            assert isinstance(error, ProviderError)
            assert error.code in ("provider.server", "provider.connection")
            assert "`" in error.fix
            fake.faults.clear()
            second = call.source.begin_reply()
            call.push(*_reply(second, _NEXT))
            await _ended(call, second)
            _said(call.result, fake, tts, second, _NEXT)

    async def test_a_provider_that_hangs_ends_the_reply_and_not_the_call(self) -> None:
        async with self.fake() as fake, self._call(fake, silence_ms=300, stall_ms=100) as (call, _):
            fake.faults.extend([Fault(hang_after=self.quiet_after)] * 50)
            first = call.source.begin_reply()
            call.push(*_reply(first, *_PIECES))
            await _ended(call, first)
            assert [getattr(error, "code", "") for error in call.result.errors] in (
                ["tts.silent"],
                ["provider.silent"],
            )

    async def test_a_key_that_is_refused_is_told_at_once(self) -> None:
        async with self.fake() as fake:
            right, fake.key = fake.key, "another"
            tts = self.voice(fake, {})
            fake.key = right
            async with rig(tts) as call:
                number = call.source.begin_reply()
                call.push(*_reply(number, _NEXT))
                await _until(lambda: bool(call.result.errors))
            found = [error for each in call.result.errors for error in (each, each.__cause__)]
            assert "provider.auth" in {getattr(error, "code", "") for error in found}

    # -- interrupted

    async def test_interrupted_at_every_word(self) -> None:
        count = len(_TEXT.split())
        await asyncio.gather(*(self._interrupted(words) for words in range(1, count)))

    async def _interrupted(self, words: int) -> None:
        async with self.fake() as fake, self._call(fake) as (call, tts):
            fake.pause_ms = 10
            first = call.source.begin_reply()
            call.push(*_reply(first, *_PIECES))
            await _until(lambda: len(_words(call.result, first).split()) >= words)
            call.call.interrupt()
            heard = len(_sounds(call.result, first))
            second = call.source.begin_reply()
            call.push(*_reply(second, _NEXT))
            await _ended(call, second)
            assert len(_sounds(call.result, first)) == heard, "there was sound of a dead reply"
            _said(call.result, fake, tts, second, _NEXT, f"interrupted after {words} words")
            assert not call.result.errors


def _reply(number: int, *texts: str) -> list[Frame]:
    return [ReplyStartedFrame(number), *(TextFrame(text, number) for text in texts), ReplyEndedFrame(number)]


def _sounds(result: Result, reply: int) -> list[OutputAudioFrame]:
    return [frame for frame in result.down if isinstance(frame, OutputAudioFrame) and frame.reply == reply]


def _words(result: Result, reply: int) -> str:
    return "".join(word.text for frame in _sounds(result, reply) for word in frame.words)


def _said(result: Result, fake: FakeVoice, tts: TTS, reply: int, text: str, when: str = "", inexact: int = 0) -> None:
    assert _words(result, reply) == text, when
    sound = b"".join(frame.audio.data for frame in _sounds(result, reply))
    expected = fake.sound(text, tts.format)
    differs = abs(len(sound) - len(expected)) > inexact if inexact else sound != expected
    assert not differs, f"{when}: {len(sound)} bytes of sound, and not {len(expected)}, or not the same"
    ends = [frame for frame in result.down if isinstance(frame, ReplyEndedFrame) and frame.reply == reply]
    assert len(ends) == 1, when


def _all_that_was_asked(fake: FakeVoice) -> str:
    found = [f"{asked.path} {asked.query} {asked.body!r}" for asked in fake.asked]
    return " ".join([*found, *(str(message) for socket in fake.sockets for message in socket.received)])


def _batches(items: Sequence[tuple[int, int]], size: int) -> list[Sequence[tuple[int, int]]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


async def _ended(call: Rig, reply: int) -> None:
    def ended() -> bool:
        return any(isinstance(frame, ReplyEndedFrame) and frame.reply == reply for frame in call.result.down)

    await _until(ended)
    assert ended(), f"reply {reply} has not ended; {call.result.errors}"


async def _until(condition: Any) -> None:
    for _ in range(round(_LONG_S * slowness() / _STEP_S)):
        if condition():
            return
        await asyncio.sleep(_STEP_S)


async def spoken(tts: TTS, text: str = _TEXT) -> Result:
    """Let a voice speak a text in a call of its own, and see that it says all of it, without an error.

    For the real service too: nothing is said of how it sounds, but that it lasts as long as speech does.
    """
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(*_reply(number, text))
        await _ended(call, number)
        assert not call.result.errors, call.result.errors
        assert _words(call.result, number) == text
        lasted_ms = sum(frame.audio.duration_ms for frame in _sounds(call.result, number))
        assert 20 * len(text) < lasted_ms < 500 * len(text)
    return call.result
