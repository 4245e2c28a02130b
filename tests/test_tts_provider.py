"""Voices that are asked over a network: connections, what is spoken again, what is kept, and what it costs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voiceframe.audio import PCMU_8K, AudioFormat
from voiceframe.clock import run_virtual
from voiceframe.errors import ConfigurationError, ProviderError, SpeechError
from voiceframe.frames import (
    Frame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    UpdateSettingsFrame,
    Word,
)
from voiceframe.prices import Price, Prices, use_prices
from voiceframe.processors import TTS as PUBLIC_TTS
from voiceframe.processors import EspeakTTS
from voiceframe.processors.tts import (
    TTS,
    Chunk,
    Failed,
    PromptCache,
    PromptCacheSettings,
    SentenceStream,
    TTSSettings,
    TTSStream,
)
from voiceframe.processors.tts.lexicon import Lexicon
from voiceframe.processors.tts.sockets import Context, ContextStream
from voiceframe.processors.tts.stream import Done, Item
from voiceframe.provider import Vendor
from voiceframe.testing.run import Result, Rig, rig
from voiceframe.words import spans

ACME = Vendor("acme", "ACME_API_KEY", "acme", "https://acme.test")


def lost() -> ProviderError:
    return ProviderError.of("provider.connection", vendor="acme", detail="gone", by="AcmeTTS")


def refused() -> ProviderError:
    return ProviderError.of("provider.request", vendor="acme", status=400, detail="no", by="AcmeTTS")


class AcmeStream(SentenceStream):
    """A word is 10 ms for each letter. `tts.trouble(word)` may raise before a word is spoken."""

    def __init__(self, tts: AcmeTTS, format: AudioFormat, voice: str) -> None:
        super().__init__(format)
        self.tts = tts
        self.voice = voice

    async def send(self, reply: int, text: str) -> None:
        self.tts.sent.append((self.voice, text))
        if self.tts.refusing:
            self.tts.refusing -= 1
            raise lost()
        await super().send(reply, text)

    async def cancel(self, reply: int) -> None:
        self.tts.cancelled.append(reply)
        await super().cancel(reply)

    async def aclose(self) -> None:
        self.tts.closed += 1
        await super().aclose()

    async def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        for start, end in spans(text):
            await asyncio.sleep(self.tts.delay_s)
            word = text[start:end]
            await self.tts.trouble(word.strip())
            length_ms = len(word) * self.tts.pace_ms
            audio = bytes([len(word)]) * (length_ms * self.format.bytes_per_second // 1000)
            yield Chunk(reply, audio, (Word(word, 0, length_ms),) if self.tts.tells else ())

    async def chunks(self) -> AsyncGenerator[Item, None]:
        async for item in super().chunks():
            yield Failed(item.reply, refused()) if isinstance(item, Done) and self.tts.refuses else item


class AcmeTTS(TTS):
    vendor = ACME
    model = "anvil-1"
    voice = "wile"

    def __init__(
        self, settings: TTSSettings | None = None, *, tells: bool = True, delay_ms: int = 1, **more: Any
    ) -> None:
        more.setdefault("cache", PromptCache(PromptCacheSettings(memory_mb=0)))
        super().__init__(settings or TTSSettings(), **more)
        self.tells, self.delay_s, self.pace_ms = tells, delay_ms / 1000, 10
        self.sent: list[tuple[str, str]] = []
        self.cancelled: list[int] = []
        self.opened = self.closed = 0
        self.refuses = False
        self.refusing = 0  # how often `send()` fails
        self.opening: list[Exception] = []  # what is raised by `open()`
        self.script: dict[str, list[Any]] = {}  # by word: exceptions, or how many seconds nothing happens

    async def trouble(self, word: str) -> None:
        waiting = self.script.get(word.strip(".,?!"))
        if waiting:
            what = waiting.pop(0)
            if isinstance(what, Exception):
                raise what
            await asyncio.sleep(what)

    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:
        if self.opening:
            raise self.opening.pop(0)
        self.opened += 1
        return AcmeStream(self, format, voice)


def reply(number: int, *texts: str) -> list[Frame]:
    return [ReplyStartedFrame(number), *(TextFrame(text, number) for text in texts), ReplyEndedFrame(number)]


def words_of(result: Result, number: int) -> str:
    sounds = [f for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number]
    return "".join(word.text for sound in sounds for word in sound.words)


def sound_ms(result: Result, number: int) -> float:
    return sum(f.audio.duration_ms for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number)


def of(result: Result, kind: str) -> list[dict[str, Any]]:
    return [event.data for event in result.events if event.kind == f"provider.{kind}"]


async def say(call: Rig, *texts: str, within_s: float = 30) -> int:
    number = call.source.begin_reply()
    call.push(*reply(number, *texts))
    async with asyncio.timeout(within_s):
        while not any(isinstance(f, ReplyEndedFrame) and f.reply == number for f in call.result.down):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return number


# -- connections


async def test_what_a_lost_stream_did_not_say_is_said_by_the_next_ones() -> None:
    tts = AcmeTTS()
    tts.script = {"Two": [lost()], "three": [lost(), lost()]}
    async with rig(tts) as call:
        number = await say(call, "One. Two three. Four.")
        assert words_of(call.result, number) == "One. Two three. Four."
        assert sound_ms(call.result, number) == 10 * len("One. Two three. Four.")
        assert [one["code"] for one in of(call.result, "lost")] == ["provider.connection"] * 3
        assert not call.result.errors
        assert tts.opened == 4


async def test_a_word_that_every_stream_dies_of_ends_the_reply() -> None:
    tts = AcmeTTS()
    tts.script = {"Two": [lost() for _ in range(50)]}
    async with rig(tts) as call:
        number = await say(call, "One. Two. Three.")
        assert words_of(call.result, number) == "One."
        assert [getattr(error, "code", "") for error in call.result.errors] == ["provider.connection"]
        assert words_of(call.result, await say(call, "Four.")) == "Four."


async def test_a_text_that_is_refused_is_given_up_at_once_and_the_next_is_spoken() -> None:
    tts = AcmeTTS()
    tts.script = {"Two": [refused()]}
    async with rig(tts) as call:
        number = await say(call, "One. Two. Three.", within_s=1)
        assert words_of(call.result, number) == "One."
        assert [getattr(error, "code", "") for error in call.result.errors] == ["provider.request"]
        assert words_of(call.result, await say(call, "Four.")) == "Four."
        tts.refuses = True
        await say(call, "Five.", within_s=1)
        assert tts.opened == 2  # one reply alone was refused by the stream, which goes on


async def test_what_cannot_be_understood_is_forgiven_once() -> None:
    tts = AcmeTTS()
    tts.script = {"Two": [ValueError("what?")], "Four": [ValueError("what?"), ValueError("what?")]}
    async with rig(tts) as call:
        assert words_of(call.result, await say(call, "One. Two. Three.")) == "One. Two. Three."
        assert not call.result.errors
        assert words_of(call.result, await say(call, "Three. Four.")) == "Three."
        assert [getattr(error, "code", "") for error in call.result.errors] == ["provider.protocol"]


async def test_a_provider_that_is_down_while_it_rings_does_not_fail_the_call() -> None:
    tts = AcmeTTS()
    tts.opening = [lost(), lost(), lost()]
    async with rig(tts) as call:
        assert words_of(call.result, await say(call, "Here we are.")) == "Here we are."
        assert [one["attempts"] for one in of(call.result, "connected")] == [4]
        assert of(call.result, "lost")[0]["retry_ms"] == 0
        assert not call.result.errors


async def test_a_provider_that_refuses_us_for_good_fails_the_setup() -> None:
    tts = AcmeTTS()
    tts.opening = [ProviderError.of("provider.auth", vendor="acme", status=401, variable="ACME_API_KEY")]
    async with rig(tts) as call:
        await asyncio.sleep(0.1)
        causes = [error.__cause__ for error in call.result.errors]
        assert any(isinstance(cause, ProviderError) and cause.code == "provider.auth" for cause in causes)


async def test_a_reply_of_which_nothing_comes_is_given_up_in_time_and_what_came_is_played() -> None:
    tts = AcmeTTS(TTSSettings(silence_ms=1_000, stall_ms=300))
    tts.script = {"Two": [3600, 3600, 3600, 3600, 3600]}
    async with rig(tts) as call:
        began_s = asyncio.get_running_loop().time()
        number = await say(call, "One. Two. Three.")
        assert 1.0 <= asyncio.get_running_loop().time() - began_s < 1.2
        assert words_of(call.result, number) == "One."
        assert [getattr(error, "code", "") for error in call.result.errors] == ["tts.silent"]
        assert {one["code"] for one in of(call.result, "lost")} == {"provider.silent"}


async def test_a_half_open_connection_is_noticed_and_the_rest_is_said() -> None:
    tts = AcmeTTS(TTSSettings(stall_ms=300))
    tts.script = {"Two": [3600]}
    async with rig(tts) as call:
        assert words_of(call.result, await say(call, "One. Two. Three.", within_s=0.5)) == "One. Two. Three."
        assert not call.result.errors


async def test_a_stream_that_is_closed_while_idle_is_opened_again_at_once() -> None:
    tts = AcmeTTS()
    async with rig(tts) as call:
        await say(call, "One.")
        await asyncio.sleep(60)
        (line,) = tts._lines
        await tts._lost(line, lost())
        await asyncio.sleep(0.1)
        assert (tts.opened, tts.closed) == (2, 1)
        assert [one["retry_ms"] for one in of(call.result, "lost")] == [0]
        assert not call.result.errors
        assert words_of(call.result, await say(call, "Two.")) == "Two."
        assert tts.opened == 2


async def test_a_new_reply_does_not_wait_for_what_the_one_before_it_has_found() -> None:
    tts = AcmeTTS(TTSSettings(silence_ms=500))
    tts.script = {"Two": [lost()]}
    async with rig(tts) as call:
        tts.opening = [lost() for _ in range(4)]
        await say(call, "One. Two.")
        tts.opening = []
        assert words_of(call.result, await say(call, "Three.", within_s=0.3)) == "Three."


async def test_settings_change_in_the_call_for_the_replies_that_follow() -> None:
    tts = AcmeTTS(delay_ms=50)
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(ReplyStartedFrame(number), TextFrame("One two. Three", number))
        await asyncio.sleep(0.06)
        call.push(UpdateSettingsFrame(tts.name, {"lexicon": ("four=vier",)}), TextFrame(" four.", number))
        call.push(ReplyEndedFrame(number))
        await asyncio.sleep(1)
        assert words_of(call.result, number) == "One two. Three four."
        assert (tts.opened, tts.closed) == (2, 1)  # a new stream was there before it was needed
        assert words_of(call.result, await say(call, "Number four.")) == "Number four."
        assert tts.sent[-1] == ("wile", "Number vier.")
        call.push(UpdateSettingsFrame("SomebodyElse", {"piece_ms": 20}))
        call.push(UpdateSettingsFrame(tts.name, {"no_such_setting": 1}))
        await asyncio.sleep(0.1)
        (error,) = call.result.errors
        assert isinstance(error, ConfigurationError)
        assert tts.settings.lexicon == ("four=vier",)


async def test_a_reply_whose_stream_is_lost_after_the_settings_have_changed_goes_on_with_the_new_ones() -> None:
    tts = AcmeTTS(delay_ms=50)
    tts.script = {"three": [lost()]}
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(ReplyStartedFrame(number), TextFrame("One two three four. Well", number))
        await asyncio.sleep(0.06)
        call.push(UpdateSettingsFrame(tts.name, {"lexicon": ("four=vier",)}))
        await asyncio.sleep(0.4)
        assert words_of(call.result, number) == "One two three four."
        assert tts.sent[-1] == ("wile", " three vier.")
        assert (tts.opened, tts.closed) == (2, 1)


async def test_a_stream_that_is_lost_while_it_is_given_the_rest_is_followed_by_another() -> None:
    tts = AcmeTTS()
    tts.script = {"two": [lost()]}
    async with rig(tts) as call:
        tts.refusing = 3
        number = await say(call, "One two three.", within_s=3)
        assert words_of(call.result, number) == "One two three."
        assert not call.result.errors


async def test_settings_that_do_not_change_the_voice_keep_the_connection() -> None:
    tts = AcmeTTS()
    async with rig(tts) as call:
        call.push(UpdateSettingsFrame(tts.name, {"silence_ms": 700}))
        await asyncio.sleep(0.1)
        assert (tts.settings.silence_ms, tts.opened) == (700, 1)


async def test_an_interruption_cancels_at_the_vendor_and_late_sound_is_dropped() -> None:
    tts = AcmeTTS(delay_ms=20)
    async with rig(tts) as call:
        number = call.source.begin_reply()
        call.push(*reply(number, "One two three four."))
        await asyncio.sleep(0.05)
        call.call.interrupt()
        heard = words_of(call.result, number)
        assert words_of(call.result, await say(call, "Five.")) == "Five."
        assert tts.cancelled == [number]
        assert words_of(call.result, number) == heard == "One two"


# -- what it costs, and how long it takes


async def test_usage_cost_and_the_time_to_the_first_sound_are_told() -> None:
    tts = AcmeTTS(TTSSettings(usd_per_million_chars=50.0), delay_ms=120)
    async with rig(tts) as call:
        await say(call, "Hello.", " And again.")
        (usage,) = of(call.result, "usage")
        assert (usage["vendor"], usage["model"], usage["characters"], usage["requests"]) == ("acme", "anvil-1", 17, 2)
        assert usage["cost_usd"] == pytest.approx(17 * 50e-6)
        (ttfb,) = of(call.result, "ttfb")
        assert ttfb["ttfb_ms"] == 120


async def test_the_cost_is_by_the_prices_that_hold_and_is_not_guessed() -> None:
    async with rig(AcmeTTS()) as call:
        await say(call, "Hello.")
        use_prices(Prices("ours", {"acme/*": Price(characters=30.0)}))
        try:
            await say(call, "Hello.")
        finally:
            use_prices(None)
        found = [(usage["cost_usd"], usage["prices"]) for usage in of(call.result, "usage")]
        assert found == [(None, ""), (pytest.approx(6 * 30e-6), "ours")]


async def test_the_pace_of_a_voice_that_tells_of_no_words_is_learnt() -> None:
    tts = AcmeTTS(tells=False)
    tts.pace_ms = 100  # and not 62
    async with rig(tts) as call:
        await say(call, "A sentence to learn from.")
        tts.script = {"three": [lost()]}
        number = await say(call, "One two three four five six.")
        assert words_of(call.result, number) == "One two three four five six."
        assert tts.sent[-1] == ("wile", " three four five six.")


# -- what is kept


def memory(**more: Any) -> PromptCache:
    return PromptCache(PromptCacheSettings(**more))


async def test_a_sentence_that_was_said_alone_is_not_asked_for_again() -> None:
    cache = memory()
    first, second = AcmeTTS(cache=cache), AcmeTTS(cache=cache)
    async with rig(first) as call:
        await say(call, "One moment.")
    async with rig(second) as call:
        number = await say(call, "One moment. Now then. ")
        assert words_of(call.result, number) == "One moment. Now then. "
        assert [text for _, text in second.sent if text.strip()] == [" Now then."]
        again = await say(call, "Well. One moment.")
        assert words_of(call.result, again) == "Well. One moment."
        assert sound_ms(call.result, again) == 10 * len("Well.") + 10 * len("One moment.")


async def test_what_is_not_whole_or_private_or_another_voice_is_not_kept() -> None:
    cache = memory()
    tts = AcmeTTS(cache=cache)
    tts.script = {"moment": [lost()]}
    async with rig(tts) as call:
        await say(call, "One moment.")
        assert len(cache) == 0
        with call.call.private():
            await say(call, "One moment.")
        assert len(cache) == 0
        await say(call, "One. And two.")
        assert len(cache) == 0
        await say(call, "One moment.")
        assert len(cache) == 1
    other = AcmeTTS(cache=cache)
    other.voice = "road-runner"
    async with rig(other) as call:
        await say(call, "One moment.")
        assert other.sent == [("road-runner", "One moment.")]


async def test_prompts_are_made_while_it_rings_and_kept_on_disk(tmp_path: Path) -> None:
    tts = AcmeTTS(cache=memory(directory=str(tmp_path)), prompts=("City clinic, hello! How can I help?",))
    async with rig(tts) as call:
        await asyncio.sleep(0.2)
        assert [text for _, text in tts.sent] == ["City clinic, hello!", " How can I help?"]
        number = await say(call, "City clinic, hello! How can I help?")
        assert words_of(call.result, number) == "City clinic, hello! How can I help?"
        assert len(tts.sent) == 2
        assert sum(one["characters"] for one in of(call.result, "usage")) == 35
    later = AcmeTTS(cache=memory(directory=str(tmp_path)))  # another process
    async with rig(later) as call:
        await say(call, "City clinic, hello! How can I help?")
        await later.prepare(["City clinic, hello!"])
        assert later.sent == []


async def test_a_provider_that_fails_in_preparing_fails_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tts = AcmeTTS(prompts=("Hello.",))
    tts.script = {"Hello": [lost()]}
    async with rig(tts) as call:
        await asyncio.sleep(0.1)
        assert "could not be prepared" in caplog.text
        assert words_of(call.result, await say(call, "Hello.")) == "Hello."
        tts.script = {"Bye": [lost()]}
        with pytest.raises(ProviderError, match="acme"):
            await tts.prepare(["Bye."])
        assert not call.result.errors


# -- how words are said


async def test_a_lexicon_changes_what_is_said_and_not_what_was_said() -> None:
    tts = AcmeTTS(TTSSettings(lexicon=("Nguyen=win", "SQL=see quell")))
    async with rig(tts) as call:
        number = await say(call, "Dr Nguyen, you win the SQL prize, Nguyen.")
        assert tts.sent == [("wile", "Dr win, you win the see quell prize, win.")]
        sounds = [f for f in call.result.down if isinstance(f, OutputAudioFrame) and f.reply == number]
        assert [word.text for sound in sounds for word in sound.words] == [
            "Dr", " Nguyen,", " you", " win", " the", " SQL", " prize,", " Nguyen."
        ]  # fmt: skip


async def test_a_voice_that_takes_no_phonemes_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="voiceframe"):
        async with rig(AcmeTTS(TTSSettings(lexicon=("Nguyen=/wɪn/",)))) as call:
            number = await say(call, "Nguyen.")
            assert words_of(call.result, number) == "Nguyen."
    assert caplog.text.count("cannot be told phonemes, as those of Nguyen") == 1


@pytest.mark.parametrize("entry", ["Nguyen", "=win", "Nguyen=", "Nguyen=//"])
def test_an_entry_of_a_lexicon_that_says_nothing_is_refused(entry: str) -> None:
    with pytest.raises(SpeechError, match=r"tts\.lexicon"):
        AcmeTTS(TTSSettings(lexicon=(entry,)))


def test_a_lexicon_knows_whole_words_in_any_case() -> None:
    lexicon = Lexicon(("us=you ess", "a.m.=/eɪ/"), lambda word, sounds: f"<{sounds}>")
    assert lexicon.speak("Us, bus & 9 a.m.", lambda text: text.replace("&", "&amp;")) == "you ess, bus &amp; 9 <eɪ>"


@given(st.text(max_size=40), st.lists(st.sampled_from(["a=b", "be=to be", "x=/y/"]), max_size=3))
def test_whatever_the_lexicon_a_text_without_its_words_stays_as_it_is(text: str, entries: list[str]) -> None:
    lexicon = Lexicon(entries, lambda word, sounds: sounds)
    if not {word.casefold() for word in text.replace("_", " ").split()} & {"a", "be", "x"}:
        plain = "".join(char if not char.isascii() or char.isdigit() else "-" for char in text)
        assert lexicon.speak(plain) == plain


# -- by name


def test_a_voice_is_made_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PUBLIC_TTS is TTS
    assert isinstance(TTS.by_name(), EspeakTTS)
    made = TTS.by_name("Cartesia", api_key="k", voice="v")
    assert (type(made).__name__, made.voice) == ("CartesiaTTS", "v")
    monkeypatch.setenv("VOICEFRAME_TTS_PROVIDER", "deepgram")
    assert type(TTS.by_name(api_key="k")).__name__ == "DeepgramTTS"
    with pytest.raises(ProviderError, match=r"no voice called 'elevenlab'; the nearest is `elevenlabs`"):
        TTS.by_name("elevenlab")


# -- contexts


class Ctx(ContextStream):
    lasts_s = 1.0

    def __init__(self) -> None:
        super().__init__(AudioFormat("mulaw", 8_000))
        self.log: list[str] = []
        self.inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()

    async def receive(self) -> Any:
        return await self.inbox.get()

    def take(self, message: Any) -> None:
        message()

    async def push(self, context: Context, text: str, first: bool) -> None:
        self.log.append(f"{'begin ' if first else ''}{context.id} {text}")

    async def end(self, context: Context) -> None:
        self.log.append(f"end {context.id}")

    async def drop(self, context: Context) -> None:
        self.log.append(f"drop {context.id}")

    async def aclose(self) -> None:
        pass


async def items(stream: Ctx, count: int) -> list[str]:
    found: list[str] = []
    chunks = stream.chunks()
    try:
        async with asyncio.timeout(1):
            async for item in chunks:
                found.append(f"{item.reply} {len(item.audio)}" if isinstance(item, Chunk) else f"{item.reply} done")
                if len(found) == count:
                    break
    finally:
        await chunks.aclose()
    return found


async def test_a_context_that_the_vendor_has_closed_is_followed_by_another_one_in_order() -> None:
    stream = Ctx()
    await stream.send(1, "One.")
    first = stream._contexts["1-1"]
    stream.sound(first, bytes(8))
    await asyncio.sleep(2)
    await stream.send(1, " Two.")
    second = stream._contexts["1-2"]
    stream.sound(second, bytes(24))  # too early: the first is not over
    await stream.flush(1)
    stream.finished(second)
    stream.sound(first, bytes(16))
    stream.finished(first)
    assert await items(stream, 4) == ["1 8", "1 16", "1 24", "1 done"]
    assert stream.log == ["begin 1-1 One.", "end 1-1", "begin 1-2  Two.", "end 1-2"]
    assert not stream._contexts
    assert not stream._replies


async def test_a_flush_of_what_is_over_or_never_began_is_answered() -> None:
    stream = Ctx()
    await stream.send(1, "  ")
    await stream.flush(1)
    await stream.send(2, "Two.")
    stream.finished(stream._contexts["2-1"])
    await stream.flush(2)
    assert await items(stream, 2) == ["1 done", "2 done"]


async def test_what_was_read_ahead_of_a_dead_reply_is_dropped() -> None:
    stream = Ctx()
    for reply_ in (1, 2):
        await stream.send(reply_, "Text.")
        stream.sound(stream._contexts[f"{reply_}-{reply_}"], bytes(80 * reply_))
    await stream.cancel(1)
    assert stream.log[-1] == "drop 1-1"
    assert await items(stream, 1) == ["2 160"]
    assert stream.find("1-1") is None


async def test_words_come_with_the_end_of_their_sound() -> None:
    stream = Ctx()
    await stream.send(1, "One two three.")
    context = stream._contexts["1-1"]
    context.words.extend([Word("One", 0, 100), Word("two", 100, 250), Word("three.", 250, 400)])
    stream.sound(context, bytes(8 * 150))
    stream.sound(context, bytes(8 * 100))
    stream.finished(context)
    chunks = [item for item in stream._items if isinstance(item, Chunk)]
    assert [chunk.words for chunk in chunks] == [
        (Word("One", 0, 100),),
        (Word("two", 0, 100),),
        (Word("three.", 0, 0),),
    ]


async def test_no_more_is_read_than_a_caller_can_hear_in_a_minute() -> None:
    stream = Ctx()
    await stream.send(1, "Long.")
    context = stream._contexts["1-1"]
    for _ in range(100):
        stream.inbox.put_nowait(lambda: stream.sound(context, bytes(8_000)))
    chunks = stream.chunks()
    await anext(chunks)
    await asyncio.sleep(1)
    assert 35 <= stream.inbox.qsize() < 40
    await chunks.aclose()


# -- whatever happens


@given(
    st.lists(
        st.tuples(st.sampled_from(["One", "two", "Three", "four"]), st.sampled_from(["lost", "hang", "garbled"])),
        max_size=5,
    ),
    st.lists(st.booleans(), max_size=4),
    st.lists(st.sampled_from(["say", "interrupt", "voice", "wait"]), min_size=1, max_size=6),
)
@example([("One", "lost")] * 5, [True, True], ["say", "say"])
@example([("One", "lost"), ("One", "garbled"), ("two", "lost"), ("four", "lost")], [], ["say", "voice", "interrupt"])
def test_every_reply_ends_and_says_each_word_once(
    troubles: list[tuple[str, str]], openings: list[bool], steps: list[str]
) -> None:
    text = "One two. Three four."

    async def live() -> None:
        tts = AcmeTTS(TTSSettings(stall_ms=200), delay_ms=20)
        for word, kind in troubles:
            what = {"lost": lost(), "hang": 3600, "garbled": ValueError("?")}[kind]
            tts.script.setdefault(word, []).append(what)
        async with rig(tts) as call:
            tts.opening = [lost() for bad in openings if bad]
            numbers: list[int] = []
            for step in steps:
                if step == "say":
                    numbers.append(call.source.begin_reply())
                    call.push(*reply(numbers[-1], text))
                elif step == "interrupt":
                    call.call.interrupt()
                elif step == "voice":
                    call.push(UpdateSettingsFrame(tts.name, {"lexicon": (f"x=y{len(numbers)}",)}))
                await asyncio.sleep(0.07)
            dead = {number for number in numbers if not tts.alive(number)}
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await call.ends()
            if loop.time() - began_s >= 5:  # the end of a call waits no longer than that for a provider
                dead.update(numbers)
            failed = bool(call.result.errors)
            for number in numbers:
                said = words_of(call.result, number)
                assert text.startswith(said)
                if number not in dead:
                    assert said == text or failed
                    ends = [f for f in call.result.down if isinstance(f, ReplyEndedFrame) and f.reply == number]
                    assert len(ends) == 1
                if said == text:
                    assert sound_ms(call.result, number) == 10 * len(text)
            assert not tts._speeches
        assert tts.opened == tts.closed

    run_virtual(live())


class Mute(SentenceStream):
    """A voice that says nothing of what it does not like, for ever."""

    async def speak(self, reply: int, text: str) -> AsyncGenerator[Chunk, None]:
        if text == "never":
            await asyncio.sleep(3600)
        yield Chunk(reply, text.encode())


async def test_a_sentence_of_a_dead_reply_that_does_not_come_holds_up_nobody() -> None:
    stream = Mute(PCMU_8K)
    await stream.send(1, "never")
    await stream.send(1, "nor this")
    await stream.send(2, "next")
    await stream.flush(2)
    chunks = stream.chunks()
    waiting = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(1)
    await stream.cancel(1)
    async with asyncio.timeout(1):
        assert await waiting == Chunk(2, b"next")
        assert await anext(chunks) == Done(2)
    await chunks.aclose()


async def test_whoever_reads_no_more_ends_the_sentence_that_is_under_way() -> None:
    stream = Mute(PCMU_8K)
    await stream.send(1, "never")
    waiting = asyncio.ensure_future(anext(stream.chunks()))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
