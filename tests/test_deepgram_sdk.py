"""The clients of Deepgram's SDK on connections of our own, and what else the process notices of it: nothing."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from voiceframe import sockets
from voiceframe.deepgram_sdk import socket_client
from voiceframe.provider import Place
from voiceframe.testing.providers import Fault
from voiceframe.testing.providers.deepgram_tts import FakeDeepgramTTS

pytestmark = pytest.mark.real_time

QUERY = {"model": "aura-2-thalia-en", "encoding": "mulaw", "sample_rate": 8000, "speed": None, "mip_opt_out": False}


async def connect(fake: FakeDeepgramTTS, key: str = "key") -> tuple[Any, Any]:
    place = Place(fake.url, query={"tag": "mine"})
    return await socket_client(place, "/v1/speak", QUERY, key, by="a test")


async def test_the_sdk_speaks_over_it_without_a_warning() -> None:
    async with FakeDeepgramTTS() as fake:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sdk, socket = await connect(fake)
            assert (await sdk.recv()).type == "Metadata"
            await sdk.send_flush()
            assert (await sdk.recv()).type == "Flushed"
            await sockets.close(socket)
        (asked,) = fake.asked
        assert "sec-websocket-extensions" not in asked.headers
        assert asked.headers["authorization"] == "Token key"
        assert asked.query == {"model": "aura-2-thalia-en", "encoding": "mulaw", "sample_rate": "8000", "tag": "mine"}


async def test_the_sdk_is_as_it_was_for_whoever_else_uses_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import deepgram.listen.v1.client as listen
        import deepgram.speak.v1.client as speak
    modules: tuple[Any, ...] = (listen, speak)
    before = [module.websockets_client_connect for module in modules]
    async with FakeDeepgramTTS() as fake:
        _, socket = await connect(fake)
        await sockets.close(socket)
    assert [module.websockets_client_connect for module in modules] == before
    assert all(connect.__module__.startswith("websockets.") for connect in before)


async def test_a_refusal_is_raised_with_its_headers_and_without_the_key() -> None:
    async with FakeDeepgramTTS() as fake:
        fake.faults.append(Fault(status=429, retry_after_ms=1_500))
        with pytest.raises(InvalidStatus) as caught:
            await connect(fake)
        assert caught.value.response.headers["retry-after"] == "1.5"
        with pytest.raises(InvalidStatus, match="401") as caught:
            await connect(fake, "hidden")
        assert "hidden" not in str(caught.value)


async def test_what_does_not_answer_is_closed_all_the_same() -> None:
    async with FakeDeepgramTTS() as fake:
        fake.faults.append(Fault(hang_after=1))
        sdk, socket = await connect(fake)
        await sdk.recv()
        async with asyncio.timeout(5):
            await sockets.close(socket)
