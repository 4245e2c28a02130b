"""What a pipeline refuses before a call is answered, each with the processor's name and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from voiceframe import Call, Observer, Parallel, Pipeline, Processor, handles, observes
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, AudioFormat
from voiceframe.errors import LinkError
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
)
from voiceframe.testing.run import rig, run
from voiceframe.transports.text import TextTransport

STEREO = AudioFormat(channels=2)


class Source(Processor):
    role = "source"


class Sink(Processor):
    role = "sink"


class Middle(Processor):
    pass


class Looks(Observer):
    @observes(Frame)
    def on_frame(self, frame: Frame) -> None: ...


class SlowToStop(Processor):
    @handles(InterruptionFrame)
    async def on_interruption(self, frame: InterruptionFrame) -> None: ...


class Decides(Processor):
    decides_interruptions = True


class Hears16k(Processor):
    accepts = (PCM_16K,)

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> Frame:
        return frame


class HearsStereo(Hears16k):
    accepts = (STEREO,)


class WatchesStereo(Processor):
    accepts = (STEREO,)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None: ...


class Speaks16k(Processor):
    produces = (PCM_16K,)


class Source8k(Source):
    produces = (PCM_8K,)


class SinkPCMU(Sink):
    accepts = (PCMU_8K, PCM_8K)


class SinkStereo(Sink):
    accepts = (STEREO,)


middle = Middle()

REFUSED: dict[str, tuple[Callable[[], Pipeline], str]] = {
    "link.empty": (
        lambda: Pipeline([]),
        "The pipeline has no processors. Give it at least a source and a sink: "
        "`Pipeline([call.transport.input(), ..., call.transport.output()])`.",
    ),
    "link.no-source": (
        lambda: Pipeline([Middle(), Sink()]),
        "Middle stands first in the pipeline, but it is not a source, so no frame would ever enter. "
        'Put `call.transport.input()` (or a processor with `role = "source"`) first.',
    ),
    "link.no-sink": (
        lambda: Pipeline([Source(), Middle()]),
        "Middle stands last in the pipeline, but it is not a sink, so nothing that the bot says would be heard. "
        'Put `call.transport.output()` (or a processor with `role = "sink"`) last.',
    ),
    "link.source-inside": (
        lambda: Pipeline([Source(), Middle(), Source(), Sink()]),
        "Source is a source, but it stands behind Middle. Move Source to the front; "
        "a `Pipeline([...])` has exactly one source.",
    ),
    "link.sink-inside": (
        lambda: Pipeline([Source(), Sink(), Middle(), Sink()]),
        "Sink is a sink, but Middle stands behind it and would never see what the bot says. Move Sink to the end; "
        "a `Pipeline([...])` has exactly one sink.",
    ),
    "link.used-twice": (
        lambda: Pipeline([Source(), middle, Parallel([middle]), Sink()]),
        "The same instance of Middle stands in the pipeline twice. Create one for each place: `Middle()`.",
    ),
    "link.not-a-processor": (
        lambda: Pipeline([Source(), Middle, Sink()]),  # type: ignore[list-item]
        "<class 'test_pipeline.Middle'> stands in the pipeline, but it is not a processor. "
        "Pass an instance of a `Processor` subclass (did you forget the parentheses of `Middle()`?).",
    ),
    "link.async-urgent": (
        lambda: Pipeline([Source(), Parallel([SlowToStop()]), Sink()]),
        "SlowToStop.on_interruption is an `async def` handler of InterruptionFrame, which must run before anything "
        "else may. Make it `def on_interruption(self, frame)`; start slow work from it with `self.spawn(...)`.",
    ),
    "link.not-an-observer": (
        lambda: Pipeline([Source(), Sink()], observers=[Middle()]),  # type: ignore[list-item]
        "Middle is in observers=[...], but it is not an observer. Derive it from `Observer`, "
        "or put it in the list of processors of `Pipeline([...])`.",
    ),
    "link.two-deciders": (
        lambda: Pipeline([Source(), Decides(), Middle(), Decides(), Sink()]),
        "Decides and Decides both decide about interruptions; the second would kill the reply to the first. Keep one "
        "processor with `decides_interruptions = True`; the other pushes `InterruptionRequestFrame(...)`.",
    ),
    "link.empty-branch": (
        lambda: Pipeline([Source(), Parallel([Middle()], []), Sink()]),
        "Branch 2 of a Parallel has no processors. Remove it, or put a processor into it: `Parallel([A()], [B()])`.",
    ),
    "link.format": (
        lambda: Pipeline([Source8k(), HearsStereo(), Sink()]),
        "Source8k produces pcm_s16le at 8000 Hz, HearsStereo accepts only pcm_s16le at 16000 Hz, stereo, and nothing "
        "here converts it. Choose another format (`HearsStereo.accepts`), or put a processor between them that "
        "converts.",
    ),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_pipeline_that_cannot_work_is_refused(code: str) -> None:
    make, sentence = REFUSED[code]
    with pytest.raises(LinkError) as refusal:
        make().check()
    assert refusal.value.code == code
    said = str(refusal.value).removesuffix(f" [{code}]").replace(f"<class '{__name__}.", "<class 'test_pipeline.")
    assert said == sentence


def test_every_way_to_be_refused_has_a_test() -> None:
    elsewhere = {
        "link.shared",  # below
        "link.observer-handles",  # below
        "link.unknown",  # test_replace.py
        "link.replaces-itself",  # test_replace.py
        "link.not-a-pipeline",  # test_app.py
    }
    assert set(LinkError.codes) == {*REFUSED, *elsewhere}


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda: Pipeline([Parallel([Source()]), Sink()]),
        lambda: Pipeline([Source(), Parallel([Sink()])]),
        lambda: Pipeline([Source8k(), WatchesStereo(), Sink()]),
        lambda: Pipeline([Source(), Speaks16k(), SinkStereo()]),
        lambda: Pipeline([Source(), Parallel([Middle()], [Parallel([])]), Sink()]),
        lambda: Pipeline([Source(), Sink()], observers=[Looks]),  # type: ignore[list-item]
    ],
)
def test_other_pipelines_that_cannot_work_are_refused_as_well(pipeline: Callable[[], Pipeline]) -> None:
    with pytest.raises(LinkError):
        pipeline().check()


def test_what_can_be_converted_is_no_reason_to_refuse_a_pipeline() -> None:
    Pipeline([Source8k(), Hears16k(), Speaks16k(), SinkPCMU()]).check()


def test_a_processor_with_an_unlimited_choice_of_formats_fits_anywhere() -> None:
    Pipeline([Source8k(), Middle(), Sink()]).check()
    Pipeline([Source(), Hears16k(), Speaks16k(), Sink()]).check()


async def test_a_processor_belongs_to_one_call() -> None:
    shared = Middle()
    async with rig(shared) as call:
        with pytest.raises(LinkError) as refusal:
            async with rig(shared):
                pass
        assert refusal.value.code == "link.shared"
        assert call.call.id in str(refusal.value)
        assert "Create its processors inside `def bot(call)`" in str(refusal.value)


def test_an_observer_that_handles_is_refused_where_it_is_defined() -> None:
    with pytest.raises(LinkError) as refusal:

        class Both(Observer):
            @handles(MessageFrame)
            def on_message(self, frame: MessageFrame) -> Frame:
                return frame

    assert refusal.value.code == "link.observer-handles"
    assert "Both is an observer, but on_message is declared with @handles." in str(refusal.value)


async def test_a_refused_pipeline_leaves_its_processors_free() -> None:
    free = Middle()
    call = Call(TextTransport())
    with pytest.raises(LinkError):
        await call.start(Pipeline([call.transport.input(), free]))
    async with rig(free):
        pass


# -- names


async def test_processors_of_one_class_are_numbered() -> None:
    async with rig(Middle(), Parallel([Middle()], [Middle()]), observers=[Looks(), Looks()]) as call:
        assert [node.name for node in call.call.engine.all_nodes()] == [
            "_Source",
            "Middle",
            "Middle#2",
            "Middle#3",
            "_Sink",
            "Looks",
            "Looks#2",
        ]
    [started] = call.events("call.started")
    assert started.data["pipeline"] == ["_Source", "Middle", "Middle#2", "Middle#3", "_Sink"]


# -- Parallel


class Passes(Processor):
    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        return frame


class Marks(Processor):
    def __init__(self, mark: str) -> None:
        self.mark = mark

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> list[Frame]:
        return [frame, TranscriptionFrame(f"{frame.text}{self.mark}")]


class Redacts(Processor):
    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        return frame.replace(text="*")


class MarksLater(Processor):
    def __init__(self, mark: str) -> None:
        self.mark = mark

    @handles(TranscriptionFrame)
    async def on_words(self, frame: TranscriptionFrame) -> list[Frame]:
        await asyncio.sleep(0.5)
        return [frame, TranscriptionFrame(f"{frame.text}{self.mark}")]


class OtherWords(Processor):
    @handles(InterimTranscriptionFrame)
    def on_words(self, frame: InterimTranscriptionFrame) -> Frame:
        return frame


async def texts(*processors: Processor | Parallel) -> list[str]:
    return (await run(*processors, frames=[TranscriptionFrame("a"), TranscriptionFrame("b")])).texts


async def test_a_frame_that_several_branches_let_through_leaves_once() -> None:
    assert await texts(Parallel([Passes()], [Passes()], [Passes()])) == ["a", "b"]


async def test_what_branches_make_is_joined_by_input_then_by_branch() -> None:
    assert await texts(Parallel([Marks("1")], [Marks("2")])) == ["a", "a1", "a2", "b", "b1", "b2"]


async def test_a_branch_that_does_not_take_the_type_lets_no_copy_through() -> None:
    assert await texts(Parallel([Redacts()], [OtherWords()])) == ["*", "*"]


async def test_a_frame_that_no_branch_takes_passes_the_block() -> None:
    assert await texts(Parallel([OtherWords()], [OtherWords(), OtherWords()])) == ["a", "b"]


async def test_blocks_nest() -> None:
    inner = Parallel([Marks("3")], [OtherWords(), Parallel([Marks("4")], [Passes()])])
    assert await texts(Parallel([Marks("1"), inner], [Redacts()])) == [
        *("a", "a3", "a4", "a1", "a13", "a14", "*"),
        *("b", "b3", "b4", "b1", "b13", "b14", "*"),
    ]


async def test_what_an_async_handler_makes_joins_when_it_comes() -> None:
    assert await texts(Parallel([MarksLater("1")], [Marks("2")])) == ["a", "a2", "b", "b2", "a1", "b1"]


async def test_control_frames_leave_once_after_all_branches() -> None:
    seen: list[tuple[str, int]] = []

    class Sees(Processor):
        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> None:
            seen.append((self.name, self.call.clock.at_ms()))

    block = Parallel([Sees(), MarksLater("1"), Parallel([Sees()], [MarksLater("2")])], [Sees()])
    result = await run(block, Sees(), frames=[TranscriptionFrame("a"), UpdateSettingsFrame("x", {})])
    assert seen == [("Sees", 0), ("Sees#3", 0), ("Sees#2", 500), ("Sees#4", 1500)]
    assert result.reason == "completed"


async def test_the_end_waits_in_a_branch_for_work_that_was_spawned_there() -> None:
    class Works(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> Frame:
            self.spawn(self.work())
            return frame

        async def work(self) -> None:
            await asyncio.sleep(1)
            self.push(TranscriptionFrame("done"))

    assert await texts(Parallel([Passes()], [Works()])) == ["a", "b", "done", "done"]


async def test_branches_join_upstream_too() -> None:
    class Up(Processor):
        @handles(MessageFrame, upstream=True)
        def on_message(self, frame: MessageFrame) -> Frame:
            return frame

    async with rig(Parallel([Up()], [Up(), Up()])) as call:
        call.up(MessageFrame(1))
        await call.ends()
    assert len(call.result.up) == 1


async def test_frames_that_a_branch_keeps_do_not_pile_up() -> None:
    class Keeps(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> None: ...

    class Late(Keeps):
        @handles(MessageFrame)
        async def on_message(self, frame: MessageFrame) -> None: ...

    for keeper, most in ((Keeps(), 0), (Late(), 1024)):
        block: Any = Parallel([Passes()], [keeper])
        async with rig(block) as call:
            for _ in range(3000):
                call.push(TranscriptionFrame("x"))
                await asyncio.sleep(0)
            [place] = [place for place in call.call.engine.row.places if hasattr(place, "branches")]
            assert len(place._data) == most  # type: ignore[union-attr]
            await call.ends()
        assert len(call.result.texts) == 3000


async def test_a_control_frame_that_waits_in_a_branch_is_not_forgotten_however_much_passes_by() -> None:
    class Keeps(Processor):
        @handles(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> None: ...

        @handles(UpdateSettingsFrame)
        async def on_update(self, frame: UpdateSettingsFrame) -> None:
            await asyncio.sleep(1)

    updates: list[Frame] = []

    class Updates(Processor):
        @handles(UpdateSettingsFrame)
        def on_update(self, frame: UpdateSettingsFrame) -> None:
            updates.append(frame)

    async with rig(Parallel([Passes()], [Keeps()]), Updates()) as call:
        call.push(UpdateSettingsFrame("x", {}))
        for _ in range(2000):
            call.push(TranscriptionFrame("x"))
            await asyncio.sleep(0)
        assert updates == []
        await call.ends()
    assert len(updates) == 1


async def test_observers_inside_of_a_block_see_what_passes_it() -> None:
    seen: list[str] = []

    class See(Observer):
        @observes(TranscriptionFrame)
        def on_words(self, frame: TranscriptionFrame) -> None:
            seen.append(f"{self.name}:{frame.text}")

    assert await texts(Parallel([See()], [See(), Passes()], [See()])) == ["a", "b"]
    assert sorted(seen) == sorted(f"{name}:{text}" for name in ("See", "See#2", "See#3") for text in "ab")


async def test_output_audio_formats_are_checked_against_the_sink() -> None:
    with pytest.raises(LinkError, match=r"Speaks16k produces .*, SinkStereo accepts only .*, stereo"):
        Pipeline([Source(), Speaks16k(), SinkStereo()]).check()


async def test_a_call_that_was_refused_has_no_engine() -> None:
    call = Call(TextTransport())
    with pytest.raises(LinkError):
        await call.start(Pipeline([Middle()]))
    assert not call.ended
    assert call.reason == ""
