"""What simulated callers sound like: levels, bands, noise, and the same bytes for the same seed."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from voiceframe.audio import PCMU_8K, Audio
from voiceframe.errors import SpeechError
from voiceframe.testing.voices import CLEAR, VOICES, Voice, breath, cough, noise, noisy, pick, speech, telephone
from voiceframe.tones import goertzel, level_dbfs, mix, peak_dbfs, silence, tone

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])


def bands(pcm: bytes, rate: int, *edges: int) -> list[float]:
    """The level between each edge and the next."""
    import numpy as np

    power = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2"))) ** 2
    hertz = np.fft.rfftfreq(len(pcm) // 2, 1 / rate)
    sums = [float(power[(hertz >= low) & (hertz < high)].sum()) for low, high in pairwise(edges)]
    return [10 * float(np.log10(value + 1)) for value in sums]


@RATES
def test_speech_has_its_level_and_no_silence_around_it(rate: int) -> None:
    for dbfs in (-26.0, -18.0):
        pcm = speech("on Thursday", Voice("en-us+m3", 160, 50, dbfs), rate)
        assert 500 < len(pcm) * 500 / rate < 1_200
        assert dbfs - 3 < level_dbfs(pcm) < dbfs + 0.5  # the pauses in it count here
        assert peak_dbfs(pcm) < 0
        assert level_dbfs(pcm[: rate // 20]) > -60
        assert level_dbfs(pcm[-rate // 20 :]) > -60


def test_a_faster_voice_is_faster_and_voices_differ() -> None:
    assert len(speech("one two three", Voice(rate_wpm=185))) < len(speech("one two three", Voice(rate_wpm=130)))
    assert len({speech("one", Voice(name)) for name in VOICES}) == len(VOICES)
    with pytest.raises(SpeechError):
        speech("one", Voice("no such voice"))


def test_nothing_to_say_is_nothing() -> None:
    assert speech("", Voice()) == b""
    assert telephone(b"") == b""
    assert noise(0, random.Random(1)) == b""


def test_everybody_can_be_picked_and_is_understood() -> None:
    rng = random.Random(1)
    voices = [pick(rng) for _ in range(300)]
    assert {voice.name for voice in voices} == set(CLEAR) <= set(VOICES)
    assert all(130 <= voice.rate_wpm <= 185 and -26 <= voice.dbfs <= -18 for voice in voices)


@RATES
def test_a_cough_is_one_burst_or_two(rate: int) -> None:
    lengths = set()
    for seed in range(20):
        pcm = cough(random.Random(seed), rate)
        lengths.add(len(pcm) * 500 // rate)
        assert 249 <= len(pcm) * 500 // rate <= 1_080
        assert level_dbfs(pcm[: rate // 5]) > level_dbfs(pcm[-rate // 10 :]) + 6  # it explodes and dies away
    assert min(lengths) <= 450 < max(lengths)


def test_breath_is_soft_and_swells() -> None:
    pcm = breath(random.Random(1))
    third = len(pcm) // 6 * 2
    assert level_dbfs(pcm) < -44
    assert level_dbfs(pcm[third : 2 * third]) > level_dbfs(pcm[:third]) + 3


@pytest.mark.parametrize("kind", ["speech", "babble"])
def test_noise_has_its_level_and_is_below_the_voice_as_asked(kind: str) -> None:
    assert kind in ("speech", "babble")
    steady = noise(2_000, random.Random(1), dbfs=-40, kind="babble" if kind == "babble" else "speech")
    assert len(steady) == 32_000
    assert -41.5 < level_dbfs(steady) < -39.5
    low, high = bands(steady, 8_000, 100, 1_000, 4_000)
    assert low > high  # as in speech
    word = silence(1_000) + speech("Thursday", Voice(dbfs=-20.0)) + silence(1_000)
    around = noisy(word, 20, random.Random(2), kind="babble" if kind == "babble" else "speech")
    assert len(around) == len(word)
    assert -43 < level_dbfs(around[:16_000]) < -38


def test_a_telephone_passes_300_to_3400_hertz() -> None:
    line = Audio(telephone(mix(*(tone(hz, 1_000, -25) for hz in (60, 400, 1_000, 3_200, 3_900)))), PCMU_8K).pcm(8_000)
    levels = {hz: goertzel(line, 8_000, hz) for hz in (60, 400, 1_000, 3_200, 3_900)}
    assert all(abs(levels[hz] + 25) < 1.5 for hz in (400, 1_000, 3_200))
    assert levels[60] < -45
    assert levels[3_900] < -40
    assert len(telephone(silence(100, 16_000), 16_000)) == 800


def test_the_same_seed_is_the_same_bytes() -> None:
    def everything(seed: int) -> bytes:
        rng = random.Random(seed)
        voice = pick(rng)
        said = noisy(speech("next Monday", voice), 20, rng, kind="babble")
        return telephone(said + cough(rng) + breath(rng) + noise(300, rng))

    first = everything(5)
    speech.cache_clear()
    assert everything(5) == first
    assert everything(5) != everything(6)
