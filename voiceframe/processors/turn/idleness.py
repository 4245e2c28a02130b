"""Silence of both: the caller is asked, a few times, and then the call ends."""

from __future__ import annotations

from collections.abc import Callable

from ...events import SpeechIdle
from ...frames import SayFrame, UserIdleFrame
from ...processor import Processor
from .settings import TurnSettings
from .timer import Timer

__all__ = ["Idleness"]


class Idleness:
    """Counts the silence. busy: whether somebody is about to say something all the same."""

    def __init__(self, owner: Processor, settings: TurnSettings, *, busy: Callable[[], bool]) -> None:
        self.settings = settings
        self._owner = owner
        self._busy = busy
        self._timer = Timer(owner)
        self._asked = 0

    def begin(self) -> None:
        """Begin to count the silence anew."""
        if self.settings.idle_ms:
            self._timer.after(self.settings.idle_ms, self._over)

    def configure(self, settings: TurnSettings) -> None:
        """Use these from now on; silence that is being counted is counted anew if it is to be another time."""
        before, self.settings = self.settings.idle_ms, settings
        if before != settings.idle_ms and self._timer.armed:
            self._timer.stop()
            self.begin()

    def stop(self) -> None:
        """Somebody says something."""
        self._timer.stop()

    def answered(self) -> None:
        """A turn has come: they are there."""
        self._asked = 0

    def _over(self) -> None:
        owner, settings = self._owner, self.settings
        if self._busy() or owner.call.turns.silence is not None:
            self.begin()  # somebody is busy, or the bot is to be silent and asks nothing
            return
        self._asked += 1
        if self._asked > settings.idle_reprompts:
            if settings.idle_goodbye:
                owner.push(SayFrame(settings.idle_goodbye))
            owner.call.end("idle")
            return
        owner.emit(SpeechIdle(count=self._asked))
        owner.push(UserIdleFrame(self._asked))
        if settings.idle_prompt:
            owner.push(SayFrame(settings.idle_prompt))
        self.begin()
