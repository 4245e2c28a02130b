"""From sound to what the acoustic model knows: 13 cepstra for every 10 ms, how they change, and how that changes.

The front end of CMU Sphinx (github.com/cmusphinx/pocketsphinx: `fe_sigproc.c`, `fe_noise.c`, `feat.c`), as the model
was trained with it: pre-emphasis, a Hamming window of 25.6 ms, triangular bands on the mel scale, what is steady in a
band taken out as noise (its source names Doblinger's minima tracking and Kim's PNCC), logarithm, cosine transform,
lifter; less the mean of the segment.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from .sphinx import Floats

__all__ = ["BANDS_8K", "LIFTER", "cepstra", "cosine", "features"]

_CEPSTRA: Final = 13
LIFTER: Final = 1 + 11 * np.sin(np.arange(_CEPSTRA) * np.pi / 22)
#: What the 25 bands of the model cover, and how many of them a line of 8 kHz has.
_LOW_HZ, _HIGH_HZ, _BANDS, BANDS_8K = 130.0, 6_800.0, 25, 18
_WINDOW_S: Final = 0.025625
_EMPHASIS: Final = 0.97
_FAINT: Final = 1e-4


def _edges_hz(bands: int) -> Any:
    """Where the bands begin, have their middle and end: evenly on the mel scale."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOW_HZ, _HIGH_HZ))
    return 700 * (10 ** (np.linspace(low, high, _BANDS + 2)[: bands + 2] / 2595) - 1)


def cosine(bands: int) -> Any:
    """The orthonormal cosine transform from so many bands: [cepstrum, band]."""
    order, band = np.arange(_CEPSTRA)[:, None], np.arange(bands)
    scale = np.where(order == 0, np.sqrt(1 / bands), np.sqrt(2 / bands))
    return scale * np.cos(np.pi * order * (band + 0.5) / bands)


@cache
def _front_end(rate: int) -> tuple[int, Any, Any, Any, Any]:
    """Length of the Fourier transform, window, bands [frequency, band], neighbours of each band, cosine and lifter."""
    points, bands = (256, BANDS_8K) if rate == 8_000 else (512, _BANDS)
    size = int(_WINDOW_S * rate + 0.5)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    step = rate / points
    edges = np.floor(_edges_hz(bands) / step + 0.5) * step
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.arange(points // 2 + 1)[:, None] * step
    shape = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    shape[-1] = 0
    band = np.arange(bands)
    near = (abs(band[:, None] - band) <= 4).astype(float)
    return points, window, np.maximum(0, shape) * 2 / (high - low), near / near.sum(0), cosine(bands).T * LIFTER


def features(pcm: bytes, rate: int) -> list[Floats]:
    """Three streams of features [time, 2 * 13] of mono s16le: the squares, which normal distributions need, and them.

    Each row stands for 10 ms.
    """
    levels = cepstra(pcm, rate)
    voiced = levels[:, 0] >= 0
    if voiced.any():
        levels = levels - levels[voiced].mean(0)
    around = np.concatenate((levels[:1].repeat(3, 0), levels, levels[-1:].repeat(3, 0)))

    def at(offset: int) -> Any:
        return around[3 + offset : 3 + offset + len(levels)]

    change = at(2) - at(-2)
    bend = (at(3) - at(-1)) - (at(1) - at(-3))
    return [np.concatenate((x * x, x), 1).astype(np.float32) for x in (levels, change, bend)]


def cepstra(pcm: bytes, rate: int) -> Any:
    """The cepstra [time, 13] of mono s16le, with noise taken out."""
    points, window, bands, near, transform = _front_end(rate)
    sound = np.frombuffer(pcm, "<i2").astype(float)
    sound[1:] -= _EMPHASIS * sound[:-1]
    count = max(1, 1 - (len(window) - len(sound)) // (rate // 100))
    sound.resize((count - 1) * (rate // 100) + len(window))
    frames = np.lib.stride_tricks.sliding_window_view(sound, len(window))[:: rate // 100] * window
    spectrum = np.fft.rfft(frames, points)
    power = _without_noise((spectrum.real**2 + spectrum.imag**2) @ bands, near)
    return np.log(power + _FAINT) @ transform


def _without_noise(power: Any, near: Any) -> Any:
    """The power of each band, [time, band], where what is steady in it is weakened down to a twentieth."""
    gains = np.empty_like(power)
    smooth = power[0].copy()
    noise, floor, peak = smooth / 20, smooth / 20, np.zeros_like(smooth)
    for time, row in enumerate(power):
        smooth = 0.7 * smooth + 0.3 * row
        noise = _lower_envelope(smooth, noise)
        signal = np.maximum(smooth - noise, 1.0)
        floor = _lower_envelope(signal, floor)
        peak *= 0.85
        masked = np.where(signal < 0.85 * peak, 0.2 * peak, signal)
        np.maximum(peak, signal, out=peak)
        np.divide(np.maximum(masked, floor), smooth, out=gains[time])
    return power * (np.clip(gains, 1 / 20, 20) @ near)


def _lower_envelope(value: Any, envelope: Any) -> Any:
    """It follows slowly upwards, quickly downwards."""
    pace = np.where(value >= envelope, 0.995, 0.5)
    return pace * envelope + (1 - pace) * value
