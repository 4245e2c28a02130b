"""Sounds to test with: they have the level, the length and the frequency that they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.errors import AudioError
from voiceframe.tones import (
    KEYS,
    SILENCE_DBFS,
    dtmf,
    goertzel,
    level_dbfs,
    mix,
    noise,
    peak_dbfs,
    silence,
    tone,
)

RATES = pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])


@RATES
def test_a_tone_has_its_length_level_and_frequency(rate: int) -> None:
    pcm = tone(1_000, 500, -20, rate)
    assert len(pcm) == rate
    assert level_dbfs(pcm) == pytest.approx(-20, abs=0.01)
    assert peak_dbfs(pcm) == pytest.approx(-20 + 20 * math.log10(math.sqrt(2)), abs=0.05)
    assert goertzel(pcm, rate, 1_000) == pytest.approx(-20, abs=0.01)
    assert goertzel(pcm, rate, 1_100) < -80


def test_levels_are_those_of_the_square_wave() -> None:
    square = np.array([-32768, 32767] * 100, "<i2").tobytes()
    assert level_dbfs(square) == pytest.approx(0, abs=0.001)
    assert peak_dbfs(square) == 0
    assert level_dbfs(tone(1_000, 1_000, -3.02)) == pytest.approx(-3.02, abs=0.01)
    assert level_dbfs(b"\1\0" * 100) == pytest.approx(-90.3, abs=0.01)


@pytest.mark.parametrize("pcm", [b"", bytes(2), silence(100)])
def test_silence_has_a_level_that_can_be_written_down(pcm: bytes) -> None:
    assert level_dbfs(pcm) == peak_dbfs(pcm) == goertzel(pcm, 8_000, 440) == SILENCE_DBFS == -120


def test_silence_is_as_long_as_it_says() -> None:
    assert silence(20) == bytes(320)
    assert silence(20, 48_000) == bytes(1_920)


def test_noise_is_the_same_for_the_same_seed_and_flat() -> None:
    assert noise(100, -30, seed=7) == noise(100, -30, seed=7) != noise(100, -30, seed=8)
    assert noise(200, -30, seed=7).startswith(noise(100, -30, seed=7))
    pcm = noise(4_000, -30, 16_000, seed=1)
    assert level_dbfs(pcm) == pytest.approx(-30, abs=0.1)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2"))) ** 2
    bands = spectrum[1:32_001].reshape(10, -1).mean(axis=1)
    assert bands.max() / bands.min() < 1.2


def test_the_seed_means_this_noise_on_every_machine() -> None:
    assert np.frombuffer(noise(1, -20, seed=1), "<i2").tolist() == [5323, -2005, -1731, -3516, 2836, -7542, 5717, -2494]


def test_a_sum_is_cut_off_at_full_scale() -> None:
    loud = tone(1_000, 100, -3.1)
    assert np.frombuffer(mix(loud, loud), "<i2").min() == -32768
    assert np.frombuffer(mix(loud, loud), "<i2").max() == 32767
    assert mix() == b""


@given(st.lists(st.binary(max_size=40).map(lambda b: b[: len(b) // 2 * 2]), max_size=4))
def test_a_sum_is_the_sum_and_as_long_as_the_longest(sounds: list[bytes]) -> None:
    total = np.frombuffer(mix(*sounds), "<i2").tolist()
    assert len(total) == max((len(sound) // 2 for sound in sounds), default=0)
    values = [np.frombuffer(sound, "<i2").tolist() for sound in sounds]
    for n, value in enumerate(total):
        assert value == max(-32768, min(32767, sum(v[n] for v in values if n < len(v))))


@RATES
def test_keys_have_their_two_tones_and_their_pauses(rate: int) -> None:
    for digit, (low, high) in KEYS.items():
        pcm = dtmf(digit, 100, 50, -18, rate)
        assert len(pcm) == 2 * (rate // 10 + rate // 20)
        sound, pause = pcm[: rate // 5], pcm[rate // 5 :]
        assert pause == silence(50, rate)
        assert goertzel(sound, rate, low) == pytest.approx(-18, abs=0.7)
        assert goertzel(sound, rate, high) == pytest.approx(-18, abs=0.7)


def test_twist_takes_from_the_weaker_tone() -> None:
    high_up, low_up = dtmf("5", 1_000, 0, twist_db=6), dtmf("5", 1_000, 0, twist_db=-6)
    assert goertzel(high_up, 8_000, 1_336) == pytest.approx(-16, abs=0.1)
    assert goertzel(high_up, 8_000, 770) == pytest.approx(-22, abs=0.1)
    assert goertzel(low_up, 8_000, 1_336) == pytest.approx(-22, abs=0.1)
    assert goertzel(low_up, 8_000, 770) == pytest.approx(-16, abs=0.1)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(AudioError, match="'x' is no key") as refusal:
        dtmf("12x")
    assert refusal.value.code == "audio.key"


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError) as refusal:
        level_dbfs(b"\0\0\0")
    assert refusal.value.code == "audio.length"
