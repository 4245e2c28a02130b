"""Goals: what a call was to come to, and whether it has."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from ..errors import AssistantError
from ..tools.context import ToolContext
from ..tools.tool import Tool, tool
from .finished import FinishedCall

__all__ = ["Goal", "measured", "outcome_of", "outcome_tool"]

_log = logging.getLogger("voiceframe.assistant")

#: Where the program says what a call came to.
_OUTCOME = "outcome"
_OUTCOME_CHARS = 64

_Measure = Callable[[FinishedCall], "bool | float | Awaitable[bool | float | None] | None"]


class Goal:
    """Something that calls are to come to, measured when each is over: a rate of calls, or a mean of numbers.

        Goal("booked", outcome="booked")        # the program has set call.data["outcome"] to this
        Goal("booked", tool="book")             # this tool has returned at least once, without an error
        Goal("score", measure=function)         # a function of the finished call: bool, a number, or None

    Raises `AssistantError` (`assistant.goal`).
    """

    def __init__(
        self,
        name: str,
        *,
        outcome: str | None = None,
        tool: str | None = None,
        measure: _Measure | None = None,
    ) -> None:
        self.name = name
        self._outcome = outcome
        self._tool = tool
        self._measure = measure
        given: object = measure or len  # whoever is not type-checked may give anything
        said = sum(value is not None for value in (outcome, tool, measure))
        error = ""
        if not name or not name.isprintable() or len(name) > 64:
            error = "a name that is no short text"
        elif said != 1:
            error = "nothing to measure" if not said else "several things to measure"
        elif not callable(given):
            error = f"{given!r}, which is no function"
        if error:
            raise AssistantError.of("assistant.goal", name=name, error=error)

    async def measure(self, call: FinishedCall) -> bool | float | None:
        """Whether it was reached, or how far; None if that cannot be said. Raises what the function raises."""
        if self._outcome is not None:
            return call.outcome == self._outcome
        if self._tool is not None:
            return any(use.name == self._tool and use.error is None for use in call.tools)
        assert self._measure is not None
        found: object = self._measure(call)
        if inspect.isawaitable(found):
            found = await found
        if found is None or isinstance(found, bool):
            return found
        number = float(found)  # type: ignore[arg-type]  # what is no number raises
        return number if math.isfinite(number) else None

    def __repr__(self) -> str:
        return f"<goal {self.name}>"


async def measured(goals: Iterable[Goal], call: FinishedCall) -> tuple[dict[str, bool | float | None], list[str]]:
    """What came of the goals, and the names of those that could not be measured because their function raised."""
    found: dict[str, bool | float | None] = {}
    failed: list[str] = []
    for goal in goals:
        try:
            found[goal.name] = await goal.measure(call)
        except Exception:
            _log.exception("the goal %s could not be measured in call %s", goal.name, call.id)
            found[goal.name] = None
            failed.append(goal.name)
    return found, failed


def outcome_of(data: object) -> str | None:
    """What `call.data["outcome"]` says, as one short line."""
    if data is None:
        return None
    text = data.value if hasattr(data, "value") else data  # an enumeration's member
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return line[:_OUTCOME_CHARS] or None


def outcome_tool(*outcomes: str, name: str = "record_outcome", description: str = "") -> Tool[..., str]:
    """A tool with which a model says what the call came to: one of `outcomes`. The last word counts.

    Raises `AssistantError` (`assistant.outcomes`).
    """
    error = ""
    if len(outcomes) < 2 or len(set(outcomes)) < len(outcomes):
        error = "there are too few of them" if len(outcomes) < 2 else "one is there twice"
    elif any(outcome_of(word) != word for word in outcomes):
        error = f"each is one line of at most {_OUTCOME_CHARS} characters"
    if error:
        raise AssistantError.of("assistant.outcomes", what=outcomes, error=error)

    async def record_outcome(ctx: ToolContext, outcome: str) -> str:
        ctx.call.data[_OUTCOME] = outcome
        return "Noted."

    # The choice is known only here.
    record_outcome.__annotations__ = {"ctx": ToolContext, "outcome": Literal[outcomes], "return": str}
    declare = tool(
        name=name,
        description=description or "Note what the call has come to, as soon as it is clear and before it ends.",
        on_duplicate="allow",
    )
    return declare(record_outcome)
