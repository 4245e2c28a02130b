"""The reminder calls people: what they want is in the diary, and nobody is told or called who must not be."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from voiceframe import App
from voiceframe.bots import load_bot
from voiceframe.check import check_bot
from voiceframe.dialling import LoopbackDialler
from voiceframe.llm import Part, Stop, TextDelta, ToolCall
from voiceframe.models import POCKETSPHINX, SILERO, places
from voiceframe.testing import Caller, Database, ScriptedLLM, answer, call_tool, dial, judge, updated
from voiceframe.testing.voices import Voice, speech
from voiceframe.tones import silence, tone
from voiceframe.transports.text import TextTransport

REMINDER = str(Path(__file__).parents[2] / "examples/outbound_reminder.py")
ANN, PETER, MARIA = "+447700900101", "+447700900102", "+447700900103"
VOICE = Voice("en-us", 150, 50, -20.0)
TOMORROW = date(2026, 1, 2)

heard = pytest.mark.skipif(
    not all(any(place.present for place in places(model)) for model in (POCKETSPHINX, SILERO))
    or importlib.util.find_spec("espeakng_loader") is None,
    reason="needs the recognizer's and the VAD's model, and a voice: `voiceframe models fetch`",
)


@pytest.fixture
def example() -> Any:
    """The example, with a diary of its own."""
    load_bot(REMINDER)
    made: Any = sys.modules["voiceframe_bot_outbound_reminder"]
    made.PATIENTS = (*made.PATIENTS, ("Maria Lopez", MARIA, "15:00"))
    made.fill(date(2026, 1, 1))
    return made


def rows(example: Any, table: str) -> list[dict[str, Any]]:
    cursor = example.diary.execute(f"select * from {table}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


# -- in words


async def test_who_comes_is_noted_and_nothing_else(example: Any) -> None:
    diary = Database(example.diary, keys={"attempts": ("appointment", "day", "round")})
    before = diary.snapshot()
    async with answer(example.bot, ANN) as callee:
        await callee.hears("am i speaking to anna smith")
        await callee.says("yes, this is she")
        await callee.hears("tomorrow at ten. will you come")
        await callee.says("Yes, I'll be there")
        await callee.hears("look forward to seeing you tomorrow at ten")
        assert await callee.hears_the_end() == "completed"
    judge(callee.record, name="confirm").order("am i speaking", "tomorrow at ten", "forward").tools("confirm").turns(
        at_most=2
    ).no_unanswered_turn().no_errors().add(
        diary.since(before).check(updated("appointments", {"id": 1}, status="confirmed"))
    ).holds()
    assert [event.data["direction"] for event in callee.record.of("call.started")] == ["outbound"]


async def test_it_is_moved_past_a_time_that_is_taken(example: Any) -> None:
    async with answer(example.bot, ANN) as callee:
        await callee.says("speaking")
        await callee.says("I would like to move it to tomorrow at half past eleven")
        await callee.hears("on friday the second of january at eleven thirty. is that right")
        await callee.says("yes")
        await callee.hears("that is taken.*what time")
        await callee.says("at noon")
        await callee.hears("friday the second of january at noon. goodbye")
    row = rows(example, "appointments")[0]
    assert (row["day"], row["time"], row["status"]) == ("2026-01-02", "12:00", "booked")
    assert [use.result for use in callee.record.tools] == ["taken", "moved"]


async def test_it_is_cancelled_only_when_that_was_said_twice(example: Any) -> None:
    async with answer(example.bot, ANN) as callee:
        await callee.says("yes")
        await callee.says("cancel it")
        await callee.hears("shall i cancel it")
        await callee.says("no")
        await callee.hears("will you come")
        assert rows(example, "appointments")[0]["status"] == "booked"
        await callee.interrupts("I cannot come", after_ms=1_000)
        await callee.says("yes")
        await callee.hears("is cancelled. goodbye")
    assert rows(example, "appointments")[0]["status"] == "cancelled"
    assert callee.record.of("interruption")[0].data["reason"] == "caller"


async def test_who_is_not_the_patient_learns_nothing(example: Any) -> None:
    async with answer(example.bot, ANN) as callee:
        await callee.says("No, you have the wrong number")
        await callee.hears("sorry to have disturbed you. goodbye")
    judge(callee.record).not_heard("appointment|tomorrow|ten").tools("wrong_person").ended("completed").holds()
    assert rows(example, "appointments")[0]["status"] == "wrong number"


@pytest.mark.parametrize(
    "before", [(), ("yes",), ("yes", "move it"), ("yes", "move it", "Monday"), ("yes", "cancel it")]
)
async def test_an_opt_out_is_honoured_in_the_middle_of_any_sentence(example: Any, before: tuple[str, ...]) -> None:
    async with answer(example.bot, ANN) as callee:
        for words in before:
            await callee.says(words)
        await callee.interrupts("Stop calling me!", after_ms=300)
        await callee.hears("you will not be called again. goodbye")
    assert [row["number"] for row in rows(example, "do_not_call")] == [ANN]
    judge(callee.record).tools("opt_out").no_unanswered_turn().holds()


async def test_who_has_moved_it_is_reminded_again_on_the_other_day(example: Any) -> None:
    street = Street(example)
    ann = Caller(180)
    ann.answers(street.dialler, ANN)
    async with street.app:
        calling = asyncio.ensure_future(example.remind(street.dialler, TOMORROW, rounds=1))
        await ann.is_called()
        for words in ("yes", "another day", "Monday at ten", "yes"):
            await ann.says(words)
        await calling
        assert rows(example, "attempts")[0]["outcome"] == "completed"
        street.dialler.dialled.clear()
        for day in (TOMORROW, date(2026, 1, 5)):
            await example.remind(street.dialler, day, rounds=1)
    assert street.dialler.dialled == [ANN]


async def test_who_has_opted_out_is_not_called_about_the_next_appointment(example: Any) -> None:
    street = Street(example)
    ann = Caller(180)
    ann.answers(street.dialler, ANN)
    insert = "insert into appointments (patient, number, day, time) values ('Anna Smith', ?, '2026-01-05', '09:00')"
    example.diary.execute(insert, (ANN,))
    async with street.app:
        calling = asyncio.ensure_future(example.remind(street.dialler, TOMORROW, rounds=1))
        await ann.is_called()
        await ann.says("take me off your list")
        await calling
        street.dialler.dialled.clear()
        await example.remind(street.dialler, date(2026, 1, 5))
    assert street.dialler.dialled == []


async def test_a_time_that_was_cancelled_is_free_again(example: Any) -> None:
    for number, said in ((PETER, ("cancel it", "yes")), (ANN, ("another day", "tomorrow at half past eleven", "yes"))):
        async with answer(example.bot, number) as callee:
            await callee.says("yes")
            for words in said:
                await callee.says(words)
            await callee.hears("is cancelled|is now on friday the second of january at eleven thirty")
    async with answer(example.bot, PETER) as callee:
        await callee.hears("no appointment under this number")


async def test_a_process_that_was_killed_in_a_call_dials_nobody_twice(example: Any) -> None:
    street = Street(example)
    ann = Caller(180)
    ann.answers(street.dialler, ANN)
    async with street.app:
        calling = asyncio.ensure_future(example.remind(street.dialler, TOMORROW))
        call = await ann.is_called()
        calling.cancel()
        call.hang_up()
        await call.wait_ended()
        await example.remind(street.dialler, TOMORROW, rounds=2)
    assert street.dialler.dialled == [ANN, PETER, MARIA, PETER, MARIA]


async def test_who_is_not_understood_is_let_go(example: Any) -> None:
    async with answer(example.bot, ANN) as callee:
        for _ in range(3):
            await callee.says("Mumble mumble")
        await callee.hears("please call the clinic. goodbye")
    assert rows(example, "appointments")[0]["status"] == "booked"


async def test_a_diary_that_is_dead_is_said(example: Any) -> None:
    async with answer(example.bot, ANN) as callee:
        await callee.says("yes")
        example.diary.close()
        await callee.says("yes, I'll be there")
        await callee.hears("cannot note that now. please call the clinic")
    assert [use.failed for use in callee.record.tools] == [True]


async def test_who_calls_back_is_known_by_their_number_and_others_are_told_nothing(example: Any) -> None:
    async with dial(example.bot) as caller:  # no number
        await caller.hears("no appointment under this number. goodbye")
    async with dial(example.bot, from_=MARIA) as caller:
        await caller.hears("am i speaking to maria lopez")
    assert caller.call.direction == "inbound"


# -- with a model


async def test_a_model_does_the_same_with_the_same_tools(example: Any) -> None:
    bye: list[Part] = [TextDelta("Thank you, goodbye!"), ToolCall("bye", "hang_up", {}), Stop("tools")]
    example.model = ScriptedLLM(["You have an appointment tomorrow at ten. Do you come?", call_tool("confirm"), bye])
    async with answer(example.bot, ANN) as callee:
        await callee.hears("am i speaking to anna smith")
        await callee.says("Yes, speaking")
        await callee.says("I do")
        await callee.hears("goodbye")
        assert await callee.hears_the_end() == "completed"
    assert "Anna Smith has an appointment\ntomorrow at ten" in example.model.requests[0].messages[0].text
    assert rows(example, "appointments")[0]["status"] == "confirmed"


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="needs the extra openai")
async def test_the_setting_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("VOICEFRAME_LLM_MODEL", "openai/gpt-4.1-mini")
    load_bot(REMINDER)
    made: Any = sys.modules["voiceframe_bot_outbound_reminder"]
    assert made.model.name == "openai/gpt-4.1-mini"
    await made.model.aclose()


async def test_a_model_that_is_dead_leaves_nobody_in_silence(example: Any) -> None:
    example.model = ScriptedLLM([ConnectionError("out of reach")], repeat=True)
    async with answer(example.bot, ANN) as callee:
        await callee.says("Yes, speaking")
        await callee.listens()
    assert len(callee.record.heard) == 2
    assert rows(example, "appointments")[0]["status"] == "booked"


# -- all of them


class Street:
    """Telephones on a loopback line, with an app that calls them."""

    def __init__(self, example: Any) -> None:
        self.dialler = LoopbackDialler()
        self.app = App(example.bot, self.dialler, store=None)


async def test_all_are_called_and_who_could_not_be_reached_is_called_again(example: Any) -> None:
    street = Street(example)
    street.dialler.register(PETER, TextTransport, outcome="busy")
    street.dialler.register(MARIA, TextTransport, outcome="no-answer")
    ann, peter = Caller(180), Caller(180)
    ann.answers(street.dialler, ANN)
    async with street.app:
        calling = asyncio.ensure_future(example.remind(street.dialler, TOMORROW, rounds=2))
        await ann.is_called()
        await ann.says("stop calling me")
        await asyncio.sleep(600)
        assert street.dialler.dialled == [ANN, PETER, MARIA]
        peter.answers(street.dialler, PETER)
        await peter.is_called(within_ms=3_600_000)
        await peter.says("yes")
        await peter.says("yes")
        await calling
        assert street.dialler.dialled == [ANN, PETER, MARIA, PETER, MARIA]
        await example.remind(street.dialler, TOMORROW, rounds=1)  # begun again, it calls nobody who was called
        assert len(street.dialler.dialled) == 5
    assert [(row["appointment"], row["round"], row["outcome"]) for row in rows(example, "attempts")] == [
        (1, 0, "completed"),
        (2, 0, "busy"),
        (3, 0, "no-answer"),
        (2, 1, "completed"),
        (3, 1, "no-answer"),
    ]
    assert [row["status"] for row in rows(example, "appointments")] == ["booked", "confirmed", "booked"]


# -- by sound


def say(text: str) -> bytes:
    return speech(text, VOICE)


@heard
async def test_by_voice_somebody_says_hello_first_and_comes(example: Any) -> None:
    async with answer(example.bot, ANN, via="audio", voice=say) as callee:
        callee.interrupts_now("hello")
        await callee.hears("am i speaking to anna smith")
        await callee.says("yes speaking")
        await callee.hears("tomorrow at ten")
        await callee.says("i will come")
        await callee.hears("goodbye")
        assert await callee.hears_the_end() == "completed"
    assert rows(example, "appointments")[0]["status"] == "confirmed"
    assert [event.kind for event in callee.record.events if event.kind.startswith("voicemail.")] == [
        "voicemail.ruled-out"
    ]
    judge(callee.record).no_unanswered_turn().no_dead_air(4_000).no_errors().holds()


@heard
async def test_by_voice_it_is_moved_and_the_bot_stops_when_it_is_interrupted(example: Any) -> None:
    async with answer(example.bot, ANN, via="audio", voice=say, noise_dbfs=-55) as callee:
        await callee.says("yes")
        await callee.hears("would you like to move it", within_ms=15_000)
        await callee.interrupts("another day", after_ms=200)
        await callee.stops_within(1_500)
        await callee.hears("which day")
        await callee.says("next monday")
        await callee.hears("what time")
        await callee.says("half past two")
        await callee.hears("monday the fifth of january at two thirty")
        await callee.says("yes")
        await callee.hears("goodbye", within_ms=15_000)
    row = rows(example, "appointments")[0]
    assert (row["day"], row["time"], row["status"]) == ("2026-01-05", "14:30", "booked")


@heard
async def test_a_machine_is_left_a_message_behind_its_tone_that_tells_nothing(example: Any) -> None:
    greeting = "hello you have reached anna smith i cannot come to the phone now please leave your name and a number"
    async with answer(example.bot, ANN, via="audio", voice=say) as callee:
        await callee.plays(silence(600) + say(greeting) + silence(500) + tone(1_000, 400, -18))
        beep_ended = callee.spoke[-1][1]
        assert await callee.hears_the_end() == "voicemail"
    (left,) = callee.record.of("voicemail.message")
    assert (left.data["after"], left.data["complete"]) == ("beep", True)
    assert callee.bot_spoke[-1][1] > beep_ended + 2_000
    judge(callee.record).heard("message for anna smith. please call us back").not_heard("appointment").holds()
    assert rows(example, "appointments")[0]["status"] == "booked"


@heard
async def test_silence_and_keys(example: Any) -> None:
    async with answer(example.bot, ANN, via="audio", voice=say) as callee:
        await callee.hears("are you still there", within_ms=20_000)
        await callee.listens()
        await callee.presses("1")
        await callee.hears("tomorrow at ten")
        await callee.listens()
        await callee.presses("9")
        await callee.hears("not be called again")
    assert [row["number"] for row in rows(example, "do_not_call")] == [ANN]


# -- before anybody is called


def test_the_check_finds_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "token")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    report = check_bot(REMINDER)
    assert [check.id for check in report.checks if check.verdict == "fail"] == []
