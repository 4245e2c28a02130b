"""The telephone menu of a power company, by keys and by voice: no model, no key, no network.

    voiceframe chat examples/ivr_menu.py
    voiceframe flow test examples/ivr_menu.yaml --script examples/ivr_menu.txt      # at a certain hour, without tools
    voiceframe check examples/ivr_menu.py
    voiceframe run examples/ivr_menu.py                                             # docs/twilio.md

The dialog is `ivr_menu.yaml`, beside this file: greeting by the time of day, opening hours, a menu, two look-ups, a
message by night, and a number for emergencies. It may be edited while calls run: those from then on go by the new one,
and one that cannot work is not taken. `IVR_INBAND_KEYS=1` hears keys in the sound, for lines that do not tell of them.
"""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voiceframe import Call, Pipeline, Processor
from voiceframe.flow import Flow, Message
from voiceframe.processors import STT, TTS, InbandDTMF, SileroVAD, Turns
from voiceframe.tools import ToolContext, tool

MENU = Path(__file__).with_suffix(".yaml")

# In place of your own system.
office = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
office.executescript("""
    create table bills (account primary key, dollars integer, due);
    create table outages (zip_code primary key, area, until);
    create table messages (key primary key, caller, path, text);
    insert into bills values ('471100', 120, 'the first of May');
    insert into outages values ('11101', 'Queens', 'ten');
""")


@dataclass(frozen=True)
class Bill:
    dollars: int
    due: str


@dataclass(frozen=True)
class Outage:
    """A power cut that is known: where, and when it will be over."""

    area: str
    until: str


@tool(timeout_ms=3_000, side_effects=False)
async def bill(ctx: ToolContext, account: str) -> Bill | Literal["unknown"]:
    """Look up the last bill of an account."""
    row = office.execute("select dollars, due from bills where account = ?", (account,)).fetchone()
    return Bill(*row) if row else "unknown"


@tool(timeout_ms=3_000, side_effects=False)
async def outage(ctx: ToolContext, zip_code: str) -> Outage | Literal["none"]:
    """Look up whether a power cut is known."""
    row = office.execute("select area, until from outages where zip_code = ?", (zip_code,)).fetchone()
    return Outage(*row) if row else "none"


@tool(timeout_ms=5_000)
async def file_message(ctx: ToolContext, box: Message) -> Literal["noted"]:
    """Put a message onto the list of those who call back."""
    row = (ctx.idempotency_key, ctx.call.from_, box.path, box.text)
    office.execute("insert or ignore into messages values (?, ?, ?, ?)", row)
    return "noted"


def bot(call: Call) -> Pipeline:
    menu = Flow.load(MENU, tools=[bill, outage, file_message])
    parts: list[Processor] = [menu]
    if call.has_audio:
        keys = [InbandDTMF()] if os.environ.get("IVR_INBAND_KEYS") else []
        parts = [*keys, SileroVAD(), STT.by_name(), Turns(), menu, TTS.by_name()]
    return Pipeline([call.transport.input(), *parts, call.transport.output()])
