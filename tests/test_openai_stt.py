"""OpenAI's transcription sessions, by the SDK, on a local server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stt_line import QUICK, Line
from voiceframe.frames import (
    ExpectFrame,
    InterimTranscriptionFrame,
    UpdateSettingsFrame,
)
from voiceframe.processors.stt import OpenAISTT, OpenAISTTSettings
from voiceframe.processors.stt.openai import _failure
from voiceframe.provider import Place, Vendor, typed
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT
from voiceframe.testing.run import rig


@pytest.mark.real_time
async def test_the_session_is_what_the_settings_say_and_changes_while_it_runs() -> None:
    settings = OpenAISTTSettings(language="de-CH", noise_reduction="far_field")
    async with FakeOpenAISTT() as fake:
        stt = OpenAISTT(settings, QUICK, place=Place(fake.url), api_key="key", hints=["Voiceframe"])
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("one two three"))
            await line.until(lambda: bool(line.texts))
            assert [frame.text for frame in line.of(InterimTranscriptionFrame)][:2] == ["one", "one two"]
            assert fake.session == {
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcmu"},
                        "transcription": {
                            "model": "gpt-live-transcribe",
                            "language": "de",
                            "keywords": ["Voiceframe"],
                        },
                        "turn_detection": None,
                        "noise_reduction": {"type": "far_field"},
                    }
                },
            }
            call.up(ExpectFrame(phrases=("Thursday",)))

            def transcription() -> Any:
                return fake.session["audio"]["input"]["transcription"]

            await line.until(lambda: transcription()["keywords"] == ["Voiceframe", "Thursday"])
            call.push(UpdateSettingsFrame("OpenAISTT", {"language": "fr"}))
            await line.until(lambda: transcription()["language"] == "fr")
            assert len(fake.sockets) == 1


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("gpt-transcribe", {"keywords": ["a", "b"], "prompt": "a clinic"}),
        ("gpt-4o-transcribe", {"prompt": "a clinic Words that may be said: a, b."}),
        ("whisper-1", {"prompt": "a clinic a, b"}),
        ("gpt-realtime-whisper", {"prompt": "a clinic"}),
    ],
)
def test_each_model_is_given_hints_in_its_own_field(model: str, given: dict[str, Any]) -> None:
    stt = OpenAISTT(OpenAISTTSettings(model=model, prompt="a clinic"), api_key="key", hints=["a", "b"])
    assert stt.transcription(stt.hints) == {"model": model, "language": "en", **given}


@pytest.mark.real_time
async def test_too_little_audio_is_no_words() -> None:
    async with FakeOpenAISTT() as fake, rig(OpenAISTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("", after_ms=60))
        await line.until(lambda: bool(line.texts))
        await line.speaks(sound("hello"))
        await line.until(lambda: len(line.texts) == 2)
        assert line.texts == ["", "hello"]
        assert not call.events("provider.lost")


class _Said:
    def __init__(self, code: str, type: str) -> None:
        self.code, self.type, self.message = code, type, "no"


@pytest.mark.parametrize(
    ("code", "kind", "error"),
    [
        ("invalid_api_key", "invalid_request_error", "provider.auth"),
        ("rate_limit_exceeded", "invalid_request_error", "provider.rate-limit"),
        ("", "server_error", "provider.server"),
        ("session_expired", "invalid_request_error", "provider.connection"),
        ("invalid_value", "invalid_request_error", "provider.request"),
    ],
)
def test_errors_of_openais_have_a_type(code: str, kind: str, error: str) -> None:
    found = typed(_failure(_Said(code, kind), 400), Vendor("openai", "OPENAI_API_KEY", "openai", ""), "OpenAISTT")
    assert found.code == error


@pytest.mark.real_time
@pytest.mark.parametrize(("model", "tokens"), [("gpt-transcribe", 4), ("gpt-realtime-whisper", 0)])
async def test_tokens_that_the_vendor_counts_are_told(model: str, tokens: int) -> None:
    settings = OpenAISTTSettings(model=model)
    async with (
        FakeOpenAISTT() as fake,
        rig(OpenAISTT(settings, stt=QUICK, place=Place(fake.url), api_key="key")) as call,
    ):
        line = Line(call)
        await line.speaks(sound("hello there you"))
        await line.until(lambda: bool(line.texts), silence=True)
        (usage,) = [event.data for event in call.events("provider.usage")]
        assert (usage["audio_tokens"], usage["input_tokens"]) == (tokens, tokens)
        assert (usage["output_tokens"] > 0) == (tokens > 0)
        assert (usage["cost_usd"] is not None) == (tokens == 0)  # whose price is by the minute, and known
