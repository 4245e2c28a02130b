"""Events of a call that has yet to begin: they are written behind its `call.started`, or never if it does not begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from ..call import Call
from ..errors import CallEnded
from ..events import CallStarted, Event, LoggedEvent

__all__ = ["began", "write"]

_held: Final[WeakKeyDictionary[Call, list[Event]]] = WeakKeyDictionary()


def began(call: Call) -> bool:
    """Whether the call was started."""
    try:
        _ = call.engine
    except CallEnded:
        return False
    return True


def write(call: Call, event: Event) -> None:
    """Write an event of the call, as soon as its log has begun. What comes after its end is written as `after`."""
    if began(call):
        call.log.write(event, writer="after" if call.ended else "call")
        return
    held = _held.get(call)
    if held is None:
        held = _held[call] = []
        _when_started(call, held)
    held.append(event)


def _when_started(call: Call, held: list[Event]) -> None:
    stop: list[Callable[[], None]] = []

    def look(logged: LoggedEvent) -> None:
        if logged.kind == CallStarted.kind:
            for end in stop:
                end()
            for event in held:
                call.log.write(event)
            held.clear()

    stop.append(call.log.subscribe(look))
