"""Music, told from speech by what stays.

Notes stay where they are for some tenths of a second, and the partials of a voice do not. In each slice the bins of the
spectrum are marked that stand out from those around them; over two seconds of music the same few are marked again and
again (after K. Seyerlehner et al., "Automatic music detection in television productions", DAFx 2007, where this is
"continuous frequency activation"). Speech has pauses between its syllables, which count against music; a hum or a
dialling tone never changes, and is none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from .sound import RATE, SLICE_MS, WINDOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .sound import Slice

    Floats = NDArray[np.float32]

__all__ = ["MusicDetector"]

#: The bins from 200 to 3,400 Hz.
_FROM: Final = round(200 * WINDOW / RATE)
_TO: Final = round(3_400 * WINDOW / RATE)
#: A bin stands out by this much over the mean of the 21 around it, in nepers of power (3 dB).
_OUT: Final = 3.0 / (10 / math.log(10))
_AROUND: Final = 21
#: Slices that are kept, that tell music, and that tell what sounds just now.
_KEPT: Final = 150
_LONG: Final = 100
_SHORT: Final = 40
_SECOND: Final = 50
#: How often it is judged, in slices.
_EVERY: Final = 5
#: A slice that is so much below the mean is a pause.
_PAUSE_DB: Final = 8.0
#: Score from which on it is music: chosen on `tests/test_manners_music.py`'s sets, whose figures are in its docstring.
_MUSIC: Final = 1.6
#: A verdict against music takes back so many for it.
_LEAK: Final = 3
#: A spectrum that has stayed the same to this degree, from 0 to 1, is a hum.
_SAME: Final = 0.93


class MusicDetector:
    """Hears slices, and says what sounds."""

    __slots__ = (
        "_count",
        "_counts",
        "_levels",
        "_rows",
        "level_dbfs",
        "music_ms",
        "now",
        "score",
    )

    def __init__(self) -> None:
        import numpy as np

        self._rows = np.zeros((_KEPT, _TO - _FROM), np.int16)
        #: How often each bin is marked: in the last two seconds, in the last 0.8 s, in the last second, and in the
        #: second that began three seconds ago.
        self._counts = np.zeros((4, _TO - _FROM), np.int16)
        self._levels = np.full(_KEPT, -96.0, np.float32)
        self._count = 0
        #: How long it has been music without a break, by the verdicts; each looks back two seconds.
        self.music_ms = 0
        #: What sounds now, by the last 0.8 s.
        self.now: Literal["quiet", "music", "speech", "noise"] = "quiet"
        #: The level of what sounded in the last 0.8 s.
        self.level_dbfs = -96.0
        #: How much it is music, over the last two seconds.
        self.score = 0.0

    def hear(self, slice: Slice) -> bool:
        """The next slice. Whether there is a new verdict."""
        import numpy as np

        at = self._count % _KEPT
        self._count += 1
        self._levels[at] = 20 * math.log10(max(slice.rms, 1) / 32768)
        left = self._rows[[at - _LONG, at - _SHORT, at - _SECOND, at]]
        if slice.power is None:
            self._rows[at] = 0
        else:
            logs = np.log(slice.power[_FROM - _AROUND // 2 - 1 : _TO + _AROUND // 2] + 1.0)
            sums = np.cumsum(logs, dtype=np.float64)
            mean = (sums[_AROUND:] - sums[:-_AROUND]) / _AROUND
            self._rows[at] = logs[_AROUND // 2 + 1 : _AROUND // 2 + 1 + _TO - _FROM] - mean > _OUT
        self._counts[:3] += self._rows[at]
        self._counts[3] += left[0]
        self._counts -= left
        if self._count % _EVERY:
            return False
        self._judge()
        return True

    def _judge(self) -> None:
        import numpy as np

        levels = np.roll(self._levels, -(self._count % _KEPT))
        long, short, late, early = self._counts.astype(np.float64)
        self.score = _score(long / _LONG, levels[-_LONG:])
        if self.score < _MUSIC:
            self.music_ms = max(0, self.music_ms - _LEAK * _EVERY * SLICE_MS)
        elif not _same(early, late):
            self.music_ms += _EVERY * SLICE_MS
        recent = levels[-_SHORT:]
        sounding = recent > -50.0
        self.level_dbfs = _mean(recent)
        if not sounding[-_SHORT // 2 :].any() or sounding.mean() < 0.2:
            self.now = "quiet"
        elif _score(short / _SHORT, recent) >= _MUSIC + 0.2:
            self.now = "music"
        else:
            self.now = "speech" if float(recent.std()) > 3.0 else "noise"


def _score(active: NDArray[np.float64], levels: Floats) -> float:
    """How steady the partials are, less the pauses: about 1 for speech, 3 for music. active: from 0 to 1."""
    import numpy as np

    peaks = np.flatnonzero((active[1:-1] >= active[:-2]) & (active[1:-1] > active[2:])) + 1
    if not len(peaks):
        return 0.0
    # The height of a peak over the valleys beside it: those at the ends of the stretch between two peaks.
    edges = np.concatenate(([0], peaks, [len(active)]))
    valleys = np.minimum.reduceat(active, edges[:-1])
    before = valleys[:-1]
    after = valleys[1:]
    heights = np.sort(active[peaks] - np.maximum(before, after))[-5:]
    pauses = float((levels < _mean(levels) - _PAUSE_DB).mean())
    return float(heights.sum()) - 2 * pauses


def _same(early: NDArray[np.float64], late: NDArray[np.float64]) -> bool:
    """Whether the same bins were marked in both seconds."""
    size = math.sqrt(float((early * early).sum()) * float((late * late).sum()))
    return bool(size) and float((early * late).sum()) / size > _SAME


def _mean(levels: Floats) -> float:
    import numpy as np

    return 10 * math.log10(float(np.mean(10 ** (levels.astype(np.float64) / 10))))
