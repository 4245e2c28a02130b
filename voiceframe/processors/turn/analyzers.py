"""Analyzers: how long a silence ends the caller's turn.

`Turns` asks its analyzer whenever the caller has paused. An analyzer of your own (a model of turn ends, say) derives
from `TurnAnalyzer` and answers with the probability that the turn is over, or with a silence of its own.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ...frames import ExpectFrame
from .completeness import completeness
from .prosody import finality
from .settings import TurnSettings

__all__ = ["AdaptiveEndpointing", "FixedEndpointing", "Pause", "TurnAnalyzer"]


@dataclass(slots=True, frozen=True)
class Pause:
    """The caller has paused: what is known of the turn so far.

    text: the words since the last turn; `final` if none of them may still change.
    spoke_ms: how long they have spoken, without the pauses.
    pauses_ms: the pauses in this turn after which they went on.
    expect: what the dialog expects, if it has said so.
    audio: gives the caller's last audio before now (s16le mono at 8 kHz) of so many milliseconds.
    """

    text: str
    final: bool
    spoke_ms: int
    pauses_ms: tuple[int, ...] = ()
    expect: ExpectFrame | None = None
    audio: Callable[[int], bytes] | None = field(default=None, compare=False)


class TurnAnalyzer(abc.ABC):
    """Decides how long a silence ends a turn. One for each call; it may learn from the call."""

    @abc.abstractmethod
    def silence_ms(self, pause: Pause) -> int:
        """The silence, from the end of speech, that ends the turn if nothing more is said."""

    def probability(self, pause: Pause) -> float:
        """How probable it is, from 0 to 1, that the turn is over. Asked for eager ends of turn."""
        return 0.5

    def resumed(self, pause_ms: int) -> None:  # noqa: B027  # not every analyzer learns
        """The caller went on after a pause of this length, in the same turn or just after it was taken to be over."""


class FixedEndpointing(TurnAnalyzer):
    """The same silence after all words."""

    def __init__(self, settings: TurnSettings) -> None:
        self._silence_ms = settings.silence_ms

    def silence_ms(self, pause: Pause) -> int:
        return self._silence_ms


#: The silence at these probabilities of the end, as a share of the way from the shortest to the usual silence (0 to 1)
#: and from there to the longest (1 to 2). Between them it is interpolated.
_CURVE: Final = ((0.0, 2.0), (0.2, 1.5), (0.4, 1.15), (0.55, 1.0), (0.75, 0.5), (0.9, 0.0), (1.0, 0.0))
#: The melody that says neither yes nor no, and how far from it is a clear word: a voice falls somewhat at every pause.
_NEUTRAL: Final = 0.78
_WIDTH: Final = 0.15
_REMEMBERED: Final = 12


class AdaptiveEndpointing(TurnAnalyzer):
    """A short silence after words that are complete, a long one after words that go on.

    Three things speak for or against an end: the words (a sentence that ends in "and" goes on; an answer that the
    dialog expects is complete), the melody (a voice falls and fades at an end), and this caller's own pauses so far.
    """

    def __init__(self, settings: TurnSettings, *, prosody: bool = True) -> None:
        self._settings = settings
        self._prosody = prosody
        self._pauses: list[int] = []

    def probability(self, pause: Pause) -> float:
        words = completeness(pause.text, pause.expect)
        if not self._prosody or pause.audio is None:
            return words
        melody = finality(pause.audio(1_200))
        if melody is None:
            return words
        # Odds multiply. The melody only tips the scales: by at most a factor of 4 to either side.
        weight = min(1.0, max(-1.0, (melody - _NEUTRAL) / _WIDTH))
        odds = words / max(1e-6, 1 - words) * 4**weight
        return odds / (1 + odds)

    def silence_ms(self, pause: Pause) -> int:
        settings = self._settings
        place = _interpolated(self.probability(pause))
        shortest, usual, longest = settings.min_silence_ms, settings.silence_ms, settings.max_silence_ms
        # A caller who pauses long pauses long again: what they went on after does not end their next turn.
        slow = max(0, self._habit() + 100 - usual)
        usual = min(usual + slow, longest)
        shortest = min(shortest + slow // 2, usual)
        if place <= 1:
            return round(shortest + place * (usual - shortest))
        return round(usual + (place - 1) * (longest - usual))

    def resumed(self, pause_ms: int) -> None:
        self._pauses.append(pause_ms)
        del self._pauses[:-_REMEMBERED]

    def _habit(self) -> int:
        """The pause that this caller seldom exceeds: the second longest of the last ones, if there are three."""
        return sorted(self._pauses)[-2] if len(self._pauses) >= 3 else 0


def _interpolated(probability: float) -> float:
    for (left, high), (right, low) in pairwise(_CURVE):
        if probability <= right:
            return high + (low - high) * (probability - left) / (right - left)
    return 0.0
