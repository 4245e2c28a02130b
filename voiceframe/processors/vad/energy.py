"""Voice activity by level alone: no model, no dependency."""

from __future__ import annotations

import math
from typing import Final

from .base import VAD, VADSettings, Window
from .noise import NoiseFloor

__all__ = ["EnergyVAD"]

#: So far above the noise is speech.
_MARGIN_DB: Final = 12.0
#: The probability at the threshold, which is the usual `confidence`; and what a decibel adds to it.
_AT_THRESHOLD: Final = 0.7
_PER_DB: Final = 0.05
#: The noise before any is known: speech at the very beginning of a call is still above it.
_UNKNOWN_DBFS: Final = -45.0


class EnergyVAD(VAD):
    """Anything loud is speech: for quiet lines, for tests, and where nothing else runs.

    The threshold is `threshold_dbfs`, or else 12 dB above the noise of the line: the lowest level of a window in the
    last three seconds (see `NoiseFloor`). It is never under `gate_dbfs`.

    At the threshold the probability is 0.7, and 0.05 more for each decibel above it; so a `confidence` of 0.8 raises
    the threshold by 2 dB. Music, tones and voices in the background are speech to it.
    """

    def __init__(self, settings: VADSettings | None = None) -> None:
        super().__init__(settings)
        self._noise = NoiseFloor(self.window_ms)

    def hear(self, window: Window) -> None:
        level = _dbfs(window.rms)
        threshold = self.settings.threshold_dbfs
        if threshold is None:
            noise = self._noise
            noise.add(window.rms)
            floor = _dbfs(noise.rms)
            threshold = (floor if noise.full else min(floor, _UNKNOWN_DBFS)) + _MARGIN_DB
        if window.rms < self._gate_rms:
            self.judge(window, 0.0)
        else:
            self.judge(window, min(1.0, max(0.0, _AT_THRESHOLD + (level - threshold) * _PER_DB)))


def _dbfs(rms: float) -> float:
    return 20 * math.log10(rms / 32768) if rms else -120.0
