"""The bot's own voice in the caller's audio: found by its shape, and by its words.

A line without echo cancelling brings back what the bot says, weaker and some time later. The caller's last audio is
compared with what was played shortly before, at every lag: where the two are the same sound, their normalized
cross-correlation has a peak near 1, and a caller who speaks over the echo takes it down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...audio import Audio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["EchoDetector", "own_words"]

_RATE: Final = 8_000  # a telephone's; an echo of a wider band is found by its lower half as well
_WINDOW_MS: Final = 300  # of the caller's audio that is looked at
_LAG_MS: Final = 600  # the latest echo: two networks and two jitter buffers
_PIECES: Final = 64  # of 20 ms: a little more than both
#: Peak correlation from which on it is an echo. Of synthetic voices an echo stays above 0.8, and another voice, with an
#: echo under it or without, below this (`tests/test_turn_sounds.py`).
_PEAK: Final = 0.6


class EchoDetector:
    """Keeps the last second of both sides and compares them when asked. Audio is converted only then."""

    __slots__ = ("_heard", "_played")

    def __init__(self) -> None:
        self._heard: deque[tuple[int, Audio]] = deque(maxlen=_PIECES)
        self._played: deque[tuple[int, Audio]] = deque(maxlen=_PIECES)

    def heard(self, at_ms: int, audio: Audio) -> None:
        """A piece of the caller's audio."""
        self._heard.append((at_ms, audio))

    def played(self, at_ms: int, audio: Audio) -> None:
        """A piece of the bot's audio, as it is played."""
        self._played.append((at_ms, audio))

    def caller(self, length_ms: int) -> bytes:
        """The last of the caller's audio, s16le at 8 kHz."""
        pieces: list[bytes] = []
        total = 0.0
        for _, audio in reversed(self._heard):
            if total >= length_ms:
                break
            pieces.append(audio.pcm(_RATE))
            total += audio.duration_ms
        return b"".join(reversed(pieces))

    def is_echo(self, now_ms: int) -> bool:
        """Whether the last of the caller's audio is what was played."""
        recent = [piece for piece in self._played if piece[0] >= now_ms - _WINDOW_MS - _LAG_MS]
        if not recent:
            return False
        return self.correlation(now_ms) >= _PEAK

    def correlation(self, now_ms: int) -> float:
        """The peak of the normalized cross-correlation, from 0 to 1."""
        import numpy as np

        heard = _whitened(self.caller(_WINDOW_MS))
        played = _whitened(self._timeline(now_ms))
        size = len(heard)
        if size < _RATE // 20 or len(played) < size:
            return 0.0
        energy = float(heard @ heard)
        if energy <= 0.0:
            return 0.0
        length = 1 << (len(played) + size - 1).bit_length()
        spectrum = np.fft.rfft(played, length) * np.conj(np.fft.rfft(heard, length))
        products = np.fft.irfft(spectrum, length)[: len(played) - size + 1]
        # The energy of what was played in each window, by running sums.
        sums = np.concatenate(([0.0], np.cumsum(played * played)))
        windows = sums[size:] - sums[:-size]
        floor = max(float(windows.max()) * 1e-3, 1e-9)
        return float((np.abs(products) / np.sqrt(np.maximum(windows, floor) * energy)).max())

    def _timeline(self, now_ms: int) -> bytes:
        """What was played in the last window and lag, with silence where nothing was."""
        start_ms = now_ms - _WINDOW_MS - _LAG_MS
        line = bytearray(2 * _RATE * (_WINDOW_MS + _LAG_MS) // 1000)
        at = 0
        for at_ms, audio in self._played:
            offset_ms = at_ms - start_ms
            if offset_ms < 0:
                continue
            data = audio.pcm(_RATE)
            # Pieces follow each other to the sample, though their times are whole milliseconds.
            place = 2 * _RATE * offset_ms // 1000
            if abs(place - at) <= 2 * _RATE * 2 // 1000:
                place = at
            end = min(len(line), place + len(data))
            if end > place:
                line[place:end] = data[: end - place]
            at = place + len(data)
        return bytes(line)


def _whitened(pcm: bytes) -> npt.NDArray[np.float64]:
    """First differences: they weaken the bass that all voices share, which correlates by chance."""
    import numpy as np

    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    return np.diff(samples) if len(samples) else samples


def own_words(text: str, said: Iterable[str]) -> bool:
    """Whether what was recognized is a run of what the bot has just said: three words or more of it, in order."""
    words = _plain(text)
    if len(words) < 3:
        return False
    own = _plain(" ".join(said))
    length = len(words)
    # One word in four may have been misheard.
    allowed = length // 4
    for start in range(len(own) - length + 1):
        if sum(a != b for a, b in zip(words, own[start : start + length], strict=True)) <= allowed:
            return True
    return False


def _plain(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
