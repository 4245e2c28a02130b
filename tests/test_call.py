"""Calls: their life, their legs and connections, and what may be asked of them."""

from __future__ import annotations

import asyncio

import pytest

from voiceframe import Call, Pipeline, Processor, handles
from voiceframe.call import Line
from voiceframe.errors import CallEnded, Unsupported
from voiceframe.frames import (
    Frame,
    InterruptionFrame,
    MessageFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from voiceframe.testing import CallTranscript
from voiceframe.testing.run import rig
from voiceframe.transports.text import TextTransport


def kinds(record: CallTranscript) -> list[str]:
    return [event.kind for event in record.events]


async def test_the_life_of_a_call_is_in_its_log() -> None:
    transport, record = TextTransport(), CallTranscript()
    call = Call(transport, from_="+15550100", to="+15550199", direction="outbound", sinks=[record])
    leg = call.open_leg("CA1", "twilio")
    first = leg.attach("MZ1")
    await call.start(Pipeline([transport.input(), transport.output()]))
    call.answered()
    first.lost("network")
    first.lost("twice")
    connections = [leg.connection]
    second = leg.attach("MZ2")
    assert [*connections, leg.connection] == [None, second]
    await asyncio.sleep(1.5)
    call.hang_up()
    assert await call.wait_ended() == "hangup"
    assert call.ended
    assert not leg.open
    leg.close("twice")
    assert kinds(record) == [
        "leg.opened",
        "connection.attached",
        "call.started",
        "call.answered",
        "connection.lost",
        "connection.attached",
        "interruption",
        "connection.lost",
        "leg.closed",
        "call.ended",
    ]
    started, ended = record.of("call.started")[0], record.of("call.ended")[0]
    assert started.data["direction"] == "outbound"
    assert started.personal == {"from_": "+15550100", "to": "+15550199"}
    assert ended.data == {"reason": "hangup", "duration_ms": 1500}


async def test_before_it_is_started_a_call_can_do_nothing() -> None:
    transport = TextTransport()
    call = Call(transport)
    for ask in (
        lambda: call.say("x"),
        lambda: call.send(MessageFrame("x")),
        call.end,
        call.hang_up,
        call.cancel,
        call.interrupt,
    ):
        with pytest.raises(CallEnded) as refused:
            ask()
        assert refused.value.code == "call.not-started"
    assert call.reason == ""
    assert not call.ended


async def test_a_call_is_started_once() -> None:
    async with rig() as running:
        with pytest.raises(CallEnded, match="has been started already"):
            await running.call.start(Pipeline([]))


async def test_after_its_end_a_call_takes_nothing_and_ends_no_more() -> None:
    async with rig() as running:
        call = running.call
        await running.ends("done")
        for ask in (lambda: call.say("x"), lambda: call.send(MessageFrame("x"))):
            with pytest.raises(CallEnded, match=r"has ended \(done\)"):
                ask()
        call.interrupt()
        call.cancel()
        call.hang_up()
        assert await call.end() is True
        assert await call.end(after="now") is True
        assert await call.wait_ended() == "done"
    assert [event.kind for event in running.result.events] == ["call.started", "call.ended"]


async def test_many_may_wait_for_the_end_and_be_cancelled() -> None:
    async with rig() as running:
        waiters = [asyncio.ensure_future(running.call.wait_ended()) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await asyncio.sleep(0)
        await running.ends("done")
        assert [waiter.result() for waiter in waiters[1:]] == ["done", "done"]


async def test_ids_and_dice_come_from_the_seed() -> None:
    one, other, third = (Call(TextTransport(), seed=seed) for seed in (1, 1, 2))
    assert one.id == other.id != third.id
    assert one.rng.random() == other.rng.random() != third.rng.random()
    assert Call(TextTransport(), id="mine").id == "mine"


async def test_say_gives_a_reply_that_can_be_awaited() -> None:
    transport = TextTransport()
    call = Call(transport)
    await call.start(Pipeline([transport.input(), transport.output()]))
    await asyncio.sleep(0)
    heard = await call.say("Hello there.")
    assert (heard.text, heard.complete) == ("Hello there.", True)
    call.cancel()
    await call.wait_ended()


async def test_what_a_program_says_answers_the_turn_that_waits() -> None:
    async with rig() as running:
        running.push(UserTurnFrame(1, "hello"))
        assert running.call.say("hello").turn == 1
        running.call.interrupt()
        assert running.call.say("still there?").turn is None  # that turn takes no other


async def test_in_private_nothing_personal_is_kept() -> None:
    async with rig() as running:
        with running.call.private():
            running.push(UserTurnFrame(1, "my number is 4111"))
        running.push(UserTurnFrame(2, "thanks"))
    first, second = running.events("turn.committed")
    assert first.personal is None
    assert second.personal == {"text": "thanks"}


async def test_a_line_says_what_it_can_do() -> None:
    line = Line("twilio", frozenset({"transfer"}))
    assert line.can("transfer")
    line.require("transfer")
    with pytest.raises(Unsupported, match="twilio"):
        line.require("hold")
    async with rig() as running:
        assert not running.call.line.can("transfer")


async def test_send_keeps_its_order_with_what_the_source_pushes() -> None:
    class Slow(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(0.1)
            return frame

    async with rig(Slow()) as running:
        for number in range(6):
            frame = TranscriptionFrame(str(number))
            if number % 2:
                running.push(frame)
            else:
                running.call.send(frame)
        await running.ends()
    assert running.result.texts == ["0", "1", "2", "3", "4", "5"]


# -- ringing


class Notes(Processor):
    """Writes down what it sees, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def setup(self) -> None:
        await asyncio.sleep(0.3)
        self.seen.append("set up")
        self.push(MessageFrame("from setup"))

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.seen.append(f"start at {frame.at_ms}")

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> Frame:
        self.seen.append(frame.text)
        return frame

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.seen.append("interrupted")


async def ringing() -> tuple[Call, Notes, CallTranscript]:
    transport, record, notes = TextTransport(), CallTranscript(), Notes()
    call = Call(transport, sinks=[record])
    await call.start(Pipeline([transport.input(), notes, transport.output()]), ringing=True)
    return call, notes, record


async def test_while_it_rings_processors_are_set_up_and_nothing_moves() -> None:
    call, notes, record = await ringing()
    call.say("Hello.")
    await asyncio.sleep(1)
    assert (notes.seen, call.ringing) == (["set up"], True)
    call.answered()
    assert not call.ringing
    await asyncio.sleep(1)
    assert notes.seen == ["set up", "start at 1000", "Hello."]
    call.answered()  # once is enough
    call.hang_up()
    await call.wait_ended()
    assert notes.seen.count("start at 1000") == 1
    assert kinds(record).index("call.started") < kinds(record).index("call.answered")
    assert record.heard == ["Hello."]


@pytest.mark.parametrize("how", ["end", "now", "hang up", "cancel"])
async def test_a_call_that_is_not_answered_is_over_at_once(how: str) -> None:
    call, notes, record = await ringing()
    call.say("Hello.")
    await asyncio.sleep(1)
    if how == "end":
        await asyncio.wait_for(asyncio.ensure_future(call.end("unanswered")), 6)
    elif how == "now":
        call.end("unanswered", after="now")
    elif how == "hang up":
        call.hang_up("unanswered")
    else:
        call.cancel("unanswered")
    assert await call.wait_ended() == "unanswered"
    assert not any(seen.startswith("start") for seen in notes.seen)
    assert "call.answered" not in kinds(record)
    call.answered()
    assert call.ended


async def test_a_bot_that_cannot_be_set_up_is_known_before_the_answer() -> None:
    class Broken(Processor):
        async def setup(self) -> None:
            raise LookupError("no such model")

    transport, record = TextTransport(), CallTranscript()
    call = Call(transport, sinks=[record])
    await call.start(Pipeline([transport.input(), Broken(), transport.output()]), ringing=True)
    assert await call.wait_ended() == "error"
    assert "processor.failed" in kinds(record)
    assert "call.answered" not in kinds(record)


async def test_an_interruption_while_it_rings_kills_what_was_to_be_said() -> None:
    call, notes, record = await ringing()
    call.say("Hello.")
    await asyncio.sleep(1)
    call.interrupt()
    call.answered()
    await asyncio.sleep(1)
    assert notes.seen == ["set up", "interrupted", "start at 1000"]
    call.hang_up()
    await call.wait_ended()
    assert record.heard == []
