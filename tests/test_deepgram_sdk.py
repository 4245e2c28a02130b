"""The transport that Deepgram's SDK is given: opened, closed, and quick about it."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from voiceframe.deepgram_sdk import Socket, client
from voiceframe.provider import Place
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.deepgram_tts import FakeDeepgramTTS

pytestmark = pytest.mark.real_time


def connecting(fake: FakeDeepgramTTS, key: str = "key") -> Any:
    made = client(key, Place(fake.url), what="a test")
    return made.speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000)


async def test_the_sdk_speaks_over_it_without_a_warning() -> None:
    async with FakeDeepgramTTS() as fake:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            socket = await Socket.open(connecting(fake))
            assert (await socket.sdk.recv()).type == "Metadata"
            await socket.sdk.send_flush()
            assert (await socket.sdk.recv()).type == "Flushed"
            await socket.aclose()
        assert "sec-websocket-extensions" not in fake.asked[0].headers
        assert fake.asked[0].headers["authorization"] == "Token key"


async def test_the_sdk_may_use_it_by_itself() -> None:
    async with FakeDeepgramTTS() as fake, connecting(fake) as sdk:
        async for message in sdk:
            assert message.type == "Metadata"
            break


async def test_a_refusal_is_raised_with_its_headers_and_without_the_key() -> None:
    async with FakeDeepgramTTS() as fake:
        fake.faults.append(Fault(status=429, retry_after_ms=1_500))
        with pytest.raises(InvalidStatus) as caught:
            await Socket.open(connecting(fake))
        assert caught.value.response.headers["retry-after"] == "1.5"
        with pytest.raises(InvalidStatus, match="401") as caught:
            await Socket.open(connecting(fake, key="hidden"))
        assert "hidden" not in str(caught.value)


async def test_what_does_not_answer_is_closed_all_the_same() -> None:
    async with FakeDeepgramTTS() as fake:
        fake.faults.append(Fault(hang_after=1))
        socket = await Socket.open(connecting(fake))
        await socket.sdk.recv()
        async with asyncio.timeout(1):
            await socket.aclose()
