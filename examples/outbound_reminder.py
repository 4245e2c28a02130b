"""Calls people about their appointment of tomorrow: they say whether they come, or move it, or cancel it.

    voiceframe chat examples/outbound_reminder.py --called +447700900101    # you are Anna Smith, and are called
    voiceframe chat examples/outbound_reminder.py --script examples/outbound_reminder.txt
    voiceframe check examples/outbound_reminder.py
    voiceframe run examples/outbound_reminder.py         # takes the calls of those who call back: docs/twilio.md

A declared dialog talks, which needs no key; with `--llm openai/gpt-4.1-mini` a model does, with the same tools. Who is
not the patient learns nothing, who wants no such calls gets none from then on, and an answering machine is left a
message behind its tone. `remind()` calls everybody, over the dialler of an app: docs/calling-out.md.
"""

import asyncio
import sqlite3
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from voiceframe import Agent, Call, Pipeline, Processor
from voiceframe.dialling import Dialler
from voiceframe.errors import DialError
from voiceframe.flow import AnyState, Branch, Date, Do, End, Flow, Intent, State, Time, When
from voiceframe.processors import STT, TTS, IdleSettings, Manners, SileroVAD, Turns, VoicemailSettings
from voiceframe.subject import subject_of
from voiceframe.talk import model_or
from voiceframe.tools import AnyTool, ToolContext, hang_up, tool

ZONE = ZoneInfo("Europe/London")
MESSAGE = "Hello, this is the City Clinic, with a message for {{ data.patient }}. Please call us back. Thank you."
INSTRUCTIONS = """\
You call for the City Clinic, and have asked whether you speak to {{ data.patient }}. Until they have said so, say
nothing about an appointment; if it is somebody else, call wrong_person. {{ data.patient }} has an appointment
{{ data.when }} at {{ data.time }}. It is {{ weekday }}, {{ date }}. Ask whether they come, and call confirm, move or
cancel. If they want no such calls, call opt_out at once. Write one or two short sentences. In the end, hang up.
"""

# In place of your own system.
diary = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
diary.executescript("""
    create table appointments (id integer primary key, patient, number, time, day, status default 'booked');
    create unique index one_at_a_time on appointments (day, time) where status <> 'cancelled';
    create table attempts (appointment, day, round, outcome);
    create table do_not_call (number primary key);
""")
PATIENTS = ("Anna Smith", "+447700900101", "10:00"), ("Peter Miller", "+447700900102", "11:30")


def fill(today: date) -> None:
    """Everybody comes tomorrow."""
    if not diary.execute("select 1 from appointments").fetchone():
        rows = [(*patient, str(today + timedelta(1))) for patient in PATIENTS]
        diary.executemany("insert into appointments (patient, number, time, day) values (?, ?, ?, ?)", rows)


def note(call: Call, status: str) -> None:
    diary.execute("update appointments set status = ? where id = ?", (status, call.data["appointment"]))


@tool()
async def confirm(ctx: ToolContext) -> None:
    """Note that the patient comes."""
    note(ctx.call, "confirmed")


@tool()
async def move(ctx: ToolContext, day: date, at: time) -> Literal["moved", "taken"]:
    """Move the appointment. It may be taken: then ask for another time.

    day: the new day, as 2026-12-03.
    at: on the hour or half past, from nine to half past four.
    """
    row = (str(day), f"{at:%H:%M}", ctx.call.data["appointment"])
    try:
        diary.execute("update appointments set day = ?, time = ?, status = 'booked' where id = ?", row)
    except sqlite3.IntegrityError:
        return "taken"
    return "moved"


@tool()
async def cancel(ctx: ToolContext) -> None:
    """Cancel the appointment. Ask the patient first whether you shall."""
    note(ctx.call, "cancelled")


@tool()
async def wrong_person(ctx: ToolContext) -> None:
    """Note that somebody else has this number."""
    note(ctx.call, "wrong number")


@tool()
async def opt_out(ctx: ToolContext) -> None:
    """Note that this number must not be called again."""
    diary.execute("insert or ignore into do_not_call values (?)", (ctx.call.data["number"],))


TOOLS: list[AnyTool] = [confirm, move, cancel, wrong_person, opt_out, hang_up]
DAY = Date("day", "On which day?", earliest_days=1, latest_days=60, closed=("Saturday", "Sunday"))
AT = Time("at", "At what time?", earliest=time(9), latest=time(16, 30), step_minutes=30, label="time")
STOP = Intent("stop", "stop calling me", "do not call me again", "take me off your list", to="stop", key="9")
YES = ("yes", "yes speaking", "speaking", "that's me", "this is she", "this is he")
NO = ("no", "wrong number", "you have the wrong number", "there is nobody of that name")

STATES: list[AnyState] = [
    Branch("caller", [When("patient", equals="", to="nobody")], to="who"),
    State(
        "who",
        "Hello, this is the City Clinic. Am I speaking to {patient}?",
        intents=[Intent("yes", *YES, to="remind", key="1"), Intent("no", *NO, to="wrong", key="2"), STOP],
    ),
    State(
        "remind",
        "You have an appointment {when} at {time}. Will you come, or would you like to move it, or cancel it?",
        intents=[
            Intent("come", "yes", "I will come", "yes I'll be there", to="confirm", key="1"),
            Intent("move", "move it", "another day", "I would like to move it", to="move", key="2", takes=[DAY, AT]),
            Intent("cancel", "cancel it", "I cannot come", "cancel the appointment", to="sure", key="3"),
            STOP,
        ],
    ),
    State("move", intents=[STOP], slots=[DAY, AT], confirm="On {day} at {at}. Is that right?", to="change"),
    State("taken", "That is taken, I am sorry.", intents=[STOP], slots=[DAY, AT], clear=["at"], to="change"),
    State(
        "sure",
        "Shall I cancel it?",
        intents=[Intent("yes", "yes", to="cancel", key="1"), Intent("no", "no", to="remind", key="2"), STOP],
    ),
    Do("confirm", confirm, to="confirmed", failed="trouble"),
    Do("change", move, exits={"moved": "moved", "taken": "taken"}, failed="trouble"),
    Do("cancel", cancel, to="cancelled", failed="trouble"),
    Do("wrong", wrong_person, to="sorry", failed="sorry"),
    Do("stop", opt_out, to="stopped", failed="trouble"),
    End("confirmed", "Thank you. We look forward to seeing you {when} at {time}. Goodbye!"),
    End("moved", "Your appointment is now on {day} at {at}. Goodbye!"),
    End("cancelled", "Your appointment is cancelled. Goodbye!"),
    End("sorry", "I am sorry to have disturbed you. Goodbye!"),
    End("stopped", "You will not be called again. Goodbye!"),
    End("trouble", "I am sorry, I cannot note that now. Please call the clinic. Goodbye!"),
    End("nobody", "City Clinic. You have no appointment under this number. Goodbye!"),
    End("lost", "I am sorry that I do not understand you. Please call the clinic. Goodbye!"),
]

NEXT = """
    select id, patient, day, time from appointments
    where (id = ? or (? and number = ?)) and status <> 'cancelled' and day >= ? order by day
"""
model = model_or(None)


def bot(call: Call) -> Pipeline:
    """Reminds a patient of an appointment: the one that the call is about, or that of who calls back."""
    today = datetime.fromtimestamp(call.clock.wall_ms() / 1000, ZONE).date()
    fill(today)
    subject = subject_of(call)
    number = call.to if call.direction == "outbound" else call.from_
    found = diary.execute(NEXT, (subject.id if subject else None, subject is None, number, str(today))).fetchone()
    id, patient, day, at = found or (0, "", str(today), "00:00")
    when = "tomorrow" if day == str(today + timedelta(1)) else f"on {DAY.say(date.fromisoformat(day))}"
    said = {"patient": patient, "when": when, "time": AT.say(time.fromisoformat(at))}
    call.data.update(said, appointment=id, number=number)
    talker: Processor = Flow(STATES, start="caller", give_up="lost", zone=str(ZONE), variables=said)
    if model is not None and found:
        greeting = f"Hello, this is the City Clinic. Am I speaking to {patient}?"
        talker = Agent("reminder", INSTRUCTIONS, model, tools=TOOLS, greeting=greeting)
    if not call.has_audio:
        return Pipeline([call.transport.input(), talker, call.transport.output()])
    manners = Manners(
        voicemail=VoicemailSettings(policy="message", message=MESSAGE),
        idle=IdleSettings(after_ms=7_000, prompts=("Hello? Are you still there?",), goodbye="Goodbye."),
    )
    hearing = manners.around(SileroVAD(), STT.by_name(), Turns())
    return Pipeline([call.transport.input(), *hearing, talker, TTS.by_name(), call.transport.output()])


DUE = """
    select id, number from appointments as a where status = 'booked' and day = ? and number not in do_not_call
    and not exists (select 1 from attempts where appointment = a.id and day = a.day
                    and (round = ? or outcome not in ('busy', 'no-answer', 'failed')))
"""


async def remind(dialler: Dialler, day: date, *, rounds: int = 3, pause_s: float = 1_800) -> None:
    """Call everybody who comes on this day, one after the other; who could not be reached, again after a pause.

    Nobody is called who has opted out, has answered, or was left a message. It may be stopped, and begun again.
    """
    for round in range(rounds):
        if round:
            await asyncio.sleep(pause_s)
        while row := diary.execute(DUE, (str(day), round)).fetchone():
            # Before it is dialled: whatever happens then, nobody is called twice.
            begun = (row[0], str(day), round)
            attempt = diary.execute("insert into attempts values (?, ?, ?, 'begun')", begun).lastrowid
            try:
                dialled = await dialler.place(row[1], bot, subject=("appointment", str(row[0])))
                outcome = await dialled.call.wait_ended()
            except DialError:  # no line is free, say
                outcome = "failed"
            diary.execute("update attempts set outcome = ? where rowid = ?", (outcome, attempt))
