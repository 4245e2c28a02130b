"""Cartesia Ink, told and with turns of its own, by the SDK, on a local server."""

from __future__ import annotations

import json

import pytest

from tests.stt_line import QUICK, Line
from voiceframe.frames import (
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    UpdateSettingsFrame,
)
from voiceframe.processors.stt import CartesiaSTT, CartesiaTurnsSettings, CartesiaTurnsSTT
from voiceframe.provider import Place
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.run import rig


@pytest.mark.real_time
async def test_ink_is_asked_for_what_the_settings_say() -> None:
    async with FakeCartesiaSTT() as fake:
        stt = CartesiaSTT(stt=QUICK, place=Place(fake.url), api_key="key", hints=["Voiceframe", "x" * 1_200])
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("one two three four"))
            await line.until(lambda: bool(line.texts))
            assert [frame.text for frame in line.of(InterimTranscriptionFrame)][:2] == ["one", "one two"]
            assert line.texts == ["one two three four"]
        query = fake.asked[0].query
    assert query == {
        "encoding": "pcm_mulaw",
        "model": "ink-2",
        "sample_rate": "8000",
        "language": "en",
        "keyterm": "Voiceframe",
    }


@pytest.mark.real_time
async def test_ink_says_when_a_turn_probably_ends_goes_on_and_ends() -> None:
    settings = CartesiaTurnsSettings(end_threshold=0.3)
    async with FakeCartesiaSTT() as fake:
        stt = CartesiaTurnsSTT(settings, QUICK, place=Place(fake.url), api_key="key")
        async with rig(stt) as call:
            line = Line(call)
            await line.audio(sound("on thursday", before_ms=100, after_ms=260))
            await line.audio(sound("at ten", after_ms=600))
            await line.until(lambda: bool(line.of(STTTurnEndedFrame)), silence=True)
            kinds = (STTEagerTurnFrame, STTTurnResumedFrame, STTTurnEndedFrame)
            assert [getattr(frame, "text", "") for frame in line.of(*kinds)] == [
                "on thursday",
                "",
                "on thursday at ten",
                "on thursday at ten",
            ]
            assert line.texts == ["on thursday at ten"]
            call.push(UpdateSettingsFrame("CartesiaTurnsSTT", {"end_threshold": 0.1}))
            told = fake.sockets[0].received
            await line.until(lambda: any(isinstance(message, str) for message in told))
            asked = next(json.loads(message) for message in told if isinstance(message, str))
            assert asked == {"type": "config", "turn": {"end_threshold": 0.1}}
        assert fake.asked[0].query["turn_end_threshold"] == "0.3"


@pytest.mark.real_time
async def test_with_a_vad_each_stretch_of_speech_has_its_words_before_the_turn_ends() -> None:
    async with FakeCartesiaSTT(end_ms=5_000) as fake:
        stt = CartesiaTurnsSTT(stt=QUICK, place=Place(fake.url), api_key="key")
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("i would like"))
            await line.until(lambda: len(line.texts) == 1)
            await line.speaks(sound("an appointment"))
            await line.until(lambda: len(line.texts) == 2)
            assert line.texts == ["i would like", "an appointment"]
            await line.audio(sound("", after_ms=5_200))
            await line.until(lambda: bool(line.of(STTTurnEndedFrame)), silence=True)
            assert line.of(STTTurnEndedFrame)[0].text == "i would like an appointment"
