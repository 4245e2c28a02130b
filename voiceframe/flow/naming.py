"""How a file calls what a program has: the kinds of nodes, and the results of tools."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .branch import Branch
from .node import Node
from .slots import Text
from .states import AgentNode, Do, Handoff, State, Voicemail

__all__ = ["kind_of", "name_of"]


def name_of(case: Any) -> str:
    """A result as an exit names it."""
    if isinstance(case, type):
        return case.__name__
    if isinstance(case, bool) or case is None:
        return str(case).lower()
    return str(case.value if isinstance(case, Enum) else case)


def kind_of(state: Node) -> str:
    """The kind that a node has in a file."""
    if isinstance(state, State):
        if not state.asks:
            return "greet"
        if not state.slots:
            return "menu"
        only = state.slots[0]
        if len(state.slots) == 1 and isinstance(only, Text) and only.prompt is None and not state.intents:
            return "listen"
        return "collect"
    kinds = {Branch: "branch", Do: "tool", AgentNode: "agent", Voicemail: "voicemail", Handoff: "transfer"}
    return kinds.get(type(state), "hangup")
