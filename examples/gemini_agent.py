"""A parcel service's line with Gemini: it tracks parcels, and has them brought again on a day that is confirmed.

pip install 'voiceframe[google]'
export GEMINI_API_KEY=...
voiceframe chat examples/gemini_agent.py
"""

from datetime import date

from voiceframe import Agent, Call, Pipeline
from voiceframe.providers import Gemini
from voiceframe.tools import ToolContext, collect_date, hang_up, tool

INSTRUCTIONS = """\
You answer the telephone of a parcel service. It is {{ weekday }}, {{ date }}. The caller has the number
{{ call.from | default("unknown") }}. You tell where a parcel is, and have it brought again: let collect_date ask for
the day. Parcels have four digits. What you write is read aloud: one or two short sentences, digits one by one, no
lists. When the caller has all they want, say goodbye and hang up.
"""

PARCELS = {"4711": "at the depot: nobody was at home", "4712": "on its way"}  # in place of your own system


@tool(side_effects=False, timeout_ms=3_000)
async def track(ctx: ToolContext, parcel: str) -> str:
    """Say where a parcel is.

    parcel: its number, four digits.
    """
    if parcel not in PARCELS:
        ctx.refuse("there is no such parcel: ask for the number again")
    return PARCELS[parcel]


@tool(timeout_ms=5_000, retries=2)  # asked again with the same key, your system makes one delivery of it
async def deliver_again(ctx: ToolContext, parcel: str, day: date) -> str:
    """Have a parcel brought again that is at the depot.

    parcel: its number, four digits.
    day: when.
    """
    if not PARCELS.get(parcel, "").startswith("at the depot"):
        ctx.refuse("that parcel is not at the depot")
    PARCELS[parcel] = f"coming on {day:%A, %d %B}"
    return PARCELS[parcel]


model = Gemini("gemini-3.8-flash")  # made once: it serves all calls


def bot(call: Call) -> Pipeline:
    agent = Agent(
        "parcels",
        INSTRUCTIONS,
        model,
        tools=[track, deliver_again, collect_date, hang_up],
        greeting="Parcel service, hello! Which parcel is it about?",
    )
    return Pipeline([call.transport.input(), agent, call.transport.output()])
