"""What is written of calls that are placed: into their own log, and into that of the call from which they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .base import Event, Personal, event

__all__ = ["CallLinked", "DialEnded", "DialStarted"]


@event("call.linked", version=1)
class CallLinked(Event):
    """The call `parent` has placed the call `child`: the same event stands in both logs.

    `tool_call` is the call of the tool that did it, and `target` who talks in the new call.
    """

    parent: str
    child: str
    tool_call: str
    target: str
    subject_type: str | None = None
    subject_id: Personal[str | None] = None


@event("dial.started", version=1)
class DialStarted(Event):
    """A number is about to be dialled. `target` is who talks in the call, as an agent or a router, and `dialler`
    places it.

    `subject` and `context` are what the call is about, as its bot was told.
    """

    dialler: str
    role: Literal["agent", "router", "bot"]
    target: str
    number: Personal[str]
    context: Personal[Mapping[str, Any]]
    subject_type: str | None = None
    subject_id: Personal[str | None] = None


@event("dial.ended", version=1)
class DialEnded(Event):
    """What came of it, after `ring_ms`. Only a call that was `answered` goes on."""

    outcome: Literal["answered", "busy", "no-answer", "failed", "cancelled"]
    reason: str = ""
    ring_ms: int = 0
