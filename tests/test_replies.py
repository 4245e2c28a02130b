"""Replies: their numbers, which of them are dead, and what was heard of each."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Processor, handles
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    Frame,
    HeardFrame,
    InterruptionFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
)
from voiceframe.testing.run import Rig, rig


def heard(call: Rig) -> list[tuple[int, str, bool]]:
    """What the log says was heard: number, text, whether it was all."""
    return [
        (event.data["reply"], (event.personal or {})["text"], event.data["complete"])
        for event in call.events("reply.heard")
    ]


async def test_numbers_count_from_one_and_zero_is_always_dead() -> None:
    async with rig() as call:
        replies = call.call.replies
        assert replies.dead(0)
        assert [replies.begin(), replies.begin(7)] == [1, 2]
        assert not replies.dead(1)
        assert not replies.dead(99)  # nobody's yet


async def test_an_interruption_kills_what_was_begun_but_for_what_is_protected() -> None:
    async with rig() as call:
        replies = call.call.replies
        one, two, three = replies.begin(), replies.begin(interruptible=False), replies.begin()
        call.call.interrupt()
        four = replies.begin()
        assert [replies.dead(number) for number in (one, two, three, four)] == [True, False, True, False]


async def test_a_turn_whose_reply_was_interrupted_takes_no_other() -> None:
    async with rig() as call:
        replies = call.call.replies
        replies.begin(3)
        call.call.interrupt()
        assert replies.begin(3) == 0
        assert replies.begin(2) == 0  # older ones least of all
        assert replies.begin(4) == 2
        assert replies.begin(None) == 3


async def test_a_turn_whose_reply_was_heard_may_have_another() -> None:
    async with rig() as call:
        one = call.call.replies.begin(1)
        call.up(HeardFrame(one, "one moment", complete=True, final=True))
        call.call.interrupt()
        assert call.call.replies.begin(1) == 2


async def test_what_was_heard_is_the_sum_of_what_the_output_says() -> None:
    async with rig() as call:
        reply = call.call.say("One. Two. Three.")
        call.up(BotStartedSpeakingFrame(1), HeardFrame(1, "One."), HeardFrame(1, " Two."))
        assert not heard(call)
        call.up(HeardFrame(1, " Three.", complete=True, final=True))
        assert heard(call) == [(1, "One. Two. Three.", True)]
        assert (await reply).complete
        call.up(HeardFrame(1, "late", final=True))
        assert len(heard(call)) == 1


async def test_an_interrupted_reply_waits_for_the_word_of_the_output_but_not_long() -> None:
    async with rig() as call:
        first, second, third = (call.call.say(text) for text in ("one", "two", "three"))
        call.up(BotStartedSpeakingFrame(1), HeardFrame(1, "on"))
        call.call.interrupt()
        assert (await third).text == ""  # never came to sound: over at once
        assert (await second).text == ""
        assert call.call.clock.at_ms() == 0
        call.up(HeardFrame(1, "e", final=True))
        assert (await first).text == "one"

        fourth = call.call.say("four")
        call.up(BotStartedSpeakingFrame(4))
        await asyncio.sleep(0.1)
        call.call.interrupt()
        assert not (await fourth).complete
        assert call.call.clock.at_ms() == 300  # 200 ms later, without its word
    assert [number for number, _, _ in heard(call)] == [2, 3, 1, 4]


async def test_each_interrupted_reply_has_its_own_moment() -> None:
    async with rig() as call:
        for number in (1, 2):
            call.call.say(str(number))
            call.up(BotStartedSpeakingFrame(number))
            call.call.interrupt()
            await asyncio.sleep(0.15)
        await asyncio.sleep(1)
    assert [event.at_ms for event in call.events("reply.heard")] == [200, 350]


async def test_a_word_of_the_output_that_waits_in_the_queue_at_the_interruption_counts() -> None:
    """The output has said that the reply sounds, but the frame has not come by yet when the interruption does."""

    class Output(Processor):
        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            sink = self.call.engine.nodes[-1].proc
            sink.push(HeardFrame(1, "some", final=True), upstream=True)

    async with rig(Output()) as call:
        call.call.say("something")
        state = call.call.engine.dispatcher.state
        state.running = object()  # type: ignore[assignment]  # another call's cascade: what comes now has to wait
        call.up(BotStartedSpeakingFrame(1))
        state.running = None
        call.call.interrupt()
        await call.ends()
    assert heard(call) == [(1, "some", False)]


async def test_changed_copies_that_a_processor_passes_on_are_not_counted_twice() -> None:
    class Redacts(Processor):
        @handles(ReplyStartedFrame, ReplyEndedFrame)
        def on_reply(self, frame: Frame) -> Frame:
            return frame.replace()

        @handles(HeardFrame, upstream=True)
        def on_heard(self, frame: HeardFrame) -> Frame:
            return frame.replace(text="*")

        @handles(BotStartedSpeakingFrame, upstream=True)
        def on_speaking(self, frame: BotStartedSpeakingFrame) -> Frame:
            return frame.replace()

    async with rig(Redacts()) as call:
        call.call.say("secret")
        call.up(BotStartedSpeakingFrame(1), HeardFrame(1, "sec"), HeardFrame(1, "ret", complete=True, final=True))
        await call.ends()
    assert heard(call) == [(1, "secret", True)]
    assert [e.kind for e in call.result.events] == [
        "call.started",
        "reply.started",
        "reply.ended",
        "reply.speaking",
        "reply.heard",
        "call.ended",
    ]


async def test_the_end_closes_what_is_open() -> None:
    async with rig() as call:
        reply = call.call.say("never played")
        call.call.cancel()
        assert not (await reply).complete
        assert call.call.replies.open == {}
        assert call.call.replies.begin() == 0


async def test_whoever_awaits_a_reply_may_be_cancelled_without_touching_it() -> None:
    async with rig() as call:
        reply = call.call.say("hello")

        async def listen() -> None:
            await reply

        listener = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        listener.cancel()
        await asyncio.sleep(0)
        call.up(HeardFrame(1, "hello", complete=True, final=True))
        assert (await reply).text == "hello"
        assert (await reply).text == "hello"  # and again


@given(st.lists(st.sampled_from(["begin", "protect", "started", "heard", "final", "interrupt", "sleep"]), max_size=40))
async def test_every_reply_is_heard_of_exactly_once(schedule: list[str]) -> None:
    numbers: list[int] = []
    async with rig() as call:
        for step in schedule:
            latest = numbers[-1] if numbers else 0
            match step:
                case "begin" | "protect":
                    numbers.append(call.call.replies.begin(interruptible=step == "begin"))
                    call.push(TextFrame("x", numbers[-1]))
                case "started":
                    call.up(BotStartedSpeakingFrame(latest))
                case "heard":
                    call.up(HeardFrame(latest, "x"))
                case "final":
                    call.up(HeardFrame(latest, "x", final=True, complete=not call.call.replies.dead(latest)))
                case "interrupt":
                    call.call.interrupt()
                case "sleep":
                    await asyncio.sleep(0.15)
        await call.ends()
    assert sorted(number for number, _, _ in heard(call)) == numbers


@pytest.mark.parametrize("protected", [False, True])
async def test_an_interruption_names_the_last_reply(protected: bool) -> None:
    async with rig() as call:
        call.call.replies.begin(interruptible=not protected)
        call.call.interrupt("why")
    assert [event.data for event in call.events("interruption")] == [{"reply": 1, "reason": "why"}]
