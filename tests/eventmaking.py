"""Events for the tests of sinks and stores."""

from __future__ import annotations

import itertools
import random

from voiceframe.events import EventLog, Feed, LoggedEvent, TurnCommitted


class CountingClock:
    """A millisecond passes between two looks."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def at_ms(self) -> int:
        return next(self._ticks)

    def wall_ms(self) -> int:
        return 1_767_225_600_000 + next(self._ticks)


def event_log(call: str = "call-1", *sinks: Feed, seed: int = 0, tenant: str = "default") -> EventLog:
    """A log with a clock and a seed of its own."""
    return EventLog(call, clock=CountingClock(), rng=random.Random(f"{call}{seed}"), sinks=sinks, tenant=tenant)


def committed(number: int, text: str = "hello") -> TurnCommitted:
    """The event that turn `number` was committed."""
    return TurnCommitted(turn=number, source="speech", confidence=1.0, text=text)


def events(count: int, call: str = "call-1") -> list[LoggedEvent]:
    """`count` events of one call: turns 0, 1, 2 …"""
    log = event_log(call)
    return [log.write(committed(number)) for number in range(count)]


def turns(events: list[LoggedEvent]) -> list[int | None]:
    """Which turns these events are about."""
    return [event.turn for event in events]
