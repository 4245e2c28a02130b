"""Whether a voice sounds as if it had finished: its pitch falls, its strength fades and its last syllable is drawn out.

Pitch is found by autocorrelation in frames of 40 ms every 10 ms (the classical method; see Boersma 1993 for what a
better one corrects), good enough to tell a fall from a rise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["finality"]

_RATE: Final = 8_000
_FRAME: Final = 320  # 40 ms: two periods of the lowest voice
_HOP: Final = 80
_LAGS: Final = (20, 114)  # 400 to 70 Hz
_VOICED: Final = 0.5  # autocorrelation from which on a frame has a pitch


def finality(pcm: bytes) -> float | None:
    """From 0 (the voice goes on) to 1 (it has finished); None if there is too little voice to tell.

    pcm: the last second or so of the caller's audio, s16le mono at 8 kHz, the silence at its end included.
    """
    import numpy as np

    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    if len(samples) < 4 * _FRAME:
        return None
    pitch = _pitch(samples)
    voiced = np.flatnonzero(pitch > 0)
    if len(voiced) < 12:
        return None
    # The last stretch of voice: 350 ms before its end.
    end = voiced[-1]
    stretch = voiced[voiced > end - 35]
    if len(stretch) < 8:
        return None
    semitones = 12 * np.log2(pitch[stretch])
    middle = float(np.median(12 * np.log2(pitch[voiced])))
    times = stretch - stretch.mean()
    slope = float(times @ (semitones - semitones.mean()) / max(1e-9, times @ times))  # semitones per 10 ms
    last = float(np.median(semitones[-5:])) - middle
    # A fall of 3 semitones, or an end 3 semitones under the speaker's middle, is a clear end; the same upward is none.
    score = -slope * 35 / 6 - last / 6
    return float(1 / (1 + np.exp(-2.5 * score)))


def _pitch(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Hz for each 10 ms; 0 where there is no voice."""
    import numpy as np

    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = (frames * frames).sum(axis=1)
    loud = energy > max(float(energy.max()) * 1e-3, 1.0)
    spectrum = np.fft.rfft(frames, 2 * _FRAME)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum), 2 * _FRAME)[:, :_FRAME]
    low, high = _LAGS
    # Fewer samples overlap at longer lags.
    shares = 1 - np.arange(_FRAME) / _FRAME
    normalized = correlation / np.maximum(energy[:, None], 1e-9) / shares
    best = normalized[:, low:high].argmax(axis=1) + low
    strength = normalized[np.arange(len(best)), best]
    return np.where(loud & (strength > _VOICED), _RATE / best, 0.0)
