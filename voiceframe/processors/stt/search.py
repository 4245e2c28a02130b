"""The best way through a network: Viterbi's algorithm, over all states at once, and back along what it chose.

Nothing is given up on the way, so the result is exact: the sentence with the greatest likelihood. For each frame a
dozen operations on long rows are done, whatever is said; what was chosen is kept as a bit for each state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .network import NEVER, Network
from .sphinx import Floats

__all__ = ["Path", "Spoken", "search"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word on the best way. Its first and last frame; fit: the log-likelihood of its sound, without the grammar."""

    word: str
    start: int
    end: int
    fit: float


@dataclass(frozen=True, slots=True)
class Path:
    """The best way: its words without the silences, and its log-likelihood, the grammar included.

    fits: the log-likelihood of the sound in each frame.
    """

    words: tuple[Spoken, ...]
    score: float
    fits: Floats


def search(network: Network, likelihoods: Floats) -> tuple[Path | None, Path]:
    """The best sentence, if there is any, and the best row of any phones.

    likelihoods: [time, senone], of the senones of the network.
    """
    rises, leaving = _forward(network, likelihoods + network.stays)
    final = network.joins.find(leaving[-1])
    score, end = max(((float(final[join]) + cost, join) for join, cost in network.ends), default=(float(NEVER), -1))
    sentence = _back(network, likelihoods, rises, leaving, end, score) if score > NEVER / 2 else None
    return sentence, _back(network, likelihoods, rises, leaving, network.any_end, float(final[network.any_end]))


def _forward(network: Network, likelihoods: Floats) -> tuple[Any, Floats]:
    """Whether the best way to each state came from another one [time, state], and what leaves states [time, exit]."""
    count = len(likelihoods)
    size = len(network.sound)
    score, other = np.full(size, NEVER), np.full(size, NEVER)
    heard = np.empty(size, np.float32)
    rises = np.empty((count, (size + 7) // 8), np.uint8)
    leaving = np.empty((count, len(network.exits)), np.float32)
    for place, cost in network.first:
        other[place] = cost
    for time in range(count):
        if time:
            other[0] = NEVER
            np.add(score[:-1], network.go, out=other[1:])
            best = network.joins.find(leaving[time - 1])
            other[network.heads] = best[network.head_joins]
            begin = network.borders.find(best[network.border_joins])
            begin += network.start_costs
            other[network.starts] = begin
        rises[time] = np.packbits(other > score)
        np.maximum(score, other, out=score)
        np.take(likelihoods[time], network.sound, out=heard, mode="clip")
        np.add(score, heard, out=score)
        np.take(score, network.exits, out=leaving[time], mode="clip")
        leaving[time] += network.costs
    return rises, leaving


def _back(network: Network, likelihoods: Floats, rises: Any, leaving: Floats, join: int, score: float) -> Path:
    time = last = len(likelihoods) - 1
    place = int(network.exits[network.joins.which(join, leaving[time])])
    fits = np.zeros(len(likelihoods), np.float32)
    word = -1
    spoken: list[Spoken] = []
    while True:
        phone, state = divmod(place, 3)
        if network.word[phone] != -1:
            word = network.word[phone]
        came = rises[: time + 1, place >> 3] & (128 >> (place & 7))
        entered = int(came.nonzero()[0][-1])  # the last frame at which it was not there before
        fits[entered : time + 1] = likelihoods[entered : time + 1, network.sound[place]]
        time = entered - 1
        if state or network.chained[phone]:
            place -= 1
            continue
        if phone in network.inner:
            place = int(network.exits[network.joins.which(network.inner[phone], leaving[time])])
            continue
        if word >= 0:
            spoken.append(Spoken(network.words[word], entered, last, float(fits[entered : last + 1].sum())))
        if time < 0:
            return Path(tuple(reversed(spoken)), score, fits)
        word, last = -1, time
        before = network.joins.find(leaving[time])
        border = network.borders.which(network.outer[phone], before[network.border_joins])
        place = int(network.exits[network.joins.which(int(network.border_joins[border]), leaving[time])])
