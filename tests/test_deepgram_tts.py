"""Deepgram's voices, by the official SDK, against a local server that speaks their protocol."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.waiting import ended, until
from voiceframe.audio import PCMU_8K
from voiceframe.errors import ProviderError
from voiceframe.frames import OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processors import DeepgramTTS, DeepgramTTSSettings
from voiceframe.processors.tts import TTS, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.deepgram import DeepgramStream
from voiceframe.provider import Place
from voiceframe.testing.conformance_tts import TTSConformance, spoken
from voiceframe.testing.providers.deepgram_tts import FakeDeepgramTTS
from voiceframe.testing.providers.voices_tts import FakeVoice
from voiceframe.testing.run import rig

pytestmark = pytest.mark.real_time

_NO_CACHE = PromptCache(PromptCacheSettings(memory_mb=0))


class TestConformance(TTSConformance):
    change = ("voice", "aura-2-apollo-en")

    def fake(self) -> FakeVoice:
        return FakeDeepgramTTS()

    def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
        return DeepgramTTS(DeepgramTTSSettings(**settings), place=Place(fake.url), api_key=fake.key)


class TestConformanceAtAnotherPace(TestConformance):
    """The words of a voice that is slower than the estimate are still all said, if not to the sample."""

    inexact = 8 * 80 * 11 * 4

    def fake(self) -> FakeVoice:
        return FakeDeepgramTTS(char_ms=80)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("DEEPGRAM_API_KEY"), reason="DEEPGRAM_API_KEY is not set")
async def test_live() -> None:
    await spoken(DeepgramTTS(cache=_NO_CACHE))


def voice(fake: FakeDeepgramTTS, **settings: Any) -> DeepgramTTS:
    place = Place(fake.url, {"x-team": "ops"}, {"tag": "a b"})
    return DeepgramTTS(DeepgramTTSSettings(**settings), place=place, api_key="key", cache=_NO_CACHE)


async def test_what_is_asked_of_the_vendor() -> None:
    async with FakeDeepgramTTS() as fake:
        await spoken(voice(fake, voice="aura-2-thalia-en", speed=1.1, keep_out=True), "Hello there. Bye!")
        (asked,) = fake.asked
        assert asked.path == "/v1/speak"
        assert asked.query == {
            "model": "aura-2-thalia-en",
            "encoding": "mulaw",
            "sample_rate": "8000",
            "speed": "1.1",
            "mip_opt_out": "true",
            "tag": "a b",
        }
        assert asked.headers["x-team"] == "ops"
        assert "sec-websocket-extensions" not in asked.headers
        assert [json.loads(message) for message in fake.sockets[0].received] == [
            {"type": "Speak", "text": "Hello there."},
            {"type": "Speak", "text": " Bye!"},
            {"type": "Flush"},
        ]


async def test_phonemes_are_given_in_the_vendors_own_form() -> None:
    async with FakeDeepgramTTS() as fake:
        await spoken(voice(fake, lexicon=("Nova=/ˈnoʊvə/",)), "Hello Nova.")
        assert fake.texts == ['Hello {"word": "Nova", "pronounce": "ˈnoʊvə"}.']
        await spoken(voice(fake, voice="aura-asteria-en", lexicon=("Nova=/ˈnoʊvə/",)), "Hello Nova.")
        assert fake.texts[-1] == "Hello Nova."


async def test_a_reply_that_another_one_waits_for_is_flushed_and_goes_on_behind_it() -> None:
    async with FakeDeepgramTTS() as fake, rig(voice(fake)) as call:
        call.push(ReplyStartedFrame(1), TextFrame("Let me see. Well", 1))
        call.push(ReplyStartedFrame(2), TextFrame("One moment.", 2), ReplyEndedFrame(2))
        await ended(call, 2)
        call.push(TextFrame(" then.", 1), ReplyEndedFrame(1))
        await ended(call, 1)
        sent = [json.loads(message) for message in fake.sockets[0].received]
        assert [message.get("text", message["type"]) for message in sent] == [
            "Let me see.",
            "Flush",
            "One moment.",
            "Flush",
            " Well then.",
            "Flush",
        ]
        assert len([frame for frame in call.result.down if isinstance(frame, ReplyEndedFrame)]) == 2


async def test_what_comes_between_clear_and_its_answer_is_of_nobody() -> None:
    async with FakeDeepgramTTS(pause_ms=10) as fake, rig(tts := voice(fake)) as call:
        number = call.source.begin_reply()
        call.push(ReplyStartedFrame(number), TextFrame("A long sentence to be cut in its midst.", number))
        call.push(ReplyEndedFrame(number))
        await until(lambda: any(isinstance(frame, OutputAudioFrame) for frame in call.result.down))
        call.call.interrupt()
        following = call.source.begin_reply()
        call.push(ReplyStartedFrame(following), TextFrame("Yes.", following), ReplyEndedFrame(following))
        await ended(call, following)
        sound = b"".join(
            frame.audio.data
            for frame in call.result.down
            if isinstance(frame, OutputAudioFrame) and frame.reply == following
        )
        assert sound == fake.sound("Yes.", tts.format)
        assert fake.cancelled == [""]


async def test_the_key_is_in_no_error() -> None:
    async with FakeDeepgramTTS() as fake:
        tts = DeepgramTTS(place=Place(fake.url), api_key="secret-and-wrong", cache=_NO_CACHE)
        async with rig(tts) as call:
            await until(lambda: call.result.errors)
            assert "secret-and-wrong" not in str([event.data for event in call.result.events])
            assert "secret-and-wrong" not in str([error.__cause__ for error in call.result.errors])
            assert call.result.errors


def test_without_a_key_there_is_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="DEEPGRAM_API_KEY"):
        DeepgramTTS()


class Slow:
    """A client of the SDK whose socket takes its time."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.free = asyncio.Event()

    async def send_text(self, message: Any) -> None:
        self.sent.append(message.text)
        await self.free.wait()

    async def send_flush(self) -> None:
        self.sent.append("flush")
        await self.free.wait()

    async def send_clear(self) -> None:
        self.sent.append("clear")
        await self.free.wait()


async def test_a_reply_that_is_cancelled_while_its_text_is_sent_leaves_the_next_one_whole() -> None:
    client = Slow()
    stream = DeepgramStream(client, None, PCMU_8K)
    first = asyncio.ensure_future(stream.send(1, "One."))
    await asyncio.sleep(0)
    await stream.send(1, " Two.")
    await stream.flush(1)
    await stream.send(2, "Three.")
    await stream.flush(2)
    cancelled = asyncio.ensure_future(stream.cancel(1))
    await asyncio.sleep(0)
    client.free.set()
    await asyncio.gather(first, cancelled)
    assert client.sent == ["One.", "clear", "Three.", "flush"]
