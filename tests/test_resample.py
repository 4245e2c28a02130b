"""Resampling: what passes, what is kept out, how late it comes, and that the bits depend on nothing else."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.audio import Audio, AudioFormat, AudioStream
from voiceframe.resample import Resampler
from voiceframe.tones import goertzel, level_dbfs, noise, tone

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
PAIRS = list(itertools.permutations(RATES, 2))
#: Beside these: rates of voices and of old files, and a ratio of large numbers, for which there is no block matrix.
ODD_PAIRS = [(22_050, 8_000), (8_000, 22_050), (11_025, 16_000), (32_000, 8_000), (8_001, 8_000), (47_999, 8_000)]
EVERY_PAIR = pytest.mark.parametrize(("source", "target"), [*PAIRS, *ODD_PAIRS])


def in_pieces(pcm: bytes, source: int, target: int, sizes: Iterable[int] | None = None) -> bytes:
    """`pcm` through a stream, in pieces of so many samples (by default 20 ms), with the flush."""
    stream = AudioStream(AudioFormat("pcm_s16le", source))
    out: list[bytes] = []
    start = 0
    for size in sizes if sizes is not None else itertools.repeat(source // 50):
        if start >= len(pcm):
            break
        out.append(stream.add(pcm[start : start + 2 * size]).pcm(target))
        start += 2 * size
    return b"".join(out) + stream.flush(target)


def samples(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def steady(pcm: bytes, rate: int) -> bytes:
    """From 100 to 600 ms: whole cycles of any multiple of 2 Hz, and no edge of the sound."""
    return pcm[rate // 10 * 2 : rate // 10 * 2 + rate // 2 * 2]


@EVERY_PAIR
def test_what_speech_needs_passes_and_no_image_of_it_comes_along(source: int, target: int) -> None:
    lower = min(source, target)
    for share in (0.01, 0.1, 0.25, 0.35, 0.4, 0.425):  # 0.425 of 8 kHz is 3.4 kHz
        hz = round(lower * share / 2) * 2
        out = steady(in_pieces(tone(hz, 800, -10, source), source, target), target)
        assert goertzel(out, target, hz) == pytest.approx(-10, abs=0.05)  # asked for: 0.5 dB
        phase = 2 * math.pi * hz / target * np.arange(len(out) // 2)
        basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
        rest = samples(out) - basis @ np.linalg.lstsq(basis, samples(out), rcond=None)[0]
        assert level_dbfs(np.rint(rest).astype("<i2").tobytes()) < -10 - 55  # asked for: 50 dB


@pytest.mark.parametrize(("source", "target"), [(a, b) for a, b in [*PAIRS, *ODD_PAIRS] if a > b * 1.15])
def test_what_would_fold_back_is_kept_out(source: int, target: int) -> None:
    for share in (0.575, 0.6, 0.7, 0.9, 1.0, 1.3, 1.7, 2.4):  # 0.575 of 8 kHz is 4.6 kHz
        hz = round(target * share / 2) * 2
        if hz < source / 2:
            out = steady(in_pieces(tone(hz, 800, -5, source), source, target), target)
            assert level_dbfs(out) < -5 - 55, f"{hz} Hz"


@EVERY_PAIR
def test_a_stream_is_late_by_at_most_2_ms_for_all_frequencies_alike(source: int, target: int) -> None:
    at = source // 10
    click = bytes(2 * at) + np.array([30_000], "<i2").tobytes() + bytes(source // 10 * 2)
    response = samples(in_pieces(click, source, target))
    where = np.arange(len(response)) / target
    late_ms = 1000 * (float((response * where).sum() / response.sum()) - at / source)
    assert late_ms == pytest.approx(1000 * Resampler(source, target).delay / source, abs=0.01)
    assert late_ms <= 2
    centre, between = divmod((at + Resampler(source, target).delay) * target, source)
    if not between:  # linear phase: before the centre it is what it is behind it
        assert (response[centre - 100 : centre] == response[centre + 100 : centre : -1]).all()
    if (source, target) in ((8_000, 16_000), (16_000, 8_000)):
        assert late_ms == pytest.approx(1.5, abs=0.01)


@EVERY_PAIR
def test_each_sample_is_what_the_formula_says(source: int, target: int) -> None:
    pcm = noise(60, -12, source, seed=3)
    made = samples(in_pieces(pcm, source, target, itertools.repeat(source // 40)))
    x = samples(pcm)
    lower, delay = min(source, target), Resampler(source, target).delay
    for j in range(0, len(made), max(1, len(made) // 97)):
        at = (j * source / target - delay - np.arange(len(x))) * lower / source  # in samples of the lower rate
        window = np.i0(5.65326 * np.sqrt(np.maximum(0, 1 - (at / 12) ** 2))) * (np.abs(at) < 12)
        taps = np.sinc(at) * window
        whole = math.ceil(j * source / target) - 2 * delay > 0 and j * source / target < len(x)
        if whole:  # at the edges a part of the taps lies outside, and their sum is not theirs
            assert made[j] == pytest.approx(taps @ x / taps.sum(), abs=0.51)


@pytest.mark.parametrize(("source", "target"), [*PAIRS, *ODD_PAIRS])
def test_a_constant_stays_what_it_is_to_the_bit(source: int, target: int) -> None:
    for value in (-32768, -1, 1, 12_345, 32767):
        pcm = np.full(source // 10, value, "<i2").tobytes()
        out = samples(in_pieces(pcm, source, target))
        edge = 1 + target * 3 // 1000
        assert set(out[edge:-edge]) == {value}


def test_what_is_louder_than_full_scale_is_cut_off_and_does_not_turn_over() -> None:
    square = np.where(np.arange(1_600) // 5 % 2, 32767, -32768).astype("<i2").tobytes()
    out = samples(Audio(square, AudioFormat("pcm_s16le", 8_000)).pcm(16_000))
    assert (out.min(), out.max()) == (-32768, 32767)
    wanted = np.repeat(samples(square), 2)
    assert (np.sign(out[1:-1]) == np.sign(wanted[1:-1])).mean() > 0.85  # all but those between two flanks


sizes = st.lists(st.one_of(st.integers(0, 3), st.integers(1, 700), st.sampled_from([80, 160, 320, 882])), min_size=1)


@settings(max_examples=60)
@given(st.sampled_from([*PAIRS, *ODD_PAIRS]), sizes)
def test_the_cuts_between_pieces_leave_no_trace(pair: tuple[int, int], sizes: list[int]) -> None:
    source, target = pair
    pcm = noise(0, -3, source) if not sum(sizes) else random.Random(sum(sizes)).randbytes(2 * sum(sizes))
    assert in_pieces(pcm, source, target, sizes) == in_pieces(pcm, source, target, [sum(sizes)])


@pytest.mark.parametrize(("source", "target"), [(8_000, 16_000), (16_000, 8_000), (44_100, 8_000), (8_000, 44_100)])
def test_single_samples_make_the_same_stream(source: int, target: int) -> None:
    pcm = noise(40, -6, source, seed=5)
    assert in_pieces(pcm, source, target, itertools.repeat(1)) == in_pieces(pcm, source, target)


@settings(max_examples=30)
@given(st.sampled_from(PAIRS), st.integers(0, 1_000))
def test_pieces_may_be_converted_in_any_order_twice_or_not_at_all(pair: tuple[int, int], seed: int) -> None:
    source, target = pair
    chance = random.Random(seed)
    pcm = chance.randbytes(source // 5 * 2)
    step = source // 50 * 2

    def pieces() -> list[Audio]:
        stream = AudioStream(AudioFormat("pcm_s16le", source))
        return [stream.add(pcm[start : start + step]) for start in range(0, len(pcm), step)]

    in_order = [piece.pcm(target) for piece in pieces()]
    again = list(enumerate(pieces()))
    chance.shuffle(again)
    for number, piece in again[: len(again) * 2 // 3]:
        assert piece.pcm(target) == in_order[number]
        assert piece.pcm(target) is piece.pcm(target)


@EVERY_PAIR
def test_pieces_and_flush_have_all_of_the_sound(source: int, target: int) -> None:
    pcm = noise(200, -10, source, seed=1)
    late = Resampler(source, target).delay
    whole = Audio(bytes(2 * late) + pcm + bytes(40), AudioFormat("pcm_s16le", source)).pcm(target)
    joined = in_pieces(pcm, source, target, itertools.repeat(331))
    assert whole.startswith(joined)
    assert len(joined) // 2 == math.ceil((len(pcm) // 2 + late) * target / source)


@EVERY_PAIR
def test_what_stands_alone_has_its_exact_length_and_is_not_late(source: int, target: int) -> None:
    for count in (0, 1, 2, 3, 7, 160, 441, 1_000, source // 2 + 1):
        pcm = np.full(count, 1_000, "<i2").tobytes()
        made = Audio(pcm, AudioFormat("pcm_s16le", source)).pcm(target)
        assert len(made) // 2 == (2 * count * target + source) // (2 * source)
    hz = 400
    out = Audio(tone(hz, 500, -10, source), AudioFormat("pcm_s16le", source)).pcm(target)
    wanted = samples(tone(hz, 500, -10, target))[: len(out) // 2]
    inner = slice(target // 100, -target // 100)
    assert np.abs(samples(out)[: len(wanted)][inner] - wanted[inner]).max() < 25  # of an amplitude of 14,654


def test_long_audio_is_converted_in_portions_of_bounded_size() -> None:
    pcm = noise(20_000, -10, 8_000, seed=9)
    for source, target in ((8_000, 16_000), (47_999, 8_000)):
        whole = in_pieces(pcm, source, target, [len(pcm) // 2])
        assert whole == in_pieces(pcm, source, target, itertools.repeat(4_000))


def test_an_empty_stream_has_nothing_to_flush() -> None:
    stream = AudioStream(AudioFormat("pcm_s16le", 8_000))
    assert stream.flush(16_000) == b""
    assert stream.add(b"").pcm(16_000) == b""
    assert stream.flush(16_000) == b""
