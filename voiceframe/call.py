"""Calls: one conversation, from admission to the last event.

A call is ours. A leg is what the carrier has for it, under the carrier's id. A connection is a socket of a leg, which
may be lost and attached again without an end of the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal

from .clock import MediaClock, new_seed
from .dispatcher import current_call
from .ending import EndWish
from .engine import Engine, EngineSettings
from .errors import CallEnded, Unsupported
from .events import (
    CallAnswered,
    CallStarted,
    ConnectionAttached,
    ConnectionLost,
    Environment,
    EventLog,
    Feed,
    LegClosed,
    LegOpened,
)
from .events import CallEnded as CallEndedEvent
from .frames import Frame
from .pipeline import Pipeline
from .processor import Processor
from .replacement import replace
from .replies import Heard, Replies, Reply
from .settings import Settings, setting
from .turns import TurnLedger
from .ulid import ULIDs

if TYPE_CHECKING:
    from .transports.base import Transport

__all__ = ["Call", "CallSettings", "Connection", "Heard", "Leg", "Line", "Reply", "current_call"]


class CallSettings(Settings, prefix="CALL"):
    """What holds for a call as a whole."""

    reply_deadline_ms: int = setting(
        default=6_000, doc="time in which a turn of the caller must be answered by sound", ge=100
    )
    reprompt: str = setting(
        default="Sorry, could you say that again?",
        doc="what is said when a turn was not answered in time; empty for nothing",
    )


@dataclass(frozen=True)
class Line:
    """What this carrier can do: `transfer`, `dtmf`, `record`, `sms`, `hold` …"""

    carrier: str = "none"
    abilities: frozenset[str] = frozenset()

    def can(self, ability: str) -> bool:
        return ability in self.abilities

    def require(self, ability: str) -> None:
        """Raise `Unsupported`, naming the carrier, if it cannot."""
        if ability not in self.abilities:
            raise Unsupported.of("line.unsupported", carrier=self.carrier, what=ability, ability=ability)


@dataclass(slots=True, eq=False)
class Connection:
    """A socket of a leg."""

    id: str
    leg: Leg = field(repr=False)
    attached: bool = True

    def lost(self, reason: str = "") -> None:
        """The socket is gone. The leg may attach another one."""
        if self.attached:
            self.attached = False
            self.leg.call.log.write(ConnectionLost(connection=self.id, reason=reason))


@dataclass(slots=True, eq=False)
class Leg:
    """The carrier's side of a call."""

    id: str
    carrier: str
    call: Call = field(repr=False)
    connections: list[Connection] = field(default_factory=list)
    open: bool = True

    def attach(self, connection: str) -> Connection:
        """A socket has come, the first or a later one."""
        new = Connection(connection, self)
        self.connections.append(new)
        self.call.log.write(ConnectionAttached(connection=connection))
        return new

    @property
    def connection(self) -> Connection | None:
        """The socket that is attached now."""
        return next((c for c in reversed(self.connections) if c.attached), None)

    def close(self, reason: str = "") -> None:
        """The carrier has ended the leg."""
        if self.open:
            self.open = False
            for connection in self.connections:
                connection.lost(reason)
            self.call.log.write(LegClosed(leg=self.id, carrier=self.carrier, reason=reason))


class Call:
    """One conversation. Create it on the event loop on which it is to run; use it on that loop only.

    `seed` makes its ids and random numbers repeatable; without one it comes from the operating system, and on virtual
    time the calls of a loop are numbered from 0. `sinks` are the feeds that its events go to.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        direction: Literal["inbound", "outbound"] = "inbound",
        from_: str = "",
        to: str = "",
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        seed: int | None = None,
        sinks: Sequence[Feed] = (),
        settings: CallSettings | None = None,
        engine_settings: EngineSettings | None = None,
        tenant: str = "default",
        environment: Environment = "development",
        trace: str | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        if seed is None:
            seed = new_seed(loop)
        #: Random numbers for everything in this call that needs some: the same on every run with the same seed.
        self.rng = random.Random(seed)
        self.clock = MediaClock(loop)
        self.id = id or f"call_{ULIDs(self.rng).next(self.clock.wall_ms())}"
        self.direction = direction
        self.from_ = from_
        self.to = to
        self.metadata: Mapping[str, Any] = metadata or {}
        #: The application's own.
        self.data: dict[str, Any] = {}
        #: What has work to do when the call is over. An app that stops calls each, with the time that there is in ms,
        #: and waits for it.
        self.afterwards: list[Callable[[int], Awaitable[object]]] = []
        self.settings = settings or _default_settings()
        self._engine_settings = engine_settings or _default_engine_settings()
        self.log = EventLog(
            self.id,
            clock=self.clock,
            rng=self.rng,
            sinks=sinks,
            trace=trace,
            tenant=tenant,
            environment=environment,
        )
        self.legs: list[Leg] = []
        self.replies = Replies(self)
        self.turns = TurnLedger(self)
        self.replies.closed_listeners.append(self.turns.reply_closed)
        self.transport = transport
        transport.bind(self)
        self._engine: Engine | None = None
        self._ended = loop.create_future()
        self._wish: EndWish | None = None

    # -- life

    @property
    def engine(self) -> Engine:
        """What runs the call. Raises `CallEnded` (`call.not-started`) before `start()`."""
        if self._engine is None:
            raise CallEnded.of("call.not-started", call=self.id, what="this")
        return self._engine

    @property
    def line(self) -> Line:
        """What this carrier can do."""
        return self.transport.line

    @property
    def has_audio(self) -> bool:
        """Whether its line carries sound. One of text, as in `voiceframe chat`, brings its turns by itself and takes
        words: its pipeline has no VAD, recognizer, turn taking or voice."""
        return bool(self.transport.output().accepts)

    @property
    def ended(self) -> bool:
        """Whether the call is over, cleanup included."""
        return self._ended.done()

    @property
    def reason(self) -> str:
        """Why it ended or is ending; empty while it is not."""
        return self._engine.reason if self._engine is not None else ""

    async def start(self, pipeline: Pipeline, *, ringing: bool = False) -> None:
        """Link the pipeline, set its processors up, and begin.

        ringing: begin only with `answered()`, so that whoever picks up has a bot that is ready. What is said before
            then waits until then.

        Raises `LinkError` if it cannot work.
        """
        if self._engine is not None:
            raise CallEnded.of("call.started-twice", call=self.id)
        self._engine = Engine(self, pipeline, self._engine_settings)
        self.log.write(
            CallStarted(
                direction=self.direction,
                from_=self.from_,
                to=self.to,
                pipeline=tuple(node.name for node in self._engine.nodes),
            )
        )
        self._engine.prepare()
        if not ringing:
            self._engine.begin()

    @property
    def ringing(self) -> bool:
        """Whether it has yet to be answered: its processors are set up, and no frame moves."""
        return self._engine is not None and not self._engine.begun

    def answered(self) -> None:
        """Media flows, and a call that was ringing begins. Called by the transport."""
        if not self.engine.finished:
            self.log.write(CallAnswered())
            self.engine.begin()

    def end(self, reason: str = "completed", *, after: Literal["heard", "now"] = "heard") -> Awaitable[bool]:
        """Wish for the end of the call. It takes effect also if the result is not awaited.

        after: `"heard"` waits until what is being said was heard; if the caller interrupts it the wish lapses, the call
        goes on, and the result is False. `"now"` stops what is being said; work with side effects still finishes.

        The result is there when the end has begun; `wait_ended()` waits until it is over.
        """
        engine = self.engine
        if (after == "now" or not engine.begun) and not engine.ending:
            engine.hang_up(reason)
        if engine.ending:
            begun: asyncio.Future[bool] = engine.loop.create_future()
            begun.set_result(True)
            return begun
        if self._wish is None or self._wish.settled.done():
            self._wish = EndWish(engine, reason)
        return asyncio.shield(self._wish.settled)

    def hang_up(self, reason: str = "hangup") -> None:
        """The other side has left. Called by the transport."""
        self.engine.hang_up(reason)

    def cancel(self, reason: str = "cancelled") -> None:
        """Close the call at once. Work that must finish gets `cancel_grace_ms`."""
        self.engine.cancel(reason)

    async def wait_ended(self) -> str:
        """Wait until the call is over, cleanup included. Returns the reason."""
        await asyncio.shield(self._ended)
        return self.reason

    def closed(self) -> None:
        """The engine has finished."""
        self.turns.close()
        self.replies.close()
        if self._wish is not None:
            self._wish.settle(True)
        for leg in self.legs:
            leg.close(self.reason)
        self.log.write(CallEndedEvent(reason=self.reason, duration_ms=self.clock.at_ms()))
        if not self._ended.done():
            self._ended.set_result(None)

    # -- talking

    def say(self, text: str, *, interruptible: bool = True) -> Reply:
        """Say `text` as a reply of its own. `await` the result to know what of it was heard.

        Raises `CallEnded` when the call is over.
        """
        return self._begin("say()", text, interruptible, None)

    def play(self, path: str | PathLike[str], *, text: str = "", interruptible: bool = True) -> Reply:
        """Play an audio file (WAV) as a reply of its own: it is interrupted, and heard, as speech is.

        text: what is said in it, for the transcript; left empty, that has the name of the file in brackets.

        Raises `CallEnded` when the call is over. A file that cannot be read is a failure of the TTS that plays it.
        """
        return self._begin("play()", text, interruptible, fspath(path))

    def _begin(self, what: str, text: str, interruptible: bool, clip: str | None) -> Reply:
        engine = self._running(what)
        number, frames = engine.reply_frames(text, interruptible, self.clock.at_ms(), clip)
        reply = self.replies.open[number]
        for frame in frames:
            self.send(frame)
        return reply

    def interrupt(self, reason: str = "asked") -> None:
        """Stop what is being said, as an operator or a program, not as the caller."""
        self.engine.dispatcher.interrupt(reason)

    def send(self, frame: Frame) -> None:
        """Push a frame downstream from the source. Raises `CallEnded` when the call is over."""
        engine = self._running(f"send({type(frame).__name__})")
        source = engine.nodes[0]
        engine.dispatcher.feed(frame, source.down, None)

    def _running(self, what: str) -> Engine:
        engine = self._engine
        if engine is None:
            raise CallEnded.of("call.not-started", call=self.id, what=what)
        if engine.finished:
            raise CallEnded.of("call.ended", call=self.id, reason=self.reason, what=what)
        return engine

    async def replace(self, old: Processor, new: Processor) -> None:
        """Put `new` in the place of `old`, in the running call.

        `new` is set up while `old` works on. Then, in one step, all further frames go to `new`; `old` is told by an
        `EndFrame` that no more will come, finishes what it has, and is cleaned up; only then does `new` begin, so that
        order is kept. Nothing of the caller is lost or handled twice.

        Raises `LinkError` if `new` cannot stand there, `CallEnded` if the call is ending, or whatever `new.setup()`
        raises; then `old` stays. What `old` has not finished after `end_cap_ms` is cancelled.
        """
        await replace(self._running("replace()"), old, new)

    @contextlib.contextmanager
    def private(self) -> Iterator[None]:
        """While this context is open no audio, text or digits are kept: events lose their personal fields."""
        self.log.private += 1
        try:
            yield
        finally:
            self.log.private -= 1

    # -- the carrier's side

    def open_leg(self, id: str, carrier: str) -> Leg:
        """The carrier has a leg for this call."""
        leg = Leg(id, carrier, self)
        self.legs.append(leg)
        self.log.write(LegOpened(leg=id, carrier=carrier))
        return leg

    def __repr__(self) -> str:
        return f"<Call {self.id}>"


_defaults: dict[type[Settings], Settings] = {}


def _default_settings() -> CallSettings:
    """The settings of the environment, read once for the process: calls are set up in microseconds."""
    found = _defaults.get(CallSettings)
    if not isinstance(found, CallSettings):
        found = _defaults[CallSettings] = CallSettings.load()
    return found


def _default_engine_settings() -> EngineSettings:
    found = _defaults.get(EngineSettings)
    if not isinstance(found, EngineSettings):
        found = _defaults[EngineSettings] = EngineSettings.load()
    return found
