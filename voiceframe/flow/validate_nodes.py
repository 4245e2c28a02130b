"""What cannot work about one node by itself: its settings, the cases of a branch, the exits of an agent, a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time
from typing import Any, Final

from ..errors import FlowError, RecordingError
from .branch import Branch, When, like
from .hours import Hours
from .nearest import nearest
from .node import Asking, Node
from .slots import Choice, Slot
from .states import AgentNode, Handoff, Voicemail
from .template import CALL_NAMES, about_call

__all__ = ["branch_problems", "node_problems"]

#: The bounds of the settings of nodes, as the schema has them.
BOUNDS: Final[Mapping[str, tuple[int, int | None]]] = {
    "attempts": (1, 20),
    "silence_ms": (500, 600_000),
    "limit_ms": (1_000, 86_400_000),
    "key_count": (1, 64),
    "key_pause_ms": (100, 60_000),
}
_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_OUTCOME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def node_problems(node: Node) -> Iterator[FlowError]:
    """What is wrong with the node whatever the others are."""
    if isinstance(node, Asking):
        for name, (low, high) in BOUNDS.items():
            value = getattr(node, name)
            if value is not None and not (low <= value and (high is None or value <= high)):
                error = f"{name}={value} of {node.name!r} is not from {low:,} to {high:,}"
                yield _value(node, error)
        if node.key_end not in ("#", "*"):
            yield _value(node, f"key_end={node.key_end!r} of {node.name!r} is neither '#' nor '*'")
        if node.limit_to is not None and node.limit_ms is None:
            yield _value(node, f"{node.name!r} has a limit_to= and no limit_ms=")
    if isinstance(node, AgentNode):
        yield from _agent(node)
    elif isinstance(node, Handoff):
        if node.target_kind not in ("person", "queue", "number"):
            yield _value(node, f"target_kind={node.target_kind!r} of {node.name!r} is no person, queue or number")
        if node.target_kind == "number" and not _E164.fullmatch(node.target):
            yield _value(node, f"target={node.target!r} of {node.name!r} is no number in E.164, such as +4930123456")
    elif isinstance(node, Voicemail):
        from ..processors.recording.place import check_template

        try:
            check_template(node.path)
        except RecordingError as error:
            yield _value(node, error.message.rstrip("."))
        if not node.path.lower().endswith(".wav"):
            yield _value(node, f"path={node.path!r} of {node.name!r} does not end in .wav")


def _agent(node: AgentNode) -> Iterator[FlowError]:
    if not node.exits:
        yield _value(node, f"{node.name!r} has no exits=, so its agent would never be done")
    for outcome in node.exits:
        if not _OUTCOME.fullmatch(outcome):
            yield _value(node, f"the exit {outcome!r} of {node.name!r} is not one word in lower case")
    if not node.save.isidentifier():
        yield _value(node, f"save={node.save!r} of {node.name!r} is not a name: it has to be one word")


def branch_problems(
    node: Branch, known: Collection[str], slots: Mapping[str, Slot[Any]], fields: Mapping[str, Collection[str]]
) -> Iterator[FlowError]:
    """What is wrong with a branch where these values may be known. fields: of each result that has some."""
    if not node.cases:
        yield _value(node, f"{node.name!r} has no cases")
    names = {*known, *(f"{name}.{field}" for name in known for field in fields.get(name, ()))}
    for case in node.cases:
        for hours in case.hours:
            try:
                Hours.parse(hours)
            except ValueError as error:
                yield _case(case, str(error))
        if not (case.asks_value or case.hours or case.check is not None):
            yield _case(case, f"a case of {node.name!r} says nothing that could hold")
        if case.asks_value and not case.value:
            yield _case(case, f"a case of {node.name!r} compares something, and does not say which value")
        if case.value and not about_call(case.value) and case.value not in names:
            first, _, field = case.value.partition(".")
            if not (first in known and "*" in fields.get(first, ())) or not field:
                yield FlowError.of(
                    "flow.variable",
                    where=case.place,
                    what=f"a case of {node.name!r}",
                    name=case.value,
                    state=node.name,
                    nearest=nearest(case.value, {*names, *CALL_NAMES}),
                )
        slot = slots.get(case.value)
        if slot is not None:
            yield from _comparisons(case, slot)


def _comparisons(case: When, slot: Slot[Any]) -> Iterator[FlowError]:
    """Whether what a slot is compared with is anything that it can be."""
    options = slot.fixed_options if isinstance(slot, Choice) else None
    wanted = [case.equals] if case.equals is not ... else []
    for value in [*wanted, *(case.one_of or ())]:
        if options is not None and not any(str(value).casefold() == option.casefold() for option in options):
            yield FlowError.of(
                "flow.option",
                where=case.place,
                slot=slot.name,
                value=value,
                nearest=nearest(str(value), options),
            )
        elif options is None and not _can_be(slot, value):
            yield _never(case, slot, value)
    for bound in (case.at_least, case.at_most):
        if bound is not None and (slot.type in (bool, str) or not _can_be(slot, bound)):
            yield _never(case, slot, bound)


def _can_be(slot: Slot[Any], value: Any) -> bool:
    if slot.type is str:
        return isinstance(value, str)
    if slot.type is bool:
        return isinstance(value, bool)
    sample: Any = {date: date(2026, 1, 1), time: time(9)}.get(slot.type, 0)
    try:
        found = like(sample, value)
    except ValueError:
        return False
    return isinstance(found, slot.type) or (slot.type is int and isinstance(found, float))


def _never(case: When, slot: Slot[Any], value: object) -> FlowError:
    return _case(case, f"{slot.name!r} is of the type {slot.type.__name__}, and cannot be compared with {value!r}")


def _case(case: When, error: str) -> FlowError:
    return FlowError.of("flow.value", where=case.place, error=error, what="When")


def _value(node: Node, error: str) -> FlowError:
    return FlowError.of("flow.value", where=node.place, error=error, what=type(node).__name__)
