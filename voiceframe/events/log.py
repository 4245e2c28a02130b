"""The log of one call: it stamps events with who, when and in which order, and hands them on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, runtime_checkable

from ..errors import EventError
from ..ulid import ULIDs
from .base import Event, event_class, from_fields

__all__ = ["Clock", "Environment", "EventLog", "Feed", "LoggedEvent", "new_trace"]

_logger = logging.getLogger(__name__)

Environment = Literal["development", "production", "eval"]


class Clock(Protocol):
    """The two times of an event."""

    def at_ms(self) -> int:
        """Milliseconds since the call began: its media clock."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""


@runtime_checkable
class Feed(Protocol):
    """What an event log hands its events to: a `SinkFeed`, or a sink that is exact and inline (`MemorySink`)."""

    def put(self, event: LoggedEvent, /) -> None:
        """Takes an event. Never waits and never raises."""

    async def drained(self, timeout_ms: int) -> bool:
        """Waits until the sink has kept what was put so far; False if it has not in time."""


@dataclasses.dataclass(slots=True, frozen=True)
class LoggedEvent:
    """An event as it is kept. The key is (call, writer, seq); the order is that of `at_ms`, then of `id`.

    `data` and `personal` are plain JSON; treat them as immutable. `personal` is None once it was erased.
    """

    id: str  # a ULID
    call: str
    writer: str
    seq: int
    at_ms: int  # time in the call
    wall_ms: int  # epoch milliseconds
    tenant: str
    environment: Environment
    trace: str  # W3C trace id, 32 hexadecimal digits
    turn: int | None
    kind: str
    version: int
    data: dict[str, Any]
    personal: dict[str, Any] | None

    def event(self) -> Event:
        """The typed event. Raises `EventError` for a kind or version that this program does not know
        (`event.unregistered`) and for fields that do not fit it (`event.shape`).

        Fields that were erased hold what their type has for "nothing".
        """
        cls = event_class(self.kind, self.version)
        try:
            return from_fields(cls, self.data | self.personal if self.personal else self.data)
        except (TypeError, AttributeError) as error:
            raise EventError.of("event.shape", what=f"{self.kind} version {self.version}", error=error) from error

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, in the order of their declaration."""
        return {name: getattr(self, name) for name in _NAMES}

    def to_json(self, *, wall: bool = True) -> str:
        """One line of JSON, keys always in the same order.

        With `wall=False` without `wall_ms` and without the id, which holds it: what two runs of a call have in common.
        """
        fields = self.to_dict()
        if not wall:
            del fields["wall_ms"], fields["id"]
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> LoggedEvent:
        """The event from what `to_json()` made. Raises `EventError` (`event.shape`) for anything else."""
        try:
            return cls.from_dict(json.loads(line))
        except ValueError as error:
            raise EventError.of("event.shape", what="A line of a log", error=error) from error

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> LoggedEvent:
        """The event from what `to_dict()` made; keys that it does not know are ignored. Raises `EventError`."""
        try:
            return cls(**{name: fields[name] for name in _NAMES})
        except (KeyError, TypeError) as error:
            raise EventError.of("event.shape", what="A line of a log", error=repr(error)) from error


_NAMES: Final = tuple(field.name for field in dataclasses.fields(LoggedEvent))


def new_trace(rng: random.Random) -> str:
    """A W3C trace id: 32 hexadecimal digits that are not all zero."""
    return f"{rng.getrandbits(128) or 1:032x}"


class EventLog:
    """The events of one call on their way to its sinks.

    `write()` belongs to the call's event loop. A process that writes events of a call beside the call's own (a webhook,
    an operator's console) makes an `EventLog` of its own and must pass a `writer` name that nobody else uses for that
    call, since each writer counts from 0.
    """

    def __init__(
        self,
        call: str,
        *,
        clock: Clock,
        rng: random.Random,
        sinks: Sequence[Feed] = (),
        trace: str | None = None,
        tenant: str = "default",
        environment: Environment = "development",
        on_event: Sequence[Callable[[LoggedEvent], None]] = (),
    ) -> None:
        self.call = call
        self.tenant = tenant
        self.environment = environment
        # A generator of its own: how many events are written must not change what else the call draws from `rng`.
        own = random.Random(rng.getrandbits(64))
        self.trace = new_trace(own) if trace is None else trace
        self._ulids = ULIDs(own)
        self._clock = clock
        self._feeds = tuple(sinks)
        self._listeners = list(on_event)
        self._seqs: dict[str, int] = {}
        #: While this is not 0 events are kept without their personal fields.
        self.private = 0

    def write(
        self, event: Event, *, turn: int | None = None, writer: str = "call", at_ms: int | None = None
    ) -> LoggedEvent:
        """Stamps the event and hands it to every sink and listener. Returns at once, however slow a sink is.

        `at_ms` is now in the call if left out; `turn` is the event's own `turn` if left out and it has one. Raises
        `EventError` if the class is not registered (`event.unregistered`) or a value is not JSON (`event.value`).
        """
        kind = getattr(event, "kind", None)
        if kind is None or "kind" not in event.__class__.__dict__:
            raise EventError.of("event.unregistered", what=event.__class__.__name__)
        personal: dict[str, Any] | None
        data, personal = event.split()
        if self.private:
            personal = None
        if turn is None and data.get("turn").__class__ is int:
            turn = data["turn"]
        seq = self._seqs.get(writer, 0)
        self._seqs[writer] = seq + 1
        wall_ms = self._clock.wall_ms()
        logged = LoggedEvent(
            self._ulids.next(wall_ms),
            self.call,
            writer,
            seq,
            self._clock.at_ms() if at_ms is None else at_ms,
            wall_ms,
            self.tenant,
            self.environment,
            self.trace,
            turn,
            kind,
            event.version,
            data,
            personal,
        )
        for feed in self._feeds:
            feed.put(logged)
        for listener in self._listeners:
            try:
                listener(logged)
            except Exception:  # a listener looks on; it must not become an error of the processor that wrote
                _logger.exception("a listener of call %s failed on %s", self.call, kind)
        return logged

    def subscribe(self, listener: Callable[[LoggedEvent], None]) -> Callable[[], None]:
        """Calls `listener` for each event from now on, in `write()`. Returns what ends it."""
        self._listeners = [*self._listeners, listener]  # a new list: one may subscribe while `write` walks the old one

        def unsubscribe() -> None:
            self._listeners = [other for other in self._listeners if other is not listener]

        return unsubscribe

    async def flush(self, timeout_ms: int = 5_000) -> bool:
        """Waits until every sink has kept what was written so far; False if one has not in time."""
        return all(await asyncio.gather(*[feed.drained(timeout_ms) for feed in self._feeds]))

    async def aclose(self, timeout_ms: int = 5_000) -> bool:
        """Flushes and lets go of the listeners. The sinks are the process's and stay open, so work after the end of the
        call may still write."""
        flushed = await self.flush(timeout_ms)
        self._listeners = []
        return flushed
