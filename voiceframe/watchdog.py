"""A thread that notices when the event loop stands still, and names the handler that holds it.

It costs the calls nothing: four times a second it asks the loop for a sign of life, and only when none comes it looks
at the loop's stack.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, ClassVar

from .errors import ProcessorError
from .events import ProcessorBlocked

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Watchdog"]

_log = logging.getLogger("voiceframe.watchdog")
_PERIOD_S = 0.25


class Watchdog:
    """Watches one event loop for as long as it has calls."""

    _all: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watchdog]] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._thread_id = threading.get_ident()
        self._engines: set[Engine] = set()
        self._seen = 0
        self._asked = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Watchdog:
        found = cls._all.get(loop)
        if found is None:
            found = cls._all[loop] = cls(loop)
        return found

    def watch(self, engine: Engine) -> None:
        self._engines.add(engine)
        if self._thread is None:
            self._stop = threading.Event()
            self._seen = self._asked = 0
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="voiceframe-watchdog", daemon=True
            )
            self._thread.start()

    def forget(self, engine: Engine) -> None:
        self._engines.discard(engine)
        if not self._engines and self._thread is not None:
            self._stop.set()
            self._thread = None

    def _alive(self, number: int) -> None:
        self._seen = number

    def _run(self, stop: threading.Event) -> None:
        asked_s = 0.0
        named = False
        while not stop.wait(_PERIOD_S):
            loop = self._loop()
            if loop is None or loop.is_closed():
                return
            if self._seen == self._asked:
                named = False
                self._asked += 1
                asked_s = time.monotonic()
                try:
                    loop.call_soon_threadsafe(self._alive, self._asked)
                except RuntimeError:  # closed meanwhile
                    return
                continue
            blocked_ms = round((time.monotonic() - asked_s) * 1000)
            if named or blocked_ms < self._limit_ms():
                continue
            named = self._name(loop, blocked_ms)

    def _limit_ms(self) -> int:
        return min((engine.settings.blocked_ms for engine in tuple(self._engines)), default=500)

    def _name(self, loop: asyncio.AbstractEventLoop, blocked_ms: int) -> bool:
        """Find out from the loop's stack which handler runs. Whether one was found."""
        from .whereabouts import handler_on, spawner_of  # knows the engine, which knows this module

        found = handler_on(sys._current_frames().get(self._thread_id))
        for engine in tuple(self._engines):
            found = found or spawner_of(asyncio.current_task(loop), engine)
        if found is None:
            return False
        engine, processor, handler = found
        _log.warning("%s", ProcessorError.of("processor.blocked", processor=processor, handler=handler, ms=blocked_ms))
        event = ProcessorBlocked(processor=processor, handler=handler, blocked_ms=blocked_ms)
        try:
            loop.call_soon_threadsafe(engine.call.log.write, event)
        except RuntimeError:
            return True
        return True
