"""Speech to text: which audio the recognizer gets, and that each stretch of speech has one transcription, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.clock import run_virtual
from voiceframe.frames import (
    Alternative,
    ExpectFrame,
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    Word,
)
from voiceframe.processors.stt import STT, Final, Interim, STTSettings, STTStream
from voiceframe.processors.stt.base import choose_format
from voiceframe.testing.run import Rig, rig


class Ear(STTStream):
    """Notes what it is told. Each segment is answered by `answer`, `delay_ms` later."""

    def __init__(self, owner: Scripted) -> None:
        self.owner = owner
        self.results_: asyncio.Queue[Interim | Final | Exception | None] = asyncio.Queue()
        self.heard: list[bytes] = []
        self.expect: ExpectFrame | None = None
        self.closed = False

    async def begin(self, expect: ExpectFrame | None) -> None:
        self.expect = expect
        self.heard = []

    async def send(self, audio: bytes) -> None:
        if self.owner.send_fails:
            raise ConnectionError("gone")
        self.heard.append(audio)

    async def finalize(self) -> None:
        self.owner.segments.append((self.expect, self.heard))
        await asyncio.sleep(self.owner.delay_ms / 1000)
        for result in self.owner.answer(len(self.owner.segments)):
            self.results_.put_nowait(result)

    async def aclose(self) -> None:
        self.closed = True

    async def results(self) -> AsyncGenerator[Interim | Final, None]:
        while (result := await self.results_.get()) is not None:
            if isinstance(result, Exception):
                raise result
            yield result


Answer = list["Interim | Final | Exception | None"]


class Scripted(STT):
    accepts = (PCM_16K, PCM_8K)

    def __init__(self, settings: STTSettings | None = None) -> None:
        super().__init__(settings or STTSettings())
        self.answer: Callable[[int], Answer] = lambda number: [Final(f"segment {number}")]
        self.delay_ms = 0
        self.send_fails = False
        self.segments: list[tuple[ExpectFrame | None, list[bytes]]] = []
        self.opened: list[tuple[AudioFormat, str]] = []
        self.streams: list[Ear] = []

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        self.opened.append((format, language))
        self.streams.append(Ear(self))
        return self.streams[-1]


class Always(Scripted):
    fed: ClassVar[Literal["speech", "always"]] = "always"


async def talk(call: Rig, *plan: int | Frame) -> None:
    """Numbers are milliseconds of audio, in frames of 20 ms whose samples say how many came before."""
    sent = getattr(call, "sent", 0)
    for step in plan:
        if isinstance(step, int):
            for _ in range(step // 20):
                await asyncio.sleep(0.02)
                call.push(InputAudioFrame(Audio(bytes([sent % 256]) * 160, PCMU_8K)))
                sent += 1
        else:
            call.push(step)
    call.sent = sent  # type: ignore[attr-defined]
    await asyncio.sleep(0)


def started(began_ms: int = -1) -> Frame:
    return VADUserStartedSpeakingFrame(1.0, began_ms)


def stopped(ended_ms: int = -1) -> Frame:
    return VADUserStoppedSpeakingFrame(ended_ms)


def transcriptions(call: Rig) -> list[TranscriptionFrame]:
    return [frame for frame in call.result.down if isinstance(frame, TranscriptionFrame)]


def numbers(heard: list[bytes]) -> list[int]:
    """Which frames these were."""
    return [PCM_TO_NUMBER[piece] for piece in heard]


PCM_TO_NUMBER = {Audio(bytes([n]) * 160, PCMU_8K).pcm(8_000): n for n in range(127)}


async def test_speech_is_fed_from_before_it_began_to_the_verdict_that_it_is_over() -> None:
    stt = Scripted(STTSettings(lead_ms=100))
    async with rig(stt) as call:
        await talk(call, 1000, started(began_ms=900), 400, stopped(1300), 500)
        assert [numbers(heard) for _, heard in stt.segments] == [list(range(40, 70))]
        assert stt.opened == [(PCM_8K, "en-US")]
        assert [frame.text for frame in transcriptions(call)] == ["segment 1"]


async def test_audio_goes_on_at_once_and_untouched() -> None:
    stt = Scripted()
    stt.delay_ms = 1000
    async with rig(stt) as call:
        await talk(call, 100, started(60), 100, stopped(), 100)
        heard = [frame for frame in call.result.down if isinstance(frame, InputAudioFrame)]
        assert [frame.at_ms for frame in heard] == list(range(20, 301, 20))
        assert all(frame.audio.format == PCMU_8K for frame in heard)
        assert not transcriptions(call)


async def test_of_two_stretches_close_to_each_other_nothing_spoken_is_fed_twice() -> None:
    stt = Scripted(STTSettings(lead_ms=300))
    async with rig(stt) as call:
        await talk(call, 500, started(400), 300, stopped(600), 200, started(900), 100, stopped(1100), 100)
        first, second = (numbers(heard) for _, heard in stt.segments)
        assert first == list(range(5, 40))
        # All after 600 ms that was not fed to the first one.
        assert second == list(range(40, 55))


async def test_a_transcription_follows_its_verdict_also_when_the_recognizer_is_slow() -> None:
    stt = Scripted()
    stt.delay_ms = 400
    async with rig(stt) as call:
        await talk(call, 200, started(100), 200, stopped(300), 100, started(480), 200, stopped(600), 1200)
        order = [
            type(frame).__name__
            for frame in call.result.down
            if isinstance(frame, TranscriptionFrame | VADUserStoppedSpeakingFrame)
        ]
        assert order == [
            "VADUserStoppedSpeakingFrame",
            "VADUserStoppedSpeakingFrame",
            "TranscriptionFrame",
            "TranscriptionFrame",
        ]
        assert [(frame.text, frame.at_ms) for frame in transcriptions(call)] == [
            ("segment 1", 800),
            ("segment 2", 1200),
        ]


async def test_parts_are_joined_and_words_are_placed_in_the_call() -> None:
    stt = Scripted(STTSettings(lead_ms=0))
    stt.answer = lambda _: [
        Interim("ten", 0.4),
        Final("ten", 0.9, (Word("ten", 100, 200),), last=False),
        Interim("thirty"),
        Final("thirty", 0.7, (Word("thirty", 300, 400),), (Alternative("forty", 0.2),)),
    ]
    async with rig(stt) as call:
        await talk(call, 500, started(400), 400, stopped(), 100)
        frame = transcriptions(call)[0]
        assert (frame.text, frame.confidence, frame.language) == ("ten thirty", 0.7, "en-US")
        assert frame.words == (Word("ten", 500, 600), Word("thirty", 700, 800))
        assert frame.alternatives == ()  # those of a part are none of the whole
        interims = [f.text for f in call.result.down if isinstance(f, InterimTranscriptionFrame)]
        assert interims == ["ten", "ten thirty"]


async def test_what_is_expected_when_speech_begins_holds_for_it() -> None:
    stt = Scripted()
    async with rig(stt) as call:
        call.up(ExpectFrame(jsgf="first"))
        await talk(call, 100, started(80), 100)
        call.up(ExpectFrame(jsgf="second"))
        await talk(call, 100, stopped(), 100, started(380), 100, stopped(), 100)
        assert [expect.jsgf for expect, _ in stt.segments if expect] == ["first", "second"]
        assert sum(isinstance(frame, ExpectFrame) for frame in call.result.up) == 2


async def test_a_recognizer_that_fails_is_reported_and_the_next_speech_opens_another_stream() -> None:
    stt = Scripted()
    async with rig(stt) as call:
        stt.send_fails = True
        await talk(call, 100, started(80), 100, stopped(), 100)
        stt.send_fails = False
        await talk(call, 100, started(380), 100, stopped(), 100)
        assert [frame.text for frame in transcriptions(call)] == ["", "segment 1"]
        assert transcriptions(call)[0].confidence == 0
        assert [str(error) for error in call.result.errors] == ["gone"]
        assert len(stt.opened) == 2
        assert stt.streams[0].closed


@pytest.mark.parametrize("end", [None, RuntimeError("broken")])
async def test_a_stream_that_ends_leaves_an_empty_transcription(end: Exception | None) -> None:
    stt = Scripted()
    stt.answer = lambda number: [end] if number == 1 else [Final("again")]
    async with rig(stt) as call:
        await talk(call, 100, started(80), 100, stopped(), 100, started(280), 100, stopped(), 100)
        assert [frame.text for frame in transcriptions(call)] == ["", "again"]
        assert len(call.result.errors) == 1
        if end is None:
            assert getattr(call.result.errors[0], "code", "") == "stt.ended"


async def test_a_recognizer_that_says_nothing_is_given_up() -> None:
    stt = Scripted(STTSettings(result_ms=700))
    stt.answer = lambda number: [] if number == 1 else [Final("again")]
    async with rig(stt) as call:
        await talk(call, 100, started(80), 100, stopped(), 1000, started(1180), 100, stopped(), 100)
        assert [(frame.text, frame.at_ms) for frame in transcriptions(call)] == [("", 900), ("again", 1300)]
        assert [getattr(error, "code", "") for error in call.result.errors] == ["stt.late"]


async def test_one_that_hangs_is_given_up_too() -> None:
    stt = Scripted(STTSettings(result_ms=700))
    stt.delay_ms = 100_000
    async with rig(stt) as call:
        await talk(call, 100, started(80), 100, stopped(), 1000)
        stt.delay_ms = 0
        await talk(call, started(1180), 100, stopped(), 100)
        assert [(frame.text, frame.at_ms) for frame in transcriptions(call)] == [("", 900), ("segment 2", 1300)]
        assert len(stt.opened) == 2


async def test_what_was_said_before_the_end_is_recognized() -> None:
    stt = Scripted()
    stt.delay_ms = 300
    async with rig(stt) as call:
        await talk(call, 100, started(80), 100)
        await call.ends()
        assert [frame.text for frame in transcriptions(call)] == ["segment 1"]
    assert stt.streams[0].closed


async def test_endless_speech_is_recognized_up_to_the_bound() -> None:
    stt = Scripted(STTSettings(longest_ms=1000, lead_ms=0))
    async with rig(stt) as call:
        await talk(call, 100, started(100), 3000, stopped(), 100)
        assert len(stt.segments[0][1]) == 50
        assert len(transcriptions(call)) == 1


async def test_a_recognizer_that_listens_for_itself_gets_all_audio() -> None:
    stt = Always()
    async with rig(stt) as call:
        await talk(call, 1000, started(900), 200, stopped(1100), 300)
        assert numbers([piece for ear in stt.streams for piece in ear.heard]) == list(range(50, 75))
        assert [frame.text for frame in transcriptions(call)] == ["segment 1"]
        # What it says while the VAD hears nobody is no transcription.
        stt.streams[0].results_.put_nowait(Final("from nowhere"))
        await talk(call, 100)
        assert len(transcriptions(call)) == 1


async def test_without_a_verdict_nothing_is_opened_or_said() -> None:
    stt = Scripted()
    async with rig(stt) as call:
        await talk(call, 2000, stopped(), 100)
        assert not stt.opened
        assert not transcriptions(call)


def test_the_format_is_the_lines_own_or_of_its_rate_or_the_first() -> None:
    assert choose_format((), PCMU_8K) == PCMU_8K
    assert choose_format((PCM_16K, PCMU_8K), PCMU_8K) == PCMU_8K
    assert choose_format((PCM_16K, PCM_8K), PCMU_8K) == PCM_8K
    assert choose_format((PCM_16K, PCM_8K), AudioFormat("pcm_s16le", 48_000)) == PCM_16K


@given(
    st.lists(
        st.tuples(
            st.integers(2, 20),
            st.integers(1, 20),
            st.sampled_from(["ok", "parts", "late", "raise", "end"]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_each_stretch_of_speech_has_exactly_one_transcription_in_order(
    plan: list[tuple[int, int, str, bool]],
) -> None:
    async def scenario() -> None:
        stt = Scripted(STTSettings(result_ms=300))
        answers: dict[str, Answer] = {
            "ok": [Final("ok")],
            "parts": [Final("a", last=False), Final("b")],
            "late": [],
            "raise": [ValueError("no")],
            "end": [None],
        }
        kinds = [kind for _, _, kind, _ in plan]
        done = iter(kinds)
        stt.answer = lambda _: list(answers[next(done, "ok")])
        async with rig(stt) as call:
            for before, during, _, fails in plan:
                stt.send_fails = fails
                await talk(call, before * 20, started(), during * 20, stopped())
            await call.ends()
            verdicts = 0
            for frame in call.result.down:
                verdicts += isinstance(frame, VADUserStoppedSpeakingFrame)
                if isinstance(frame, TranscriptionFrame):
                    verdicts -= 1
                    assert verdicts >= 0
            assert verdicts == 0
            assert len(transcriptions(call)) == len(plan)

    run_virtual(scenario())
