"""The calendar of a clinic, in SQLite: who is free when, and appointments that cannot be given twice.

Several processes may use one file. Each method opens the database, does its work in one transaction and closes it, so
that it can be called from any thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

OPENS, LAST = time(9, 0), time(16, 30)
STEP_MINUTES = 30
CLOSED = ("Saturday", "Sunday")
#: How many days ahead appointments are given.
HORIZON_DAYS = 60

DOCTORS = ("Dr Brown", "Dr Lee", "Dr Garcia")
PATIENTS = (
    "Anna Smith",
    "Peter Miller",
    "Maria Lopez",
    "David Wilson",
    "Susan Clark",
    "Robert Young",
    "Linda Baker",
    "James Turner",
)

SCHEMA = """
create table if not exists doctors (name text primary key);
create table if not exists patients (name text primary key);
create table if not exists appointments (
    id integer primary key,
    doctor text not null references doctors (name),
    day text not null,
    time text not null,
    patient text not null references patients (name),
    call text not null,
    unique (doctor, day, time)
);
"""


@dataclass(frozen=True)
class Free:
    """A time at which a doctor is free."""

    day: date
    time: time


@dataclass(frozen=True)
class Booked:
    """The appointment is made."""

    number: int
    doctor: str
    day: date
    time: time


@dataclass(frozen=True)
class Taken:
    """Somebody else has it; these are the nearest that are free."""

    free: tuple[Free, ...]


class Calendar:
    """The appointments in the file `path`, which is made with its doctors and patients if it does not exist."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        with self._transaction() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            if not db.execute("select 1 from doctors").fetchone():
                db.executemany("insert into doctors values (?)", [(name,) for name in DOCTORS])
                db.executemany("insert into patients values (?)", [(name,) for name in PATIENTS])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        try:
            db.execute("pragma foreign_keys = on")
            db.execute("begin immediate")  # whoever is second waits here, and then sees what the first has done
            yield db
            db.execute("commit")
        finally:
            db.close()  # without the commit, this undoes

    def doctors(self) -> list[str]:
        with self._transaction() as db:
            return [name for (name,) in db.execute("select name from doctors order by rowid")]

    def patients(self) -> list[str]:
        with self._transaction() as db:
            return [name for (name,) in db.execute("select name from patients order by rowid")]

    def appointments(self) -> list[tuple[str, str, str, str]]:
        """All of them: doctor, day, time, patient."""
        with self._transaction() as db:
            return db.execute(
                "select doctor, day, time, patient from appointments order by day, time, doctor"
            ).fetchall()

    def free(self, doctor: str, day: date) -> list[time]:
        """When the doctor is free on that day."""
        if day.strftime("%A") in CLOSED:
            return []
        with self._transaction() as db:
            query = "select time from appointments where doctor = ? and day = ?"
            taken = {at for (at,) in db.execute(query, (doctor, day.isoformat()))}
        return [at for at in times() if at.isoformat("minutes") not in taken]

    def book(self, call: str, patient: str, doctor: str, day: date, at: time) -> Booked | Taken:
        """Give the appointment to the patient. Asked again by the same call, it is the same one."""
        with self._transaction() as db:
            found = db.execute(
                "select id, call, patient from appointments where doctor = ? and day = ? and time = ?",
                (doctor, day.isoformat(), at.isoformat("minutes")),
            ).fetchone()
            if found is None:
                number = db.execute(
                    "insert into appointments (doctor, day, time, patient, call) values (?, ?, ?, ?, ?)",
                    (doctor, day.isoformat(), at.isoformat("minutes"), patient, call),
                ).lastrowid
                assert number is not None
                return Booked(number, doctor, day, at)
            if (found[1], found[2]) == (call, patient):
                return Booked(found[0], doctor, day, at)
            return Taken(tuple(self._nearest(db, doctor, datetime.combine(day, at))))

    def _nearest(self, db: sqlite3.Connection, doctor: str, wish: datetime, count: int = 3) -> list[Free]:
        """The free times of that day that are nearest to the wish, then those of the days after it."""
        found: list[Free] = []
        for ahead in range(HORIZON_DAYS):
            day = wish.date() + timedelta(ahead)
            if day.strftime("%A") in CLOSED:
                continue
            query = "select time from appointments where doctor = ? and day = ?"
            taken = {at for (at,) in db.execute(query, (doctor, day.isoformat()))}
            free = [at for at in times() if at.isoformat("minutes") not in taken]
            free.sort(key=lambda at: abs(datetime.combine(wish.date(), at) - wish))
            found += [Free(day, at) for at in sorted(free[: count - len(found)])]
            if len(found) == count:
                break
        return found


def times() -> list[time]:
    """The times of a day at which an appointment may begin."""
    start = datetime.combine(date.min, OPENS)
    count = (datetime.combine(date.min, LAST) - start) // timedelta(minutes=STEP_MINUTES)
    return [(start + timedelta(minutes=STEP_MINUTES * n)).time() for n in range(count + 1)]
