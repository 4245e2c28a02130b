"""The order of what happened in a call: words that were heard or said, calls of tools, handoffs.

A call of a tool happens at one moment. A reply is heard over a time: what happens meanwhile is before it as well as
after it, and within one reply the order is that of its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .matching import pattern, shown_call
from .record import CallTranscript, with_arguments

__all__ = ["Step", "called", "first_missing", "handed_off", "heard", "said"]


@dataclass(frozen=True)
class Step:
    """Something that is to happen. Made by `heard()`, `said()`, `called()` and `handed_off()`."""

    kind: Literal["heard", "said", "called", "handed off"]
    what: str | re.Pattern[str]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        what = self.what if isinstance(self.what, str) else self.what.pattern
        if self.kind == "called":
            return f"called {shown_call(what, self.arguments)}"
        return f"handed off to {what}" if self.kind == "handed off" else f"{self.kind} /{what}/"


def heard(text: str | re.Pattern[str]) -> Step:
    """The caller hears this (a regular expression, case ignored)."""
    return Step("heard", text)


def said(text: str | re.Pattern[str]) -> Step:
    """The caller says this (a regular expression, case ignored)."""
    return Step("said", text)


def called(name: str, /, **arguments: Any) -> Step:
    """The bot calls a tool with (at least) these arguments, as in `CallTranscript.tool_called()`."""
    return Step("called", name, arguments)


def handed_off(target: str) -> Step:
    """The caller goes on with `target`."""
    return Step("handed off", target)


@dataclass(frozen=True)
class _Chance:
    """Where a step may have happened: among the events from `first` to `last`, at a place within their text."""

    first: int
    last: int
    start: int = 0
    stop: int = 0


def first_missing(record: CallTranscript, steps: Sequence[Step]) -> int | None:
    """The number (from 0) of the first step that has not happened after those before it; None if all have."""
    now = 0
    texts: dict[int, int] = {}  # by the place of a line, how much of its text is behind us
    for number, step in enumerate(steps):
        # The earliest chance is the best: whatever may follow another one may follow this one too.
        chances = [
            (max(now, chance.first), chance.start, chance)
            for chance in _chances(record, step)
            if chance.last >= now and chance.start >= texts.get(chance.first, 0)
        ]
        if not chances:
            return number
        at, _, chance = min(chances, key=lambda found: found[:2])
        if chance.stop:
            texts[chance.first] = chance.stop
            now = at
        else:
            now = at + 1  # a call of a tool is one: the next must be another
    return None


def _chances(record: CallTranscript, step: Step) -> Iterator[_Chance]:
    if step.kind == "called":
        for use in record.tools:
            if use.name == step.what and with_arguments(use, step.arguments):
                yield _Chance(use.place, use.place)
    elif step.kind == "handed off":
        for one in record.handoffs:
            if one.fits(str(step.what), None):
                yield _Chance(one.place, one.place)
    else:
        who = "bot" if step.kind == "heard" else "caller"
        for line in record.transcript:
            if line.who == who and line.text:
                for match in pattern(step.what).finditer(line.text):
                    yield _Chance(line.began, line.ended, match.start(), max(match.end(), match.start() + 1))
