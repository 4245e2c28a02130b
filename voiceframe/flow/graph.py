"""A flow as a graph: its nodes, and every way from one to another with what it is taken for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from .branch import Branch
from .naming import name_of
from .node import Asking
from .states import AgentNode, AnyState, Do, State, Voicemail

__all__ = ["Way", "ways"]


class Way(NamedTuple):
    """A way from a node to another. kind: what takes it: what the caller does, what is known, a result, an agent; or
    that something has failed. label: in a few words, empty where there is only one way."""

    source: str
    to: str
    kind: Literal["next", "option", "case", "exit", "outcome", "failed", "give_up", "limit"]
    label: str = ""

    @property
    def fails(self) -> bool:
        """Whether it is taken because something did not work."""
        return self.kind in ("failed", "give_up", "limit")


def ways(states: Mapping[str, AnyState]) -> list[Way]:
    """All ways of a flow, node by node."""
    return [way for state in states.values() for way in _ways(state)]


def _ways(state: AnyState) -> Iterator[Way]:
    name = state.name
    if isinstance(state, State):
        for intent in state.intents:
            label = intent.label if intent.key is None else f"{intent.key} {intent.label}"
            yield Way(name, intent.to, "option", label)
        if state.to is not None:
            slots = ", ".join(slot.label for slot in state.slots)
            yield Way(name, state.to, "next", slots)
    elif isinstance(state, Branch):
        for case in state.cases:
            yield Way(name, case.to, "case", case.label)
        yield Way(name, state.to, "next", "else")
    elif isinstance(state, Do):
        for case, to in state.exits.items():
            yield Way(name, to, "exit", name_of(case))
        if state.to is not None:
            yield Way(name, state.to, "next", "else" if state.exits else "")
        yield Way(name, state.failed, "failed", "failed")
    elif isinstance(state, AgentNode):
        for outcome, to in state.exits.items():
            yield Way(name, to, "outcome", outcome)
        yield Way(name, state.failed, "failed", "failed")
    elif isinstance(state, Voicemail):
        yield Way(name, state.to, "next", "message" if state.empty != state.to else "")
        if state.empty != state.to:
            yield Way(name, state.empty, "failed", "nothing said")
    if isinstance(state, Asking):
        if state.give_up is not None:
            yield Way(name, state.give_up, "give_up", "not understood")
        if state.limit_to is not None and state.limit_ms is not None:
            yield Way(name, state.limit_to, "limit", f"after {state.limit_ms / 1000:g} s")
