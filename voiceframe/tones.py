"""Sounds to test with, and the measures for them: tones, keys, noise, levels. All audio is mono s16le.

Levels are dBFS by RMS: 0 is a square wave at full scale, so that a sine at full scale has -3.01. Silence is -120.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

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
    "music",
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


def music(
    ms: int,
    style: Literal["chords", "pad", "melody", "piano", "drums", "band"] = "band",
    dbfs: float = -22.0,
    rate: int = 8_000,
    seed: int = 0,
) -> bytes:
    """Made-up music, as it is played to those who wait; the same for the same seed.

    chords: an organ, a plucked instrument or strings. pad: long chords of strings. melody: one instrument. piano: two
    hands, plucked. drums: no notes. band: all of them.
    """
    rng = random.Random(seed)
    noises = np.random.RandomState(seed)
    count = ms * rate // 1000
    total = np.zeros(count + 8 * rate)
    beat = 60 / rng.randint(70, 130)
    root = rng.choice((110.0, 123.5, 130.8, 146.8, 164.8, 196.0))
    if style in ("chords", "pad", "band"):
        kind = "strings" if style == "pad" else rng.choice(("organ", "pluck", "strings"))
        at = 0.0
        while at < ms / 1000:
            degree, length = rng.choice((0, 3, 4, 5)), beat * (4 if style == "pad" else rng.choice((2, 4)))
            for third in (0, 2, 4):
                _add(total, at, 0.5 * _note(_pitch(degree + third, 2 * root), length, rate, rng, kind), rate)
            at += length
    if style in ("melody", "piano", "band"):
        kind = "pluck" if style == "piano" else rng.choice(("organ", "pluck", "strings"))
        at, degree = 0.0, rng.randint(7, 12)
        while at < ms / 1000:
            length = beat * rng.choice((0.5, 0.5, 1, 1, 2))
            degree = min(16, max(5, degree + rng.choice((-2, -1, -1, 1, 1, 2))))
            if rng.random() < 0.9:
                _add(total, at, 0.8 * _note(_pitch(degree, root), length, rate, rng, kind), rate)
            if style == "piano" and rng.random() < 0.5:
                _add(total, at, 0.5 * _note(_pitch(degree - 9, root), 2 * length, rate, rng, kind), rate)
            at += length
    if style in ("drums", "band"):
        gain = 1.0 if style == "drums" else 0.4
        seconds = np.arange(12 * rate // 100) / rate
        kick = 1.5 * np.sin(2 * np.pi * (60 + 80 * np.exp(-30 * seconds)) * seconds) * np.exp(-18 * seconds)
        for number in range(int(ms / 1000 / (beat / 2)) + 1):
            hat = 0.3 * np.diff(noises.standard_normal(len(seconds) + 1)) * np.exp(-60 * seconds)
            _add(total, number * beat / 2, gain * hat, rate)
            if number % 4 == 0:
                _add(total, number * beat / 2, gain * kick, rate)
            elif number % 4 == 2:
                snare = 0.6 * noises.standard_normal(len(seconds)) * np.exp(-25 * seconds)
                _add(total, number * beat / 2, gain * snare, rate)
    wave = total[:count]
    level = math.sqrt(float(wave.dot(wave)) / max(1, count))
    return _pcm(wave * (_FULL * 10 ** (dbfs / 20) / max(level, 1e-9)))


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


_SCALE: Final = (0, 2, 4, 5, 7, 9, 11)  # the steps of a major scale, in semitones


def _pitch(degree: int, root: float) -> float:
    octave, step = divmod(degree, 7)
    return root * float(2 ** ((_SCALE[step] + 12 * octave) / 12))


def _note(hz: float, seconds: float, rate: int, rng: random.Random, kind: str) -> Floats:
    """A note of amplitude 1 or so, with its overtones, its beginning and its end."""
    at = np.arange(int(seconds * rate)) / rate
    phase = 2 * math.pi * hz * at
    if kind == "strings":  # with some vibrato
        phase = 2 * math.pi * hz * np.cumsum(1 + 0.003 * np.sin(2 * np.pi * 5.5 * at + 6.28 * rng.random())) / rate
    parts = {1: 1.0, 2: 0.6, 3: 0.35, 4: 0.25, 6: 0.12} if kind == "organ" else {n: 1 / n for n in range(1, 12)}
    wave = np.zeros(len(at))
    for number, strength in parts.items():
        if hz * number < 0.45 * rate:
            decay = np.exp(-(1.5 + 0.8 * number) * at) if kind == "pluck" else 1.0
            wave += strength * decay * np.sin(number * phase + 6.28 * rng.random())
    attack = {"pluck": 0.004, "organ": 0.01, "strings": 0.08}[kind]
    found: Floats = wave * np.minimum(1, at / attack) * np.minimum(1, (seconds - at) / min(0.05, seconds / 4))
    return found


def _add(total: Floats, at: float, wave: Floats, rate: int) -> None:
    start = int(at * rate)
    end = min(len(total), start + len(wave))
    total[start:end] += wave[: max(0, end - start)]


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
