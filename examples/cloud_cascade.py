"""A clinic's line from parts of three vendors: Deepgram hears, OpenAI answers, Cartesia speaks, and Twilio calls.

    pip install 'voiceframe[deepgram,openai,cartesia,telephony,vad]'
    export DEEPGRAM_API_KEY=... OPENAI_API_KEY=... CARTESIA_API_KEY=...
    voiceframe check examples/cloud_cascade.py    # has this machine all that it needs?
    voiceframe run examples/cloud_cascade.py      # take the calls of a number: docs/twilio.md

Connections are made while it rings. `ElevenLabsSTT`, `Anthropic`, `ElevenLabsTTS` and the others stand in their places
just as well: docs/providers.md.
"""

from datetime import date

from voiceframe import Agent, Call, Pipeline
from voiceframe.processors import CartesiaTTS, DeepgramSTT, SileroVAD, Turns
from voiceframe.processors.turn import TurnSettings
from voiceframe.providers import OpenAI
from voiceframe.tools import ToolContext, hang_up, tool

INSTRUCTIONS = """\
You book appointments for the City Clinic, with Dr Nguyen. It is {{ weekday }}, {{ date }}. Ask for the day and then
the name. What you write is read aloud: one or two short sentences, no lists, no digits. When it is booked, say so, say
goodbye, and hang up.
"""
GREETING = "City clinic, hello! On which day would you like to come?"

appointments: dict[date, list[str]] = {}  # in place of your own calendar


@tool(side_effects=False, timeout_ms=3_000)
async def availability(day: date) -> int:
    """Look up how many appointments are free on a day.

    day: the day, as 2026-12-03.
    """
    return 0 if day.weekday() > 4 else 8 - len(appointments.get(day, ()))


@tool(timeout_ms=5_000, say_after_ms=1_200)
async def book(ctx: ToolContext, day: date, name: str) -> str:
    """Book an appointment.

    day: the day, as 2026-12-03.
    name: first and last name.
    """
    if day.weekday() > 4 or len(appointments.get(day, ())) >= 8:
        ctx.refuse("There is nothing free on that day: ask for another one")
    appointments.setdefault(day, []).append(name)
    return f"booked for {day:%A, %d %B}"


model = OpenAI("gpt-4.1-mini")  # made once: it serves all calls


def bot(call: Call) -> Pipeline:
    return Pipeline(
        [
            call.transport.input(),
            SileroVAD(),
            DeepgramSTT(hints=["Dr Nguyen", "City Clinic"]),
            Turns(TurnSettings(eager_ms=300)),  # the model is asked before it is certain that the caller has finished
            Agent("clinic", INSTRUCTIONS, model, tools=[availability, book, hang_up], greeting=GREETING),
            CartesiaTTS(prompts=[GREETING]),  # made once, and kept
            call.transport.output(),
        ]
    )
