"""What a tool may return, and whether a node has an exit for all of it."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from ..errors import FlowError
from .states import Do

__all__ = ["exit_problems", "fits", "members"]


def exit_problems(state: Do) -> Iterator[FlowError]:
    if state.to is not None or getattr(state.tool, "mock", False):
        return
    for case in members(state.tool.returns):
        if case is type(None):
            known = None in state.exits or type(None) in state.exits
        elif isinstance(case, type):
            values: Iterable[Any] = case if issubclass(case, Enum) else (True, False) if case is bool else ()
            known = any(isinstance(key, type) and issubclass(case, key) for key in state.exits)
            known = known or (bool(list(values)) and all(value in state.exits for value in values))
        else:
            known = any(key == case for key in state.exits)
        if not known:
            name = getattr(case, "__name__", repr(case))
            yield FlowError.of(
                "flow.exit-missing", where=state.place, tool=state.tool.name, case=name, state=state.name
            )


def members(kind: Any) -> list[Any]:
    """The types and values that a return type is made of."""
    if get_origin(kind) in (Union, types.UnionType):
        return [member for part in get_args(kind) for member in members(part)]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [kind]


def fits(given: type, taken: Any) -> bool:
    if get_origin(taken) in (Union, types.UnionType):
        return any(fits(given, part) for part in get_args(taken))
    if get_origin(taken) is Literal:
        return any(type(value) is given for value in get_args(taken))
    if taken is float and given is int:
        return True
    return taken is given or taken is Any
