"""The physiotherapist's line books what callers agree to, once, and tells nobody what it knows of others."""

from __future__ import annotations

import importlib.util
import io
import random
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tests.served import served
from voiceframe import Call
from voiceframe.assistant import assistant_report
from voiceframe.bots import load_bot
from voiceframe.chat import chat
from voiceframe.check import check_bot
from voiceframe.errors import ProviderError
from voiceframe.models import POCKETSPHINX, SILERO, places
from voiceframe.rehearsed import call_tool
from voiceframe.testing import Database, Judge, called, deleted, dial, heard, inserted, judge, repeat, said
from voiceframe.tools import ToolCase, check_tool
from voiceframe.transports.text import TextTransport

FILE: Final = str(Path(__file__).resolve().parents[2] / "examples/appointment_booking.py")
PHONE: Final = "+14155550101"
ATTESTED: Final = {"StirVerstat": "TN-Validation-Passed-A"}

speech = pytest.mark.skipif(
    not all(any(place.present for place in places(model)) for model in (POCKETSPHINX, SILERO))
    or importlib.util.find_spec("espeakng_loader") is None,
    reason="needs voiceframe[local], and its models: `voiceframe models fetch`",
)


@pytest.fixture
def physio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example, with a calendar and a memory of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("APPOINTMENTS_DB", "VOICEFRAME_STT_PROVIDER", "VOICEFRAME_TTS_PROVIDER", "VOICEFRAME_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    load_bot(FILE)
    module = sys.modules["voiceframe_bot_appointment_booking"]
    yield module
    module.memory.close()


@pytest.fixture
def calendar(physio: ModuleType) -> Database:
    with physio.database():
        pass  # it has its tables now
    return Database("appointments.db", ignore=("appointments.key", "outbox.key"))


async def asks(caller: Any, day: str = "Tuesday") -> None:
    """Up to the question at what time."""
    await caller.says("I need an appointment")
    await caller.hears("on which day")
    await caller.says(day)
    await caller.hears("is that right")
    await caller.says("yes")
    await caller.hears("at what time")


async def books(caller: Any, name: str = "Anna Smith", at: str = "ten") -> None:
    await asks(caller)
    await caller.says(f"At {at}, please")
    await caller.hears("what is your name")
    await caller.says(f"I am {name}")
    await caller.hears(f"{name}, on Tuesday the sixth of January at {at}. Is that right")
    await caller.says("yes")


# -- as its user


def test_the_script_that_comes_with_it_is_answered(physio: ModuleType, calendar: Database) -> None:
    before, out = calendar.snapshot(), io.StringIO()
    assert chat(FILE, script=FILE.replace(".py", ".txt"), out=out) == 0, out.getvalue()
    assert calendar.since(before).check(
        inserted("appointments", day="2026-01-06", at="10:00:00", name="Anna Smith"),
        inserted("outbox", phone="", message="Your appointment is booked."),
    ).verdict == "pass"  # fmt: skip


def test_it_has_all_that_it_needs(physio: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    report = check_bot(FILE)
    assert report.exit_code == 0, report.markdown()


# -- booking


async def test_an_appointment_is_booked_as_it_was_agreed(physio: ModuleType, calendar: Database) -> None:
    before = calendar.snapshot()
    async with dial(physio.bot, from_=PHONE) as caller:
        await books(caller)
        await caller.hears("booked, with appointment number 1")
        await caller.says("No thanks")
        assert await caller.hears_the_end() == "completed"
    await physio.assistant.drain()
    changes = calendar.since(before).check(
        inserted("appointments", day="2026-01-06", at="10:00:00", name="Anna Smith"),
        inserted("outbox", phone=PHONE, message="Your appointment is booked."),
    )
    judge(caller.record, name="booking").order(
        called("collect_date"), "on which day", called("availability", day="2026-01-06"), "at what time",
        said("anna smith"), heard("is that right"), said("yes"), called("book", name="Anna Smith"), heard("number 1"),
    ).no_failed_tool().no_unanswered_turn().no_errors().ended("completed").add(changes).holds()  # fmt: skip
    outcome = caller.record.of("assistant.outcome")[0].data
    assert (outcome["outcome"], outcome["goals"]) == ("booked", {"booked": True, "turns": 7})
    assert [event.data["hook"] for event in caller.record.of("after.done")] == ["confirm_by_message"]


async def test_without_a_yes_nothing_is_booked(physio: ModuleType, calendar: Database) -> None:
    before = calendar.snapshot()
    async with dial(physio.bot) as caller:
        await asks(caller)
        await caller.says("At ten. I am Anna Smith")
        await caller.hears("at ten. Is that right")
        await caller.says("no")
        await caller.hears("what shall I change")
        await caller.hangs_up()
    await physio.assistant.drain()
    assert calendar.since(before).check().verdict == "pass"
    assert caller.record.of("assistant.outcome")[0].data["goals"]["booked"] is False


async def test_an_hour_is_given_to_one_of_two_who_want_it(physio: ModuleType, calendar: Database) -> None:
    async with dial(physio.bot, seed=1) as first, dial(physio.bot, seed=2) as second:
        for caller in (first, second):
            await asks(caller)
            await caller.says("At ten")
            await caller.hears("what is your name")
        for caller, name in ((first, "Anna Smith"), (second, "Peter Miller")):
            await caller.says(f"I am {name}")
            await caller.hears(f"{name}.*is that right")
        await first.says("yes")
        await first.hears("booked")
        await second.says("yes")
        await second.hears("somebody has just taken that hour")
        await second.says("Another day")
        await second.hears("on which day")
    assert [row["name"] for row in rows()] == ["Anna Smith"]
    assert set(second.record.outcomes.values()) == {"answered"}


async def test_an_attempt_whose_answer_was_lost_books_once(
    physio: ModuleType, calendar: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, attempts = physio.insert, []

    def loses_the_answer(*arguments: Any) -> Any:
        number = insert(*arguments)
        attempts.append(number)
        if len(attempts) == 1:
            raise ConnectionError("the calendar went away after it had written")
        return number

    monkeypatch.setattr(physio, "insert", loses_the_answer)
    async with dial(physio.bot) as caller:
        await books(caller)
        await caller.hears("appointment number 1")
    assert attempts == [1, 1]
    assert len(rows()) == 1


async def test_who_hangs_up_when_they_have_agreed_has_their_appointment(physio: ModuleType, calendar: Database) -> None:
    async with dial(physio.bot) as caller:
        await books(caller)
        await caller.hangs_up()
    await physio.assistant.drain()
    assert [row["name"] for row in rows()] == ["Anna Smith"]
    assert caller.record.of("assistant.outcome")[0].data["outcome"] == "booked"


async def test_a_dead_calendar_is_said(physio: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APPOINTMENTS_DB", str(tmp_path / "nowhere/appointments.db"))
    async with dial(physio.bot) as caller:
        await caller.says("I need an appointment")
        await caller.hears("on which day")
        await caller.says("Tuesday")
        await caller.hears("is that right")
        await caller.says("yes")
        await caller.hears("cannot reach our calendar")
    assert set(caller.record.outcomes.values()) == {"answered"}


async def test_a_dead_model_is_an_apology_and_nothing_is_lost(
    physio: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = physio.model.answer

    def dead(request: Any) -> Any:
        raise ProviderError.of("provider.connection", vendor="rehearsed", detail="it is gone", by="it")

    async with dial(physio.bot) as caller:
        await asks(caller)
        monkeypatch.setattr(physio.model, "answer", dead)
        await caller.says("At ten")
        assert await caller.listens()
        monkeypatch.setattr(physio.model, "answer", answer)
        await caller.says("I am Anna Smith")
        await caller.hears("Anna Smith, on Tuesday the sixth of January at ten. Is that right")
    assert len(caller.record.of("processor.failed")) == 1


# -- cancelling


@pytest.mark.parametrize(("name", "gone"), [("Anna Smith", True), ("Peter Miller", False)])
async def test_an_appointment_is_cancelled_by_who_has_it(
    physio: ModuleType, calendar: Database, name: str, gone: bool
) -> None:
    async with dial(physio.bot, seed=1) as caller:
        await books(caller)
        await caller.hears("number 1")
    await physio.assistant.drain()
    before = calendar.snapshot()
    async with dial(physio.bot, seed=2) as caller:
        await caller.says(f"Please cancel appointment 1, I am {name}")
        await caller.hears("shall I cancel appointment number (1|one)")
        await caller.says("yes")
        await caller.hears("It is cancelled" if gone else "no such appointment")
    changes = calendar.since(before)
    assert changes.check(*([deleted("appointments", number=1)] if gone else [])).verdict == "pass", changes


async def test_the_tools_keep_their_contracts(physio: ModuleType, calendar: Database) -> None:
    wanted = {"day": "2026-01-06", "at": "10:00", "name": "Anna Smith"}
    report = await check_tool(
        physio.book,
        [
            ToolCase(wanted, result="appointment number 1", idempotent=True, within_ms=1_000, name="free"),
            ToolCase({**wanted, "day": "2026-01-10"}, status="error", error="nothing free", name="a Saturday"),
            ToolCase({**wanted, "at": "12:00"}, status="error", error="nothing free", name="at noon"),
            ToolCase({**wanted, "day": "someday"}, status="error", name="no day"),
        ],
    )
    assert report.exit_code == 0, report.markdown()


# -- memory and experiment


async def test_a_caller_whose_number_is_vouched_for_is_not_asked_for_their_name_again(physio: ModuleType) -> None:
    async with dial(physio.bot, seed=1, from_=PHONE, metadata=ATTESTED) as caller:
        await books(caller)
        await caller.hears("booked")
    async with dial(physio.bot, seed=2, from_=PHONE, metadata=ATTESTED) as caller:
        await asks(caller)
        await caller.says("At eleven")
        await caller.hears("Anna Smith, on Tuesday the sixth of January at eleven. Is that right")
    assert caller.record.of("memory.opened")
    # The same number without the carrier's word opens nothing, and neither does another one with it.
    for seed, known in ((3, {"from_": PHONE}), (4, {"from_": "+14155550102", "metadata": ATTESTED})):
        async with dial(physio.bot, seed=seed, **known) as stranger:
            await asks(stranger)
            await stranger.says("At two")
            await stranger.hears("what is your name")
        assert "Anna" not in " ".join(stranger.record.heard)


async def test_a_dead_memory_costs_nobody_their_appointment(
    physio: ModuleType, calendar: Database, tmp_path: Path
) -> None:
    (tmp_path / "voiceframe.db").write_text("This is no database.")
    async with dial(physio.bot, from_=PHONE, metadata=ATTESTED) as caller:
        await books(caller)
        await caller.hears("booked, with appointment number 1")
    assert {event.data["operation"] for event in caller.record.of("memory.failed")} >= {"open"}
    assert len(rows()) == 1


async def test_each_caller_has_one_greeting_and_the_report_compares_them(physio: ModuleType) -> None:
    experiment = physio.assistant.experiments[0]
    events: list[Any] = []
    heard_by: dict[str, set[str]] = {}
    for number in range(6):
        phone = f"+1415555010{number}"
        for again in (0, 1):
            async with dial(physio.bot, seed=2 * number + again, from_=phone) as caller:
                await caller.listens()
                heard_by.setdefault(phone, set()).add(caller.record.heard[0])
            await physio.assistant.drain()
            events += caller.record.events
        variant = experiment.draw(phone)
        assert heard_by[phone] == {variant.changes.get("greeting", "Harbour Physio, hello!")}
    assert len(set.union(*heard_by.values())) == 2
    report = assistant_report(events)
    assert {"plain", "offer"} <= set(re.findall(r"\w+", report.markdown()))
    assert report.exit_code == 0, report.markdown()


# -- again and again

DAYS: Final = {
    "Monday": "2026-01-05",
    "on Tuesday, please": "2026-01-06",
    "tomorrow": "2026-01-02",
    "the eighth of January": "2026-01-08",
}
TIMES: Final = {"nine": "09:00:00", "ten": "10:00:00", "two": "14:00:00", "three": "15:00:00"}


async def test_whoever_calls_and_however_they_say_it_they_are_booked(physio: ModuleType, calendar: Database) -> None:
    """pass^4 of calls in which the words, the order and the interruptions differ."""

    async def scenario(seed: int) -> Judge:
        rng = random.Random(seed)
        (wrong, _), (day, date) = rng.sample(list(DAYS.items()), 2)
        time, at = rng.choice(list(TIMES.items()))
        with closing(sqlite3.connect("appointments.db")) as db, db:
            db.executescript("delete from appointments; delete from outbox")
        before = calendar.snapshot()
        async with dial(physio.bot, seed=seed) as caller:
            speak = caller.interrupts if rng.random() < 0.3 else caller.says
            await speak(rng.choice(["I need an appointment", "An appointment, please", "My name is Anna Smith"]))
            await caller.hears("on which day")
            if rng.random() < 0.4:
                await caller.says(wrong)
                await caller.hears("is that right")
                await caller.says("no")
                await caller.hears("day")
            await caller.says(day)
            await caller.hears("is that right")
            await caller.says("yes")
            await caller.hears("at what time")
            await caller.says(rng.choice([f"At {time}", f"{time} o'clock, please"]))
            if "name" in await caller.listens():
                await caller.says("I am Anna Smith")
            await caller.hears("is that right")
            await caller.says(rng.choice(["yes", "yes please", "that is right"]))
            await caller.hears("is booked")
        await physio.assistant.drain()
        booked = calendar.since(before).check(
            inserted("appointments", day=date, at=at, name="Anna Smith"),
            inserted("outbox", phone="", message="Your appointment is booked."),
        )
        return judge(caller.record).no_errors().no_unanswered_turn().add(booked)

    found = await repeat(scenario, runs=20, seed=0)
    report = found.report(at_least=1.0)
    assert found.pass_hat(4) == 1.0, report.markdown()


@pytest.mark.real_time
def test_with_a_model_it_is_the_model_that_is_asked(physio: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("openai", reason="needs voiceframe[openai]")
    from voiceframe.testing.providers.openai import FakeOpenAI

    script = tmp_path / "script.txt"
    script.write_text("Have you got time on Tuesday?\n/hears nine or at ten\n")
    looks = call_tool("availability", day="2026-12-01")
    with served(FakeOpenAI([looks, "At nine or at ten?"])) as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("VOICEFRAME_LLM_MODEL", "openai/gpt-4.1-mini")
        out = io.StringIO()
        assert chat(FILE, script=str(script), words_per_minute=0, out=out) == 0, out.getvalue()
    assert "The caller's name is not known." in fake.bodies[0]["messages"][0]["content"]
    assert fake.bodies[1]["messages"][-1]["content"] == "nine, ten, eleven, two, three"


# -- by sound


@speech
async def test_a_whole_call_by_voice(physio: ModuleType, calendar: Database) -> None:
    async with dial(physio.bot, seed=1, from_=PHONE, metadata=ATTESTED) as typist:
        await books(typist)  # so that their name is known
        await typist.hears("booked")
    await physio.assistant.drain()
    before = calendar.snapshot()
    async with dial(physio.bot, via="audio", seed=2, from_=PHONE, metadata=ATTESTED, noise_dbfs=-55) as caller:
        await caller.says("I need an appointment")
        await caller.hears("on which day")
        await caller.says("on wednesday")
        await caller.hears("Wednesday the seventh of January")
        await caller.says("yes")
        await caller.hears("at what time")
        await caller.interrupts("at two please", after_ms=600)
        await caller.hears("Anna Smith, on Wednesday the seventh of January at two. Is that right")
        await caller.says("yes")
        await caller.hears("is booked")
        await caller.says("no thanks")
        assert await caller.hears_the_end() == "completed"
    await physio.assistant.drain()
    changes = calendar.since(before).check(
        inserted("appointments", day="2026-01-07", at="14:00:00", name="Anna Smith"),
        inserted("outbox", phone=PHONE, message="Your appointment is booked."),
    )
    judge(caller.record).no_errors().no_unanswered_turn().answers_within(2_500, by="sound").add(changes).holds()


@speech
async def test_by_way_of_twilio_with_keys(physio: ModuleType, calendar: Database) -> None:
    async with dial(physio.bot, via="twilio", from_=PHONE) as caller:
        await caller.says("I need an appointment")
        await caller.hears("on which day")
        await caller.presses("0601")
        await caller.hears("Tuesday the sixth of January")
        await caller.presses("1")
        await caller.hears("nine, ten, eleven, two, three")
        await caller.says("at ten")
        await caller.hears("what is your name")
        await caller.hangs_up()
    assert caller.record.reason == "hangup"
    assert rows() == []


def rows() -> list[dict[str, Any]]:
    """The appointments."""
    with closing(sqlite3.connect("appointments.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("select * from appointments order by number")]


async def test_nobody_else_is_verified(physio: ModuleType) -> None:
    for metadata in ({}, {"StirVerstat": "TN-Validation-Passed-B"}, {"StirVerstat": "No-TN-Validation"}):
        assert physio.attested(Call(TextTransport(), from_=PHONE, metadata=metadata)) is False
