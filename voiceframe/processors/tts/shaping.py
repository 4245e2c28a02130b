"""Shaping: what makes raw sound of a synthesizer a prompt. Silence off, loudness set, no clicks at the ends."""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["FADE_MS", "shape", "trim"]

#: How long sound takes to come from silence and to go into it: a step would be a click.
FADE_MS: Final = 3

#: What is quieter counts as silence at the ends: -60 dBFS.
_SILENCE: Final = 33
#: How much of it stays, so that soft consonants keep their beginning.
_KEEP_MS: Final = 5
#: From here on peaks are pressed together: -3 dBFS. None reaches full scale.
_KNEE: Final = 0.7


def trim(pcm: bytes, rate: int) -> tuple[int, int]:
    """Where the sound of mono s16le begins and ends, in samples. Equal for nothing but silence."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _SILENCE)
    if not len(loud):
        return 0, 0
    keep = rate * _KEEP_MS // 1000
    return max(0, int(loud[0]) - keep), min(len(samples), int(loud[-1]) + 1 + keep)


def shape(pcm: bytes, rate: int, gain: float) -> bytes:
    """Mono s16le, multiplied by `gain` without being clipped, faded in and out."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64) * (gain / 32768)
    size = np.abs(samples)
    over = size > _KNEE
    if over.any():
        room = 1 - _KNEE
        beyond = size[over] - _KNEE
        samples[over] = np.sign(samples[over]) * (_KNEE + room * beyond / (room + beyond))
    count = min(rate * FADE_MS // 1000, len(samples) // 2)
    if count:
        ramp = np.arange(count) / count
        samples[:count] *= ramp
        samples[-count:] *= ramp[::-1]
    return bytes(np.rint(samples * 32767).astype("<i2"))
