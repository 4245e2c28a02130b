"""Time: one clock for a call, which is its event loop's.

`VirtualTimeLoop` is an event loop whose clock leaps to the next timer instead of waiting, so that a call of minutes
runs in milliseconds, with the same events on every run. `Ticker` is the fixed grid on which periodic work is done.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, Never, TypeVar

from .errors import VirtualTimeError

__all__ = ["MediaClock", "Ticker", "VirtualTimeLoop", "is_virtual", "run_virtual", "ticker"]

T = TypeVar("T")

#: What the wall clock shows when virtual time is 0: 2026-01-01T00:00:00Z. Fixed, so that runs can be compared.
VIRTUAL_EPOCH_MS: Final = 1_767_225_600_000

#: Timers on virtual time that are so close together, in seconds, fire in one round.
_RESOLUTION: Final = 1e-9
#: So many cancelled timers, if they are the most, are taken out before their time.
_MANY: Final = 100


def is_virtual(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether time on `loop` is virtual."""
    return bool(getattr(loop, "virtual", False))


class MediaClock:
    """The time in a call: milliseconds of loop time since it began, and the wall time that belongs to it."""

    __slots__ = ("_began", "_began_ns", "_loop", "_wall")

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_ms: int | None = None) -> None:
        self._loop = loop
        self._began = loop.time()
        # A stock loop's time is time.monotonic(); in whole nanoseconds it is the same at half the price. Half a
        # millisecond early, so that dividing rounds.
        stock = type(loop).time is asyncio.BaseEventLoop.time
        self._began_ns = time.monotonic_ns() - 500_000 if stock else 0
        if wall_ms is None:
            virtual_ms = VIRTUAL_EPOCH_MS + round(self._began * 1000)
            wall_ms = virtual_ms if is_virtual(loop) else time.time_ns() // 1_000_000
        self._wall = wall_ms

    def at_ms(self) -> int:
        """Milliseconds since the call began."""
        if self._began_ns:
            return (time.monotonic_ns() - self._began_ns) // 1_000_000
        return round((self._loop.time() - self._began) * 1000)

    def wall_ms(self) -> int:
        """Milliseconds since 1970, taken once at the beginning and carried on by the loop's clock.

        So the times of one call never run backwards, whatever happens to the machine's clock.
        """
        return self._wall + self.at_ms()


class Ticker:
    """Calls back on a fixed grid of the loop's time: the multiples of `period_ms`. Get it from `ticker()`.

    Armed on demand, so that an idle process sleeps. The grid does not depend on who came first: a neighbour's call
    never changes when this one is served. Within a tick the order is that of registration.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, period_ms: int) -> None:
        self._loop = weakref.ref(loop)  # tickers are kept by loop: a strong one would keep every loop for ever
        self._period = period_ms
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` at every tick from the next one on. Returns the function that takes it out again."""
        self._number += 1
        key = self._number
        self._callbacks[key] = callback
        if self._timer is None:
            self._arm()

        def remove() -> None:
            self._callbacks.pop(key, None)
            if not self._callbacks and self._timer is not None:
                self._timer.cancel()
                self._timer = None

        return remove

    def _arm(self) -> None:
        # Counted in whole periods, so that the grid does not drift by summed rounding errors. The epsilon keeps a
        # tick that fires a hair early from firing twice.
        loop = self._loop()
        assert loop is not None, "only what runs on the loop comes here"
        number = int(loop.time() * 1000 / self._period + 1e-6) + 1
        self._timer = loop.call_at(number * self._period / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for key in tuple(self._callbacks):
            callback = self._callbacks.get(key)
            if callback is None:
                continue
            try:
                callback()
            except Exception as error:  # one subscriber must not stop the grid for the others
                loop = asyncio.get_running_loop()
                loop.call_exception_handler({"message": "a tick raised", "exception": error})
        if self._callbacks and self._timer is None:
            self._arm()


_tickers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Ticker]] = weakref.WeakKeyDictionary()


def ticker(period_ms: int, loop: asyncio.AbstractEventLoop | None = None) -> Ticker:
    """The loop's ticker with this period: all who ask for the same period share it."""
    loop = loop or asyncio.get_running_loop()
    tickers = _tickers.get(loop)
    if tickers is None:
        tickers = _tickers[loop] = {}
    found = tickers.get(period_ms)
    if found is None:
        found = tickers[period_ms] = Ticker(loop, period_ms)
    return found


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """An event loop on virtual time.

    `run_in_executor` (and with it `asyncio.to_thread`) runs inline and delivers its result at the same virtual time;
    a call from a foreign thread is refused; timers of equal time fire in the order of their creation. Sockets and
    subprocesses do not exist here.
    """

    virtual: Final = True

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        # By time, and among those of equal time by creation, which asyncio's own heap leaves to chance. No two are
        # equal, so that no handle is ever compared.
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._scheduled = self._timers  # the base empties it in the end
        self._timers_made = 0
        self._timers_cancelled = 0  # of those in the heap
        self.seeds_given = 0
        self._owner = threading.get_ident()

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        """What the base does in each round, without sockets to ask and without a wait."""
        timers = self._timers
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)[2]._scheduled = False  # type: ignore[attr-defined]
            self._timers_cancelled -= 1
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                self._deadlock()
            if timers[0][0] > self._now:
                self._now = timers[0][0]
        end = self._now + _RESOLUTION
        while timers and timers[0][0] < end:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer.cancelled():
                ready.append(timer)
            else:
                self._timers_cancelled -= 1
        # What these make ready waits for the next round.
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """The base is told so by a timer that is cancelled while it waits."""
        if not handle._scheduled:  # type: ignore[attr-defined]
            return
        timers = self._timers
        self._timers_cancelled += 1
        if self._timers_cancelled > _MANY and self._timers_cancelled * 2 > len(timers):
            # The one that is being cancelled is not marked yet: it goes when its time comes.
            timers[:] = [entry for entry in timers if not entry[2].cancelled()]
            heapq.heapify(timers)
            self._timers_cancelled = 1

    def _deadlock(self) -> Never:
        waiting = sorted(t.get_coro().__qualname__ for t in asyncio.all_tasks(self) if not t.done())  # type: ignore[union-attr]
        raise VirtualTimeError.of(
            "virtual.deadlock", at_ms=round(self._now * 1000), waiting=", ".join(waiting[:8]) or "the loop"
        )

    # The base is typed with the callback's own arguments.
    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._owner:
            raise VirtualTimeError.of("virtual.thread", what="call_soon_threadsafe()")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()

        def deliver(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        try:
            result = func(*args)
        except Exception as error:
            self.call_soon(deliver, None, error)
        else:
            self.call_soon(deliver, result, None)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # the base's
        """There is none."""

    def _write_to_self(self) -> None:
        pass

    # BaseEventLoop asks for these before it knows that it has no sockets.
    def _make_socket_transport(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A socket")

    def _make_datagram_transport(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A socket")

    async def create_connection(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A connection")

    async def create_server(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A server")

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A name lookup")

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A subprocess")

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Never:
        raise VirtualTimeError.of("virtual.real-io", what="A subprocess")


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run(main)`, on virtual time.

    Raises `VirtualTimeError` (`virtual.deadlock`) when everything waits for something that cannot come.
    """
    # PYTHONASYNCIODEBUG would time callbacks by the virtual clock; it says nothing here.
    with asyncio.Runner(loop_factory=VirtualTimeLoop, debug=False) as runner:
        return runner.run(main)


def new_seed(loop: asyncio.AbstractEventLoop) -> int:
    """A seed for a call that was given none: from the operating system; on virtual time the next number."""
    if isinstance(loop, VirtualTimeLoop):
        loop.seeds_given += 1
        return loop.seeds_given - 1
    return int.from_bytes(os.urandom(8), "big")
