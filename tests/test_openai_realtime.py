"""OpenAI Realtime, by the official SDK on a local server."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import TypeAdapter

from voiceframe.audio import PCMU_8K, AudioFormat
from voiceframe.errors import ProviderError
from voiceframe.processors import OpenAIRealtime, OpenAIRealtimeSettings
from voiceframe.processors.realtime import Realtime, RealtimeConfig, RealtimeSettings
from voiceframe.processors.realtime.openai import VOICES
from voiceframe.provider import Place
from voiceframe.testing.conformance_realtime import RealtimeConformance, conversation
from voiceframe.testing.providers.openai_realtime import FakeOpenAIRealtime
from voiceframe.testing.providers.scripts import Answer
from voiceframe.tools import ToolContext, tool


@pytest.mark.real_time
class TestOpenAIRealtime(RealtimeConformance):
    def fake(self, *answers: Answer) -> FakeOpenAIRealtime:
        return FakeOpenAIRealtime(answers or ("Hello there.",))

    def realtime(self, url: str, **more: Any) -> Realtime:
        return OpenAIRealtime("Be kind.", place=Place(url + "/v1"), api_key="key", **more)


@pytest.fixture(scope="module")
def session_type() -> TypeAdapter[Any]:
    from openai.types.realtime.realtime_session_create_request_param import RealtimeSessionCreateRequestParam

    return TypeAdapter(RealtimeSessionCreateRequestParam)


def _session(**options: Any) -> dict[str, Any]:
    model = OpenAIRealtime("Be kind.", api_key="key", options=OpenAIRealtimeSettings(**options))
    return model.session(RealtimeConfig(PCMU_8K, "Be kind."))


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_turns_by_meaning(eagerness: Any, session_type: TypeAdapter[Any]) -> None:
    session = _session(eagerness=eagerness, noise_reduction="far_field", language="de", prompt="Dr. Jäger")
    heard = session["audio"]["input"]
    assert heard["turn_detection"]["eagerness"] == eagerness
    assert heard["transcription"] == {"model": "gpt-transcribe", "language": "de", "prompt": "Dr. Jäger"}
    assert heard["noise_reduction"] == {"type": "far_field"}
    session_type.validate_python(session)


def test_turns_by_silence_and_of_ones_own(session_type: TypeAdapter[Any]) -> None:
    session = _session(turn_detection="server_vad", idle_timeout_ms=6_000, max_tokens=99)
    detection = session["audio"]["input"]["turn_detection"]
    assert (detection["threshold"], detection["silence_duration_ms"], detection["prefix_padding_ms"]) == (0.5, 500, 300)
    assert detection["idle_timeout_ms"] == 6_000
    assert session["max_output_tokens"] == 99
    session_type.validate_python(session)
    own = OpenAIRealtime(api_key="key", options=OpenAIRealtimeSettings(turn_detection="own", noise_reduction="off"))
    heard = own.session(RealtimeConfig(PCMU_8K, own_turns=True))["audio"]["input"]
    assert (heard["turn_detection"], heard["noise_reduction"]) == (None, None)
    assert (own.own_turns, own.decides_interruptions) == (True, False)
    assert OpenAIRealtime(api_key="key").decides_interruptions


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = OpenAIRealtimeSettings()
    assert (settings.turn_detection, settings.eagerness) == ("semantic_vad", "medium")
    assert (settings.threshold, settings.silence_ms, settings.prefix_ms) == (0.5, 500, 300)


@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_is_taken(voice: str, session_type: TypeAdapter[Any]) -> None:
    session = _session(voice=voice)
    assert session["audio"]["output"]["voice"] == voice
    session_type.validate_python(session)


def test_a_voice_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(ProviderError, match="marin") as caught:
        OpenAIRealtime(api_key="key", options=OpenAIRealtimeSettings(voice="marine"))
    assert caught.value.code == "provider.unknown"
    with pytest.raises(ProviderError, match="cedar"):
        _session(model="gpt-4o-realtime-preview", voice="cedar")
    assert _session(voice="voice_123")["audio"]["output"]["voice"] == {"id": "voice_123"}


@pytest.mark.parametrize(
    ("format", "name"),
    [
        (PCMU_8K, "audio/pcmu"),
        (AudioFormat("alaw", 8_000), "audio/pcma"),
        (AudioFormat("pcm_s16le", 24_000), "audio/pcm"),
    ],
)
def test_formats(format: AudioFormat, name: str, session_type: TypeAdapter[Any]) -> None:
    session = OpenAIRealtime(api_key="key").session(RealtimeConfig(format))
    assert session["audio"]["input"]["format"]["type"] == session["audio"]["output"]["format"]["type"] == name
    session_type.validate_python(session)


def test_by_name() -> None:
    assert isinstance(Realtime.by_name(api_key="key"), OpenAIRealtime)
    assert Realtime.by_name("openai", "Be brief.", api_key="key").instructions == "Be brief."
    with pytest.raises(ProviderError, match="openai"):
        Realtime.by_name("opnai")


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
async def test_the_real_service_says_what_it_is_asked_to() -> None:
    model = OpenAIRealtime("Be brief.", greeting="A pear.", settings=RealtimeSettings(warm_ms=9_000))
    async with conversation(model) as talk:
        await talk.replied(within_s=20)
        assert "pear" in talk.replies[0][1].casefold()
        assert talk.sound_ms() > 300
        model.send("Say the word apple, and nothing else.", "user", respond=True)
        await talk.replied(2, within_s=20)
        assert "apple" in talk.replies[1][1].casefold()


def test_a_tool_that_wants_agreement_is_refused() -> None:
    @tool(confirm=True)
    async def pay(ctx: ToolContext, amount: int) -> str:
        """Pay."""
        return ""

    with pytest.raises(ProviderError, match="pay") as caught:
        OpenAIRealtime(api_key="key", tools=[pay])
    assert caught.value.code == "provider.unsupported"
