"""OpenAI's voices, by the official SDK, against a local server that speaks their protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.waiting import ended, until
from voiceframe.errors import ProviderError
from voiceframe.frames import OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processors import OpenAITTS, OpenAITTSSettings
from voiceframe.processors.tts import TTS, PromptCache, PromptCacheSettings
from voiceframe.provider import Place
from voiceframe.testing.conformance_tts import TTSConformance, spoken
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.openai_tts import FakeOpenAITTS
from voiceframe.testing.providers.voices_tts import FakeVoice
from voiceframe.testing.run import rig

pytestmark = pytest.mark.real_time

_NO_CACHE = PromptCache(PromptCacheSettings(memory_mb=0))


class TestConformance(TTSConformance):
    # Where a sentence is cut is known by an estimate: to a word of ten letters, at 24 kHz.
    inexact = 48 * 11 * 62
    garbles = False
    quiet_after = 0

    def fake(self) -> FakeVoice:
        return FakeOpenAITTS()

    def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
        return OpenAITTS(OpenAITTSSettings(**settings), place=Place(fake.url + "/v1"), api_key=fake.key)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
async def test_live() -> None:
    await spoken(OpenAITTS(cache=_NO_CACHE))


def voice(fake: FakeOpenAITTS, **settings: Any) -> OpenAITTS:
    place = Place(fake.url + "/v1", {"x-team": "ops"}, {"api-version": "7"})
    return OpenAITTS(OpenAITTSSettings(**settings), place=place, api_key="key", cache=_NO_CACHE)


async def test_what_is_asked_of_the_vendor() -> None:
    async with FakeOpenAITTS() as fake:
        await spoken(voice(fake, voice="cedar", instructions="Be calm.", speed=1.1, model="m"), "Hello there. Bye!")
        first, second = [asked for asked in fake.asked if asked.method == "POST"]
        assert first.json() == {
            "model": "m",
            "voice": "cedar",
            "input": "Hello there.",
            "response_format": "pcm",
            "instructions": "Be calm.",
            "speed": 1.1,
        }
        assert second.json()["input"] == "Bye!"
        assert (first.headers["x-team"], dict(first.query)) == ("ops", {"api-version": "7"})


async def test_sentences_are_asked_for_on_a_connection_that_is_there() -> None:
    async with FakeOpenAITTS() as fake:
        tts = voice(fake)
        async with rig(tts) as call:
            await until(lambda: tts._line)
            (pool,) = (tts._http._transport._pool.connections,)
            assert len(pool) == 1
            call.push(ReplyStartedFrame(1), TextFrame("One. Two.", 1), ReplyEndedFrame(1))
            await ended(call, 1)
            assert tts._http._transport._pool.connections == pool
            assert any(isinstance(frame, ReplyEndedFrame) for frame in call.result.down)


async def test_sound_is_whole_samples_and_words_end_with_their_sentence() -> None:
    class Odd(FakeOpenAITTS):
        async def _sound(self, text: str) -> Any:
            for word in self.words(text, tts.produces[0]):
                yield word.audio[:1001]
                yield word.audio[1001:]

    async with Odd(char_ms=40) as fake:
        tts = voice(fake)
        result = await spoken(tts, "One two three. Four.")
        frames = [frame for frame in result.down if isinstance(frame, OutputAudioFrame)]
        assert all(len(frame.audio.data) % 2 == 0 for frame in frames)
        assert b"".join(frame.audio.data for frame in frames) == fake.sound("One two three. Four.", tts.format)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=400, body='{"error": {"message": "unknown voice"}}'), "provider.request"),
        (Fault(status=401), "provider.auth"),
    ],
)
async def test_a_refusal_is_told_once_and_the_next_reply_is_spoken(fault: Fault, code: str) -> None:
    async with FakeOpenAITTS() as fake, rig(voice(fake)) as call:
        fake.faults.append(fault)
        call.push(ReplyStartedFrame(1), TextFrame("One. Two.", 1), ReplyEndedFrame(1))
        call.push(ReplyStartedFrame(2), TextFrame("Three.", 2), ReplyEndedFrame(2))
        await ended(call, 1, 2)
        assert [getattr(error, "code", "") for error in call.result.errors] == [code]
        assert fake.texts[-1] == "Three."
        ends = [frame.reply for frame in call.result.down if isinstance(frame, ReplyEndedFrame)]
        assert ends == [1, 2]


async def test_an_answer_in_json_is_not_played() -> None:
    class Json(FakeOpenAITTS):
        def routes(self, app: Any) -> None:
            async def answer(asked: Any) -> dict[str, Any]:
                return {"audio": "none"}

            app.router.add_post("/v1/audio/speech", self.answering(answer))

    async with Json() as fake, rig(voice(fake)) as call:
        call.push(ReplyStartedFrame(1), TextFrame("One.", 1), ReplyEndedFrame(1))
        await ended(call, 1)
        (error,) = call.result.errors
        assert isinstance(error, ProviderError)
        assert error.code == "provider.protocol"
        assert not [frame for frame in call.result.down if isinstance(frame, OutputAudioFrame)]


def test_without_a_key_there_is_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
        OpenAITTS()
