"""What turn taking hears: the bot's echo in the caller's audio, and whether a voice sounds finished."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from voiceframe.audio import PCM_8K, Audio
from voiceframe.clock import run_virtual
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    InputAudioFrame,
    PlayedAudioFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors.turn import Turns, TurnSettings
from voiceframe.processors.turn.echo import EchoDetector
from voiceframe.processors.turn.prosody import finality
from voiceframe.testing.run import rig

RATE = 8_000


def voice(pitch: list[float], ms: int, *, seed: int = 0, dbfs: float = -20) -> bytes:
    """A buzzing voice whose pitch goes through these frequencies, with syllables, breath and changing vowels."""
    rng = np.random.default_rng(seed)
    count = RATE * ms // 1000
    places = np.linspace(0, len(pitch) - 1, count)
    frequency = np.interp(places, range(len(pitch)), pitch) * (1 + 0.01 * np.cumsum(rng.normal(0, 0.02, count)))
    phase = np.cumsum(2 * math.pi * frequency / RATE)
    vowels = np.repeat(rng.uniform(300, 1_800, count // 800 + 1), 800)[:count]
    wave = np.zeros(count)
    for harmonic in range(1, 18):
        strength = 1 / (1 + ((harmonic * frequency - vowels) / 250) ** 2) + 0.3 / harmonic
        wave += np.where(harmonic * frequency < 3_600, strength, 0) * np.sin(harmonic * phase)
    syllables = 0.25 + 0.75 * np.clip(np.sin(np.arange(count) / RATE * 2 * math.pi * rng.uniform(3.5, 5.5)) + 0.5, 0, 1)
    wave = wave * syllables + rng.normal(0, 0.15, count)
    wave *= 32_768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(wave**2))
    return np.clip(wave, -32_768, 32_767).astype("<i2").tobytes()


def pieces(pcm: bytes) -> list[Audio]:
    return [Audio(pcm[start : start + 320], PCM_8K) for start in range(0, len(pcm) - 319, 320)]


def mixed(*parts: bytes) -> bytes:
    count = min(len(part) for part in parts)
    total = sum(np.frombuffer(part[:count], "<i2").astype(np.int32) for part in parts)
    return np.clip(total, -32_768, 32_767).astype("<i2").tobytes()


def delayed(pcm: bytes, ms: float, db: float) -> bytes:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64) * 10 ** (db / 20)
    lag = round(RATE * ms / 1000)
    return np.concatenate([np.zeros(lag), samples])[: len(samples)].astype("<i2").tobytes()


def noise(ms: int, dbfs: float, seed: int = 9) -> bytes:
    samples = np.random.default_rng(seed).normal(0, 32_768 * 10 ** (dbfs / 20), RATE * ms // 1000)
    return np.clip(samples, -32_768, 32_767).astype("<i2").tobytes()


def correlation(played: bytes, heard: bytes) -> float:
    echo = EchoDetector()
    for number, (bot, caller) in enumerate(zip(pieces(played), pieces(heard), strict=True)):
        echo.played(20 * number, bot)
        echo.heard(20 * number + 20, caller)
    return echo.correlation(20 * len(pieces(played)))


@pytest.mark.parametrize("lag_ms", [0, 7.25, 60, 180, 430])
@pytest.mark.parametrize("seed", range(4))
def test_an_echo_at_minus_20_db_in_noise_is_found_at_any_lag(lag_ms: float, seed: int) -> None:
    bot = voice([110, 130, 100], 2_000, seed=seed)
    heard = mixed(delayed(bot, lag_ms, -20), noise(2_000, -60, seed))
    assert correlation(bot, heard) > 0.8


@pytest.mark.parametrize("seed", range(12))
def test_another_voice_is_no_echo_even_at_the_same_pitch(seed: int) -> None:
    bot = voice([110, 130, 100], 2_000, seed=seed)
    caller = voice([112, 128, 104], 2_000, seed=1_000 + seed, dbfs=-26)
    assert correlation(bot, caller) < 0.6
    # A caller over the echo is the caller.
    assert correlation(bot, mixed(delayed(bot, 60, -20), caller)) < 0.6


def test_silence_correlates_with_nothing() -> None:
    silence = bytes(2 * RATE * 2)
    assert correlation(silence, silence) == 0
    assert correlation(voice([110, 120], 2_000), silence) == 0
    assert not EchoDetector().is_echo(1_000)


async def test_the_bots_voice_fed_back_at_minus_20_db_is_no_turn_and_no_barge_in() -> None:
    bot = voice([110, 130, 100, 120], 3_000, seed=3)
    heard = mixed(delayed(bot, 120, -20), noise(3_000, -60))
    async with rig(Turns(TurnSettings(idle_ms=0))) as call:
        reply = call.call.say("I have a free hour on Monday.").number
        call.up(BotStartedSpeakingFrame(reply))
        for number, (out, back) in enumerate(zip(pieces(bot), pieces(heard), strict=True)):
            if number == 30:
                call.push(VADUserStartedSpeakingFrame(0.9, began_ms=call.call.clock.at_ms() - 150))
            if number == 120:
                call.push(VADUserStoppedSpeakingFrame(ended_ms=call.call.clock.at_ms() - 200))
                call.push(TranscriptionFrame("three on one day"))  # what a grammar makes of it
            call.up(PlayedAudioFrame(out, reply, 160 * number))
            await asyncio.sleep(0.02)
            call.push(InputAudioFrame(back))
        await asyncio.sleep(3)
        kinds = [event.kind for event in call.result.events]
    assert "pause" not in kinds
    assert "interruption" not in kinds
    assert "turn.committed" not in kinds
    assert [event.data["reason"] for event in call.result.events if event.kind == "speech.discarded"] == ["echo"]


async def test_a_caller_who_speaks_over_the_echo_stops_the_bot() -> None:
    bot = voice([110, 130, 100, 120], 3_000, seed=3)
    caller = bytes(2 * RATE) + voice([190, 210, 180], 2_000, seed=4, dbfs=-24)  # from 1,000 ms on
    heard = mixed(delayed(bot, 120, -20), noise(3_000, -60), caller)
    async with rig(Turns(TurnSettings(idle_ms=0))) as call:
        reply = call.call.say("I have a free hour on Monday.").number
        call.up(BotStartedSpeakingFrame(reply))
        for number, (out, back) in enumerate(zip(pieces(bot), pieces(heard), strict=True)):
            if number == 30:
                call.push(VADUserStartedSpeakingFrame(0.9, began_ms=call.call.clock.at_ms() - 150))
            call.up(PlayedAudioFrame(out, reply, 160 * number))
            await asyncio.sleep(0.02)
            call.push(InputAudioFrame(back))
        (pause,) = call.events("pause")
    assert 1_000 < pause.at_ms < 1_800


def test_a_falling_voice_sounds_finished_and_a_rising_one_does_not() -> None:
    tail = bytes(2 * RATE * 2 // 10)  # 200 ms of silence
    for seed in range(6):
        falling = finality(voice([130, 128, 125, 120, 85], 1_000, seed=seed) + tail)
        rising = finality(voice([110, 110, 112, 118, 160], 1_000, seed=seed) + tail)
        assert falling is not None
        assert rising is not None
        assert falling > 0.6 > 0.4 > rising


def test_too_little_voice_says_nothing() -> None:
    assert finality(b"") is None
    assert finality(bytes(2 * RATE)) is None
    assert finality(noise(1_000, -30)) is None


@pytest.mark.slow
def test_adaptive_endpointing_cuts_half_as_many_turns_at_the_same_delay() -> None:
    """A third of the labelled set of `benchmarks/endpointing.py`, which has the figures and the plot."""
    from benchmarks._turn_ends import turn_ends
    from benchmarks.endpointing import activity, at_delay, sweep

    fixed, adaptive = sweep([(utterance, run_virtual(activity(utterance))) for utterance in turn_ends(120)])
    assert adaptive
    for point in adaptive:
        assert at_delay(fixed, point.median_ms) >= 2 * point.cut, point
