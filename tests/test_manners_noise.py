"""A noisy line: keys are offered when speech has been less than 10 dB over the noise for 5 s, and not otherwise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from voiceframe import Call, Pipeline, Processor, handles
from voiceframe.errors import MannersError
from voiceframe.frames import ExpectFrame, StartFrame, UserTurnFrame
from voiceframe.processors import EnergyVAD, Language, Manners, NoiseSettings, Turns, TurnSettings
from voiceframe.processors.manners.noise import NoiseWatch
from voiceframe.processors.manners.sound import Slicer
from voiceframe.testing import ToneTTS, dial
from voiceframe.testing.voices import Voice, noise, speech
from voiceframe.tones import mix, silence

VOICE = Voice("en-us", 160, 50, -24.0)
OFFER = "You can also press one for yes and two for no."


class Asker(Processor):
    """Expects yes or no, and notes what it is answered."""

    def __init__(self) -> None:
        self.turns: list[UserTurnFrame] = []

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.push(ExpectFrame(phrases=("yes", "no")), upstream=True)

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.turns.append(frame)
        self.call.say(f"Noted {frame.text or 'nothing'}.")


def bot(settings: NoiseSettings, asker: Asker, turns: Turns) -> Callable[[Call], Pipeline]:
    def make(call: Call) -> Pipeline:
        hearing = Manners(noise=settings).around(EnergyVAD(), turns)
        return Pipeline([call.transport.input(), *hearing, asker, ToneTTS(), call.transport.output()])

    return make


async def test_a_noisy_line_is_offered_keys_and_one_key_is_an_answer() -> None:
    asker, turns = Asker(), Turns(TurnSettings(idle_ms=0))
    settings = NoiseSettings(offer=OFFER, digits=1)
    # 7 dB: what the caller speaks at is -24 dBFS.
    async with dial(bot(settings, asker, turns), via="audio", noise_dbfs=-31, voice=_voice, seed=1) as caller:
        caller.interrupts_now("yes please")
        await caller.hears("press one for yes", within_ms=9_000)
        (noisy,) = caller.record.of("line.noisy")
        assert 5_000 <= noisy.at_ms <= 6_000
        assert noisy.data["snr_db"] == pytest.approx(7, abs=4)  # of speech with its pauses
        assert noisy.data["noise_dbfs"] == pytest.approx(-31, abs=1.5)
        assert noisy.data["offered"] is True
        await caller.listens()
        await caller.presses("1")
        await caller.hears("noted 1", within_ms=500)  # at once: one key is expected
        await caller.waits(20_000)
    assert len(caller.record.of("line.noisy")) == 1  # once in five minutes
    expected = turns._expect
    assert expected is not None
    assert (expected.phrases, expected.digits) == (("yes", "no"), 1)


def _voice(text: str) -> bytes:
    return speech(text, VOICE)


@pytest.mark.parametrize(("noise_dbfs", "offered"), [(-60, False), (-44, False), (-38, False), (-31, True)])
async def test_the_bound_is_ten_decibels(noise_dbfs: float, offered: bool) -> None:
    asker, turns = Asker(), Turns(TurnSettings(idle_ms=0))
    async with dial(bot(NoiseSettings(), asker, turns), via="audio", noise_dbfs=noise_dbfs, voice=_voice) as caller:
        for _ in range(3):
            caller.interrupts_now("I would like to see the doctor next week")
            await caller.waits(4_000)
        assert bool(caller.record.of("line.noisy")) is offered


async def test_noise_that_comes_and_goes_within_five_seconds_is_none() -> None:
    rng = random.Random(4)
    asker, turns = Asker(), Turns(TurnSettings(idle_ms=0))
    async with dial(bot(NoiseSettings(), asker, turns), via="audio", noise_dbfs=-62) as caller:
        await caller.plays(_voice("yes please"))
        for length in (4_300, 4_300):
            await caller.plays(silence(4_000) + noise(length, rng, dbfs=-30) + silence(4_000))
        assert not caller.record.of("line.noisy")
        await caller.plays(noise(6_000, rng, dbfs=-30))
        assert len(caller.record.of("line.noisy")) == 1


async def test_the_offer_waits_until_the_bot_has_finished_and_is_made_again_later() -> None:
    asker, turns = Asker(), Turns(TurnSettings(idle_ms=0))
    settings = NoiseSettings(offer=OFFER, every_ms=20_000)
    async with dial(bot(settings, asker, turns), via="audio", noise_dbfs=-28) as caller:
        await caller.waits(4_000)  # by now the VAD knows the noise
        caller.call.say("This is a sentence that takes a very long time to be said, longer than the noise.")
        await caller.hears("longer than the noise", within_ms=9_000)
        await caller.waits(26_000)
    said = caller.record.heard
    story = next(text for text in said if text.startswith("This is a sentence"))
    assert story.endswith("longer than the noise.")
    assert said.index(story) < said.index(OFFER)
    assert said.count(OFFER) == 2


async def test_the_offer_is_not_the_answer_to_a_turn() -> None:
    class Slow(Asker):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> None:
            asyncio.get_running_loop().call_later(3, self.call.say, "At last.")

    async with dial(bot(NoiseSettings(offer=OFFER), Slow(), Turns()), via="audio", noise_dbfs=-28) as caller:
        await caller.waits(4_000)
        await caller.presses("7#")
        await caller.hears("press one for yes", within_ms=9_000)
    assert caller.record.heard[0] == "At last."
    (answered,) = caller.record.of("turn.answered")
    assert answered.data["latency_ms"] >= 2_900


async def test_without_words_only_the_log_tells() -> None:
    asker, turns = Asker(), Turns(TurnSettings(idle_ms=0))
    async with dial(bot(NoiseSettings(offer=""), asker, turns), via="audio", noise_dbfs=-28) as caller:
        await caller.waits(8_000)
    assert [event.data["offered"] for event in caller.record.of("line.noisy")] == [False]
    assert caller.record.heard == ["Noted nothing."]  # the simple VAD took the noise for speech at first


@pytest.mark.parametrize("snr_db", [3, 6, 9, 14, 20])
@pytest.mark.parametrize("kind", ["speech", "babble"])
def test_how_well_the_distance_is_known(snr_db: int, kind: str) -> None:
    """Within 3 dB for steady noise. In babble it is taken for up to 9 dB more: there are holes in it."""
    watch, slicer = NoiseWatch(NoiseSettings()), Slicer(spectrum=False)
    assert kind in ("speech", "babble")
    room = noise(8_000, random.Random(snr_db), dbfs=-24.0 - snr_db, kind="babble" if kind == "babble" else "speech")
    for slice in slicer.feed(room):
        watch.hear(slice)
    word = mix(speech("next Thursday", VOICE), room)
    level = 10 * _log(sum(slice.rms**2 for slice in Slicer(spectrum=False).feed(word[: 16 * 700])) / 35 / 32768**2)
    watch.spoke(level)
    off = watch.snr_db - snr_db
    assert (-3 <= off <= 3) if kind == "speech" else (-3 <= off <= 9), off


def _log(value: float) -> float:
    import math

    return math.log10(value)


def test_what_is_said_must_be_there_in_each_language() -> None:
    with pytest.raises(MannersError) as raised:
        Manners(noise=NoiseSettings(offer=OFFER), languages=[Language("en-US"), Language("es", voice="es")])
    assert raised.value.code == "manners.untranslated"
    assert OFFER in str(raised.value)
