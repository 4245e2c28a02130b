"""Which frame runs when: cascades, sweeps, the ready queue, backpressure, contexts."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from voiceframe import Observer, Parallel, Processor, handles, observes
from voiceframe.audio import PCM_8K, Audio
from voiceframe.call import current_call
from voiceframe.engine import EngineSettings
from voiceframe.errors import ProcessorError
from voiceframe.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    PauseFrame,
    ReplyEndedFrame,
    ResumeFrame,
    SayFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
)
from voiceframe.testing.run import rig, run


def messages(frames: list[Frame]) -> list[Any]:
    return [frame.data for frame in frames if isinstance(frame, MessageFrame)]


def jammed(call: Any) -> Any:
    """While another call's cascade is running everything that is pushed waits in the ready queue."""
    return _Jam(call.call.engine.dispatcher.state)


class _Jam:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __enter__(self) -> None:
        self.state.running = object()

    def __exit__(self, *_: object) -> None:
        self.state.running = None


class Say(Processor):
    """Answers a message with others, by push and by return."""

    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> list[Frame]:
        self.push(MessageFrame(f"{frame.data}1"))
        self.push(MessageFrame(f"{frame.data}2"))
        return [frame, MessageFrame(f"{frame.data}3")]


# -- cascades


async def test_what_a_handler_pushes_goes_before_what_it_returns_and_runs_depth_first() -> None:
    class Deeper(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> list[Frame]:
            return [MessageFrame(f"<{frame.data}"), MessageFrame(f"{frame.data}>")]

    result = await run(Say(), Deeper(), frames=[MessageFrame("a"), MessageFrame("b")])
    assert messages(result.down) == [
        "<a1",
        "a1>",
        "<a2",
        "a2>",
        "<a",
        "a>",
        "<a3",
        "a3>",
        "<b1",
        "b1>",
        "<b2",
        "b2>",
        "<b",
        "b>",
        "<b3",
        "b3>",
    ]


async def test_a_frame_that_skips_a_processor_stays_behind_the_one_that_it_handles() -> None:
    class Both(Processor):
        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> list[Frame]:
            return [TranscriptionFrame("words"), InterimTranscriptionFrame("more")]

    class Slow(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(1)
            return frame

    result = await run(Both(), Slow())
    assert [type(frame) for frame in result.down] == [TranscriptionFrame, InterimTranscriptionFrame]


@pytest.mark.parametrize("inside", [False, True])
async def test_frames_of_the_source_stay_in_order_when_one_has_to_wait_at_a_processor(inside: bool) -> None:
    """The task of Late pushes behind words that have not reached it: these then wait behind its push, and whatever
    follows them in the stream waits as well, though Late does not handle it."""

    class Late(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame

    late = Late()
    async with rig(Parallel([Processor()], [late], [Processor()]) if inside else late) as call:
        with jammed(call):
            call.push(TranscriptionFrame("first"))
            late.push(TranscriptionFrame("its own"))
            call.push(InterimTranscriptionFrame("second"))
        await call.ends()
    assert [f.text for f in call.result.down if isinstance(f, TranscriptionFrame | InterimTranscriptionFrame)] == [
        "its own",
        "first",
        "second",
    ]


async def test_a_frame_that_has_to_wait_in_a_branch_still_leaves_its_block_once() -> None:
    class Passes(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame

    late = Passes()
    async with rig(Parallel([late], [Passes()])) as call:
        with jammed(call):
            call.push(TranscriptionFrame("first"))
            late.push(TranscriptionFrame("its own"))
        await call.ends()
    assert sorted(call.result.texts) == ["first", "its own"]


async def test_a_handler_that_returns_what_is_no_frame_is_reported_and_costs_nothing_else() -> None:
    class Odd(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Any:
            self.push(MessageFrame("before"))
            return [frame, "text", MessageFrame("after")]

    result = await run(Odd(), frames=[MessageFrame("x")])
    assert messages(result.down) == ["before", "x", "after"]
    assert [str(error) for error in result.errors] == [
        "Odd.on_message returned 'text'. Return a `Frame`, a list of frames, or None. [processor.not-a-frame]"
    ]


async def test_a_forgotten_await_is_reported() -> None:
    async def answer() -> Frame:
        return MessageFrame("never")

    class Forgets(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Any:
            return answer()

    result = await run(Forgets(), frames=[MessageFrame("x")])
    assert "coroutine" in str(result.errors[0])


async def test_frames_beside_one_that_may_not_be_pushed_are_not_lost() -> None:
    class Wrong(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            for made in (MessageFrame("a"), EndFrame(), "text", CancelFrame(), MessageFrame("b")):
                self.push(made)  # type: ignore[arg-type]

    result = await run(Wrong(), frames=[MessageFrame("x")])
    assert messages(result.down) == ["a", "b"]
    assert sorted(error.code for error in result.errors if isinstance(error, ProcessorError)) == [
        "processor.not-a-frame",
        "processor.push-urgent",
        "processor.push-urgent",
    ]
    assert result.reason == "completed"


@pytest.mark.parametrize(
    "frame", [StartFrame(), EndFrame(), CancelFrame(), InterruptionFrame(1)], ids=lambda f: type(f).__name__
)
async def test_only_the_engine_makes_frames_of_the_life_of_a_call(frame: Frame) -> None:
    async with rig() as call:
        with pytest.raises(ProcessorError, match="which only the engine makes"):
            call.push(frame)
        with pytest.raises(ProcessorError, match="returned 'text'"):
            call.push("text")  # type: ignore[arg-type]


async def test_a_generator_that_raises_half_way_costs_only_the_rest_of_itself() -> None:
    class Generates(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Any:
            return self.frames()

        def frames(self) -> Any:
            yield MessageFrame("one")
            raise ValueError("half way")

    class Two(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Any:
            return [frame, MessageFrame("sibling")]

    result = await run(Two(), Generates(), frames=[MessageFrame("x")])
    assert messages(result.down) == ["one", "one"]
    assert len(result.errors) == 2


async def test_frames_that_go_round_in_a_circle_end_the_call_and_name_the_processor() -> None:
    class Down(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.push(MessageFrame("up"), upstream=True)

    class Up(Processor):
        @handles(MessageFrame, upstream=True)
        def on_message(self, frame: MessageFrame) -> None:
            self.push(MessageFrame("down"))

    async with rig(Up(), Down(), engine_settings=EngineSettings(cascade_frames=1_000)) as call:
        call.push(MessageFrame("x"))
        assert await call.call.wait_ended() == "error"
    [failed] = call.events("processor.failed")
    assert failed.data["code"] == "processor.endless"


# -- sweeps


class Swept(Processor):
    """Writes down when an interruption reaches it."""

    def __init__(self, order: list[str], name: str) -> None:
        self.order = order
        self.name = name

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> Frame | None:
        self.order.append(self.name)
        return None


class SweptFirst(Processor):
    def __init__(self, order: list[str], name: str) -> None:
        self.order = order
        self.name = name

    @handles(InterruptionFrame, upstream=True)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.order.append(self.name)


async def test_a_sweep_goes_from_sink_to_source_and_then_from_source_to_sink() -> None:
    order: list[str] = []
    line = [Swept(order, "a"), SweptFirst(order, "b"), Swept(order, "c"), SweptFirst(order, "d")]
    async with rig(*line) as call:
        call.call.interrupt()
        assert order == ["d", "b", "a", "c"]


class Decides(Processor):
    """Interrupts on "stop", in the middle of what it pushes."""

    decides_interruptions = True

    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame | None:
        if frame.data != "stop":
            return frame
        self.push(MessageFrame("before"))
        self.interrupt("asked")
        self.interrupt("asked")
        self.push(MessageFrame("after"))
        return frame


class Arrivals(Processor):
    def __init__(self, order: list[str]) -> None:
        self.order = order

    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame:
        self.order.append(frame.data)
        return frame

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.order.append("sweep")


async def test_an_interruption_in_a_handler_comes_when_it_returns_before_any_other_frame_and_once() -> None:
    order: list[str] = []
    result = await run(Decides(), Arrivals(order), frames=[MessageFrame("stop")])
    assert order == ["sweep", "before", "after", "stop"]
    assert len([e for e in result.events if e.kind == "interruption"]) == 1


async def test_an_interruption_in_a_sweep_joins_it_and_what_is_pushed_there_goes_to_the_queue() -> None:
    """Behind the cascade that runs; only what has yet to come by the place where it was pushed waits behind it."""
    order: list[str] = []

    class Joins(Processor):
        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> Frame:
            self.interrupt("again")
            self.push(MessageFrame("pushed"))
            return MessageFrame("returned")

    result = await run(Joins(), Decides(), Arrivals(order), frames=[MessageFrame("stop")])
    assert order == ["sweep", "before", "after", "stop", "pushed", "returned"]
    assert len([e for e in result.events if e.kind == "interruption"]) == 1

    order.clear()
    await run(Decides(), Joins(), Arrivals(order), frames=[MessageFrame("stop")])
    assert order == ["sweep", "pushed", "returned", "before", "after", "stop"]


async def test_an_interruption_overtakes_everything_that_waits() -> None:
    order: list[str] = []
    arrivals = Arrivals(order)
    async with rig(arrivals) as call:
        with jammed(call):
            for number in range(5):
                call.push(MessageFrame(str(number)))
            call.call.interrupt()
            call.call.interrupt()
        await call.ends()
    assert order == ["sweep", "0", "1", "2", "3", "4"]


async def test_pause_and_resume_overtake_and_keep_their_order() -> None:
    order: list[str] = []

    class Holds(Arrivals):
        @handles(PauseFrame)
        def on_pause(self, frame: PauseFrame) -> None:
            order.append("pause")

        @handles(ResumeFrame)
        def on_resume(self, frame: ResumeFrame) -> None:
            order.append("resume")

    class Asks(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.push(MessageFrame("first"))
            self.push(PauseFrame(0))
            self.push(ResumeFrame(0))

    async with rig(Asks(), Holds(order)) as call:
        with jammed(call):
            call.push(MessageFrame("x"))
            call.push(PauseFrame(0))
            call.push(ResumeFrame(0))
        await call.ends()
    assert order == ["pause", "resume", "pause", "resume", "first"]


async def test_an_interruption_in_the_sweep_of_a_pause_comes_right_behind_it() -> None:
    order: list[str] = []

    class Impatient(Processor):
        @handles(PauseFrame)
        def on_pause(self, frame: PauseFrame) -> None:
            order.append("pause")
            self.interrupt("no")

    async with rig(Impatient(), Arrivals(order)) as call:
        with jammed(call):
            call.push(MessageFrame("x"))
            call.push(PauseFrame(0))
        await call.ends()
    assert order == ["pause", "sweep", "x"]


async def test_a_failing_handler_of_an_interruption_does_not_stop_the_sweep() -> None:
    order: list[str] = []

    class Fails(Processor):
        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            raise ValueError("in the sweep")

    async with rig(Fails(), Arrivals(order)) as call:
        call.call.interrupt()
        assert order == ["sweep"]
        await call.ends()
    assert [type(error) for error in call.result.errors] == [ValueError]


async def test_a_reply_that_is_begun_after_interrupt_was_called_lives() -> None:
    class Pardons(Processor):
        decides_interruptions = True

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            old = self.begin_reply()
            self.interrupt("asked")
            new = self.begin_reply()
            self.push(TextFrame("old", old))
            self.push(TextFrame("new", new))

    result = await run(Pardons(), frames=[MessageFrame("x")])
    assert result.texts == ["new"]


# -- errors


class Raises(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame:
        raise ValueError(frame.data)


async def test_a_handler_that_raises_makes_an_error_frame_both_ways_and_an_event() -> None:
    result = await run(Raises(), frames=[MessageFrame("x"), MessageFrame("y")])
    assert [(f.source, str(f.error)) for f in result.down if isinstance(f, ErrorFrame)] == [
        ("Raises", "x"),
        ("Raises", "y"),
    ]
    assert [(f.source, str(f.error)) for f in result.up if isinstance(f, ErrorFrame)] == [
        ("Raises", "x"),
        ("Raises", "y"),
    ]
    first = next(e for e in result.events if e.kind == "processor.failed")
    assert (first.data["processor"], first.data["handler"], first.data["error"]) == (
        "Raises",
        "on_message",
        "ValueError",
    )
    assert result.reason == "completed"


async def test_an_error_while_an_error_is_handled_makes_no_further_frame() -> None:
    class Worse(Processor):
        @handles(ErrorFrame)
        def on_error(self, frame: ErrorFrame) -> Frame:
            raise KeyError("worse")

    class WorseUp(Processor):
        @handles(ErrorFrame, upstream=True)
        async def on_error(self, frame: ErrorFrame) -> Frame:
            raise KeyError("worse")

    result = await run(WorseUp(), Raises(), Worse(), frames=[MessageFrame("x")])
    assert result.errors == []
    assert sorted(e.data["processor"] for e in result.events if e.kind == "processor.failed") == [
        "Raises",
        "Worse",
        "WorseUp",
    ]


async def test_an_observer_that_raises_changes_nothing_for_the_frame() -> None:
    class Fails(Observer):
        @observes(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            raise ValueError("looking")

    result = await run(Fails(), frames=[MessageFrame("x")], observers=[Fails()])
    assert messages(result.down) == ["x"]
    assert sorted(e.data["processor"] for e in result.events if e.kind == "processor.failed") == ["Fails", "Fails#2"]


async def test_a_cancelled_error_of_a_handlers_own_making_is_an_ordinary_error() -> None:
    class Cancels(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            future.result()

    result = await run(Cancels(), frames=[MessageFrame("x"), TranscriptionFrame("goes on")])
    assert result.texts == ["goes on"]
    assert [e.data["error"] for e in result.events if e.kind == "processor.failed"] == ["CancelledError"]


# -- dead replies


async def test_no_handler_starts_on_a_frame_of_a_dead_reply_however_late_it_comes() -> None:
    seen: list[str] = []

    class Voice(Processor):
        async def read(self, reply: int) -> None:
            for number in range(4):
                self.push(TextFrame(str(number), reply))
                await asyncio.sleep(1)

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.spawn(self.read(self.begin_reply()), lasting=True)

    class Hears(Processor):
        @handles(TextFrame)
        def on_text(self, frame: TextFrame) -> Frame:
            seen.append(frame.text)
            return frame

    async with rig(Voice(), Hears()) as call:
        call.push(MessageFrame("x"))
        await asyncio.sleep(1.5)
        call.call.interrupt()
        await asyncio.sleep(5)
        await call.ends()
    assert seen == ["0", "1"]


async def test_a_reply_that_may_not_be_interrupted_survives() -> None:
    async with rig() as call:
        call.call.say("please hold", interruptible=False)
        call.call.say("and listen")
        assert len(call.result.down) == 6
        with jammed(call):
            call.call.say("please stay", interruptible=False)
            call.call.say("or go")
            call.call.interrupt()
        await call.ends()
    assert call.result.texts == ["please hold", "and listen", "please stay"]


# -- the ready queue and its bound


async def test_over_its_bound_the_queue_gives_up_dead_frames_then_the_oldest_audio() -> None:
    async with rig(engine_settings=EngineSettings(ready_frames=16)) as call:
        reply = call.call.replies.begin()
        with jammed(call):
            for _ in range(16):
                call.push(TextFrame("dies", reply))
            call.call.replies.raise_watermark(reply)
            for number in range(20):
                call.push(TextFrame("dead", reply), InputAudioFrame(Audio(bytes([number, 0]), PCM_8K)))
            call.push(TranscriptionFrame("kept"))
        await call.ends()
    audio = [frame.audio.data[0] for frame in call.result.down if isinstance(frame, InputAudioFrame)]
    assert audio == list(range(5, 20))
    assert call.result.texts == ["kept"]
    assert [(e.data["processor"], e.data["dropped"]) for e in call.events("processor.overflow")] == [
        ("_Source", 1),
        ("_Source", 2),
        ("_Source", 4),
    ]


async def test_words_over_the_bound_end_the_call_and_name_who_pushed_them() -> None:
    class Floods(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> None:
            for _ in range(5_000):
                self.push(TranscriptionFrame("x"))

    async with rig(Floods(), engine_settings=EngineSettings(ready_frames=16, tick_us=10)) as call:
        call.call.engine.dispatcher._direct = 255  # the loop has been busy: what comes now goes through the queue
        call.push(MessageFrame("x"))
        assert await call.call.wait_ended() == "error"
    [failed] = call.events("processor.failed")
    assert (failed.data["code"], failed.data["processor"]) == ("processor.overflow", "Floods")


async def test_a_control_frame_is_taken_over_any_bound() -> None:
    async with rig(engine_settings=EngineSettings(ready_frames=16)) as call:
        with jammed(call):
            for _ in range(16):
                call.push(TranscriptionFrame("x"))
            call.call.engine.request_end("completed")
        assert await call.call.wait_ended() == "completed"
    assert len(call.result.texts) == 16


# -- backpressure


class Slow(Processor):
    """Takes a second for each frame."""

    def __init__(self) -> None:
        self.done = 0

    @handles(TranscriptionFrame)
    async def on_words(self, frame: TranscriptionFrame) -> Frame:
        await asyncio.sleep(1)
        self.done += 1
        return frame


class Produces(Processor):
    """Pushes as fast as it may."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.most = 0
        self.woken_at: set[int] = set()  # how many waited when it was woken
        self.finished_s = -1.0

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.spawn(self.produce())

    async def produce(self) -> None:
        for number in range(self.count):
            self.push(TranscriptionFrame(str(number)))
            began_s = asyncio.get_running_loop().time()
            await self.drain()
            lane = self.call.engine.nodes[2].lane
            assert lane is not None
            self.most = max(self.most, len(lane.items))
            if asyncio.get_running_loop().time() > began_s:
                self.woken_at.add(len(lane.items))
        self.finished_s = asyncio.get_running_loop().time()


@pytest.mark.parametrize("bound", [4, 5, 8])
async def test_a_producer_that_drains_keeps_a_mailbox_under_half_and_goes_on_as_soon_as_it_may(bound: int) -> None:
    producer = Produces(20)
    settings = EngineSettings(mailbox_frames=bound, end_cap_ms=60_000)
    async with rig(producer, Slow(), engine_settings=settings) as call:
        await asyncio.sleep(19.5)
        assert 0 < producer.finished_s < 19.5  # it ran beside the consumer, not in bursts behind it
        await call.ends()
    assert producer.most * 2 < bound
    assert producer.woken_at == {(bound - 1) // 2}
    assert call.result.texts == [str(number) for number in range(20)]


@pytest.mark.parametrize("event", ["interruption", "end"])
async def test_interruption_and_end_wake_a_producer_that_waits(event: str) -> None:
    class Never(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(3600)
            return frame

    woken: list[float] = []

    class Waits(Processor):
        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> None:
            self.spawn(self.produce(), lasting=True)

        async def produce(self) -> None:
            try:
                for _ in range(3):
                    self.push(TranscriptionFrame("x"))
                await self.drain()
            finally:
                woken.append(asyncio.get_running_loop().time())

    settings = EngineSettings(mailbox_frames=4, end_margin_ms=1_000, cancel_grace_ms=100)
    async with rig(Waits(), Never(), engine_settings=settings) as call:
        await asyncio.sleep(1)
        assert woken == []
        if event == "interruption":
            call.call.interrupt()
        else:
            call.call.cancel()
        await asyncio.sleep(0.001)
        assert woken == [pytest.approx(1, abs=0.002)]


async def test_drain_is_refused_in_a_cascade() -> None:
    class Waits(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.drain().send(None)

    result = await run(Waits(), frames=[MessageFrame("x")])
    assert "from inside a cascade" in str(result.errors[0])


async def test_two_producers_that_wait_for_each_other_do_not_deadlock() -> None:
    """Down waits for Up's mailbox to empty, Up pushes upstream into Down's: only what is downstream is waited for."""

    class Down(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            for _ in range(3):
                self.push(TranscriptionFrame(frame.text))
                await self.drain()
            return frame

        @handles(MessageFrame, upstream=True)
        async def on_message(self, frame: MessageFrame) -> None:
            await asyncio.sleep(0.01)

    class Up(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.push(MessageFrame("got it"), upstream=True)
            await self.drain()
            return frame

    settings = EngineSettings(mailbox_frames=8)
    result = await run(Down(), Up(), frames=[TranscriptionFrame(str(n)) for n in range(4)], engine_settings=settings)
    assert len(result.texts) == 16
    assert result.reason == "completed"


# -- fairness


async def test_a_flooded_call_lets_others_run_after_each_portion() -> None:
    """Between two portions of the flood every neighbour gets its turn: counted in turns of the loop, not in time."""
    portions: list[int] = []

    class Counts(Processor):
        seen = 0

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            Counts.seen += 1

    settings = EngineSettings(tick_frames=8)
    async with rig(Counts(), engine_settings=settings) as flooded, rig(engine_settings=settings) as other:
        with jammed(flooded):
            for number in range(400):
                flooded.push(MessageFrame(number))
        while Counts.seen < 400:
            before = Counts.seen
            other.push(MessageFrame("me too"))
            await asyncio.sleep(0)
            portions.append(Counts.seen - before)
        assert len(other.result.down) == len(portions)
        await flooded.ends()
        await other.ends()
    assert max(portions) <= 8


async def test_popping_dead_frames_counts_as_work() -> None:
    async with rig(engine_settings=EngineSettings(tick_frames=8)) as call:
        reply = call.call.replies.begin()
        with jammed(call):
            for _ in range(80):
                call.push(TextFrame("dies", reply))
            call.call.replies.raise_watermark(reply)
        turns = 0
        while call.call.engine.dispatcher._ready:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 10
        await call.ends()
    assert call.result.texts == []


# -- contexts


async def test_the_current_call_is_right_in_every_handler_task_and_timer() -> None:
    wrong: list[str] = []

    class Asks(Processor):
        def check(self, where: str) -> None:
            if current_call.get(None) is not self.call:
                wrong.append(where)

        async def setup(self) -> None:
            self.check("setup")

        async def cleanup(self) -> None:
            self.check("cleanup")

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            self.check("def")
            self.spawn(self.task())
            asyncio.get_running_loop().call_later(0.1, self.check, "timer")
            return frame

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.check("async def")
            return frame

        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            self.check("sweep")

        @handles(EndFrame)
        def on_end(self, frame: EndFrame) -> None:
            self.check("end")

        async def task(self) -> None:
            self.check("task")
            self.push(TranscriptionFrame("from a task"))

    class Looks(Observer):
        @observes(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            if current_call.get(None) is not self.call:
                wrong.append("observer")

    async with rig(Asks(), observers=[Looks()]) as one, rig(Asks(), observers=[Looks()]) as two:
        foreign = contextvars.Context()
        for number in range(40):
            foreign.run(one.push, MessageFrame(number))  # a transport's callback
            two.call.send(MessageFrame(number))
        foreign.run(one.call.interrupt)
        two.call.interrupt()
        await asyncio.sleep(0.5)
        await one.ends()
        await two.ends()
    assert wrong == []
    assert current_call.get(None) is None


async def test_two_calls_that_push_into_each_other_do_not_nest() -> None:
    depth = most = 0

    class Across(Processor):
        other: Across

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            nonlocal depth, most
            depth += 1
            most = max(most, depth)
            if current_call.get() is not self.call:
                raise AssertionError("in the context of another call")
            if frame.data:
                self.other.call.send(MessageFrame(frame.data - 1))
            depth -= 1
            return frame

    one, two = Across(), Across()
    one.other, two.other = two, one
    async with rig(one) as first, rig(two) as second:
        first.push(MessageFrame(50))
        await asyncio.sleep(0.1)
        await first.ends()
        await second.ends()
    assert most == 1
    assert messages(first.result.down) == list(range(50, -1, -2))
    assert messages(second.result.down) == list(range(49, 0, -2))


async def test_calls_that_cancel_and_interrupt_each_other_in_sweeps_do_so_one_after_the_other() -> None:
    class Kills(Processor):
        other: Kills

        @handles(CancelFrame)
        def on_cancel(self, frame: CancelFrame) -> None:
            self.other.call.interrupt()
            self.other.call.cancel("killed")

        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            self.other.call.interrupt()

    one, two = Kills(), Kills()
    one.other, two.other = two, one
    async with rig(one) as first, rig(two) as second:
        first.call.cancel("first")
        assert await first.call.wait_ended() == "first"
        assert await second.call.wait_ended() == "killed"


async def test_frames_pushed_after_the_end_are_counted_and_go_nowhere() -> None:
    async with rig() as call:
        await call.ends()
        call.push(MessageFrame("late"))
        assert call.call.engine.dispatcher.late == 1
    assert call.result.down == []


async def test_the_time_of_a_frame_is_that_of_its_cause() -> None:
    class Later(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> Frame:
            await asyncio.sleep(1)
            return TranscriptionFrame("caused")

        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> list[Frame]:
            return [frame, InterimTranscriptionFrame("by return")]

    async with rig(Later(), Later()) as call:
        await asyncio.sleep(0.1)
        call.push(MessageFrame("x"))
        await asyncio.sleep(2)
        call.push(ReplyEndedFrame(1))
        await call.ends()
    assert [frame.at_ms for frame in call.result.down] == [100, 100, 2100]


async def test_say_frames_become_a_reply_where_they_are_pushed() -> None:
    result = await run(Say(), frames=[SayFrame("hello")])
    assert [type(frame).__name__ for frame in result.down] == ["ReplyStartedFrame", "TextFrame", "ReplyEndedFrame"]


async def test_to_push_the_frame_in_hand_is_to_return_it() -> None:
    from voiceframe.frames import UserTurnFrame

    class Passes(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            self.push(frame)

    class PassesWithMore(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            self.push(TranscriptionFrame("before"))
            self.push(frame)

    class PassesLater(Processor):
        @handles(UserTurnFrame)
        async def on_turn(self, frame: UserTurnFrame) -> None:
            await asyncio.sleep(1)
            self.push(frame)

    class Counts(Observer):
        def __init__(self) -> None:
            self.seen = 0

        @observes(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            self.seen += 1

    counts = Counts()
    result = await run(Passes(), PassesWithMore(), PassesLater(), observers=[counts], frames=[UserTurnFrame(1, "hi")])
    assert result.texts == ["before", "hi"]
    assert counts.seen == 1  # an observer of the whole pipeline sees it once, where it was made
    assert [event.kind for event in result.events].count("turn.committed") == 1
