"""How a processor says which frames it takes, and what it may ask of the engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voiceframe import Observer, Processor, handles, observes
from voiceframe.errors import CallEnded, HandlerError, ProcessorError
from voiceframe.events import CallAnswered
from voiceframe.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    StartFrame,
    Stream,
    TextFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
)
from voiceframe.testing import Up
from voiceframe.testing.run import rig, run

# -- declarations


class Special(TranscriptionFrame):
    """A type of the application."""

    __slots__ = ()


async def test_the_most_specific_type_wins() -> None:
    class Takes(Processor):
        @handles(Frame)
        def on_any(self, frame: Frame) -> Frame:
            return MessageFrame(f"any {type(frame).__name__}")

        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return MessageFrame(f"words {type(frame).__name__}")

    result = await run(Takes(), frames=[TranscriptionFrame("x"), Special("x"), InterimTranscriptionFrame("x")])
    assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == [
        "words TranscriptionFrame",
        "words Special",
        "any InterimTranscriptionFrame",
    ]


async def test_a_handler_of_every_frame_takes_none_of_the_life_of_the_call() -> None:
    seen: list[str] = []

    class Greedy(Processor):
        @handles(Frame)
        def on_any(self, frame: Frame) -> None:
            seen.append(type(frame).__name__)

    class Curious(Observer):
        @observes(Frame)
        def on_any(self, frame: Frame) -> None:
            seen.append(type(frame).__name__)

    async with rig(Greedy(), observers=[Curious()]) as call:
        call.push(UpdateSettingsFrame("x", {}))
        call.call.interrupt()
        assert await call.ends() == "completed"
    assert seen == []


async def test_directions_have_handlers_of_their_own() -> None:
    class Both(Processor):
        @handles(MessageFrame)
        def down(self, frame: MessageFrame) -> Frame:
            return MessageFrame(f"down {frame.data}")

        @handles(MessageFrame, upstream=True)
        def up(self, frame: MessageFrame) -> Frame:
            return MessageFrame(f"up {frame.data}")

    result = await run(Both(), frames=[MessageFrame("a"), Up(MessageFrame("b"))])
    assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == ["down a"]
    assert [frame.data for frame in result.up if isinstance(frame, MessageFrame)] == ["up b"]


async def test_an_override_keeps_the_declaration_of_its_base() -> None:
    class Base(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            return MessageFrame("base")

    class Derived(Base):
        def on_message(self, frame: MessageFrame) -> Frame:
            return MessageFrame("derived")

    class Async(Base):
        async def on_message(self, frame: MessageFrame) -> Frame:  # type: ignore[override]
            await asyncio.sleep(1)
            return MessageFrame("async")

    for processor, said in ((Base(), "base"), (Derived(), "derived"), (Async(), "async")):
        result = await run(processor, frames=[MessageFrame("x")])
        assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == [said]


def generator(self: Any, frame: Any) -> Any:
    yield frame


async def async_generator(self: Any, frame: Any) -> Any:
    yield frame


async def coroutine(self: Any, frame: Any) -> None: ...


def function(self: Any, frame: Any) -> None: ...


@pytest.mark.parametrize(
    ("code", "declare"),
    [
        ("handler.no-types", lambda: handles()(function)),
        ("handler.no-types", lambda: observes()(function)),
        ("handler.not-a-frame", lambda: handles(str)(function)),  # type: ignore[type-var]
        ("handler.not-a-frame", lambda: handles(TextFrame("x", 1))(function)),  # type: ignore[call-overload]
        ("handler.generator", lambda: handles(TextFrame)(generator)),
        ("handler.generator", lambda: handles(TextFrame)(async_generator)),
        ("handler.async-observer", lambda: observes(TextFrame)(coroutine)),  # type: ignore[arg-type]
        ("handler.concurrent-async", lambda: handles(TextFrame, concurrent=True)(coroutine)),
        ("handler.interrupt-mode", lambda: handles(TextFrame, on_interrupt="stop")(function)),  # type: ignore[call-overload]
    ],
)
def test_a_declaration_that_cannot_work_is_refused_where_it_stands(code: str, declare: Any) -> None:
    with pytest.raises(HandlerError) as refusal:
        declare()
    assert refusal.value.code == code


def test_two_handlers_for_one_type_and_direction_are_refused() -> None:
    with pytest.raises(HandlerError, match=r"Twice.one and Twice.two both take TextFrame in the same direction"):

        class Twice(Processor):
            @handles(TextFrame)
            def one(self, frame: TextFrame) -> Frame:
                return frame

            @handles(MessageFrame, TextFrame)
            def two(self, frame: Frame) -> Frame:
                return frame


def test_an_override_may_not_turn_an_observer_into_a_coroutine() -> None:
    class Looks(Processor):
        @observes(TextFrame)
        def look(self, frame: TextFrame) -> None: ...

    with pytest.raises(HandlerError, match="must not make the call wait"):

        class Later(Looks):
            async def look(self, frame: TextFrame) -> None: ...  # type: ignore[override]


# -- before and after the call


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p.push(MessageFrame("x")),
        lambda p: p.interrupt("x"),
        lambda p: p.begin_reply(),
        lambda p: p.alive(1),
        lambda p: p.spawn(asyncio.sleep(0)),
        lambda p: p.emit(CallAnswered()),
        lambda p: p.fail(ValueError()),
        lambda p: p.call,
    ],
)
def test_a_processor_that_is_in_no_call_says_so(use: Any) -> None:
    with pytest.raises(ProcessorError, match=r"Processor\.\w+\(\) was called before the processor was part"):
        use(Processor())


async def test_drain_and_offload_need_a_call_too() -> None:
    for coro in (Processor().drain(), Processor().offload(len, "")):
        with pytest.raises(ProcessorError, match="before the processor was part"):
            await coro
    Processor().drained()  # may come at any time


async def test_after_the_end_nothing_can_be_begun() -> None:
    processor = Processor()
    async with rig(processor) as call:
        await call.ends()
        with pytest.raises(CallEnded, match=r"so Processor.spawn\(sleep\) is not possible"):
            processor.spawn(asyncio.sleep(1))
        processor.push(MessageFrame("late"))
        processor.interrupt("late")
        await processor.drain()
        assert processor.begin_reply() == 0
        assert not processor.alive(1)


async def test_frames_pushed_in_setup_wait_for_those_who_are_not_set_up() -> None:
    class Early(Processor):
        async def setup(self) -> None:
            self.push(MessageFrame("early"))

    class Late(Processor):
        async def setup(self) -> None:
            await asyncio.sleep(2)
            self.is_set_up = True

        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> Frame:
            return MessageFrame("start")

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            assert self.is_set_up
            return frame

    result = await run(Early(), Late())
    assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == ["start", "early"]


async def test_the_start_is_the_first_frame_that_each_processor_sees_and_waits_for_nobody() -> None:
    seen: list[tuple[str, str, int]] = []

    class Sees(Processor):
        def __init__(self, name: str, setup_ms: int) -> None:
            self.name = name
            self.setup_ms = setup_ms

        def note(self, what: str) -> None:
            seen.append((self.name, what, self.call.clock.at_ms()))

        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> Frame:
            self.note("message")
            return frame

    class Plain(Sees):
        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> None:
            self.note("start")

    class WithSetup(Plain):
        async def setup(self) -> None:
            await asyncio.sleep(self.setup_ms / 1000)

    class Async(Sees):
        @handles(StartFrame)
        async def on_start(self, frame: StartFrame) -> None:
            await asyncio.sleep(0.1)
            self.note("start")

    line = [Plain("a", 0), WithSetup("b", 500), Plain("c", 0), Async("d", 0), WithSetup("e", 200)]
    await run(*line, frames=[MessageFrame("x")])
    assert seen == [
        ("a", "start", 0),
        ("c", "start", 0),
        ("a", "message", 0),
        ("d", "start", 100),
        ("e", "start", 200),
        ("b", "start", 500),
        ("b", "message", 500),
        ("c", "message", 500),
        ("d", "message", 500),
        ("e", "message", 500),
    ]


async def test_an_observer_sees_after_its_setup_what_came_before() -> None:
    seen: list[str] = []

    class Looks(Observer):
        async def setup(self) -> None:
            await asyncio.sleep(1)
            seen.append("set up")

        @observes(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            seen.append(frame.data)

    async with rig(Looks(), observers=[Looks()]) as call:
        call.push(MessageFrame("early"))
        assert call.result.down != []  # nobody waits for those who only look
        await asyncio.sleep(2)
        call.push(MessageFrame("late"))
        await call.ends()
    assert seen == ["set up", "early", "set up", "early", "late", "late"]


# -- what it may ask


async def test_spawned_work_that_raises_is_reported_like_a_handler() -> None:
    class Works(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.spawn(self.work())

        async def work(self) -> None:
            raise ValueError("in a task")

    result = await run(Works(), frames=[MessageFrame("x")])
    assert [str(error) for error in result.errors] == ["in a task"]
    assert [e.data["handler"] for e in result.events if e.kind == "processor.failed"] == ["work"]


async def test_fail_reports_as_if_a_handler_had_raised() -> None:
    class Fails(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.fail(ValueError("quietly"))

    result = await run(Fails(), frames=[MessageFrame("x")])
    assert [str(error) for error in result.errors] == ["quietly"]
    assert result.reason == "completed"


async def test_a_fatal_failure_is_told_to_all_and_ends_the_call() -> None:
    told: list[str] = []

    class Fails(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.fail(ValueError("badly"), fatal=True)

    class Hears(Processor):
        @handles(ErrorFrame)
        def on_error(self, frame: ErrorFrame) -> None:
            told.append(f"{frame.source} {frame.fatal}")

        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            told.append("interruption")

        @handles(EndFrame)
        def on_end(self, frame: EndFrame) -> None:
            told.append(frame.reason)

    async with rig(Hears(), Fails()) as call:
        call.push(MessageFrame("x"))
        assert await call.call.wait_ended() == "error"
    assert told == ["Fails True", "interruption", "error"]


async def test_offload_runs_inline_on_virtual_time_and_takes_the_time_that_it_is_given() -> None:
    class Computes(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> Frame:
            value = await self.offload(sum, [1, 2, 3], virtual_ms=250)
            return MessageFrame((value, self.call.clock.at_ms()))

    result = await run(Computes(), frames=[MessageFrame("x")])
    assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == [(6, 250)]


# -- development mode


class Forgets(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None: ...


class ForgetsLater(Processor):
    @handles(MessageFrame)
    async def on_message(self, frame: MessageFrame) -> None: ...


class LetsSome(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame | None:
        return frame if frame.data == 40 else None


class PushesLater(Processor):
    @handles(MessageFrame)
    async def on_message(self, frame: MessageFrame) -> None:
        self.push(MessageFrame("pushed"))


class Answers(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.push(MessageFrame("answer"), upstream=True)


@pytest.mark.parametrize(
    ("processor", "named"),
    [(Forgets, True), (ForgetsLater, True), (LetsSome, False), (PushesLater, False), (Answers, False)],
)
async def test_development_mode_names_who_takes_frames_and_lets_none_through(
    processor: type[Processor], named: bool
) -> None:
    result = await run(processor(), frames=[MessageFrame(number) for number in range(60)])
    swallows = [e for e in result.events if e.kind == "processor.swallows"]
    expected = [{"processor": processor.__name__, "frame": "MessageFrame", "count": 50}]
    assert [event.data for event in swallows] == (expected if named else [])


async def test_a_frame_that_nobody_takes_reaches_the_other_end() -> None:
    class Deaf(Processor):
        @handles(TextFrame)
        def on_text(self, frame: TextFrame) -> None: ...

    result = await run(Deaf(), Deaf(), frames=[TranscriptionFrame("hello")])
    assert result.texts == ["hello"]


async def test_an_override_may_take_other_types() -> None:
    class Base(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame.replace(text="base")

    class Derived(Base):
        @handles(TextFrame)
        def on_words(self, frame: TextFrame) -> Frame:  # type: ignore[override]
            return frame.replace(text="derived")

    result = await run(Derived(), frames=[TranscriptionFrame("a"), TextFrame("b", 1)])
    assert result.texts == ["a", "derived"]


def test_the_same_type_in_both_directions_is_no_conflict() -> None:
    class Both(Processor):
        @handles(TextFrame)
        def down(self, frame: TextFrame) -> None: ...

        @handles(TextFrame, upstream=True)
        def up(self, frame: TextFrame) -> None: ...

    assert len(Both.table.handlers) == 2


def test_frames_are_copied_with_changes_and_refuse_unknown_ones() -> None:
    frame = TranscriptionFrame("hello", language="en", at_ms=7)
    other = frame.replace(text="bye")
    assert (other.text, other.language, other.at_ms, frame.text) == ("bye", "en", 7, "hello")
    with pytest.raises(TypeError, match="colour"):
        frame.replace(colour="red")
    for frame_type in (StartFrame, EndFrame, InterruptionFrame):
        assert not hasattr(frame_type, "__dict__") or "__slots__" in frame_type.__dict__


def test_a_frame_type_keeps_the_stream_of_its_base() -> None:
    class Own(TranscriptionFrame):
        __slots__ = ()

    assert Own("hello").replace(text="bye") == Own("bye")
    with pytest.raises(TypeError, match="Stray is a TranscriptionFrame, so it must keep its `stream`"):

        class Stray(TranscriptionFrame):
            stream = Stream.CONTROL
