"""A call that is over, as hooks and goals see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..events import Environment, LoggedEvent

if TYPE_CHECKING:
    from .caller_memory import CallerMemory

__all__ = ["FinishedCall", "ToolUse"]


class ToolUse(NamedTuple):
    """A call of a tool. `error` is None if it returned; `result` and `arguments` are empty in a private passage."""

    name: str
    arguments: Mapping[str, Any]
    result: Any
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCall:
    """What a call has come to. `from_`, `to`, and the words in `events` are personal.

    `idempotency_key` is the same for each attempt of a hook at this call, also after a crash, and for nothing else.
    """

    id: str
    assistant: str
    agent: str
    tenant: str
    environment: Environment
    trace: str
    direction: Literal["inbound", "outbound"]
    from_: str
    to: str
    metadata: Mapping[str, Any]
    #: Why it ended.
    reason: str
    duration_ms: int
    #: What the program has said that it came to: `call.data["outcome"]`.
    outcome: str | None = None
    #: By name: whether a goal was reached, or how far; None where it could not be measured.
    goals: Mapping[str, bool | float | None] = field(default_factory=dict)
    #: The variant of each experiment.
    variants: Mapping[str, str] = field(default_factory=dict)
    #: The application's own: `call.data`.
    data: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[LoggedEvent, ...] = field(default=(), repr=False)
    #: How many further events there were; what is missing here is in the store.
    events_left_out: int = 0
    #: Of whoever was verified in the call; None without `Assistant(memory=...)`.
    memory: CallerMemory | None = field(default=None, repr=False)
    idempotency_key: str = ""
    attempt: int = 1

    def of(self, *kinds: str) -> list[LoggedEvent]:
        """The events of these kinds, in the order of the call."""
        return [event for event in self.events if event.kind in kinds]

    @property
    def turns(self) -> list[str]:
        """What the caller has said, turn by turn."""
        return [text for who, text in self.transcript if who == "caller"]

    @property
    def heard(self) -> list[str]:
        """What the caller has heard, reply by reply."""
        return [text for who, text in self.transcript if who == "bot"]

    @property
    def transcript(self) -> list[tuple[Literal["caller", "bot"], str]]:
        """What was said and heard, in order; without what was kept private."""
        late = {event.turn: _text(event) for event in self.of("turn.transcribed")}
        lines: list[tuple[Literal["caller", "bot"], str]] = []
        for event in self.of("turn.committed", "reply.heard"):
            text = _text(event)
            if event.kind == "reply.heard":
                lines.append(("bot", text))
            else:
                lines.append(("caller", late.get(event.turn) or text))
        return [(who, text) for who, text in lines if text]

    @property
    def tools(self) -> list[ToolUse]:
        """The calls of tools that have returned or failed, in the order in which they were made."""
        came = {event.data["call_id"]: event for event in self.of("tool.returned")}
        found = []
        for called in self.of("tool.called"):
            back = came.get(called.data["call_id"])
            if back is not None:
                given, answer = called.personal or {}, back.personal or {}
                error = str(answer.get("error") or "(private)") if back.data["failed"] else None
                found.append(ToolUse(called.data["name"], given.get("arguments") or {}, answer.get("result"), error))
        return found

    def __repr__(self) -> str:
        return f"<finished call {self.id}>"


def _text(event: LoggedEvent) -> str:
    return str((event.personal or {}).get("text") or "").strip()
