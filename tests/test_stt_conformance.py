"""Each vendor by its SDK, on the local server of that vendor: whatever breaks, no word is lost or comes twice."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from voiceframe.processors.stt import (
    CartesiaSTT,
    CartesiaTurnsSTT,
    CloudSTT,
    DeepgramFluxSettings,
    DeepgramFluxSTT,
    DeepgramSTT,
    ElevenLabsSTT,
    OpenAISTT,
    STTSettings,
)
from voiceframe.processors.stt.session import Session
from voiceframe.provider import Place
from voiceframe.testing.conformance_stt import Made, check_stt, listen
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.hearing import FakeRecognizer
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT


def of(cls: Callable[..., CloudSTT], *arguments: object) -> Made:
    def make(place: Place, key: str, settings: STTSettings) -> CloudSTT:
        return cls(*arguments, stt=settings, place=place, api_key=key)

    return make


VENDORS: dict[str, tuple[Made, Callable[[], FakeRecognizer]]] = {
    "deepgram": (of(DeepgramSTT), FakeDeepgramSTT),
    "deepgram-flux": (of(DeepgramFluxSTT), FakeDeepgramSTT),
    "deepgram-flux-vad": (of(DeepgramFluxSTT, DeepgramFluxSettings(turns="vad")), FakeDeepgramSTT),
    "openai": (of(OpenAISTT), FakeOpenAISTT),
    "elevenlabs": (of(ElevenLabsSTT), FakeElevenLabsSTT),
    "cartesia": (of(CartesiaSTT), FakeCartesiaSTT),
    "cartesia-turns": (of(CartesiaTurnsSTT), FakeCartesiaSTT),
}


@pytest.mark.real_time
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_conforms(vendor: str) -> None:
    make, fake = VENDORS[vendor]
    (await check_stt(make, fake, every=15, at_once=24)).assert_passed()


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_conforms_at_every_boundary(vendor: str) -> None:
    make, fake = VENDORS[vendor]
    (await check_stt(make, fake)).assert_passed()


@pytest.mark.real_time
async def test_one_that_says_words_twice_does_not_conform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_cover", lambda *_, **__: None)
    found = await check_stt(of(DeepgramSTT), FakeDeepgramSTT, every=9)
    with pytest.raises(AssertionError, match=r"cut after 18: heard .'one two three one two three four'"):
        found.assert_passed()


LIVE = {
    "deepgram": ("DEEPGRAM_API_KEY", DeepgramSTT),
    "deepgram-flux": ("DEEPGRAM_API_KEY", DeepgramFluxSTT),
    "openai": ("OPENAI_API_KEY", OpenAISTT),
    "elevenlabs": ("ELEVENLABS_API_KEY", ElevenLabsSTT),
    "cartesia": ("CARTESIA_API_KEY", CartesiaSTT),
    "cartesia-turns": ("CARTESIA_API_KEY", CartesiaTurnsSTT),
}


@pytest.mark.live
@pytest.mark.real_time
@pytest.mark.parametrize("vendor", LIVE)
async def test_the_real_service_understands_a_sentence(vendor: str) -> None:
    variable, cls = LIVE[vendor]
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    heard = await listen(cls(), "I would like an appointment on Thursday at ten.")
    assert {"appointment", "thursday"} <= {word.strip(".,").lower() for word in heard.split()}
