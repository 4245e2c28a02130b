"""Calls that are placed in memory: a number is answered by a telephone that was registered for it.

    dialler = LoopbackDialler()
    dialler.register("+493012345678", lambda: LoopbackTransport())

For tests, examples and simulations: everything is as over a carrier, but for the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ..call import Call
from ..errors import DialError
from ..transports.base import Transport
from ..transports.text import TextTransport
from .dialler import Answer, Dialler, DiallerSettings, Outcome, Outgoing, e164

__all__ = ["LoopbackDialler"]


@dataclass(slots=True, eq=False)
class _Phone:
    """A telephone, and the call that it is on."""

    line: Callable[[], Transport]
    rings_ms: int
    outcome: Outcome
    on_answer: Callable[[Call], None] | None
    call: Call | None = None

    @property
    def engaged(self) -> bool:
        return self.call is not None and not self.call.ended


class LoopbackDialler(Dialler):
    """Reaches the telephones that are registered here. A number that nobody has fails, as with a carrier."""

    def __init__(self, settings: DiallerSettings | None = None) -> None:
        super().__init__(settings)
        self._phones: dict[str, _Phone] = {}
        #: Every number that was dialled, in order.
        self.dialled: list[str] = []

    def register(
        self,
        number: str,
        line: Callable[[], Transport],
        *,
        rings_ms: int = 1_000,
        outcome: Outcome = "answered",
        on_answer: Callable[[Call], None] | None = None,
    ) -> None:
        """From now on this telephone has the number.

        line: makes the line of each call: a `LoopbackTransport` for sound, a `TextTransport` for words. Its far end is
            whoever has made it.
        rings_ms: how long it rings before it is answered, or refused. One that is on a call is `busy` at once.
        outcome: what comes of a call: `"no-answer"` rings for ever.
        on_answer: told the call when it is answered.

        Raises `DialError` (`dial.number`, `dial.phone`).
        """
        if not callable(line):
            raise DialError.of("dial.phone", number=number, error=f"{line!r} is no function")
        self._phones[e164(number)] = _Phone(line, rings_ms, outcome, on_answer)

    def outgoing(self, number: str, from_: str) -> Outgoing:
        return _Attempt(self, number, self._phones.get(number))


@dataclass(slots=True, eq=False)
class _Attempt(Outgoing):
    """One attempt to reach a telephone."""

    dialler: LoopbackDialler
    number: str
    phone: _Phone | None
    transport: Transport = field(init=False)
    call: Call | None = None

    def __post_init__(self) -> None:
        line: object = TextTransport() if self.phone is None else self.phone.line()
        if not isinstance(line, Transport):
            raise DialError.of("dial.phone", number=self.number, error=f"its line is {line!r}")
        self.transport = line

    async def dial(self, call: Call) -> Answer:
        self.dialler.dialled.append(self.number)
        phone = self.phone
        if phone is None:
            return Answer("failed", "nobody has this number")
        if phone.engaged:
            return Answer("busy", "engaged")
        phone.call = self.call = call
        if phone.outcome == "no-answer":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(phone.rings_ms / 1000)
        if phone.outcome == "answered" and phone.on_answer is not None:
            phone.on_answer(call)
        return Answer(phone.outcome)

    async def cancel(self) -> None:
        if self.phone is not None and self.phone.call is self.call:
            self.phone.call = None
