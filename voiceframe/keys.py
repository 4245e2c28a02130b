"""Keys heard in the audio itself (DTMF in-band), where the line has no better way to tell.

The limits are those of ITU-T Q.24 (annex A, AT&T): a key is heard when both its tones are within 1.5 % of their
frequencies, the higher one is not more than 4 dB louder and not more than 8 dB weaker than the lower, and it lasts
40 ms; 3.5 % off, or 23 ms, is none. A break of 10 ms does not end a press, and 40 ms do.

Speech is told from keys by what else sounds: in a key the two tones have nearly all of the energy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from .errors import AudioError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = ["KEYS", "DTMFDetector"]

#: The two frequencies of each key in Hz (ITU-T Q.23).
KEYS: Final[dict[str, tuple[int, int]]] = {
    key: (low, high)
    for low, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for key, high in zip(row, (1209, 1336, 1477, 1633), strict=True)
}

_LOW: Final = sorted({low for low, _ in KEYS.values()})
_HIGH: Final = sorted({high for _, high in KEYS.values()})
_KEY: Final = {pair: key for key, pair in KEYS.items()}

#: Windows of 20 ms, one every 5 ms, four at a time.
_HOPS: Final = 4
#: In so many windows in a row a key is heard before it counts: 40 ms have at least five, 23 ms at most three.
_BEGINS: Final = 5
#: After this many windows without it a press is over: a pause of 40 ms has nine, a break of 10 ms has four.
_ENDS: Final = 6
#: Of the energy, at least: 0.99 at 20 dB over noise, less where the tone begins or ends in the window.
_SHARE: Final = 0.92
#: The same before the tones' true frequencies are known: one that is off by 1.5 % seems to have 0.7 of its energy.
_ROUGH_SHARE: Final = 0.55
#: By how much a tone may be off, as a ratio, and by how much more while it begins. A voice glides, a key does not.
_OFFSET: Final = 0.02
_STEADY: Final = 0.01
_TWIST_DB: Final = (-9.5, 5.5)  # the higher tone over the lower
#: RMS of each tone, at least: -36 dBFS is -30 dBm0.
_FLOOR: Final = 32768 * 10 ** (-36 / 20)

_Found: TypeAlias = tuple[str, tuple[float, float]]
_NOTHING: Final[_Found] = ("", (0.0, 0.0))


class DTMFDetector:
    """Finds keys in mono s16le at `rate` Hz, each press once, at most 45 ms after it began and before it ends.

        digits = DTMFDetector(8_000).feed(pcm)

    The audio may come in pieces of any length; the digits are the same, and are told when 20 ms are full.
    """

    __slots__ = (
        "_at",
        "_bank",
        "_block",
        "_candidate",
        "_gate",
        "_hits",
        "_hop",
        "_misses",
        "_norm",
        "_omega",
        "_pending",
        "_pressed",
        "_size",
        "_window",
    )

    def __init__(self, rate: int) -> None:
        if not 8_000 <= rate <= 48_000:
            raise AudioError.of("audio.rate", rate=rate, channels=1)
        self._hop = round(rate / 200)
        size = _HOPS * self._hop
        self._block = 2 * size  # bytes
        at = (np.arange(size) + 0.5) / size
        self._window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * at)
        slope = (np.pi / size) * np.sin(2 * np.pi * at)  # its derivative, per sample
        self._norm = 2 / float(self._window.sum())
        phases = np.arange(size)[:, None] * (2 * np.pi / rate) * np.array([*_LOW, *_HIGH])
        # Four sums for each tone: with the window and with its slope, the cosine and the sine.
        self._bank: Floats = np.concatenate(
            [part * weight[:, None] for weight in (self._window, slope) for part in (np.cos(phases), np.sin(phases))],
            axis=1,
        )
        self._omega = [2 * math.pi * hz / rate for hz in (*_LOW, *_HIGH)]
        self._size = size
        self._gate = _FLOOR**2 * (2 * size - self._hop) * 0.5
        self._pending = bytes(2 * (size - self._hop))
        self._pressed = self._candidate = ""
        self._at = (0.0, 0.0)
        self._hits = self._misses = 0

    def feed(self, pcm: bytes) -> str:
        """Hear the next piece; returns the keys that it completes, mostly none.

        Raises `AudioError` (`audio.length`) for half a sample.
        """
        if len(pcm) % 2:
            raise AudioError.of("audio.length", size=len(pcm), format="pcm_s16le", sample=2)
        past = self._block - 2 * self._hop
        full = past + self._block
        pending = self._pending + pcm
        start = 0
        found = ""
        while len(pending) - start >= full:
            found += self._hear(pending[start : start + full])
            start += self._block
        self._pending = pending[start:]
        return found

    def _hear(self, pcm: bytes) -> str:
        """The next block of 20 ms, with the 15 ms before it."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float64)
        if float(samples.dot(samples)) < self._gate:
            return self._nothing()
        hop = 8 * self._hop
        windows: Floats = np.ascontiguousarray(np.ndarray((_HOPS, self._size), np.float64, samples, 0, (hop, 8)))
        energy = (windows * windows).dot(self._window).tolist()
        sums = windows.dot(self._bank)
        squares = sums * sums
        powers = (squares[:, :8] + squares[:, 8:16]).tolist()
        found = ""
        for number in range(_HOPS):
            power = powers[number]
            low, high = max(power[:4]), max(power[4:])
            key, at = _NOTHING
            if (low + high) * self._norm >= _ROUGH_SHARE * energy[number] > 0.0:
                low_at, high_at = power.index(low, 0, 4), power.index(high, 4)
                key, at = self._key(sums[number].tolist(), low_at, high_at, energy[number])
            found += self._step(key, at)
        return found

    def _key(self, sums: list[float], low_at: int, high_at: int, energy: float) -> _Found:
        """The key that these two tones are and by what ratio each is off, or nothing."""
        powers: list[float] = []
        offsets: list[float] = []
        for at in (low_at, high_at):
            real, imaginary, slope_real, slope_imaginary = sums[at], -sums[at + 8], sums[at + 16], -sums[at + 24]
            power = real * real + imaginary * imaginary
            # Of a sine the sum with the window's slope is that with the window, turned by a quarter and times the
            # distance in frequency (K. Kodera et al., "Analysis of time-varying signals with small BT values", 1978).
            off = -(slope_imaginary * real - slope_real * imaginary) / power
            offsets.append(off / self._omega[at])
            if abs(offsets[-1]) > _OFFSET:
                return _NOTHING
            bins = abs(off) * self._size / (2 * math.pi)
            power /= _lobe(bins) ** 2
            if math.sqrt(power / 2) * self._norm < _FLOOR:
                return _NOTHING
            powers.append(power)
        low, high = powers
        if (low + high) * self._norm < _SHARE * energy:
            return _NOTHING
        if not _TWIST_DB[0] <= 10 * math.log10(high / low) <= _TWIST_DB[1]:
            return _NOTHING
        return _KEY[_LOW[low_at], _HIGH[high_at - 4]], (offsets[0], offsets[1])

    def _step(self, key: str, at: tuple[float, float]) -> str:
        """One window more: a press begins, goes on or ends."""
        if key and key == self._pressed:
            self._misses = self._hits = 0
            return ""
        self._misses += 1
        if self._misses >= _ENDS:
            self._pressed = ""
        if not key:
            self._hits = 0
            return ""
        steady = abs(at[0] - self._at[0]) < _STEADY and abs(at[1] - self._at[1]) < _STEADY
        if key == self._candidate and steady and self._hits:
            self._hits += 1
        else:
            self._candidate, self._at, self._hits = key, at, 1
        if self._hits < _BEGINS:
            return ""
        self._pressed = key
        self._misses = self._hits = 0
        return key

    def _nothing(self) -> str:
        self._hits = 0
        self._misses += _HOPS
        if self._misses >= _ENDS:
            self._pressed = ""
        return ""


def _lobe(bins: float) -> float:
    """What the Hann window leaves of the amplitude of a tone that is this many times 1 / length off, under 2."""
    if bins < 1e-6:
        return 1.0
    return math.sin(math.pi * bins) / (math.pi * bins * (1 - bins * bins))
