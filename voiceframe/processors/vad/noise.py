"""The noise of a line, as its quietest moments tell it."""

from __future__ import annotations

from typing import Final

__all__ = ["NoiseFloor"]

#: The noise is the quietest window of the last blocks: three seconds, longer than most speak without a breath.
_BLOCK_MS: Final = 300
_BLOCKS: Final = 10
#: A line that is switched off says nothing about its noise (-85 dBFS).
_DEAD: Final = 32768.0 * 10 ** (-85 / 20)


class NoiseFloor:
    """The lowest level of a window in the last three seconds.

    After R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics", IEEE
    Trans. Speech and Audio Processing 9, 2001. Speech has gaps, and its sounds differ by tens of decibels; so its
    quietest window is one of noise. Noise that gets less is known at once, noise that grows after three seconds.
    """

    __slots__ = ("_filled", "_low", "_lows", "_size")

    def __init__(self, window_ms: int) -> None:
        self._size = _BLOCK_MS // window_ms
        self._lows: list[float] = []  # the last is the newest
        self._low = 32768.0  # of the block that is being filled
        self._filled = 0

    def add(self, rms: float, *, speech: bool = False) -> None:
        """The next window. One of `speech` can lower the floor, and lets nothing be forgotten."""
        if rms <= _DEAD:
            return
        if rms < self._low:
            self._low = rms
        if speech:
            return
        self._filled += 1
        if self._filled == self._size:
            self._lows = [*self._lows[1 - _BLOCKS :], self._low]
            self._low, self._filled = 32768.0, 0

    @property
    def blocks(self) -> int:
        """How many blocks of 300 ms are known; ten at most."""
        return len(self._lows)

    @property
    def full(self) -> bool:
        """Whether three seconds are known."""
        return len(self._lows) == _BLOCKS

    @property
    def rms(self) -> float:
        """The floor; full scale is 32768."""
        return min(self._low, *self._lows) if self._lows else self._low
