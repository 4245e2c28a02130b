"""What a caller of the test kit speaks into and hears from: a telephone, whatever the line behind it is."""

from __future__ import annotations

from typing import Protocol

from ..transports.loopback import Far, LineConditions

__all__ = ["Phone"]


class Phone(Protocol):
    """The caller's end of a line: a `LoopbackTransport`, or a `TwilioPhone`.

    On each tick of 20 ms it takes the caller's next 20 ms from `far.source` and then gives the bot's 20 ms to
    `far.on_audio`; both belong to the 20 ms that begin with the tick.
    """

    far: Far

    @property
    def conditions(self) -> LineConditions:
        """How bad the line is."""

    @property
    def began_ms(self) -> int:
        """When the first tick was, in the call's time; -1 before. Below 0 for a line that is older than the call."""

    def press(self, digits: str) -> None:
        """Press keys, of which the carrier tells."""

    def hang_up(self) -> None:
        """Leave."""

    def lose(self, reason: str = "lost") -> None:
        """Let the connection of the carrier to the bot break."""
