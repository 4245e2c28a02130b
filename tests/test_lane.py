"""The mailbox of a processor with `async def` handlers: order, interruption, its bound, and handlers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from voiceframe import Processor, handles
from voiceframe.audio import PCM_8K, Audio
from voiceframe.engine import EngineSettings
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    EndFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    TextFrame,
    ToolResultFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserStoppedSpeakingFrame,
)
from voiceframe.testing.run import rig, run


def audio(number: int) -> InputAudioFrame:
    return InputAudioFrame(Audio(bytes([number, 0]), PCM_8K))


class Slow(Processor):
    """Takes a second for words."""

    @handles(TranscriptionFrame)
    async def on_words(self, frame: TranscriptionFrame) -> Frame:
        await asyncio.sleep(1)
        return frame


# -- order


async def test_a_slow_handler_delays_its_stream_at_its_processor_and_nothing_else() -> None:
    async with rig(Slow()) as call:
        call.push(
            TranscriptionFrame("words"), InterimTranscriptionFrame("same stream"), audio(1), ToolResultFrame("id")
        )
        assert [type(frame) for frame in call.result.down] == [InputAudioFrame, ToolResultFrame]
        await call.ends()
    assert [type(frame) for frame in call.result.down[2:]] == [TranscriptionFrame, InterimTranscriptionFrame]


async def test_an_end_of_turn_never_overtakes_its_own_last_words() -> None:
    result = await run(Slow(), frames=[TranscriptionFrame("my number is"), UserStoppedSpeakingFrame()])
    assert [type(frame) for frame in result.down] == [TranscriptionFrame, UserStoppedSpeakingFrame]


async def test_one_line_for_all_handlers_of_a_processor() -> None:
    class Mixed(Slow):
        @handles(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> Frame:
            return frame

    async with rig(Mixed()) as call:
        call.push(TranscriptionFrame("first"), audio(1))
        assert call.result.down == []
        await call.ends()
    assert [type(frame) for frame in call.result.down] == [TranscriptionFrame, InputAudioFrame]


class Concurrent(Slow):
    async def setup(self) -> None:
        await asyncio.sleep(0.5)

    @handles(InputAudioFrame, concurrent=True)
    def on_audio(self, frame: InputAudioFrame) -> Frame:
        return frame


async def test_a_concurrent_handler_does_not_wait_behind_the_mailbox() -> None:
    async with rig(Concurrent()) as call:
        await asyncio.sleep(1)
        call.push(TranscriptionFrame("first"), audio(1))
        assert [type(frame) for frame in call.result.down] == [InputAudioFrame]
        await call.ends()


async def test_a_concurrent_handler_waits_for_its_setup_and_then_keeps_its_order() -> None:
    async with rig(Concurrent()) as call:
        call.push(TranscriptionFrame("first"))
        call.push(*[audio(number) for number in range(3)])
        await asyncio.sleep(0.6)  # set up; the first words are being handled and the early audio waits behind them
        assert call.result.down == []
        call.push(audio(3))
        await asyncio.sleep(1)
        call.push(
            TranscriptionFrame("second"), audio(4)
        )  # all that was early is through: from now on beside the mailbox
        assert [f.audio.data[0] for f in call.result.down if isinstance(f, InputAudioFrame)] == [0, 1, 2, 3, 4]
        await call.ends()
    assert call.result.texts == ["first", "second"]


async def test_what_travels_the_other_way_does_not_wait() -> None:
    """A voice that is busy with text must not hold up what the output tells about it."""

    class Voice(Processor):
        @handles(TextFrame)
        async def on_text(self, frame: TextFrame) -> Frame:
            await asyncio.sleep(10)
            return frame

        @handles(HeardFrame, upstream=True)
        async def on_heard(self, frame: HeardFrame) -> Frame:
            return frame

    async with rig(Voice()) as call:
        reply = call.call.replies.begin()
        call.push(TextFrame("a long text", reply))
        call.up(BotStartedSpeakingFrame(reply))
        assert [type(frame) for frame in call.result.up] == [BotStartedSpeakingFrame]


async def test_control_frames_wait_for_all_that_was_before_them() -> None:
    seen: list[str] = []

    class Updates(Slow):
        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> None:
            seen.append(f"update at {self.call.clock.at_ms()}")
            self.push(MessageFrame("updated"))

    async with rig(Slow(), Updates()) as call:
        call.push(TranscriptionFrame("first"), UpdateSettingsFrame("x", {}), TranscriptionFrame("second"))
        await call.ends()
    assert seen == ["update at 2000"]
    assert [type(frame).__name__ for frame in call.result.down] == [
        "TranscriptionFrame",
        "MessageFrame",
        "TranscriptionFrame",
    ]


async def test_control_frames_go_on_whatever_a_handler_does_with_them() -> None:
    class Raises(Processor):
        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> None:
            raise ValueError("no")

    class RaisesLater(Processor):
        @handles(UpdateSettingsFrame, EndFrame)
        async def on_control(self, frame: Frame) -> None:
            raise ValueError("no")

    class Keeps(Processor):
        @handles(UpdateSettingsFrame, EndFrame)
        def on_control(self, frame: Frame) -> None: ...

    class Arrives(Processor):
        seen = 0

        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> Frame:
            Arrives.seen += 1
            return frame

    result = await run(Raises(), RaisesLater(), Keeps(), Arrives(), frames=[UpdateSettingsFrame("x", {})])
    assert Arrives.seen == 1
    assert result.reason == "completed"


async def test_a_lane_yields_to_others() -> None:
    """An async handler that never suspends: between 16 frames of it everybody else has a turn."""
    turns = 0

    class Busy(Processor):
        done = 0

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> None:
            self.done += 1

    busy = Busy()
    async with rig(busy) as call:
        for _ in range(160):
            call.push(TranscriptionFrame("x"))
        while busy.done < 160:
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 10
        await call.ends()


# -- interruption


class Speaks(Processor):
    """Says a text in pieces, and notes what became of it."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @handles(MessageFrame, on_interrupt="cancel")
    async def on_message(self, frame: MessageFrame) -> None:
        reply = self.begin_reply()
        try:
            for number in range(10):
                self.push(TextFrame(str(number), reply))
                await asyncio.sleep(1)
            self.notes.append("done")
        except asyncio.CancelledError:
            self.notes.append(f"cancelled at {self.call.clock.at_ms()}")
            raise


async def test_a_sweep_cancels_a_handler_that_says_cancel_and_the_next_frame_is_handled() -> None:
    speaks = Speaks()
    async with rig(speaks) as call:
        call.push(MessageFrame("one"), MessageFrame("two"))
        await asyncio.sleep(1.5)
        call.call.interrupt()
        await call.ends("completed")
    assert speaks.notes == ["cancelled at 1500", "cancelled at 6500"]  # the second by the bound of the end
    assert not call.events("processor.failed")


async def test_by_default_a_handler_of_a_reply_is_cancelled_with_it_and_any_other_finishes() -> None:
    notes: list[str] = []

    class Two(Processor):
        @handles(TextFrame, TranscriptionFrame)
        async def on_text(self, frame: TextFrame | TranscriptionFrame) -> Frame | None:
            try:
                await asyncio.sleep(1)
                notes.append(f"finished {frame.text}")
            except asyncio.CancelledError:
                notes.append(f"cancelled {frame.text}")
                raise
            return frame

    for protected in (False, True):
        async with rig(Two()) as call:
            reply = call.call.replies.begin(interruptible=not protected)
            call.push(TextFrame("reply", reply))
            await asyncio.sleep(0.5)
            call.call.interrupt()
            await asyncio.sleep(0.1)
            call.push(TranscriptionFrame("caller"))
            await asyncio.sleep(0.7)
            call.call.interrupt()
            await call.ends()
    assert notes == ["cancelled reply", "finished caller", "finished reply", "finished caller"]


async def test_whoever_interrupts_is_not_cancelled_by_it() -> None:
    class Interrupts(Processor):
        @handles(MessageFrame, on_interrupt="cancel")
        async def on_message(self, frame: MessageFrame) -> Frame:
            self.interrupt("me")
            await asyncio.sleep(1)
            return frame

    result = await run(Interrupts(), frames=[MessageFrame("x")])
    assert [type(frame) for frame in result.down] == [MessageFrame]


async def test_nothing_of_a_dead_reply_is_begun_after_its_sweep() -> None:
    begun: list[str] = []

    class Voice(Processor):
        @handles(TextFrame, on_interrupt="finish")
        async def on_text(self, frame: TextFrame) -> Frame:
            begun.append(frame.text)
            await asyncio.sleep(1)
            return frame

    async with rig(Voice()) as call:
        reply = call.call.replies.begin()
        call.push(*[TextFrame(str(number), reply) for number in range(5)])
        await asyncio.sleep(0.5)
        call.call.interrupt()
        await call.ends()
    assert begun == ["0"]
    assert call.result.texts == []


class Swallows(Processor):
    """Catches the cancellation and goes on."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @handles(MessageFrame, on_interrupt="cancel")
    async def on_message(self, frame: MessageFrame) -> Frame:
        for _ in range(30):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
        self.push(MessageFrame(f"late {frame.data}"))
        self.interrupt("late")
        return MessageFrame(f"later {frame.data}")

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        return frame


async def test_a_handler_that_swallows_its_cancellation_is_left_behind_and_what_it_does_is_dropped() -> None:
    async with rig(Swallows()) as call:
        call.push(MessageFrame("x"), TranscriptionFrame("goes on"))
        await asyncio.sleep(0.5)
        call.call.interrupt()
        await asyncio.sleep(0.25)
        assert call.result.texts == ["goes on"]
        await asyncio.sleep(5)
        await call.ends()
    assert [type(frame) for frame in call.result.down] == [TranscriptionFrame]
    assert [event.data for event in call.events("processor.abandoned")] == [
        {"processor": "Swallows", "handler": "on_message"}
    ]
    assert len(call.events("interruption")) == 1


async def test_a_cancellation_that_meets_a_result_does_not_strike_the_next_handler() -> None:
    """On Python 3.11 `wait_for` returns a result that came together with the cancellation, and forgets the latter."""
    done: list[str] = []

    class Waits(Processor):
        future: asyncio.Future[None]

        @handles(MessageFrame, on_interrupt="cancel")
        async def on_message(self, frame: MessageFrame) -> Frame:
            self.future = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(asyncio.shield(self.future), 10)
            done.append(frame.data)
            return frame

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            await asyncio.sleep(0)
            return frame

    waits = Waits()
    async with rig(waits) as call:
        call.push(MessageFrame("x"), TranscriptionFrame("next"))
        await asyncio.sleep(1)
        waits.future.set_result(None)
        call.call.interrupt()
        await asyncio.sleep(1)
        assert call.result.texts == ["next"]
        await call.ends()
    assert not call.events("processor.failed")


async def test_the_next_handler_knows_nothing_of_a_cancellation() -> None:
    """A task that was cancelled once counts it for ever, and a `TaskGroup` in it takes that for a cancellation of its
    own: what follows runs in another task."""

    class Groups(Speaks):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            return frame

    speaks = Groups()
    async with rig(speaks) as call:
        call.push(MessageFrame("one"), TranscriptionFrame("next"))
        await asyncio.sleep(0.5)
        call.call.interrupt()
        await call.ends()
    assert call.result.texts == ["0", "next"]
    assert call.result.errors == []


async def test_a_handler_that_awaits_what_a_sweep_cancelled_fails_alone() -> None:
    """A CancelledError that nobody asked this handler for is an error of it, and its lane goes on."""

    class Awaits(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> Frame:
            task = asyncio.ensure_future(asyncio.sleep(10))
            asyncio.get_running_loop().call_later(1, task.cancel)
            await task
            return frame

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Frame:
            return frame

    result = await run(Awaits(), frames=[MessageFrame("x"), TranscriptionFrame("fact")])
    assert result.texts == ["fact"]
    assert [event.data["error"] for event in result.events if event.kind == "processor.failed"] == ["CancelledError"]


async def test_results_that_are_no_frames_are_reported() -> None:
    class Odd(Processor):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> Any:
            return self.frames()

        def frames(self) -> Any:
            yield MessageFrame("one")
            raise ValueError("half way")

        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> Any:
            return "text"

    result = await run(Odd(), frames=[MessageFrame("x"), TranscriptionFrame("x"), MessageFrame("y")])
    assert [frame.data for frame in result.down if isinstance(frame, MessageFrame)] == ["one", "one"]
    assert [type(error).__name__ for error in result.errors] == ["ValueError", "ProcessorError", "ValueError"]


# -- the bound


class Never(Processor):
    @handles(TranscriptionFrame, InputAudioFrame, TextFrame)
    async def on_any(self, frame: Frame) -> None:
        await asyncio.sleep(3600)


SMALL = EngineSettings(mailbox_frames=4, end_margin_ms=100, cancel_grace_ms=100)


async def test_over_its_bound_a_mailbox_gives_up_dead_frames_first_then_the_oldest_audio() -> None:
    async with rig(Never(), engine_settings=SMALL) as call:
        reply = call.call.replies.begin()
        call.push(TranscriptionFrame("running"))
        await asyncio.sleep(0)
        call.push(audio(1), TextFrame("dead", reply), TextFrame("dead", reply), audio(2))
        call.call.interrupt()
        await asyncio.sleep(0)
        lane = call.call.engine.nodes[1].lane
        assert lane is not None
        call.push(TranscriptionFrame("a"), TranscriptionFrame("b"))
        assert call.events("processor.overflow") == []
        call.push(TranscriptionFrame("c"))
        call.push(audio(3))
        waiting = [f.text if isinstance(f, TranscriptionFrame) else f.audio.data[0] for f, _ in lane.items]  # type: ignore[attr-defined]
        assert waiting == ["a", "b", "c", 3]
        assert [event.data for event in call.events("processor.overflow")] == [
            {"processor": "Never", "dropped": 1, "policy": "oldest-caller-audio"},
            {"processor": "Never", "dropped": 2, "policy": "oldest-caller-audio"},
        ]
        assert sum(map(sum, lane.holds)) == 5


async def test_audio_is_dropped_when_nothing_else_may_be() -> None:
    async with rig(Never(), engine_settings=SMALL) as call:
        call.push(*[TranscriptionFrame(str(number)) for number in range(4)])
        await asyncio.sleep(0)
        call.push(TranscriptionFrame("4"), audio(1))
        assert [event.data["dropped"] for event in call.events("processor.overflow")] == [1]
        assert not call.call.engine.ending


async def test_a_control_frame_is_taken_over_the_bound() -> None:
    updates: list[str] = []

    class Updates(Slow):
        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> None:
            updates.append(frame.target)

    async with rig(Updates(), engine_settings=EngineSettings(mailbox_frames=4, end_margin_ms=10_000)) as call:
        call.push(TranscriptionFrame("running"))
        await asyncio.sleep(0)
        call.push(*[TranscriptionFrame(str(number)) for number in range(4)], UpdateSettingsFrame("x", {}))
        assert await call.ends() == "completed"
    assert updates == ["x"]
    assert len(call.result.texts) == 5


@pytest.mark.parametrize("frame", [TranscriptionFrame("words"), TextFrame("speech", 1)], ids=["words", "speech"])
async def test_words_and_speech_over_the_bound_are_fatal_and_name_the_processor(frame: Frame) -> None:
    async with rig(Never(), engine_settings=SMALL) as call:
        call.call.replies.begin(interruptible=False)
        for _ in range(6):
            call.push(frame.replace())
            await asyncio.sleep(0)
        assert await call.call.wait_ended() == "error"
    [failed] = call.events("processor.failed")
    assert (failed.data["processor"], failed.data["code"]) == ("Never", "processor.overflow")


async def test_flooding_upstream_is_fatal_too() -> None:
    class NeverUp(Processor):
        @handles(MessageFrame, upstream=True)
        async def on_message(self, frame: MessageFrame) -> None:
            await asyncio.sleep(3600)

    async with rig(NeverUp(), engine_settings=SMALL) as call:
        call.up(*[MessageFrame(number) for number in range(6)])
        assert await call.call.wait_ended() == "error"
    assert call.events("processor.failed")[0].data["processor"] == "NeverUp"


# -- setup


async def test_frames_for_a_processor_wait_until_it_is_set_up() -> None:
    class Late(Processor):
        async def setup(self) -> None:
            await asyncio.sleep(1)
            self.is_set_up = True

        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            assert self.is_set_up
            return frame

        @handles(InterruptionFrame)
        def on_interruption(self, frame: InterruptionFrame) -> None:
            assert self.is_set_up

    late = Late()
    async with rig(late) as call:
        call.push(TranscriptionFrame("early"), audio(1))
        call.call.interrupt()
        assert [type(frame) for frame in call.result.down] == [InputAudioFrame]
        await asyncio.sleep(2)
        node = late._node
        assert node is not None
        assert node.lane is None  # without async handlers it is not needed any more
        call.push(TranscriptionFrame("late"))
        await call.ends()
    assert call.result.texts == ["early", "late"]
    assert call.result.errors == []


class Fails(Processor):
    async def setup(self) -> None:
        raise ConnectionError("no route")


class Hangs(Processor):
    async def setup(self) -> None:
        await asyncio.sleep(3600)


class HangsOn(Processor):
    async def setup(self) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


class CancelsItself(Processor):
    async def setup(self) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("processor", "code", "at_ms"),
    [
        (Fails, "processor.setup-failed", 0),
        (CancelsItself, "processor.setup-failed", 0),
        (Hangs, "processor.setup-timeout", 2_000),
        (HangsOn, "processor.setup-timeout", 2_000),
    ],
)
async def test_a_setup_that_fails_or_hangs_ends_the_call_within_its_bound(
    processor: type[Processor], code: str, at_ms: int
) -> None:
    settings = EngineSettings(setup_timeout_ms=2_000)
    async with rig(processor(), Slow(), engine_settings=settings) as call:
        call.push(TranscriptionFrame("waits in vain"))
        assert await call.call.wait_ended() == "error"
    [failed] = call.events("processor.failed")
    assert (failed.data["processor"], failed.data["code"], failed.at_ms) == (processor.__name__, code, at_ms)
    [ended] = call.events("call.ended")
    assert ended.at_ms <= at_ms + 2_000
