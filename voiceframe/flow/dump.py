"""A flow as the YAML that `Flow.load()` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from enum import Enum
from typing import Any, Final

from ..errors import FlowError
from ..extras import optional
from .branch import Branch, When
from .naming import kind_of, name_of
from .node import Asking, Node, variable_of
from .places import Place
from .slots import Choice, Date, Digits, Name, Number, Slot, Text, Time, YesNo
from .states import AgentNode, AnyState, Do, End, Handoff, Intent, State, Voicemail
from .words import WEEKDAYS

__all__ = ["data_of", "to_yaml"]

_SLOTS: Final[Mapping[type, str]] = {
    Date: "date",
    Time: "time",
    Number: "number",
    Digits: "digits",
    Name: "name",
    Choice: "choice",
    YesNo: "yes_no",
    Text: "text",
}


def to_yaml(data: Mapping[str, Any]) -> str:
    """The text of a file. Raises `MissingExtra`."""
    yaml = optional("yaml", extra="flows", what="A flow in YAML")

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined, misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True  # what is there twice is written twice

    text: str = yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def data_of(
    states: Mapping[str, AnyState], *, start: str, person: str | None, give_up: str | None, zone: str, **rest: Any
) -> dict[str, Any]:
    """The file's values. Raises `FlowError` (`flow.not-in-yaml`) for what only a program can say."""
    made: dict[str, Any] = {"start": start}
    made |= {name: value for name, value in (("person", person), ("give_up", give_up)) if value is not None}
    if zone != "UTC":
        made["zone"] = zone
    made |= {name: value for name, value in rest.items() if value}
    slots = {slot.name: slot for state in states.values() for slot in _slots_of(state)}
    if slots:
        made["slots"] = {name: _slot(slot) for name, slot in slots.items()}
    made["nodes"] = {name: {"kind": kind_of(state), **dict(_fields(state))} for name, state in states.items()}
    return made


def _slots_of(state: AnyState) -> Iterator[Slot[Any]]:
    if isinstance(state, State):
        if kind_of(state) != "listen":
            yield from state.slots
        for intent in state.intents:
            yield from intent.takes


def _slot(slot: Slot[Any]) -> dict[str, Any]:
    kind = next((name for cls, name in _SLOTS.items() if type(slot) is cls), None)
    if kind is None:
        raise _refused(slot.place, f"the slot {slot.name!r}", f"{type(slot).__name__} is a class of your own")
    if slot.has_check:
        raise _refused(slot.place, f"the slot {slot.name!r}", "its check= is a function")
    made: dict[str, Any] = {"kind": kind}
    if slot.prompt is not None:
        made["prompt"] = slot.prompt
    if slot.label != slot.name.replace("_", " "):
        made["label"] = slot.label
    if slot.own_hint is not None:
        made["hint"] = slot.own_hint
    if isinstance(slot, Date):
        made |= {"earliest_days": slot.earliest_days, "latest_days": slot.latest_days, "keys": slot.keys}
        if slot.closed:
            made["closed"] = [WEEKDAYS[day] for day in sorted(slot.closed)]
    elif isinstance(slot, Time):
        made |= {"earliest": f"{slot.earliest:%H:%M}", "latest": f"{slot.latest:%H:%M}"}
        made["step_minutes"] = slot.step_minutes
    elif isinstance(slot, Number):
        made |= {"low": slot.low, "high": slot.high}
    elif isinstance(slot, Digits):
        made |= {"length": slot.length, "shortest": slot.shortest}
    elif isinstance(slot, Choice):
        phrases = slot.phrases
        if phrases is None:
            raise _refused(slot.place, f"the slot {slot.name!r}", "its options are a function")
        made["options"] = {name: list(said) for name, said in phrases.items()} if any(phrases.values()) else [*phrases]
    return made


def _fields(state: AnyState) -> Iterator[tuple[str, Any]]:
    if state.prompt:
        yield "prompt", state.prompt
    if isinstance(state, State):
        yield from _of_state(state)
    elif isinstance(state, Branch):
        yield "cases", [_case(case) for case in state.cases]
        yield "to", state.to
    elif isinstance(state, Do):
        yield from _of_tool(state)
    elif isinstance(state, AgentNode):
        yield "agent", state.agent.name
        yield "exits", dict(state.exits)
        yield "failed", state.failed
        if state.done:
            yield "done", state.done
        if state.save != variable_of(state.name):
            yield "save", state.save
    elif isinstance(state, Voicemail):
        yield "to", state.to
        yield "path", state.path
        yield "empty", state.empty
        yield "beep", state.beep
        if state.save != variable_of(state.name):
            yield "save", state.save
    elif isinstance(state, Handoff):
        yield "target", state.target
        yield "target_kind", state.target_kind
        yield "reason", state.reason
    elif isinstance(state, End):
        yield "outcome", state.outcome
    yield from _options(state)


def _of_state(state: State) -> Iterator[tuple[str, Any]]:
    if kind_of(state) == "listen":
        if state.slots[0].name != variable_of(state.name):
            yield "save", state.slots[0].name
    elif state.slots:
        yield "slots", [slot.name for slot in state.slots]
    if state.clear:
        yield "clear", list(state.clear)
    if state.confirm is not None:
        yield "confirm", state.confirm
    if state.intents:
        yield "options", [_option(intent) for intent in state.intents]
    if state.hint is not None:
        yield "hint", state.hint
    if state.reprompts:
        yield "reprompts", list(state.reprompts)
    if state.to is not None:
        yield "to", state.to


def _of_tool(state: Do) -> Iterator[tuple[str, Any]]:
    yield "tool", state.tool.name
    if state.exits:
        yield "exits", {name_of(case): to for case, to in state.exits.items()}
    if state.to is not None:
        yield "to", state.to
    yield "failed", state.failed
    if state.save != state.tool.name:
        yield "save", state.save
    if state.arguments:
        yield "arguments", {name: _plain(value, state, name) for name, value in state.arguments.items()}


def _option(intent: Intent) -> dict[str, Any]:
    made: dict[str, Any] = {"name": intent.name, "say": list(intent.phrases), "to": intent.to}
    if intent.key is not None:
        made["key"] = intent.key
    if intent.takes:
        made["takes"] = [slot.name for slot in intent.takes]
    if intent.label != (intent.phrases[0] if intent.phrases else intent.name):
        made["label"] = intent.label
    return made


def _case(case: When) -> dict[str, Any]:
    if case.check is not None:
        raise _refused(case.place, "a case", "its check= is a function")
    made: dict[str, Any] = {"value": case.value} if case.value else {}
    if case.equals is not ...:
        made["is"] = _simple(case.equals)
    if case.one_of is not None:
        made["one_of"] = [_simple(one) for one in case.one_of]
    for name in ("at_least", "at_most"):
        if getattr(case, name) is not None:
            made[name] = _simple(getattr(case, name))
    if case.known is not None:
        made["known"] = case.known
    if case.hours:
        made["hours"] = list(case.hours)
    return {**made, "to": case.to}


def _options(state: Node) -> Iterator[tuple[str, Any]]:
    for name in ("voice", "language"):
        if getattr(state, name) is not None:
            yield name, getattr(state, name)
    if state.interruptible is isinstance(state, Handoff):
        yield "interruptible", state.interruptible
    if isinstance(state, Voicemail):
        yield "silence_ms", state.silence_ms
        yield "limit_ms", state.limit_ms
    elif isinstance(state, Asking):
        for name in ("attempts", "give_up", "silence_ms", "limit_ms", "limit_to", "key_count", "key_pause_ms"):
            if getattr(state, name) is not None:
                yield name, getattr(state, name)
        if state.key_end != "#":
            yield "key_end", state.key_end


def _simple(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    return value.isoformat() if isinstance(value, date | time) else value


def _plain(value: Any, state: Do, name: str) -> Any:
    value = _simple(value)
    if not isinstance(value, str | int | float | bool):
        raise _refused(state.place, f"the argument {name!r} of {state.name!r}", f"it is {value!r}")
    return value


def _refused(where: Place, what: str, error: str) -> FlowError:
    return FlowError.of("flow.not-in-yaml", where=where, what=what, error=error)
