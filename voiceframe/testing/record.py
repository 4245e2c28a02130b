"""What a call came to, for assertions."""

from __future__ import annotations

from typing import Any

from ..errors import TestKitError
from ..events import LoggedEvent

__all__ = ["CallTranscript"]


class CallTranscript:
    """The record of a call that a test has made: its events, and what follows from them. A `Feed` for its log."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []

    def put(self, event: LoggedEvent) -> None:
        """Take an event."""
        self.events.append(event)

    async def drained(self, timeout_ms: int = 0) -> bool:
        """Nothing ever waits here."""
        return True

    def of(self, *kinds: str) -> list[LoggedEvent]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    @property
    def turns(self) -> list[str]:
        """What the caller has said, turn by turn, also where it became known late."""
        late = {event.turn: _personal(event, "text") for event in self.of("turn.transcribed")}
        return [late.get(event.turn) or _personal(event, "text") for event in self.of("turn.committed")]

    @property
    def heard(self) -> list[str]:
        """What the caller has heard, reply by reply."""
        return [_personal(event, "text") for event in self.of("reply.heard") if _personal(event, "text")]

    @property
    def outcomes(self) -> dict[int, str]:
        """What became of each turn: `answered`, `unanswered` or `skipped`."""
        return {
            event.turn: event.kind.partition(".")[2]
            for event in self.of("turn.answered", "turn.unanswered", "turn.skipped")
            if event.turn is not None
        }

    @property
    def reason(self) -> str:
        """Why the call ended; empty while it has not."""
        ended = self.of("call.ended")
        return str(ended[-1].data["reason"]) if ended else ""

    def tool_called(self, name: str, **arguments: Any) -> CallTranscript:
        """Raise `TestKitError` unless the tool was called with (at least) these arguments."""
        calls = [(event.data["name"], _arguments(event)) for event in self.of("tool.called")]
        for called, given in calls:
            if called == name and all(given.get(key) == value for key, value in arguments.items()):
                return self
        raise TestKitError.of("test.tool-not-called", name=name, arguments=arguments, calls=calls or "no tool")

    def lines(self, *, wall: bool = False) -> str:
        """The events as JSON lines, without wall time unless asked for: the same on every run with the same seed."""
        return "\n".join(event.to_json(wall=wall) for event in self.events)


def _personal(event: LoggedEvent, name: str) -> str:
    return str(event.personal.get(name) or "") if event.personal else ""


def _arguments(event: LoggedEvent) -> dict[str, Any]:
    return dict((event.personal or {}).get("arguments") or {})
