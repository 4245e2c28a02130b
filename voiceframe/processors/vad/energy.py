"""Voice activity by level alone: no model, no dependency."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from .base import VAD, VADSettings, Window

__all__ = ["EnergyVAD"]

#: So far above the noise is speech.
_MARGIN_DB: Final = 12.0
#: The probability at the threshold, which is the usual `confidence`; and what a decibel adds to it.
_AT_THRESHOLD: Final = 0.7
_PER_DB: Final = 0.05
#: The noise is the quietest window of the last blocks: three seconds, longer than most speak without a breath.
_BLOCK: Final = 15  # windows
_BLOCKS: Final = 10
#: A line that is switched off says nothing about its noise.
_DEAD_DBFS: Final = -85.0
#: The noise before any is known: speech at the very beginning of a call is still above it.
_UNKNOWN_DBFS: Final = -45.0


class EnergyVAD(VAD):
    """Anything loud is speech: for quiet lines, for tests, and where nothing else runs.

    The threshold is `threshold_dbfs`, or else 12 dB above the noise of the line: the lowest level of a window in the
    last three seconds (after R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
    statistics", IEEE Trans. Speech and Audio Processing 9, 2001). It is never under `gate_dbfs`.

    At the threshold the probability is 0.7, and 0.05 more for each decibel above it; so a `confidence` of 0.8 raises
    the threshold by 2 dB. Music, tones and voices in the background are speech to it.
    """

    def __init__(self, settings: VADSettings | None = None) -> None:
        super().__init__(settings)
        self._lows: deque[float] = deque(maxlen=_BLOCKS)
        self._low = 0.0  # of the block that is being filled
        self._filled = 0

    def hear(self, window: Window) -> None:
        level = 20 * math.log10(window.rms / 32768) if window.rms else -120.0
        threshold = self.settings.threshold_dbfs
        if threshold is None:
            threshold = self._noise_dbfs(level) + _MARGIN_DB
        if window.rms < self._gate_rms:
            self.judge(window, 0.0)
        else:
            self.judge(window, min(1.0, max(0.0, _AT_THRESHOLD + (level - threshold) * _PER_DB)))

    def _noise_dbfs(self, level: float) -> float:
        if level > _DEAD_DBFS:
            self._low = min(self._low, level)
            self._filled += 1
            if self._filled == _BLOCK:
                self._lows.append(self._low)
                self._low, self._filled = 0.0, 0
        lows = self._lows
        if len(lows) == _BLOCKS:
            return min(self._low, min(lows))
        return min(self._low, min(lows, default=0.0), _UNKNOWN_DBFS)
