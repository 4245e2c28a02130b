"""The calls of assistants as their events have them: what every report counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..events import LoggedEvent
from ..store import Store

__all__ = ["KINDS", "Run", "read_runs", "runs_of"]

#: The kinds of events that a run is made of.
KINDS: Final = (
    "after.done",
    "after.due",
    "after.failed",
    "assistant.outcome",
    "assistant.started",
    "call.ended",
    "call.started",
    "experiment.assigned",
    "guardrail.decided",
    "handoff.decided",
    "handoff.requested",
    "memory.deleted",
    "memory.erased",
    "memory.failed",
    "memory.opened",
    "memory.read",
    "memory.written",
    "tool.called",
    "tool.returned",
    "turn.committed",
    "turn.unanswered",
)


@dataclass(slots=True)
class Run:
    """A call of an assistant, as far as it has come. Counts are of events."""

    call: str
    assistant: str
    agent: str = ""
    started_ms: int = 0
    #: By experiment.
    variants: dict[str, str] = field(default_factory=dict)
    #: Of each experiment, a hash of who called; the call's own id where that was erased or not known.
    units: dict[str, str] = field(default_factory=dict)
    #: Experiments whose variant was chosen, and not drawn: they are no evidence.
    chosen: set[str] = field(default_factory=set)
    #: Of each experiment, what the others are compared with, and the shares that all variants were to have.
    controls: dict[str, str] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    ended: bool = False
    reason: str = ""
    duration_ms: int = 0
    outcome: str | None = None
    goals: dict[str, bool | float | None] = field(default_factory=dict)
    turns: int = 0
    unanswered: int = 0
    #: Guardrails and handoff policies that have escalated, or asked for a person.
    escalations: int = 0
    #: Callers who were given to a person, a queue or a number.
    transfers: int = 0
    #: What guardrails and handoff policies have blocked.
    blocks: int = 0
    #: Calls of tools by name, and how many of them have failed.
    tools: dict[str, int] = field(default_factory=dict)
    tools_failed: dict[str, int] = field(default_factory=dict)
    #: `off`, `closed`, `open` or `failed`: what it came to.
    memory: str = "off"
    memory_reads: int = 0
    memory_writes: int = 0
    memory_erased: int = 0
    memory_failures: int = 0
    hooks_due: tuple[str, ...] = ()
    hooks_done: set[str] = field(default_factory=set)
    hooks_failed: set[str] = field(default_factory=set)
    hook_retries: int = 0

    @property
    def hooks_lost(self) -> tuple[str, ...]:
        """Hooks that have neither succeeded nor failed for good: they run still, or their process ended."""
        return tuple(name for name in self.hooks_due if name not in self.hooks_done | self.hooks_failed)


def runs_of(events: Iterable[LoggedEvent], *, assistant: str = "") -> list[Run]:
    """The runs in these events, of all assistants or of one, in the order in which they began.

    The events may be of many calls, in any order.
    """
    calls: dict[str, list[LoggedEvent]] = {}
    for event in events:
        calls.setdefault(event.call, []).append(event)
    found: list[Run] = []
    for call, own in calls.items():
        own.sort(key=lambda event: (event.at_ms, event.id))
        names = {str(event.data["assistant"]) for event in own if event.kind == "assistant.started"}
        found += [_run(call, name, own) for name in sorted(names) if not assistant or name == assistant]
    return sorted(found, key=lambda run: (run.started_ms, run.call, run.assistant))


def read_runs(
    store: Store,
    *,
    assistant: str = "",
    tenant: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = 10_000,
) -> list[Run]:
    """The runs of the newest calls in a store, at most `limit` calls. Blocks."""
    found: list[Run] = []
    for record in store.calls(tenant=tenant, since_ms=since_ms, until_ms=until_ms, limit=limit):
        found += runs_of(store.events(record.call, kinds=KINDS), assistant=assistant)
    return sorted(found, key=lambda run: (run.started_ms, run.call, run.assistant))


def _run(call: str, assistant: str, events: list[LoggedEvent]) -> Run:
    run = Run(call, assistant, started_ms=events[0].wall_ms)
    tools: dict[str, str] = {}
    judged: set[tuple[object, ...]] = set()  # several rules may have had a part in one decision
    for event in events:
        data = event.data
        if "assistant" in data and data["assistant"] != assistant:
            continue  # another one's of the same call
        match event.kind:
            case "assistant.started":
                run.agent, run.memory = str(data["agent"]), str(data["memory"])
            case "experiment.assigned":
                _assigned(run, event)
            case "call.started":
                run.started_ms = event.wall_ms
            case "call.ended":
                run.ended, run.reason, run.duration_ms = True, str(data["reason"]), int(data["duration_ms"])
            case "assistant.outcome":
                run.outcome, run.goals = data["outcome"], dict(data["goals"])
            case "turn.committed":
                run.turns += 1
            case "turn.unanswered":
                run.unanswered += 1
            case "tool.called":
                name = tools[data["call_id"]] = str(data["name"])
                run.tools[name] = run.tools.get(name, 0) + 1
            case "tool.returned" if data["failed"] and data["call_id"] in tools:
                name = tools[data["call_id"]]
                run.tools_failed[name] = run.tools_failed.get(name, 0) + 1
            case "handoff.requested":
                run.transfers += 1
            case "handoff.decided":
                run.escalations += data["status"] == "escalated"
                run.blocks += data["status"] == "blocked"
            case "guardrail.decided":
                place = (data["stage"], data["turn"], data["reply"], data["subject"], event.at_ms)
                if place not in judged:
                    judged.add(place)
                    run.escalations += data["done"] == "escalate"
                    run.blocks += data["done"] == "block"
            case kind if kind.startswith("memory."):
                _remembered(run, kind, data)
            case kind if kind.startswith("after."):
                _worked(run, kind, data)
    return run


def _assigned(run: Run, event: LoggedEvent) -> None:
    data = event.data
    name = str(data["experiment"])
    run.variants[name] = str(data["variant"])
    unit = str((event.personal or {}).get("unit") or "")
    run.units[name] = unit if unit and data["reason"] == "sticky" else run.call
    run.controls[name], run.shares[name] = str(data["control"]), dict(data["shares"])
    if data["reason"] == "chosen":
        run.chosen.add(name)


def _remembered(run: Run, kind: str, data: Mapping[str, object]) -> None:
    match kind:
        case "memory.opened":
            run.memory = "open"
            run.memory_reads += 1
        case "memory.read":
            run.memory_reads += 1
        case "memory.written":
            run.memory_writes += 1
        case "memory.deleted":
            run.memory_erased += bool(data["found"])
        case "memory.erased":
            run.memory_erased += int(str(data["count"]))
        case "memory.failed":
            run.memory_failures += 1


def _worked(run: Run, kind: str, data: Mapping[str, object]) -> None:
    hook = str(data.get("hook", ""))
    if kind == "after.due":
        due = data["hooks"]
        run.hooks_due = tuple(map(str, due)) if isinstance(due, list | tuple) else ()
    elif kind == "after.done":
        run.hooks_done.add(hook)
    elif data["retry_ms"] is None:
        run.hooks_failed.add(hook)
    else:
        run.hook_retries += 1
