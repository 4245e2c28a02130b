"""The caller who speaks and listens: `dial(bot, via="audio")`."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from voiceframe import Call, Pipeline, Processor, handles, observes
from voiceframe.audio import PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import SpeechError, TestKitError
from voiceframe.frames import (
    InputAudioFrame,
    InputDTMFFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    Word,
)
from voiceframe.keys import DTMFDetector
from voiceframe.testing import AudioCaller, dial, run_virtual
from voiceframe.testing.levels import sounds
from voiceframe.tones import goertzel, level_dbfs, tone
from voiceframe.transports import LineConditions
from voiceframe.transports.loopback import Far


class Ear(Processor):
    """Answers when the caller has been loud and then silent for 300 ms; stops at the second sound over its own."""

    decides_interruptions = True

    def __init__(self, answer: str, *, stops: bool = True) -> None:
        self._answer = answer
        self._stops = stops
        self._loud = 0
        self._quiet = 0
        self.keys: list[str] = []
        self.audio: list[bytes] = []

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        pcm = frame.audio.pcm(8_000)
        self.audio.append(pcm)
        if level_dbfs(pcm) > -30:
            self._loud += 1
            self._quiet = 0
            if self._loud == 5 and self._stops:
                self.interrupt("caller")
        else:
            self._quiet += 1
            if self._quiet == 15 and self._loud >= 5:
                self.call.say(self._answer)
            if self._quiet >= 15:
                self._loud = 0

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.keys.append(frame.digit)


class Hum(Processor):
    """A voice: 60 ms for each character at 440 Hz."""

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> OutputAudioFrame:
        words: list[Word] = []
        position = 0
        for word in frame.text.split(" "):
            text = word if not position else f" {word}"
            words.append(Word(text, position * 60, (position + len(text)) * 60))
            position += len(text)
        pcm = tone(440, position * 60, -20, 16_000)
        return OutputAudioFrame(Audio(pcm, PCM_16K), frame.reply, tuple(words))


def hum(text: str) -> bytes:
    """How the caller speaks here: 50 ms for each character at 700 Hz."""
    return tone(700, 50 * len(text), -15)


def bot(ear: Ear, greeting: str = "") -> Callable[[Call], Pipeline]:
    def make(call: Call) -> Pipeline:
        if greeting:
            asyncio.get_running_loop().call_soon(lambda: call.say(greeting))
        return Pipeline([call.transport.input(), ear, Hum(), call.transport.output()])

    return make


async def test_a_caller_speaks_when_the_bot_has_finished_and_hears_the_answer() -> None:
    async with dial(bot(Ear("On Thursday."), "Hello there."), via="audio", voice=hum) as caller:
        assert isinstance(caller, AudioCaller)
        await caller.says("When is it?")
        match = await caller.hears(r"on (\w+)", within_ms=2_000)
        assert match.group(1) == "Thursday"
        assert await caller.listens() == "On Thursday."
    (greeting, answer), (question,) = caller.bot_spoke, caller.spoke
    assert greeting[1] - greeting[0] == pytest.approx(12 * 60, abs=2)
    assert 500 <= question[0] - greeting[1] <= 525  # a pause after which people speak
    assert question[1] - question[0] == pytest.approx(11 * 50, abs=1)
    assert 280 <= answer[0] - question[1] <= 325
    assert caller.record.heard == ["Hello there.", "On Thursday."]


async def test_a_caller_interrupts_and_knows_how_long_the_bot_went_on() -> None:
    async with dial(bot(Ear("Yes."), "This will take a very long time to say."), via="audio", voice=hum) as caller:
        await caller.interrupts("stop it", after_ms=700)
        assert 80 <= await caller.stops_within(200) <= 110  # five loud pieces, and the fade
        with pytest.raises(TestKitError, match="not-silent") as caught:
            await caller.stops_within(50)
        assert isinstance(caught.value, AssertionError)
        await caller.hears("yes")
    (first, _), (spoke,) = caller.bot_spoke, caller.spoke
    assert 690 <= spoke[0] - first[0] <= 720
    assert caller.record.heard[0] == "This will take"[: len(caller.record.heard[0])]


async def test_a_bot_that_does_not_stop_is_named() -> None:
    ear = Ear("Yes.", stops=False)
    async with dial(bot(ear, "This will take a very long time to say."), via="audio", voice=hum) as caller:
        await caller.interrupts("stop it")
        with pytest.raises(TestKitError, match="200 ms were allowed"):
            await caller.stops_within(200)


async def test_nobody_is_interrupted_where_nobody_speaks() -> None:
    async with dial(bot(Ear("Yes.")), via="audio", voice=hum) as caller:
        caller.interrupts_now("hello")
        assert await caller.stops_within(0) == 0


async def test_coughs_keys_and_other_sounds_go_out_as_they_are() -> None:
    ear = Ear("Yes.")
    async with dial(bot(ear), via="audio", voice=hum) as caller:
        await caller.coughs()
        await caller.presses("12")
        await caller.presses("34", in_band=True)
        await caller.plays(tone(1_000, 500))
        await caller.waits(100)
        assert await caller.hangs_up() == "hangup"
        with pytest.raises(TestKitError, match=r"test\.ended"):
            await caller.plays(tone(1_000, 100))
    assert ear.keys == ["1", "2"]
    assert DTMFDetector(8_000).feed(caller.sent) == "34"
    assert b"".join(ear.audio) == caller.sent[: len(b"".join(ear.audio))]
    assert goertzel(caller.sent[-16 * 500 - 1_600 : -1_600], 8_000, 1_000) > -22
    assert len(caller.spoke) == 1 or caller.spoke[0][1] - caller.spoke[0][0] < 700


async def test_a_file_is_played_at_the_rate_of_the_line(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(tone(1_000, 700, -15, 44_100))
    async with dial(bot(Ear("Yes.")), via="audio", voice=hum) as caller:
        await caller.plays_file(tmp_path / "question.wav")
        await caller.hears("yes")
        with pytest.raises(SpeechError, match=r"tts\.clip"):
            await caller.plays_file(tmp_path / "missing.wav")
    (spoke,) = caller.spoke
    assert spoke[1] - spoke[0] == pytest.approx(700, abs=3)
    began = caller.phone.began_ms
    sound = caller.sent[16 * round(spoke[0] - began) : 16 * round(spoke[1] - began)]
    assert goertzel(sound, 8_000, 1_000) == pytest.approx(-15, abs=0.5)


async def test_a_caller_speaks_into_whatever_telephone_there_is() -> None:
    @dataclass
    class Cup:
        """A telephone without a line."""

        far: Far = field(default_factory=lambda: Far(AudioFormat("pcm_s16le", 16_000)))
        conditions: LineConditions = field(default_factory=LineConditions)
        began_ms: int = -1
        done: list[str] = field(default_factory=list)

        def press(self, digits: str) -> None:
            self.done.append(digits)

        def hang_up(self) -> None:
            self.done.append("hang up")

        def lose(self, reason: str = "lost") -> None:
            self.done.append(reason)

        def tick(self, heard: bytes) -> bytes:
            said = self.far.source()
            assert self.far.on_audio is not None
            self.far.on_audio(heard)
            return said

    cup = Cup()
    async with dial(bot(Ear("Yes.")), via="audio") as other:
        caller = AudioCaller(lambda text: tone(700, 20, -15, 16_000), phone=cup)
        caller.call = other.call
        assert (caller.phone, caller.format.rate) == (cup, 16_000)
        cup.began_ms = -60  # a line that is older than the call
        assert cup.tick(cup.far.silence) == cup.far.silence
        caller.interrupts_now("hello")
        assert cup.tick(tone(440, 20, -15, 16_000)) == tone(700, 20, -15, 16_000)
        await caller.presses("1")
    for ((began, ended),) in (caller.spoke, caller.bot_spoke):
        assert (began, ended) == pytest.approx((-40, -20), abs=1)
    assert cup.done == ["1"]


async def test_the_recording_has_both_sides_aligned(tmp_path: Path) -> None:
    async with dial(bot(Ear("Yes."), "Hello."), via="audio", voice=hum) as caller:
        await caller.says("Is it?")
        await caller.hears("yes")
    caller.save(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8_000, 2)
        data = file.readframes(file.getnframes())
    assert data == caller.recording
    left = b"".join(data[i : i + 2] for i in range(0, len(data), 4))
    assert left[: len(caller.sent)] == caller.sent
    began = caller.transport.began_ms
    (spoke,) = sounds(left, 8_000)
    assert (began + spoke[0], began + spoke[1]) == pytest.approx(caller.spoke[0], abs=1)


async def test_noise_is_there_all_the_time_and_also_under_speech() -> None:
    ear = Ear("Yes.")
    async with dial(bot(ear), via="audio", voice=hum, noise_dbfs=-40, seed=3) as caller:
        await caller.waits(500)
        assert level_dbfs(caller.sent) == pytest.approx(-40, abs=1)
        caller.interrupts_now("hello hello")
        await caller.waits(500)
    assert len(caller.spoke) == 1
    speech = caller.sent[-16 * 400 :]
    assert level_dbfs(speech) == pytest.approx(-15, abs=1)
    assert goertzel(speech, 8_000, 700) == pytest.approx(-15, abs=0.5)


async def test_a_bot_that_says_nothing_is_given_its_time_and_then_spoken_to() -> None:
    async with dial(bot(Ear("Yes.", stops=False)), via="audio", voice=lambda text: tone(700, 40)) as caller:
        assert await caller.listens() == ""
        assert 2_980 <= caller.call.clock.at_ms() <= 3_040
        await caller.says("hm")  # too short to be heard
        before = caller.call.clock.at_ms()
        assert await caller.listens() == ""
        assert 7_900 <= caller.call.clock.at_ms() - before <= 8_040
        await caller.presses("1")
        assert await caller.listens() == ""
    with pytest.raises(TestKitError, match="interrupt"):
        await caller.interrupts("hello")


def test_the_same_call_has_the_same_recording_on_a_bad_line_too() -> None:
    async def once() -> tuple[bytes, str]:
        line = LineConditions(network_ms=80, jitter_ms=60, loss=0.05, clock_ppm=100, seed=5)
        async with dial(
            bot(Ear("Yes."), "Hello."), via="audio", voice=hum, line=line, noise_dbfs=-45, seed=2
        ) as caller:
            await caller.says("What is it?")
            await caller.listens()
        return caller.recording, caller.record.lines()

    assert run_virtual(once()) == run_virtual(once())


async def test_by_default_the_caller_has_a_voice() -> None:
    pytest.importorskip("espeakng_loader")
    ear = Ear("Yes.", stops=False)
    async with dial(bot(ear), via="audio", format=AudioFormat("pcm_s16le", 16_000)) as caller:
        caller.interrupts_now("Good morning.")
        await caller.waits(1_500)
    (stretch,) = sounds(caller.sent, 16_000, gap_ms=500)
    assert 400 < stretch[1] - stretch[0] < 1_500
    assert caller.format.rate == 16_000
    assert PCMU_8K.rate == 8_000


async def test_replies_are_told_apart_in_what_was_heard() -> None:
    class Twice(Processor):
        @handles(InputDTMFFrame)
        def on_key(self, frame: InputDTMFFrame) -> None:
            for text in ("One.", "Two."):
                number = self.begin_reply()
                self.push(ReplyStartedFrame(number))
                self.push(TextFrame(text, number))
                self.push(ReplyEndedFrame(number))

    def make(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Twice(), Hum(), call.transport.output()])

    async with dial(make, via="audio", voice=hum) as caller:
        await caller.presses("1")
        assert await caller.listens() == "One.\nTwo."
