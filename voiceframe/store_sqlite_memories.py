"""The part of the SQLite store that remembers people between calls: see `voiceframe.memories` and `0002.sql`."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import AbstractContextManager
from typing import Final

from .errors import AssistantError
from .memories import Bounds, MemoryEntry, Place, check_bounds

__all__ = ["SQLiteMemories"]

_MINE: Final = "bucket = ? AND tenant = ? AND namespace = ? AND key = ?"
_EMPTY: Final = (
    "UPDATE memories SET bucket = NULL, tenant = NULL, namespace = NULL, key = NULL, name = NULL, value = NULL,"
    " set_ms = NULL, expires_ms = NULL, call = NULL"
)


class SQLiteMemories:
    """The methods of a `MemoryStore`, for a store that lends its connection."""

    @property
    def url(self) -> str:
        """The address of the store."""
        raise NotImplementedError

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def remembered(self, place: Place, *, now_ms: int) -> list[MemoryEntry]:
        with self._reading() as db:
            return _live(db, place, now_ms)

    def remember(self, place: Place, entry: MemoryEntry, *, bounds: Bounds) -> bool:
        with self._writing() as db:
            live = _live(db, place, entry.set_ms)
            check_bounds(place, live, entry, bounds)
            # Also one that has expired and was not purged yet: a name has one row.
            _forget(db, place, entry.name)
            db.execute(
                "INSERT INTO memories (bucket, tenant, namespace, key, name, value, set_ms, expires_ms, call)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_bucket(place), *place, entry.name, entry.json, entry.set_ms, entry.expires_ms, entry.call),
            )
        return any(other.name == entry.name for other in live)

    def forget(self, place: Place, name: str) -> bool:
        with self._writing() as db:
            return _forget(db, place, name) > 0

    def erase_memories(self, tenant: str, namespace: str, key: str | None = None) -> int:
        with self._writing() as db:
            if key is None:
                done = db.execute(
                    f"{_EMPTY} WHERE bucket IS NOT NULL AND tenant = ? AND namespace = ?", (tenant, namespace)
                )
            else:
                place = Place(tenant, namespace, key)
                done = db.execute(f"{_EMPTY} WHERE {_MINE}", (_bucket(place), *place))
        with self._reading() as db:
            # The old pages are still in the write-ahead log: this empties it, and waits for readers to let it go.
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise AssistantError.of("memory.erase", namespace=namespace, url=self.url)
        return done.rowcount

    def purge_memories(self, *, now_ms: int, limit: int = 500) -> int:
        old = "SELECT id FROM memories WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?"
        with self._reading() as db:
            if db.execute(old, (now_ms, 1)).fetchone() is None:
                return 0  # without asking for the right to write, which others may hold
        with self._writing() as db:
            return db.execute(f"{_EMPTY} WHERE id IN ({old})", (now_ms, limit)).rowcount

    def memory_keys(self, tenant: str, namespace: str, *, now_ms: int, limit: int = 1_000) -> list[str]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT DISTINCT key FROM memories WHERE bucket IS NOT NULL AND tenant = ? AND namespace = ?"
                " AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY key LIMIT ?",
                (tenant, namespace, now_ms, limit),
            )
            return [row[0] for row in rows]


def _live(db: sqlite3.Connection, place: Place, now_ms: int) -> list[MemoryEntry]:
    rows = db.execute(
        f"SELECT name, value, set_ms, expires_ms, call FROM memories WHERE {_MINE}"
        " AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY name",
        (_bucket(place), *place, now_ms),
    )
    return [MemoryEntry(*row) for row in rows]


def _forget(db: sqlite3.Connection, place: Place, name: str) -> int:
    return db.execute(f"{_EMPTY} WHERE {_MINE} AND name = ?", (_bucket(place), *place, name)).rowcount


def _bucket(place: Place) -> int:
    """A few bits that lead to the rows of a key, and tell nothing of it."""
    text = "\x00".join(f"{len(part)}:{part}" for part in place)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 12
