"""ElevenLabs Scribe, by the SDK, on a local server."""

from __future__ import annotations

import pytest

from tests.stt_line import QUICK, Line
from voiceframe.frames import (
    ExpectFrame,
    TranscriptionFrame,
)
from voiceframe.processors.stt import ElevenLabsSTT, ElevenLabsSTTSettings
from voiceframe.provider import Place
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.run import rig


@pytest.mark.real_time
async def test_scribe_is_asked_for_what_the_settings_say() -> None:
    settings = ElevenLabsSTTSettings(language="de-CH", no_verbatim=True, zero_retention=True)
    async with FakeElevenLabsSTT() as fake:
        stt = ElevenLabsSTT(
            settings, QUICK, place=Place(fake.url), api_key="key", hints=["Voiceframe", "longer than they take it"]
        )
        async with rig(stt) as call:
            line = Line(call)
            await line.speaks(sound("one two"))
            await line.until(lambda: bool(line.texts))
            await line.speaks(sound("three"))
            await line.until(lambda: len(line.texts) == 2)
            assert line.texts == ["one two", "three"]
            first, second = line.of(TranscriptionFrame)
            assert [word.start_ms - first.words[0].start_ms for word in first.words] == [0, 140]
            assert second.words[0].start_ms == 280
        query = fake.asked[0].query
    wanted = {
        "model_id": "scribe_v2_realtime",
        "audio_format": "ulaw_8000",
        "commit_strategy": "manual",
        "language_code": "de",
        "include_timestamps": "true",
        "no_verbatim": "true",
        "enable_logging": "false",
        "keyterms": "Voiceframe",
    }
    assert query == wanted


@pytest.mark.real_time
async def test_other_hints_are_taken_by_another_connection() -> None:
    async with FakeElevenLabsSTT() as fake, rig(ElevenLabsSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        call.up(ExpectFrame(phrases=("Thursday",)))
        await line.until(lambda: len(fake.sockets) == 2)
        assert fake.asked[1].query["keyterms"] == "Thursday"
        await line.speaks(sound("thursday"))
        await line.until(lambda: len(line.texts) == 2)
        assert line.texts == ["hello", "thursday"]
        assert not call.events("provider.lost")


@pytest.mark.real_time
async def test_too_little_audio_is_no_words() -> None:
    async with FakeElevenLabsSTT() as fake, rig(ElevenLabsSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        await line.speaks(sound("", after_ms=60))
        await line.until(lambda: bool(line.texts))
        assert line.texts == [""]
        assert not call.events("provider.lost")
