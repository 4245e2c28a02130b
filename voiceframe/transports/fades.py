"""Fades: how sound is taken away and brought back without a click.

A step in the waveform is heard as a click, because it has energy at all frequencies. Here sound goes and comes along
half a cosine in 3 ms, for encodings of one channel.
"""

from __future__ import annotations

import array
import math
import sys
from functools import lru_cache

from ..audio import ENCODINGS, Audio, AudioFormat

__all__ = ["FADE_MS", "Fader", "fader"]

#: How long a fade is.
FADE_MS = 3


class Fader:
    """Fades audio of one format. `samples` is the length of a fade, `width` the bytes of a sample."""

    __slots__ = ("_falling", "_format", "_pcm", "samples", "silence", "width")

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._pcm = AudioFormat("pcm_s16le", format.rate)
        self.width = ENCODINGS[format.encoding]
        self.samples = format.rate * FADE_MS // 1000
        #: One sample of silence.
        self.silence = self._encode(array.array("h", [0]))
        self._falling = [0.5 + 0.5 * math.cos(math.pi * (k + 1) / (self.samples + 1)) for k in range(self.samples)]

    def rise(self, data: bytes, done: int) -> bytes:
        """`data` with its beginning faded in, of which `done` samples have been before."""
        size = (self.samples - done) * self.width
        values = self._decode(data[:size])
        gains = self._falling[::-1]
        for index, value in enumerate(values):
            values[index] = round(value * gains[done + index])
        return self._encode(values) + data[size:]

    def fall(self, data: bytes, last: bytes) -> bytes:
        """A fade-out of `data`, which is at most a fade long. What is missing holds the last sample there was: `last`
        (may be empty) if there is no data."""
        values = self._decode(data or last)
        if not values:
            return b""
        begin = 0 if data else 1
        values.extend([values[-1]] * (self.samples + begin - len(values)))
        del values[:begin]
        return self._encode(array.array("h", map(round, map(float.__mul__, self._falling, map(float, values)))))

    def _decode(self, data: bytes) -> array.array[int]:
        values = array.array("h", Audio(data, self._format).pcm(self._format.rate))
        if sys.byteorder == "big":
            values.byteswap()
        return values

    def _encode(self, values: array.array[int]) -> bytes:
        if sys.byteorder == "big":
            values = values[:]
            values.byteswap()
        return Audio(values.tobytes(), self._pcm).to(self._format)


@lru_cache(maxsize=16)
def fader(format: AudioFormat) -> Fader:
    """The fader of a format, shared by all calls."""
    return Fader(format)
