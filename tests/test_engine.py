"""A call as a whole: nothing is kept after it, it can be repeated, and it takes its part of a loop and no more."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import weakref
from typing import Any

import pytest

from voiceframe import Agent, Call, Observer, Parallel, Pipeline, Processor, handles, observes
from voiceframe.clock import run_virtual
from voiceframe.engine import EngineSettings
from voiceframe.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    MessageFrame,
    SayFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from voiceframe.testing import CallTranscript
from voiceframe.testing.run import rig, run
from voiceframe.transports.text import TextTransport

# -- what is kept


class Echo(Agent):
    async def reply(self, turn: UserTurnFrame) -> Any:
        await asyncio.sleep(0.1)
        yield f"You said {turn.text}."


class Swallows(Processor):
    """Leaves tasks behind that would not stop."""

    @handles(MessageFrame, on_interrupt="cancel")
    async def on_message(self, frame: MessageFrame) -> None:
        await self.never()

    async def never(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.spawn(self.never())
        self.spawn(self.never(), lasting=True)


class Refuses(Processor):
    """Catches even the exception with which its coroutine is closed, once."""

    @handles(MessageFrame, on_interrupt="cancel")
    async def on_message(self, frame: MessageFrame) -> None:
        for _ in range(3):
            with contextlib.suppress(BaseException):
                await asyncio.sleep(3600)


async def one_call(*processors: Processor, number: int) -> weakref.ref[Call]:
    transport = TextTransport(words_per_minute=0)
    settings = EngineSettings(cancel_grace_ms=10, unwind_ms=5)
    call = Call(transport, seed=number, engine_settings=settings)
    block = Parallel([*processors], [Processor()]) if processors else Parallel([Processor()])
    await call.start(Pipeline([transport.input(), block, Echo(greeting="Hello."), transport.output()]))
    call.send(MessageFrame("x"))
    transport.type("one")
    await asyncio.sleep(0.05)
    call.interrupt()
    transport.type("two")
    await asyncio.sleep(0.2)
    if number % 3 == 0:
        call.cancel()
    elif number % 3 == 1:
        call.hang_up()
    else:
        call.end()
    await call.wait_ended()
    return weakref.ref(call)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([], id="well behaved"),
        pytest.param([Swallows], id="swallowing", marks=pytest.mark.slow),
        pytest.param([Refuses], id="refusing", marks=pytest.mark.slow),
    ],
)
async def test_nothing_is_kept_of_a_thousand_calls(
    kinds: list[type[Processor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("voiceframe"), "disabled", True)  # what pytest keeps of a log is not ours
    for name in ("engine", "lane", "ending"):
        monkeypatch.setattr(logging.getLogger(f"voiceframe.{name}"), "disabled", True)
    for number in range(3):  # what is made once stays
        await one_call(*[kind() for kind in kinds], number=number)
    await asyncio.sleep(1)
    gc.collect()
    before = len(gc.get_objects())
    calls = [await one_call(*[kind() for kind in kinds], number=number) for number in range(1000)]
    await asyncio.sleep(1)
    gc.collect()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert sum(1 for call in calls if call() is not None) == 0
    del calls
    gc.collect()
    assert len(gc.get_objects()) - before < 100


async def test_calls_that_run_side_by_side_leave_nothing_either() -> None:
    calls = await asyncio.gather(*[one_call(number=number) for number in range(200)])
    await asyncio.sleep(1)
    gc.collect()
    assert sum(1 for call in calls if call() is not None) == 0


# -- what can be repeated


class Works(Processor):
    """Tasks, sleeps and dice, all of them the call's."""

    async def setup(self) -> None:
        await asyncio.sleep(self.call.rng.random() / 10)

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> Frame:
        for _ in range(3):
            self.spawn(self.work())
            self.spawn(self.work(), lasting=True)
        return frame

    async def work(self) -> None:
        try:
            await asyncio.sleep(self.call.rng.choice([0.1, 0.1, 0.2]))
            if self.call.rng.random() < 0.3:
                raise ValueError("at random")
            self.push(SayFrame("By the way."))
            await asyncio.sleep(3600)
        finally:
            self.fail(ValueError("stopped"))


async def repeatable(seed: int) -> str:
    transport, record = TextTransport(), CallTranscript()
    call = Call(transport, seed=seed, sinks=[record], engine_settings=EngineSettings(cancel_grace_ms=100))
    await call.start(Pipeline([transport.input(), Works(), Echo(greeting="Hello."), Works(), transport.output()]))
    for number in range(4):
        await asyncio.sleep(call.rng.random())
        transport.type(f"line {number}")
    call.cancel()
    await call.wait_ended()
    return record.lines(wall=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_events_to_the_byte(seed: int) -> None:
    first = run_virtual(repeatable(seed))
    keep = [object() for _ in range(1000)]  # so that the next run's objects lie elsewhere
    assert run_virtual(repeatable(seed)) == first
    assert "processor.failed" in first
    del keep


# -- one loop for many


async def test_two_hundred_calls_stay_fair_beside_a_flooded_one() -> None:
    """Whatever one call is flooded with, between two of its portions each of the others has its turn."""
    handled: list[str] = []

    class Counts(Processor):
        def __init__(self, who: str) -> None:
            self.who = who

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            handled.append(self.who)

    settings = EngineSettings(tick_frames=16)
    async with contextlib.AsyncExitStack() as stack:
        flooded = await stack.enter_async_context(rig(Counts("flooded"), engine_settings=settings))
        others = [await stack.enter_async_context(rig(Counts(str(n)), engine_settings=settings)) for n in range(200)]
        state = flooded.call.engine.dispatcher.state
        state.running = object()  # type: ignore[assignment]  # all of it arrives at once
        for _ in range(1000):
            flooded.push(MessageFrame("x"))
        for other in others:
            for _ in range(5):
                other.push(MessageFrame("x"))
        state.running = None
        while len(handled) < 2000:  # noqa: ASYNC110  # turn by turn
            await asyncio.sleep(0)
        # The last frame of every neighbour came through while the flood had hardly begun.
        last = max(index for index, who in enumerate(handled) if who != "flooded")
        assert handled[:last].count("flooded") <= 16
        for call in (flooded, *others):
            await call.ends()


async def test_a_task_that_pushes_without_a_pause_does_not_keep_the_loop() -> None:
    class Floods(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.spawn(self.flood())

        async def flood(self) -> None:
            for number in range(1000):
                self.push(TranscriptionFrame(str(number)))

    settings = EngineSettings(tick_frames=64)
    async with rig(Floods(), engine_settings=settings) as call:
        call.push(MessageFrame("x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(call.result.texts) <= 256 + 64  # the rest waits for its turn
        await call.ends()
    assert call.result.texts == [str(number) for number in range(1000)]


# -- what the engine makes of errors and control frames


async def test_a_fatal_error_frame_ends_the_call_and_is_told_once() -> None:
    told: list[str] = []

    class Hears(Processor):
        @handles(ErrorFrame)
        def on_error(self, frame: ErrorFrame) -> None:
            told.append(f"{self.name} {frame.source} {frame.error}")

        @handles(ErrorFrame, upstream=True)
        def on_error_up(self, frame: ErrorFrame) -> None:
            told.append(f"up {self.name} {frame.source} {frame.error}")

    hears = Hears()
    async with rig(hears, Processor()) as call:
        call.push(ErrorFrame(ValueError("broken"), "line", fatal=True))
        call.push(ErrorFrame(ValueError("again"), "line", fatal=True))
        assert await call.call.wait_ended() == "error"
    assert told == ["up Hears line broken", "Hears line broken"]
    assert [event.data["fatal"] for event in call.events("processor.failed")] == [True]


async def test_a_handler_that_fails_over_and_over_is_reported_ever_more_rarely() -> None:
    class Fails(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            raise ValueError(frame.data)

    result = await run(Fails(), frames=[MessageFrame(number) for number in range(100)])
    assert len([event for event in result.events if event.kind == "processor.failed"]) == 10 + 3  # 16, 32, 64
    assert len(result.errors) == 100  # the frames come all the same


async def test_observers_of_a_pipeline_see_each_frame_once_where_it_is_made() -> None:
    seen: list[str] = []

    class Sees(Observer):
        @observes(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            seen.append(frame.data)

        @observes(StartFrame)
        def on_start(self, frame: StartFrame) -> None:
            seen.append("start")

        @observes(EndFrame)
        def on_end(self, frame: EndFrame) -> None:
            seen.append("end")

        @observes(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            seen.append("interruption")

        @observes(TextFrame)
        def on_text(self, frame: TextFrame) -> None:
            seen.append(frame.text)

    class Passes(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            return frame

        @handles(MessageFrame, upstream=True)
        async def on_message_up(self, frame: MessageFrame) -> Frame:
            return frame

    async with rig(Passes(), Parallel([Passes()], [Passes()]), Passes(), observers=[Sees()]) as call:
        call.push(MessageFrame("down"))
        call.up(MessageFrame("up"))
        call.call.say("hello")
        await asyncio.sleep(0)
        call.call.interrupt()
        await call.ends()
    assert seen == ["start", "down", "up", "hello", "interruption", "end"]


async def test_a_processor_may_say_what_the_engine_expands_and_numbers() -> None:
    async with rig() as call:
        call.push(UserTurnFrame(1, "hello"), SayFrame("to you"), SayFrame("and to nobody"))
        await call.ends()
    assert [(event.data["reply"], event.data["turn"]) for event in call.events("reply.started")] == [(1, 1), (2, 1)]


async def test_dice_of_the_call_are_not_thrown_by_its_log() -> None:
    """How many events are written must not change what the call draws."""
    drawn = []
    for count in (0, 5):
        async with rig(seed=3) as call:
            for _ in range(count):
                call.call.interrupt()
            drawn.append(call.call.rng.random())
    assert drawn[0] == drawn[1] == pytest.approx(drawn[0])
    assert random.Random(3).random() != drawn[0]  # it has named the call before
