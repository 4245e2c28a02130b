"""ElevenLabs' voices, against a local server that speaks their protocol."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import ended, until
from voiceframe.audio import PCMU_8K
from voiceframe.clock import run_virtual
from voiceframe.errors import ProviderError
from voiceframe.frames import OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processors import ElevenLabsTTS, ElevenLabsTTSSettings
from voiceframe.processors.tts import TTS, Chunk, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.elevenlabs import ElevenLabsStream
from voiceframe.provider import Place
from voiceframe.testing.conformance_tts import TTSConformance, spoken
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.elevenlabs_tts import FakeElevenLabsTTS
from voiceframe.testing.providers.voices_tts import FakeVoice
from voiceframe.testing.run import rig

pytestmark = pytest.mark.real_time

_NO_CACHE = PromptCache(PromptCacheSettings(memory_mb=0))


class TestConformance(TTSConformance):
    def fake(self) -> FakeVoice:
        return FakeElevenLabsTTS()

    def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
        return ElevenLabsTTS(ElevenLabsTTSSettings(**settings), place=Place(fake.url), api_key=fake.key)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("ELEVENLABS_API_KEY"), reason="ELEVENLABS_API_KEY is not set")
async def test_live() -> None:
    await spoken(ElevenLabsTTS(cache=_NO_CACHE))


def voice(fake: FakeElevenLabsTTS, **settings: Any) -> ElevenLabsTTS:
    place = Place(fake.url, {"x-team": "ops"}, {"inactivity_timeout": "60"})
    return ElevenLabsTTS(ElevenLabsTTSSettings(**settings), place=place, api_key="key", cache=_NO_CACHE)


async def test_what_is_asked_of_the_vendor() -> None:
    async with FakeElevenLabsTTS() as fake:
        tts = voice(fake, voice="other", language="de", stability=0.4, speed=1.1, speaker_boost=False, logging=False)
        await spoken(tts, "Guten Tag. Bis bald!")
        (asked,) = fake.asked
        assert asked.path == "/v1/text-to-speech/other/multi-stream-input"
        assert asked.query == {
            "model_id": "eleven_flash_v2_5",
            "output_format": "ulaw_8000",
            "auto_mode": "true",
            "sync_alignment": "true",
            "inactivity_timeout": "60",
            "apply_text_normalization": "auto",
            "language_code": "de",
            "enable_logging": "false",
        }
        assert asked.headers["x-team"] == "ops"
        assert "sec-websocket-extensions" not in asked.headers
        id = "1-1"
        assert [json.loads(message) for message in fake.sockets[0].received] == [
            {
                "text": " ",
                "context_id": id,
                "voice_settings": {"stability": 0.4, "use_speaker_boost": False, "speed": 1.1},
            },
            {"text": "Guten Tag. ", "context_id": id},
            {"text": "Bis bald! ", "context_id": id},
            {"context_id": id, "flush": True},
            {"context_id": id, "close_context": True},
        ]


async def test_words_that_end_in_another_message_are_whole() -> None:
    async with FakeElevenLabsTTS() as fake:
        fake.whole = False
        tts = voice(fake)
        result = await spoken(tts, "Good morning to you all.")
        frames = [frame for frame in result.down if isinstance(frame, OutputAudioFrame)]
        assert [word.text for frame in frames for word in frame.words] == ["Good", " morning", " to", " you", " all."]
        assert b"".join(frame.audio.data for frame in frames) == fake.sound("Good morning to you all.", tts.format)


async def test_a_word_that_was_cut_in_two_is_said_again_from_its_beginning() -> None:
    async with FakeElevenLabsTTS() as fake:
        fake.whole = False
        fake.faults.append(Fault(cut_after=7))  # after four of the client's, "Go", "od" and "morn"
        tts = voice(fake)
        await spoken(tts, "Good morning to you all.")
        assert fake.texts == ["Good morning to you all. ", "morning to you all. "]


async def test_phonemes_are_given_to_models_that_read_them() -> None:
    async with FakeElevenLabsTTS() as fake:
        await spoken(voice(fake, model="eleven_flash_v2", lexicon=("Nova=/ˈnoʊvə/",)), "Nova & Ida.")
        assert fake.texts == ['<phoneme alphabet="ipa" ph="ˈnoʊvə">Nova</phoneme> &amp; Ida. ']
        assert fake.asked[0].query["enable_ssml_parsing"] == "true"
        await spoken(voice(fake, lexicon=("Nova=/ˈnoʊvə/",)), "Nova & Ida.")
        assert fake.texts[-1] == "Nova & Ida. "
        assert "enable_ssml_parsing" not in fake.asked[1].query


async def test_a_voice_that_there_is_not_is_told_with_the_vendors_reason() -> None:
    async with FakeElevenLabsTTS() as fake, rig(voice(fake, voice="nobody")) as call:
        call.push(ReplyStartedFrame(1), TextFrame("Hello.", 1), ReplyEndedFrame(1))
        await ended(call, 1)
        error = call.result.errors[0]
        assert isinstance(error, ProviderError)
        assert (error.code, error.retryable) == ("provider.request", False)
        assert "nobody does not exist" in error.message
        assert any(isinstance(frame, ReplyEndedFrame) for frame in call.result.down)


async def test_a_socket_that_is_closed_for_idleness_is_replaced_before_it_is_missed() -> None:
    async with FakeElevenLabsTTS() as fake:
        fake.idle_ms = 100
        tts = voice(fake)
        async with rig(tts) as call:
            await until(lambda: len(fake.sockets) == 2)
            fake.idle_ms = None
            call.push(ReplyStartedFrame(1), TextFrame("Hello.", 1), ReplyEndedFrame(1))
            await ended(call, 1)
            assert not call.result.errors
            assert any(isinstance(frame, ReplyEndedFrame) for frame in call.result.down)
            (lost,) = [event.data for event in call.result.events if event.kind == "provider.lost"]
            assert (lost["code"], lost["retry_ms"]) == ("provider.connection", 0)
            assert len(fake.sockets) == 2


@pytest.mark.parametrize(
    ("reason", "code", "retryable"),
    [
        ("invalid_api_key", "provider.auth", False),
        ("quota_exceeded", "provider.request", False),
        ("too_many_concurrent_requests", "provider.rate-limit", True),
        ("system_busy", "provider.server", True),
        ("input_timeout_exceeded", "provider.connection", True),
        ("anything_else", "provider.request", False),
    ],
)
async def test_what_the_vendor_says_is_typed(reason: str, code: str, retryable: bool) -> None:
    stream = ElevenLabsStream(None, PCMU_8K, {})
    with pytest.raises(ProviderError) as caught:
        stream.take(json.dumps({"message": f"It says {reason}.", "error": reason, "code": 1008}))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


class _Socket:
    async def send(self, message: str) -> None:
        pass


async def test_messages_are_taken_for_what_they_are() -> None:
    stream = ElevenLabsStream(_Socket(), PCMU_8K, {})
    await stream.send(1, "Hi.")
    stream.take('{"news": true, "contextId": "1-1"}')
    stream.take('{"audio": "AAAA", "contextId": "gone"}')
    stream.take('{"audio": "AAAA", "contextId": "1-1", "alignment": null}')
    assert list(stream._items) == [Chunk(1, bytes(3))]
    for malformed in ("[]", "no", '{"audio": "=", "contextId": "1-1"}', '{"audio": 7, "contextId": "1-1"}'):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            stream.take(malformed)
    uneven = {"chars": ["H"], "charStartTimesMs": [], "charDurationsMs": [1]}
    with pytest.raises(ValueError, match="zip"):
        stream.take(json.dumps({"audio": "AAAA", "contextId": "1-1", "alignment": uneven}))


_TIMES = st.lists(st.integers(-5, 500) | st.none(), max_size=4)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "contextId": st.sampled_from(["1-1", "gone", None, 7]),
                "audio": st.sampled_from(["AAAA", "=", None, 7, ""]),
                "isFinal": st.sampled_from([True, None]),
                "alignment": st.none()
                | st.fixed_dictionaries(
                    {
                        "chars": st.lists(st.sampled_from(["H", " ", "é", "i"]), max_size=4),
                        "charStartTimesMs": _TIMES,
                        "charDurationsMs": _TIMES,
                    }
                ),
            },
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_taken_or_refused_and_nothing_else_happens(events: list[dict[str, Any]]) -> None:
    async def live() -> None:
        stream = ElevenLabsStream(_Socket(), PCMU_8K, {})
        await stream.send(1, "Hi.")
        for event in events:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                stream.take(json.dumps(event))
        assert all(item.reply == 1 for item in stream._items)
        for item in stream._items:
            assert all(word.start_ms >= 0 and word.text for word in getattr(item, "words", ()))

    run_virtual(live())


def test_without_a_key_there_is_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="ELEVENLABS_API_KEY"):
        ElevenLabsTTS()
