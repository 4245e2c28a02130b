"""Events in the store."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StoreError
from ..events import LoggedEvent
from ..store import Store, open_store

__all__ = ["SQLiteSink"]


class SQLiteSink:
    """Appends events to a store: the one given, which stays open, or the one at a URL, which it opens and closes.

    Each batch is one transaction.
    """

    def __init__(self, store: Store | str, *, name: str = "sqlite") -> None:
        self.name = name
        self._own = isinstance(store, str)
        self.store = open_store(store) if isinstance(store, str) else store

    def write(self, batch: Sequence[LoggedEvent]) -> None:
        """Appends the batch. Raises `ValueError` if an event clashes with one that is kept."""
        try:
            self.store.append(batch)
        except StoreError as error:
            if error.code == "store.conflict":  # trying again will not help: the feed must know
                raise ValueError(str(error)) from error
            raise

    def close(self) -> None:
        if self._own:
            self.store.close()
