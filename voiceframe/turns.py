"""No silent turn: every turn of the caller has exactly one outcome in the log.

    committed ──audio of its reply──▶ answered
        │ ────── call paused, on hold …──▶ skipped
        │ ────── deadline, empty reply, next turn, end of the call ──▶ unanswered
                     │ deadline or empty reply: a reprompt is spoken

An answer that comes after the deadline is still spoken; the turn keeps its outcome.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .events import TurnAnswered, TurnCommitted, TurnSkipped, TurnUnanswered
from .frames import BotStartedSpeakingFrame, UserTurnFrame
from .replies import Reply

if TYPE_CHECKING:
    from .call import Call

__all__ = ["TurnLedger"]


@dataclass(slots=True)
class _Pending:
    turn: int
    committed_ms: int
    timer: asyncio.TimerHandle | None = None
    failed: bool = False
    interrupted: bool = False


class TurnLedger:
    """The turns of one call, and the deadline of the one that is not answered yet."""

    __slots__ = ("_call", "_given", "_pending", "last", "silence", "user_speaking")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._pending: _Pending | None = None
        self._given = 0
        #: The number of the last committed turn.
        self.last = 0
        #: Why the bot is to be silent (`"paused"`, `"taken over"`, `"on hold"`, `"recording only"`), or None.
        self.silence: str | None = None
        self.user_speaking = False

    def new(self) -> int:
        """A number for a turn that is about to be committed: each is given once."""
        self._given = max(self._given, self.last) + 1
        return self._given

    @property
    def pending(self) -> int | None:
        """The turn that waits for an answer."""
        return self._pending.turn if self._pending else None

    def commit(self, frame: UserTurnFrame) -> None:
        """A turn has passed by. It takes the place of one that still waited."""
        if frame.turn <= self.last:  # a changed copy that a processor has passed on
            return
        self._settle("superseded")
        self.last = frame.turn
        self._call.log.write(
            TurnCommitted(turn=frame.turn, source=frame.source, confidence=frame.confidence, text=frame.text)
        )
        if self.silence is not None:
            self._call.log.write(TurnSkipped(turn=frame.turn, why=self.silence))
            return
        self._pending = _Pending(frame.turn, self._call.clock.at_ms())
        self._arm()

    def _arm(self) -> None:
        pending = self._pending
        assert pending is not None
        engine = self._call.engine
        pending.timer = engine.loop.call_later(
            self._call.settings.reply_deadline_ms / 1000, engine.dispatcher.in_context, self._deadline
        )

    def speaking(self, frame: BotStartedSpeakingFrame, reply: Reply | None) -> None:
        """Sound has begun: if it answers the turn that waits, that is its outcome."""
        pending = self._pending
        if pending is None or reply is None or reply.turn != pending.turn:
            return
        self._clear()
        latency = max(0, self._call.clock.at_ms() - pending.committed_ms)
        self._call.log.write(TurnAnswered(turn=pending.turn, reply=frame.reply, latency_ms=latency))

    def reply_closed(self, reply: Reply) -> None:
        """A reply is over. One that ended by itself without a sound has not answered its turn."""
        pending = self._pending
        if pending is None or reply.turn != pending.turn:
            return
        if reply.swept:
            pending.interrupted = True
        else:
            self._unanswered("error" if pending.failed else "empty")

    def failed(self) -> None:
        """Something has failed while a turn waits; if it is not answered, that is why."""
        if self._pending is not None:
            self._pending.failed = True

    def hush(self, why: str | None) -> None:
        """Be silent from now on, for `why`; None ends it."""
        self.silence = why
        if why is not None and self._pending is not None:
            turn = self._pending.turn
            self._clear()
            self._call.log.write(TurnSkipped(turn=turn, why=why))

    def close(self) -> None:
        """The call is over."""
        self._settle("ended")

    def _deadline(self) -> None:
        pending = self._pending
        if pending is None:
            return
        if self.user_speaking:  # they are saying the next turn, which will take this one's place: do not talk over it
            self._arm()
            return
        self._unanswered("error" if pending.failed else "interrupted" if pending.interrupted else "deadline")

    def _unanswered(self, reason: str) -> None:
        self._settle(reason)
        call = self._call
        if call.settings.reprompt and not call.engine.ending:
            call.say(call.settings.reprompt)

    def _settle(self, reason: str) -> None:
        pending = self._pending
        if pending is not None:
            self._clear()
            self._call.log.write(TurnUnanswered(turn=pending.turn, reason=reason))

    def _clear(self) -> None:
        if self._pending is not None and self._pending.timer is not None:
            self._pending.timer.cancel()
        self._pending = None
