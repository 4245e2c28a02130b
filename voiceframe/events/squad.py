"""Events of agents that are told something, and of squads and routers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from .base import Event, Personal, event

__all__ = ["AgentAdvised", "HandoffDecided", "HandoffRequested", "RouterDecided", "SpecialistChanged"]


@event("agent.advised", version=1)
class AgentAdvised(Event):
    """A program has told the agent something. `speak`: the agent is to say something about it of its own accord."""

    agent: str
    source: str
    speak: bool
    text: Personal[str]


@event("specialist.changed", version=1)
class SpecialistChanged(Event):
    """From now on `specialist` answers the caller. `cause`: `start`, `handoff` or `route`; `previous`: who did."""

    squad: str
    specialist: str
    previous: str = ""
    cause: Literal["start", "handoff", "route"]


@event("handoff.decided", version=1)
class HandoffDecided(Event):
    """Somebody wanted to give the caller from `source` to `asked`. Where they go now is `target`, empty for nowhere.

    `status`: `allowed`, `rerouted`, `blocked`, `escalated`, `unknown-target` or `max-exceeded`; `why` says for a
    blocked one whether the `policy` or a rule of the squad did it (`cycle`, `late`, `failed`). `context`: which part of
    the conversation the target was given, the `default` or a `custom` one, empty if it was given none.
    """

    squad: str
    source: str
    asked: str
    target: str = ""
    status: Literal["allowed", "rerouted", "blocked", "escalated", "unknown-target", "max-exceeded"]
    why: Literal["", "policy", "cycle", "late", "failed"] = ""
    context: Literal["", "default", "custom"] = ""
    reason: Personal[str] = ""
    summary: Personal[str] = ""
    metadata: Personal[Mapping[str, Any]] = field(default_factory=dict)


@event("handoff.requested", version=2)
class HandoffRequested(Event):
    """The caller is to go on with `target`: a person, a queue, or whoever answers at `number`.

    `source` is the specialist that has given them away, empty where there are none.
    """

    target: str
    reason: str
    summary: Personal[str] = ""
    target_kind: Literal["person", "queue", "number"] = "person"
    number: Personal[str] = ""
    metadata: Personal[Mapping[str, Any]] = field(default_factory=dict)
    source: str = ""


@event("router.decided", version=1)
class RouterDecided(Event):
    """A router has decided who answers the call.

    `by` is what has decided, `cause` why the fallback did: `no-match`, `timeout`, `error` or `unknown-target`, else
    empty. `final`: it is asked again at the next turn if not. `elapsed_ms` is how long the caller's turn has waited for
    it; `reason` is in the classifier's words.
    """

    router: str
    target: str
    by: Literal["rule", "model", "grammar", "function", "fallback"]
    cause: Literal["", "no-match", "timeout", "error", "unknown-target"] = ""
    final: bool = True
    elapsed_ms: int = 0
    reason: Personal[str] = ""
