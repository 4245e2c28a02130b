"""Speech over the bot: its reply is held, and then killed or let go on."""

from __future__ import annotations

from ...frames import PauseFrame, ResumeFrame
from ...processor import Processor

__all__ = ["BargeIn"]


class BargeIn:
    """What is done to the bot's reply.

        speaking ──hold()──▶ held ──resume()──▶ speaking, no sample lost
            └──interrupt()────┴──▶ dead

    `interrupt` of the processor is the way to kill it.
    """

    def __init__(self, owner: Processor) -> None:
        self._owner = owner
        self.held = False
        #: Asked for, and not yet done: that comes when the handler in hand returns.
        self.interrupting = False

    def possible(self) -> bool:
        """Whether the bot has something to say that may be interrupted: it speaks, or makes a reply."""
        if self.interrupting:
            return False
        return any(reply.interruptible and not reply.swept for reply in self._owner.call.replies.open.values())

    def hold(self) -> None:
        """They have spoken long enough that it may be meant."""
        if not self.held and self.possible():
            self.held = True
            self._owner.push(PauseFrame(self._owner.call.replies.last))

    def resume(self) -> None:
        """It was nothing."""
        if self.held:
            self.held = False
            self._owner.push(ResumeFrame(self._owner.call.replies.last))

    def interrupt(self, reason: str) -> None:
        """It was meant."""
        self.interrupting = True
        self.held = False
        self._owner.interrupt(reason)

    def interrupted(self) -> None:
        """That is done now, whoever has asked for it: an operator or a program may have."""
        self.interrupting = False
        self.held = False
