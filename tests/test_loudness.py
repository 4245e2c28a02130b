"""Loudness by BS.1770, and that all voices have the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.processors.tts import EspeakSettings, EspeakTTS, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.espeak import PromptMaker
from voiceframe.processors.tts.loudness import SILENCE_LUFS, k_weighting, loudness_lufs
from voiceframe.processors.tts.shaping import FADE_MS, shape, trim
from voiceframe.tones import noise, peak_dbfs, silence, tone

FULL_SINE = -3.0103  # the RMS level of a sine at full scale
RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]

VOICES = [
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-us+f2",
    "en-us+f5",
    "en-us+m3",
    "en-us+m7",
    "en-us+klatt2",
    "en-us+whisper",
    "en-us+croak",
    "en-us+Annie",
    "en-us+UniRobot",
    "de",
    "fr",
    "es",
    "cmn",
]
#: None of them is the text that the voices are measured with.
SENTENCES = [
    "Hello, this is the city clinic.",
    "Your appointment is at 10:30 on Monday.",
    "She sells sea shells on the sea shore.",
    "Fine!",
    "Yes.",
]


def sine(level_dbfs: float, ms: int, rate: int = 48_000, hz: float = 997.0) -> bytes:
    """`level_dbfs` is that of the peak, as in EBU Tech 3341."""
    return tone(hz, ms, level_dbfs + FULL_SINE, rate)


def test_the_filters_are_those_of_the_recommendation() -> None:
    shelf, high_pass = k_weighting(48_000)
    assert shelf[0] == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285), abs=1e-10)
    assert shelf[1] == pytest.approx((1.0, -1.69065929318241, 0.73248077421585), abs=1e-10)
    assert high_pass[0] == pytest.approx((1.0, -2.0, 1.0), abs=1e-10)
    assert high_pass[1] == pytest.approx((1.0, -1.99004745483398, 0.99007225036621), abs=1e-10)


@pytest.mark.parametrize("rate", RATES)
def test_a_sine_of_997_hz_at_full_scale_has_minus_3_01(rate: int) -> None:
    assert loudness_lufs(sine(0, 5_000, rate), rate) == pytest.approx(-3.01, abs=0.05)


def test_the_filter_is_the_one_that_runs_sample_by_sample() -> None:
    pcm = noise(900, -25, 8_000, seed=3)
    values = np.frombuffer(pcm, "<i2").astype(float) / 32768
    for (b0, b1, b2), (_, a1, a2) in k_weighting(8_000):
        out = np.zeros(len(values))
        x1 = x2 = y1 = y2 = 0.0
        for index, x in enumerate(values):
            y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
            x1, x2, y1, y2 = x, x1, y, y1
            out[index] = y
        values = out
    powers = [float((values[at : at + 3_200] ** 2).mean()) for at in range(0, len(values) - 3_199, 800)]
    expected = -0.691 + 10 * np.log10(np.mean(powers))
    assert loudness_lufs(pcm, 8_000) == pytest.approx(expected, abs=1e-3)


# The cases of EBU Tech 3341 that one channel has. They are given for stereo, which is 3.01 LU louder.


@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_ebu_1_and_2_a_steady_sine(level: float) -> None:
    assert loudness_lufs(sine(level, 20_000, hz=1_000), 48_000) == pytest.approx(level + FULL_SINE, abs=0.1)


def test_ebu_3_the_relative_gate_leaves_the_quiet_parts_out() -> None:
    pcm = sine(-36, 10_000, 8_000) + sine(-23, 60_000, 8_000) + sine(-36, 10_000, 8_000)
    assert loudness_lufs(pcm, 8_000) == pytest.approx(-23 + FULL_SINE, abs=0.1)


def test_ebu_4_the_absolute_gate_comes_before_it() -> None:
    pcm = (
        sine(-72, 10_000, 8_000)
        + sine(-36, 10_000, 8_000)
        + sine(-23, 60_000, 8_000)
        + sine(-36, 10_000, 8_000)
        + sine(-72, 10_000, 8_000)
    )
    assert loudness_lufs(pcm, 8_000) == pytest.approx(-23 + FULL_SINE, abs=0.1)


def test_ebu_5_parts_above_the_gate_count() -> None:
    pcm = sine(-26, 20_000, 8_000) + sine(-20, 20_100, 8_000) + sine(-26, 20_000, 8_000)
    assert loudness_lufs(pcm, 8_000) == pytest.approx(-23 + FULL_SINE, abs=0.1)


def test_silence_has_a_number_too() -> None:
    assert loudness_lufs(b"", 8_000) == SILENCE_LUFS
    assert loudness_lufs(silence(1_000), 8_000) == SILENCE_LUFS
    assert loudness_lufs(sine(-20, 150, 8_000), 8_000) == pytest.approx(-23, abs=0.5)  # shorter than a block


# -- voices


@pytest.mark.parametrize("format", [PCMU_8K, PCM_16K], ids=str)
@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_is_as_loud_as_the_others_on_sentences_that_are_new(voice: str, format: AudioFormat) -> None:
    maker = PromptMaker(EspeakSettings(), voice, format, PromptCache(PromptCacheSettings(memory_mb=0)))
    for sentence in SENTENCES:
        pcm = Audio(maker.make(sentence).audio, format).pcm(format.rate)
        assert -23 <= loudness_lufs(pcm, format.rate) <= -17, sentence
        assert peak_dbfs(pcm) < -0.1, sentence


@pytest.mark.parametrize("wanted", [-26.0, -16.0])
def test_the_loudness_can_be_chosen(wanted: float) -> None:
    maker = PromptMaker(EspeakSettings(loudness_lufs=wanted), "en-us", PCM_16K, EspeakTTS().cache)
    pcm = maker.make("I have found three free times for you this week.").audio
    assert loudness_lufs(pcm, 16_000) == pytest.approx(wanted, abs=2)
    assert peak_dbfs(pcm) < -0.1


# -- shaping


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]), st.floats(0, 50))
def test_no_gain_clips_and_the_ends_are_silent(pcm: bytes, gain: float) -> None:
    shaped = shape(pcm, 8_000, gain)
    samples = np.frombuffer(shaped, "<i2")
    assert len(shaped) == len(pcm)
    assert not len(samples) or abs(samples.astype(int)).max() <= 32767
    if len(samples) > 1:
        assert samples[0] == 0
        assert samples[-1] == 0


def test_what_is_not_loud_is_only_multiplied() -> None:
    pcm = tone(440, 100, -23, 8_000)
    shaped = np.frombuffer(shape(pcm, 8_000, 2.0), "<i2")
    plain = np.frombuffer(pcm, "<i2")
    fade = 8 * FADE_MS
    assert abs(shaped[fade:-fade].astype(int) - 2 * plain[fade:-fade].astype(int)).max() <= 2


def test_silence_is_taken_off_but_for_a_little() -> None:
    pcm = silence(100) + tone(440, 50, -20, 8_000) + silence(70)
    start, end = trim(pcm, 8_000)
    assert start == pytest.approx(8 * 95, abs=4)
    assert end == pytest.approx(8 * 155, abs=4)
    assert trim(silence(50), 8_000) == (0, 0)
    assert trim(b"", 8_000) == (0, 0)
