"""Linking: a pipeline that cannot work is refused with a sentence that names the processor and the fix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K
from voiceframe.call import Call
from voiceframe.errors import LinkError, ProcessorError
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    InterruptionFrame,
    OutputAudioFrame,
    PauseFrame,
    TextFrame,
    TranscriptionFrame,
)
from voiceframe.pipeline import Parallel, Pipeline
from voiceframe.processor import Observer, Processor, handles, observes
from voiceframe.transports import TextTransport


class Source(Processor):
    role = "source"
    produces = (PCMU_8K,)


class Sink(Processor):
    role = "sink"
    accepts = (PCMU_8K,)

    @handles(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None: ...


class Plain(Processor):
    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> TranscriptionFrame:
        return frame


class Watcher(Observer):
    @observes(Frame)
    def on_frame(self, frame: Frame) -> None: ...


class SlowToStop(Processor):
    @handles(InterruptionFrame)
    async def on_stop(self, frame: InterruptionFrame) -> None: ...


class SlowToPause(Processor):
    @handles(PauseFrame)
    async def on_pause(self, frame: PauseFrame) -> None: ...


class Wideband(Processor):
    accepts = (PCM_16K, PCM_8K)

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None: ...


class WidebandVoice(Processor):
    produces = (PCM_16K,)

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> None: ...


class Decides(Processor):
    decides_interruptions = True


class DecidesToo(Processor):
    decides_interruptions = True


def twice() -> Pipeline:
    same = Plain()
    return Pipeline([Source(), same, same, Sink()])


def twice_in_branches() -> Pipeline:
    same = Plain()
    return Pipeline([Source(), Parallel([same], [Parallel([same])]), Sink()])


NONSENSE: list[tuple[str, Callable[[], Pipeline], str, str]] = [
    ("link.empty", lambda: Pipeline([]), "no processors", "Pipeline("),
    ("link.no-source", lambda: Pipeline([Plain(), Sink()]), "Plain stands first", "call.transport.input()"),
    ("link.no-source", lambda: Pipeline([Parallel([Source()]), Sink()]), "A Parallel", "call.transport.input()"),
    ("link.no-sink", lambda: Pipeline([Source(), Plain()]), "Plain stands last", "call.transport.output()"),
    ("link.source-inside", lambda: Pipeline([Source(), Source(), Sink()]), "behind Source", "front"),
    ("link.sink-inside", lambda: Pipeline([Source(), Sink(), Sink()]), "Sink stands behind it", "end"),
    ("link.used-twice", twice, "Plain", "Plain()"),
    ("link.used-twice", twice_in_branches, "Plain", "Plain()"),
    ("link.not-a-processor", lambda: Pipeline([Source(), Plain, Sink()]), "Plain", "Plain()"),  # type: ignore[list-item]
    ("link.not-a-processor", lambda: Pipeline([Source(), None, Sink()]), "None", "Processor"),  # type: ignore[list-item]
    ("link.not-an-observer", lambda: Pipeline([Source(), Sink()], observers=[Plain()]), "Plain", "Observer"),  # type: ignore[list-item]
    ("link.async-urgent", lambda: Pipeline([Source(), SlowToStop(), Sink()]), "SlowToStop.on_stop", "def on_stop"),
    ("link.async-urgent", lambda: Pipeline([Source(), SlowToPause(), Sink()]), "PauseFrame", "def on_pause"),
    ("link.empty-branch", lambda: Pipeline([Source(), Parallel([Plain()], []), Sink()]), "Branch 2", "Parallel("),
    ("link.two-deciders", lambda: Pipeline([Source(), Decides(), DecidesToo(), Sink()]), "DecidesToo", "Keep one"),
    ("link.format", lambda: Pipeline([Source(), Wideband(), Sink()]), "mulaw at 8000 Hz", "Wideband.accepts"),
    ("link.format", lambda: Pipeline([Source(), WidebandVoice(), Sink()]), "pcm_s16le at 16000 Hz", "Sink.accepts"),
]


@pytest.mark.parametrize(("code", "make", "says", "fix"), NONSENSE, ids=[f"{n[0]}-{i}" for i, n in enumerate(NONSENSE)])
def test_nonsense_is_refused(code: str, make: Callable[[], Pipeline], says: str, fix: str) -> None:
    with pytest.raises(LinkError) as caught:
        make().check()
    assert caught.value.code == code
    assert says in caught.value.message
    assert fix in caught.value.fix


def test_every_code_of_linking_is_shown_here_or_where_calls_are() -> None:
    elsewhere = {
        "link.shared",  # below
        "link.observer-handles",  # below: refused where the class is defined
        "link.unknown",  # tests of call.replace
        "link.not-a-pipeline",  # tests/test_app.py
    }
    assert {code for code, *_ in NONSENSE} | elsewhere == set(LinkError.codes)


def test_a_right_pipeline_is_not_refused() -> None:
    Pipeline([Source(), Parallel([Plain()], [Parallel([Plain()]), Plain()]), Sink()], observers=[Watcher()]).check()


def test_an_observer_that_handles_is_refused_where_it_is_defined() -> None:
    with pytest.raises(LinkError, match="on_words") as caught:

        class Meddler(Observer):
            @handles(TranscriptionFrame)
            def on_words(self, frame: TranscriptionFrame) -> None: ...

    assert caught.value.code == "link.observer-handles"


async def test_a_processor_belongs_to_one_call() -> None:
    shared = Plain()
    first = Call(TextTransport())
    await first.start(Pipeline([first.transport.input(), shared, first.transport.output()]))
    second = Call(TextTransport())
    with pytest.raises(LinkError) as caught:
        await second.start(Pipeline([second.transport.input(), shared, second.transport.output()]))
    assert caught.value.code == "link.shared"
    assert first.id in caught.value.message
    assert "def bot(call)" in caught.value.fix
    first.hang_up()
    await first.wait_ended()


async def test_a_call_that_was_refused_has_no_engine() -> None:
    call = Call(TextTransport())
    with pytest.raises(LinkError):
        await call.start(Pipeline([Plain()]))
    assert not call.ended
    assert call.reason == ""


async def test_what_only_the_engine_makes_cannot_be_pushed() -> None:
    plain = Plain()
    call = Call(TextTransport())
    await call.start(Pipeline([call.transport.input(), plain, call.transport.output()]))
    with pytest.raises(ProcessorError) as caught:
        plain.push(InterruptionFrame(1))
    assert caught.value.code == "processor.push-urgent"
    assert "self.interrupt(reason)" in caught.value.fix
    call.hang_up()
    await call.wait_ended()


def test_a_processor_that_is_in_no_call_says_so() -> None:
    with pytest.raises(ProcessorError) as caught:
        Plain().push(TranscriptionFrame("hello"))
    assert caught.value.code == "processor.unlinked"
    with pytest.raises(ProcessorError):
        _ = Plain().call
