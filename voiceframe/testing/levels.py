"""Who spoke when, by level: the truth of a recording, whatever transcripts say."""

from __future__ import annotations

__all__ = ["sounds"]


def sounds(pcm: bytes, rate: int, *, floor_dbfs: float = -50.0, gap_ms: int = 200) -> list[tuple[float, float]]:
    """The stretches of mono s16le in which there is sound: from the first to behind the last sample, in milliseconds.

    A sample sounds when it is over `floor_dbfs`, as a peak; what is not more than `gap_ms` apart is one stretch.
    """
    import numpy as np

    samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
    loud = np.flatnonzero(samples > 32768 * 10 ** (floor_dbfs / 20))
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > gap_ms * rate / 1000)
    first = loud[np.concatenate(([0], breaks + 1))]
    last = loud[np.concatenate((breaks, [len(loud) - 1]))]
    return [(a * 1000 / rate, (b + 1) * 1000 / rate) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
