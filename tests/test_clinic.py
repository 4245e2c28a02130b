"""The clinic of the examples: booked as asked, in a calendar that gives nothing twice, whatever its callers say."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, time
from pathlib import Path

import pytest

from voiceframe.chat import chat
from voiceframe.demo.calendar import Booked, Calendar, Taken, times
from voiceframe.flow import Flow
from voiceframe.testing import Caller, dial

ROOT = Path(__file__).resolve().parent.parent
CLINIC = str(ROOT / "examples/clinic.py")
MONDAY, TEN = date(2026, 1, 5), time(10)


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "clinic.db"
    monkeypatch.setenv("CLINIC_DB", str(path))
    return path


def flow_of(caller: Caller) -> Flow:
    return next(node.proc for node in caller.call.engine.nodes if isinstance(node.proc, Flow))


async def say(caller: Caller, *texts: str) -> str:
    heard = ""
    for text in texts:
        await caller.says(text)
        await caller.waits(50)
        heard = await caller.listens()
    return heard


# -- the calendar


def test_a_time_is_given_once_and_the_nearest_are_offered(database: Path) -> None:
    calendar = Calendar(database)
    assert calendar.book("c1", "Anna Smith", "Dr Lee", MONDAY, TEN) == Booked(1, "Dr Lee", MONDAY, TEN)
    assert calendar.book("c1", "Anna Smith", "Dr Lee", MONDAY, TEN) == Booked(1, "Dr Lee", MONDAY, TEN)
    taken = calendar.book("c2", "Susan Clark", "Dr Lee", MONDAY, TEN)
    assert isinstance(taken, Taken)
    assert [(free.day, free.time) for free in taken.free] == [
        (MONDAY, time(9)),
        (MONDAY, time(9, 30)),
        (MONDAY, time(10, 30)),
    ]
    assert isinstance(calendar.book("c2", "Susan Clark", "Dr Brown", MONDAY, TEN), Booked)
    assert calendar.appointments() == [
        ("Dr Brown", "2026-01-05", "10:00", "Susan Clark"),
        ("Dr Lee", "2026-01-05", "10:00", "Anna Smith"),
    ]


def test_a_full_day_leads_to_the_next_open_one(database: Path) -> None:
    calendar = Calendar(database)
    friday = date(2026, 1, 9)
    for at in times():
        calendar.book("c1", "Anna Smith", "Dr Lee", friday, at)
    taken = calendar.book("c2", "Susan Clark", "Dr Lee", friday, TEN)
    assert isinstance(taken, Taken)
    assert {free.day for free in taken.free} == {date(2026, 1, 12)}


def test_many_at_once_get_one_appointment(database: Path) -> None:
    Calendar(database)

    def book(number: int) -> Booked | Taken:
        return Calendar(database).book(f"c{number}", "Anna Smith", "Dr Lee", MONDAY, TEN)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(book, range(24)))
    assert sum(isinstance(result, Booked) for result in results) == 1


def test_who_is_not_known_is_not_booked(database: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        Calendar(database).book("c1", "Nobody", "Dr Lee", MONDAY, TEN)
    assert Calendar(database).appointments() == []


# -- calls


def test_the_script_of_the_example_runs(database: Path) -> None:
    out = io.StringIO()
    assert chat(CLINIC, script=str(ROOT / "examples/clinic.txt"), out=out) == 0, out.getvalue()
    assert Calendar(database).appointments() == [("Dr Lee", "2026-01-06", "11:00", "Anna Smith")]


def test_it_runs_from_the_command_line(database: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voiceframe", "chat", CLINIC, "--wpm", "0", "--no-events"],
        cwd=database.parent,
        input="operator\n/hears put you through\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "put you through" in done.stdout


async def test_in_one_breath(database: Path) -> None:
    async with dial(CLINIC) as caller:
        heard = await say(
            caller, "I need to see a doctor", "This is Peter Miller, tomorrow at half past two with Dr. Garcia"
        )
        assert heard == "Peter Miller, with Dr Garcia, on Friday the second of January at two thirty. Is that right?"
        await say(caller, "yes")
        assert await caller.hears_the_end() == "completed"
    assert caller.call.data["outcome"] == "booked"
    assert Calendar(database).appointments() == [("Dr Garcia", "2026-01-02", "14:30", "Peter Miller")]


async def test_by_keys_alone(database: Path) -> None:
    async with dial(CLINIC) as caller:
        await caller.listens()
        for keys in ("1", "7627#", "2", "0501", "1000", "1"):  # "smar" is nobody, so the name is asked for again
            await caller.presses(keys)
            await caller.waits(100)
            await caller.listens()
            if keys == "7627#":
                await caller.presses("7648#")
                await caller.waits(100)
                await caller.listens()
        await caller.hears_the_end()
    assert Calendar(database).appointments() == [("Dr Lee", "2026-01-05", "10:00", "Anna Smith")]


async def test_a_taken_time_is_replaced_by_one_that_is_offered(database: Path) -> None:
    Calendar(database).book("other", "Susan Clark", "Dr Lee", MONDAY, TEN)
    async with dial(CLINIC) as caller:
        await say(caller, "book an appointment", "Anna Smith", "Dr Lee on Monday at ten")
        heard = await say(caller, "yes")
        assert "Monday the fifth of January at nine or nine thirty or ten thirty. At what time?" in heard
        assert "Dr Lee, on Tuesday the sixth of January at ten" in await say(caller, "rather Tuesday at ten")
        await say(caller, "yes")
        await caller.hears_the_end()
    assert ("Dr Lee", "2026-01-06", "10:00", "Anna Smith") in Calendar(database).appointments()


async def test_a_calendar_that_is_out_of_order_leads_to_a_person(database: Path) -> None:
    async with dial(CLINIC) as caller:
        await say(caller, "book an appointment", "Anna Smith", "Dr Lee on Monday at ten")
        with contextlib.closing(sqlite3.connect(database)) as db, db:
            db.execute("drop table appointments")
        assert "cannot reach our calendar" in await say(caller, "yes")
        await caller.hears_the_end()
    assert caller.record.of("handoff.requested")[0].data["reason"] == "tool-failed"


async def test_calls_at_the_same_time_share_the_calendar_and_nothing_else(database: Path) -> None:
    names = ["Anna Smith", "Peter Miller", "Susan Clark", "David Wilson"]

    async def call(number: int) -> str:
        async with dial(CLINIC, seed=number) as caller:
            await say(caller, "book an appointment", names[number], "Dr Lee on Monday at ten", "yes")
            if not caller.call.ended and flow_of(caller).state == "taken":
                await say(caller, f"{['nine', 'ten thirty', 'eleven', 'two'][number]}", "yes")
            await caller.hears_the_end()
            return str(caller.call.data["outcome"])

    assert await asyncio.gather(*map(call, range(4))) == ["booked"] * 4
    booked = Calendar(database).appointments()
    assert {patient for *_, patient in booked} == set(names)
    assert len({slot[:3] for slot in booked}) == 4


# -- whatever is said

NOISE = (
    "",
    "the weather is nice",
    "hm",
    "I do not know",
    "could you hold on for a second",
    "ten of those on the third",
)


async def walk(seed: int) -> tuple[Caller, str]:
    """A caller who says what the grammar lets through, presses keys, interrupts, and mumbles: for 40 turns."""
    rng = random.Random(seed)
    async with dial(CLINIC, seed=seed, words_per_minute=6_000) as caller:
        for _ in range(40):
            if caller.call.ended or caller.call.engine.ending:
                break
            expected = flow_of(caller).dialog.expectation
            assert expected is not None
            luck = rng.random()
            if luck < 0.1:
                caller.interrupts_now(rng.choice(NOISE))
            elif luck < 0.2:
                await caller.presses("".join(rng.choices("0123456789*#", (1, *[9] * 9, 1, 9), k=rng.choice((1, 4)))))
                await caller.waits(2_600)
            elif luck < 0.75 and flow_of(caller).dialog.focus in ("confirm", "value"):
                caller.interrupts_now("yes")
            else:
                said = expected.sample(rng)
                if flow_of(caller).dialog.focus not in ("busy", "over"):
                    assert expected.read(said, flow_of(caller).dialog.context()).understood, said
                caller.interrupts_now(said)
            await caller.waits(rng.choice((20, 400)))
            if rng.random() < 0.7:
                await caller.listens()
        if flow_of(caller).dialog.focus == "over":
            await caller.hears_the_end()
    return caller, str(caller.call.data.get("outcome", "hung-up"))


async def test_no_caller_gets_stuck(database: Path) -> None:
    came_to: dict[str, int] = {}
    for seed in range(60):
        caller, outcome = await walk(seed)
        came_to[outcome] = came_to.get(outcome, 0) + 1
        assert caller.record.of("processor.failed") == [], seed
        unanswered = [e.data["reason"] for e in caller.record.of("turn.unanswered")]
        # A turn may be followed by the next, or the end, before its answer sounds; it is never left waiting.
        assert set(unanswered) <= {"superseded", "ended", "interrupted"}, (seed, unanswered)
        if outcome == "booked":
            slots = caller.call.data["slots"]
            row = (slots["doctor"], str(slots["day"]), f"{slots['at']:%H:%M}", slots["patient"])
            assert row in Calendar(database).appointments(), seed
    assert set(came_to) <= {"booked", "handed-over", "cancelled", "hung-up"}
    assert came_to["booked"] >= 5
    assert came_to["handed-over"] >= 5


async def test_the_same_seed_has_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (3, 8, 21):
        lines = []
        for run in range(2):
            monkeypatch.setenv("CLINIC_DB", str(tmp_path / f"clinic{seed}-{run}.db"))
            caller, _ = await walk(seed)
            lines.append(caller.record.lines())
        assert lines[0] == lines[1]
