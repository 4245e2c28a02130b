"""The store in one SQLite file.

WAL with `synchronous=NORMAL`: what was appended survives the end of the process in whatever way; a power cut may take
the last moments, and never the file. Several processes may use one file. The schema is the numbered files in
`migrations/sqlite`, and its version is `PRAGMA user_version`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

from .errors import StoreError
from .events import Environment, LoggedEvent
from .store import CallRecord
from .store_sqlite_memories import SQLiteMemories

__all__ = ["SQLiteStore"]

_BUSY_MS: Final = 5_000
_COLUMNS: Final = (
    "ulid, call, writer, seq, at_ms, wall_ms, tenant, environment, trace, turn, kind, version, data, personal"
)
_INSERT: Final = (
    f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (call, writer, seq) DO NOTHING"
)
_CALLS: Final = (
    'SELECT call, tenant, environment, trace, direction, from_, to_ AS "to", started_ms, answered_ms, ended_ms,'
    " duration_ms, reason, erased_ms FROM calls LEFT JOIN parties USING (call)"
)


class SQLiteStore(SQLiteMemories):
    """A `Store` and `MemoryStore` in the file `path`, or in memory for `":memory:"`. Use `open_store(url)`.

    One connection, used by one thread at a time. The file is readable by its owner only: it holds what people said.
    """

    def __init__(self, path: str, *, url: str | None = None) -> None:
        self._url = url or f"sqlite:///{path}"
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
            try:
                _prepare(db, self._url)
            except BaseException:
                db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StoreError.of("store.open", url=self._url, error=error) from error
        self._db = db

    @property
    def url(self) -> str:
        return self._url

    def append(self, events: Iterable[LoggedEvent]) -> None:
        with self._writing() as db:
            erased: dict[str, bool] = {}
            for event in events:
                if event.call not in erased:
                    erased[event.call] = _open_call(db, event)
                self._insert(db, event, keep_personal=not erased[event.call])

    def calls(
        self,
        *,
        tenant: str | None = None,
        environment: Environment | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = 100,
    ) -> list[CallRecord]:
        conditions: list[str] = []
        values: list[Any] = []
        for condition, value in (
            ("tenant = ?", tenant),
            ("environment = ?", environment),
            ("started_ms >= ?", since_ms),
            ("started_ms < ?", until_ms),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return self._records(f"{where} ORDER BY started_ms DESC, call DESC LIMIT ?", *values, limit)

    def call(self, call: str) -> CallRecord | None:
        found = self._records(" WHERE call = ?", call)
        return found[0] if found else None

    def events(self, call: str, *, kinds: Collection[str] | None = None) -> list[LoggedEvent]:
        wanted = "" if kinds is None else f" AND kind IN ({', '.join('?' * len(kinds))})"
        query = f"SELECT {_COLUMNS} FROM events WHERE call = ?{wanted} ORDER BY at_ms, ulid"
        with self._reading() as db:
            rows = db.execute(query, (call, *(kinds or ()))).fetchall()
        return [
            LoggedEvent(*[*stamps, json.loads(data), None if personal is None else json.loads(personal)])
            for *stamps, data, personal in rows
        ]

    def erase(self, call: str) -> int:
        with self._writing() as db:
            # In place, with zeros where the text was: `secure_delete` is on for every connection of ours.
            db.execute("UPDATE events SET personal = NULL WHERE call = ?", (call,))
            db.execute("UPDATE parties SET from_ = NULL, to_ = NULL WHERE call = ?", (call,))
            now_ms = time.time_ns() // 1_000_000
            db.execute("UPDATE calls SET erased_ms = coalesce(erased_ms, ?) WHERE call = ?", (now_ms, call))
            count: int = db.execute("SELECT count(*) FROM events WHERE call = ?", (call,)).fetchone()[0]
        with self._reading() as db:
            # The old pages are still in the write-ahead log: this empties it, and waits for readers to let it go.
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreError.of("store.erase", call=call, url=self._url)
        return count

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _insert(self, db: sqlite3.Connection, event: LoggedEvent, *, keep_personal: bool) -> None:
        personal = event.personal if keep_personal else None
        row = (
            event.id,
            event.call,
            event.writer,
            event.seq,
            event.at_ms,
            event.wall_ms,
            event.tenant,
            event.environment,
            event.trace,
            event.turn,
            event.kind,
            event.version,
            _json(event.data),
            None if personal is None else _json(personal),
        )
        try:
            new = db.execute(_INSERT, row).rowcount
        except sqlite3.IntegrityError as error:
            raise self._conflict(event) from error
        if new:
            _update_call(db, event, personal)
            return
        key = (event.call, event.writer, event.seq)
        kept = db.execute("SELECT ulid FROM events WHERE call = ? AND writer = ? AND seq = ?", key).fetchone()
        if kept[0] != event.id:
            raise self._conflict(event)

    def _conflict(self, event: LoggedEvent) -> StoreError:
        return StoreError.of("store.conflict", call=event.call, writer=event.writer, seq=event.seq)

    def _records(self, clauses: str, *values: Any) -> list[CallRecord]:
        with self._reading() as db:
            cursor = db.execute(_CALLS + clauses, values)
            names = [column[0] for column in cursor.description]
            return [CallRecord(**dict(zip(names, row, strict=True))) for row in cursor]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db is None:
                raise StoreError.of("store.closed", url=self._url)
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db, _transaction(db):
            yield db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    # Immediate: a transaction that begins to write half way cannot wait for another writer, it fails.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _prepare(db: sqlite3.Connection, url: str) -> None:
    scripts = _scripts()
    _refuse_newer(db, url, len(scripts))
    _use_wal(db)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    if _version(db) == len(scripts):
        return
    with _transaction(db):  # another process may have got here first: look again, under the lock
        _refuse_newer(db, url, len(scripts))
        for number in range(_version(db), len(scripts)):
            for statement in _statements(scripts[number]):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number + 1}")


def _use_wal(db: sqlite3.Connection) -> None:
    # The first switch to WAL needs the file alone and does not wait for it by itself.
    give_up = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _refuse_newer(db: sqlite3.Connection, url: str, known: int) -> None:
    found = _version(db)
    if found > known:
        raise StoreError.of("store.newer", url=url, found=found, known=known)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _scripts() -> list[str]:
    folder = resources.files("voiceframe") / "migrations" / "sqlite"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in files]


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit the transaction that must hold all of them.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _open_call(db: sqlite3.Connection, event: LoggedEvent) -> bool:
    """Makes sure that the call has its row. Returns whether the call was erased."""
    db.execute(
        "INSERT INTO calls (call, tenant, environment, trace, started_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (call) DO NOTHING",
        (event.call, event.tenant, event.environment, event.trace, event.wall_ms),
    )
    row = db.execute("SELECT erased_ms IS NOT NULL FROM calls WHERE call = ?", (event.call,)).fetchone()
    return bool(row[0])


def _update_call(db: sqlite3.Connection, event: LoggedEvent, personal: dict[str, Any] | None) -> None:
    data = event.data
    if event.kind == "call.started":
        db.execute(
            "UPDATE calls SET direction = ?, started_ms = ?, tenant = ?, environment = ?, trace = ? WHERE call = ?",
            (data["direction"], event.wall_ms, event.tenant, event.environment, event.trace, event.call),
        )
        if personal is not None:
            db.execute(
                "INSERT INTO parties (call, from_, to_) VALUES (?, ?, ?) ON CONFLICT (call) DO NOTHING",
                (event.call, personal["from_"], personal["to"]),
            )
    elif event.kind == "call.answered":
        db.execute("UPDATE calls SET answered_ms = ? WHERE call = ?", (event.wall_ms, event.call))
    elif event.kind == "call.ended":
        db.execute(
            "UPDATE calls SET ended_ms = ?, duration_ms = ?, reason = ? WHERE call = ?",
            (event.wall_ms, data["duration_ms"], data["reason"], event.call),
        )
    elif event.kind == "call.rejected":
        db.execute(
            "UPDATE calls SET ended_ms = ?, duration_ms = 0, reason = ? WHERE call = ?",
            (event.wall_ms, data["reason"], event.call),
        )
