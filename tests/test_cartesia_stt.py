"""Cartesia Ink, told and with turns of its own, by the SDK, on a local server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import quick
from voiceframe.audio import PCM_16K, PCMU_8K, Audio
from voiceframe.errors import ProviderError
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors.stt import CartesiaSTT, CartesiaTurnsSettings, CartesiaTurnsSTT
from voiceframe.provider import Place
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
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
    async with FakeCartesiaSTT() as fake, rig(CartesiaSTT(stt=QUICK, place=Place(fake.url), api_key="wrong")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        (error,) = call.result.errors
        assert isinstance(error, ProviderError)
        assert error.code == "provider.auth"
        assert "CARTESIA_API_KEY" in error.fix


@pytest.mark.real_time
async def test_url_headers_and_query_can_be_others() -> None:
    async with FakeCartesiaSTT() as fake:
        place = Place(fake.url, headers={"X-Tenant": "seven"}, query={"tag": "mine"})
        async with rig(CartesiaSTT(stt=QUICK, place=place, api_key="key")) as call:
            line = Line(call)
            await line.speaks(sound("hello there"))
            await line.until(lambda: bool(line.texts), silence=True)
            assert line.texts == ["hello there"]
        (asked,) = fake.asked
        assert (asked.headers["x-tenant"], asked.query["tag"]) == ("seven", "mine")
        assert "permessage-deflate" not in asked.headers.get("sec-websocket-extensions", "")


@pytest.mark.real_time
async def test_a_line_of_other_audio_is_converted() -> None:
    async with FakeCartesiaSTT() as fake, rig(CartesiaSTT(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        fake.says.append("what was said")
        await line.speaks(sound("hello there"), wide=True)
        await line.until(lambda: bool(line.texts), silence=True)
        assert line.texts == ["what was said"]


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
