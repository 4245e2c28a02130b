"""How well a sound fits each senone, and the model on a telephone line.

The model is made for 16 kHz and looks at 25 bands from 130 to 6,800 Hz. A telephone line ends at 3,400 Hz. To upsample
it and leave the upper bands empty spoils all cepstral coefficients, as each of them depends on each band. So the model
itself is brought down to 8 kHz, by arithmetic, without training:
each of its normal distributions of 13 cepstra is one of 25 log energies, of which the first 18 (130 to 3,446 Hz) are
kept and make 13 cepstra again. With C the cosine transform and L the lifter, for n bands: mean' = M mean,
variance' = M^2 variance + v L^2, M = L C_18 (C_25^-1 L^-1)[:18].

v stands for the detail in 18 bands that 13 of 25 coefficients had smoothed away; without it the model is far too sure
of the high coefficients. 0.5, 0.8 and 1.2 get equally many sentences right, more than 0.3, and of these 0.8 is best at
rejecting what is outside of the grammar.

All frames of a segment are compared with all distributions by a few products of matrices, which is what a processor is
best at: PocketSphinx, which goes through them one by one and keeps the best few, spent nine tenths of its time there.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from .features import BANDS_8K, LIFTER, cosine
from .sphinx import Floats, Numbers, definition, densities, weights

__all__ = ["Acoustics", "acoustics", "by_book"]

_DETAIL: Final = 0.8
_LEAST_VARIANCE: Final = 1e-4
#: How much worse than the best one a distribution is at most, as log-likelihood: it makes the model forgiving. (In
#: PocketSphinx it is -9.8.)
_WORST: Final = np.float32(-12)
#: Frames and senones that are multiplied at once: so few that OpenBLAS does not wake threads of its own, which would
#: take the cores from other calls (it does from 2^18 multiplications on).
_FRAMES, _SENONES = 32, 60


class Acoustics:
    """The model for audio of one rate."""

    def __init__(self, rate: int) -> None:
        means = [stream.astype(float) for stream in densities("means")]
        variances = [stream.astype(float) for stream in densities("variances")]
        if rate == 8_000:
            inverse = (cosine(25).T / LIFTER)[:BANDS_8K]
            matrix = LIFTER[:, None] * cosine(BANDS_8K) @ inverse
            means = [stream @ matrix.T for stream in means]
            variances = [stream @ (matrix**2).T + _DETAIL * LIFTER**2 for stream in variances]
        self._factors: list[Floats] = []  # for each stream [codebook, 2 * 13, distribution]
        self._constants: list[Floats] = []  # [codebook, 1, distribution]
        for mean, variance in zip(means, variances, strict=True):
            variance = np.maximum(variance, _LEAST_VARIANCE)
            factors = np.concatenate((-0.5 / variance, mean / variance), 2).transpose(0, 2, 1)
            constants = -0.5 * (np.log(2 * np.pi * variance) + mean * mean / variance).sum(2)
            self._factors.append(np.ascontiguousarray(factors, np.float32))
            self._constants.append(constants[:, None].astype(np.float32))

    def likelihoods(self, streams: list[Floats], senones: Numbers, books: list[tuple[int, int, int]]) -> Floats:
        """Log-likelihoods [time, senone] of these senones, which lie as `by_book` has put them."""
        found = np.zeros((len(streams[0]), len(senones)), np.float32)
        part = np.empty((_FRAMES, len(senones)), np.float32)
        used = np.unique([book for book, _, _ in books])
        row = {int(book): number for number, book in enumerate(used)}
        for stream, factors, constants, every in zip(streams, self._factors, self._constants, weights(), strict=True):
            weight, factors, constants = every[senones].T, factors[used], constants[used]
            for start in range(0, len(stream), _FRAMES):
                fit: Any = np.matmul(stream[start : start + _FRAMES], factors)  # [codebook, time, distribution]
                fit += constants
                best = fit.max(axis=(0, 2))[:, None]
                fit -= best
                np.maximum(fit, _WORST, out=fit)
                np.exp(fit, out=fit)
                sums = part[: len(best)]
                for book, first, last in books:
                    np.matmul(fit[row[book]], weight[:, first:last], out=sums[:, first:last])
                np.log(sums, out=sums)
                sums += best
                found[start : start + _FRAMES] += sums
        return found


def by_book(senones: Numbers) -> tuple[Numbers, list[tuple[int, int, int]]]:
    """Each senone once, those of a codebook side by side; and where those of each are: codebook, first, last.

    A codebook with many of them comes several times.
    """
    book = definition().book
    senones = np.unique(senones)
    senones = senones[np.argsort(book[senones], kind="stable")]
    places = []
    for number in np.unique(book[senones]).tolist():
        first, last = np.searchsorted(book[senones], (number, number + 1)).tolist()
        places += [(number, start, min(last, start + _SENONES)) for start in range(first, last, _SENONES)]
    return senones, places


@cache
def acoustics(rate: int) -> Acoustics:
    """The model for 8,000 or 16,000 Hz, once in a process. Raises `RecognitionError` (`stt.model`)."""
    return Acoustics(rate)
