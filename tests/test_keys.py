"""Keys in the audio: the limits of ITU-T Q.24, noise, µ-law, and speech that must not press any."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.audio import PCM_8K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import AudioError
from voiceframe.espeak import synthesize
from voiceframe.tones import KEYS, DTMFDetector, dtmf, mix, noise, silence, tone

EVERY_KEY = "".join(KEYS)


def on_the_line(pcm: bytes, snr_db: float = 20, seed: int = 1, dbfs: float = -13) -> bytes:
    """As a telephone brings it: with noise that much under the sound, through µ-law."""
    with_noise = mix(pcm, noise(len(pcm) // 16, dbfs - snr_db, seed=seed))
    return Audio(Audio(with_noise, PCM_8K).to(PCMU_8K), PCMU_8K).pcm(8_000)


def heard(pcm: bytes, rate: int = 8_000) -> str:
    return DTMFDetector(rate).feed(pcm + silence(60, rate))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 44_100, 48_000])
def test_every_key_is_heard_once(rate: int) -> None:
    assert heard(dtmf(EVERY_KEY, 100, 100, rate=rate), rate) == EVERY_KEY
    assert heard(dtmf("11122", 40, 40, rate=rate), rate) == "11122"
    assert heard(dtmf("7", 5_000, 0, rate=rate), rate) == "7"


@pytest.mark.parametrize("seed", range(8))
def test_the_shortest_keys_are_heard_on_a_telephone_at_20_db_over_noise(seed: int) -> None:
    digits = "".join(random.Random(seed).choices(EVERY_KEY, k=40))
    assert heard(silence(seed) + on_the_line(dtmf(digits, 40, 40), 20, seed)) == digits


@pytest.mark.parametrize("offset", [-0.015, -0.008, 0.008, 0.015])
def test_1_5_percent_off_is_the_key(offset: float) -> None:
    assert heard(on_the_line(dtmf(EVERY_KEY, 40, 40, offset=offset))) == EVERY_KEY


@pytest.mark.parametrize("offset", [-0.05, -0.035, 0.035, 0.05])
def test_3_5_percent_off_is_none(offset: float) -> None:
    assert heard(on_the_line(dtmf(EVERY_KEY, 100, 40, offset=offset))) == ""


@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize("digit", EVERY_KEY)
def test_one_tone_that_is_off_is_enough_for_none(digit: str, rate: int) -> None:
    low, high = KEYS[digit]
    assert heard(mix(tone(low * 1.035, 100, rate=rate), tone(high, 100, rate=rate)), rate) == ""
    assert heard(mix(tone(low, 100, rate=rate), tone(high * 0.965, 100, rate=rate)), rate) == ""
    assert heard(tone(low, 100, rate=rate), rate) == ""
    assert heard(tone(high, 100, rate=rate), rate) == ""


@pytest.mark.parametrize("twist_db", [-8, -4, 2, 4])
def test_the_higher_tone_may_be_4_db_louder_or_8_db_weaker(twist_db: float) -> None:
    assert heard(on_the_line(dtmf(EVERY_KEY, 40, 40, twist_db=twist_db))) == EVERY_KEY


@pytest.mark.parametrize("twist_db", [-14, -11, 7, 10])
def test_more_twist_is_no_key(twist_db: float) -> None:
    assert heard(on_the_line(dtmf(EVERY_KEY, 100, 40, twist_db=twist_db))) == ""


@pytest.mark.parametrize("dbfs", [-6, -10, -20, -30])
def test_keys_are_heard_from_loud_to_faint(dbfs: float) -> None:
    assert heard(on_the_line(dtmf(EVERY_KEY, 40, 40, dbfs), dbfs=dbfs + 3)) == EVERY_KEY


def test_23_ms_are_no_key_wherever_they_fall() -> None:
    for shift in range(0, 160, 7):
        assert heard(bytes(2 * shift) + dtmf(EVERY_KEY, 23, 60)) == ""


def test_a_break_of_10_ms_does_not_end_a_press_and_40_ms_do() -> None:
    for shift in range(0, 160, 7):
        head = bytes(2 * shift)
        assert heard(head + dtmf("55555", 60, 10)) == "5"
        assert heard(head + dtmf("55555", 60, 40)) == "55555"
        assert heard(head + dtmf("5656", 60, 0)) == "5656"


@settings(max_examples=40)
@given(st.text(EVERY_KEY, min_size=1, max_size=6), st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_the_cuts_between_pieces_change_nothing(digits: str, sizes: list[int]) -> None:
    pcm = on_the_line(dtmf(digits, 45, 45)) + silence(60)
    detector = DTMFDetector(8_000)
    found = ""
    start = 0
    for size in itertools.chain(sizes, itertools.repeat(160)):
        if start >= len(pcm):
            break
        found += detector.feed(pcm[start : start + 2 * size])
        start += 2 * size
    assert found == DTMFDetector(8_000).feed(pcm) == digits


def test_a_key_is_told_within_45_ms() -> None:
    for shift in range(0, 160, 13):
        pcm = bytes(2 * shift) + dtmf("8", 200, 0)
        detector = DTMFDetector(8_000)
        for start in range(0, len(pcm), 320):
            if detector.feed(pcm[start : start + 320]):
                assert (start + 320) / 16 - shift / 8 <= 60  # 45 ms and the rest of the piece
                break
        else:
            pytest.fail("not heard")


def test_noise_and_silence_press_nothing() -> None:
    for seed, dbfs in enumerate((-70, -40, -20, -6)):
        assert heard(noise(20_000, dbfs, seed=seed)) == ""
    assert heard(silence(5_000)) == ""
    assert DTMFDetector(8_000).feed(b"") == ""


def test_the_tones_of_a_telephone_network_press_nothing() -> None:
    dial, busy, ringing = (350, 440), (480, 620), (440, 480)
    for low, high in (dial, busy, ringing):
        assert heard(mix(tone(low, 2_000), tone(high, 2_000))) == ""
    for hz in range(300, 3_400, 50):
        assert heard(tone(hz, 100, -15)) == ""


def test_tones_that_glide_through_a_key_press_nothing() -> None:
    for digit, (low, high) in KEYS.items():
        glide = np.linspace(0.97, 1.03, 480)  # in 60 ms
        sound = sum(5_000 * np.sin(2 * np.pi / 8_000 * np.cumsum(hz * glide)) for hz in (low, high))
        assert heard(silence(20) + np.rint(sound).astype("<i2").tobytes()) == "", digit


def vowels(seed: int) -> bytes:
    """Ten seconds of a voice that sings nothing but vowels: a gliding pitch with the resonance of two formants."""
    chance = random.Random(seed)
    pieces: list[bytes] = []
    phase = 0.0
    for _ in range(50):
        first, second, pitch = chance.uniform(300, 900), chance.uniform(900, 2_300), chance.uniform(90, 300)
        pitches = pitch * np.linspace(1, chance.uniform(0.8, 1.25), 1_600)
        phases = phase + np.cumsum(2 * np.pi * pitches / 8_000)
        phase = float(phases[-1])
        sound = np.zeros(1_600)
        for harmonic in range(1, int(3_800 / pitches.max()) + 1):
            hz = harmonic * pitches
            gain = np.hypot(1, (hz - first) / 40) ** -1 + 0.5 * np.hypot(1, (hz - second) / 60) ** -1
            sound += gain * np.sin(harmonic * phases)
        pieces.append((sound * 9_000 / np.abs(sound).max()).astype("<i2").tobytes())
    return b"".join(pieces)


@pytest.mark.parametrize("seed", range(6))
def test_sung_vowels_press_nothing(seed: int) -> None:
    assert heard(on_the_line(vowels(seed), 30, seed)) == ""


TEXT = (
    "Good morning, this is the clinic. I would like to move my appointment from Tuesday the fourth to Thursday at ten. "
    "Who knows? You and I owe Louie a new blue shoe; no, two! Seven hundred and seventy, nine four one."
)


def spoken() -> Iterator[bytes]:
    """The text by several voices of espeak-ng at 8 kHz."""
    pytest.importorskip("espeakng_loader", reason="no voice to speak with")
    for voice, pitch in itertools.product(("en", "en-us+f3", "de", "it+f2"), (20, 50, 90)):
        said = synthesize(TEXT, voice=voice, pitch=pitch)
        yield Audio(said.pcm, AudioFormat("pcm_s16le", said.rate)).pcm(8_000)


def test_speech_presses_nothing_and_keys_in_its_pauses_are_heard() -> None:
    for number, speech in enumerate(spoken()):
        assert len(speech) > 16_000 * 8  # eight seconds
        assert heard(on_the_line(speech, 30, number)) == ""
        assert heard(speech + dtmf("42#", 60, 60) + speech) == "42#"


def test_what_the_detector_cannot_take_is_refused() -> None:
    with pytest.raises(AudioError) as refusal:
        DTMFDetector(4_000)
    assert refusal.value.code == "audio.rate"
    with pytest.raises(AudioError) as refusal:
        DTMFDetector(8_000).feed(bytes(3))
    assert refusal.value.code == "audio.length"
