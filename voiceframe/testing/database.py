"""What a call has changed in a database: rows before and after, compared by key.

    clinic = Database("clinic.db", ignore=("appointments.id", "call"))
    before = clinic.snapshot()
    ...                                       # the call
    clinic.since(before).check(inserted("appointments", doctor="Dr Lee", day="2026-01-06", ...))

The check passes if the changes are exactly these and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from ..errors import TestKitError
from .changes import Change, DatabaseDiff

__all__ = ["Connection", "Database", "Snapshot", "Table"]

Row = Mapping[str, Any]
Key = tuple[Any, ...]


@runtime_checkable
class Connection(Protocol):
    """A connection as PEP 249 (DB-API 2.0) has it."""

    def cursor(self) -> Any:
        """Something that executes statements."""


#: A file (SQLite, or JSON by its name), a connection, data, or a function that gives one of these for each snapshot.
Source = str | os.PathLike[str] | Connection | Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a table by key. Without a key the row itself is the key, together with its number among equals."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: Mapping[Key, Row]


@dataclass(frozen=True)
class Snapshot:
    """What was in a database."""

    tables: Mapping[str, Table]
    ignore: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """A hash of all that is not ignored: two snapshots with the same one hold the same. Keys that are ignored (a
        number that counts up) and the order of rows make no difference."""
        content = {
            name: sorted(json.dumps(self.seen(name, row), default=repr, sort_keys=True) for row in table.rows.values())
            for name, table in sorted(self.tables.items())
        }
        return hashlib.sha256(json.dumps(content).encode("utf-8", "replace")).hexdigest()

    def seen(self, table: str, row: Row) -> dict[str, Any]:
        """The row without what is ignored."""
        ignore = self.ignore
        return {name: value for name, value in row.items() if name not in ignore and f"{table}.{name}" not in ignore}

    def count(self) -> int:
        """How many rows there are."""
        return sum(len(table.rows) for table in self.tables.values())


_NAME: Final = re.compile(r"\w+(\.\w+)*")


class Database:
    """A database that is looked at before and after.

    source: a SQLite file; a JSON file (`.json`); a connection (of `sqlite3`, or any by DB-API 2.0, which then needs
        `tables`); data in memory, `{"appointments": [row, ...]}` or `{"appointments": {key: row, ...}}`; or a function
        that gives one of these for each snapshot, and whose connection is closed after it.
    tables: which; by default all.
    keys: by table, the columns that make a row what it is. By default the primary key in SQLite, the key in memory, and
        else the whole row, so that an update is seen as one row deleted and another inserted.
    ignore: columns that do not count, `"created_at"` in all tables or `"appointments.id"` in one.
    max_rows: more than so many in a table are refused.

    A connection sees what its transaction sees: give one that is in autocommit, or a function that opens one.
    Raises `TestKitError` (`test.database`) for what cannot be read.
    """

    def __init__(
        self,
        source: Source | Callable[[], Source],
        *,
        tables: Iterable[str] | None = None,
        keys: Mapping[str, Sequence[str]] | None = None,
        ignore: Iterable[str] = (),
        max_rows: int = 100_000,
    ) -> None:
        self._source = source
        self._tables = tuple(tables) if tables is not None else None
        self._keys = {table: tuple(columns) for table, columns in (keys or {}).items()}
        if isinstance(ignore, str):
            raise self._refused(f"`ignore` is the text {ignore!r}; it is a list of columns")
        self._ignore = frozenset(ignore)
        self._max_rows = max_rows

    def snapshot(self) -> Snapshot:
        """What is in it now."""
        source = self._source
        made = not isinstance(source, Connection) and callable(source)
        opened: Any = source() if callable(source) and made else source
        try:
            if isinstance(opened, str | os.PathLike):
                tables = self._file(Path(opened))
            elif isinstance(opened, Mapping):
                tables = self._data(opened)
            elif isinstance(opened, sqlite3.Connection):
                tables = self._sqlite(opened)
            elif isinstance(opened, Connection):
                tables = self._connection(opened)
            else:
                raise self._refused(f"{type(opened).__name__} is no file, connection or data")
        finally:
            if made and hasattr(opened, "close"):
                opened.close()
        for name in self._tables or ():
            if name not in tables:
                raise self._refused(f"there is no table {name!r}; there are {', '.join(tables) or 'none'}")
        self._check_names(tables)
        return Snapshot(tables, self._ignore)

    def since(self, before: Snapshot) -> DatabaseDiff:
        """What has changed since."""
        return between(before, self.snapshot())

    # -- sources

    def _file(self, path: Path) -> dict[str, Table]:
        if not path.is_file():
            raise self._refused("there is no such file")
        if path.suffix == ".json":
            try:
                found = json.loads(path.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise self._refused(str(error)) from error
            if not isinstance(found, dict):
                raise self._refused("it is no JSON object of tables")
            return self._data(found)
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            return self._sqlite(db)

    def _sqlite(self, db: sqlite3.Connection) -> dict[str, Table]:
        found: dict[str, Table] = {}
        cursor = db.cursor()
        cursor.row_factory = None  # a connection's own would change what a row is
        try:
            cursor.execute("select name from sqlite_master where type = 'table'")
            for name in sorted(str(row[0]) for row in cursor.fetchall()):
                if name.startswith("sqlite_") or (self._tables is not None and name not in self._tables):
                    continue
                quoted = '"' + name.replace('"', '""') + '"'
                cursor.execute(f"pragma table_info({quoted})")
                info = cursor.fetchall()
                primary = tuple(str(row[1]) for row in sorted(info, key=lambda row: row[5]) if row[5])
                found[name] = self._select(cursor, name, quoted, primary)
        except sqlite3.Error as error:
            raise self._refused(str(error)) from error
        finally:
            cursor.close()
        return found

    def _connection(self, connection: Connection) -> dict[str, Table]:
        if self._tables is None:
            raise self._refused("of such a connection it must be known which `tables=` to look at")
        found: dict[str, Table] = {}
        with contextlib.closing(connection.cursor()) as cursor:
            for name in self._tables:
                if not _NAME.fullmatch(name):
                    raise self._refused(f"{name!r} is no name of a table")
                try:
                    found[name] = self._select(cursor, name, name, ())
                except TestKitError:
                    raise
                except Exception as error:  # each driver has errors of its own
                    raise self._refused(f"{name}: {error}") from error
        return found

    def _select(self, cursor: Any, name: str, quoted: str, primary: tuple[str, ...]) -> Table:
        cursor.execute(f"select * from {quoted}")
        columns = tuple(str(column[0]) for column in cursor.description)
        rows = cursor.fetchmany(self._max_rows + 1)
        return self._table(name, columns, primary, (dict(zip(columns, row, strict=True)) for row in rows), len(rows))

    def _data(self, data: Mapping[str, Any]) -> dict[str, Table]:
        found: dict[str, Table] = {}
        for name, rows in data.items():
            if self._tables is not None and name not in self._tables:
                continue
            primary: tuple[str, ...] = ()
            if isinstance(rows, Mapping):
                primary = ("key",)
                listed = [{"key": key, **_fields(row)} for key, row in rows.items()]
            elif isinstance(rows, Iterable) and not isinstance(rows, str | bytes):
                listed = [_fields(row) for row in rows]
            else:
                raise self._refused(f"{name!r} holds {type(rows).__name__}, which is no list of rows")
            # What is in memory will change: the snapshot must not.
            listed = [{key: _frozen(value) for key, value in row.items()} for row in listed]
            columns = tuple(dict.fromkeys(column for row in listed for column in row))
            found[str(name)] = self._table(str(name), columns, primary, listed, len(listed))
        return found

    def _table(
        self, name: str, columns: tuple[str, ...], primary: tuple[str, ...], rows: Iterable[Row], count: int
    ) -> Table:
        if count > self._max_rows:
            raise self._refused(f"{name!r} has more than {self._max_rows} rows (`max_rows=`)")
        key = self._keys.get(name, primary)
        strange = [column for column in key if columns and column not in columns]
        if strange:
            raise self._refused(f"{name!r} has no column {strange[0]!r}; it has {', '.join(columns)}")
        by_key: dict[Key, Row] = {}
        twins: Counter[Key] = Counter()
        for row in rows:
            values: Key = tuple(_hashable(row.get(column)) for column in key)
            if not key:
                whole = tuple((c, _hashable(v)) for c, v in sorted(row.items()) if not self._ignored(name, c))
                twins[whole] += 1
                values = (whole, twins[whole])
            elif values in by_key:
                raise self._refused(f"two rows of {name!r} have the key {dict(zip(key, values, strict=True))}")
            by_key[values] = dict(row)
        return Table(columns, key, by_key)

    # -- names

    def _ignored(self, table: str, column: str) -> bool:
        return column in self._ignore or f"{table}.{column}" in self._ignore

    def _check_names(self, tables: Mapping[str, Table]) -> None:
        """A column that is ignored and does not exist was misspelt: then another one would count that should not."""
        known = {name for table in tables.values() for name in table.columns}
        known |= {f"{name}.{column}" for name, table in tables.items() for column in table.columns}
        # What is in memory has the columns of its rows, and without rows none.
        if any(not table.columns for table in tables.values()):
            return
        for name in sorted(self._ignore - known):
            raise self._refused(f"no table has the column {name!r}, which is to be ignored")
        for name in sorted(self._keys.keys() - tables.keys()):
            raise self._refused(f"there is no table {name!r}, which is to have a key")

    def _refused(self, reason: str) -> TestKitError:
        source = self._source
        what = str(source) if isinstance(source, str | os.PathLike) else f"({type(source).__name__})"
        return TestKitError.of("test.database", what=what, reason=reason)


def between(before: Snapshot, after: Snapshot) -> DatabaseDiff:
    """What has changed from one snapshot to the other."""
    found = list(_changes(before, after))
    return DatabaseDiff(tuple(found), tables=tuple(after.tables), rows=after.count())


def _changes(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    nothing = Table((), (), {})
    for name in dict.fromkeys((*before.tables, *after.tables)):
        old, new = before.tables.get(name, nothing), after.tables.get(name, nothing)
        key = new.key or old.key
        for values, row in old.rows.items():
            other = new.rows.get(values)
            named = {column: row.get(column) for column in key}
            seen = before.seen(name, row)
            if other is None:
                yield Change("deleted", name, named, seen, {})
                continue
            now = after.seen(name, other)
            differing = [c for c in dict.fromkeys((*seen, *now)) if not _same(seen.get(c), now.get(c))]
            if differing:
                yield Change(
                    "updated", name, named, {c: seen.get(c) for c in differing}, {c: now.get(c) for c in differing}
                )
        for values, row in new.rows.items():
            if values not in old.rows:
                named = {column: row.get(column) for column in key}
                yield Change("inserted", name, named, {}, after.seen(name, row))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # what is not a number equals nothing


def _fields(row: Any) -> dict[str, Any]:
    """A row of data in memory: a mapping, an object with fields, or a single value."""
    if isinstance(row, Mapping):
        return {str(name): value for name, value in row.items()}
    fields = getattr(row, "__dict__", None)
    if isinstance(fields, dict) and fields:
        return {name: value for name, value in fields.items() if not name.startswith("_")}
    slots = getattr(type(row), "__dataclass_fields__", None)
    if slots:
        return {name: getattr(row, name) for name in slots}
    return {"value": row}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _frozen(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_frozen(item) for item in value]
    return set(value) if isinstance(value, set | frozenset) else value


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value
