"""A bakery's line: callers hear whether their order is ready, and when the shop is open, by voice or by keys.

    voiceframe check examples/twilio_bot.py    # has this machine all that it needs?
    voiceframe run examples/twilio_bot.py      # take the calls of a number

`docs/twilio.md` says how to get a number and what to set before. It hears and speaks on this machine: no other account
is needed.
"""

from dataclasses import dataclass

from voiceframe import Call, Pipeline
from voiceframe.flow import AnyState, Digits, Do, End, Flow, Handoff, Intent, State
from voiceframe.processors import EspeakTTS, PocketSphinxSTT, SileroVAD, Turns
from voiceframe.tools import ToolContext, tool

ORDERS = {"4711": "today at four", "4712": "tomorrow at nine"}  # in place of your own database


@dataclass(frozen=True)
class Known:
    """`at` is when it can be fetched, in words."""

    at: str


@dataclass(frozen=True)
class Unknown:
    """There is no such order."""


@tool(timeout_ms=3_000, side_effects=False)
async def find(ctx: ToolContext, order: str) -> Known | Unknown:
    """Find an order. It changes nothing, so it is given up when the caller hangs up."""
    return Known(ORDERS[order]) if order in ORDERS else Unknown()


order = Digits("order", "What is the number of your order?", length=4, label="number")

STATES: list[AnyState] = [
    State("welcome", "Corner bakery, hello.", to="menu"),
    State(
        "menu",
        "Is it about an order, or our opening hours?",
        intents=[
            Intent("order", "about an order", "my order", "is my order ready", to="number", key="1", takes=[order]),
            Intent("hours", "opening hours", "when are you open", to="hours", key="2"),
        ],
    ),
    State("hours", "We are open from Monday to Saturday, from seven to six.", to="menu"),
    State("number", slots=[order], to="find"),
    Do("find", find, exits={Known: "known", Unknown: "unknown"}, failed="trouble"),
    State("unknown", "There is no order {order}.", slots=[order], clear=["order"], to="find"),
    Handoff("trouble", "I cannot look that up now. I will put you through to the shop.", target="shop"),
    # The last words. The line is hung up when they were heard.
    End("known", "You can fetch order {order} {find.at}. Thank you for calling, goodbye!", outcome="told"),
]


def bot(call: Call) -> Pipeline:
    return Pipeline(
        [
            call.transport.input(),
            SileroVAD(),
            PocketSphinxSTT(),  # hears what the dialog expects, and nothing else
            Turns(),  # when the caller has finished, and when the bot must stop
            Flow(STATES, start="welcome", person="shop", zone="Europe/London"),
            EspeakTTS(),
            call.transport.output(),
        ]
    )
