"""The feed between the calls of a process and one sink.

    put ──▶ queue (bounded) ──▶ worker thread: batch ──▶ sink.write
                                   ▲    │ raises
                                   └────┘ the same batch again, after 100 ms, 200 ms … 5 s

Order is kept. When the queue is full the *newest* events are refused and counted: what was accepted keeps its place and
its order, so the record has one hole with an exact size, at a known place, instead of many. As soon as the sink keeps
events again, each call that lost some gets one `sink.lost` with the count, written by the feed into that same sink.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..events import LoggedEvent, SinkLost
from ..ulid import ULIDs
from .base import Sink

__all__ = ["SinkFeed"]

_logger = logging.getLogger(__name__)

_LONGEST_RETRY_S: Final = 5.0
_QUIET_S: Final = 10.0


@dataclasses.dataclass(slots=True)
class _Hole:
    """The events of one call that were refused."""

    first: LoggedEvent
    last: LoggedEvent
    reason: str
    count: int = 0


class SinkFeed:
    """Feeds one sink from any number of event logs, by one daemon thread that starts with the first event.

    `bound` is the number of events that may wait, `batch` the most that are given to the sink at once, `linger_ms` how
    long the worker gathers events before it writes a batch that is not full, `retry_ms` the first pause after a failure
    (doubled up to 5 s). On a virtual-time loop there is no thread: a batch is written inline when it is full, on
    `flush()` and on `close()`, so that every run does the same.

    `close()` is called by the process when it stops, and by the interpreter at its exit if nobody did.
    """

    def __init__(
        self, sink: Sink, *, bound: int = 10_000, batch: int = 500, linger_ms: int = 50, retry_ms: int = 100
    ) -> None:
        self.sink = sink
        self._bound = bound
        self._batch = batch
        self._linger_s = linger_ms / 1000
        self._retry_s = retry_ms / 1000
        # Appending and popping are atomic, so `put` needs no lock. A callable among the events is called when the
        # worker comes to it: everything before it has been dealt with.
        self._queue: deque[LoggedEvent | Callable[[], None]] = deque()
        self._in_flight = 0
        self._awake = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # do not linger: somebody waits
        self._closed = False
        self._thread: threading.Thread | None = None
        self._inline: bool | None = None  # decided by the first event
        self._lost = 0
        self._holes: dict[str, _Hole] = {}
        self._lock = threading.Lock()  # held for a few instructions: to count a loss, to start the thread
        self._failing = False
        self._quiet_until = 0.0

    @property
    def lost(self) -> int:
        """How many events the sink has not kept and never will."""
        return self._lost

    @property
    def pending(self) -> int:
        """How many events wait, or are being written."""
        return sum(isinstance(item, LoggedEvent) for item in self._queue.copy()) + self._in_flight

    def put(self, event: LoggedEvent) -> None:
        """Takes an event, from any thread. Never waits and never raises; the sink is not touched unless inline."""
        if self._closed:
            self._count_loss(event, "closed")
        elif len(self._queue) >= self._bound:
            self._count_loss(event, "full")
        else:
            self._queue.append(event)
            if not self._awake.is_set():
                self._awake.set()
            if self._inline is None:
                self._start()
        if self._inline and len(self._queue) >= self._batch:
            self._write_inline()

    def flush(self, timeout_ms: int = 5_000) -> bool:
        """Waits until the sink has kept all that was put so far; False if it has not in time. Blocks the thread."""
        if self._thread is None:
            return self._write_inline()
        reached = threading.Event()
        self._mark(reached.set)
        return reached.wait(timeout_ms / 1000)

    async def drained(self, timeout_ms: int = 5_000) -> bool:
        """`flush()` for a coroutine: waits without blocking the loop."""
        if self._thread is None:
            return self._write_inline()
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[None] = loop.create_future()

        def reach() -> None:
            if not reached.done():
                reached.set_result(None)

        def reach_from_worker() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(reach)

        self._mark(reach_from_worker)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await reached
        except TimeoutError:
            return False
        return True

    def close(self, timeout_ms: int = 5_000) -> bool:
        """Writes what waits, then closes the sink. False if the sink did not keep it in time: then it is lost.

        Blocks: a coroutine awaits `drained()` first, which leaves little to wait for. Later events are refused.
        """
        if self._closed:
            return self._lost == 0
        flushed = self.flush(timeout_ms)
        self._closed = True
        atexit.unregister(self.close)
        self._hurry.set()
        self._awake.set()
        stuck = False
        if self._thread is not None:
            self._thread.join(1.0)
            stuck = self._thread.is_alive()
        with self._lock:
            self._lost += self.pending
        if self._lost:
            _logger.error("sink %s: closed; %d events are lost in all", self.sink.name, self._lost)
        if not stuck:  # else the thread is inside the sink
            self.sink.close()
        return flushed

    # -- losses

    def _count_loss(self, event: LoggedEvent, reason: str) -> None:
        with self._lock:
            self._lost += 1
            hole = self._holes.get(event.call)
            if hole is None:
                # A report that is refused is not reported; and calls beyond the bound count in `lost` alone.
                if event.kind == SinkLost.kind or len(self._holes) >= self._bound:
                    return
                hole = self._holes[event.call] = _Hole(event, event, reason)
            hole.count += 1
            hole.last = event

    def _report_holes(self) -> None:
        if not self._holes:
            return
        with self._lock:
            holes, self._holes = self._holes, {}
        self._queue.extendleft(reversed([self._report(hole) for hole in holes.values()]))
        if time.monotonic() >= self._quiet_until:  # a sink that loses steadily must not fill the log
            self._quiet_until = time.monotonic() + _QUIET_S
            _logger.error("sink %s has lost %d events since it was opened", self.sink.name, self._lost)

    def _report(self, hole: _Hole) -> LoggedEvent:
        first, last = hole.first, hole.last
        loss = SinkLost(sink=self.sink.name, count=hole.count, reason=hole.reason)
        data, personal = loss.split()
        return dataclasses.replace(
            last,
            # Made from what was lost: so it is unique without a counter that outlives the process, and the same on
            # every run of a virtual-time loop.
            id=ULIDs(random.Random(first.id)).next(last.wall_ms),
            writer=f"sink:{self.sink.name}:{first.id}",
            seq=0,
            turn=None,
            kind=loss.kind,
            version=loss.version,
            data=data,
            personal=personal,
        )

    # -- writing

    def _mark(self, reached: Callable[[], None]) -> None:
        self._queue.append(reached)
        self._hurry.set()
        self._awake.set()

    def _take(self) -> list[LoggedEvent]:
        """The next batch: up to the next mark, which is passed if it stands first."""
        queue = self._queue
        batch: list[LoggedEvent] = []
        while queue and len(batch) < self._batch:
            item = queue[0]
            if isinstance(item, LoggedEvent):
                batch.append(item)
            elif batch:
                break
            else:
                item()
            queue.popleft()
        return batch

    def _write_inline(self) -> bool:
        while batch := self._take():
            if not self._try(batch):
                self._queue.extendleft(reversed(batch))
                return False
        return True

    def _try(self, batch: list[LoggedEvent]) -> bool:
        """Writes the batch; False if the sink cannot now: then `batch` holds what is still to be written."""
        try:
            self.sink.write(batch)
        except (TypeError, ValueError) as error:
            if len(batch) > 1:
                while batch:
                    if not self._try(batch[:1]):
                        return False
                    del batch[0]
                return True
            self._count_loss(batch[0], type(error).__name__)
        except Exception as error:
            if not self._failing:
                self._failing = True
                _logger.warning("sink %s fails: %s: %s; its events wait", self.sink.name, type(error).__name__, error)
            return False
        if self._failing:
            self._failing = False
            _logger.warning("sink %s keeps events again", self.sink.name)
        self._report_holes()
        return True

    # -- the worker

    def _start(self) -> None:
        with self._lock:  # two threads may put the first event
            if self._inline is None:
                self._inline = _on_virtual_time()
                if not self._inline:
                    name = f"voiceframe-{self.sink.name}"
                    self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                    self._thread.start()
                    atexit.register(self.close)

    def _work(self) -> None:
        while True:
            if not self._queue:
                if self._closed:
                    return
                self._hurry.clear()
                self._awake.clear()
                if self._queue or self._closed:  # it came between the look and the clearing
                    continue
                self._awake.wait()
                self._hurry.wait(self._linger_s)
            batch = self._take()
            self._in_flight = len(batch)
            pause_s = self._retry_s
            while batch and not self._try(batch):
                self._in_flight = len(batch)
                if self._closed:
                    return
                if self._hurry.wait(pause_s):  # somebody flushes: worth an attempt at once
                    self._hurry.clear()
                pause_s = min(pause_s * 2, _LONGEST_RETRY_S)
            self._in_flight = 0


def _on_virtual_time() -> bool:
    try:
        return bool(getattr(asyncio.get_running_loop(), "virtual", False))
    except RuntimeError:
        return False
