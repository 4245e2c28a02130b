"""The line in memory, and the audio output behind it."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Call, Observer, Pipeline, Processor, observes
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.engine import EngineSettings
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    OutputAudioFrame,
    OutputDTMFFrame,
    PauseFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
    Word,
)
from voiceframe.keys import DTMFDetector
from voiceframe.processor import handles
from voiceframe.testing import CallTranscript, run_virtual
from voiceframe.testing.levels import sounds
from voiceframe.tones import tone
from voiceframe.transports import AudioOutput, LineConditions, LoopbackTransport
from voiceframe.transports.output import MOST_MS


class Ear(Observer):
    """Keeps what passes by."""

    def __init__(self) -> None:
        self.caller: list[InputAudioFrame] = []
        self.played: list[PlayedAudioFrame] = []
        self.seen: list[Frame] = []
        self.keys: list[str] = []

    @observes(InputAudioFrame)
    def on_caller(self, frame: InputAudioFrame) -> None:
        self.caller.append(frame)

    @observes(PlayedAudioFrame, upstream=True)
    def on_played(self, frame: PlayedAudioFrame) -> None:
        self.played.append(frame)

    @observes(BotStartedSpeakingFrame, BotStoppedSpeakingFrame, HeardFrame, upstream=True)
    def on_any(self, frame: Frame) -> None:
        self.seen.append(frame)

    @observes(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.keys.append(frame.digit)


class Line:
    """A call over a loopback; what the far side got, tick by tick."""

    def __init__(
        self,
        *processors: Processor,
        format: AudioFormat = PCMU_8K,
        conditions: LineConditions | None = None,
        transport: LoopbackTransport | None = None,
        observed: bool = True,
    ) -> None:
        self.ticks: list[bytes] = []
        self.words: list[tuple[int, str]] = []
        self.over: list[tuple[int, bool]] = []
        self.transport = transport or LoopbackTransport(
            format,
            conditions=conditions,
            on_word=lambda word, reply: self.words.append((self.call.clock.at_ms(), word)),
            on_reply=lambda reply, complete: self.over.append((reply, complete)),
        )
        self.transport.far.on_audio = self.ticks.append
        self.record = CallTranscript()
        self.ear = Ear()
        self.call = Call(self.transport, sinks=[self.record], seed=1)
        self.pipeline = Pipeline(
            [self.transport.input(), *processors, self.transport.output()], observers=[self.ear] if observed else []
        )

    async def __aenter__(self) -> Line:
        await self.call.start(self.pipeline)
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self.call.wait_ended()

    def push(self, *frames: Frame) -> None:
        for frame in frames:
            self.call.send(frame)

    def says(self, pcm: bytes, *words: Word, rate: int = 8_000, ends: bool = True) -> int:
        """Begin a reply of this sound."""
        number = self.call.replies.begin()
        audio = Audio(pcm, AudioFormat("pcm_s16le", rate))
        self.push(ReplyStartedFrame(number), OutputAudioFrame(audio, number, words))
        if ends:
            self.push(ReplyEndedFrame(number))
        return number

    @property
    def received(self) -> bytes:
        return Audio(b"".join(self.ticks), self.transport.format).pcm(self.transport.format.rate)


def hum(ms: int, rate: int = 8_000) -> bytes:
    return tone(400, ms, -12.0, rate)


async def test_both_directions_run_on_one_tick_the_callers_first() -> None:
    order: list[str] = []

    class Sees(Processor):
        @observes(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> None:
            order.append("in")

    async with Line(Sees()) as line:
        line.transport.far.on_audio = lambda data: order.append("out")
        line.transport.far.play(hum(40))
        await asyncio.sleep(0.1)
    assert order == ["in", "out"] * 5
    assert [frame.at_ms for frame in line.ear.caller] == [20, 40, 60, 80, 100]
    assert b"".join(frame.audio.data for frame in line.ear.caller[:2]) == Audio(hum(40), PCM_8K).to(PCMU_8K)
    assert line.ear.caller[2].audio.data == b"\xff" * 160


async def test_what_the_bot_says_comes_out_in_the_format_of_the_line() -> None:
    async with Line() as line:
        line.says(hum(100, 16_000), rate=16_000)
        await asyncio.sleep(0.2)
    assert all(len(tick) == 160 for tick in line.ticks)
    expected = Audio(hum(100, 16_000), PCM_16K).to(PCMU_8K)
    assert b"".join(line.ticks) == expected + b"\xff" * (len(line.ticks) * 160 - len(expected))


async def test_what_the_output_tells_travels_upstream_in_order() -> None:
    async with Line() as line:
        line.says(hum(60), Word("One.", 0, 20), Word(" Two.", 20, 60))
        await asyncio.sleep(0.2)
    assert line.ear.seen == [
        BotStartedSpeakingFrame(1, at_ms=20),
        HeardFrame(1, "One.", at_ms=20),
        BotStoppedSpeakingFrame(1, at_ms=80),
        HeardFrame(1, " Two.", complete=True, final=True, at_ms=80),
    ]
    assert line.words == [(20, "One."), (60, " Two.")]
    assert line.over == [(1, True)]
    assert [(f.at_ms, f.position, f.reply, len(f.audio.data)) for f in line.ear.played] == [
        (20, 0, 1, 160),
        (40, 160, 1, 160),
        (60, 320, 1, 160),
    ]
    assert b"".join(frame.audio.data for frame in line.ear.played) == Audio(hum(60), PCM_8K).to(PCMU_8K)


async def test_nothing_is_made_of_played_audio_when_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[type[Frame]] = []
    async with Line(observed=False) as line:
        output = line.transport.output()
        monkeypatch.setattr(output, "push", lambda frame, upstream: pushed.append(type(frame)))
        line.says(hum(60))
        await asyncio.sleep(0.2)
    assert pushed == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame, HeardFrame]


async def test_an_interruption_cuts_at_the_word_and_the_fade_is_the_last_that_is_heard() -> None:
    async with Line() as line:
        line.says(hum(400), Word("One", 0, 60), Word(" two", 60, 200), Word(" three", 200, 400), ends=False)
        await asyncio.sleep(0.11)
        line.call.interrupt()
        await asyncio.sleep(0.2)
        assert line.over == [(1, False)]
        assert line.record.heard == ["One"]
        assert [(round(a), round(b)) for a, b in sounds(line.received, 8_000)] == [(0, 103)]
        assert line.ear.played[-1].position == 800
        assert len(line.ear.played[-1].audio.data) == 24


async def test_pause_and_resume_hold_and_go_on_at_the_sample() -> None:
    async with Line(format=PCM_8K) as line:
        line.says(hum(400), Word("One", 0, 400))
        await asyncio.sleep(0.11)
        line.push(PauseFrame(1))
        await asyncio.sleep(10)
        assert line.transport.output().remaining_ms() == 0
        line.push(ResumeFrame(1))
        assert line.transport.output().remaining_ms() == 300
        await asyncio.sleep(0.5)
        assert line.over == [(1, True)]
    received = line.received
    assert received[: 5 * 320] == hum(400)[: 5 * 320]
    began = 2 * 8 * round(sounds(received, 8_000)[1][0] // 20 * 20)
    assert received[began + 48 : began + 4_800] == hum(400)[1_648:6_400]


async def test_keys_are_tones_in_their_place_or_told_to_the_transport() -> None:
    async with Line() as line:
        line.says(hum(100))
        line.push(OutputDTMFFrame("42#"))
        line.call.interrupt()
        await asyncio.sleep(1)
    assert DTMFDetector(8_000).feed(line.received) == "42#"
    told: list[str] = []
    async with Line(transport=LoopbackTransport(on_digits=told.append)) as line:
        line.push(OutputDTMFFrame("42#"))
        await asyncio.sleep(0.1)
    assert told == ["42#"]
    assert not line.ear.played


async def test_the_far_side_presses_keys_in_either_way() -> None:
    async with Line() as line:
        line.transport.press("1#")
        line.transport.press("5", in_band=True)
        assert line.transport.far.waiting_ms == 200
        await asyncio.sleep(0.3)
        assert line.transport.far.waiting_ms == 0
    assert line.ear.keys == ["1", "#"]
    assert DTMFDetector(8_000).feed(b"".join(frame.audio.pcm(8_000) for frame in line.ear.caller)) == "5"


async def test_the_far_side_can_stop_and_can_hang_up() -> None:
    async with Line() as line:
        line.transport.far.play(hum(100))
        line.transport.far.stop()
        assert line.transport.far.next() == line.transport.far.silence
        line.transport.hang_up()
        assert await line.call.wait_ended() == "hangup"
    assert line.call.line.carrier == "loopback"
    assert [event.kind for event in line.record.of("leg.opened", "connection.attached", "leg.closed")] == [
        "leg.opened",
        "connection.attached",
        "leg.closed",
    ]


async def test_while_the_connection_is_lost_nothing_goes_in_or_out_and_nothing_counts_as_heard() -> None:
    async with Line() as line:
        line.says(hum(200), Word("One", 0, 100), Word(" two", 100, 200))
        await asyncio.sleep(0.065)
        line.transport.lose("network")
        line.transport.lose("again")
        heard = len(line.ear.caller)
        await asyncio.sleep(1)
        assert len(line.ear.caller) == heard
        assert line.words == []
        line.transport.attach()
        line.transport.attach()
        await asyncio.sleep(0.3)
        assert [word for _, word in line.words] == ["One", " two"]
        assert line.ear.caller[heard].at_ms == line.ear.caller[heard - 1].at_ms + 1_020
    assert len(line.record.of("connection.lost")) == 2  # the second by the end of the call
    assert line.record.of("connection.attached")[1].data["connection"] == "loopback-2"
    # The bot's sound is as long as it was; the rest of the time the line was silent.
    assert sum(len(frame.audio.data) for frame in line.ear.played) == 1_600


async def test_after_the_end_nothing_ticks() -> None:
    async with Line() as line:
        line.says(hum(100))
        await line.call.end()
        await line.call.wait_ended()
        assert line.over == [(1, True)]
        ended = len(line.ticks)
        await asyncio.sleep(1)
        assert len(line.ticks) == ended


async def test_the_end_waits_until_all_was_played_and_for_no_reply_that_never_ends() -> None:
    async with Line() as line:
        line.says(hum(1_000), Word("One", 0, 1_000), ends=False)
        line.call.engine.request_end("completed")
        await line.call.wait_ended()
        assert line.call.clock.at_ms() == 1_020
        assert line.record.heard == ["One"]
    # No more input is promised behind an `EndFrame`.
    assert len(line.ear.caller) <= 1


async def test_the_last_fade_is_sent_before_the_line_goes_away() -> None:
    async with Line() as line:
        line.says(hum(1_000))
        await asyncio.sleep(0.1)
        line.call.end(after="now")
        await line.call.wait_ended()
    assert line.ear.played[-1].position == 5 * 160
    assert len(line.ear.played[-1].audio.data) == 24


async def test_the_line_can_be_late_jittery_and_lossy_and_is_so_in_the_same_way_again() -> None:
    conditions = LineConditions(network_ms=60, jitter_ms=90, loss=0.2, seed=7)

    lost: list[int] = []

    async def listen() -> list[tuple[int, int, int]]:
        arrived: list[tuple[int, int, int]] = []

        class Sees(Processor):
            @observes(InputAudioFrame)
            def on_audio(self, frame: InputAudioFrame) -> None:
                arrived.append((self.call.clock.at_ms(), frame.at_ms, frame.audio.data[0]))

        async with Line(Sees(), format=PCM_8K, conditions=conditions) as line:
            number = 0

            def next() -> bytes:
                nonlocal number
                number += 1
                return bytes([number % 256]) + bytes(319)

            line.transport.far.source = next
            line.says(hum(20))
            await asyncio.sleep(4)
            heard = sounds(line.received, 8_000)[0][0]
            assert 60 <= heard < 61  # what the bot says is under way as long
            lost.append(line.transport.lost)
        return arrived

    arrived = await listen()
    assert arrived == await listen()
    numbers = [number for _, _, number in arrived]
    assert numbers == sorted(numbers)
    assert lost == [55, 55]
    assert 0 <= 200 - 55 - len(numbers) <= 8  # under way
    # Media time is that of the piece, not of its coming; it comes up to 90 ms later, at a tick.
    assert all(at_ms == 20 + (number - 1) * 20 + 60 for _, at_ms, number in arrived)
    delays = [now - at_ms for now, at_ms, _ in arrived]
    assert set(delays) == {20, 40, 60, 80, 100}
    bursts = [a for a, b in pairwise(arrived) if a[0] == b[0]]
    assert bursts


@pytest.mark.parametrize(("ppm", "count"), [(500, 50_025), (-500, 49_975)])
async def test_a_clock_of_its_own_makes_more_or_fewer_pieces(ppm: int, count: int) -> None:
    async with Line(conditions=LineConditions(clock_ppm=ppm), observed=False) as line:
        pieces = 0

        def next() -> bytes:
            nonlocal pieces
            pieces += 1
            return line.transport.far.silence

        line.transport.far.source = next
        await asyncio.sleep(1_000)
    assert abs(pieces - count) <= 1


async def test_the_output_holds_producers_back_and_has_a_bound() -> None:
    made: list[int] = []

    class Endless(Processor):
        @handles(InputDTMFFrame)
        async def on_key(self, frame: InputDTMFFrame) -> None:
            number = self.begin_reply()
            second = Audio(bytes(8_000), PCMU_8K)
            for count in range(10_000):
                self.push(OutputAudioFrame(second, number))
                made.append(count)
                await self.drain()

    async with Line(Endless(), observed=False) as line:
        line.transport.press("1")
        await asyncio.sleep(0.1)
        held = len(made)
        assert held * 1_000 == pytest.approx(MOST_MS / 2, abs=2_000)
        await asyncio.sleep(10)
        assert len(made) == held + 10
    async with Line(observed=False) as line:
        number = line.call.replies.begin()
        line.push(OutputAudioFrame(Audio(bytes(8 * (MOST_MS + 1_000)), PCMU_8K), number))
        assert await line.call.wait_ended() == "error"
        failed = line.record.of("processor.failed")[0]
        assert (failed.data["code"], failed.data["processor"]) == ("processor.overflow", "LoopbackOutput")


def test_the_same_call_has_the_same_bytes() -> None:
    async def once() -> tuple[str, bytes]:
        async with Line(conditions=LineConditions(jitter_ms=50, loss=0.1, seed=3)) as line:
            line.says(hum(300), Word("One", 0, 300))
            await asyncio.sleep(0.1)
            line.push(PauseFrame(1))
            await asyncio.sleep(0.1)
            line.push(ResumeFrame(1))
            await asyncio.sleep(0.1)
            line.call.interrupt()
            await asyncio.sleep(0.1)
        return line.record.lines(), b"".join(line.ticks)

    assert run_virtual(once()) == run_virtual(once())


@pytest.mark.real_time
async def test_on_a_real_loop_ticks_that_were_missed_are_served_and_nothing_drifts() -> None:
    async with Line() as line:
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # noqa: ASYNC251  # somebody holds up the loop
        await asyncio.sleep(0.03)
        at_ms = line.call.clock.at_ms()
        assert (at_ms - line.transport.began_ms) // 20 <= len(line.ticks) <= (at_ms - line.transport.began_ms) // 20 + 2
        assert len(line.ticks) == len(line.ear.caller)
        assert [b.at_ms - a.at_ms for a, b in pairwise(line.ear.caller)] == [20] * (len(line.ear.caller) - 1)


async def test_an_output_knows_when_its_line_began() -> None:
    assert AudioOutput(PCM_8K).accepts == (PCM_8K,)
    async with Line() as line:
        await asyncio.sleep(0.013)
        await asyncio.sleep(0.1)
        line.says(hum(20))
        await asyncio.sleep(0.1)
        assert line.transport.began_ms == 20
        assert [(frame.at_ms, frame.position) for frame in line.ear.played] == [(120, 800)]


async def test_a_slow_setup_keeps_the_callers_first_words() -> None:
    class Slow(Processor):
        def __init__(self) -> None:
            self.heard: list[int] = []

        async def setup(self) -> None:
            await asyncio.sleep(0.5)

        @handles(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> Frame:
            self.heard.append(frame.at_ms)
            return frame

    slow = Slow()
    async with Line(slow) as line:
        await asyncio.sleep(1)
        assert slow.heard == [frame.at_ms for frame in line.ear.caller]
        assert slow.heard[0] == 20
    assert EngineSettings().mailbox_frames > 100


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.integers(0, 3), st.booleans(), st.booleans()),
            st.tuples(st.just("sleep"), st.integers(0, 400)),
            st.tuples(st.sampled_from(["interrupt", "pause", "resume", "lose", "attach"])),
        ),
        max_size=15,
    )
)
async def test_each_reply_has_one_last_word_and_the_log_knows_what_was_heard(
    schedule: list[tuple[object, ...]],
) -> None:
    async with Line() as line:
        said: dict[int, str] = {}
        for step in schedule:
            match step:
                case ("say", int(count), bool(interruptible), bool(ends)):
                    number = line.call.replies.begin(interruptible=interruptible)
                    words = tuple(Word(f" {number}.{i}", i * 90, i * 90 + 90) for i in range(count))
                    said[number] = "".join(word.text for word in words)
                    line.push(ReplyStartedFrame(number))
                    if count:
                        line.push(OutputAudioFrame(Audio(hum(90 * count), PCM_8K), number, words))
                    if ends:
                        line.push(ReplyEndedFrame(number))
                case ("sleep", int(ms)):
                    await asyncio.sleep(ms / 1000)
                case ("interrupt",):
                    line.call.interrupt()
                case ("pause",):
                    line.push(PauseFrame(0))
                case ("resume",):
                    line.push(ResumeFrame(0))
                case ("lose",):
                    line.transport.lose()
                case ("attach",):
                    line.transport.attach()
        line.transport.attach()
        line.push(ResumeFrame(0))
        line.call.engine.request_end("completed")
        assert await line.call.wait_ended() == "completed"
    assert line.call.clock.at_ms() < 15_000  # nothing had to be cancelled
    finals = [frame.reply for frame in line.ear.seen if isinstance(frame, HeardFrame) and frame.final]
    # One that was interrupted before the output got word of it has none there; the log knows of it all the same.
    assert len(finals) == len(set(finals))
    assert set(finals) <= said.keys()
    spoke = [frame.reply for frame in line.ear.seen if isinstance(frame, BotStartedSpeakingFrame)]
    assert set(spoke) <= set(finals)
    stopped = [frame.reply for frame in line.ear.seen if isinstance(frame, BotStoppedSpeakingFrame)]
    assert spoke == stopped
    heard = {event.data["reply"]: event for event in line.record.of("reply.heard")}
    assert said.keys() == heard.keys()
    for number, text in said.items():
        kept = (heard[number].personal or {})["text"]
        assert text.startswith(kept)
        if heard[number].data["complete"]:
            assert kept == text
    assert "".join(word for _, word in line.words) == "".join(
        frame.text for frame in line.ear.seen if isinstance(frame, HeardFrame)
    )
