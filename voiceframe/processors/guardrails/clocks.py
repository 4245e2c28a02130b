"""The clocks of a call: what the caller must have heard within a time from the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...events import ComplianceMet, ComplianceMissed, LoggedEvent
from ...frames import HeardFrame
from ...guardrails.compliance import Notice

if TYPE_CHECKING:
    from ...processor import Processor

__all__ = ["Clocks"]


class Clocks:
    """The notices of one call, until each is heard.

    waiting ──heard──▶ met
       │ within_ms, or the end of the call ──▶ missed ──heard──▶ met (late)
    """

    def __init__(self, owner: Processor, notices: Sequence[Notice]) -> None:
        self._owner = owner
        self._waiting: dict[Notice, bool] = dict.fromkeys(notices, False)  # and whether it was missed
        self._timers: list[asyncio.TimerHandle] = []
        self._began_ms = 0
        self._running = False
        self._answered = False
        self._heard: dict[int, str] = {}  # of replies that are being heard
        self._unsubscribe: Callable[[], None] | None = None

    def watch(self) -> None:
        """Wait for the answer of the call."""
        if self._waiting:
            self._unsubscribe = self._owner.call.log.subscribe(self._event)

    def _event(self, event: LoggedEvent) -> None:
        if event.kind == "call.answered" and not self._answered:
            self._answered = True
            self._begin()

    def start(self) -> None:
        """The call has begun: it counts from here, unless it is answered later."""
        if not self._running:
            self._begin()

    def _begin(self) -> None:
        self._stop()
        self._running = True
        call = self._owner.call
        self._began_ms = call.clock.at_ms()
        loop, in_context = call.engine.loop, call.engine.dispatcher.in_context
        for notice in self._waiting:
            self._timers.append(loop.call_later(notice.within_ms / 1000, in_context, self._due, notice))

    def _due(self, notice: Notice) -> None:
        if self._waiting.get(notice, True) or self._owner.call.engine.finished:
            return
        self._waiting[notice] = True
        self._owner.emit(ComplianceMissed(clock=notice.name, within_ms=notice.within_ms))
        if notice.say and not self._owner.call.engine.ending:
            self._owner.call.say(notice.say, interruptible=False)

    def heard(self, frame: HeardFrame) -> None:
        """More of a reply was heard."""
        if not self._waiting:
            return
        text = self._heard[frame.reply] = self._heard.get(frame.reply, "") + frame.text
        if frame.final:
            del self._heard[frame.reply]
        for notice in [notice for notice in self._waiting if notice.heard_in(text)]:
            late = self._waiting.pop(notice)
            after_ms = self._owner.call.clock.at_ms() - self._began_ms
            self._owner.emit(
                ComplianceMet(clock=notice.name, after_ms=max(0, after_ms), within_ms=notice.within_ms, late=late)
            )

    def end(self) -> None:
        """The call is ending: what was not heard by now will not be."""
        for notice, missed in self._waiting.items():
            if not missed and self._running:
                self._owner.emit(ComplianceMissed(clock=notice.name, within_ms=notice.within_ms, ended=True))
        self._waiting.clear()
        self._stop()

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def close(self) -> None:
        """The call is over."""
        self._stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
