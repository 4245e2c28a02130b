"""What each vendor's recognizer does alike: its key, its place, and the audio of any line."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs voiceframe[telephony]")

from tests.stt_line import QUICK, Line
from voiceframe.errors import ProviderError
from voiceframe.processors.stt import CartesiaSTT, DeepgramSTT, ElevenLabsSTT, OpenAISTT
from voiceframe.provider import Place
from voiceframe.testing.providers.cartesia_stt import FakeCartesiaSTT
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.elevenlabs_stt import FakeElevenLabsSTT
from voiceframe.testing.providers.hearing import sound
from voiceframe.testing.providers.openai_stt import FakeOpenAISTT
from voiceframe.testing.run import rig

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.parametrize(
        ("recognizer", "server", "variable"),
        [
            (CartesiaSTT, FakeCartesiaSTT, "CARTESIA_API_KEY"),
            (DeepgramSTT, FakeDeepgramSTT, "DEEPGRAM_API_KEY"),
            (ElevenLabsSTT, FakeElevenLabsSTT, "ELEVENLABS_API_KEY"),
            (OpenAISTT, FakeOpenAISTT, "OPENAI_API_KEY"),
        ],
        ids=["cartesia", "deepgram", "elevenlabs", "openai"],
    ),
]


async def test_a_wrong_key_is_told_with_what_to_do(recognizer: Any, server: Any, variable: str) -> None:
    async with server() as fake, rig(recognizer(stt=QUICK, place=Place(fake.url), api_key="wrong")) as call:
        line = Line(call)
        await line.speaks(sound("hello"))
        await line.until(lambda: bool(line.texts))
        (error,) = call.result.errors
        assert isinstance(error, ProviderError)
        assert error.code == "provider.auth"
        assert variable in error.fix


async def test_url_headers_and_query_can_be_others(recognizer: Any, server: Any, variable: str) -> None:
    async with server() as fake:
        place = Place(fake.url, headers={"X-Tenant": "seven"}, query={"tag": "mine"})
        async with rig(recognizer(stt=QUICK, place=place, api_key="key")) as call:
            line = Line(call)
            await line.speaks(sound("hello there"))
            await line.until(lambda: bool(line.texts), silence=True)
            assert line.texts == ["hello there"]
        (asked,) = fake.asked
        assert (asked.headers["x-tenant"], asked.query["tag"]) == ("seven", "mine")
        assert "permessage-deflate" not in asked.headers.get("sec-websocket-extensions", "")


async def test_a_line_of_other_audio_is_converted(recognizer: Any, server: Any, variable: str) -> None:
    async with server() as fake, rig(recognizer(stt=QUICK, place=Place(fake.url), api_key="key")) as call:
        line = Line(call)
        fake.says.append("what was said")
        await line.speaks(sound("hello there"), wide=True)
        await line.until(lambda: bool(line.texts), silence=True)
        assert line.texts == ["what was said"]
