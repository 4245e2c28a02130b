"""One call to the clinic by way of Twilio: over real sockets at real speed, or in memory on virtual time."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..app import Limits
from ..call import Call
from ..clock import VIRTUAL_EPOCH_MS
from ..errors import VoiceframeError
from ..pipeline import Pipeline
from ..processor import Observer
from ..processors.observers import LatencyObserver, TraceObserver
from ..testing import TwilioCaller, TwilioExchange
from . import clinic
from .breaking import Break
from .calendar import Calendar
from .script import DemoActor, DemoLine, Spoken, demo_plan
from .sounding import Mouth

__all__ = ["Made", "Show", "Switchboard", "let_interrupt", "make_call"]

RATE: Final = 8_000
_HANG_UP_MS: Final = 60_000


class Show:
    """What looks on while a call is made; this one does not."""

    def began(self, caller: TwilioCaller, mouth: Mouth) -> None:
        """The bot has taken the call."""

    def caller_does(self, spoken: Spoken) -> None:
        """The caller begins to say or do this."""

    def ended(self) -> None:
        """The call is over."""


@dataclass
class Made:
    """A call that was made. failure: what kept it from going on, "" if nothing. booked: what the calendar has of it."""

    seed: int
    caller: TwilioCaller
    line: DemoLine
    mouth: Mouth
    actor: DemoActor
    real: bool
    failure: str
    booked: list[tuple[str, str, str, str]]


class Switchboard:
    """One gateway on a port of this machine for many calls, each of which has a bot of its own."""

    def __init__(self, calls: int) -> None:
        self.bots: dict[str, Callable[[Call], Pipeline]] = {}
        self.exchange = TwilioExchange(
            lambda call: self.bots[call.id](call), real=True, limits=Limits(max_calls=max(100, calls))
        )


def _call_id(seed: int) -> str:
    return f"call_{seed:08}"  # as the exchange has it


def let_interrupt() -> None:
    """Let Ctrl-C cancel the running task: by the gateway's lights the call would come to its end first."""
    task = asyncio.current_task()
    with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, and threads other than the main one
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


def local_now(real: bool) -> datetime:
    """What time it is where the clinic is."""
    if real:
        return datetime.now(ZoneInfo("Europe/London")).replace(tzinfo=None)
    return datetime.fromtimestamp(VIRTUAL_EPOCH_MS / 1000, UTC).replace(tzinfo=None)


async def make_call(
    seed: int,
    folder: Path,
    *,
    real: bool,
    show: Show | None = None,
    bot: Callable[[Call], Pipeline] = clinic.bot,
    observers: Sequence[Observer] = (),
    act: Callable[[DemoLine], Awaitable[Any]] | None = None,
    broken: Break | None = None,
    switchboard: Switchboard | None = None,
) -> Made:
    """Call the clinic, whose calendar is made in `folder`.

    act: what to do in place of the script. broken: see there. switchboard: by way of it, with others; then it says
    whether that is real.
    """
    show = show or Show()
    if broken is not None:
        bot = broken.bot
    calendar = folder / "appointments.db"
    mouth = Mouth(RATE)

    def demo_bot(call: Call) -> Pipeline:
        call.data["calendar"] = Calendar(calendar) if broken is None else broken.calendar(calendar)
        pipeline = bot(call)
        return Pipeline(
            pipeline.elements,
            observers=[*pipeline.observers, TraceObserver(), LatencyObserver(), mouth, *observers],
        )

    failure = ""
    if switchboard is not None:
        switchboard.bots[_call_id(seed)] = demo_bot
    reached = TwilioExchange(demo_bot, real=real) if switchboard is None else nullcontext(switchboard.exchange)
    async with reached as exchange:
        if real and switchboard is None:
            let_interrupt()
        line: DemoLine
        caller = exchange.caller(seed=seed, voice=lambda text: line.voice(text))

        def does(spoken: Spoken) -> None:
            show.caller_does(spoken)
            if broken is not None:
                broken.caller_does(spoken)

        line = DemoLine(caller, seed, does)
        await caller.connects()
        if broken is not None:
            broken.began(caller)
        show.began(caller, mouth)
        actor = DemoActor(line, demo_plan(seed, local_now(real)))
        try:
            await (actor.act() if act is None else act(line))
            if line.over:
                await caller.hears_the_end(within_ms=_HANG_UP_MS)
        except (VoiceframeError, TimeoutError) as error:
            failure = str(error) or "the call did not come to an end"
        await caller.hangs_up()
        show.ended()
    with closing(sqlite3.connect(calendar)) as db:
        query = "select doctor, day, time, patient from appointments where call = ?"
        booked = db.execute(query, (caller.call.id,)).fetchall()
    return Made(
        seed=seed,
        caller=caller,
        line=line,
        mouth=mouth,
        actor=actor,
        real=real,
        failure=failure,
        booked=booked,
    )
