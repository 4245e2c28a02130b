"""The threads of a rule whose question blocks: few, so that one that hangs takes none from the calls of others."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

__all__ = ["Threads"]

#: Threads that one rule may have at once.
_MOST: Final = 4


class Threads:
    """Runs blocking functions for one rule."""

    __slots__ = ("_free",)

    def __init__(self, most: int = _MOST) -> None:
        self._free = threading.BoundedSemaphore(most)

    async def run(self, offload: Callable[..., Awaitable[Any]], fn: Callable[..., Any], *args: Any) -> Any:
        """What the function returns. offload: how a thread is had. Raises `TimeoutError` if all threads are taken."""
        if not self._free.acquire(blocking=False):
            raise TimeoutError("all threads of the rule are taken")
        place = _Place(self._free)

        def work() -> Any:
            if not place.enter():
                return None
            try:
                return fn(*args)
            finally:
                place.leave()

        try:
            return await offload(work)
        finally:
            place.give_up()


class _Place:
    """One of the threads. Whoever is in it gives it back, however long that takes; who waits for it may be gone by
    then. One that nobody has entered, because it was cancelled before, is given back by who has waited.
    """

    __slots__ = ("_free", "_lock", "_state")

    def __init__(self, free: threading.BoundedSemaphore) -> None:
        self._free = free
        self._lock = threading.Lock()
        self._state: Literal["free", "entered", "left"] = "free"

    def enter(self) -> bool:
        with self._lock:
            if self._state != "free":
                return False
            self._state = "entered"
            return True

    def leave(self) -> None:
        with self._lock:
            self._state = "left"
            self._free.release()

    def give_up(self) -> None:
        with self._lock:
            if self._state == "free":
                self._state = "left"
                self._free.release()
