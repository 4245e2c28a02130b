"""What is remembered of people between calls, and what a store of it can do.

A store blocks, so it is used off the event loop; its methods may be called from any thread. `Memory` of
`voiceframe.assistant` decides whose entries a call may see; a store does as it is told.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from .errors import AssistantError

__all__ = ["Bounds", "InMemoryStore", "MemoryEntry", "MemoryStore", "Place"]


class Place(NamedTuple):
    """Whose entries: one person's (`key`, personal) in one namespace of one tenant."""

    tenant: str
    namespace: str
    key: str


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """Something that is remembered. Times in epoch milliseconds; `expires_ms` is None for what stays."""

    name: str
    #: As JSON, so that what is read is what was kept.
    json: str
    set_ms: int
    expires_ms: int | None = None
    #: The call in which it was kept.
    call: str = ""

    def live(self, now_ms: int) -> bool:
        return self.expires_ms is None or now_ms < self.expires_ms

    @property
    def bytes(self) -> int:
        return len(self.name.encode()) + len(self.json.encode())


class Bounds(NamedTuple):
    """How much may be remembered of one person."""

    entries: int
    bytes: int


@runtime_checkable
class MemoryStore(Protocol):
    """Where entries are kept."""

    def remembered(self, place: Place, *, now_ms: int) -> list[MemoryEntry]:
        """The entries that have not expired, by name."""

    def remember(self, place: Place, entry: MemoryEntry, *, bounds: Bounds) -> bool:
        """Keeps an entry in place of the one with its name. Returns whether there was one (that had not expired).

        Raises `AssistantError` (`memory.full`) if there would be more than `bounds` allow; nothing changes then.
        """

    def forget(self, place: Place, name: str) -> bool:
        """Takes one entry out. Returns whether there was one."""

    def erase_memories(self, tenant: str, namespace: str, key: str | None = None) -> int:
        """Takes out all entries of a key, or of the whole namespace, for good. Returns how many there were.

        When it returns, they are in no file of the store any more (copies and backups are the owner's). Raises
        `AssistantError` (`memory.erase`) if that could not be done yet because another reader holds the old state.
        """

    def purge_memories(self, *, now_ms: int, limit: int = 500) -> int:
        """Takes out entries that have expired, at most `limit`. Returns how many it were."""

    def memory_keys(self, tenant: str, namespace: str, *, now_ms: int, limit: int = 1_000) -> list[str]:
        """The keys of whom something is remembered, for the owner."""


def check_bounds(place: Place, found: list[MemoryEntry], entry: MemoryEntry, bounds: Bounds) -> None:
    """Raise `AssistantError` (`memory.full`) if `entry` is one too many. found: the live entries so far."""
    others = [other for other in found if other.name != entry.name]
    if len(others) + 1 > bounds.entries:
        raise AssistantError.of("memory.full", namespace=place.namespace, bound=f"{bounds.entries} entries")
    if sum(other.bytes for other in others) + entry.bytes > bounds.bytes:
        raise AssistantError.of("memory.full", namespace=place.namespace, bound=f"{bounds.bytes} bytes")


class InMemoryStore:
    """A `MemoryStore` in this process: for tests, and for what may be forgotten when the process ends."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._entries: dict[Place, dict[str, MemoryEntry]] = {}

    def remembered(self, place: Place, *, now_ms: int) -> list[MemoryEntry]:
        with self._lock:
            found = self._entries.get(place, {}).values()
            return sorted((entry for entry in found if entry.live(now_ms)), key=lambda entry: entry.name)

    def remember(self, place: Place, entry: MemoryEntry, *, bounds: Bounds) -> bool:
        with self._lock:
            found = self._entries.get(place, {})
            live = [other for other in found.values() if other.live(entry.set_ms)]
            check_bounds(place, live, entry, bounds)
            self._entries[place] = {other.name: other for other in live} | {entry.name: entry}
            return any(other.name == entry.name for other in live)

    def forget(self, place: Place, name: str) -> bool:
        with self._lock:
            found = self._entries.get(place, {})
            gone = found.pop(name, None)
            if not found:
                self._entries.pop(place, None)
            return gone is not None

    def erase_memories(self, tenant: str, namespace: str, key: str | None = None) -> int:
        with self._lock:
            gone = [
                place
                for place in self._entries
                if (place.tenant, place.namespace) == (tenant, namespace) and key in (None, place.key)
            ]
            return sum(len(self._entries.pop(place)) for place in gone)

    def purge_memories(self, *, now_ms: int, limit: int = 500) -> int:
        with self._lock:
            expired = [
                (place, entry.name)
                for place, found in self._entries.items()
                for entry in found.values()
                if not entry.live(now_ms)
            ][:limit]
            for place, name in expired:
                del self._entries[place][name]
                if not self._entries[place]:
                    del self._entries[place]
            return len(expired)

    def memory_keys(self, tenant: str, namespace: str, *, now_ms: int, limit: int = 1_000) -> list[str]:
        with self._lock:
            return sorted(
                place.key
                for place, found in self._entries.items()
                if (place.tenant, place.namespace) == (tenant, namespace)
                and any(entry.live(now_ms) for entry in found.values())
            )[:limit]


def value_of(entry: MemoryEntry) -> Any:
    """The value of an entry. Raises `ValueError` if what is kept is no JSON."""
    import json

    return json.loads(entry.json)
