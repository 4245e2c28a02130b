"""The gateway when streams break, hang, or come at a bad time: the call goes on, or ends, and nothing hangs."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("msgspec", reason="needs voiceframe[telephony]")

from voiceframe.audio import PCM_8K, Audio
from voiceframe.call import Call
from voiceframe.frames import (
    InputDTMFFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
)
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.testing import TwilioExchange
from voiceframe.tones import tone


class Talks(Processor):
    """Talks for a minute; a key ends the call."""

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        reply = self.begin_reply(None)
        self.push(ReplyStartedFrame(reply))
        self.push(OutputAudioFrame(Audio(tone(300, 60_000, -12, 8_000), PCM_8K), reply))
        self.push(ReplyEndedFrame(reply))

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.call.end("key", after="now")


def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Talks(), call.transport.output()])


def voice(text: str) -> bytes:
    return tone(500, 300, -20, 8_000)


async def test_a_stream_that_is_lost_without_a_word_is_replaced() -> None:
    async with TwilioExchange(bot) as exchange:
        caller = exchange.caller(seed=1, voice=voice)
        await caller.connects()
        await asyncio.sleep(2)
        caller.phone.lose(silently=True)  # to us it still seems to be there when Twilio asks what now
        await asyncio.sleep(8)
        assert not caller.call.ended
        assert len(caller.record.of("connection.attached")) == 2
        assert await caller.hangs_up() == "hangup"


async def test_a_peer_that_reads_nothing_loses_its_stream_and_may_have_another() -> None:
    async with TwilioExchange(bot) as exchange:
        caller = exchange.caller(seed=1, voice=voice)
        await caller.connects()
        caller.phone.stop_reading()
        await asyncio.sleep(20)
        reasons = [event.data["reason"] for event in caller.record.of("connection.lost")]
        assert reasons == ["the peer does not read"]
        assert caller.phone.stream_ends == ["lost"]  # it did not even take that it was over
        assert len(caller.record.of("connection.attached")) == 2
        assert await caller.hangs_up() == "hangup"


async def test_the_token_is_nobodys_business() -> None:
    async with TwilioExchange(bot) as exchange:
        caller = exchange.caller(seed=1, voice=voice)
        await caller.connects()
        assert "token" not in repr(caller.call.metadata)
        await caller.presses("5")
        assert await caller.hears_the_end() == "key"


async def test_a_caller_who_gives_up_while_the_bot_is_made_leaves_nothing() -> None:
    async def slow(call: Call) -> Pipeline:
        await asyncio.sleep(3)
        return bot(call)

    async with TwilioExchange(slow) as exchange:
        caller = exchange.caller(seed=1, voice=voice)
        connecting = asyncio.ensure_future(caller.connects())
        await asyncio.sleep(1)
        caller.phone.hang_up()
        await asyncio.wait((connecting,))
        connecting.exception()
        await asyncio.sleep(65)
        assert not exchange.app.calls
