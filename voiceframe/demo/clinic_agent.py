"""The clinic with a language model in place of the dialog: the same calendar, asked for in the same words.

voiceframe chat --llm openai/gpt-4.1-mini                             # you call it, by typing
voiceframe demo --llm-url http://127.0.0.1:11434/v1 --llm llama3.2    # it is called
"""

from __future__ import annotations

import asyncio
import re
from datetime import date, timedelta
from typing import Any, Final

from ..call import Call
from ..events import HandoffRequested
from ..flow import Context, Expectation, Slot, State, Wording
from ..flow.answers import expected
from ..flow.help import Focus
from ..flow.words import tokens
from ..frames import (
    ExpectFrame,
    Frame,
    InputDTMFFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    UserTurnFrame,
)
from ..llm import LLM
from ..pipeline import Pipeline
from ..processor import Processor, handles, observes
from ..processors.agents import Agent, AgentSettings
from ..tools import ToolContext, tool
from ..tools.call_tools import hang_up
from . import clinic
from .calendar import CLOSED, HORIZON_DAYS

__all__ = ["GREETING", "TOOLS", "Expects", "Keys", "instructions", "pipeline"]

GREETING: Final = "City clinic, hello. Would you like to book an appointment, or hear our opening hours?"

_INSTRUCTIONS: Final = """\
You answer the telephone of the City Clinic and book appointments. What you write is read aloud, and what the caller
says comes from a recognizer that makes mistakes. Write plain sentences, without lists, digits or signs. Be brief: one
or two sentences.

It is {now}. The clinic is open from Monday to Friday, from nine to five; the last appointment is at four thirty, and
they begin on the hour and on the half hour, from tomorrow on. The doctors are {doctors}.

You need four things. Ask for one at a time, for the next that is missing, in these very words:
- the patient: "What is your name?"
- the doctor: "Which doctor would you like to see?"
- the day: "On which day?"
- the time: "At what time?"
Say shortly what you have understood before you ask for the next thing: "Dr Brown. On which day?" If they say several
things at once, take them all.

Days are said as "Thursday the eighth of January", times as "ten", "two thirty". The days are:
{days}

When you have all four, ask: "<patient>, with <doctor>, on <day> at <time>. Is that right?" If they correct something,
take it over and ask that again, with all four. If they only say no, ask: "What should I change: the name, the doctor,
the day or the time?" Only when they have said yes to it, call book. Then say, and nothing else: "You have an
appointment with <doctor> on <day> at <time>. Thank you for calling, goodbye!", and call hang_up in the same answer.

If book says that the doctor is busy, say: "I am sorry, <doctor> is not free on <day> at <time>. What is free is <what
it has said>. At what time?" free_times looks up what is free.

If they ask for the opening hours, say: "We are open from Monday to Friday, from nine to five. Would you like to book
an appointment, or hear our opening hours?" If they want to hear something again, say it again in the same words. If
you did not understand, say: "Sorry, I did not get that.", and ask again. If they want a person, or nothing helps,
call put_through. If they say goodbye, call hang_up.

"(Keys pressed: ...)" are keys of the telephone. To "Is that right?" one is yes and two is no; to the first question
one is an appointment and two the opening hours; for the doctor they are the doctor's place in the list above; for the
day they are day and month, 0801; for the time hours and minutes, 1430. Zero is a person. For the name they are
letters of the last name: call find_patient with them, as with a name of which you are not sure."""


def instructions(call: Call) -> str:
    """What the model is told: with the doctors, and the days that there are appointments on."""
    now = clinic.now_of(call)
    days = [now.date() + timedelta(ahead) for ahead in range(1, HORIZON_DAYS + 1)]
    told = [f"{clinic.day.say(day)} is {day}" for day in days if f"{day:%A}" not in CLOSED]
    return _INSTRUCTIONS.format(
        now=f"{clinic.day.say(now.date())} {now.year}, {now:%H:%M}",
        doctors=", ".join(clinic.calendar_of(call).doctors()),
        days="\n".join(told),
    )


# -- tools


@tool(timeout_ms=5_000, side_effects=False)
async def free_times(ctx: ToolContext, day: date, doctor: str = "") -> dict[str, str]:
    """Look up when the doctors are free on a day.

    day: the day, as 2026-12-03.
    doctor: one of the doctors; all of them, if left out.
    """
    calendar = clinic.calendar_of(ctx.call)
    why = clinic.problem(calendar, None, doctor or None) or clinic.day.valid(day, _context(ctx.call))
    if why is not None:
        ctx.refuse(why)
    found = {}
    for each in [doctor] if doctor else calendar.doctors():
        times = await asyncio.to_thread(calendar.free, each, day)
        found[each] = ", ".join(map(clinic.at.say, times)) or "not at all"
    return found


@tool(timeout_ms=5_000, side_effects=False)
async def find_patient(ctx: ToolContext, said: str) -> str:
    """Find the whole name of a patient.

    said: the name as the caller has said it, or the keys that they pressed.
    """
    context = _context(ctx.call)
    keys = said.strip().removesuffix("#")
    name = clinic.patient.dtmf(keys, context) if keys.isdecimal() else clinic.patient.parse(said, context)
    if name is None:
        ctx.refuse("There is nobody of that name. Ask for the first and the last name again")
    return name


@tool(ends_reply=True)
async def put_through(ctx: ToolContext, summary: str) -> None:
    """Put the caller through to the reception. It is said to them by itself.

    summary: what they want and what is known already, in a sentence, for whoever takes the call.
    """
    ctx.say("I will put you through to someone. One moment, please.")
    ctx.call.data["outcome"] = "handed-over"
    ctx.call.data["handoff"] = "reception"
    ctx.call.log.write(HandoffRequested(target="reception", reason="asked", summary=summary))
    ctx.call.end("handed-over")


TOOLS: Final = (clinic.book, free_times, find_patient, put_through, hang_up)


# -- hearing


def _context(call: Call) -> Context:
    return Context(clinic.now_of(call), call)


#: What the bot has asked, by its words: what is then expected, and in which state of the dialog.
_QUESTIONS: Final[tuple[tuple[str, Focus, str, Slot[Any] | None], ...]] = (
    (r"is that right", "confirm", "appointment", None),
    (r"would you like to book", "state", "menu", None),
    (r"what is your name", "slot", "appointment", clinic.patient),
    (r"which doctor would you like", "slot", "appointment", clinic.doctor),
    (r"on which day", "slot", "appointment", clinic.day),
    (r"what is free is.*at what time", "slot", "taken", clinic.at),
    (r"at what time", "slot", "appointment", clinic.at),
    (r"what should i change", "which", "appointment", None),
)
_SLOTS: Final[tuple[Slot[Any], ...]] = (clinic.patient, clinic.doctor, clinic.day, clinic.at)
_STATES: Final = {state.name: state for state in clinic.STATES}


class Expects(Processor):
    """Tells a recognizer with a grammar what the caller may say: the answers to what the agent in front of it has just
    asked, or all that a caller of the clinic says, if it has asked something else."""

    def __init__(self) -> None:
        self._reply = 0
        self._text = ""
        self._known: set[str] = set()
        self._last: ExpectFrame | None = None

    @observes(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._expect("")

    @handles(ReplyStartedFrame, ReplyEndedFrame)
    def on_reply(self, frame: ReplyStartedFrame | ReplyEndedFrame) -> Frame:
        if isinstance(frame, ReplyStartedFrame):
            self._reply, self._text = frame.reply, ""
        elif frame.reply == self._reply and self._text.strip():
            self._expect(self._text)
        return frame

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> Frame:
        if frame.reply == self._reply:
            self._text += frame.text
        return frame

    def _expect(self, text: str) -> None:
        expectation = self._expectation(" ".join(text.lower().split()))
        frame = ExpectFrame(expectation.jsgf, expectation.phrases, expectation.digits)
        if self._last is None or frame.jsgf != self._last.jsgf:
            self._last = frame
            self.push(frame, upstream=True)

    def _expectation(self, text: str) -> Expectation:
        context = _context(self.call)
        asked = [
            (found.end(), entry) for entry in _QUESTIONS if (found := re.search(f"{entry[0]}(?!.*{entry[0]})", text))
        ]
        if not asked:
            menu = _STATES["menu"]
            assert isinstance(menu, State)
            universals = Wording().universals
            return Expectation(
                context, universals=universals, intents=menu.intents, slots=_SLOTS, answers=True, labels=_SLOTS
            )
        _, (_, focus, state, slot) = max(asked, key=lambda each: each[0])
        before = tokens(" ".join(re.split(r"(?<=[.?!])\s", text)[-3:]))
        echoed = [each.name for each in _SLOTS if focus == "slot" and any(each.spot(before, context))]
        self._known.update(echoed)
        if focus == "confirm":
            self._known.update(each.name for each in _SLOTS)
        return expected(
            focus,
            _STATES[state],
            slot,
            context,
            values=dict.fromkeys(self._known),
            echoed=[name for name in echoed if slot is None or name != slot.name],
            wording=Wording(),
            person=True,
        )


class Keys(Processor):
    """Makes turns of keys where no turn taking does: in a call of text."""

    #: After this pause they are complete, and with `#` or `*`.
    PAUSE_MS: Final = 800

    def __init__(self) -> None:
        self._keys = ""
        self._count = 0

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> Frame:
        if any(not reply.swept for reply in self.call.replies.open.values()):
            self.interrupt("caller")
        self._keys += frame.digit
        self._count += 1
        if frame.digit in "#*":
            self._turn()
        else:
            self.spawn(self._later(self._count), lasting=True)
        return frame

    async def _later(self, count: int) -> None:
        await asyncio.sleep(self.PAUSE_MS / 1000)
        if count == self._count and self._keys:
            self._turn()

    def _turn(self) -> None:
        keys, self._keys = self._keys, ""
        if not self.call.engine.ending:
            self.push(UserTurnFrame(self.call.turns.new(), keys, "dtmf"))


def pipeline(call: Call, *parts: Processor, model: LLM) -> Pipeline:
    """The clinic with this model. parts: as in `clinic.pipeline()`."""
    settings = AgentSettings.load().replace(zone=clinic.ZONE)
    agent = Agent("clinic", instructions, model, tools=TOOLS, greeting=GREETING, settings=settings)
    if call.transport.output().accepts:
        return clinic.around(call, [agent, Expects()], *parts)
    return clinic.around(call, [Keys(), agent])
