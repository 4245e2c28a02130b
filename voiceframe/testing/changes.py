"""Changes of a database, and what they should have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..checks import Check, Fact
from .matching import fits, shown

__all__ = ["Change", "DatabaseDiff", "Expected", "deleted", "inserted", "updated"]

Kind = Literal["inserted", "updated", "deleted"]


@dataclass(frozen=True)
class Change:
    """One row that has changed. Without the columns that are ignored, except for the key.

    key: its key, empty for a table without one. before: what was there; of an updated row only the columns that have
    changed. after: what is there now, likewise.
    """

    kind: Kind
    table: str
    key: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def __str__(self) -> str:
        if self.kind == "updated":
            was = ", ".join(f"{name}: {self.before[name]!r} → {value!r}" for name, value in self.after.items())
            return f"updated {self.table} {_values(self.key)}: {was}"
        return f"{self.kind} {self.table} {_values({**self.key, **(self.after or self.before)})}"


@dataclass(frozen=True)
class Expected:
    """A change that there should be. Made by `inserted()`, `updated()` and `deleted()`."""

    kind: Kind
    table: str
    row: Mapping[str, Any]
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        columns = f": {_values(self.columns)}" if self.columns else ""
        return f"{self.kind} {self.table} {_values(self.row)}{columns}"

    def matches(self, change: Change) -> bool:
        """Whether this is the change."""
        if change.kind != self.kind or change.table != self.table:
            return False
        if self.kind == "inserted":
            return _whole(self.row, change.after, change.key)
        if self.kind == "updated":
            return _part(self.row, {**change.before, **change.key}) and _whole(self.columns, change.after, {})
        return _part(self.row, {**change.before, **change.key})


def inserted(table: str, /, **row: Any) -> Expected:
    """A new row. It says all columns that are not ignored; those that are null may be left out, and the key too.

    Values as in `CallTranscript.tool_called()`: `...` for any, a pattern, a function, or the value.
    """
    return Expected("inserted", table, row)


def updated(table: str, where: Mapping[str, Any], /, **columns: Any) -> Expected:
    """A row that has changed in exactly these columns, to these values.

    where: its key, or what was in these columns.
    """
    return Expected("updated", table, where, columns)


def deleted(table: str, /, **row: Any) -> Expected:
    """A row that is gone: its key, or whatever of its columns says which."""
    return Expected("deleted", table, row)


@dataclass(frozen=True)
class DatabaseDiff:
    """What has changed. True if anything has."""

    changes: tuple[Change, ...]
    #: What was looked at, and how many rows there are now.
    tables: tuple[str, ...] = ()
    rows: int = 0

    def __bool__(self) -> bool:
        return bool(self.changes)

    def of(self, kind: Kind, table: str | None = None) -> list[Change]:
        """The changes of this kind, of this table or of all."""
        return [one for one in self.changes if one.kind == kind and table in (None, one.table)]

    def check(self, *expected: Expected, id: str = "database") -> Check:
        """Exactly these changes and nothing else; without any, nothing has changed."""
        pairs = _paired(expected, self.changes)
        missing = [str(one) for number, one in enumerate(expected) if number not in pairs]
        other = [str(change) for number, change in enumerate(self.changes) if number not in pairs.values()]
        facts: list[Fact] = [f"Missing: {one}." for one in missing]
        facts += [f"Not expected: {one}." for one in other]
        facts += [f"As expected: {self.changes[place]}." for _, place in sorted(pairs.items())]
        if not facts and self.tables:
            facts = [f"Nothing has changed in {', '.join(self.tables)} ({self.rows} rows)."]
        bad = bool(missing or other or not facts)
        return Check(
            id,
            "fail" if bad else "pass",
            facts or ["There is no table to look at."],
            title="Changes of the database",
            section="database",
            fix="Correct the tool that writes, or the changes given to `check(...)`." if bad else None,
        )


def _paired(expected: Sequence[Expected], changes: Sequence[Change]) -> dict[int, int]:
    """Which change each expectation stands for, so that as many as possible have one (augmenting paths)."""
    could = [[n for n, change in enumerate(changes) if one.matches(change)] for one in expected]
    taken: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for change in could[one]:
            if change not in tried:
                tried.add(change)
                if change not in taken or place(taken[change], tried):
                    taken[change] = one
                    return True
        return False

    for number in range(len(expected)):
        place(number, set())
    return {one: change for change, one in taken.items()}


def _whole(wanted: Mapping[str, Any], found: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    """Whether all columns are as wanted; those that were not named are null, or of the key."""
    named = {**key, **found}
    return _part(wanted, named) and all(name in wanted or name in key or value is None for name, value in found.items())


def _part(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all((name in found or value is None) and fits(value, found.get(name)) for name, value in wanted.items())


def _values(row: Mapping[str, Any]) -> str:
    return f"({', '.join(f'{name}={_value(value)}' for name, value in row.items())})"


def _value(value: Any) -> str:
    return shown(value) if value is ... or callable(value) or hasattr(value, "pattern") else repr(value)
