"""What a call has changed in a database: exactly these changes, and nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Call, Pipeline
from voiceframe.checks import Report
from voiceframe.demo import clinic
from voiceframe.demo.calendar import Calendar
from voiceframe.errors import TestKitError
from voiceframe.testing import Change, Database, DatabaseDiff, Snapshot, deleted, dial, inserted, updated
from voiceframe.testing.database import between

SCHEMA = """
create table visits (id integer primary key, day text not null, doctor text not null, note text, made real default 1);
create table rooms (floor integer, number integer, free integer, primary key (floor, number)) without rowid;
create table log (line text);
insert into visits (day, doctor) values ('2026-12-01', 'Lee'), ('2026-12-02', 'Brown');
insert into rooms values (1, 1, 1), (1, 2, 0);
insert into log values ('a'), ('a'), ('b');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "clinic.db"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript(SCHEMA)
    return file


def change(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_inserted_updated_and_deleted_rows_are_told_apart(path: Path) -> None:
    database = Database(path, ignore=("made",))
    before = database.snapshot()
    assert not database.since(before)
    change(
        path,
        "insert into visits (day, doctor, made) values ('2026-12-03', 'Lee', 2)",
        "update visits set doctor = 'Garcia', made = 7 where id = 2",
        "update visits set made = 8 where id = 1",
        "delete from rooms where number = 2",
        "insert into log values ('a')",
        "delete from log where line = 'b'",
    )
    found = database.since(before)
    assert sorted(found.changes, key=str) == [
        Change("deleted", "log", {}, {"line": "b"}, {}),
        Change("deleted", "rooms", {"floor": 1, "number": 2}, {"floor": 1, "number": 2, "free": 0}, {}),
        Change("inserted", "log", {}, {}, {"line": "a"}),
        Change("inserted", "visits", {"id": 3}, {}, {"id": 3, "day": "2026-12-03", "doctor": "Lee", "note": None}),
        Change("updated", "visits", {"id": 2}, {"doctor": "Brown"}, {"doctor": "Garcia"}),
    ]
    assert [one.table for one in found.of("deleted")] == ["log", "rooms"]
    assert found.of("deleted", "rooms")[0].key == {"floor": 1, "number": 2}
    expected = [
        inserted("visits", day=date(2026, 12, 3), doctor="Lee"),
        updated("visits", {"id": 2}, doctor="Garcia"),
        deleted("rooms", floor=1, number=2),
        inserted("log", line=re.compile("^a$")),
        deleted("log", line="b"),
    ]
    check = found.check(*expected)
    assert check.verdict == "pass", check.evidence
    assert len(check.evidence) == 5
    for number in range(5):
        fewer = found.check(*expected[:number], *expected[number + 1 :])
        assert fewer.verdict == "fail"
        assert str(fewer.evidence[0]).startswith("Not expected: ")
    more = found.check(*expected, inserted("log", line="c"))
    assert more.verdict == "fail"
    assert more.evidence[0] == "Missing: inserted log (line='c')."
    assert Report([check, found.check(*expected, id="again")]).exit_code == 0


@pytest.mark.parametrize(
    ("expected", "verdict"),
    [
        (inserted("visits", day="2026-12-03", doctor="Lee", made=1.0), "pass"),
        (inserted("visits", id=3, day="2026-12-03", doctor="Lee", made=1, note=None), "pass"),
        (inserted("visits", day=..., doctor=lambda name: len(name) == 3, made=float), "pass"),
        (inserted("visits", day="2026-12-03", doctor="Lee"), "fail"),  # `made` is not null
        (inserted("visits", day="2026-12-03", doctor="Lee", made=1, room=2), "fail"),
        (inserted("visits", day="2026-12-03", doctor="Lee", made=1, note="x"), "fail"),
        (inserted("visits", id=4, day="2026-12-03", doctor="Lee", made=1), "fail"),
        (inserted("rooms", day="2026-12-03", doctor="Lee", made=1), "fail"),
        (deleted("visits", day="2026-12-03"), "fail"),
    ],
)
def test_an_inserted_row_is_told_whole(path: Path, expected: Any, verdict: str) -> None:
    database = Database(path)
    before = database.snapshot()
    change(path, "insert into visits (day, doctor) values ('2026-12-03', 'Lee')")
    assert database.since(before).check(expected).verdict == verdict


@pytest.mark.parametrize(
    ("expected", "verdict"),
    [
        (updated("visits", {"id": 2}, doctor="Lee", note="late"), "pass"),
        (updated("visits", {"doctor": "Brown"}, doctor="Lee", note=...), "pass"),
        (updated("visits", {"id": 2}, doctor="Lee"), "fail"),  # the note has changed as well
        (updated("visits", {"id": 1}, doctor="Lee", note="late"), "fail"),
        (updated("visits", {"id": 2}, doctor="Lee", note="late", day="2026-12-02"), "fail"),  # it has not
    ],
)
def test_an_updated_row_is_told_by_what_has_changed(path: Path, expected: Any, verdict: str) -> None:
    database = Database(path)
    before = database.snapshot()
    change(path, "update visits set doctor = 'Lee', note = 'late' where id = 2")
    assert database.since(before).check(expected).verdict == verdict


def test_nothing_has_changed_is_a_verdict_too(path: Path) -> None:
    database = Database(path, tables=["rooms"])
    before = database.snapshot()
    change(path, "delete from visits")
    check = database.since(before).check()
    assert (check.verdict, check.evidence) == ("pass", ["Nothing has changed in rooms (2 rows)."])
    assert DatabaseDiff(()).check().verdict == "fail"  # nothing was looked at


def test_the_digest_is_of_what_counts(path: Path) -> None:
    database = Database(path, ignore=("visits.id", "made"))
    first = database.snapshot().digest
    change(
        path,
        "delete from visits",
        "insert into visits values (9, '2026-12-02', 'Brown', null, 3), (8, '2026-12-01', 'Lee', null, 4)",
    )
    assert database.snapshot().digest == first
    change(path, "update visits set note = 'x' where id = 9")
    assert database.snapshot().digest != first


@dataclass(slots=True)
class Visit:
    day: str
    doctor: str


def test_what_is_in_memory_or_in_json_is_a_database(tmp_path: Path) -> None:
    data: dict[str, Any] = {
        "visits": {7: {"day": "2026-12-01", "who": {"name": "Anna"}}},
        "free": ["09:00", "09:30"],
        "made": [Visit("2026-12-01", "Lee")],
    }
    database = Database(data)
    before = database.snapshot()
    data["visits"][7]["who"]["name"] = "Peter"
    data["visits"][8] = {"day": "2026-12-02"}
    data["free"].remove("09:00")
    data["made"].append(Visit("2026-12-02", "Brown"))
    expected = (
        updated("visits", {"key": 7}, who={"name": "Peter"}),
        inserted("visits", key=8, day="2026-12-02"),
        deleted("free", value="09:00"),
        inserted("made", day="2026-12-02", doctor="Brown"),
    )
    assert database.since(before).check(*expected).verdict == "pass"
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"visits": [{"id": 1, "day": "a"}]}))
    stored = Database(file, keys={"visits": ["id"]})
    before = stored.snapshot()
    file.write_text(json.dumps({"visits": [{"id": 1, "day": "b"}]}))
    assert stored.since(before).check(updated("visits", {"id": 1}, day="b")).verdict == "pass"


class Foreign:
    """A connection of another driver than sqlite3's, by DB-API 2.0."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self.closed = False

    def cursor(self) -> sqlite3.Cursor:
        return self._db.cursor()

    def close(self) -> None:
        self.closed = True
        self._db.close()


def test_any_connection_is_a_database_and_one_that_is_made_is_closed(path: Path) -> None:
    made: list[Foreign] = []

    def connect() -> Foreign:
        made.append(Foreign(path))
        return made[-1]

    database = Database(connect, tables=["visits", "log"], keys={"visits": ["id"]})
    before = database.snapshot()
    change(path, "update visits set day = 'x' where id = 1")
    assert database.since(before).check(updated("visits", {"id": 1}, day="x")).verdict == "pass"
    assert [one.closed for one in made] == [True, True]
    with contextlib.closing(Foreign(path)) as given_one:
        assert Database(given_one, tables=["visits"]).snapshot().count() == 2
        assert not given_one.closed
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        assert Database(db).snapshot().count() == 7


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tables": ["visit"]}, "no table 'visit'"),
        ({"ignore": ["made_at"]}, "made_at"),
        ({"ignore": "made"}, "a list of columns"),
        ({"keys": {"visits": ["number"]}}, "no column 'number'"),
        ({"keys": {"visit": ["id"]}}, "no table 'visit'"),
        ({"keys": {"log": ["line"]}}, "two rows"),
        ({"max_rows": 2}, "more than 2 rows"),
    ],
)
def test_what_is_misspelt_is_refused(path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(TestKitError, match=r"test\.database") as caught:
        Database(path, **options).snapshot()
    assert reason in str(caught.value)


def test_what_is_no_database_is_refused(tmp_path: Path, path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database, and long enough to be read as one" * 20)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    listed = tmp_path / "list.json"
    listed.write_text("[]")
    sources: list[Any] = [tmp_path / "none.db", text, broken, listed, {"visits": 7}, 7, Foreign(path)]
    for source in sources:
        with pytest.raises(TestKitError, match=r"test\.database"):
            Database(source).snapshot()
    for tables in (["visits; drop table visits"], ["none"]):
        with pytest.raises(TestKitError, match=r"test\.database"):
            Database(Foreign(path), tables=tables).snapshot()


ROW = st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.none() | st.just(float("nan"))})
ROWS = st.dictionaries(st.integers(0, 5), ROW)


def told(rows: dict[int, Any]) -> str:
    """Rows as text: what is not a number is the same as itself there."""
    return repr(sorted((key, sorted(row.items())) for key, row in rows.items()))


@given(ROWS, ROWS)
def test_a_diff_leads_from_one_state_to_the_other(old: dict[int, Any], new: dict[int, Any]) -> None:
    before, after = Database({"t": old}).snapshot(), Database({"t": new}).snapshot()
    state = {key: dict(row) for key, row in old.items()}
    for one in between(before, after).changes:
        key = one.key["key"]
        if one.kind == "deleted":
            del state[key]
        else:
            state.setdefault(key, {}).update({name: value for name, value in one.after.items() if name != "key"})
    assert told(state) == told(new)
    assert not between(before, before)
    reverse = between(after, before)
    assert len(reverse.changes) == len(between(before, after).changes)


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=6), st.lists(st.sampled_from([1, 2, 3, ...]), max_size=6))
def test_each_change_stands_for_one_expectation(values: list[int], wanted: list[Any]) -> None:
    rows: dict[str, list[Any]] = {"t": []}
    database = Database(rows)
    before = database.snapshot()
    rows["t"] = [{"value": value} for value in values]
    verdict = database.since(before).check(*(inserted("t", value=one) for one in wanted)).verdict
    exact = [one for one in wanted if one is not ...]
    fits = len(values) == len(wanted) and all(values.count(one) >= exact.count(one) for one in exact)
    assert (verdict == "pass") is (fits and bool(values or before.tables))


@pytest.fixture
def calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "appointments.db"
    Calendar(file)
    monkeypatch.setenv("CLINIC_DB", str(file))
    return file


async def test_a_booking_is_one_row_and_nothing_else(calendar: Path) -> None:
    def bot(call: Call) -> Pipeline:
        clinic.calendar_of(call)
        return clinic.bot(call)

    database = Database(calendar, ignore=("appointments.id", "call"))
    before: Snapshot = database.snapshot()
    async with dial(bot) as caller:
        await caller.says("I'd like an appointment with Doctor Lee on Monday at eleven")
        await caller.hears("your name")
        await caller.says("Anna Smith")
        await caller.hears("is that right")
        await caller.says("yes")
        await caller.hears("goodbye")
    booked = inserted("appointments", doctor="Dr Lee", day=..., time="11:00", patient="Anna Smith")
    assert database.since(before).check(booked).verdict == "pass", database.since(before).changes
