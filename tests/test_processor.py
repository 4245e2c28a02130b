"""Declaring handlers: which one takes a frame, and what is refused where the class is defined."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceframe.errors import HandlerError
from voiceframe.frames import EndFrame, Frame, InterruptionFrame, StartFrame, TextFrame, TranscriptionFrame
from voiceframe.processor import Processor, handles, observes
from voiceframe.testing import run


class Special(TranscriptionFrame):
    __slots__ = ()


async def test_the_most_specific_type_wins() -> None:
    seen: list[str] = []

    class Picky(Processor):
        @handles(Frame)
        def anything(self, frame: Frame) -> Frame:
            seen.append(f"any {type(frame).__name__}")
            return frame

        @handles(TranscriptionFrame)
        def words(self, frame: TranscriptionFrame) -> Frame:
            seen.append(f"words {type(frame).__name__}")
            return frame

    await run(Picky(), frames=[TranscriptionFrame("a"), Special("b"), TextFrame("c", 1)])
    assert seen == ["words TranscriptionFrame", "words Special", "any TextFrame"]


async def test_a_general_handler_never_takes_the_life_of_the_call() -> None:
    taken: list[str] = []

    class Greedy(Processor):
        @handles(Frame)
        def anything(self, frame: Frame) -> None:
            taken.append(type(frame).__name__)

    result = await run(Greedy(), frames=[TranscriptionFrame("a")])
    assert taken == ["TranscriptionFrame"]
    assert result.reason == "completed"


async def test_a_frame_that_nobody_takes_reaches_the_other_end() -> None:
    class Deaf(Processor):
        @handles(TextFrame)
        def on_text(self, frame: TextFrame) -> None: ...

    result = await run(Deaf(), Deaf(), frames=[TranscriptionFrame("hello")])
    assert result.texts == ["hello"]


async def test_a_handler_returns_nothing_one_frame_or_several() -> None:
    class Splits(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> list[Frame]:
            return [frame.replace(text=word) for word in frame.text.split()]

    assert (await run(Splits(), frames=[TranscriptionFrame("a b c"), TranscriptionFrame("")])).texts == ["a", "b", "c"]


async def test_what_a_handler_makes_has_the_media_time_of_its_cause() -> None:
    class Makes(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.push(TextFrame("pushed", 1))
            return TextFrame("returned", 1)

    result = await run(Makes(), frames=[TranscriptionFrame("a", at_ms=1_234)])
    assert [(frame.at_ms, frame.text) for frame in result.down if isinstance(frame, TextFrame)] == [
        (1_234, "pushed"),
        (1_234, "returned"),
    ]


async def test_an_override_keeps_the_declaration_of_its_base() -> None:
    class Base(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame.replace(text="base")

    class Derived(Base):
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame.replace(text="derived")

    assert (await run(Derived(), frames=[TranscriptionFrame("a")])).texts == ["derived"]


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


async def test_processors_of_one_class_are_numbered_in_events() -> None:
    class Broken(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.fail(ValueError(self.name))
            return frame

    result = await run(Broken(), Broken(), Broken(), frames=[TranscriptionFrame("a")])
    assert [str(error) for error in result.errors] == ["Broken", "Broken#2", "Broken#3"]


def no_types() -> None:
    @handles()  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    def on_nothing(self: Processor, frame: Frame) -> None: ...


def not_a_frame() -> None:
    @handles(str)  # type: ignore[call-overload,type-var,untyped-decorator,unused-ignore]
    def on_text(self: Processor, frame: object) -> None: ...


def generator() -> None:
    @handles(TextFrame)  # type: ignore[arg-type,type-var,unused-ignore]
    async def on_text(self: Processor, frame: TextFrame):  # type: ignore[no-untyped-def]
        yield frame


def sync_generator() -> None:
    @handles(TextFrame)  # type: ignore[arg-type,type-var,unused-ignore]
    def on_text(self: Processor, frame: TextFrame):  # type: ignore[no-untyped-def]
        yield frame


def async_observer() -> None:
    @observes(TextFrame)  # type: ignore[arg-type,unused-ignore]
    async def on_text(self: Processor, frame: TextFrame) -> None: ...


def concurrent_async() -> None:
    @handles(TextFrame, concurrent=True)
    async def on_text(self: Processor, frame: TextFrame) -> None: ...


def interrupt_mode() -> None:
    @handles(TextFrame, on_interrupt="stop")  # type: ignore[call-overload,untyped-decorator,unused-ignore]
    async def on_text(self: Processor, frame: TextFrame) -> None: ...


def twice() -> None:
    class Twice(Processor):
        @handles(TextFrame)
        def one(self, frame: TextFrame) -> None: ...

        @handles(TextFrame)
        def two(self, frame: TextFrame) -> None: ...


def async_override_of_an_observer() -> None:
    class Base(Processor):
        @observes(TextFrame)
        def on_text(self, frame: TextFrame) -> None: ...

    class Derived(Base):
        async def on_text(self, frame: TextFrame) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("declare", "code"),
    [
        (no_types, "handler.no-types"),
        (not_a_frame, "handler.not-a-frame"),
        (generator, "handler.generator"),
        (sync_generator, "handler.generator"),
        (async_observer, "handler.async-observer"),
        (async_override_of_an_observer, "handler.async-observer"),
        (concurrent_async, "handler.concurrent-async"),
        (interrupt_mode, "handler.interrupt-mode"),
        (twice, "handler.twice"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_where_it_stands(declare: Callable[[], None], code: str) -> None:
    with pytest.raises(HandlerError) as caught:
        declare()
    assert caught.value.code == code


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
