"""What an auditor has for the agent of its call, until the agent is told; and how it ends the call.

waiting ──a turn of the caller──▶ told: it is in the request for the answer
   │ ────nobody speaks ("now")──▶ told: the agent speaks of its own accord
   └─────a newer correction─────▶ replaced
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ...events import AuditorDelivered
from .auditor_desk import Verdict
from .auditor_voice import Voice

if TYPE_CHECKING:
    from .auditor import Auditor

__all__ = ["Deliver", "Delivery"]

Deliver = Literal["turn", "now"]

#: How often it is tried whether nobody speaks, while something waits for that.
_POLL_S: Final = 0.1


class _Waiting(NamedTuple):
    """Something that the agent was not told yet."""

    text: str
    look: int
    since_s: float


class Delivery:
    """What waits: a correction at most, and that everything is there. `voice` is set before anything can."""

    voice: Voice

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self.waiting: dict[Verdict, _Waiting] = {}
        #: Whether the caller is to be heard.
        self.loud = False
        self._quiet_since_s = -math.inf
        self._task: asyncio.Task[None] | None = None

    def fell_silent(self) -> None:
        """The caller has stopped speaking; what they have said may become a turn."""
        self._quiet_since_s = asyncio.get_running_loop().time()

    def add(self, verdict: Verdict, text: str) -> None:
        """Something for the agent. It takes the place of what waits of the same kind."""
        auditor = self._auditor
        self.waiting[verdict] = _Waiting(text, auditor.looks, asyncio.get_running_loop().time())
        if auditor.deliver == "now" and (self._task is None or self._task.done()):
            name = f"{auditor.name} waits for silence"
            self._task = auditor.spawn(self._tell_in_silence(), name=name, lasting=True)

    def tell_with_turn(self, turn: int) -> None:
        """A turn has come: what waits is told with the answer to it."""
        call = self._auditor.call
        if self.waiting and call.turns.silence is None and not call.engine.ending:
            self._tell("turn", turn)

    async def _tell_in_silence(self) -> None:
        """Tell what waits as soon as nobody speaks, unless it was told with a turn meanwhile."""
        while self.waiting and not self._auditor.call.engine.ending:
            if self._quiet():
                self._tell("now", self._auditor.call.turns.last)
                return
            await asyncio.sleep(_POLL_S)

    def _quiet(self) -> bool:
        """Whether nobody speaks, or is about to."""
        call = self._auditor.call
        turns = call.turns
        if self.loud or turns.user_speaking or turns.pending is not None or turns.silence is not None:
            return False
        if self.voice.busy or any(not reply.swept for reply in call.replies.open.values()):
            return False
        silent_s = asyncio.get_running_loop().time() - self._quiet_since_s
        return silent_s >= self._auditor.settings.quiet_ms / 1000

    def _tell(self, how: Deliver, turn: int) -> None:
        """The agent learns of what waits. It is data to it: neither the caller's words nor an instruction."""
        auditor = self._auditor
        waiting, self.waiting = self.waiting, {}
        now_s = asyncio.get_running_loop().time()
        for number, (verdict, (text, look, since_s)) in enumerate(waiting.items(), 1):
            try:
                self.voice.tell(text, source=auditor.name, speak=how == "now" and number == len(waiting))
            except Exception as error:
                auditor.fail(error)
                continue
            auditor.emit(
                AuditorDelivered(
                    auditor=auditor.name,
                    what="complete" if verdict == "complete" else "correction",
                    look=look,
                    turn=turn,
                    how=how,
                    waited_ms=round((now_s - since_s) * 1000),
                )
            )

    async def abort(self, message: str) -> None:
        """Say a last sentence that nobody interrupts, and end the call, whatever else comes."""
        call, loop = self._auditor.call, asyncio.get_running_loop()
        patience_s = self._auditor.settings.abort_wait_ms / 1000
        while True:
            speaking = self.loud or call.turns.user_speaking
            if call.turns.silence is None:  # else somebody else has the call, and has to give it back first
                if not speaking or patience_s <= 0:
                    break
                patience_s -= _POLL_S
            await asyncio.sleep(_POLL_S)
        if any(not reply.swept for reply in call.replies.open.values()):
            call.interrupt("auditor")
        reply = call.say(message, interruptible=False)
        began_s = loop.time()
        while reply.heard is None:
            passed_ms = (loop.time() - began_s) * 1000
            # A voice that fails must not keep open a call that is to end.
            if passed_ms > (call.engine.settings.end_cap_ms if reply.speaking else call.settings.reply_deadline_ms):
                break
            await asyncio.sleep(_POLL_S)
        call.end("aborted", after="now")
