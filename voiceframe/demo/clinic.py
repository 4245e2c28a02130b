"""A clinic that books appointments in a real calendar, by a declared dialog: no model, no key, no network.

    voiceframe demo                           # it is called
    voiceframe chat voiceframe.demo.clinic    # you call it, by typing

The calendar is the SQLite file `CLINIC_DB` (or `metadata["clinic_db"]` of the call); `clinic.db` in the current folder
if neither is set.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from ..call import Call
from ..flow import AnyState, Choice, Date, Do, End, Flow, Handoff, Intent, Name, State, Time
from ..flow.slots import Context
from ..flow.words import MONTHS, ORDINALS, WEEKDAYS
from ..pipeline import Pipeline
from ..processor import Processor
from ..tools import ToolContext, tool
from .calendar import CLOSED, HORIZON_DAYS, LAST, OPENS, STEP_MINUTES, Booked, Calendar, Taken

ZONE: Final = "Europe/London"


@dataclass(frozen=True)
class Busy:
    """Somebody else has that time. `free` is what is left, in words."""

    free: str


@dataclass(frozen=True)
class Full:
    """The doctor has no time at all."""


def calendar_of(call: Call) -> Calendar:
    """The calendar of this call; opened once."""
    if "calendar" not in call.data:
        call.data["calendar"] = Calendar(call.metadata.get("clinic_db") or os.environ.get("CLINIC_DB", "clinic.db"))
    calendar: Calendar = call.data["calendar"]
    return calendar


patient = Name("patient", "What is your name?", lambda call: calendar_of(call).patients(), label="name")
doctor = Choice("doctor", "Which doctor would you like to see?", lambda call: calendar_of(call).doctors())
day = Date("day", "On which day?", earliest_days=1, latest_days=HORIZON_DAYS, closed=CLOSED)
at = Time("at", "At what time?", earliest=OPENS, latest=LAST, step_minutes=STEP_MINUTES, label="time")


@tool(timeout_ms=5_000)
async def book(ctx: ToolContext, patient: str, doctor: str, day: date, at: time) -> Booked | Busy | Full:
    """Book an appointment that the caller has agreed to.

    patient: first and last name.
    doctor: one of the doctors.
    day: the day, as 2026-12-03.
    at: when it begins, as 14:30.
    """
    calendar = calendar_of(ctx.call)
    why = await asyncio.to_thread(problem, calendar, patient, doctor)
    if why is None:
        slots = Context(now_of(ctx.call), ctx.call)
        why = _day.valid(day, slots) or _time.valid(at, slots)
    if why is not None:
        ctx.refuse(why)
    made = await asyncio.to_thread(calendar.book, ctx.call.id, patient, doctor, day, at)
    if isinstance(made, Taken):
        return Busy(in_words(made)) if made.free else Full()
    ctx.call.data["outcome"] = "booked"
    return made


def problem(calendar: Calendar, patient: str | None, doctor: str | None) -> str | None:
    """Why there can be no appointment of these two, if so, as a sentence."""
    doctors = calendar.doctors()
    if doctor is not None and doctor not in doctors:
        return f"There is no doctor {doctor!r}; there are {', '.join(doctors)}."
    if patient is not None and patient not in calendar.patients():
        return f"There is no patient {patient!r}: ask for the first and the last name again."
    return None


def now_of(call: Call) -> datetime:
    """What time it is where the clinic is."""
    return datetime.fromtimestamp(call.clock.wall_ms() / 1000, ZoneInfo(ZONE))


def in_words(taken: Taken) -> str:
    """The free times, each day said once: "Friday the second of January at ten or eleven"."""
    days: dict[date, list[str]] = {}
    for free in taken.free:
        days.setdefault(free.day, []).append(_time.say(free.time))
    return ", or ".join(
        f"{WEEKDAYS[d.weekday()]} the {ORDINALS[d.day]} of {MONTHS[d.month - 1]} at {' or '.join(times)}"
        for d, times in days.items()
    )


_day, _time = day, at

STATES: list[AnyState] = [
    State("welcome", "City clinic, hello.", to="menu"),
    State(
        "menu",
        "Would you like to book an appointment, or hear our opening hours?",
        intents=[
            Intent(
                "book",
                "book an appointment",
                "an appointment",
                "make an appointment",
                "see a doctor",
                to="appointment",
                key="1",
                takes=[doctor, day, at],
            ),
            Intent("hours", "opening hours", "when are you open", to="hours", key="2"),
        ],
    ),
    State("hours", "We are open from Monday to Friday, from nine to five.", to="menu"),
    State(
        "appointment",
        slots=[patient, doctor, day, at],
        confirm="{patient}, with {doctor}, on {day} at {at}. Is that right?",
        to="book",
    ),
    Do("book", book, exits={Booked: "booked", Busy: "taken", Full: "full"}, failed="trouble"),
    State(
        "taken",
        "I am sorry, {doctor} is not free on {day} at {at}. What is free is {book.free}.",
        slots=[doctor, day, at],
        clear=["at"],
        confirm="{doctor}, on {day} at {at}. Is that right?",
        to="book",
    ),
    Handoff("full", "{doctor} has no free time. I will put you through to the reception.", target="reception"),
    Handoff(
        "trouble",
        "I am sorry, I cannot reach our calendar. I will put you through to the reception.",
        target="reception",
        reason="tool-failed",
    ),
    End(
        "booked",
        "You have an appointment with {doctor} on {day} at {at}. Thank you for calling, goodbye!",
        outcome="booked",
    ),
]


def bot(call: Call, *parts: Processor) -> Pipeline:
    """The clinic. parts: in place of its own recognizer and voice."""
    return pipeline(call, STATES, *parts)


def pipeline(call: Call, states: Sequence[AnyState], *parts: Processor) -> Pipeline:
    """The bot with these states. It has ears and a mouth if the call has sound; `parts` take the place of its own."""
    return around(call, [Flow(states, start="welcome", person="reception", zone=ZONE)], *parts)


def around(call: Call, answering: Sequence[Processor], *parts: Processor) -> Pipeline:
    """The same around whatever answers the turns."""
    ears: list[Processor] = []
    mouth: list[Processor] = []
    if call.transport.output().accepts:  # a call of audio; one of text brings its turns by itself
        from ..processors.stt import STT, PocketSphinxSTT
        from ..processors.tts import TTS, EspeakTTS
        from ..processors.turn import Turns
        from ..processors.vad import SileroVAD

        hearing = next((part for part in parts if isinstance(part, STT)), None)
        speaking = next((part for part in parts if isinstance(part, TTS)), None)
        ears = [SileroVAD(), hearing or PocketSphinxSTT(), Turns()]
        mouth = [speaking or EspeakTTS()]
    return Pipeline([call.transport.input(), *ears, *answering, *mouth, call.transport.output()])
