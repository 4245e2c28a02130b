"""Replacing a processor in a running call: nothing of the caller is lost, handled twice, or out of order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Observer, Parallel, Processor, handles, observes
from voiceframe.call import current_call
from voiceframe.engine import EngineSettings
from voiceframe.errors import CallEnded, LinkError, ProcessorError
from voiceframe.frames import (
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
)
from voiceframe.testing.run import rig


class Works(Processor):
    """Takes `takes_ms` for words and signs them."""

    def __init__(self, sign: str, *, takes_ms: int = 0, setup_ms: int = 0, fails: bool = False) -> None:
        self.sign = sign
        self.takes_ms = takes_ms
        self.setup_ms = setup_ms
        self.fails = fails
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        self.notes.append(f"{what} at {self.call.clock.at_ms()}")

    async def setup(self) -> None:
        await asyncio.sleep(self.setup_ms / 1000)
        if self.fails:
            raise ConnectionError("no route")
        assert current_call.get() is self.call

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.note("start")

    @handles(TranscriptionFrame)
    async def on_words(self, frame: TranscriptionFrame) -> Frame:
        await asyncio.sleep(self.takes_ms / 1000)
        return frame.replace(text=f"{frame.text}{self.sign}")

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.note("interruption")

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self.note("end")

    async def cleanup(self) -> None:
        self.note("cleanup")


class AtOnce(Processor):
    def __init__(self, sign: str) -> None:
        self.sign = sign

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        return frame.replace(text=f"{frame.text}{self.sign}")


async def test_the_old_one_finishes_what_it_has_and_then_the_new_one_begins() -> None:
    old, new = Works("-old", takes_ms=1000), Works("-new", setup_ms=500)
    async with rig(old) as call:
        call.push(TranscriptionFrame("a"), TranscriptionFrame("b"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.3)
        call.push(TranscriptionFrame("c"))  # the new one is being set up: the old one works on
        await asyncio.sleep(0.5)
        call.push(TranscriptionFrame("d"))
        await replacing
        assert call.call.clock.at_ms() == 3000
        await call.ends()
    assert call.result.texts == ["a-old", "b-old", "c-old", "d-new"]
    assert old.notes == ["start at 0", "end at 3000", "cleanup at 3000"]
    assert new.notes == ["start at 3000", "end at 3000", "cleanup at 3000"]
    assert [event.data for event in call.events("processor.replaced")] == [{"old": "Works", "new": "Works#2"}]


@given(st.lists(st.integers(0, 60), max_size=30), st.integers(0, 40), st.booleans(), st.booleans(), st.integers(0, 30))
async def test_every_frame_of_the_caller_meets_one_of_them_in_order(
    gaps_ms: list[int], replace_at: int, slow: bool, slow_new: bool, setup_ms: int
) -> None:
    old: Processor = Works("-old", takes_ms=45) if slow else AtOnce("-old")
    new: Processor = Works("-new", takes_ms=20, setup_ms=setup_ms) if slow_new else AtOnce("-new")
    async with rig(AtOnce("<"), Parallel([old], [AtOnce("?")]), AtOnce(">")) as call:
        replacing = None
        for number, gap_ms in enumerate(gaps_ms):
            if number == replace_at:
                replacing = asyncio.ensure_future(call.call.replace(old, new))
            call.push(TranscriptionFrame(f"{number:02}"))
            await asyncio.sleep(gap_ms / 1000)
        if replacing is not None:
            await replacing
        await call.ends()
    signed = [text for text in call.result.texts if "?" not in text]
    assert [text[:2] for text in signed] == [f"{number:02}" for number in range(len(gaps_ms))]
    olds = [text for text in signed if "-old" in text]
    assert signed[: len(olds)] == olds


@pytest.mark.parametrize("fails", ["raises", "hangs"])
async def test_when_the_new_one_cannot_be_set_up_the_old_one_stays(fails: str) -> None:
    old = Works("-old")
    new = Works("-new", fails=True) if fails == "raises" else Works("-new", setup_ms=3_600_000)
    async with rig(old, engine_settings=EngineSettings(setup_timeout_ms=1_000)) as call:
        with pytest.raises(ConnectionError if fails == "raises" else ProcessorError):
            await call.call.replace(old, new)
        call.push(TranscriptionFrame("a"))
        await asyncio.sleep(0.01)
        assert call.result.texts == ["a-old"]
        assert new._node is None  # cleaned up, and free again
        await call.ends()
    assert call.events("processor.replaced") == []


async def test_an_interruption_reaches_both_while_one_replaces_the_other() -> None:
    old, new = Works("-old", takes_ms=1000), Works("-new")
    async with rig(old) as call:
        reply = call.call.replies.begin()
        call.push(TranscriptionFrame("a"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.1)
        call.push(TranscriptionFrame("b"), TextFrame("spoken", reply))
        call.call.interrupt()
        await replacing
        await call.ends()
    assert "interruption at 100" in old.notes
    assert "interruption at 100" in new.notes
    assert call.result.texts == ["spoken", "a-old", "b-new"]  # what it says does not wait for what it hears


@pytest.mark.parametrize("phase_s", [0.2, 0.8])
@pytest.mark.parametrize("how", ["end", "hang up", "cancel"])
async def test_the_call_may_end_while_a_processor_is_replaced(phase_s: float, how: str) -> None:
    """While the new one is set up the replacement is given up; while the old one finishes it is finished, if it may."""
    old, new = Works("-old", takes_ms=1000), Works("-new", setup_ms=500)
    async with rig(old) as call:
        call.push(TranscriptionFrame("a"), TranscriptionFrame("b"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(phase_s)
        call.push(TranscriptionFrame("c"))
        match how:
            case "end":
                call.call.engine.request_end("completed")
            case "hang up":
                call.call.hang_up()
            case "cancel":
                call.call.cancel()
        await call.call.wait_ended()
        outcome = (await asyncio.gather(replacing, return_exceptions=True))[0]
    if phase_s == 0.2:
        assert isinstance(outcome, CallEnded)
        assert call.result.texts == ([] if how == "cancel" else ["a-old", "b-old", "c-old"])
    else:
        assert outcome is None
        assert call.result.texts == ([] if how == "cancel" else ["a-old", "b-old", "c-new"])
    for processor in (old, new):
        assert [note for note in processor.notes if note.startswith("cleanup")] == [processor.notes[-1]]


async def test_a_replaced_processors_reader_is_stopped() -> None:
    stopped: list[int] = []

    class Reads(Works):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            self.spawn(self.read(), lasting=True)

        async def read(self) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                stopped.append(self.call.clock.at_ms())

    old = Reads("-old")
    async with rig(old) as call:
        call.push(MessageFrame("x"))
        await asyncio.sleep(1)
        await call.call.replace(old, Works("-new"))
        assert stopped == [1000]
        await call.ends()


async def test_whoever_asks_may_be_cancelled() -> None:
    old, new = Works("-old"), Works("-new", setup_ms=1000)
    async with rig(old) as call:
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.5)
        replacing.cancel()
        await asyncio.sleep(1)
        call.push(TranscriptionFrame("a"))
        await call.ends()
    assert call.result.texts == ["a-old"]
    assert new._node is None


async def test_of_two_replacements_of_one_processor_the_faster_wins() -> None:
    old, fast, slow = Works("-old"), Works("-fast", setup_ms=100), Works("-slow", setup_ms=200)
    async with rig(old) as call:
        outcomes = await asyncio.gather(
            call.call.replace(old, slow), call.call.replace(old, fast), return_exceptions=True
        )
        assert isinstance(outcomes[0], LinkError)
        assert outcomes[1] is None
        call.push(TranscriptionFrame("a"))
        await call.ends()
    assert call.result.texts == ["a-fast"]
    assert [note for note in slow.notes if note.startswith("cleanup")] == ["cleanup at 200"]


async def test_an_old_one_that_never_finishes_is_cancelled_in_the_end() -> None:
    old, new = Works("-old", takes_ms=3_600_000), Works("-new")
    async with rig(old, engine_settings=EngineSettings(end_cap_ms=2_000, cancel_grace_ms=500)) as call:
        call.push(TranscriptionFrame("a"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.1)
        call.push(TranscriptionFrame("b"))
        await replacing
        assert call.call.clock.at_ms() == 2_500
        await call.ends()
    assert call.result.texts == ["b-new"]


class Source(Processor):
    role = "source"


class Sink(Processor):
    role = "sink"

    def __init__(self) -> None:
        self.texts: list[str] = []

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> None:
        self.texts.append(frame.text)


async def test_ends_are_replaced_by_ends() -> None:
    sink = Sink()
    async with rig(AtOnce("-x")) as call:
        with pytest.raises(LinkError, match="stands first in the pipeline, but it is not a source"):
            await call.call.replace(call.source, AtOnce("-new"))
        with pytest.raises(LinkError, match="stands last in the pipeline, but it is not a sink"):
            await call.call.replace(call.sink, AtOnce("-new"))
        await call.call.replace(call.source, Source())
        await call.call.replace(call.sink, sink)
        call.call.send(TranscriptionFrame("a"))
        await call.ends()
    assert sink.texts == ["a-x"]


async def test_what_cannot_take_the_place_is_refused() -> None:
    class Looks(Observer):
        @observes(Frame)
        def on_frame(self, frame: Frame) -> None: ...

    class Later(Processor):
        @handles(InterruptionFrame)
        async def on_interruption(self, frame: InterruptionFrame) -> None: ...

    class Decides(Processor):
        decides_interruptions = True

    old, looks, decides = AtOnce("-old"), Looks(), Decides()
    async with rig(old, decides, observers=[looks]) as call:
        refusals: list[tuple[Any, Any, str]] = [
            (AtOnce("-stranger"), AtOnce("-new"), "link.unknown"),
            (looks, AtOnce("-new"), "link.unknown"),
            (old, old, "link.shared"),
            (old, Later(), "link.async-urgent"),
            (old, Decides(), "link.two-deciders"),
        ]
        for which, by, code in refusals:
            with pytest.raises(LinkError) as refusal:
                await call.call.replace(which, by)
            assert refusal.value.code == code
        await call.call.replace(decides, Decides())
        await call.ends()
        with pytest.raises(CallEnded):
            await call.call.replace(old, AtOnce("-new"))


@pytest.mark.parametrize("kind", [Works, AtOnce])
async def test_what_the_new_one_does_not_take_stays_behind_what_the_old_one_holds(kind: type[Works | AtOnce]) -> None:
    class Narrow(Processor):
        """Takes other types of the same streams than the one before it."""

        @handles(InterimTranscriptionFrame)
        async def on_words(self, frame: InterimTranscriptionFrame) -> Frame:
            await asyncio.sleep(0.01)
            return frame

    old, new = Works("-old", takes_ms=1000), Narrow() if kind is Works else Processor()
    async with rig(old) as call:
        call.push(TranscriptionFrame("a"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.1)
        call.push(InterimTranscriptionFrame("b"), TranscriptionFrame("c"))
        await replacing
        call.push(TranscriptionFrame("d"))
        await call.ends()
    assert [getattr(frame, "text", "") for frame in call.result.down] == ["a-old", "b", "c", "d"]


async def test_a_replaced_processor_begins_nothing_any_more() -> None:
    old = AtOnce("-old")
    async with rig(old) as call:
        await call.call.replace(old, AtOnce("-new"))
        old.push(TranscriptionFrame("late"))
        with pytest.raises(
            ProcessorError, match=r"AtOnce has been replaced in call .*, so AtOnce.spawn\(sleep\) is not"
        ):
            old.spawn(asyncio.sleep(1))
        await call.ends()
    assert call.result.texts == []


async def test_a_processor_does_not_replace_itself() -> None:
    """It would wait for the end of the very work that waits for it."""

    class Selfless(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> None:
            await self.call.replace(self, AtOnce("-new"))

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.spawn(self.call.replace(self, AtOnce("-new")))
            return frame

    async with rig(Selfless()) as call:
        call.push(MessageFrame("x"), TranscriptionFrame("x"))
        await call.ends()
    assert [getattr(error, "code", None) for error in call.result.errors] == ["link.replaces-itself"] * 2
    assert "Selfless is to be replaced by work of its own" in str(call.result.errors[0])


async def test_a_concurrent_handler_of_the_new_one_waits_for_the_old_one_too() -> None:
    class Beside(Works):
        @handles(MessageFrame, concurrent=True)
        def on_message(self, frame: MessageFrame) -> Frame:
            return MessageFrame(f"{frame.data}{self.sign}")

    old, new = Beside("-old", takes_ms=1000), Beside("-new")
    async with rig(old) as call:
        call.push(TranscriptionFrame("a"))
        replacing = asyncio.ensure_future(call.call.replace(old, new))
        await asyncio.sleep(0.1)
        call.push(MessageFrame("b"))
        assert call.result.down == []
        await replacing
        await call.ends()
    assert [getattr(frame, "text", getattr(frame, "data", None)) for frame in call.result.down] == ["a-old", "b-new"]
