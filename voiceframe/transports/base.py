"""The contract of a transport."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from ..processor import Processor

if TYPE_CHECKING:
    from ..call import Call, Line

__all__ = ["Transport"]


class Transport(abc.ABC):
    """An endpoint of one call, to which connections attach: a source and a sink for its pipeline."""

    call: Call

    def bind(self, call: Call) -> None:
        """The call that this transport serves. Called once, by the call."""
        self.call = call

    @property
    def line(self) -> Line:
        """What the carrier can do."""
        from ..call import Line

        return Line()

    @abc.abstractmethod
    def input(self) -> Processor:
        """The source of the pipeline; the same object on every call."""

    @abc.abstractmethod
    def output(self) -> Processor:
        """The sink of the pipeline; the same object on every call.

        A sink answers each reply whose `ReplyStartedFrame` reached it with exactly one final `HeardFrame`, upstream:
        `complete=True` when all of it was played, and on an interruption what had been played until then.
        """
