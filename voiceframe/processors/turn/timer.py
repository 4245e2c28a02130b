"""A timer of a processor: one callback at a time, on the call's clock and in the call's context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...processor import Processor

__all__ = ["Timer"]


class Timer:
    """Calls back at a time of the call's clock. To arm it again takes the place of what it was armed for."""

    __slots__ = ("_handle", "_owner")

    def __init__(self, owner: Processor) -> None:
        self._owner = owner
        self._handle: asyncio.TimerHandle | None = None

    def after(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call after so long; at the next opportunity if that is past."""
        self.stop()
        engine = self._owner.call.engine
        self._handle = engine.loop.call_later(
            max(0, delay_ms) / 1000, engine.dispatcher.in_context, self._fire, callback
        )

    def at(self, at_ms: int, callback: Callable[[], None]) -> None:
        """Call at this media time."""
        self.after(at_ms - self._owner.call.clock.at_ms(), callback)

    @property
    def armed(self) -> bool:
        """Whether it is going to call."""
        return self._handle is not None

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, callback: Callable[[], None]) -> None:
        self._handle = None
        callback()
