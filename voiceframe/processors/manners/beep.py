"""The tone after which a message is left.

A beep is one pure tone that stays where it is: nearly all of the energy is in one line of the spectrum, at the same
frequency for as long as it lasts. Voices glide and have overtones, keys and ringing have two tones, and music has more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from .sound import RATE, SLICE_MS, WINDOW

if TYPE_CHECKING:
    from .sound import Slice

__all__ = ["Beep", "BeepDetector"]

_HZ: Final = RATE / WINDOW
#: Of the energy above 200 Hz, at least this much is the tone's.
_PURE: Final = 0.90
#: How far a tone may move between two slices, and between its beginning and now, as a ratio.
_STEADY: Final = 0.015
#: So many slices without the tone end it; a window that it half fills is not pure.
_ENDS: Final = 3


class Beep(NamedTuple):
    """A beep that has ended. Times count from the first slice that was heard."""

    began_ms: int
    ended_ms: int
    hz: float
    dbfs: float


class BeepDetector:
    """Hears slices. low_hz, high_hz, min_ms, max_ms, min_dbfs: what is a beep; what lasts longer is a fax, or a line
    that is dead."""

    __slots__ = ("_began", "_count", "_hz", "_low", "_max", "_min", "_misses", "_quiet", "_range", "_rms", "sounding")

    def __init__(self, low_hz: int, high_hz: int, min_ms: int, max_ms: int, min_dbfs: float) -> None:
        self._range = (low_hz, high_hz)
        self._low = max(2, round(200 / _HZ))
        self._min, self._max = min_ms, max_ms
        self._quiet = 32768 * 10 ** (min_dbfs / 20)
        self._count = 0  # slices so far
        self._began = -1
        self._hz = 0.0
        self._rms = 0.0
        self._misses = 0
        #: Whether a tone that is long enough for a beep is being heard.
        self.sounding = False

    def hear(self, slice: Slice) -> Beep | None:
        """The next slice; returns the beep that is over with it."""
        self._count += 1
        hz = self._tone(slice)
        if hz and self._began >= 0 and abs(hz - self._hz) <= _STEADY * self._hz:
            self._misses = 0
            self._rms = max(self._rms, float(slice.rms))
            # The window is longer than the slice: a tone is known for what it is some 40 ms after it began.
            self.sounding = self._length_ms() >= self._min
            return None
        if self._began >= 0:
            self._misses += 1
            if self._misses < _ENDS:
                return None
            beep = self._over()
            if hz:
                self._begin(hz, slice)
            return beep
        if hz:
            self._begin(hz, slice)
        return None

    def _begin(self, hz: float, slice: Slice) -> None:
        self._began, self._hz, self._rms, self._misses = self._count - 1, hz, float(slice.rms), 0

    def _length_ms(self) -> int:
        return (self._count - self._misses - self._began) * SLICE_MS + 2 * SLICE_MS

    def _over(self) -> Beep | None:
        length, began = self._length_ms(), self._began
        self._began, self.sounding = -1, False
        if not self._min <= length <= self._max:
            return None
        began_ms = max(0, (began - 2) * SLICE_MS)
        dbfs = round(20 * math.log10(self._rms / 32768), 1)
        return Beep(began_ms, began_ms + length, round(self._hz, 1), dbfs)

    def _tone(self, slice: Slice) -> float:
        """The frequency, if the slice is one tone, else 0."""
        power = slice.power
        if power is None or slice.rms < self._quiet:
            return 0.0
        at = int(power[self._low :].argmax()) + self._low
        if at + 3 >= len(power):
            return 0.0
        total = float(power[self._low :].sum())
        if float(power[at - 2 : at + 3].sum()) < _PURE * total:
            return 0.0
        below, here, above = (math.log(float(power[at + step]) + 1.0) for step in (-1, 0, 1))
        bend = below - 2 * here + above
        hz = (at + (0.5 * (below - above) / bend if bend else 0.0)) * _HZ
        return hz if self._range[0] <= hz <= self._range[1] else 0.0
