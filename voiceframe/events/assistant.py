"""The vocabulary of assistants: what was tried, remembered, reached, and done after the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .base import Event, Personal, event

__all__ = [
    "AfterDone",
    "AfterDue",
    "AfterFailed",
    "AssistantOutcome",
    "AssistantStarted",
    "ExperimentAssigned",
    "MemoryDeleted",
    "MemoryErased",
    "MemoryFailed",
    "MemoryOpened",
    "MemoryRead",
    "MemoryWritten",
]


@event("assistant.started", version=1)
class AssistantStarted(Event):
    """The call is an assistant's, with this agent and, by experiment, these variants.

    `memory` as the call begins: `off`, `closed` (nobody is verified), `open` or `failed`.
    """

    assistant: str
    agent: str
    variants: Mapping[str, str]
    memory: Literal["off", "closed", "open", "failed"] = "off"


@event("experiment.assigned", version=1)
class ExperimentAssigned(Event):
    """The call has this variant of an experiment.

    `reason`: `sticky` (by a hash of who calls, so always the same for them), `call` (by chance: it is not known who
    calls), `chosen` (by the program). `shares` are those of all variants by their weights, `control` is what the others
    are compared with. `unit` is that hash: it groups the calls of one caller, and names nobody.
    """

    assistant: str
    experiment: str
    variant: str
    reason: Literal["sticky", "call", "chosen"]
    control: str
    shares: Mapping[str, float]
    unit: Personal[str] = ""


@event("assistant.outcome", version=1)
class AssistantOutcome(Event):
    """What the call has come to: the program's own word for it, and its goals, None for one that was not measured.

    `failed` names the goals whose function has raised.
    """

    assistant: str
    outcome: str | None
    goals: Mapping[str, bool | float | None]
    failed: tuple[str, ...] = ()


@event("memory.opened", version=1)
class MemoryOpened(Event):
    """Somebody is verified, and what is remembered of them was read: so many `entries`."""

    namespace: str
    entries: int
    took_ms: int


@event("memory.read", version=1)
class MemoryRead(Event):
    """One entry was read (`name`), or all (no name); `found` says how many there were."""

    namespace: str
    found: int
    name: Personal[str] = ""


@event("memory.written", version=1)
class MemoryWritten(Event):
    """An entry was kept, of so many `bytes`, for `ttl_ms` (None for good). `replaced`: there was one of its name."""

    namespace: str
    bytes: int
    ttl_ms: int | None
    replaced: bool
    name: Personal[str] = ""


@event("memory.deleted", version=1)
class MemoryDeleted(Event):
    """An entry was taken out, if there was one (`found`)."""

    namespace: str
    found: bool
    name: Personal[str] = ""


@event("memory.erased", version=1)
class MemoryErased(Event):
    """All that was remembered of the caller is gone: `count` entries."""

    namespace: str
    count: int


@event("memory.failed", version=1)
class MemoryFailed(Event):
    """The memory could not be used, and the call went on without it.

    `operation`: `open`, `read`, `write`, `delete` or `erase`. `code` is that of the error.
    """

    namespace: str
    operation: Literal["open", "read", "write", "delete", "erase"]
    code: str
    message: Personal[str] = ""


@event("after.due", version=1)
class AfterDue(Event):
    """The call is over, and these hooks are to run. One without an `after.done` or a last `after.failed` never ended:
    its process did."""

    assistant: str
    hooks: tuple[str, ...]


@event("after.done", version=1)
class AfterDone(Event):
    """A hook has run after the call, at its `attempts`-th attempt; all of them took `took_ms`."""

    assistant: str
    hook: str
    attempts: int
    took_ms: int


@event("after.failed", version=1)
class AfterFailed(Event):
    """An attempt of a hook has failed. `retry_ms` is when it is tried again, None if it is not.

    `error` is the class of the exception; `TimeoutError` is one that took too long, `CancelledError` one that was
    stopped with the process.
    """

    assistant: str
    hook: str
    attempt: int
    error: str
    retry_ms: int | None
    message: Personal[str] = ""
