"""Sounds to test with, and the measures for them: tones, keys, noise, levels. All audio is mono s16le.

Levels are dBFS by RMS: 0 is a square wave at full scale, so that a sine at full scale has -3.01. Silence is -120.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from .errors import AudioError
from .keys import KEYS, DTMFDetector

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = [
    "KEYS",
    "SILENCE_DBFS",
    "DTMFDetector",
    "dtmf",
    "goertzel",
    "level_dbfs",
    "mix",
    "noise",
    "peak_dbfs",
    "silence",
    "tone",
]

#: What `level_dbfs` and `peak_dbfs` say of silence, and the lowest that they say. One step of 16 bits is -90.
SILENCE_DBFS: Final = -120.0

_FULL: Final = 32768.0


def tone(hz: float, ms: int, dbfs: float = -20.0, rate: int = 8_000) -> bytes:
    """A sine of `ms` milliseconds that begins at phase 0."""
    return _pcm(_sine(hz, ms * rate // 1000, dbfs, rate))


def dtmf(
    digits: str,
    ms: int = 100,
    pause_ms: int = 100,
    dbfs: float = -16.0,
    rate: int = 8_000,
    *,
    twist_db: float = 0.0,
    offset: float = 0.0,
) -> bytes:
    """Keys (`0-9*#A-D`), each for `ms`, with `pause_ms` of silence behind each.

    dbfs: the level of each of the two tones. twist_db: how much louder the higher one is, which takes from the lower.
    offset: by how much both frequencies are wrong, as a ratio (0.015 is 1.5 % too high).

    Raises `AudioError` (`audio.key`) for anything that is no key.
    """
    pause = silence(pause_ms, rate)
    count = ms * rate // 1000
    pieces: list[bytes] = []
    for digit in digits:
        if digit not in KEYS:
            raise AudioError.of("audio.key", key=repr(digit), keys="".join(KEYS))
        low, high = KEYS[digit]
        down, up = max(0.0, twist_db), max(0.0, -twist_db)
        pieces += (
            _pcm(
                _sine(low * (1 + offset), count, dbfs - down, rate) + _sine(high * (1 + offset), count, dbfs - up, rate)
            ),
            pause,
        )
    return b"".join(pieces)


def noise(ms: int, dbfs: float = -40.0, rate: int = 8_000, seed: int = 0) -> bytes:
    """White Gaussian noise; the same for the same seed."""
    # Of numpy's generators only this one promises the same stream in every version.
    samples = np.random.RandomState(seed).standard_normal(ms * rate // 1000)
    return _pcm(samples * (_FULL * 10 ** (dbfs / 20)))


def silence(ms: int, rate: int = 8_000) -> bytes:
    """Zeros."""
    return bytes(2 * (ms * rate // 1000))


def mix(*sounds: bytes) -> bytes:
    """The sum, as long as the longest; what is louder than full scale is cut off there."""
    total = np.zeros(max((len(sound) // 2 for sound in sounds), default=0))
    for sound in sounds:
        total[: len(sound) // 2] += _samples(sound)
    return _pcm(total)


def level_dbfs(pcm: bytes) -> float:
    """The RMS level. Raises `AudioError` (`audio.length`) for half a sample, as all measures here do."""
    samples = _samples(pcm)
    if not len(samples):
        return SILENCE_DBFS
    return _db(math.sqrt(float(samples.dot(samples)) / len(samples)) / _FULL)


def peak_dbfs(pcm: bytes) -> float:
    """The level of the loudest sample: 0 is full scale."""
    samples = _samples(pcm)
    return _db(float(np.abs(samples).max(initial=0.0)) / _FULL)


def goertzel(pcm: bytes, rate: int, hz: float) -> float:
    """The RMS level in dBFS of what sounds at `hz`: of `tone(hz, ms, dbfs)` it is `dbfs`.

    It tells frequencies apart that differ by 1 / length or more (50 Hz in 20 ms), best those with whole numbers of
    cycles in it. The value is that of Goertzel's recursion (G. Goertzel, "An algorithm for the evaluation of finite
    trigonometric series", Am. Math. Monthly 65, 1958), taken as the sum that it evaluates.
    """
    samples = _samples(pcm)
    if not len(samples):
        return SILENCE_DBFS
    phase = (2 * math.pi * hz / rate) * np.arange(len(samples))
    value = math.hypot(float(samples.dot(np.cos(phase))), float(samples.dot(np.sin(phase))))
    return _db(value * math.sqrt(2) / len(samples) / _FULL)


def _sine(hz: float, count: int, dbfs: float, rate: int) -> Floats:
    amplitude = _FULL * math.sqrt(2) * 10 ** (dbfs / 20)
    wave: Floats = amplitude * np.sin((2 * math.pi * hz / rate) * np.arange(count))
    return wave


def _samples(pcm: bytes) -> Floats:
    if len(pcm) % 2:
        raise AudioError.of("audio.length", size=len(pcm), format="pcm_s16le", sample=2)
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def _pcm(samples: Floats) -> bytes:
    return np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()


def _db(ratio: float) -> float:
    return max(SILENCE_DBFS, 20 * math.log10(ratio)) if ratio > 0 else SILENCE_DBFS
