"""Cartesia's voices, by the official SDK, against a local server that speaks their protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import ended, until
from voiceframe.audio import PCM_8K, PCMU_8K, AudioFormat
from voiceframe.clock import run_virtual
from voiceframe.errors import ProviderError
from voiceframe.frames import ReplyEndedFrame, ReplyStartedFrame, TextFrame, UpdateSettingsFrame
from voiceframe.processors import CartesiaTTS, CartesiaTTSSettings
from voiceframe.processors.tts import TTS, Chunk, Done, Failed, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.cartesia import CartesiaStream
from voiceframe.provider import Place
from voiceframe.testing.conformance_tts import TTSConformance, spoken
from voiceframe.testing.providers import FakeSocket
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS
from voiceframe.testing.providers.voices_tts import FakeVoice
from voiceframe.testing.run import rig

pytestmark = pytest.mark.real_time


class TestConformance(TTSConformance):
    def fake(self) -> FakeVoice:
        return FakeCartesiaTTS()

    def voice(self, fake: FakeVoice, settings: Mapping[str, Any]) -> TTS:
        return CartesiaTTS(CartesiaTTSSettings(**settings), place=Place(fake.url), api_key=fake.key)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("CARTESIA_API_KEY"), reason="CARTESIA_API_KEY is not set")
async def test_live() -> None:
    await spoken(CartesiaTTS(cache=_NO_CACHE))


_NO_CACHE = PromptCache(PromptCacheSettings(memory_mb=0))


def voice(fake: FakeCartesiaTTS, **settings: Any) -> CartesiaTTS:
    place = Place(fake.url, {"x-team": "ops"}, {"region": "eu"})
    return CartesiaTTS(CartesiaTTSSettings(**settings), place=place, api_key="key", cache=_NO_CACHE)


async def test_what_is_asked_of_the_vendor() -> None:
    async with FakeCartesiaTTS() as fake:
        more = {"speed": 1.2, "emotion": "calm", "pronunciation_dict": "pd", "model": "sonic-3.5"}
        tts = voice(fake, voice="v1", language="de", **more)
        await spoken(tts, "Guten Tag. Bis bald!")
        (asked,) = fake.asked
        assert (asked.path, dict(asked.query), asked.headers["x-team"]) == ("/tts/websocket", {"region": "eu"}, "ops")
        assert "sec-websocket-extensions" not in asked.headers
        first, *_, last = [json.loads(message) for message in fake.sockets[0].received]
        assert first == {
            "model_id": "sonic-3.5",
            "voice": {"mode": "id", "id": "v1"},
            "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
            "language": "de",
            "add_timestamps": True,
            "max_buffer_delay_ms": 0,
            "generation_config": {"speed": 1.2, "emotion": "calm"},
            "pronunciation_dict_id": "pd",
            "context_id": first["context_id"],
            "transcript": "Guten Tag.",
            "continue": True,
        }
        assert (last["transcript"], last["continue"], last["context_id"]) == ("", False, first["context_id"])


async def test_phonemes_are_given_in_the_vendors_own_form() -> None:
    async with FakeCartesiaTTS() as fake:
        await spoken(voice(fake, lexicon=("Nova=/ˈnoʊvə/", "Ida=/aɪ|d|ə/")), "Hello Nova and Ida.")
        assert fake.texts == ["Hello <<ˈn|o|ʊ|v|ə>> and <<aɪ|d|ə>>."]


async def test_a_context_that_was_left_alone_too_long_is_followed_by_another() -> None:
    async with FakeCartesiaTTS() as fake:
        fake.expires_ms = 50
        tts = voice(fake)
        async with rig(tts) as call:
            call.push(ReplyStartedFrame(1), TextFrame("One moment. Let", 1))
            await asyncio.sleep(0.15)  # the context is over, and nobody has asked for it
            call.push(TextFrame(" me see.", 1), ReplyEndedFrame(1))
            await ended(call, 1)
            words = [word.text for frame in call.result.down for word in getattr(frame, "words", ())]
            assert "".join(words) == "One moment. Let me see."
            contexts = {json.loads(message)["context_id"] for message in fake.sockets[0].received}
            assert len(contexts) == 2
            assert not call.result.errors


async def test_a_transcript_that_is_refused_ends_its_reply_alone() -> None:
    async with FakeCartesiaTTS() as fake:
        fake.refuses = "forbidden"
        async with rig(voice(fake)) as call:
            call.push(ReplyStartedFrame(1), TextFrame("A forbidden word.", 1), ReplyEndedFrame(1))
            call.push(ReplyStartedFrame(2), TextFrame("Another one.", 2), ReplyEndedFrame(2))
            await ended(call, 1, 2)
            (error,) = call.result.errors
            assert isinstance(error, ProviderError)
            assert (error.code, error.status) == ("provider.request", 400)
            assert "the transcript is not allowed" in error.message
            assert len(fake.sockets) == 1
            assert fake.texts == ["Another one."]


async def test_a_wide_line_gets_wide_sound() -> None:
    async with FakeCartesiaTTS() as fake:
        tts = voice(fake)
        stream = await _stream(tts, AudioFormat("pcm_s16le", 24_000))
        await stream.aclose()
        assert tts.produces[0] == PCMU_8K
        assert PCM_8K in tts.produces


async def _stream(tts: CartesiaTTS, format: AudioFormat) -> CartesiaStream:
    async with rig(tts):
        return await tts.open(format, "v", "en")


class _Connection:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


async def test_messages_are_taken_for_what_they_are() -> None:
    stream = CartesiaStream(_Connection(), PCMU_8K, {})
    await stream.send(1, "Hi.")
    stream.take(b'{"type": "news", "context_id": "1-1"}')  # unknown ones may come any day
    stream.take(b'{"type": "chunk", "context_id": "gone", "data": "AAAA"}')
    stream.take(b'{"type": "error", "context_id": "gone", "status_code": 400, "message": "no such context"}')
    stream.take(b'{"type": "chunk", "context_id": "1-1", "data": "AAAA", "done": false}')
    await stream.flush(1)
    stream.take(b'{"type": "done", "context_id": "1-1", "done": true}')
    assert list(stream._items) == [Chunk(1, bytes(3)), Done(1)]
    for malformed in (b"[]", b"{}", b'{"type": "chunk", "context_id": "2-2"}', b"\xff", b'{"type": "chunk"'):
        await stream.send(2, "Hi.")
        with pytest.raises((ValueError, KeyError, TypeError)):
            stream.take(malformed)
    with pytest.raises(ProviderError, match="429"):
        stream.take(b'{"type": "error", "context_id": "2-2", "status_code": 429, "message": "slow down"}')
    stream.take(b'{"type": "error", "context_id": "2-2", "status_code": 402, "message": "no credits"}')
    assert isinstance(stream._items[-1], Failed)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9_999) | st.floats(-1, 9) | st.sampled_from(["AAAA", "=", "1-1", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["words", "start", "end"]), inner),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["chunk", "timestamps", "done", "flush_done", "error", "news"]) | _VALUES},
            optional={
                "context_id": st.just("1-1") | _VALUES,
                "data": _VALUES,
                "word_timestamps": _VALUES,
                "status_code": _VALUES,
                "message": _VALUES,
            },
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_taken_or_refused_and_nothing_else_happens(events: list[dict[str, Any]]) -> None:
    async def live() -> None:
        stream = CartesiaStream(_Connection(), PCMU_8K, {})
        await stream.send(1, "Hi.")
        for event in events:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, ProviderError):
                stream.take(json.dumps(event).encode())
        assert all(item.reply == 1 for item in stream._items)
        sound = sum(len(item.audio) for item in stream._items if isinstance(item, Chunk))
        assert sound == stream._ahead

    run_virtual(live())


async def test_a_new_voice_holds_from_the_next_reply_on() -> None:
    async with FakeCartesiaTTS() as fake:
        tts = voice(fake)
        async with rig(tts) as call:
            call.push(UpdateSettingsFrame(tts.name, {"voice": "v2", "speed": 0.9, "model": "sonic-latest"}))
            call.push(ReplyStartedFrame(1), TextFrame("Hello.", 1), ReplyEndedFrame(1))
            await ended(call, 1)
            asked = json.loads(_last(fake).received[0])
            assert (asked["voice"]["id"], asked["generation_config"], asked["model_id"]) == (
                "v2",
                {"speed": 0.9},
                "sonic-latest",
            )
            assert tts.model == "sonic-latest"
            await until(lambda: fake.connections == 1)


def _last(fake: FakeCartesiaTTS) -> FakeSocket:
    return fake.sockets[-1]


def test_without_a_key_there_is_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARTESIA_API_KEY", raising=False)
    with pytest.raises(ProviderError, match="CARTESIA_API_KEY"):
        CartesiaTTS()
