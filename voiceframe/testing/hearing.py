"""What the sound of a call says of its turns: measured at the caller's end, whatever the program says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from .deeds import Audible

__all__ = ["Silence", "answers", "silences", "yields"]

Stretch = tuple[float, float]


@dataclass(frozen=True)
class Silence:
    """Nobody was to be heard from `began_ms` to `ended_ms`. after: who was to be heard last, if anybody was."""

    began_ms: float
    ended_ms: float
    after: str

    @property
    def ms(self) -> int:
        return round(self.ended_ms - self.began_ms)


def silences(sound: Audible) -> list[Silence]:
    """Every silence of the call, that before the first sound and that after the last one included."""
    spoke = sorted([(*one, "caller") for one in sound.spoke] + [(*one, "bot") for one in sound.bot_spoke])
    began = sound.began_ms
    end = began + len(sound.recording) / 4 * 1000 / sound.format.rate
    found: list[Silence] = []
    at, last = began, "nobody"
    for first, behind, who in spoke:
        if first > at:
            found.append(Silence(at, first, last))
        if behind > at:
            at, last = behind, who
    if end > at:
        found.append(Silence(at, end, last))
    return found


def answers(sound: Audible) -> list[tuple[float, float]]:
    """For each time that the caller stopped and the bot spoke next: (when the caller stopped, how long it took)."""
    spoke, bot = sorted(sound.spoke), sorted(sound.bot_spoke)
    found: list[tuple[float, float]] = []
    for number, (_, end) in enumerate(spoke):
        following = spoke[number + 1][0] if number + 1 < len(spoke) else float("inf")
        onset = next((first for first, _ in bot if end <= first < following), None)
        if onset is not None and not any(first < end < behind for first, behind in bot):
            found.append((end, onset - end))
    return found


def yields(sound: Audible) -> list[tuple[float, float]]:
    """For each time that the caller began while the bot spoke: (when, how long the bot was still to be heard)."""
    return [
        (began, behind - began)
        for began, _ in sorted(sound.spoke)
        for first, behind in sound.bot_spoke
        if first < began < behind
    ]
