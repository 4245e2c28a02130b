"""The app: takes calls for a bot, as many as its limits allow, and lets them end in order.

admitted ──▶ starting ──▶ running ──▶ ended
    │            │ the bot raises Reject
    └── Reject ──┘
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from .bots import load_bot
from .call import Call, CallSettings
from .engine import EngineSettings
from .errors import LinkError, Reject
from .events import CallRejected, Environment, Feed
from .pipeline import Pipeline
from .processor import Observer
from .settings import Settings, setting
from .transports.base import Transport

if TYPE_CHECKING:
    from .server import Gateway
    from .sinks import SinkFeed
    from .store import Store

__all__ = ["Admit", "App", "Bot", "Endpoint", "Limits", "standard_observers"]

_log = logging.getLogger("voiceframe.app")

#: What a user writes: called for every call, which shares nothing with any other.
Bot = Callable[[Call], "Pipeline | Awaitable[Pipeline]"]


class Limits(Settings, prefix="LIMITS"):
    """How much one process takes."""

    max_calls: int = setting(default=100, doc="calls at the same time; further ones are refused as busy", ge=1)


class Admit(Protocol):
    """Decides whether a call is taken. Operations plug in here: budgets, hours, measured load, block lists."""

    def __call__(self, app: App, call: Call) -> None:
        """Raise `Reject(reason)` to refuse the call before it is answered."""


class Endpoint(Protocol):
    """Where calls come from: it calls `app.take(...)` for each of them."""

    async def open(self, app: App) -> None:
        """Begin to take calls."""

    async def close(self) -> None:
        """Take no more calls. Those that run go on."""


def standard_observers() -> list[Observer]:
    """What watches every call of an app: traces, latency, audit. A pipeline that has one of its own keeps that."""
    from .processors.observers import AuditObserver, LatencyObserver, TraceObserver

    return [TraceObserver(), LatencyObserver(), AuditObserver()]


class App:
    """Runs a bot for many calls.

        async with App(bot, endpoint):
            await stop.wait()

    bot: a function of the call that returns its pipeline, or where to find one: `"module:bot"`, `"path/bot.py"`.
    endpoints: opened with the app, closed when it drains.
    store: where the events of all calls are kept: a `Store`, its URL, or None for nowhere.
    sinks: feeds that the events go to besides.
    admit: asked in order after the limits.
    observers: makes the observers that every call gets besides those of its pipeline.
    """

    def __init__(
        self,
        bot: Bot | str,
        *endpoints: Endpoint,
        store: Store | str | None = "sqlite:///voiceframe.db",
        limits: Limits | None = None,
        admit: Iterable[Admit] = (),
        sinks: Sequence[Feed] = (),
        observers: Callable[[], Iterable[Observer]] = standard_observers,
        call_settings: CallSettings | None = None,
        engine_settings: EngineSettings | None = None,
        tenant: str = "default",
        environment: Environment = "development",
    ) -> None:
        self.bot: Bot = load_bot(bot) if isinstance(bot, str) else bot
        self.endpoints = endpoints
        self.limits = limits or Limits.load()
        self._store = store
        self._store_feed: SinkFeed | None = None
        self._sinks = tuple(sinks)
        self._admit = tuple(admit)
        self._observers = observers
        self._call_settings = call_settings
        self._engine_settings = engine_settings
        self._tenant = tenant
        self._environment: Environment = environment
        #: The calls that are starting or running, by id.
        self.calls: dict[str, Call] = {}
        self.draining = False
        self._gateway: Gateway | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._afterwards: set[Callable[[int], Awaitable[object]]] = set()

    @property
    def sinks(self) -> tuple[Feed, ...]:
        """Where the events of all calls go. Opens the store, if that has not been done."""
        if self._store_feed is None and self._store is not None:
            self._store_feed = _feed_of(self._store)
        return (*([self._store_feed] if self._store_feed else []), *self._sinks)

    async def take(
        self,
        transport: Transport,
        *,
        direction: Literal["inbound", "outbound"] = "inbound",
        from_: str = "",
        to: str = "",
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
        seed: int | None = None,
        ringing: bool = False,
    ) -> Call:
        """Admit a call, build its pipeline and start it.

        ringing: it takes its place and is set up, and begins with `call.answered()`.

        Raises `Reject` if it is refused, by the limits, by an `Admit` or by the bot, and whatever the bot raises. A
        refused call takes no place.
        """
        call = Call(
            transport,
            direction=direction,
            from_=from_,
            to=to,
            metadata=metadata,
            id=id,
            seed=seed,
            sinks=self.sinks,
            settings=self._call_settings,
            engine_settings=self._engine_settings,
            tenant=self._tenant,
            environment=self._environment,
        )
        try:
            self._check(call)
            self.calls[call.id] = call  # from here on it holds its place, so that a burst cannot overbook
            pipeline = self.bot(call)
            if inspect.isawaitable(pipeline):
                pipeline = await pipeline
            if not isinstance(pipeline, Pipeline):
                raise LinkError.of("link.not-a-pipeline", what=repr(pipeline), call=call.id)
            own = {type(observer) for observer in pipeline.observers}
            added = (observer for observer in self._observers() if type(observer) not in own)
            await call.start(Pipeline(pipeline.elements, observers=(*pipeline.observers, *added)), ringing=ringing)
        except Reject as refusal:
            self.calls.pop(call.id, None)
            call.log.write(CallRejected(reason=refusal.reason))
            raise
        except BaseException:
            self.calls.pop(call.id, None)
            raise
        task = asyncio.get_running_loop().create_task(self._release(call))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return call

    def _check(self, call: Call) -> None:
        if self.draining:
            raise Reject("draining", "The process is being stopped and takes no more calls.", "Send it to another one.")
        if len(self.calls) >= self.limits.max_calls:
            raise Reject("busy")
        for admit in self._admit:
            admit(self, call)

    async def _release(self, call: Call) -> None:
        await call.wait_ended()
        self._afterwards.update(call.afterwards)
        self.calls.pop(call.id, None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An app is an ASGI application: its `Gateway`, with the settings of the environment."""
        if self._gateway is None:
            from .server import Gateway

            self._gateway = Gateway(self)
        await self._gateway(scope, receive, send)

    async def __aenter__(self) -> Self:
        _ = self.sinks  # a store that cannot be opened is better known now than by the first call
        for endpoint in self.endpoints:
            await endpoint.open(self)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.drain()
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for the work after the calls, let the sinks keep what was written, and close the store that the app has
        opened: five seconds for each."""
        await asyncio.gather(*self._closing)
        afterwards, self._afterwards = self._afterwards, set()
        await asyncio.gather(*(wait(5_000) for wait in afterwards), return_exceptions=True)
        opened = self._store_feed
        await asyncio.gather(*(feed.drained(5_000) for feed in (*([opened] if opened else []), *self._sinks)))
        if opened is not None:
            await asyncio.get_running_loop().run_in_executor(None, opened.close)

    async def drain(self, timeout_ms: int = 30_000) -> bool:
        """Take no more calls and wait until those that run have ended; after `timeout_ms` end them politely.

        Returns whether all of them ended by themselves.
        """
        if not self.draining:
            self.draining = True
            for endpoint in self.endpoints:
                await endpoint.close()
        if not self.calls:
            return True
        waiting = [asyncio.ensure_future(call.wait_ended()) for call in self.calls.values()]
        _, late = await asyncio.wait(waiting, timeout=timeout_ms / 1000)
        if not late:
            return True
        _log.info("drain: ending %d calls after %d ms", len(late), timeout_ms)
        for call in list(self.calls.values()):
            call.end("drained", after="now")
        await asyncio.wait(waiting)
        return False


def _feed_of(store: Store | str | None) -> SinkFeed | None:
    if store is None:
        return None
    from .sinks import SinkFeed, SQLiteSink

    return SinkFeed(SQLiteSink(store))
