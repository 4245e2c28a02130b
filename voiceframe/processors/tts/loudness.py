"""Loudness by ITU-R BS.1770-4: K-weighting, blocks of 400 ms, two gates. For one channel.

The two filters of the K-weighting are given by the recommendation for 48 kHz. For other rates they are made of the
analogue filters that these stand for (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement",
AES Convention 145, 2018).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = ["SILENCE_LUFS", "k_weighting", "loudness_lufs"]

#: What `loudness_lufs` says when no block is over the absolute gate.
SILENCE_LUFS: Final = -70.0

_BLOCK_MS: Final = 400
_STEP_MS: Final = 100  # blocks overlap by three quarters
_OFFSET: Final = -0.691  # so that a sine of 997 Hz at full scale in one channel has -3.01 LUFS
_RELATIVE: Final = -10.0

#: A second-order filter: three coefficients of the numerator, three of the denominator.
Biquad: TypeAlias = "tuple[tuple[float, float, float], tuple[float, float, float]]"


def k_weighting(rate: int) -> tuple[Biquad, Biquad]:
    """The shelf for the head and the high-pass at `rate` Hz."""
    k = math.tan(math.pi * 1681.974450955533 / rate)
    q = 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = (
        ((high + band * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / q + k * k) / a0),
        (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0),
    )
    k = math.tan(math.pi * 38.13547087602444 / rate)
    q = 0.5003270373238773
    a0 = 1 + k / q + k * k
    return shelf, ((1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0))


def loudness_lufs(pcm: bytes, rate: int) -> float:
    """The integrated loudness of mono s16le in LUFS.

    What is shorter than a block is one block, without the silence that would fill it.
    """
    samples = np.frombuffer(pcm, "<i2").astype(np.float64) / 32768
    count = len(samples)
    if not count:
        return SILENCE_LUFS
    # By its response instead of sample by sample, which would take Python a thousand times as long. The silence behind
    # is what the filters ring out into; without it that would come out at the beginning.
    size = 1 << (count + rate // 4).bit_length()
    weighted = np.fft.irfft(np.fft.rfft(samples, size) * _response(rate, size), size)[:count]
    sums = np.concatenate(([0.0], np.cumsum(weighted * weighted)))
    block, step = rate * _BLOCK_MS // 1000, rate * _STEP_MS // 1000
    if count < block:
        powers = sums[-1:] / count
    else:
        starts = np.arange(0, count - block + 1, step)
        powers = (sums[starts + block] - sums[starts]) / block
    powers = powers[powers > _power(SILENCE_LUFS)]
    if not len(powers):
        return SILENCE_LUFS
    powers = powers[powers > float(powers.mean()) * 10 ** (_RELATIVE / 10)]
    return _OFFSET + 10 * math.log10(float(powers.mean()))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


@lru_cache(maxsize=4)
def _response(rate: int, size: int) -> npt.NDArray[np.complex128]:
    z = np.exp(-2j * math.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, np.complex128)
    for (b0, b1, b2), (a0, a1, a2) in k_weighting(rate):
        response *= (b0 + b1 * z + b2 * z * z) / (a0 + a1 * z + a2 * z * z)
    return response
