"""Contracts of workflows as checks: scripted turns, and what the call must have come to then.

    contract = Workflow.preset("appointment-booking", turns=["book an appointment", "Anna Smith", ...],
                               fields={"caller_name": "patient", "phone": "number", "start": "at"})
    report = await check_workflow(bot, [contract])
    assert report.exit_code == 0, report.markdown()

They hold for any bot: a flow, an agent, a squad. What is known of a call is what its flow has filled and its tools have
returned (`call.data["slots"]`), `call.data` itself, what its tools were called with, and its last handoff.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from ..checks import Check, Report, Verdict
from ..errors import FlowError, TestKitError
from ..tools.values import plain
from .nearest import nearest

if TYPE_CHECKING:
    from ..app import Bot
    from ..testing import Caller, CallTranscript

__all__ = ["Workflow", "WorkflowField", "check_workflow"]

Match: TypeAlias = Literal["non-empty", "string", "number", "boolean", "truthy"]


@dataclass(frozen=True)
class WorkflowField:
    """Something that must be known in the end.

    path: its name, with dots into mappings and results: "doctor", "book.number". aliases: other paths that will do.
    match: what the value must be.
    """

    path: str
    aliases: tuple[str, ...] = ()
    match: Match = "non-empty"


def _fields(*names: str | tuple[str, Match]) -> tuple[WorkflowField, ...]:
    return tuple(WorkflowField(one) if isinstance(one, str) else WorkflowField(one[0], (), one[1]) for one in names)


#: What each preset asks: the fields, and what is done with the caller.
_PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "appointment-booking": {"fields": _fields("caller_name", "phone", "start", "summary"), "handoffs": "none"},
    "lead-qualification": {
        "fields": _fields("name", "email", "need", ("qualified", "boolean"), "next_step"),
        "handoffs": "any",
    },
    "support-triage": {"fields": _fields("name", "issue", "severity", "next_step"), "handoffs": "any"},
    "transfer-handoff": {"fields": _fields("target", "reason", "summary"), "handoffs": "one"},
    "voicemail-callback": {"fields": _fields("name", "phone", "message"), "handoffs": "none"},
}


@dataclass(frozen=True)
class Workflow:
    """A call and what must come of it. What is left out is not asked.

    turns: what the caller says, one after the other; lines as in a script of `voiceframe chat` (`/keys 12#`).
    fields: what must be known in the end, by path or as a `WorkflowField`. values: what must have exactly this value.
    outcome: what must be in `call.data["outcome"]`. reason: why the call must end.
    nodes: states that it must come through in this order, others between them. not_nodes: states that it must not.
    events, not_events: kinds of events that there must be, and must not.
    handoffs: `"none"`, `"one"` or `"any"`. target: to whom.
    heard, not_heard: what the caller must have heard, and not (regular expressions, case ignored).
    least_turns: of the caller. most_errors: `processor.failed` and failed tools.
    unanswered: whether a turn may go unanswered.
    check: a function of the record and of all that is known, which says what is wrong, or None.
    """

    name: str
    turns: Sequence[str]
    fields: Sequence[WorkflowField | str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    reason: str = ""
    nodes: Sequence[str] = ()
    not_nodes: Sequence[str] = ()
    events: Sequence[str] = ()
    not_events: Sequence[str] = ()
    handoffs: Literal["none", "one", "any"] = "any"
    target: str = ""
    heard: Sequence[str] = ()
    not_heard: Sequence[str] = ()
    least_turns: int = 0
    most_errors: int = 0
    unanswered: bool = False
    check: Callable[[CallTranscript, Mapping[str, Any]], str | None] | None = None

    @classmethod
    def preset(
        cls, name: str, *, turns: Sequence[str], fields: Mapping[str, str | Sequence[str]] | None = None, **changes: Any
    ) -> Self:
        """A contract of the kind `appointment-booking`, `lead-qualification`, `support-triage`, `transfer-handoff` or
        `voicemail-callback`.

        fields: how the bot calls the fields of the preset: `{"caller_name": "patient"}`. changes: whatever else the
        contract is to ask.

        Raises `FlowError` (`flow.contract`, `flow.unknown-name`) for a preset, or a field of it, that there is not.
        """
        if name not in _PRESETS:
            raise FlowError.of("flow.contract", name=name, nearest=nearest(name, _PRESETS))
        known = {one.path: one for one in _PRESETS[name]["fields"]}
        for path, also in (fields or {}).items():
            if path not in known:
                best = nearest(path, known)
                raise FlowError.of("flow.unknown-name", where=name, kind="field of the preset", name=path, nearest=best)
            aliases = (also,) if isinstance(also, str) else tuple(also)
            known[path] = dataclasses.replace(known[path], aliases=aliases)
        given = {"name": name, "fields": tuple(known.values()), "handoffs": _PRESETS[name]["handoffs"], **changes}
        return cls(turns=turns, **given)

    @staticmethod
    def presets() -> tuple[str, ...]:
        """The names of the presets."""
        return tuple(_PRESETS)


async def check_workflow(bot: Bot | str, workflows: Iterable[Workflow], *, seed: int = 0) -> Report:
    """Call the bot once for each contract, by text, and check what came of it. On virtual time that takes no time.

    The checks are named `workflow.<name>.<aspect>`, with the aspects turns, fields, values, outcome, reason, nodes,
    events, handoffs, heard, errors, answers and check. Raises `ConfigurationError` for a turn that is no line of a
    script.
    """
    from ..chat_script import parse_script
    from ..testing import dial

    checks: list[Check] = []
    for workflow in workflows:
        actions = parse_script("\n".join(workflow.turns), workflow.name)
        failed = ""
        async with dial(bot, seed=seed) as caller:
            try:
                await _play(caller, actions)
            except TestKitError as error:
                failed = error.message
        checks += _Judge(workflow, caller, failed).checks()
    return Report(checks, title="Contracts of workflows")


async def _play(caller: Caller, actions: Sequence[Any]) -> None:
    from ..chat import act

    for action in actions:
        await act(caller, action)
        await caller.waits(50)  # a turn is on its way before the next one waits for its answer
    if not caller.call.ended:
        await caller.listens()
        await caller.waits(1_000)


class _Judge:
    """The checks of one call."""

    def __init__(self, workflow: Workflow, caller: Caller, failed: str) -> None:
        self._flow = workflow
        self._record = caller.record
        self._reason = caller.record.reason
        self._failed = failed
        self._known = known_of(caller)

    def checks(self) -> Iterator[Check]:
        flow, record = self._flow, self._record
        turns = record.turns
        short = [f"The call must have at least {flow.least_turns} turns."] if len(turns) < flow.least_turns else []
        broken = [self._failed] if self._failed else []
        yield self._check("turns", f"The caller had {len(turns)} turns.", [*broken, *short])
        if flow.fields:
            rules = [WorkflowField(one) if isinstance(one, str) else one for one in flow.fields]
            found = {rule.path: self._find(rule) for rule in rules}
            wrong = [self._missing(rule) for rule in rules if not _matches(found[rule.path], rule.match)]
            yield self._check("fields", f"Known in the end: {_listed(found)}.", wrong)
        if flow.values:
            found = {path: look(self._known, path) for path in flow.values}
            wrong = [
                f"{path} is {plain(found[path])!r}, and must be {plain(wanted)!r}."
                for path, wanted in flow.values.items()
                if plain(found[path]) != plain(wanted)
            ]
            yield self._check("values", f"Known in the end: {_listed(found)}.", wrong)
        if flow.outcome:
            yield self._same("outcome", str(self._known.get("outcome", "")), flow.outcome)
        if flow.reason:
            yield self._same("reason", self._reason, flow.reason)
        yield from self._way()
        yield from self._others()

    def _way(self) -> Iterator[Check]:
        flow, record = self._flow, self._record
        if flow.nodes or flow.not_nodes:
            entered = [str(event.data["state"]) for event in record.of("flow.entered")]
            rest = iter(entered)
            lost = [name for name in flow.nodes if name not in rest][:1]
            wrong = [f"It does not come to {lost[0]!r} where it must: {' → '.join(flow.nodes)}."] if lost else []
            wrong += [f"It must not come to {name!r}." for name in flow.not_nodes if name in entered]
            yield self._check("nodes", f"It came through {' → '.join(entered) or 'no state'}.", wrong)
        if flow.events or flow.not_events:
            kinds = {event.kind for event in record.events}
            wrong = [f"There is no {kind}." for kind in flow.events if kind not in kinds]
            wrong += [f"There must be no {kind}." for kind in flow.not_events if kind in kinds]
            yield self._check("events", f"{len(record.events)} events of {len(kinds)} kinds.", wrong)
        handed = [str(event.data["target"]) for event in record.of("handoff.requested")]
        if flow.handoffs != "any" or flow.target:
            wrong = []
            if (flow.handoffs == "none" and handed) or (flow.handoffs == "one" and len(handed) != 1):
                wrong.append(f"There must be {'none' if flow.handoffs == 'none' else 'exactly one'}.")
            if flow.target and handed[-1:] != [flow.target]:
                wrong.append(f"It must be to {flow.target!r}.")
            yield self._check("handoffs", f"Handed over to: {', '.join(handed) or 'nobody'}.", wrong)

    def _others(self) -> Iterator[Check]:
        flow, record = self._flow, self._record
        if flow.heard or flow.not_heard:
            text = " ".join(" ".join(record.heard).split())
            wrong = [f"The caller did not hear {p!r}." for p in flow.heard if not re.search(p, text, re.IGNORECASE)]
            wrong += [f"The caller heard {p!r}." for p in flow.not_heard if re.search(p, text, re.IGNORECASE)]
            yield self._check("heard", f"The caller heard {len(record.heard)} replies.", wrong)
        errors = len(record.of("processor.failed"))
        errors += sum(1 for event in record.of("tool.returned") if event.data.get("failed"))
        many = [f"There may be at most {flow.most_errors}."] if errors > flow.most_errors else []
        yield self._check("errors", f"{errors} errors.", many)
        if not flow.unanswered:
            lost = [event.turn for event in record.of("turn.unanswered")]
            yield self._check(
                "answers", f"{len(record.turns) - len(lost)} of {len(record.turns)} turns were not left unanswered.",
                [f"Turn {turn} was left unanswered." for turn in lost],
            )  # fmt: skip
        if flow.check is not None:
            wrong_text = flow.check(record, self._known)
            name = getattr(flow.check, "__name__", "check")
            yield self._check("check", f"{name} was asked.", [wrong_text] if wrong_text else [])

    def _find(self, rule: WorkflowField) -> Any:
        for path in (rule.path, *rule.aliases):
            value = look(self._known, path)
            if _matches(value, rule.match):
                return value
        return None

    def _missing(self, rule: WorkflowField) -> str:
        paths = " or ".join((rule.path, *rule.aliases))
        value = next((v for v in (look(self._known, p) for p in (rule.path, *rule.aliases)) if v is not None), None)
        return f"{paths} is {'not known' if value is None else repr(plain(value))}, and must be {rule.match}."

    def _same(self, aspect: str, found: str, wanted: str) -> Check:
        return self._check(aspect, f"It is {found!r}.", [] if found == wanted else [f"It must be {wanted!r}."])

    def _check(self, aspect: str, evidence: str, wrong: Sequence[str]) -> Check:
        name = self._flow.name
        verdict: Verdict = "fail" if wrong else "pass"
        fix = f"Correct the bot, or `Workflow({name!r})`." if wrong else None
        return Check(f"workflow.{name}.{aspect}", verdict, (evidence, *wrong), fix=fix, section=name)


def known_of(caller: Caller) -> dict[str, Any]:
    """All that a call knows in the end; what stands later here holds before what stands earlier."""
    known: dict[str, Any] = {}
    for event in caller.record.of("tool.called"):
        known.update(dict((event.personal or {}).get("arguments") or {}))
    for event in caller.record.of("handoff.requested"):
        known.update({"target": event.data["target"], "reason": event.data["reason"]})
        known["summary"] = (event.personal or {}).get("summary") or known.get("summary")
    known.update({name: value for name, value in caller.call.data.items() if name != "slots"})
    known.update(caller.call.data.get("slots") or {})
    return known


def look(known: Mapping[str, Any], path: str) -> Any:
    """The value at a path, None if there is none."""
    value: Any = known
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = getattr(value, name, None) if name in {f.name for f in dataclasses.fields(value)} else None
        else:
            return None
    return value


def _matches(value: Any, match: Match) -> bool:
    if value is None:
        return False
    if match == "boolean":
        return isinstance(value, bool)
    if match == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if match == "string":
        return isinstance(value, str)
    if match == "truthy":
        return bool(value)
    return not (
        isinstance(value, str | Mapping | Sequence) and not (value.strip() if isinstance(value, str) else value)
    )


def _listed(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={plain(value)!r}" for name, value in found.items())
