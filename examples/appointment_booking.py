"""A physiotherapist's line: an agent that books and cancels in SQLite, and an assistant that learns from the calls.

    voiceframe chat examples/appointment_booking.py --script examples/appointment_booking.txt
    voiceframe chat examples/appointment_booking.py --llm openai/gpt-4.1-mini    # with a model, whose key is set
    voiceframe check examples/appointment_booking.py
    VOICEFRAME_LLM_MODEL=openai/gpt-4.1-mini voiceframe run examples/appointment_booking.py
    voiceframe assistant report    # which greeting books more?

Without a model it answers by rules. With sound it recognizes `PHRASES` on this machine, or whatever callers say with
`VOICEFRAME_STT_PROVIDER=deepgram` and its key. Its calendar is the file `APPOINTMENTS_DB`, or `appointments.db`.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date, time

from voiceframe import Agent, Assistant, Call, Pipeline
from voiceframe.assistant import DAY_MS, Experiment, FinishedCall, Goal, Memory, Variant
from voiceframe.errors import AssistantError
from voiceframe.flow import Context, Time
from voiceframe.llm import LLMRequest, Part
from voiceframe.processors import STT, TTS, AgentSettings, Expects, SileroVAD, Turns
from voiceframe.rehearsed import Rehearsed, call_tool
from voiceframe.talk import model_or
from voiceframe.tools import ToolContext, collect_date, hang_up, tool

HOURS = (time(9), time(10), time(11), time(14), time(15))
TIME = Time("at", earliest=HOURS[0], latest=HOURS[-1], step_minutes=60)
SCHEMA = """
create table if not exists appointments (
    number integer primary key, day text not null, at text not null, name text not null, key text not null unique
);
create unique index if not exists once on appointments (day, at);
create table if not exists outbox (key text primary key, phone text not null, message text not null);
"""


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """In place of your own calendar: one transaction."""
    with closing(sqlite3.connect(os.environ.get("APPOINTMENTS_DB", "appointments.db"), timeout=3)) as db, db:
        db.executescript(SCHEMA)
        yield db


def free_hours(day: date) -> list[time]:
    with database() as db:
        taken = {at for (at,) in db.execute("select at from appointments where day = ?", (str(day),))}
    return [at for at in HOURS if str(at) not in taken] if day.weekday() < 5 else []


def insert(day: date, at: time, name: str, key: str) -> int | None:
    """The number of the appointment: the same for the same key. None if the hour is taken."""
    with database() as db:
        row = (str(day), str(at), name, key)
        db.execute("insert or ignore into appointments (day, at, name, key) values (?, ?, ?, ?)", row)
        found: tuple[int] | None = db.execute("select number from appointments where key = ?", (key,)).fetchone()
    return found[0] if found else None


def delete(number: int, name: str) -> bool:
    with database() as db:
        gone = db.execute("delete from appointments where number = ? and lower(name) = lower(?)", (number, name))
    return gone.rowcount == 1


@tool(side_effects=False, timeout_ms=5_000)
async def availability(day: date) -> str:
    """Look up at which hours there is an appointment on a day.

    day: the day, as 2026-12-03.
    """
    return ", ".join(TIME.say(at) for at in await asyncio.to_thread(free_hours, day)) or "nothing"


@tool(confirm="{name}, on {day} at {at}. Is that right?", timeout_ms=8_000, retries=2, say_after_ms=1_000)
async def book(ctx: ToolContext, day: date, at: time, name: str) -> str:
    """Book an appointment. The caller is asked by itself whether all is right.

    day: the day, as 2026-12-03. Ask for it with collect_date.
    at: one of the hours that availability has told, as 14:00.
    name: first and last name.
    """
    if at not in HOURS or day.weekday() > 4:
        ctx.refuse("There is nothing free then: availability says what is")
    number = await asyncio.to_thread(insert, day, at, name, ctx.idempotency_key)
    if number is None:
        ctx.refuse("Somebody else has just taken that hour: availability says what is left")
    ctx.call.data["outcome"] = "booked"
    with suppress(AssistantError):  # it is booked all the same, if it is not known who calls
        await memory.of(ctx.call).set("name", name)
    return f"appointment number {number}"


@tool(confirm="Shall I cancel appointment number {number}?", timeout_ms=5_000, retries=2)
async def cancel(ctx: ToolContext, number: int, name: str) -> str:
    """Cancel an appointment. The caller is asked by itself whether it is right.

    number: that of the appointment, which was told when it was booked.
    name: first and last name, as it was booked.
    """
    if not await asyncio.to_thread(delete, number, name):
        ctx.refuse("There is no appointment of that number and name")
    ctx.call.data["outcome"] = "cancelled"
    return "cancelled"


def next_step(match: re.Match[str], request: LLMRequest) -> list[Part] | str:
    """What is still missing of day, time and name; with all three it can be booked."""
    text = "\n".join(message.text for message in request.messages)
    words = re.findall(r"\w+", " ".join(each.text for each in request.messages if each.role == "user").lower())
    days = re.findall(r"^\d{4}-\d\d-\d\d$", text, re.MULTILINE)
    times = [found.values[0] for found in TIME.spot(words, Context())]
    names = re.findall(r"(?:name is|I am) ([A-Z]\w+ [A-Z]\w+)", text)
    if not days:
        return call_tool("collect_date", question="On which day?")
    if not times:
        return call_tool("availability", day=days[-1])
    return call_tool("book", day=days[-1], at=str(times[-1])[:5], name=names[-1]) if names else "What is your name?"


model = model_or(  # without one: the first rule that fits
    Rehearsed(
        (r"^book returned: (.*)", "It is booked, with {1}. Is there anything else?"),
        (r"^cancel returned", "It is cancelled. Is there anything else?"),
        (r"^book failed: .*said no", "What shall I change, the day or the time?"),
        (r"^book failed: .*(taken|nothing free)", "I am sorry, somebody has just taken that hour. Which other day?"),
        (r"^\w+ failed: .*no appointment", "I find no such appointment. Is there anything else?"),
        (r"^\w+ failed", "I am sorry, I cannot reach our calendar. Please call again later."),
        (r"^collect_date returned: ([-\d]+)", call_tool("availability", day="{1}")),
        (
            r"^availability returned: nothing",
            call_tool("collect_date", question="Nothing is free then. Which other day?"),
        ),
        (r"^availability returned: (.*)", "There is {1}. At what time?"),
        (r"cancel \w+ (\d+).*I am (\w+ \w+)", call_tool("cancel", number="{1}", name="{2}")),
        (r"day|another", call_tool("collect_date", question="On which day?")),
        (r"appointment|I am|name is|\b(nine|ten|eleven|two|three|\d+:00)\b", next_step),
        (r"bye|no thank", call_tool("hang_up", goodbye="Thank you for calling, goodbye!")),
        otherwise="I can book an appointment, or cancel one. What would you like?",
    )
)

INSTRUCTIONS = """\
You answer the telephone of Harbour Physiotherapy. It is {{ weekday }}, {{ date }}. You book appointments, and cancel
them. Ask for the day with collect_date, look up what is free, offer it, ask for the name, and book. Tell the number of
the appointment. What you write is read aloud: one or two short sentences, no lists. When all is done, hang up.
The caller's name is {{ data.memory.name | default("not known") }}.
"""
PHRASES = (
    "I need an appointment",
    "[at] (nine | ten | eleven | two | three) [please]",
    "the day",
    "no thanks [goodbye]",
)


def attested(call: Call) -> bool:
    """The carrier vouches for the number: its own customer, who may use it."""
    return call.metadata.get("StirVerstat") == "TN-Validation-Passed-A"


def confirm_by_message(call: FinishedCall) -> None:  # runs in a thread, when the call is over
    """In place of your own gateway of text messages. It may run twice for one call, and sends once."""
    if call.goals["booked"]:
        with database() as db:
            row = (call.idempotency_key, call.from_, "Your appointment is booked.")
            db.execute("insert or ignore into outbox values (?, ?, ?)", row)


def receptionist(call: Call) -> Agent:
    tools = (collect_date, availability, book, cancel, hang_up)
    settings = AgentSettings(zone="Europe/London")
    return Agent("physio", INSTRUCTIONS, model, tools=tools, greeting="Harbour Physio, hello!", settings=settings)


memory = Memory("sqlite:///voiceframe.db", ttl_ms=365 * DAY_MS, verified=attested)
assistant = Assistant(
    receptionist,
    name="physio",
    experiments=[Experiment("greeting", [Variant("plain"), Variant("offer", greeting="Physio, when may we see you?")])],
    memory=memory,
    goals=[Goal("booked", tool="book"), Goal("turns", measure=lambda call: len(call.turns))],
    after=[confirm_by_message],
)


async def bot(call: Call) -> Pipeline:
    agent = await assistant.agent(call)
    if call.has_audio:
        parts = [SileroVAD(), STT.by_name(), Turns(), Expects(*PHRASES), agent, TTS.by_name()]
    else:
        parts = [Turns(), agent]  # it makes turns of keys
    return Pipeline([call.transport.input(), *parts, call.transport.output()])
