"""The caller puts us on hold: music mutes the recognizer, and the first word of a person is heard whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.music import by_telephone, talk
from voiceframe import Call, Pipeline, Processor, handles, observes
from voiceframe.audio import PCM_8K, PCMU_8K, Audio
from voiceframe.frames import (
    ExpectFrame,
    InputAudioFrame,
    StartFrame,
    TranscriptionFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors import (
    EnergyVAD,
    HoldSettings,
    IdleSettings,
    Manners,
    PocketSphinxSTT,
    Turns,
    TurnSettings,
)
from voiceframe.processors.manners.line import DelayLine
from voiceframe.processors.turn import FixedEndpointing
from voiceframe.testing import AudioCaller, ToneTTS, dial
from voiceframe.testing.run import rig
from voiceframe.testing.voices import Voice, noisy, speech
from voiceframe.tones import level_dbfs, mix, music, silence

VOICE = Voice("en-us", 150, 50, -20.0)
GRAMMAR = """#JSGF V1.0;
grammar talk;
public <talk> = hello i am back | please hold the line | your call is important to us | i need an appointment ;"""


class Ear(Processor):
    """What comes to those behind the ears of the manners."""

    def __init__(self) -> None:
        self.pcm = b""

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self.pcm += frame.audio.pcm(8_000)


class Parrot(Processor):
    """Says what it was asked, and what may be asked."""

    def __init__(self, greeting: str = "") -> None:
        self.turns: list[str] = []
        self._greeting = greeting

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.push(ExpectFrame(jsgf=GRAMMAR), upstream=True)
        if self._greeting:
            self.call.say(self._greeting)

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.turns.append(frame.text)
        self.call.say(f"You said {frame.text or 'nothing'}.")


def bot(manners: Manners | None, ear: Ear, parrot: Parrot, *, idle_ms: int = 0) -> Callable[[Call], Pipeline]:
    def make(call: Call) -> Pipeline:
        turns = Turns(TurnSettings(idle_ms=idle_ms))
        hearing = [ear, EnergyVAD(), PocketSphinxSTT(), turns]
        around = (manners or Manners()).around(*hearing)
        return Pipeline([call.transport.input(), *around, parrot, ToneTTS(), call.transport.output()])

    return make


def why_silent(caller: AudioCaller) -> str | None:
    return caller.call.turns.silence


def voice(text: str) -> bytes:
    return speech(text, VOICE)


async def test_music_mutes_the_recognizer_and_a_person_who_comes_back_is_heard_from_the_first_word() -> None:
    pytest.importorskip("pocketsphinx")
    ear, parrot = Ear(), Parrot()
    async with dial(bot(Manners(hold=True), ear, parrot, idle_ms=4_000), via="audio", voice=voice) as caller:
        await caller.says("please hold the line")
        await caller.hears("you said please hold")
        await caller.listens()
        began = caller.call.clock.at_ms()
        await caller.plays(music(15_000, "band", seed=1))
        (started,) = caller.record.of("hold.started")
        assert 2_500 <= started.at_ms - began <= 4_500
        assert why_silent(caller) == "on hold"
        await caller.plays(silence(600))
        said = caller.call.clock.at_ms()
        caller.interrupts_now("hello i am back")
        await caller.hears("you said hello i am back", within_ms=6_000)
        (ended,) = caller.record.of("hold.ended")
        assert ended.data["why"] == "words"
        assert ended.at_ms - said < 3_500  # 1.2 s of words, the end of speech, and what the ears take
        assert why_silent(caller) is None
    assert parrot.turns == ["please hold the line", "hello i am back"]
    assert not caller.record.of("speech.idle")
    # Muted, the recognizer hears nothing at all.
    begin = started.at_ms + 200
    assert level_dbfs(ear.pcm[16 * begin : 16 * (began + 15_000)]) < -80
    # What it hears of the person is what was said, to the sample.
    words = Audio(Audio(voice("hello i am back"), PCM_8K).to(PCMU_8K), PCMU_8K).pcm(8_000)
    assert words[800:8_000] in ear.pcm


async def test_without_the_manner_the_same_music_makes_turns() -> None:
    pytest.importorskip("pocketsphinx")
    parrot = Parrot()
    async with dial(bot(None, Ear(), parrot), via="audio", voice=voice) as caller:
        await caller.plays(music(12_000, "piano", seed=1) + silence(3_000))
    assert parrot.turns  # what the manner is for


async def test_announcements_are_no_turns_and_the_hold_goes_on() -> None:
    pytest.importorskip("pocketsphinx")
    parrot = Parrot()
    async with dial(bot(Manners(hold=True), Ear(), parrot), via="audio", voice=voice) as caller:
        await caller.plays(music(6_000, "band", seed=2))
        for seed in (3, 4):
            await caller.plays(silence(400) + voice("your call is important to us") + silence(900))
            await caller.plays(music(7_000, "band", seed=seed))
            assert why_silent(caller) == "on hold"
        assert caller.record.of("hold.announced")
        assert not caller.record.of("hold.ended")
        await caller.plays(silence(500))
        caller.interrupts_now("i need an appointment")
        await caller.hears("i need an appointment", within_ms=6_000)
    assert parrot.turns == ["i need an appointment"]
    assert not caller.record.of("reply.speaking")[1:]


async def test_somebody_who_speaks_over_music_is_heard() -> None:
    pytest.importorskip("pocketsphinx")
    parrot = Parrot()
    async with dial(bot(Manners(hold=True), Ear(), parrot), via="audio", voice=voice) as caller:
        await caller.plays(music(6_000, "band", -44.0, seed=2))
        assert why_silent(caller) == "on hold"
        over = mix(music(4_000, "band", -44.0, seed=3), silence(1_000) + voice("hello i am back"))
        await caller.plays(over)
    assert [event.data["why"] for event in caller.record.of("hold.ended")] == ["words"]
    assert parrot.turns == ["hello i am back"]


async def test_the_bot_falls_silent_on_hold_and_asks_when_it_is_quiet_again() -> None:
    manners = Manners(hold=HoldSettings(quiet_ms=4_000), idle=IdleSettings(after_ms=6_000))
    parrot = Parrot("This is a very long sentence " * 8)
    async with dial(bot(manners, Ear(), parrot), via="audio", voice=voice) as caller:
        await caller.waits(1_000)
        await caller.plays(music(9_000, "band", seed=6))
        assert why_silent(caller) == "on hold"
        ((_, silent),) = caller.bot_spoke
        assert silent < 4_000  # the sentence would have taken 14 s
        await caller.hears("are you back", within_ms=6_000)
        assert caller.bot_spoke[1][0] > 13_000
        assert [event.data["why"] for event in caller.record.of("hold.ended")] == ["quiet"]
        await caller.hears("are you still there", within_ms=12_000)


async def test_a_hold_has_an_end() -> None:
    manners = Manners(hold=HoldSettings(longest_ms=8_000))
    async with dial(bot(manners, Ear(), Parrot()), via="audio", voice=voice) as caller:
        caller._speak(music(20_000, "band", seed=7))
        assert await caller.hears_the_end(within_ms=15_000) == "on hold"
    assert caller.record.of("hold.ended")[0].data["why"] == "time"


async def test_a_key_ends_a_hold_and_is_answered() -> None:
    parrot = Parrot()
    async with dial(bot(Manners(hold=True), Ear(), parrot), via="audio", voice=voice) as caller:
        await caller.plays(music(6_000, "band", seed=8))
        await caller.presses("5#")
        await caller.hears("you said 5")
        assert why_silent(caller) is None
    assert caller.record.outcomes[max(caller.record.outcomes)] == "answered"


async def test_an_operator_who_keeps_the_bot_silent_is_not_overruled() -> None:
    manners = Manners(hold=HoldSettings(quiet_ms=1_000))
    async with dial(bot(manners, Ear(), Parrot()), via="audio", voice=voice) as caller:
        caller.call.turns.hush("taken over")
        await caller.plays(music(6_000, "band", seed=9))
        assert why_silent(caller) == "taken over"
        await caller.waits(3_000)
        assert caller.record.of("hold.ended")
        assert why_silent(caller) == "taken over"
    assert not caller.record.heard


async def test_a_caller_who_talks_over_music_all_the_time_is_not_put_on_hold() -> None:
    pytest.importorskip("pocketsphinx")
    parrot = Parrot()
    async with dial(bot(Manners(hold=True), Ear(), parrot), via="audio", voice=voice) as caller:
        for number in range(4):
            over = mix(music(3_000, "band", -42.0, seed=number), silence(300) + voice("i need an appointment"))
            await caller.plays(over[: 16 * 3_000])
    assert not caller.record.of("hold.started")


# -- the line by itself


async def run_line(sizes: list[int], actions: dict[int, str], levels: list[int]) -> tuple[list[int], list[int]]:
    line = DelayLine(1_000)
    sent, heard = [], []
    for number, level in enumerate(levels):
        what = actions.get(number)
        if what == "mute":
            line.mute()
        elif what == "release":
            line.release(400)
        data = bytes([number % 251, 1]) * 160
        frame = InputAudioFrame(Audio(data, PCM_8K), at_ms=20 * number)
        out = line.through(frame, level)
        sent.append(number % 251)
        heard.append(out.audio.data[0] if out.audio.data[1] else -1)
        assert len(out.audio.data) == 320
        assert out.at_ms == frame.at_ms
    return sent, heard


@given(st.lists(st.sampled_from([0, 5_000]), min_size=60, max_size=200), st.integers(5, 50))
async def test_the_line_gives_each_loud_piece_once_and_in_order(levels: list[int], released: int) -> None:
    sent, heard = await run_line([], {2: "mute", released: "release"}, levels)
    after = [value for value in heard[released:] if value >= 0]
    order = [sent.index(value) for value in after]
    assert order == sorted(set(order))
    assert heard[2:released] == [-1] * (released - 2)
    loud = [n for n in range(order[0], order[-1]) if levels[n]]
    assert set(loud) <= set(order)  # only pauses are left out, from where it begins on
    assert order[0] >= released - 20
    if not any(levels[-60:]):
        assert order[-1] == len(levels) - 1  # it has caught up


async def test_pauses_on_hold_teach_turn_taking_nothing() -> None:
    class Pupil(FixedEndpointing):
        learned: list[int] = []

        def resumed(self, pause_ms: int) -> None:
            self.learned.append(pause_ms)

    settings = TurnSettings(idle_ms=0, silence_ms=3_000)
    async with rig(Turns(settings, analyzer=Pupil(settings))) as call:
        for hushed in (True, False):
            call.call.turns.hush("on hold" if hushed else None)
            for _ in range(2):
                now = call.call.clock.at_ms()
                call.push(VADUserStartedSpeakingFrame(1.0, now))
                await asyncio.sleep(0.5)
                call.push(VADUserStoppedSpeakingFrame(now + 500))
                call.push(TranscriptionFrame("well"))
                await asyncio.sleep(1)
            await asyncio.sleep(9)
    assert Pupil.learned == [1_000]


async def test_a_hold_costs_nothing_when_it_is_not_asked_for() -> None:
    hearing = [EnergyVAD(), Turns()]
    assert Manners().around(*hearing) == hearing


async def test_noise_by_itself_is_passed_on_untouched() -> None:
    ear = Ear()
    manners = Manners(hold=True).around(ear, Turns(TurnSettings(idle_ms=0)))
    pcm = by_telephone(noisy(talk(3_000, 3), 15, random.Random(3)))
    async with rig(*manners) as call:
        for start in range(0, len(pcm), 320):
            await asyncio.sleep(0.02)
            call.push(InputAudioFrame(Audio(pcm[start : start + 320], PCM_8K)))
        await call.ends()
    assert ear.pcm == pcm
