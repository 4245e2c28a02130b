"""The API key of a recognizer or a voice is in no error, event, log line or repr, whatever the vendor answers."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import until
from voiceframe.audio import PCMU_8K, Audio
from voiceframe.errors import ProviderError
from voiceframe.frames import (
    InputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    VADUserStartedSpeakingFrame,
)
from voiceframe.processors import CartesiaTTS, DeepgramTTS, ElevenLabsTTS, OpenAITTS
from voiceframe.processors.stt import (
    CartesiaSTT,
    CartesiaTurnsSTT,
    DeepgramFluxSTT,
    DeepgramSTT,
    ElevenLabsSTT,
    OpenAISTT,
)
from voiceframe.provider import Place, Vendor, api_key, has_secret, redacted, typed
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.deepgram_tts import FakeDeepgramTTS
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.elevenlabs_tts import FakeElevenLabsTTS
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT
from voiceframe.testing.providers.openai_tts import FakeOpenAITTS
from voiceframe.testing.run import rig

KEY = "sk-1234567890-secret"
ACME = Vendor("acme", "ACME_API_KEY", "acme", "https://acme.test")

VENDORS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "cartesia-stt": (CartesiaSTT, FakeCartesiaSTT),
    "cartesia-turns": (CartesiaTurnsSTT, FakeCartesiaSTT),
    "deepgram-stt": (DeepgramSTT, FakeDeepgramSTT),
    "deepgram-flux": (DeepgramFluxSTT, FakeDeepgramSTT),
    "elevenlabs-stt": (ElevenLabsSTT, FakeElevenLabsSTT),
    "openai-stt": (OpenAISTT, FakeOpenAISTT),
    "cartesia-tts": (CartesiaTTS, FakeCartesiaTTS),
    "deepgram-tts": (DeepgramTTS, FakeDeepgramTTS),
    "elevenlabs-tts": (ElevenLabsTTS, FakeElevenLabsTTS),
    "openai-tts": (OpenAITTS, FakeOpenAITTS),
}


@pytest.mark.real_time
@pytest.mark.parametrize("status", [400, 401, 429])
@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_key_is_nowhere(
    vendor: str, status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, fake_of = VENDORS[vendor]
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="voiceframe")
    monkeypatch.setattr(logging.getLogger("voiceframe"), "propagate", True)
    async with fake_of(key=KEY if status != 401 else "another") as fake:
        body = f'{{"error": {{"message": "the key {KEY} is not liked"}}}}'
        fake.faults.extend([Fault(status=status, retry_after_ms=60_000, body=body)] * 3)
        url = f"{fake.url}/v1" if vendor == "openai-tts" else fake.url
        processor = cls(place=Place(url, headers={"x-token": KEY}), api_key=KEY)
        async with rig(processor) as call:
            if vendor.endswith("tts"):
                number = call.source.begin_reply()
                call.push(ReplyStartedFrame(number), TextFrame("Hello.", number), ReplyEndedFrame(number))
            else:
                call.push(VADUserStartedSpeakingFrame(), InputAudioFrame(Audio(bytes(160), PCMU_8K)))
            if status == 429:
                await until(lambda: any(event.kind == "provider.lost" for event in call.result.events))
            else:
                await until(lambda: call.result.errors)
        written = [repr(event) + str(event.data) for event in call.result.events]
        for error in call.result.errors:
            written += [str(error), repr(error), *traceback.format_exception(error)]
        assert any("provider." in each for each in written)
        written += [repr(processor), repr(processor.place), str(vars(processor).get("options", ""))]
        assert status == 429 or any(record.name.startswith("voiceframe") for record in caplog.records)
        records = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
        formatter = logging.Formatter()
        written += [formatter.format(record) for record in records]
        assert [each for each in written if KEY in each] == []


def test_an_error_that_repeats_the_key_is_told_without_it() -> None:
    key = api_key(ACME, " sk-of-acme-0987654321\n", "AcmeTTS")
    assert key == "sk-of-acme-0987654321"
    error = typed(ValueError(f"Illegal header value b'Bearer {key}'"), ACME, "AcmeTTS")
    assert key not in str(error)
    assert "[key]" in str(error)
    assert redacted(f"a {key} b") == "a [key] b"


def test_a_short_key_is_a_word_and_stays() -> None:
    api_key(ACME, "word", "AcmeTTS")
    assert redacted("a word") == "a word"


def test_what_led_to_an_error_is_left_out_if_the_key_is_in_it() -> None:
    key = api_key(ACME, "sk-of-acme-0987654321", "AcmeTTS")
    inner = ValueError(key)
    outer = RuntimeError("outer")
    outer.__context__ = inner
    assert has_secret(outer)
    assert not has_secret(RuntimeError("outer"))
    ours = ProviderError.of("provider.protocol", vendor="acme", detail="?", extra="acme")
    ours.__cause__ = outer
    assert typed(ours, ACME, "AcmeTTS").__cause__ is None
    ours.__cause__ = plain = RuntimeError("outer")
    assert typed(ours, ACME, "AcmeTTS").__cause__ is plain
    assert repr(Place("http://x", {"authorization": key}, {"token": key})) == "Place(url='http://x')"
