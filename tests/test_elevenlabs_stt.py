"""ElevenLabs Scribe, by the SDK, on a local server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import quick
from voiceframe.audio import PCM_16K, PCMU_8K, Audio
from voiceframe.errors import ProviderError
from voiceframe.frames import (
    ExpectFrame,
    Frame,
    InputAudioFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors.stt import ElevenLabsSTT, ElevenLabsSTTSettings
from voiceframe.provider import Place
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.run import Rig, rig


class Line:
    """A caller, faster than real time."""

    def __init__(self, call: Rig) -> None:
        self.call = call
        self.at_ms = 0

    async def audio(self, data: bytes, *, wide: bool = False) -> None:
        for at in range(0, len(data), 160):
            piece = Audio(data[at : at + 160], PCMU_8K)
            self.at_ms += 20
            self.call.push(InputAudioFrame(Audio(piece.pcm(16_000), PCM_16K) if wide else piece, at_ms=self.at_ms))
            await asyncio.sleep(0.001)

    async def speaks(self, data: bytes, **how: bool) -> None:
        self.call.push(VADUserStartedSpeakingFrame(began_ms=self.at_ms))
        await self.audio(data, **how)
        self.call.push(VADUserStoppedSpeakingFrame(ended_ms=self.at_ms))

    async def until(self, done: Callable[[], bool], *, silence: bool = False) -> None:
        for _ in range(3_000):
            if done():
                return
            if silence:
                await self.audio(sound("", after_ms=20))
            await asyncio.sleep(0.005)
        raise AssertionError([frame for frame in self.call.result.down if not isinstance(frame, InputAudioFrame)])

    def of(self, *kinds: type[Frame]) -> list[Any]:
        return [frame for frame in self.call.result.down if isinstance(frame, kinds)]

    @property
    def texts(self) -> list[str]:
        return [frame.text for frame in self.of(TranscriptionFrame)]


QUICK = quick()


@pytest.mark.real_time
async def test_a_wrong_key_is_told_with_what_to_do() -> None:
    async with (
        FakeElevenLabsSTT() as fake,
        rig(ElevenLabsSTT(stt=QUICK, place=Place(fake.url), api_key="wrong")) as call,
    ):
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        (error,) = call.result.errors
        assert isinstance(error, ProviderError)
        assert error.code == "provider.auth"
        assert "ELEVENLABS_API_KEY" in error.fix


@pytest.mark.real_time
async def test_url_headers_and_query_can_be_others() -> None:
    async with FakeElevenLabsSTT() as fake:
        place = Place(fake.url, headers={"X-Tenant": "seven"}, query={"tag": "mine"})
        async with rig(ElevenLabsSTT(stt=QUICK, place=place, api_key="key")) as call:
            line = Line(call)
            await line.speaks(sound("hello there"))
            await line.until(lambda: bool(line.texts), silence=True)
            assert line.texts == ["hello there"]
        (asked,) = fake.asked
        assert (asked.headers["x-tenant"], asked.query["tag"]) == ("seven", "mine")
        assert "permessage-deflate" not in asked.headers.get("sec-websocket-extensions", "")


@pytest.mark.real_time
async def test_a_line_of_other_audio_is_converted() -> None:
    async with FakeElevenLabsSTT() as fake, rig(ElevenLabsSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        fake.says.append("what was said")
        await line.speaks(sound("hello there"), wide=True)
        await line.until(lambda: bool(line.texts), silence=True)
        assert line.texts == ["what was said"]


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
