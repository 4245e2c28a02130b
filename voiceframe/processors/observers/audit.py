"""Who did what in a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ...events import AuditAction
from ...frames import (
    CancelFrame,
    EndFrame,
    InterruptionFrame,
    ToolCallFrame,
    ToolResultFrame,
    UpdateSettingsFrame,
)
from ...processor import Observer, observes

__all__ = ["AuditObserver"]


class AuditObserver(Observer):
    """Writes `audit.action` for what steers the call or changes something outside of the talk: changes of settings,
    tool calls and how they ended, interruptions by an operator or the application, and the end.

    Frames do not say who made them. An operator's reason does, if it begins so: `call.interrupt("operator:ann")` is
    kept with the actor `operator:ann`. A hang-up is the caller's, an error the engine's, tools are the agent's, and all
    else the application's. A barge-in of the caller is none of these; it is in the log as `interruption`.
    """

    def __init__(self) -> None:
        self._tools: dict[str, str] = {}  # the names of the tools that have not returned, by call_id
        self._ended = False

    @observes(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        self._act("application", "settings.update", frame.target, "asked", frame.changes)

    @observes(ToolCallFrame)
    def on_tool_call(self, frame: ToolCallFrame) -> None:
        if frame.call_id not in self._tools:
            self._tools[frame.call_id] = frame.name
            self._act("agent", "tool.call", frame.name, "asked", frame.arguments)

    @observes(ToolResultFrame)
    def on_tool_result(self, frame: ToolResultFrame) -> None:
        name = self._tools.pop(frame.call_id, None)
        if name is not None:
            failed = frame.error is not None
            self._act(
                "agent", "tool.call", name, "failed" if failed else "done", {"error": frame.error} if failed else {}
            )

    @observes(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        actor = _operator(frame.reason) or ("application" if frame.reason == "asked" else None)
        if actor is not None:
            self._act(actor, "reply.interrupt", f"reply {frame.reply}", "done", {"reason": frame.reason})

    @observes(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self._end("call.end", frame.reason)

    @observes(CancelFrame)
    def on_cancel(self, frame: CancelFrame) -> None:
        self._end("call.cancel", frame.reason)

    def _end(self, action: str, reason: str) -> None:
        if not self._ended:
            self._ended = True
            actor = _operator(reason) or {"hangup": "caller", "error": "engine"}.get(reason, "application")
            self._act(actor, action, "call", "done", {"reason": reason})

    def _act(
        self,
        actor: str,
        action: str,
        target: str,
        outcome: Literal["asked", "done", "failed", "refused"],
        detail: Mapping[str, Any],
    ) -> None:
        self.emit(AuditAction(actor=actor, action=action, target=target, outcome=outcome, detail=detail))


def _operator(reason: str) -> str | None:
    """The `operator:<id>` with which the reason begins, if it does."""
    return reason.split(maxsplit=1)[0] if reason.startswith("operator:") else None
