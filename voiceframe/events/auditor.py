"""What is written of an auditor: when it has looked, what came of that, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .base import Event, Personal, event

__all__ = [
    "AuditorAborted",
    "AuditorClosed",
    "AuditorCompleted",
    "AuditorCorrected",
    "AuditorDelivered",
    "AuditorFailed",
    "AuditorLooked",
    "AuditorToolCalled",
    "AuditorToolReturned",
]


@event("auditor.looked", version=1)
class AuditorLooked(Event):
    """The auditor has looked at what was said since its last look, up to the caller's turn `turn`.

    `look` counts from 1, `entries` is how much was new. `verdict` is the last that it has given. `requests` were made
    to its model, with these tokens and that cost in all (None without a price). `note` is what the model wrote beside.
    """

    auditor: str
    look: int
    turn: int
    entries: int
    took_ms: int
    verdict: Literal["none", "correction", "complete", "abort"]
    requests: int
    tools: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    note: Personal[str] = ""


@event("auditor.failed", version=1)
class AuditorFailed(Event):
    """A look has come to nothing. What it was about is in the next one, and the call has not noticed."""

    auditor: str
    look: int
    turn: int
    took_ms: int
    error: str
    code: str | None = None
    message: Personal[str] = ""


@event("auditor.corrected", version=1)
class AuditorCorrected(Event):
    """The auditor has something for the agent to put right. It waits; `replaces` one that had not been delivered."""

    auditor: str
    look: int
    turn: int
    replaces: bool
    message: Personal[str]


@event("auditor.delivered", version=1)
class AuditorDelivered(Event):
    """What the auditor had for the agent was told to it, `waited_ms` later: with the answer to `turn`, or `now`."""

    auditor: str
    what: Literal["correction", "complete"]
    look: int
    turn: int
    how: Literal["turn", "now"]
    waited_ms: int


@event("auditor.completed", version=1)
class AuditorCompleted(Event):
    """The subject has all that it needs; the auditor looks no more, and the agent may close."""

    auditor: str
    look: int
    turn: int
    subject_type: str | None = None
    subject_id: Personal[str | None] = None
    message: Personal[str] = ""


@event("auditor.aborted", version=1)
class AuditorAborted(Event):
    """The auditor ends the call: after `message`, which is the last that the caller hears."""

    auditor: str
    look: int
    turn: int
    subject_type: str | None = None
    subject_id: Personal[str | None] = None
    message: Personal[str]


@event("auditor.tool-called", version=1)
class AuditorToolCalled(Event):
    """The auditor calls a tool of its own. `call_id` pairs it with its `auditor.tool-returned`."""

    auditor: str
    look: int
    call_id: str
    name: str
    arguments: Personal[Mapping[str, Any]]


@event("auditor.tool-returned", version=1)
class AuditorToolReturned(Event):
    """A tool of the auditor's has answered, or failed. The agent of the call knows nothing of it."""

    auditor: str
    call_id: str
    failed: bool
    error: Personal[str | None] = None
    result: Personal[Any] = None


@event("auditor.closed", version=1)
class AuditorClosed(Event):
    """The call is over. `unseen` entries were never looked at, and `undelivered` was never told to the agent."""

    auditor: str
    looks: int
    failures: int
    unseen: int
    undelivered: tuple[str, ...] = ()
