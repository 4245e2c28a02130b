"""Replies: the numbers of what the bot says, which of them are dead, and what was heard of each.

An interruption is a watermark: all interruptible replies up to the last number are dead from then on, wherever their
frames are. A reply is open until the output has sent its final `HeardFrame`, or an interruption has ended it before
anything of it was played.

    begun ──BotStartedSpeaking──▶ speaking ──final HeardFrame──▶ closed
      │                              │ interruption: the output says what was heard; 200 ms later without its word
      └──interruption──▶ closed      └──▶ closed
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .events import ReplyEnded, ReplyHeard, ReplySpeaking, ReplyStarted
from .frames import BotStartedSpeakingFrame, HeardFrame, ReplyEndedFrame, ReplyStartedFrame

if TYPE_CHECKING:
    from .call import Call

__all__ = ["Heard", "Replies", "Reply"]


@dataclass(slots=True, frozen=True)
class Heard:
    """What the caller heard of a reply, and whether that was all of it."""

    text: str
    complete: bool


@dataclass(slots=True, eq=False)
class Reply:
    """A reply of the bot. `await reply` waits until the caller has heard it, or an interruption has cut it."""

    number: int
    turn: int | None
    interruptible: bool
    text: str = ""  # heard so far
    speaking: bool = False
    swept: bool = False  # an interruption has ended it
    begun: bool = False  # its ReplyStartedFrame has come by
    ended: bool = False
    heard: Heard | None = None
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    _waiters: list[asyncio.Future[Heard]] = field(default_factory=list, repr=False)

    def __await__(self) -> Generator[Any, None, Heard]:
        if self.heard is not None:
            return self.heard
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        return (yield from future.__await__())


class Replies:
    """The replies of one call."""

    __slots__ = ("_call", "_over", "_protected", "_turn_mark", "closed_listeners", "last", "open", "watermark")

    def __init__(self, call: Call) -> None:
        self._call = call
        #: The number that was given last.
        self.last = 0
        #: Interruptible replies up to this number are dead. Number 0 is nobody's and always dead.
        self.watermark = 0
        #: Replies that have not been heard to their end, by number.
        self.open: dict[int, Reply] = {}
        self._protected: set[int] = set()
        self._over = False
        self._turn_mark = 0  # turns up to this one had a reply that an interruption ended
        self.closed_listeners: list[Callable[[Reply], None]] = []

    def begin(self, turn: int | None = None, *, interruptible: bool = True) -> int:
        """A new number. 0 if `turn` had a reply that was interrupted, or the call is over: it comes too late."""
        if self._over or (turn is not None and turn <= self._turn_mark):
            return 0
        self.last += 1
        number = self.last
        self.open[number] = Reply(number, turn, interruptible)
        if not interruptible:
            self._protected.add(number)
        return number

    def protect(self, number: int) -> None:
        """What is said in this reply from now on may not be interrupted. One that an interruption has ended is over."""
        reply = self.open.get(number)
        if reply is not None and not reply.swept:
            reply.interruptible = False
            self._protected.add(number)

    def dead(self, number: int) -> bool:
        """Whether frames of this reply are dropped."""
        return number <= self.watermark and number not in self._protected

    def get(self, number: int) -> Reply | None:
        """The reply, while it is open."""
        return self.open.get(number)

    # -- what passes by

    def started(self, frame: ReplyStartedFrame) -> None:
        reply = self.open.get(frame.reply)
        if reply is not None:
            if reply.begun:  # a changed copy that a processor has passed on
                return
            reply.begun = True
        self._call.log.write(
            ReplyStarted(reply=frame.reply, turn=frame.turn, interruptible=frame.interruptible), turn=frame.turn
        )

    def ended(self, frame: ReplyEndedFrame) -> None:
        reply = self.open.get(frame.reply)
        if reply is not None:
            if reply.ended:
                return
            reply.ended = True
        self._call.log.write(ReplyEnded(reply=frame.reply), turn=reply.turn if reply else None)

    def speaking(self, frame: BotStartedSpeakingFrame) -> Reply | None:
        reply = self.open.get(frame.reply)
        if reply is not None and not reply.speaking:
            reply.speaking = True
            self._call.log.write(ReplySpeaking(reply=frame.reply), turn=reply.turn)
        return reply

    def heard(self, frame: HeardFrame) -> None:
        reply = self.open.get(frame.reply)
        if reply is None:
            return
        reply.text += frame.text
        if frame.final:
            self._close(reply, frame.complete)

    # -- interruption and end

    def raise_watermark(self, last: int) -> bool:
        """All interruptible replies up to number `last` are dead. Whether an open one has died."""
        self.watermark = max(self.watermark, last)
        died = False
        for reply in self.open.values():
            if not reply.swept and self.dead(reply.number):
                reply.swept = died = True
                if reply.turn is not None and reply.turn > self._turn_mark:
                    self._turn_mark = reply.turn
        return died

    def after_sweep(self) -> None:
        """Close what never came to sound; wait a moment for the output's word about the rest."""
        engine = self._call.engine
        for reply in [r for r in self.open.values() if r.swept and r._timer is None]:
            if reply.speaking or reply.text:
                reply._timer = engine.loop.call_later(
                    engine.settings.unwind_ms / 1000, engine.dispatcher.in_context, self._close, reply, False
                )
            else:
                self._close(reply, False)

    def kill_all(self) -> None:
        """Nothing more is delivered, protected or not, and nothing begins."""
        self._over = True
        self._protected.clear()
        self.watermark = sys.maxsize

    def close(self) -> None:
        """The call is over: what is still open was heard as far as it is known."""
        for reply in list(self.open.values()):
            self._close(reply, False)

    def _close(self, reply: Reply, complete: bool) -> None:
        del self.open[reply.number]
        if reply._timer is not None:
            reply._timer.cancel()
        self._protected.discard(reply.number)
        reply.heard = Heard(reply.text, complete)
        self._call.log.write(ReplyHeard(reply=reply.number, complete=complete, text=reply.text), turn=reply.turn)
        for future in reply._waiters:
            if not future.done():
                future.set_result(reply.heard)
        reply._waiters.clear()
        for listener in tuple(self.closed_listeners):
            listener(reply)
