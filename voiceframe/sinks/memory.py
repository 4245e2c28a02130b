"""Events in memory: exact and inline, for tests and for looking at one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..events import Event, LoggedEvent

__all__ = ["MemorySink"]

E = TypeVar("E", bound=Event)


class MemorySink:
    """Keeps every event in `events`, in the order of writing. Give it to an `EventLog` as it is."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.events: list[LoggedEvent] = []

    def put(self, event: LoggedEvent) -> None:
        self.events.append(event)

    async def drained(self, timeout_ms: int = 0) -> bool:
        return True

    def write(self, batch: Sequence[LoggedEvent]) -> None:
        self.events.extend(batch)

    def close(self) -> None:
        pass

    def clear(self) -> None:
        """Forgets everything."""
        self.events.clear()

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [event.kind for event in self.events]

    def of_kind(self, *kinds: str) -> list[LoggedEvent]:
        """The events of these kinds; `audit.` with its dot means all kinds that begin so."""
        return [e for e in self.events if any(e.kind == k or (k.endswith(".") and e.kind.startswith(k)) for k in kinds)]

    def typed(self, cls: type[E]) -> list[E]:
        """The events of this class, as instances of it."""
        return [event for logged in self.of_kind(cls.kind) if isinstance(event := logged.event(), cls)]

    def one(self, cls: type[E]) -> E:
        """The only event of this class. Raises `AssertionError` if there is none, or more than one."""
        found = self.typed(cls)
        assert len(found) == 1, f"expected one {cls.kind}, found {len(found)} in {self.kinds}"
        return found[0]

    def __iter__(self) -> Iterator[LoggedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)
