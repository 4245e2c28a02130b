"""The probable end of a turn, announced before it is certain, and taken back if the caller goes on."""

from __future__ import annotations

from collections.abc import Callable

from ...frames import EagerTurnFrame, TurnResumedFrame
from ...processor import Processor
from .timer import Timer

__all__ = ["EagerTurn"]


class EagerTurn:
    """At most one announcement is out. said: what the caller has said since their last turn."""

    def __init__(self, owner: Processor, said: Callable[[], str]) -> None:
        self._owner = owner
        self._said = said
        self._timer = Timer(owner)
        self._text = ""  # what was announced

    @property
    def is_out(self) -> bool:
        return bool(self._text)

    def plan(self, at_ms: int) -> None:
        """Announce at this media time what has been said by then."""
        self._timer.at(at_ms, self._announce)

    def stop(self) -> None:
        """Announce nothing, for now."""
        self._timer.stop()

    def _announce(self) -> None:
        self._text = self._said()
        if self._text:
            self._owner.push(EagerTurnFrame(self._text))

    def announce(self, text: str) -> None:
        """Announce this, unless something is announced already."""
        if text and not self._text:
            self._text = text
            self._owner.push(EagerTurnFrame(text))

    def take_back(self) -> None:
        """They go on."""
        if self._text:
            self._text = ""
            self._owner.push(TurnResumedFrame())

    def settle(self, text: str) -> None:
        """The turn has come, with this text: what was announced as another is taken back."""
        self._timer.stop()
        if self._text != text:
            self.take_back()
        self._text = ""
