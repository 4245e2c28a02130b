"""G.711 beside tables that are made here from the recommendation: all codes, all samples."""

from __future__ import annotations

import bisect

import numpy as np
import pytest

from voiceframe.g711 import DECODERS, ENCODERS

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2").tobytes()


def ulaw_values() -> list[int]:
    """The value of each code in 16 bits: table 2a/2b of G.711 in 14 bits, whose codes are sent inverted."""
    values: list[int] = []
    for code in range(256):
        sent = code ^ 0xFF
        exponent, mantissa = sent >> 4 & 7, sent & 15
        magnitude = (2 * mantissa + 33 << exponent) - 33
        values.append(4 * (-magnitude if sent & 0x80 else magnitude))
    return values


def alaw_values() -> list[int]:
    """The value of each code in 16 bits: table 1a/1b of G.711 in 13 bits, every other bit inverted."""
    values: list[int] = []
    for code in range(256):
        sent = code ^ 0x55
        exponent, mantissa = sent >> 4 & 7, sent & 15
        magnitude = 2 * mantissa + 1 if exponent == 0 else 2 * mantissa + 33 << exponent - 1
        values.append(8 * (magnitude if sent & 0x80 else -magnitude))
    return values


VALUES = {"mulaw": ulaw_values(), "alaw": alaw_values()}


@pytest.mark.parametrize("encoding", VALUES)
def test_every_code_has_the_value_of_the_table(encoding: str) -> None:
    assert np.frombuffer(DECODERS[encoding](EVERY_CODE), "<i2").tolist() == VALUES[encoding]


@pytest.mark.parametrize("encoding", VALUES)
def test_every_value_of_the_table_has_its_code(encoding: str) -> None:
    back = ENCODERS[encoding](DECODERS[encoding](EVERY_CODE))
    wanted = EVERY_CODE
    if encoding == "mulaw":
        wanted = wanted.replace(b"\x7f", b"\xff")  # minus zero
    assert back == wanted


def test_every_sample_has_the_mu_law_code_of_its_decision_values() -> None:
    lowest = [(16 + mantissa << exponent + 1) - 33 for exponent in range(8) for mantissa in range(16)]
    coded = ENCODERS["mulaw"](EVERY_SAMPLE)
    for sample, code in zip(range(-32768, 32768), coded, strict=True):
        # The table has 14 bits. Which value 16 bits are, between two of them, it leaves open: audioop rounds down.
        magnitude = abs(sample >> 2)
        place = bisect.bisect(lowest, magnitude) - 1
        assert code == (place | (0x80 if sample < 0 else 0)) ^ 0xFF, sample


def test_every_sample_has_the_a_law_code_of_its_decision_values() -> None:
    lowest = [2 * mantissa for mantissa in range(16)]
    lowest += [16 + mantissa << exponent for exponent in range(1, 8) for mantissa in range(16)]
    coded = ENCODERS["alaw"](EVERY_SAMPLE)
    for sample, code in zip(range(-32768, 32768), coded, strict=True):
        magnitude = (sample if sample >= 0 else ~sample) >> 3
        place = bisect.bisect(lowest, magnitude) - 1
        assert code == (place | (0x80 if sample >= 0 else 0)) ^ 0x55, sample


@pytest.mark.parametrize("encoding", VALUES)
def test_louder_samples_never_have_smaller_values(encoding: str) -> None:
    coded = np.frombuffer(DECODERS[encoding](ENCODERS[encoding](EVERY_SAMPLE)), "<i2")
    assert (np.diff(coded.astype(int)) >= 0).all()


def test_silence_is_silence_again() -> None:
    assert ENCODERS["mulaw"](bytes(2)) == b"\xff"
    assert ENCODERS["alaw"](bytes(2)) == b"\xd5"
    assert DECODERS["mulaw"](b"\xff\x7f") == bytes(4)


def test_the_byte_orders_are_each_other_swapped() -> None:
    assert ENCODERS["pcm_s16be"](b"\x01\x02") == DECODERS["pcm_s16be"](b"\x01\x02") == b"\x02\x01"
    assert ENCODERS["pcm_s16le"](b"\x01\x02") == DECODERS["pcm_s16le"](b"\x01\x02") == b"\x01\x02"
