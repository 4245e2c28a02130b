"""Mocks: what stands for a tool or an agent while a flow is checked or walked through without them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

from ..tools import Tool, ToolContext
from ..tools.parameters import Parameter

if TYPE_CHECKING:
    from ..frames import UserTurnFrame
    from ..processors.agents import Agent

__all__ = ["AnyResult", "Mock", "MockTool", "mock_agent", "mock_tool"]


class Mock(NamedTuple):
    """What a file says of a tool: what it takes, and its results: values, or classes with their fields."""

    takes: tuple[str, ...] = ()
    results: Mapping[str, Mapping[str, Any]] | Sequence[Any] = ()


class AnyResult:
    """A result of which nothing was declared: it has any field that is asked for."""

    any_field = True


class MockTool(Tool[..., Any]):
    """Returns what was declared, in turn, or what it is told to."""

    mock = True

    def __init__(self, name: str, takes: Iterable[str], results: list[Any], returns: Any) -> None:
        async def call(ctx: ToolContext) -> Any:
            await asyncio.sleep(0.05)
            return self.next_result()

        super().__init__(call, name=name, side_effects=False, retries=0)
        self.parameters = {taken: Parameter(taken, Any, True) for taken in takes}
        self.results = results
        self.returns = returns
        self.fails = False
        self._told: list[Any] = []
        self._count = 0

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def tell(self, result: Any) -> None:
        """Return this the next time."""
        self._told.append(result)

    def next_result(self) -> Any:
        """The next result. Raises `RuntimeError` when it was told to fail."""
        if self._told:
            result = self._told.pop(0)
        else:
            result = self.results[self._count % len(self.results)]
            self._count += 1
        if isinstance(result, Exception):
            raise result
        return result


def mock_tool(name: str, mock: Mock | None, exits: Iterable[str], *, any_other: bool) -> MockTool:
    """A tool with these results; of one of which nothing was declared, the exits are the results."""
    if mock is not None and isinstance(mock.results, Mapping) and mock.results:
        classes = []
        results = []
        for kind, fields in mock.results.items():
            made: Any = dataclasses.make_dataclass(kind, list(fields), frozen=True)
            classes.append(made)
            results.append(made(**fields))
        return MockTool(name, mock.takes, results, Union[tuple(classes)])  # noqa: UP007
    return _by_exits(name, mock, exits, any_other=any_other)


def _by_exits(name: str, mock: Mock | None, exits: Iterable[str], *, any_other: bool) -> MockTool:
    takes = mock.takes if mock is not None else ()
    declared = list(mock.results) if mock is not None and mock.results else []
    if declared:
        return MockTool(name, takes, declared, Literal[tuple(declared)])
    results: list[Any] = []
    returns: list[Any] = []
    for exit in exits:
        value: Any = {"true": True, "false": False, "null": None}.get(exit, exit)
        if isinstance(value, str) and value[:1].isupper() and value.isidentifier():
            made = type(value, (AnyResult,), {})
            results.append(made())
            returns.append(made)
        else:
            results.append(value)
            returns.append(type(None) if value is None else Literal[value])
    if any_other or not results:
        results.append(AnyResult())
        returns.append(AnyResult)
    return MockTool(name, takes, results, Union[tuple(returns)])  # noqa: UP007


def mock_agent(name: str) -> Agent:
    """An agent that says what it would do, and waits to be told its outcome: a turn `/done outcome` of a script."""
    from ..processors.agents import Agent

    class MockAgent(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield f"(The agent {self.name} answers.)"

    return MockAgent(name)
