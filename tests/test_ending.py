"""Every call ends, within its bound, whatever its handlers do; and a goodbye is heard."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe import Call, Pipeline, Processor, handles
from voiceframe.engine import EngineSettings
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    HeardFrame,
    InterruptionFrame,
    MessageFrame,
    SayFrame,
    StartFrame,
    TextFrame,
    ToolResultFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from voiceframe.testing import CallTranscript
from voiceframe.testing.run import Rig, rig, run
from voiceframe.transports.text import TextTransport

GRACE_MS = 1_000
MARGIN_MS = 2_000
QUICK = EngineSettings(
    cancel_grace_ms=GRACE_MS, end_margin_ms=MARGIN_MS, cleanup_timeout_ms=500, setup_timeout_ms=3_000
)
#: An end without audio to play: its margin, then a cancellation of at most twice the grace.
BOUND_MS = MARGIN_MS + 2 * GRACE_MS


async def bound_of(call: Rig) -> int:
    began = call.call.clock.at_ms()
    await call.call.wait_ended()
    return call.call.clock.at_ms() - began


# -- processors that would keep a call from ending


class HangsAwaiting(Processor):
    @handles(MessageFrame)
    async def on_message(self, frame: MessageFrame) -> None:
        await asyncio.get_running_loop().create_future()


class SwallowsCancellation(Processor):
    @handles(MessageFrame)
    async def on_message(self, frame: MessageFrame) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)


class SpawnsForEver(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.spawn(self.work())

    async def work(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)


class SpawnsAtTheEnd(Processor):
    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self.spawn(asyncio.sleep(3600))


class HangsAtTheEnd(Processor):
    @handles(EndFrame)
    async def on_end(self, frame: EndFrame) -> None:
        await asyncio.sleep(3600)


class RaisesAtTheEnd(Processor):
    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        raise ValueError("at the end")


class RaisesLaterAtTheEnd(Processor):
    @handles(EndFrame)
    async def on_end(self, frame: EndFrame) -> None:
        raise asyncio.CancelledError


class Floods(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.spawn(self.flood(), lasting=True)

    async def flood(self) -> None:
        while True:
            for _ in range(50):
                self.push(TranscriptionFrame("flood"))
            await asyncio.sleep(0.001)


class FloodsUpstream(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.spawn(self.flood(), lasting=True)

    async def flood(self) -> None:
        while True:
            self.push(TranscriptionFrame("flood"), upstream=True)
            await asyncio.sleep(0.001)


class SlowUpstream(Processor):
    @handles(TranscriptionFrame, upstream=True)
    async def on_words(self, frame: TranscriptionFrame) -> None:
        await asyncio.sleep(0.01)


class HangsInCleanup(Processor):
    async def cleanup(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


class PushesInCleanup(Processor):
    async def cleanup(self) -> None:
        self.push(TranscriptionFrame("nowhere"))
        self.interrupt("nowhere")
        raise ValueError("in cleanup")


class CancelsItsCleanup(Processor):
    async def cleanup(self) -> None:
        raise asyncio.CancelledError


class HangsInSetup(Processor):
    async def setup(self) -> None:
        await asyncio.sleep(3600)


class PushesAtTheEnd(Processor):
    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        for _ in range(3):
            self.push(TranscriptionFrame("last words"))
        self.interrupt("at the end")
        self.call.end("again", after="now")


class CancelsAtTheEnd(Processor):
    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self.call.cancel("enough")


class FinishesOnCancel(Processor):
    @handles(MessageFrame, on_interrupt="finish")
    async def on_message(self, frame: MessageFrame) -> None:
        await asyncio.sleep(600)


HOSTILE: list[type[Processor]] = [
    HangsAwaiting,
    SwallowsCancellation,
    SpawnsForEver,
    SpawnsAtTheEnd,
    HangsAtTheEnd,
    RaisesAtTheEnd,
    RaisesLaterAtTheEnd,
    Floods,
    FloodsUpstream,
    SlowUpstream,
    HangsInCleanup,
    PushesInCleanup,
    CancelsItsCleanup,
    HangsInSetup,
    PushesAtTheEnd,
    CancelsAtTheEnd,
    FinishesOnCancel,
]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("how", ["end", "hang up", "cancel", "end now"])
async def test_every_end_arrives_within_its_bound(kind: type[Processor], how: str) -> None:
    async with rig(kind(), engine_settings=QUICK) as call:
        call.push(MessageFrame("go"))
        await asyncio.sleep(1)
        match how:
            case "end":
                call.call.engine.request_end("completed")
            case "hang up":
                call.call.hang_up()
            case "cancel":
                call.call.cancel()
            case "end now":
                call.call.end(after="now")
        assert await bound_of(call) <= (2 * GRACE_MS if how == "cancel" else BOUND_MS)
    assert len(call.events("call.ended")) == 1
    assert call.result.events[-1].kind == "call.ended"


@given(
    st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4, unique=True),
    st.lists(
        st.sampled_from(["end", "hang up", "cancel", "end now", "interrupt", "wish", "message", "sleep", "say"]),
        max_size=8,
    ),
)
@settings(max_examples=150)
async def test_every_end_arrives_whatever_is_done_meanwhile(line: list[type[Processor]], schedule: list[str]) -> None:
    async with rig(*[kind() for kind in line], engine_settings=QUICK) as call:
        ended_at = None
        for act in [*schedule, "end"]:
            if call.call.engine.finished:
                break
            match act:
                case "end":
                    call.call.engine.request_end("completed")
                case "hang up":
                    call.call.hang_up()
                case "cancel":
                    call.call.cancel()
                case "end now":
                    call.call.end(after="now")
                case "interrupt":
                    call.call.interrupt()
                case "wish":
                    call.call.end()
                case "message":
                    call.push(MessageFrame("go"))
                case "sleep":
                    await asyncio.sleep(0.4)
                case "say":
                    call.call.say("hello")
            if call.call.engine.ending and ended_at is None:
                ended_at = call.call.clock.at_ms()
        await call.call.wait_ended()
        assert ended_at is not None
        # What keeps the call from ending costs the rest of its own setup at most, beside the bound.
        assert call.call.clock.at_ms() - ended_at <= BOUND_MS + 100
    assert len(call.events("call.ended")) == 1


async def test_the_bound_is_the_audio_still_to_play_and_the_margin_under_the_cap() -> None:
    class Plays(Processor):
        left_ms = 0

        def remaining_ms(self) -> int:
            return self.left_ms

        @handles(EndFrame)
        async def on_end(self, frame: EndFrame) -> None:
            await asyncio.sleep(3600)

    for left_ms, bound_ms in ((0, 5_000), (7_000, 12_000), (60_000, 30_000)):
        plays = Plays()
        plays.left_ms = left_ms
        async with rig(plays, engine_settings=EngineSettings(cancel_grace_ms=0)) as call:
            call.call.engine.request_end("completed")
            asyncio.get_running_loop().call_later(left_ms / 1000, setattr, plays, "left_ms", 0)
            assert bound_ms <= await bound_of(call) <= bound_ms + 300


async def test_an_end_waits_on_while_something_plays() -> None:
    class Plays(Processor):
        def remaining_ms(self) -> int:
            return 1_000 if self.call.clock.at_ms() < 9_000 else 0

        @handles(EndFrame)
        async def on_end(self, frame: EndFrame) -> None:
            await asyncio.sleep(9)

    async with rig(Plays()) as call:
        call.call.engine.request_end("completed")
        assert await bound_of(call) == 9_000  # not cut after 6 s
    assert not call.call.engine._ending.cancelled


async def test_a_second_end_changes_nothing() -> None:
    class Slow(Processor):
        @handles(EndFrame)
        async def on_end(self, frame: EndFrame) -> None:
            await asyncio.sleep(1)

    async with rig(Slow()) as call:
        call.call.engine.request_end("first")
        call.call.engine.request_end("second")
        assert await call.call.end("third")
        assert await call.call.end("fourth", after="now")
        assert await call.call.wait_ended() == "first"
        assert await call.call.end("fifth")
        call.call.cancel()
        call.call.hang_up()
    assert call.result.reason == "first"


async def test_an_end_is_a_barrier_for_everything_that_was_pushed_before_it() -> None:
    class Slow(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(1)
            self.spawn(self.work(frame.text))
            return frame

        async def work(self, text: str) -> None:
            await asyncio.sleep(0.5)
            self.push(ToolResultFrame(text))

    result = await run(Slow(), Slow(), frames=[TranscriptionFrame("a"), TranscriptionFrame("b")])
    assert result.reason == "completed"
    assert result.texts == ["a", "b"]
    assert sorted(f.call_id for f in result.down if isinstance(f, ToolResultFrame)) == ["a", "a", "b", "b"]


async def test_what_was_sent_upstream_before_the_end_arrives() -> None:
    heard: list[str] = []

    class Slow(Processor):
        @handles(HeardFrame, upstream=True)
        async def on_heard(self, frame: HeardFrame) -> Frame:
            await asyncio.sleep(0.3)
            heard.append(f"{self.name} {frame.text}")
            return frame

    async with rig(Slow(), Slow()) as call:
        reply = call.call.replies.begin()
        call.up(HeardFrame(reply, "good"), HeardFrame(reply, "bye", final=True, complete=True))
        await call.ends()
    assert heard == ["Slow#2 good", "Slow#2 bye", "Slow good", "Slow bye"] or heard == [
        "Slow#2 good",
        "Slow good",
        "Slow#2 bye",
        "Slow bye",
    ]
    assert len(call.result.up) == 2


async def test_what_one_mailbox_sends_upstream_to_the_next_arrives_as_well() -> None:
    class First(Processor):
        @handles(TranscriptionFrame, upstream=True)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(0.001)
            return frame

    class Second(First):
        @handles(ToolResultFrame, upstream=True)
        async def on_result(self, frame: ToolResultFrame) -> Frame:
            await asyncio.sleep(0.001)
            return frame

    for line in ([First(), Second()], [Second(), First(), Second()]):
        async with rig(*line) as call:
            call.up(TranscriptionFrame("x"), ToolResultFrame("x"), TranscriptionFrame("y"), ToolResultFrame("y"))
            await call.ends()
        assert len(call.result.up) == 4


async def test_work_that_is_spawned_by_the_handler_of_the_end_is_waited_for() -> None:
    class Reports(Processor):
        @handles(EndFrame)
        def on_end(self, frame: EndFrame) -> None:
            self.push(MessageFrame("pushed"))
            self.spawn(self.work())

        async def work(self) -> None:
            await asyncio.sleep(1)
            self.push(MessageFrame("done"))

    class ReportsLater(Reports):
        async def on_end(self, frame: EndFrame) -> None:  # type: ignore[override]
            await asyncio.sleep(1)
            Reports.on_end(self, frame)

    for processor in (Reports(), ReportsLater()):
        result = await run(processor)
        assert [f.data for f in result.down if isinstance(f, MessageFrame)] == ["pushed", "done"]


async def test_work_that_must_finish_survives_a_hang_up_and_has_the_grace_in_a_cancellation() -> None:
    notes: list[str] = []

    class Books(Processor):
        @handles(MessageFrame, on_interrupt="finish")
        async def on_message(self, frame: MessageFrame) -> None:
            try:
                await asyncio.sleep(frame.data)
                notes.append("booked")
            except asyncio.CancelledError:
                notes.append("cancelled")
                raise

    settings = EngineSettings(cancel_grace_ms=1_000)
    for how, length, ended_ms, note in (
        ("hang up", 3, 3_000, "booked"),
        ("cancel", 0.5, 500, "booked"),
        ("cancel", 60, 1_000, "cancelled"),
    ):
        async with rig(Books(), engine_settings=settings) as call:
            call.push(MessageFrame(length))
            await asyncio.sleep(0)
            if how == "cancel":
                call.call.cancel()
            else:
                call.call.hang_up()
            await call.call.wait_ended()
            assert call.call.clock.at_ms() == ended_ms
        assert notes.pop() == note


async def test_a_cancellation_in_a_handler_comes_when_it_returns_and_nothing_is_delivered_after_it() -> None:
    seen: list[str] = []

    class Cancels(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            self.push(MessageFrame("pushed"))
            self.call.cancel("enough")
            seen.append("still in the handler")
            return frame

        @handles(CancelFrame)
        def on_cancel(self, frame: CancelFrame) -> None:
            seen.append("cancel")

    class Sees(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            seen.append("message")

        @handles(CancelFrame)
        def on_cancel(self, frame: CancelFrame) -> None:
            seen.append("cancel")

    async with rig(Cancels(), Sees()) as call:
        call.push(MessageFrame("x"))
        assert await call.call.wait_ended() == "enough"
    assert seen == ["still in the handler", "cancel", "cancel"]


async def test_a_handler_that_interrupts_and_ends_in_one_go() -> None:
    seen: list[str] = []

    class Ends(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            self.interrupt("me")
            self.call.end("done", after="now")
            return frame

    class Sees(Processor):
        @handles(MessageFrame, EndFrame)
        def on_any(self, frame: Frame) -> None:
            seen.append(type(frame).__name__)

        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            seen.append(type(frame).__name__)

    async with rig(Ends(), Sees()) as call:
        call.push(MessageFrame("x"))
        assert await call.call.wait_ended() == "done"
    assert seen == ["InterruptionFrame", "MessageFrame", "EndFrame"]


async def test_an_end_from_within_a_sweep() -> None:
    class Ends(Processor):
        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            self.call.end("swept", after="now")

    class Cancels(Processor):
        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            self.call.cancel("swept")

    for processor in (Ends(), Cancels()):
        async with rig(processor) as call:
            call.push(TranscriptionFrame("before"))
            call.call.interrupt()
            assert await call.call.wait_ended() == "swept"
        assert call.result.texts == ["before"]


async def test_an_end_during_setup_waits_for_it_within_its_bound() -> None:
    class Late(Processor):
        async def setup(self) -> None:
            await asyncio.sleep(1)

        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame

    result = await run(Late(), frames=[TranscriptionFrame("early")])
    assert result.texts == ["early"]
    assert result.reason == "completed"


async def test_cleanup_is_the_last_thing_that_runs_and_a_failure_of_one_touches_no_other() -> None:
    cleaned: list[str] = []

    class Cleans(Processor):
        async def cleanup(self) -> None:
            await asyncio.sleep(0.1)
            cleaned.append(self.name)

    result = await run(Cleans(), PushesInCleanup(), CancelsItsCleanup(), HangsInCleanup(), Cleans())
    assert cleaned == ["Cleans", "Cleans#2"]
    assert result.down == []
    assert [event.data["processor"] for event in result.events if event.kind == "processor.failed"] == [
        "PushesInCleanup"
    ]
    assert [event.data for event in result.events if event.kind == "processor.abandoned"] == [
        {"processor": "HangsInCleanup", "handler": "cleanup"}
    ]


async def test_handlers_that_are_cancelled_with_the_call_have_not_failed() -> None:
    async with rig(HangsAwaiting(), FinishesOnCancel(), engine_settings=QUICK) as call:
        call.push(MessageFrame("x"))
        await asyncio.sleep(0.1)
        call.call.cancel()
        await call.call.wait_ended()
    assert call.events("processor.failed", "processor.abandoned") == []


# -- the wish to end


class Outside:
    """A call over text in which the bot has something to say."""

    def __init__(self, *processors: Processor, engine_settings: EngineSettings | None = None) -> None:
        self.transport = TextTransport(words_per_minute=180)
        self.record = CallTranscript()
        self.call = Call(self.transport, sinks=[self.record], engine_settings=engine_settings)
        self.pipeline = Pipeline([self.transport.input(), *processors, self.transport.output()])

    async def __aenter__(self) -> Outside:
        await self.call.start(self.pipeline)
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.call.cancel()
        await self.call.wait_ended()


async def test_a_goodbye_is_heard_before_the_call_ends() -> None:
    async with Outside() as outside:
        outside.call.say("Thank you for calling. Goodbye!")
        assert await outside.call.end("done")
        assert outside.record.heard == ["Thank you for calling. Goodbye!"]
        assert await outside.call.wait_ended() == "done"


async def test_a_wish_made_beside_the_goodbye_in_one_handler_waits_for_it() -> None:
    class Leaves(Processor):
        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> None:
            self.push(SayFrame("Goodbye!"))
            self.call.end("done")

    async with Outside(Leaves()) as outside:
        assert await outside.call.wait_ended() == "done"
        assert outside.record.heard == ["Goodbye!"]


async def test_a_wish_lapses_when_the_goodbye_is_interrupted_and_the_call_goes_on() -> None:
    async with Outside() as outside:
        outside.call.say("Thank you very much for calling. Goodbye!")
        wish = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.8)
        outside.transport.type("wait")
        assert await wish is False
        await asyncio.sleep(10)
        assert not outside.call.ended
        assert len(outside.record.of("call.end-lapsed")) == 1
        outside.call.say("Yes?")
        assert await outside.call.end("later")
        assert await outside.call.wait_ended() == "later"


async def test_a_wish_made_right_after_an_interruption_does_not_lapse_by_it() -> None:
    async with Outside() as outside:
        outside.call.say("A long story about nothing at all.")
        await asyncio.sleep(0.8)
        outside.call.interrupt()
        outside.call.say("Goodbye!")
        assert await outside.call.end("done")
        assert outside.record.heard[-1] == "Goodbye!"


async def test_a_wish_does_not_lapse_by_a_reply_that_was_cut_before_it_and_has_not_had_its_last_word() -> None:
    async with rig() as call:
        call.call.say("A long story.")
        call.up(BotStartedSpeakingFrame(1))
        call.call.interrupt()
        assert call.call.replies.open
        assert await call.call.end("done")
        assert call.call.clock.at_ms() == 0


async def test_a_goodbye_that_still_waits_in_the_queue_is_part_of_the_wish() -> None:
    async with Outside(engine_settings=EngineSettings(tick_frames=1)) as outside:
        state = outside.call.engine.dispatcher.state
        state.running = object()  # type: ignore[assignment]  # another call's cascade
        for _ in range(5):
            outside.call.send(MessageFrame("x"))
        outside.call.send(SayFrame("Thank you for calling. Goodbye!"))
        state.running = None
        wish = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.5)
        outside.transport.type("wait")
        assert await wish is False


async def test_a_goodbye_that_may_not_be_interrupted_is_heard_and_the_wish_stands() -> None:
    async with Outside() as outside:
        outside.call.say("This call ends now.", interruptible=False)
        wish = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.5)
        outside.transport.type("wait")
        assert await wish is True
        assert outside.record.heard == ["This call ends now."]


async def test_a_wish_when_nothing_is_said_takes_effect_at_once() -> None:
    async with Outside() as outside:
        assert await outside.call.end("done")
        assert outside.call.clock.at_ms() == 0


async def test_a_wish_does_not_wait_for_an_output_that_never_says_what_was_heard() -> None:
    async with rig() as call:  # its sink plays nothing
        call.call.say("Goodbye!")
        assert await call.call.end("done")
        assert call.call.clock.at_ms() == 5_000


async def test_an_end_that_comes_otherwise_grants_the_wish() -> None:
    async with Outside() as outside:
        outside.call.say("A long story about nothing at all.")
        wish = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.5)
        outside.call.hang_up()
        assert await wish is True
        assert await outside.call.wait_ended() == "hangup"
    async with Outside() as outside:
        outside.call.say("A long story about nothing at all.")
        wish = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.5)
        outside.call.cancel()
        assert await wish is True


async def test_whoever_awaits_a_wish_may_be_cancelled_without_touching_it() -> None:
    async with Outside() as outside:
        outside.call.say("Goodbye!")
        waiter = asyncio.ensure_future(outside.call.end("done"))
        await asyncio.sleep(0.1)
        waiter.cancel()
        assert await outside.call.end("again") is True
        assert outside.call.reason == "done"


async def test_what_the_caller_says_while_the_goodbye_plays_is_not_lost() -> None:
    class Hears(Processor):
        turns: list[str] = []

        @handles(UserTurnFrame, TextFrame)
        async def on_turn(self, frame: UserTurnFrame | TextFrame) -> Frame:
            if isinstance(frame, UserTurnFrame):
                self.turns.append(frame.text)
            return frame

    hears = Hears()
    async with Outside(hears) as outside:
        outside.call.say("Thank you for calling. Goodbye!", interruptible=False)
        outside.call.end("done")
        await asyncio.sleep(0.5)
        outside.transport.type("thanks")
        await outside.call.wait_ended()
    assert hears.turns == ["thanks"]
