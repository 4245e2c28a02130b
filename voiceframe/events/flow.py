"""Events of declared dialogs that are kept in files, and of their nodes that are more than a question."""

from __future__ import annotations

from typing import Literal

from .base import Event, Personal, event

__all__ = ["FlowAgentDone", "FlowLoaded", "FlowOverran", "FlowRecorded", "FlowReloadFailed"]


@event("flow.loaded", version=1)
class FlowLoaded(Event):
    """The call goes by this version of a flow's file. `digest` is the beginning of the SHA-256 of the file."""

    file: str
    digest: str
    nodes: int


@event("flow.reload-failed", version=1)
class FlowReloadFailed(Event):
    """The file of the flow has changed and cannot be used: the call goes by the version before, `digest`."""

    file: str
    digest: str
    code: str
    problems: tuple[str, ...]


@event("flow.overran", version=1)
class FlowOverran(Event):
    """A state has lasted longer than its `limit_ms`."""

    state: str
    limit_ms: int


@event("flow.agent-done", version=1)
class FlowAgentDone(Event):
    """The agent of a state has said what its part of the call has come to."""

    state: str
    agent: str
    outcome: str
    summary: Personal[str] = ""


@event("flow.recorded", version=1)
class FlowRecorded(Event):
    """The caller has left a message: its sound (an empty path if there is none), its length, and what was said."""

    state: str
    path: str
    duration_ms: int
    reason: Literal["silence", "key", "limit", "hangup", "failed", "left"]
    text: Personal[str] = ""
