"""The store: where the events of all calls are kept and found again.

`open_store("sqlite:///voiceframe.db")` opens one. A store blocks, so it is used off the event loop; its methods may be
called from any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from .errors import StoreError
from .events import Environment, LoggedEvent

__all__ = ["CallRecord", "Store", "check_url", "open_store"]


@dataclass(slots=True, frozen=True, kw_only=True)
class CallRecord:
    """What the events of a call add up to. Times in epoch milliseconds; `from_` and `to` are personal."""

    call: str
    tenant: str
    environment: Environment
    trace: str
    direction: str | None
    from_: str | None
    to: str | None
    started_ms: int
    answered_ms: int | None
    ended_ms: int | None
    duration_ms: int | None
    reason: str | None  # why it ended, or was rejected
    erased_ms: int | None


class Store(Protocol):
    """What every store can do. `StoreError` (`store.closed`) after `close()`."""

    @property
    def url(self) -> str:
        """The address by which it was opened."""

    def append(self, events: Iterable[LoggedEvent]) -> None:
        """Keeps the events, all or none. One that is kept already changes nothing.

        Personal fields of a call that was erased are left out. Raises `StoreError` (`store.conflict`) if another event
        has the key or the id of one of these.
        """

    def calls(
        self,
        *,
        tenant: str | None = None,
        environment: Environment | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = 100,
    ) -> list[CallRecord]:
        """Calls, the newest first, that started in `since_ms` <= start < `until_ms`."""

    def call(self, call: str) -> CallRecord | None:
        """One call, or None."""

    def events(self, call: str, *, kinds: Collection[str] | None = None) -> list[LoggedEvent]:
        """The events of a call in the order of their time in it, of these kinds or of all."""

    def erase(self, call: str) -> int:
        """Empties everything personal of a call, for good; keys, counts and order stay. Returns how many events it has.

        When it returns, the words are in no file of the store any more (copies and backups are the owner's). Raises
        `StoreError` (`store.erase`) if that could not be done yet because another reader holds the old state.
        """

    def close(self) -> None:
        """Lets go of the files. May be called twice."""


def open_store(url: str) -> Store:
    """Opens or creates the store at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite:///:memory:`.

    Raises `StoreError`: `store.url`, `store.open`, or `store.newer` if a newer Voiceframe made it.
    """
    path = check_url(url)
    from .store_sqlite import SQLiteStore

    return SQLiteStore(path, url=url)


def check_url(url: str) -> str:
    """The path in the address of a store, which is not opened. Raises `StoreError` (`store.url`)."""
    scheme, found, path = url.partition(":///")
    if scheme != "sqlite" or not found or not path:
        raise StoreError.of("store.url", url=url)
    return path
